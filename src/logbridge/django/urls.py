"""The routes of the app: ``path("api/", include("logbridge.django.urls"))``."""

from django.urls import path

from logbridge.django import views

app_name = "logbridge"
urlpatterns = [
    path("write_log/", views.write_log, name="write_log"),
    path("batch_write_test/", views.batch_write_test, name="batch_write_test"),
    path("concurrent_test/", views.concurrent_test, name="concurrent_test"),
]

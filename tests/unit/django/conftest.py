"""Django for this process: settings without a project, and logging left alone."""

from collections.abc import Iterator

import django
import pytest
from django.conf import settings

from logbridge import MemorySink, use_sink

settings.configure(
    ALLOWED_HOSTS=["localhost", "shop.example"],
    INSTALLED_APPS=["logbridge.django"],
    LOGBRIDGE={"URL": "grpc://localhost:50051", "SERVICE_NAME": "shop"},
    LOGGING_CONFIG=None,
    MIDDLEWARE=["django.middleware.csrf.CsrfViewMiddleware"],
    ROOT_URLCONF="logbridge.django.urls",
    SECRET_KEY="of tests",
    USE_TZ=True,
)
django.setup()


@pytest.fixture
def sink() -> Iterator[MemorySink]:
    """The log service of the views."""
    with use_sink(MemorySink()) as sink:
        yield sink

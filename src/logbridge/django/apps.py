"""The app that INSTALLED_APPS names."""

from django.apps import AppConfig
from django.core.checks import Error, register
from django.core.exceptions import ImproperlyConfigured

from logbridge.django.configuration import EXAMPLE, read


class LogBridgeConfig(AppConfig):
    """``INSTALLED_APPS += ["logbridge.django"]``; its settings are checked with Django's own."""

    name = "logbridge.django"
    label = "logbridge"
    verbose_name = "logbridge"

    def ready(self) -> None:
        """Have `manage.py check`, and every start of a development server, look at LOGBRIDGE."""
        register(check_configuration)


def check_configuration(**_: object) -> list[Error]:
    """logbridge.E001 for a LOGBRIDGE that makes no sense: what, and how it is written."""
    try:
        read()
    except ImproperlyConfigured as error:
        return [Error(str(error), hint=f"For example {EXAMPLE}", id="logbridge.E001")]
    return []

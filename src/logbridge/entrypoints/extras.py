"""Packages that a bridge has only where they were asked for (``pip install 'logbridge[nats]'``)."""

import importlib.util


def is_installed(module: str) -> bool:
    """Whether a module could be imported; it is not."""
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # not even what it is in
        return False

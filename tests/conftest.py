"""What tests of every kind share."""

from collections.abc import Iterator

import pytest
from hypothesis import HealthCheck, settings

# How long an example takes says how busy the machine is, nothing about the code.
settings.register_profile("logbridge", deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile("logbridge")


@pytest.fixture(scope="module", params=["coalesced", "apart"])
def each_way(request: pytest.FixtureRequest) -> Iterator[None]:
    """With coalescing and without: nothing of the contract depends on it. See coalesces()."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("LOGBRIDGE_COALESCE", str(request.param == "coalesced").lower())
        yield

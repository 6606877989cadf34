import pytest

from logbridge.domain.policy import AdmissionPolicy, BatchPolicy, DeadlinePolicy, RequestLimits


@pytest.mark.parametrize(
    ("policy", "field"),
    [
        (BatchPolicy, "message_bytes_max"),
        (BatchPolicy, "singles_in_flight_max"),
        (RequestLimits, "batch_entries_max"),
        (RequestLimits, "test_writes_max"),
        (RequestLimits, "test_workers_max"),
        (AdmissionPolicy, "entries_max"),
        (AdmissionPolicy, "writes_at_once_max"),
        (AdmissionPolicy, "retry_after_s"),
        (DeadlinePolicy, "request_s"),
    ],
)
def test_a_policy_that_makes_no_sense_is_never_made(policy: type, field: str) -> None:
    """A wrong value stops at construction and names the field."""
    with pytest.raises(ValueError, match=field):
        policy(**{field: -1})
    policy()

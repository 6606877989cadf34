import pytest

from logbridge.domain.policy import (
    AdmissionPolicy,
    BatchPolicy,
    BreakerPolicy,
    CoalescePolicy,
    DeadlinePolicy,
    RequestLimits,
    RetentionPolicy,
    RetryPolicy,
    SpoolPolicy,
)


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
        (CoalescePolicy, "batch_entries_max"),
        (CoalescePolicy, "batch_bytes_max"),
        (CoalescePolicy, "batches_max"),
        (CoalescePolicy, "linger_s"),
        (DeadlinePolicy, "request_s"),
        (AdmissionPolicy, "bytes_max"),
        (RetryPolicy, "budget_s"),
        (RetryPolicy, "attempt_s_min"),
        (RetryPolicy, "backoff_first_s"),
        (RetryPolicy, "backoff_factor"),
        (RetryPolicy, "backoff_max_s"),
        (BreakerPolicy, "failures_max"),
        (BreakerPolicy, "trial_first_s"),
        (BreakerPolicy, "trial_max_s"),
        (BreakerPolicy, "fair_attempt_s"),
        (SpoolPolicy, "batch_entries_max"),
        (SpoolPolicy, "batch_bytes_max"),
        (SpoolPolicy, "parked_batches_max"),
        (SpoolPolicy, "attempt_s"),
        (RetentionPolicy, "age_days_max"),
        (RetentionPolicy, "bytes_max"),
    ],
)
def test_a_policy_that_makes_no_sense_is_never_made(policy: type, field: str) -> None:
    """A wrong value stops at construction and names the field."""
    with pytest.raises(ValueError, match=field):
        policy(**{field: -1})
    policy()


def test_retention_without_bounds_keeps_everything() -> None:
    """0 is no bound: no age is too old, no number of bytes too many."""
    policy = RetentionPolicy()
    assert policy.keeps_everything
    assert policy.oldest_us(10**15) is None
    assert policy.excess_bytes(10**15) == 0


def test_age_is_counted_back_from_now() -> None:
    """The oldest time that is kept lies so many days before now, to the microsecond."""
    policy = RetentionPolicy(age_days_max=2)
    assert not policy.keeps_everything
    assert policy.oldest_us(172_800_000_001) == 1


def test_a_tenth_is_set_free_beyond_the_bytes() -> None:
    """At the bound nothing is too much; one byte beyond it a tenth of the bound is set free at once."""
    policy = RetentionPolicy(bytes_max=1000)
    assert not policy.keeps_everything
    assert policy.excess_bytes(1000) == 0
    assert policy.excess_bytes(1001) == 101

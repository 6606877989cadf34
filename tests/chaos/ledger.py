"""The ledger of one leg: what was promised against what is in the store. No I/O."""

from collections import Counter
from collections.abc import Collection, Iterable, Mapping, Sequence

from msgspec import Struct
from msgspec.structs import replace

from tests.chaos.oracle import ID_KEY, Content

_NAMED_MAX = 5
# What the bridge says of an entry that was destroyed with its id. It was never acknowledged then.
_ID_UNKNOWN = "id unknown"


class StoredLog(Struct, frozen=True):
    """A log as the store holds it. id: the store's, which is the oracle's own where ids are honoured."""

    id: str
    content: Content


class Ledger(Struct, frozen=True):
    """The counts of one leg, in logs, and what is wrong, in words; no problems means clean.

    destroyed: obligations that a damaged spool file took, each reported by the bridge. doubled: stored more
    than once, counting each copy after the first. possible_duplicates: how many copies the bridge and the
    clients know that they may have made.
    """

    sent: int
    acknowledged: int
    stored: int
    lost: int
    destroyed: int
    doubled: int
    never_sent: int
    unequal: int
    possible_duplicates: int
    problems: tuple[str, ...]

    def with_problems(self, more: Iterable[str]) -> "Ledger":
        """The same with what else went wrong."""
        return replace(self, problems=(*self.problems, *more))


def settle(
    sent: Mapping[str, Content],
    obligations: Collection[str],
    stored: Sequence[StoredLog],
    *,
    honours_ids: bool,
    reported_lost: Collection[str] = (),
    possible_duplicates: int = 0,
) -> Ledger:
    """Compare. honours_ids: whether the store keeps the ids it is given; then no id may stand there twice.

    reported_lost: ids that the bridge says a damaged spool file destroyed.
    """
    copies = Counter(stored_log.content.metadata.get(ID_KEY, stored_log.id) for stored_log in stored)
    missing = set(obligations) - copies.keys()
    destroyed = missing & set(reported_lost)
    lost = missing - destroyed
    never_sent = [log_id for log_id in copies if log_id not in sent]
    unequal = [log.id for log in stored if not _is_equal(log, sent, honours_ids)]
    doubled = {log_id: count - 1 for log_id, count in copies.items() if count > 1}
    invented = {log_id for log_id in reported_lost if _ID_UNKNOWN not in log_id} - sent.keys()
    allowed = 0 if honours_ids else possible_duplicates
    found = (
        _problem("acknowledged, and neither stored nor reported as destroyed", lost),
        _problem("stored, but nobody sent it", never_sent),
        _problem("stored with other content than was sent", unequal),
        _problem("reported as destroyed, but nobody sent it", invented),
        _problem(f"stored more than once, {allowed} copies may be", doubled)
        if sum(doubled.values()) > allowed
        else "",
    )
    return Ledger(
        sent=len(sent),
        acknowledged=len(obligations),
        stored=len(stored),
        lost=len(lost),
        destroyed=len(destroyed),
        doubled=sum(doubled.values()),
        never_sent=len(never_sent),
        unequal=len(unequal),
        possible_duplicates=possible_duplicates,
        problems=tuple(problem for problem in found if problem),
    )


def _is_equal(log: StoredLog, sent: Mapping[str, Content], honours_ids: bool) -> bool:
    log_id = log.content.metadata.get(ID_KEY, log.id)
    expected = sent.get(log_id)
    if expected is None:
        return True  # it has a column of its own
    if honours_ids and log.id != log_id:
        return False
    given_time = expected.timestamp or log.content.timestamp
    return bool(log.content.timestamp) and log.content == replace(expected, timestamp=given_time)


def _problem(what: str, log_ids: Collection[str]) -> str:
    if not log_ids:
        return ""
    named = ", ".join(sorted(log_ids)[:_NAMED_MAX])
    more = f" and {len(log_ids) - _NAMED_MAX} more" if len(log_ids) > _NAMED_MAX else ""
    return f"{len(log_ids)} {what}: {named}{more}"

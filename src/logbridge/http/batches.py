"""A batch over HTTP: cut into requests, and what their answers say of each log. No I/O."""

import re
from collections.abc import Iterable, Sequence
from typing import Any

from msgspec import Struct

from logbridge.domain.outcome import Accepted, Failed, Outcome, Refused, Unknown
from logbridge.entrypoints.results import WriteResult
from logbridge.http import errors
from logbridge.http.entries import Drafted
from logbridge.http.requests import Ask

_BATCH_SIZE = re.compile(r"MAX_BATCH_SIZE=([0-9]{1,9})", re.ASCII)


class Answered(Struct):
    """What a batch needs of an answer."""

    results: list[WriteResult]


class Batch:
    """What became of the entries of a batch so far. waiting: those to send, in the order of their requests.

    outcomes: by the index of the entry. ended_by: why the rest was not sent, None if all was.
    """

    def __init__(self, entries: Iterable[Drafted], entries_max: int, bytes_max: int) -> None:
        self.outcomes: dict[int, Outcome] = {}
        self.ended_by: errors.BridgeError | None = None
        self._bytes_max = bytes_max
        self.waiting = _cut(entries, entries_max, bytes_max)

    def ask(self) -> Ask:
        """The next request."""
        batch = self.waiting[0]
        body = b'{"log_entries":[' + b",".join(entry.content for entry in batch) + b"]}"
        return Ask("POST", "batch", body=body, log_ids=tuple(entry.log_id for entry in batch))

    def answered(self, answer: Answered, status: int) -> None:
        """Take a good answer. It does not say which of its failures would pass: they go again by themselves,
        and have a status that does. Raises NoAnswer if it is none to that request.
        """
        results, batch = answer.results, self.waiting[0]
        if len(results) != len(batch):
            raise errors.NoAnswer(f"the answer has {len(results)} results for {len(batch)} logs")
        again: list[Drafted] = []
        for entry, result in zip(batch, results, strict=True):
            if result.success:
                self.outcomes[entry.index] = Accepted(result.log_id, status == 202)
            else:
                self.outcomes[entry.index] = Failed(entry.log_id, result.error_message)
                again.append(entry)
        # An answer that acknowledges nothing is not 2xx; if it is, sending once more would have no end.
        progress = again and len(again) < len(batch)
        self.waiting[:1] = [again] if progress else []

    def failed(self, error: errors.BridgeError) -> None:
        """Take the end of the request: it was too large, or it fails for each entry, or for all to come."""
        batch = self.waiting.pop(0)
        if entries_max := _smaller(batch, error):
            self.waiting[:0] = _cut(batch, entries_max, self._bytes_max)
            return
        reasons = _reasons(batch, error)
        for entry, reason in zip(batch, reasons or [str(error)] * len(batch), strict=True):
            self.outcomes[entry.index] = _outcome(entry.log_id, reason, error)
        if not isinstance(error, errors.TooLarge) and not (reasons and isinstance(error, errors.Refused)):
            self._end(error)

    def _end(self, error: errors.BridgeError) -> None:
        self.ended_by = error
        for entry in (entry for batch in self.waiting for entry in batch):
            self.outcomes.setdefault(entry.index, Failed(entry.log_id, f"not sent: {error}"))
        self.waiting.clear()


def _cut(entries: Iterable[Drafted], entries_max: int, bytes_max: int) -> list[list[Drafted]]:
    """Parts of at most so many entries and bytes, in order; a larger entry goes by itself."""
    parts: list[list[Drafted]] = []
    size_bytes = 0
    for entry in entries:
        size_bytes += len(entry.content)
        if not parts or len(parts[-1]) >= entries_max or size_bytes > bytes_max:
            parts.append([])
            size_bytes = len(entry.content)
        parts[-1].append(entry)
    return parts


def _smaller(batch: Sequence[Drafted], error: errors.BridgeError) -> int:
    """How many entries a request may have after this refusal; 0 if its size is not the reason."""
    if len(batch) == 1 or not isinstance(error, errors.Refused):
        return 0
    if error.status == 400 and (found := _BATCH_SIZE.search(error.detail)):
        return max(1, min(int(found[1]), len(batch) - 1))
    return len(batch) // 2 if isinstance(error, errors.TooLarge) else 0


def _reasons(batch: Sequence[Drafted], error: errors.BridgeError) -> list[str]:
    """What the answer says of each entry; empty if it speaks of all."""
    results: Any = error.problem.get("results") if isinstance(error, errors.ApiError) else None
    if not isinstance(results, list) or len(results) != len(batch):
        return []
    told = (result.get("error_message") if isinstance(result, dict) else None for result in results)
    return [str(reason or error) for reason in told]


def _outcome(log_id: str, reason: str, error: errors.BridgeError) -> Outcome:
    if error.may_be_written:
        return Unknown(log_id, reason, retry_after_s=error.retry_after_s)
    if isinstance(error, errors.Refused):
        return Refused(log_id, reason)
    return Failed(log_id, reason, retry_after_s=error.retry_after_s)

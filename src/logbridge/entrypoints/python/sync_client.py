"""The Python surface without asyncio: the same answers, for programs that wait for them or do not care."""

from collections.abc import Iterable, Mapping
from types import TracebackType
from typing import Any

from logbridge.domain.entry import EntryDraft
from logbridge.domain.errors import InvalidEntry, InvalidRequest
from logbridge.entrypoints.python.connected import Connected, answer, refused_batch, refused_write
from logbridge.entrypoints.python.drafts import draft_of, drafts_of
from logbridge.entrypoints.python.private_loop import LoopGone, private_loop
from logbridge.entrypoints.results import batch_result, write_result


class LogServiceClient(Connected):
    """Writes logs to one log service, from any thread; also where an asyncio loop runs, which it then blocks.

    Its parameters, and what it raises, are those of AsyncLogServiceClient; a sink runs in the private loop.
    It may be made before a fork, and used in each child; after its first use only in the process of that.
    """

    def write_log(self, message: str, **fields: Any) -> dict[str, Any]:
        """Write one log and wait for the answer; fields and answer are those of logbridge.write_log()."""
        given = fields | {"message": message}
        try:
            draft = draft_of(given)  # here: what callers give is theirs to be asked, in their thread
            outcome = private_loop().wait_for(self._ask(lambda bridge: bridge.write(draft, self._asked)))
        except (InvalidEntry, LoopGone) as error:
            return refused_write(given, str(error))
        return answer(write_result(outcome))

    def batch_write_logs(self, log_entries: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
        """Write a batch and wait for the answer; both are those of logbridge.batch_write_logs()."""
        drafts: list[EntryDraft | InvalidEntry] = []
        try:
            drafts = drafts_of(log_entries)
            outcomes = private_loop().wait_for(
                self._ask(lambda bridge: bridge.write_batch(drafts, self._asked))
            )
        except (InvalidRequest, LoopGone) as error:
            return refused_batch(len(drafts), str(error))
        return answer(batch_result(outcomes))

    def flush(self, timeout_s: float | None = None) -> bool:
        """Wait until all that was handed to log() before is settled: sent, refused or dropped.

        timeout_s: None for exit_timeout_s. False if that was not enough.
        """
        return self._background.flush(timeout_s)

    def close(self, timeout_s: float | None = None) -> None:
        """Finish the writes that were begun and close the connection. A second call does nothing.

        timeout_s: for what was handed to log(), None for exit_timeout_s; the rest is dropped and counted, and
        whatever is under way is cut off then.
        """
        settled = self._background.close(timeout_s)
        opened = self._taken()
        if opened is not None:
            private, container = opened
            private.wait_for(private.close(container, None if settled else 0))

    def __enter__(self) -> "LogServiceClient":
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

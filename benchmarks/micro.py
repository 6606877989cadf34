"""What a batch must cost: decode, build, serialize, and encode the results, alone in one process."""

import argparse
import json
import time
from collections.abc import Callable

from benchmarks import bodies
from logbridge.adapters.grpc.mapping import to_write_request
from logbridge.domain.entry import EntryDraft
from logbridge.domain.outcome import Accepted
from logbridge.entrypoints.container import build_maker
from logbridge.entrypoints.http.decode import decode_batch
from logbridge.entrypoints.http.problems import ok
from logbridge.entrypoints.process import collect_garbage_rarely
from logbridge.entrypoints.results import batch_result
from logbridge.entrypoints.settings import Settings

ENTRIES = 1000


def work() -> Callable[[], None]:
    """The four steps over one batch, with logbridge's own functions."""
    body = bodies.body(ENTRIES)
    maker = build_maker(Settings())

    def once() -> None:
        drafts = decode_batch(body, lambda _: None)
        arrived = maker.now()
        entries = [maker.make(draft, arrived) for draft in drafts if isinstance(draft, EntryDraft)]
        to_write_request(entries)
        ok(batch_result([Accepted(entry.id) for entry in entries]))

    return once


def main() -> None:
    """Print one line of JSON."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--measured-s", type=float, default=1.5)
    asked = parser.parse_args()
    once = work()
    collect_garbage_rarely()  # as the bridge itself
    until_s = time.perf_counter() + asked.measured_s / 3
    while time.perf_counter() < until_s:
        once()
    count, began_s, cpu_began_s = 0, time.perf_counter(), time.process_time()
    while time.perf_counter() - began_s < asked.measured_s:
        once()
        count += ENTRIES
    took_s, cpu_s = time.perf_counter() - began_s, time.process_time() - cpu_began_s
    result = {"logs_per_s": count / took_s, "cpu_us": 1e6 * cpu_s / count, "logs": count}
    result["busy"] = cpu_s / took_s
    print(json.dumps(result))


if __name__ == "__main__":
    main()

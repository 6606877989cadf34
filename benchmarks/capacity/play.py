"""A plan in virtual time: what its machines do under load, and when some of them fail."""

import re
from collections.abc import Callable, Sequence

from benchmarks.capacity.assumptions import Assumptions
from benchmarks.capacity.costs import Costs
from benchmarks.capacity.simulation.arrivals import Arrivals, Shape
from benchmarks.capacity.simulation.system import WARMUP_S, Failure, Part, Seen, System
from benchmarks.capacity.sizing import Asked, Plan

_FAILURE = re.compile(r"(?P<part>[a-z-]+)(?:\*(?P<count>\d+))?@(?P<at>\d+(?:\.\d+)?)\+(?P<for>\d+(?:\.\d+)?)")


def play(
    asked: Asked,
    plan: Plan,
    costs: Costs,
    assumed: Assumptions,
    seconds: float,
    *,
    failures: Sequence[Failure] = (),
    arrivals: Arrivals = Arrivals.POISSON,
    seed: int = 1,
    warmup_s: float = WARMUP_S,
    told: Callable[[float], object] = lambda _: None,
) -> Seen:
    """So many seconds of what is asked, at the machines of the plan, the spare ones included."""
    shape = Shape(asked.logs_a_request, asked.entry_bytes)
    system = System(plan.size(asked.keeps), costs, assumed, shape, seed=seed)
    system.open_world(asked.logs_s, arrivals)
    return system.run(seconds, failures, warmup_s, told)


def failure_of(text: str) -> Failure:
    """``part[*count]@second+seconds``, as ``log-service*2@5+10``. Raises ValueError, in one line."""
    found = _FAILURE.fullmatch(text)
    parts = [part.value for part in Part]
    if found is None or found["part"] not in parts:
        raise ValueError(
            f"{text!r} is no failure: PART[*COUNT]@SECOND+SECONDS is, as log-service*2@5+10; "
            f"PART is one of {', '.join(parts)}"
        )
    return Failure(Part(found["part"]), float(found["at"]), float(found["for"]), int(found["count"] or 1))

"""Round by round, every contender once in each; which rounds count; what they say together."""

from collections.abc import Callable, Iterable, Mapping, Sequence
from statistics import median

from msgspec import Struct
from msgspec.structs import replace

from benchmarks.contenders import NOOP
from benchmarks.measure import Figures

OTHERS_MAX = 0.05
NOOP_DEVIATION_MAX = 0.15
EXTRA_TRIES = 4
ROUNDS_MIN = 3
RULE = (
    f"A round does not count and is run again (at most {EXTRA_TRIES} more for a scenario) if during any of "
    f"its measurements other processes had more than {OTHERS_MAX:.0%} of the gateway's core, or if its "
    f"no-op's logs/s are more than {NOOP_DEVIATION_MAX:.0%} from their median in all rounds. With fewer than "
    f"{ROUNDS_MIN} undisturbed rounds all of them count, and the scenario is marked as disturbed."
)


class Round(Struct, frozen=True):
    """What each contender did, side by side. disturbed: why the round does not count; empty if it does."""

    figures: dict[str, Figures]
    disturbed: str = ""


def run_rounds(
    names: Sequence[str], measure: Callable[[str], Figures], wanted: int, extra_tries: int
) -> list[Round]:
    """Measure until so many rounds count, or too many do not. Each round begins with another contender."""
    rounds: list[Round] = []
    while len(rounds) < wanted + extra_tries and len(undisturbed(rounds)) < wanted:
        first = len(rounds) % len(names)
        order = [*names[first:], *names[:first]]
        rounds = judged([*rounds, Round({name: measure(name) for name in order})])
    return rounds


def judged(rounds: Iterable[Round]) -> list[Round]:
    """The rounds, each with the reason why it does not count."""
    rounds = [replace(each, disturbed=_by_others(each.figures)) for each in rounds]
    usual = [each.figures[NOOP].logs_per_s for each in undisturbed(rounds) if NOOP in each.figures]
    if not usual:
        return rounds
    middle = median(usual)
    return [
        each if each.disturbed else replace(each, disturbed=_by_noop(each.figures, middle)) for each in rounds
    ]


def _by_others(figures: Mapping[str, Figures]) -> str:
    for name, seen in figures.items():
        if seen.others > OTHERS_MAX:
            return f"{name}: other processes had {seen.others:.0%} of the core"
    return ""


def _by_noop(figures: Mapping[str, Figures], middle: float) -> str:
    if NOOP not in figures:
        return ""
    deviation = figures[NOOP].logs_per_s / middle - 1
    return f"the no-op was {deviation:+.0%} off" if abs(deviation) > NOOP_DEVIATION_MAX else ""


def undisturbed(rounds: Iterable[Round]) -> list[Round]:
    """Those that count."""
    return [each for each in rounds if not each.disturbed]


def counting(rounds: Sequence[Round]) -> list[Round]:
    """The rounds to take figures from: the undisturbed ones, or all if those are too few."""
    good = undisturbed(rounds)
    return good if len(good) >= min(ROUNDS_MIN, len(rounds)) else list(rounds)


def medians(rounds: Sequence[Round]) -> dict[str, Figures]:
    """For each contender the median of each figure, one by one."""
    return {
        name: Figures(
            **{
                field: median(getattr(each.figures[name], field) for each in rounds)
                for field in Figures.__struct_fields__
            }
        )
        for name in rounds[0].figures
    }


def ratio(rounds: Sequence[Round], figure: str, of: str, to: str) -> float | None:
    """The median of the ratios within each round; None if one of the two was not measured."""
    if not rounds or not {of, to} <= rounds[0].figures.keys():
        return None
    pairs = [(getattr(each.figures[of], figure), getattr(each.figures[to], figure)) for each in rounds]
    return median(one / other for one, other in pairs) if all(other for _, other in pairs) else None

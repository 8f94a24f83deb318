"""How many of each thing to draw: what is stated where it is exact, a small number that fits where it is open."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random

from scenograph.judging.statement import Comparison, Statement

__all__ = ["expected_counts", "kept_comparisons"]

_SIGNS = {"more": 1, "fewer": -1, "equal": 0}


def expected_counts(statement: Statement, *, seed: int = 0, start: Sequence[int] = ()) -> tuple[int, ...]:
    """A number for every thing, within its ends and such that the comparisons hold where they can.

    An open end ("several": 3 or more) is the least with seed 0, and at most two above it with others. What a relation
    speaks of is there at least once unless it is stated not to be. `start` is what a layout has already: as little as
    possible of it is changed.
    """
    rng = Random(seed) if seed else None
    related = {t for r in statement.relations for t in (r.subject, *r.objects)}
    counts = []
    for index, thing in enumerate(statement.things):
        least = max(thing.least, 1 if index in related or thing.most is None else 0)
        wished = least + rng.randrange(3) if rng and thing.most != thing.least else least
        wished = max(least, start[index]) if start else wished
        counts.append(wished if thing.most is None else min(wished, thing.most))
    for _ in range(2 * len(counts) + 2):
        if not any([_correct(c, counts, statement) for c in statement.comparisons]):
            break
    return tuple(counts)


def _correct(comparison: Comparison, counts: list[int], statement: Statement) -> bool:
    """Change one count so that the comparison holds; False when it held already or cannot be made to."""
    first, second = comparison.first, comparison.second
    if _holds(comparison, counts):
        return False
    more, less = (second, first) if counts[first] <= counts[second] else (first, second)
    if comparison.name == "equal":
        targets = [(less, counts[more]), (more, counts[less])]
    else:
        more, less = (first, second) if comparison.name == "more" else (second, first)
        targets = [(more, counts[less] + 1), (less, counts[more] - 1)]
    for index, target in targets:
        thing = statement.things[index]
        if thing.least <= target and (thing.most is None or target <= thing.most):
            counts[index] = target
            return True
    return False


def _holds(comparison: Comparison, counts: Sequence[int]) -> bool:
    first, second = counts[comparison.first], counts[comparison.second]
    return (first > second) - (first < second) == _SIGNS[comparison.name]


def kept_comparisons(statement: Statement, counts: Sequence[int]) -> tuple[bool, ...]:
    """Which comparisons the counts keep."""
    return tuple(_holds(c, counts) for c in statement.comparisons)

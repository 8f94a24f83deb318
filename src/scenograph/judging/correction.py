"""Acc and ReAcc of MIGLoRA, Stage I (prompt parsing): are planned layouts right, and are broken ones put right?

Acc is the share of prompts whose planned layout has valid boxes and is right. ReAcc gives a layout that was right back,
broken in one way, and is the share that comes back right. The paper judges with pictures at hand; from text alone,
right means that the layout keeps what the prompt states: `statement.check` is strict.

The paper does not say how its layouts are broken. Here each is broken once in each of the ways of `CORRUPTIONS` that
apply to it, seeded. Whoever plans and repairs is a function; nothing here imports planning.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenograph.errors import LayoutError, PlanError
from scenograph.judging.statement import Statement, assigned, check
from scenograph.layout import Layout

__all__ = ["CORRUPTIONS", "Correction", "accuracy", "broken", "reaccuracy", "right"]

Broken = dict[str, Any]
"""A layout's JSON object, which may be no valid layout any more."""
Planner = Callable[[str], object]
Repairer = Callable[[Broken, Statement], object]
"""(broken layout, what its prompt states) → a Layout, or its JSON object."""


@dataclass(frozen=True, kw_only=True)
class Correction:
    """One broken layout given back: in which way it was broken, of which item, and whether it came back right."""

    item: int
    way: str
    right: bool


def right(layout: object, statement: Statement) -> bool:
    """Whether something is a valid layout that keeps the statement, with nothing added. None and nonsense are not."""
    if not isinstance(layout, Layout):
        try:
            layout = Layout.from_dict(layout)
        except LayoutError:
            return False
    return check(statement, layout).strict


def accuracy(items: Iterable[tuple[str, Statement]], plan: Planner) -> list[bool]:
    """For every (prompt, what it states) whether the planned layout is right; a PlanError is a layout that is not."""

    def planned(prompt: str) -> object:
        try:
            return plan(prompt)
        except PlanError:
            return None

    return [right(planned(prompt), statement) for prompt, statement in items]


def reaccuracy(
    items: Sequence[tuple[Statement, Layout]], repair: Repairer, *, seed: int = 0, ways: Sequence[str] = ()
) -> list[Correction]:
    """Every layout broken in every way that applies, given back, and whether it came back right.

    Args:
        items: (statement, layout that keeps it).
        ways: some of `CORRUPTIONS`; none means all.
    """
    outcomes = []
    for index, (statement, layout) in enumerate(items):
        for way in ways or CORRUPTIONS:
            given = broken(layout, way, statement, seed=seed + index)
            if given is None:
                continue
            try:
                corrected = repair(given, statement)
            except PlanError:
                corrected = None
            outcomes.append(Correction(item=index, way=way, right=right(corrected, statement)))
    return outcomes


def broken(layout: Layout, way: str, statement: Statement, *, seed: int = 0) -> Broken | None:
    """The layout broken in one way, as a JSON object; None where that leaves it right or there is nothing to break.

    The same layout, way and seed give the same result.
    """
    rng = random.Random(f"{seed} {way}")
    data = layout.to_dict()
    order = list(range(len(layout.instances)))
    rng.shuffle(order)
    if not order or not CORRUPTIONS[way](data["instances"], order, assigned(statement, layout), rng):
        return None
    return None if right(data, statement) else data


def _outside(instances: list[Broken], order: list[int], things: Sequence[int | None], rng: random.Random) -> bool:
    """One box moved over the border by a quarter of the canvas to its own size, any of four ways."""
    x0, y0, x1, y1 = instances[order[0]]["box"]
    right, down = rng.choice(((1, 0), (-1, 0), (0, 1), (0, -1)))
    room = {(1, 0): 1 - x1, (-1, 0): x0, (0, 1): 1 - y1, (0, -1): y0}[right, down]
    far = room + rng.uniform(0.25, 1) * (x1 - x0 if right else y1 - y0)
    instances[order[0]]["box"] = [x0 + right * far, y0 + down * far, x1 + right * far, y1 + down * far]
    return True


def _inverted(instances: list[Broken], order: list[int], things: Sequence[int | None], rng: random.Random) -> bool:
    """One box with left and right, or top and bottom, exchanged."""
    x0, y0, x1, y1 = instances[order[0]]["box"]
    instances[order[0]]["box"] = rng.choice(([x1, y0, x0, y1], [x0, y1, x1, y0]))
    return True


def _collapsed(instances: list[Broken], order: list[int], things: Sequence[int | None], rng: random.Random) -> bool:
    """One box without width, or without height."""
    x0, y0, x1, y1 = instances[order[0]]["box"]
    instances[order[0]]["box"] = rng.choice(([x0, y0, x0, y1], [x0, y0, x1, y0]))
    return True


def _swapped(instances: list[Broken], order: list[int], things: Sequence[int | None], rng: random.Random) -> bool:
    """Two instances of different things with each other's boxes: what is left of what is wrong now."""
    one = order[0]
    two = next((i for i in order if things[i] != things[one]), None)
    if two is None:
        return False
    instances[one]["box"], instances[two]["box"] = instances[two]["box"], instances[one]["box"]
    return True


def _dropped(instances: list[Broken], order: list[int], things: Sequence[int | None], rng: random.Random) -> bool:
    """One instance gone."""
    del instances[order[0]]
    return True


def _doubled(instances: list[Broken], order: list[int], things: Sequence[int | None], rng: random.Random) -> bool:
    """One instance twice, the second a little aside."""
    copy = dict(instances[order[0]])
    x0, y0, x1, y1 = copy["box"]
    aside = min(0.03, 1 - x1) or -min(0.03, x0)
    instances.append({**copy, "box": [x0 + aside, y0, x1 + aside, y1]})
    return True


CORRUPTIONS: Mapping[str, Callable[[list[Broken], list[int], Sequence[int | None], random.Random], bool]] = {
    "outside": _outside,
    "inverted": _inverted,
    "collapsed": _collapsed,
    "swapped": _swapped,
    "dropped": _dropped,
    "doubled": _doubled,
}
"""Name → how it breaks the instances of a layout's JSON object in place; false when it does not apply."""

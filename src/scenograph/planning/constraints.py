"""Relations between boxes as linear constraints, solved by kiwisolver (Cassowary).

Every box belongs to a node, a rigid group that moves as one: its middle is the node's place plus the scale times its
offset, and its sides are the scale times its own. A `Row` says that a weighted sum of node coordinates, less a multiple
of the scale, is at least a constant, so one small linear program finds the places and the largest scale at which
everything stated fits. The rows of a relation are sufficient for `judging.statement.holds`, with a margin.
"""

from __future__ import annotations

import re
import threading
from collections.abc import Iterable, Sequence
from typing import NamedTuple

from kiwisolver import Constraint, Expression, Solver, Term, UnsatisfiableConstraint, Variable

__all__ = ["EDGE", "GAP", "Part", "Places", "Row", "between_rows", "extents", "pair_rows", "related_rows", "solve"]

MARGIN = 0.008  # of the canvas, by which a direction is kept clear of its border
GAP = 0.015  # of the canvas, between things that should not overlap
LARGE = 40.0  # what a full unit of scale weighs against moving; kiwi's own "strong", 1e6, costs it its precision
REACH = 0.26  # the widest gap of "next to", a little less than what the check allows
EDGE = 0.015  # of the canvas, kept free along its border


class Part(NamedTuple):
    """One instance: its node, its middle's offset from the node's place, its sides; all at scale 1."""

    node: int
    dx: float
    dy: float
    w: float
    h: float


class Row(NamedTuple):
    """The sum of weight x coordinate over `terms` is at least scale x `per` + `at`.

    Coordinate 2n is the x of node n, 2n + 1 its y.
    """

    terms: tuple[tuple[int, float], ...]
    per: float
    at: float

    def short(self, places: Sequence[float], scale: float) -> float:
        """By how much the row is missed; 0 or less when it holds."""
        return self.per * scale + self.at - sum(weight * places[index] for index, weight in self.terms)


class Places(NamedTuple):
    """x and y of every node in turn, and the scale."""

    values: list[float]
    scale: float


class _Pool(threading.local):
    variables: Sequence[Variable] = ()


_POOL = _Pool()
Direction = tuple[float, float, float, float]  # x weight, y weight, multiple of the scale, constant

_SECTORS: dict[str, tuple[Direction, ...]] = {
    "left of": ((-1, 1, 0, MARGIN), (-1, -1, 0, MARGIN)),
    "right of": ((1, 1, 0, MARGIN), (1, -1, 0, MARGIN)),
    "above": ((1, -1, 0, MARGIN), (-1, -1, 0, MARGIN)),
    "below": ((1, 1, 0, MARGIN), (-1, 1, 0, MARGIN)),
}


def pair_rows(name: str, a: Part, b: Part, *, side: float = 1, sink: float = 0.2) -> tuple[Direction, ...]:
    """What `name` asks of the way from the middle of `b` to the middle of `a`.

    Args:
        side: for "next to", 1 when `a` stands at the right of `b` and -1 at the left.
        sink: for "on", the share of the height of `b` that `a` may cover.
    """
    if name in _SECTORS:
        return _SECTORS[name]
    if name in ("behind", "around"):
        rows = pair_rows("in front of" if name == "behind" else "inside", b, a)
        return tuple((-x, -y, per, at) for x, y, per, at in rows)
    w, h = (a.w + b.w) / 2, (a.h + b.h) / 2
    if name == "on":
        over = ((1, 0, -0.85 * w, 0.0), (-1, 0, -0.85 * w, 0.0))
        return (*over, (0, 1, -h, -0.0), (0, -1, h - sink * b.h, 0.0), *_SECTORS["above"])
    if name == "in front of":
        over = ((1, 0, -0.8 * w, 0.0), (-1, 0, -0.8 * w, 0.0))
        return (*over, (0, -1, -0.8 * h, 0.0), (0, 1, (b.h - a.h) / 2 + 0.03 * a.h, 0.004))
    if name == "next to":
        sector = ((side, 1, 0, MARGIN), (side, -1, 0, MARGIN))
        level = ((0, 1, -0.8 * h, 0.0), (0, -1, -0.8 * h, 0.0))
        return (*sector, *level, (-side, 0, -w, -REACH))
    w, h = (b.w - a.w) / 2 * 0.98, (b.h - a.h) / 2 * 0.98  # inside
    return ((1, 0, -w, 0.0), (-1, 0, -w, 0.0), (0, 1, -h, 0.0), (0, -1, -h, 0.0))


def related_rows(
    name: str, pairs: Iterable[tuple[Part, Part]], *, sides: Sequence[float] = (), sink: float = 0.2
) -> list[Row]:
    """The rows of a relation for all `pairs`, the strictest of each direction; `sides` is one a pair for "next to"."""
    strictest: dict[tuple[int, int, float, float, float], float] = {}
    for index, (a, b) in enumerate(pairs):
        dx, dy = a.dx - b.dx, a.dy - b.dy
        for x, y, per, at in pair_rows(name, a, b, side=sides[index] if sides else 1, sink=sink):
            key = (a.node, b.node, x, y, at)
            needed = per - x * dx - y * dy
            if needed > strictest.get(key, -1e9):
                strictest[key] = needed
    return [
        Row(_terms(a, b, x, y), per, at) for (a, b, x, y, at), per in strictest.items() if a != b or per > 0 or at > 0
    ]


def _terms(a: int, b: int, x: float, y: float) -> tuple[tuple[int, float], ...]:
    if a == b:
        return ()
    if not y:
        return ((2 * a, x), (2 * b, -x))
    if not x:
        return ((2 * a + 1, y), (2 * b + 1, -y))
    return ((2 * a, x), (2 * a + 1, y), (2 * b, -x), (2 * b + 1, -y))


def between_rows(subjects: Iterable[Part], low: Part, high: Part, axis: int) -> list[Row]:
    """Every subject stands between two parts, `low` before `high` along `axis` (0: from left to right, 1: top down).

    Sufficient: the two are nearly level, and the subject keeps a quarter of the way's length from the line's ends and
    less than a third of it from the line.
    """
    rows = []
    along, across = (axis, 1 - axis)
    for part in subjects:
        for end, other in ((low, high), (high, low)):
            sign = 1.0 if end is low else -1.0
            weights = [(part, along, sign), (end, along, sign * -0.75), (other, along, sign * -0.25)]
            rows.append(_weighted(weights, at=MARGIN))
        for sign in (1.0, -1.0):
            weights = [(part, across, sign), (low, across, -sign / 2), (high, across, -sign / 2)]
            rows.append(_weighted([*weights, (high, along, 0.3), (low, along, -0.3)]))
    for sign in (1.0, -1.0):
        weights = [(high, across, sign), (low, across, -sign), (high, along, 0.2), (low, along, -0.2)]
        rows.append(_weighted(weights))
    return rows


def _weighted(weights: Iterable[tuple[Part, int, float]], at: float = 0.0) -> Row:
    terms: dict[int, float] = {}
    per = 0.0
    for part, axis, weight in weights:
        index = 2 * part.node + axis
        terms[index] = terms.get(index, 0.0) + weight
        per -= weight * part[1 + axis]
    return Row(tuple((index, weight) for index, weight in terms.items() if weight), per, at)


def extents(parts: Sequence[Part]) -> tuple[float, float, float, float]:
    """How far the parts of one node reach to the left, up, right and down of its place, at scale 1 (left, up < 0)."""
    return (
        min(p.dx - p.w / 2 for p in parts),
        min(p.dy - p.h / 2 for p in parts),
        max(p.dx + p.w / 2 for p in parts),
        max(p.dy + p.h / 2 for p in parts),
    )


def _variables(number: int) -> Sequence[Variable]:
    """That many solver variables, always in the same order of their addresses.

    kiwi sorts by address, and among equally good solutions the order decides; with fresh variables a seed would not
    repeat. Its dump is the only place that shows the order.
    """
    if len(_POOL.variables) < number:
        fresh = [Variable(str(index)) for index in range(max(64, 2 * number))]
        solver = Solver()
        solver.addConstraint(Constraint(Expression([Term(variable, 1.0) for variable in fresh]), "=="))
        order = re.findall(r"^(\d+) = ", solver.dumps(), re.MULTILINE)
        _POOL.variables = [fresh[int(index)] for index in order]
    return _POOL.variables[:number]


def solve(
    rows: Iterable[Row],
    wanted: Sequence[float],
    *,
    reach: Sequence[tuple[float, float, float, float]],
    scales: tuple[float, float] | None,
    weights: Sequence[float] = (),
    edge: float = EDGE,
) -> Places | None:
    """The places nearest to `wanted` that keep every row and the canvas, at the largest scale that allows it.

    Args:
        rows: required.
        wanted: x and y of every node in turn.
        reach: of every node, as `extents` gives it.
        scales: the smallest and the preferred scale; None fixes it at 1.
        weights: of every node, how dear moving it is; None: all alike.
        edge: free border, in fractions of the canvas.

    Returns:
        None when the rows contradict each other or the canvas is too small.
    """
    solver = Solver()
    scale, *variables = _variables(len(wanted) + 1)
    least, most = scales or (1.0, 1.0)
    try:
        solver.addConstraint(Constraint(Expression([Term(scale, 1.0)], -least), "==" if least == most else ">="))
        if least != most:
            solver.addConstraint(Constraint(Expression([Term(scale, 1.0)], -most), "<="))
            solver.addConstraint(Constraint(Expression([Term(scale, 1.0)], -most), "==", LARGE))
        for terms, per, at in rows:
            listed = [Term(variables[index], weight) for index, weight in terms]
            solver.addConstraint(Constraint(Expression([*listed, Term(scale, -per)], -at), ">="))
        for index, variable in enumerate(variables):
            low, high = reach[index // 2][index % 2], reach[index // 2][index % 2 + 2]
            solver.addConstraint(Constraint(Expression([Term(variable, 1.0), Term(scale, low)], -edge), ">="))
            solver.addConstraint(Constraint(Expression([Term(variable, -1.0), Term(scale, -high)], 1 - edge), ">="))
            strength = weights[index // 2] if weights else 1.0
            solver.addConstraint(Constraint(Expression([Term(variable, 1.0)], -wanted[index]), "==", strength))
    except UnsatisfiableConstraint:
        return None
    solver.updateVariables()
    return Places([variable.value() for variable in variables], scale.value())

"""The fewest boxes moved the shortest way that makes the relations of a statement true.

Every box is a node of its own that would rather stay (kiwisolver, weak and in the sum of absolute ways, which moves few
boxes); relations that hold may lose nothing, those that do not must come to hold. Sizes stay.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scenograph.judging.statement import Relation, Statement, assigned, check, holds
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.constraints import Part, Row, between_rows, extents, related_rows, solve
from scenograph.planning.sizes import typical_size
from scenograph.planning.sketch import sink_of
from scenograph.planning.wording import say_relation

__all__ = ["misfits", "moved", "spot"]

_EVERY_PAIR = ("left of", "right of", "above", "below")
_GRID = 9  # places tried along each side for a new box
_EVERY = 400  # pairs of a relation that are looked at
Things = Sequence[int | None]


def moved(statement: Statement, layout: Layout, changes: list[str]) -> Layout:
    """The layout with every relation true, or as it was when moving boxes cannot do it."""
    before = check(statement, layout)
    if all(before.relations):
        return layout
    things = assigned(statement, layout)
    parts = [Part(i, 0.0, 0.0, instance.box.width, instance.box.height) for i, instance in enumerate(layout.instances)]
    wanted = [c for instance in layout.instances for c in instance.box.center]
    groups = [[i for i, t in enumerate(things) if t == index] for index in range(len(statement.things))]
    if not all(groups[t] for r in statement.relations for t in (r.subject, *r.objects)):
        return layout
    broken = {i for i, kept in enumerate(before.relations) if not kept}
    for _ in range(len(statement.relations) + 1):
        rows = [
            row
            for index, relation in enumerate(statement.relations)
            for row in _rows(statement, relation, groups, layout, parts, wanted, loose=index not in broken)
        ]
        reach = [extents([p]) for p in parts]
        clear = [row for i in broken for row in _clearances(statement.relations[i], groups, parts, wanted)]
        found = solve([*rows, *clear], wanted, reach=reach, scales=None, edge=0.0)
        found = found or solve(rows, wanted, reach=reach, scales=None, edge=0.0)
        if found is None:
            return layout
        result = _shifted(layout, wanted, found.values)
        after = check(statement, result)
        if all(after.relations):
            changes += _sentences(statement, layout, result, things, broken)
            return result
        broken |= {i for i, kept in enumerate(after.relations) if not kept}
    return layout


def _rows(
    statement: Statement,
    relation: Relation,
    groups: Sequence[Sequence[int]],
    layout: Layout,
    parts: Sequence[Part],
    wanted: Sequence[float],
    *,
    loose: bool,
) -> list[Row]:
    """The rows of one relation; `loose` rows, of what holds already, ask for no more than there is."""
    subjects = groups[relation.subject]
    objects = [i for t in dict.fromkeys(relation.objects) for i in groups[t]]
    boxes = [instance.box for instance in layout.instances]
    if relation.name == "between":
        rows = [row for i in subjects for row in _between(i, [o for o in objects if o != i], parts, boxes)]
    elif relation.name == "around" and len(subjects) > 1:
        rows = [row for o in objects for row in _encircled(o, subjects, wanted)]
    else:
        if relation.name in _EVERY_PAIR:
            pairs = [(a, b) for a in subjects for b in objects][:_EVERY]
        else:
            pairs = [(a, _nearest(relation, a, objects, boxes, parts, wanted, statement)) for a in subjects]
        sides = [1.0 if wanted[2 * a] >= wanted[2 * b] else -1.0 for a, b in pairs]
        sink = max([sink_of(statement, relation), *(_sunk(boxes[a], boxes[b]) for a, b in pairs if loose)])
        listed = [(parts[a], parts[b]) for a, b in pairs]
        rows = related_rows(relation.name, listed, sides=sides, sink=sink)
    return [row._replace(per=0.0, at=min(row.per + row.at, _now(row, wanted))) for row in rows] if loose else rows


def _clearances(
    relation: Relation, groups: Sequence[Sequence[int]], parts: Sequence[Part], wanted: Sequence[float]
) -> list[Row]:
    """What moves to a side of something should not cover it there."""
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}.get(relation.name, (0, 0))
    pairs = [(a, b) for a in groups[relation.subject] for b in groups[relation.objects[0]] if a != b]
    if relation.name == "next to" and len(pairs) == 1:
        sign = 1 if wanted[2 * pairs[0][0]] >= wanted[2 * pairs[0][1]] else -1
    return [
        Row(((2 * a + axis, sign), (2 * b + axis, -sign)), 0.0, (parts[a][3 + axis] + parts[b][3 + axis]) / 2)
        for a, b in pairs[:_EVERY]
        if sign
    ]


def _sunk(a: Box, b: Box) -> float:
    return (a.y1 - b.y0) / b.height


def _now(row: Row, wanted: Sequence[float]) -> float:
    return sum(weight * wanted[index] for index, weight in row.terms)


def _nearest(
    relation: Relation,
    subject: int,
    objects: Sequence[int],
    boxes: Sequence[Box],
    parts: Sequence[Part],
    wanted: Sequence[float],
    statement: Statement,
) -> int:
    """The object that the subject stands to already, else the one for which it is missed by least."""
    others = [o for o in objects if o != subject] or list(objects)

    def missed(other: int) -> float:
        if holds(relation.name, boxes[subject], boxes[other]):
            return -1.0
        side = 1.0 if wanted[2 * subject] >= wanted[2 * other] else -1.0
        pair = [(parts[subject], parts[other])]
        rows = related_rows(relation.name, pair, sides=[side], sink=sink_of(statement, relation))
        return sum(max(0.0, row.short(wanted, 1.0)) for row in rows)

    return min(others, key=missed)


def _between(subject: int, objects: Sequence[int], parts: Sequence[Part], boxes: Sequence[Box]) -> list[Row]:
    """Between the two objects whose middle is nearest, or which it is between already."""
    x, y = boxes[subject].center
    pairs = [(a, b) for k, a in enumerate(objects) for b in objects[k + 1 :]][:_EVERY]
    if not pairs:
        return []

    def far(pair: tuple[int, int]) -> float:
        (x0, y0), (x1, y1) = boxes[pair[0]].center, boxes[pair[1]].center
        return math.hypot(x - (x0 + x1) / 2, y - (y0 + y1) / 2) - 0.5 * math.hypot(x1 - x0, y1 - y0)

    a, b = min(pairs, key=far)
    (x0, y0), (x1, y1) = boxes[a].center, boxes[b].center
    axis = 0 if abs(x0 - x1) >= abs(y0 - y1) else 1
    low, high = (a, b) if (x0, y0)[axis] <= (x1, y1)[axis] else (b, a)
    return between_rows([parts[subject]], parts[low], parts[high], axis)


def _encircled(other: int, ring: Sequence[int], wanted: Sequence[float]) -> list[Row]:
    """The outermost of the ring stay, or go, to their sides of what they are around."""
    rows = []
    axes: tuple[int, ...] = (0, 1)
    if len(ring) == 2:
        axes = (max(axes, key=lambda axis: abs(wanted[2 * ring[0] + axis] - wanted[2 * ring[1] + axis])),)
    for axis in axes:
        low = min(ring, key=lambda i: wanted[2 * i + axis])
        high = max((i for i in ring if i != low), key=lambda i: wanted[2 * i + axis])
        rows.append(Row(((2 * other + axis, 1.0), (2 * low + axis, -1.0)), 0.0, 0.02))
        rows.append(Row(((2 * high + axis, 1.0), (2 * other + axis, -1.0)), 0.0, 0.02))
    return rows


def _shifted(layout: Layout, wanted: Sequence[float], values: Sequence[float]) -> Layout:
    instances = []
    for i, instance in enumerate(layout.instances):
        dx, dy = values[2 * i] - wanted[2 * i], values[2 * i + 1] - wanted[2 * i + 1]
        if abs(dx) < 1e-7 and abs(dy) < 1e-7:
            instances.append(instance)
            continue
        x0, y0, x1, y1 = instance.box
        dx, dy = min(max(dx, -x0), 1 - x1), min(max(dy, -y0), 1 - y1)
        box = Box(max(0.0, x0 + dx), max(0.0, y0 + dy), min(1.0, x1 + dx), min(1.0, y1 + dy))
        instances.append(replace(instance, box=box))
    return replace(layout, instances=tuple(instances))


def _sentences(statement: Statement, before: Layout, after: Layout, things: Things, broken: set[int]) -> list[str]:
    """One for every box that moved, with the relation it moved for."""
    sentences = []
    for old, new, thing in zip(before.instances, after.instances, things, strict=True):
        if old.box == new.box:
            continue
        dx, dy = (n - o for n, o in zip(new.box.center, old.box.center, strict=True))
        ways = [f"{abs(dx):.2f} to the {'right' if dx > 0 else 'left'}"] if abs(dx) >= 0.005 else []
        ways += [f"{abs(dy):.2f} {'down' if dy > 0 else 'up'}"] if abs(dy) >= 0.005 else []
        mine = [i for i in sorted(broken) if thing in (statement.relations[i].subject, *statement.relations[i].objects)]
        relation = statement.relations[(mine or sorted(broken))[0]]
        way = " and ".join(ways) or "a little"
        sentences.append(f"moved {old.caption!r} {way} for {say_relation(relation, statement)!r}")
    return sentences


def misfits(statement: Statement, layout: Layout, things: Things, index: int) -> float:
    """How badly one instance fits: with how many others its relations fail, and how much it covers one of its kind."""
    box = layout.instances[index].box
    boxes = {t: [i.box for i, k in zip(layout.instances, things, strict=True) if k == t] for t in set(things)}
    failed = 0.0
    for relation in statement.relations:
        if relation.name == "between" or (relation.name == "around" and len(boxes.get(relation.subject, ())) > 1):
            continue
        for mine, theirs, turned in (
            (relation.subject, relation.objects[0], False),
            (relation.objects[0], relation.subject, True),
        ):
            if things[index] == mine:
                pairs = [(b, box) if turned else (box, b) for b in boxes.get(theirs, [])]
                kept = [holds(relation.name, a, b) for a, b in pairs]
                every = relation.name in _EVERY_PAIR or turned
                failed += kept.count(False) if every else not any(kept)
    alike = [box.iou(b) for b in boxes[things[index]] if b is not box]
    return failed + max(alike, default=0.0)


def spot(statement: Statement, layout: Layout, things: Things, thing: int) -> Box:
    """A box for one more instance of a thing: the place where its relations miss least and it covers least."""
    stated = statement.things[thing]
    alike = [i.box for i, t in zip(layout.instances, things, strict=True) if t == thing]
    if alike:
        w, h = sum(b.width for b in alike) / len(alike), sum(b.height for b in alike) / len(alike)
    else:
        extent, shape = typical_size(stated.noun, stated.attributes)
        aspect = layout.size[0] / layout.size[1] if layout.size else 1.0
        extent *= 1.0 if len(layout.instances) < 3 else 0.7
        w, h = extent * math.sqrt(shape / aspect), extent * math.sqrt(aspect / shape)
    best: tuple[float, Box] | None = None
    for shrink in (1.0, 0.75, 0.55, 0.4) if len(layout.instances) < 60 else (1.0,):
        width, height = min(0.95, w * shrink), min(0.95, h * shrink)
        for row in range(_GRID):
            for column in range(_GRID):
                x, y = column / (_GRID - 1) * (1 - width), row / (_GRID - 1) * (1 - height)
                box = Box(x, y, min(1.0, x + width), min(1.0, y + height))
                cost = _cost(statement, layout, things, thing, box) + 0.05 * (1 - shrink)
                if best is None or cost < best[0]:
                    best = cost, box
        if best is not None and best[0] < 0.2:
            break
    assert best is not None
    return best[1]


def _cost(statement: Statement, layout: Layout, things: Things, thing: int, box: Box) -> float:
    """Relations missed and area covered, if a new instance stood here; a little for standing far from the middle."""
    covered = 0.0
    for instance in layout.instances:
        shared = instance.box.intersection(box)
        covered += shared.area / min(box.area, instance.box.area) if shared else 0.0
    tried = replace(
        layout,
        instances=(*layout.instances, Instance(caption=statement.things[thing].noun, box=box)),
    )
    missed = misfits(statement, tried, (*things, thing), len(layout.instances)) if statement.relations else 0.0
    return missed + covered + 0.02 * (abs(box.center[0] - 0.5) + abs(box.center[1] - 0.6))

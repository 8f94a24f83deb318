"""A first placement by eye: each block beside what it is related to, the groups in rows, what stands on the ground low.

`constraints.solve` starts from it. It also decides what a linear program cannot: at which side of a house the dog next
to it stands, whether "between" runs across or down, in which order things without a relation stand.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import NamedTuple

from scenograph.judging.statement import Relation, Statement
from scenograph.planning.blocks import Block
from scenograph.planning.constraints import EDGE, GAP, MARGIN, Part, Row, extents, related_rows
from scenograph.planning.sizes import is_mount, is_sky

__all__ = ["Extents", "Sketch", "relation_pairs", "sink_of", "sketch", "touching"]

Extents = tuple[float, float, float, float]
Place = tuple[float, float]
_ACROSS = {"left of": (-1, 0), "right of": (1, 0), "above": (0, -1), "below": (0, 1)}


class Sketch(NamedTuple):
    """x and y of every block in turn, and the scale at which it fits the canvas."""

    wanted: list[float]
    scale: float


def relation_pairs(
    relation: Relation, blocks: Sequence[Block], parts: Sequence[Sequence[Part]]
) -> tuple[list[tuple[Part, Part]], list[int]]:
    """Which instances a relation pairs, and at which side each pair stands for "next to" (0: either).

    Every pair for the four directions (only the outermost of large groups, which decide), else each subject with the
    object that its block was formed after.
    """
    subjects, objects = parts[relation.subject], parts[relation.objects[0]]
    if relation.name in _ACROSS:
        return [(a, b) for a in _outer(subjects) for b in _outer(objects)], []
    if relation.subject == relation.objects[0]:
        last = len(subjects) - 1
        pairs = [(a, subjects[i + 1 if i < last else i - 1]) for i, a in enumerate(subjects) if last]
        return pairs, [-1] * last + [1] if last else []
    if relation.name == "around":
        return [(subjects[0], b) for b in objects], []
    hosts, sides = blocks[relation.subject].hosts, blocks[relation.subject].sides
    if len(hosts) != len(subjects) or max(hosts) >= len(objects):
        hosts, sides = [i % len(objects) for i in range(len(subjects))], [0] * len(subjects)
    return [(a, objects[j]) for a, j in zip(subjects, hosts, strict=True)], sides


def _outer(parts: Sequence[Part]) -> Sequence[Part]:
    """The parts that lie farthest in the four diagonal directions."""
    if len(parts) < 5:
        return parts
    chosen = {
        (max if sign > 0 else min)(range(len(parts)), key=lambda i: parts[i].dx + slope * parts[i].dy)
        for sign in (1, -1)
        for slope in (1, -1)
    }
    return [parts[i] for i in sorted(chosen)]


def touching(statement: Statement, blocks: Sequence[Block]) -> set[tuple[int, int]]:
    """Pairs of things (lower index first) that may overlap: a relation says so, or one block has room for the other."""
    pairs = set()
    carried = []
    layered = set()
    for r in statement.relations:
        if r.name in ("on", "in front of", "behind", "inside", "around"):
            pairs.add((r.subject, r.objects[0]))
            if r.name in ("on", "inside"):
                carried.append((r.subject, r.objects[0]))
            if r.name != "on":
                layered.add((r.subject, r.objects[0]))
                layered.add((r.objects[0], r.subject))
        elif r.name == "between" or (r.name == "next to" and len(blocks[r.subject].hosts) > 1):
            host = blocks[r.objects[0]]
            if r.name == "between" or host.count == 1 or len(set(blocks[r.subject].hosts)) > 1:
                pairs.update((r.subject, t) for t in r.objects if len(set(r.objects)) == 1)
    for a, b in carried:  # the driver of a car in front of a house stands before the house too
        pairs.update((a, c) for x, c in layered if x == b and c != a)
    return {(min(p), max(p)) for p in pairs}


def sketch(statement: Statement, blocks: Sequence[Block], parts: Sequence[Sequence[Part]], rng: Random) -> Sketch:
    """Places for every block that has instances; the others stand in the middle."""
    present = [t for t, block in enumerate(blocks) if block.count]
    reach = [extents(p) if p else (0.0, 0.0, 0.0, 0.0) for p in parts]
    places: dict[int, Place] = {}
    groups: list[list[int]] = []
    relations = [r for r in statement.relations if all(blocks[t].count for t in (r.subject, *r.objects))]
    for thing in present:
        if thing in places:
            continue
        group = _group(thing, relations)
        groups.append(group)
        _grow(group, relations, statement, blocks, parts, reach, places, rng)
    return _pack(groups, statement, reach, places, rng, len(blocks))


def _group(thing: int, relations: Sequence[Relation]) -> list[int]:
    """All things that relations connect with `thing`."""
    group = [thing]
    for member in group:
        for r in relations:
            if member in (r.subject, *r.objects):
                group += [t for t in (r.subject, *r.objects) if t not in group]
    return group


def _grow(
    group: Sequence[int],
    relations: Sequence[Relation],
    statement: Statement,
    blocks: Sequence[Block],
    parts: Sequence[Sequence[Part]],
    reach: Sequence[Extents],
    places: dict[int, Place],
    rng: Random,
) -> None:
    """Place a group, one thing after the other, each by the relations that tie it to what is placed."""
    mine = [r for r in relations if r.subject in group and r.subject not in r.objects]
    formed = touching(statement, blocks)
    start = next((r.objects[0] for r in mine), group[0])
    places[start] = (0.0, 0.0)
    waiting = [t for t in group if t != start]
    while waiting:
        ties = {t: [r for r in mine if _ready(r, t, places)] for t in waiting}
        thing = next((t for t in waiting if ties[t]), waiting[0])
        waiting.remove(thing)
        tied = [(r, *relation_pairs(r, blocks, parts)) for r in ties[thing] if r.name != "between"]
        guesses = _guesses(thing, ties[thing], reach, places, formed, rng, blocks)
        best: tuple[float, Place] | None = None
        for guess in guesses:
            place = _settle(thing, guess, tied, places, statement)
            cost = _crowding(thing, place, places, reach, formed) if len(places) > 1 else 0.0
            if best is None or cost < best[0] - 1e-9:
                best = (cost, place)
            if cost <= 0:
                break
        assert best is not None
        places[thing] = best[1]


def _ready(relation: Relation, thing: int, places: dict[int, Place]) -> bool:
    """Whether a relation says where `thing` stands, given what is placed."""
    if relation.name == "between" and len(relation.objects) == 2:
        a, b = relation.objects
        if thing == relation.subject:
            return a in places and b in places
        return thing in (a, b) and (a in places or b in places or relation.subject in places)
    members = (relation.subject, *relation.objects)
    return thing in members and all(t in places for t in members if t != thing)


def _guesses(
    thing: int,
    ties: Sequence[Relation],
    reach: Sequence[Extents],
    places: dict[int, Place],
    formed: set[tuple[int, int]],
    rng: Random,
    blocks: Sequence[Block],
) -> list[Place]:
    """Where the first relation would put it, the likeliest first."""
    if not ties:
        return [(0.0, 0.0)]
    relation = ties[0]
    if relation.name == "between" and len(relation.objects) == 2:
        return _guesses_between(thing, relation, reach, places, rng)
    backwards = thing != relation.subject
    other = relation.subject if backwards else relation.objects[0]
    x, y = places[other]
    sign = -1 if backwards else 1
    name = relation.name
    if name == "behind":
        name, sign = "in front of", -sign
    left, up, right, down = _toward(reach[thing], reach[other], GAP + 0.02 * rng.random())
    level = reach[other][3] - reach[thing][3]  # bottoms at one height
    if name in _ACROSS:
        dx, dy = (sign * d for d in _ACROSS[name])
        away = [1.0, 1.25, 1.6]
        if dx:
            far = right if dx > 0 else left
            heights = [level * 0.8, 0.0, -0.3 * abs(far), 0.3 * abs(far)]
            return [(x + far * k, y + h) for k in away for h in heights]
        far = down if dy > 0 else up
        shifts = _mixed([0.0, 0.12 * far, -0.12 * far, 0.45 * far, -0.45 * far], rng)
        return [(x + s, y + far * k) for k in away for s in shifts]
    if name == "next to" and (min(thing, other), max(thing, other)) in formed:
        return [(x, y + level)]
    if name == "next to":
        near = _mixed([right, left], rng)
        return [(x + s * k, y + level) for k in (1.0, 1.3) for s in near]
    room = abs(right) * 0.45
    shifts = _mixed([0.0, 0.5 * room, -0.5 * room, 0.9 * room, -0.9 * room], rng)
    shift = blocks[relation.subject].shift
    if name in ("inside", "around"):
        return [(x + sign * (shift or 0.0), y + 0.5 * level)]
    if name == "on":
        room = abs(reach[other][2] - reach[other][0] - reach[thing][2] + reach[thing][0]) / 2
        shifts = _mixed([0.0, 0.4 * room, -0.4 * room, 0.8 * room, -0.8 * room], rng)
        if shift is not None:
            shifts = [sign * shift, *shifts]
        return [(x + s, y + (up if sign > 0 else down)) for s in shifts]
    return [(x + s, y + sign * 0.07 + level) for s in shifts]  # in front of


def _guesses_between(
    thing: int, relation: Relation, reach: Sequence[Extents], places: dict[int, Place], rng: Random
) -> list[Place]:
    a, b = relation.objects
    if thing == relation.subject:
        return [((places[a][0] + places[b][0]) / 2, (places[a][1] + places[b][1]) / 2)]
    middle = relation.subject
    if middle in places:
        x, y = places[middle]
        other = b if thing == a else a
        left, _, right, _ = _toward(reach[thing], reach[middle], GAP)
        sides = _mixed([right, left], rng)
        if other in places:
            sides = [right if places[other][0] < x else left]
        return [(x + s, y + reach[middle][3] - reach[thing][3]) for s in sides]
    other = b if thing == a else a
    x, y = places[other]
    wide = reach[middle][2] - reach[middle][0] + 2 * GAP
    left, _, right, _ = _toward(reach[thing], reach[other], wide)
    sides = [right, left] if thing == b else [left, right]
    return [(x + s, y + reach[other][3] - reach[thing][3]) for s in _mixed(sides, rng)]


def _mixed(values: list[float], rng: Random) -> list[float]:
    return rng.sample(values, len(values))


def _toward(mine: Extents, other: Extents, gap: float) -> Extents:
    """How far to go left, up, right and down from `other` so that the two stand side by side with a gap."""
    return (
        other[0] - mine[2] - gap,
        other[1] - mine[3] - gap,
        other[2] - mine[0] + gap,
        other[3] - mine[1] + gap,
    )


def _settle(
    thing: int,
    guess: Place,
    tied: Sequence[tuple[Relation, list[tuple[Part, Part]], list[int]]],
    places: dict[int, Place],
    statement: Statement,
) -> Place:
    """The guess, pushed over every half-plane that it misses, a few times round."""
    x, y = guess
    rows: list[Row] = []
    for relation, pairs, sides in tied:
        other = places[relation.objects[0] if thing == relation.subject else relation.subject]
        side = 1 if (x - other[0] >= 0) == (thing == relation.subject) else -1
        rows += related_rows(relation.name, pairs, sides=[s or side for s in sides], sink=sink_of(statement, relation))
    for _ in range(6):
        pushed = False
        for terms, per, at in rows:
            dx = dy = 0.0
            short = per + at + MARGIN
            for index, weight in terms:
                node, axis = divmod(index, 2)
                if node == thing:
                    short -= weight * (y if axis else x)
                    dx, dy = (dx, weight) if axis else (weight, dy)
                else:
                    short -= weight * places[node][axis]
            if short > 1e-9 and (dx or dy):
                norm = dx * dx + dy * dy
                x, y, pushed = x + short * dx / norm, y + short * dy / norm, True
        if not pushed:
            break
    return x, y


def sink_of(statement: Statement, relation: Relation) -> float:
    """How deep what is on something may cover it: riders and sitters more than cups."""
    return 0.45 if is_mount(statement.things[relation.objects[0]].noun) else 0.2


def _crowding(
    thing: int, place: Place, places: dict[int, Place], reach: Sequence[Extents], free: set[tuple[int, int]]
) -> float:
    """The area that a block would share with placed ones it should not overlap."""
    x, y = place
    left, up, right, down = reach[thing]
    shared = 0.0
    for other, (ox, oy) in places.items():
        if (min(thing, other), max(thing, other)) not in free:
            a, b, c, d = reach[other]
            across = min(x + right, ox + c) - max(x + left, ox + a)
            along = min(y + down, oy + d) - max(y + up, oy + b)
            if across > 1e-6 and along > 1e-6:
                shared += across * along
    return shared


def _pack(
    groups: Sequence[Sequence[int]],
    statement: Statement,
    reach: Sequence[Extents],
    places: dict[int, Place],
    rng: Random,
    number: int,
) -> Sketch:
    """The groups in rows on the canvas, what flies in the upper ones, as large as fits."""
    if not groups:
        return Sketch([0.5] * (2 * number), 1.0)
    bounds = [_bounds(group, reach, places) for group in groups]
    order = list(range(len(groups)))
    if len(groups) > 1:
        rng.shuffle(order)
        order.sort(key=lambda g: not all(is_sky(statement.things[t].noun) for t in groups[g]))
    room = 1 - 2 * EDGE
    best: list[tuple[float, list[list[int]]]] = []
    for rows in range(1, max(2, math.ceil(math.sqrt(len(order)))) + 1 if len(order) > 1 else 2):
        each = math.ceil(len(order) / rows)
        shelves = [order[i : i + each] for i in range(0, len(order), each)]
        wide = max(sum(bounds[g][2] - bounds[g][0] + GAP for g in shelf) - GAP for shelf in shelves)
        high = sum(max(bounds[g][3] - bounds[g][1] for g in shelf) + GAP for shelf in shelves) - GAP
        best.append((min(1.0, room / max(wide, 1e-6), room / max(high, 1e-6)), shelves))
    top = max(scale for scale, _ in best)
    scale, shelves = (
        rng.choice([b for b in best if b[0] >= 0.85 * top]) if len(best) > 1 else best[0] if best else (1.0, [])
    )
    spread = 0.2 if len(groups) < 9 and max(b[2] for b in bounds) < 3 else 0.05
    scale *= 0.98 - spread * rng.random()  # a canvas full to the edge leaves the seeds nothing to vary
    wanted = [0.5] * (2 * number)
    heights = [max((bounds[g][3] - bounds[g][1]) * scale for g in shelf) for shelf in shelves]
    slack = room - sum(heights)
    airs = _shares(len(shelves) + 1, slack, rng)
    if len(shelves) == 1:
        high = _flies(shelves[0], groups, statement)
        airs[0] = slack * ((0.05 + 0.3 * rng.random()) if high else (0.45 + 0.45 * rng.random()))
    y = EDGE
    for shelf, height, air in zip(shelves, heights, airs, strict=False):
        widths = [(bounds[g][2] - bounds[g][0]) * scale for g in shelf]
        gaps = _shares(len(shelf) + 1, room - sum(widths), rng)
        x, y = EDGE, y + air
        for g, width, gap in zip(shelf, widths, gaps, strict=False):
            x += gap
            height_g = (bounds[g][3] - bounds[g][1]) * scale
            drop = (height - height_g) * (1 - 0.3 * rng.random() ** 2)
            for t in groups[g]:
                wanted[2 * t] = x + (places[t][0] - bounds[g][0]) * scale
                wanted[2 * t + 1] = y + drop + (places[t][1] - bounds[g][1]) * scale
            x += width
        y += height
    return Sketch(wanted, scale)


def _flies(shelf: Sequence[int], groups: Sequence[Sequence[int]], statement: Statement) -> bool:
    return all(is_sky(statement.things[t].noun) for g in shelf for t in groups[g])


def _shares(number: int, total: float, rng: Random) -> list[float]:
    """`total` in `number` uneven shares."""
    parts = [0.35 + rng.random() for _ in range(number)]
    whole = sum(parts)
    return [max(0.0, total) * p / whole for p in parts]


def _bounds(group: Sequence[int], reach: Sequence[Extents], places: dict[int, Place]) -> Extents:
    return (
        min(places[t][0] + reach[t][0] for t in group),
        min(places[t][1] + reach[t][1] for t in group),
        max(places[t][0] + reach[t][2] for t in group),
        max(places[t][1] + reach[t][3] for t in group),
    )

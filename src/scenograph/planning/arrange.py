"""Statement → Layout: sizes typical for the nouns, a first sketch, and the exact placement as linear constraints.

Every relation of the statement holds in the result by the rules of `judging.statement.check`, unless the statement
contradicts itself; then the fewest relations are dropped, and named.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from itertools import combinations
from random import Random
from typing import NamedTuple

from scenograph.errors import PlanError
from scenograph.judging.statement import Checked, Relation, Statement, check
from scenograph.layout import MAX_INSTANCES, Instance, Layout
from scenograph.planning.blocks import ROOM, Block, build_blocks
from scenograph.planning.constraints import EDGE, GAP, Part, Row, between_rows, extents, related_rows, solve
from scenograph.planning.counts import expected_counts, kept_comparisons
from scenograph.planning.framing import Frame, filling, grown, rounded_box
from scenograph.planning.sketch import Extents, Sketch, relation_pairs, sink_of, sketch, touching
from scenograph.planning.wording import caption_of, phrase_in, say_comparison, say_relation

__all__ = ["Arranged", "arrange", "expected_counts"]

_ROOMS = (ROOM, 0.7, ROOM, 0.25)  # tried in turn; 0.7 lets alike things overlap with an IoU of 0.18
_LEAST_SCALES = (0.3, 0.02)
_ROUNDS = 6  # of pushing apart what overlaps


@dataclass(frozen=True, kw_only=True)
class Arranged:
    """A layout, and one sentence for each part of the statement that had to be given up (none, as a rule)."""

    layout: Layout
    changes: tuple[str, ...] = ()


class _Try(NamedTuple):
    """One attempt: the layout, what the check says of it, and whether its relations could be solved at all."""

    layout: Layout
    checked: Checked
    solved: bool

    @property
    def worth(self) -> tuple[bool, int]:
        """For comparing attempts."""
        return self.solved, sum(self.checked.relations)


def arrange(statement: Statement, caption: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Arranged:
    """The layout of a statement; another seed is another arrangement that keeps it as well.

    Args:
        caption: of the layout, the prompt; not blank.
        size: (width, height) of the canvas in pixels; None is a square without a size.

    Raises:
        PlanError: the statement asks for more instances than a layout may hold.
        LayoutError: the caption is blank, or `size` is no size.
    """
    counts = expected_counts(statement, seed=seed)
    if sum(counts) > MAX_INSTANCES:
        raise PlanError(
            f"the prompt states {sum(counts)} things to draw; expected at most {MAX_INSTANCES}: "
            "ask for fewer, or for several layouts"
        )
    changes = _contradictory(statement, counts)
    possible = replace(statement, relations=tuple(r for r in statement.relations if _possible(r, statement, counts)))
    first = _attempts(possible, counts, caption, seed, size)
    if all(first.checked.relations):
        return Arranged(layout=first.layout, changes=changes)
    kept = _largest_part(possible, counts, caption, seed, size, first)
    dropped = tuple(
        f"dropped '{say_relation(r, statement)}': no placement was found that keeps it with the other relations"
        for r, k in zip(possible.relations, kept.checked.relations, strict=True)
        if not k
    )
    return Arranged(layout=kept.layout, changes=(*changes, *dropped))


def _contradictory(statement: Statement, counts: Sequence[int]) -> tuple[str, ...]:
    """What no layout could keep, whatever the places."""
    sentences = [
        f"dropped '{say_comparison(c, statement)}': the stated numbers contradict it"
        for c, kept in zip(statement.comparisons, kept_comparisons(statement, counts), strict=True)
        if not kept
    ]
    for relation in statement.relations:
        if not _possible(relation, statement, counts):
            sentences.append(f"dropped '{say_relation(relation, statement)}': no layout can show it")
    nouns = {t.noun for t, n in zip(statement.things, counts, strict=True) if n}
    sentences += [
        f"kept '{noun}', which is stated to be absent and present" for noun in statement.absent if noun in nouns
    ]
    return tuple(sentences)


def _possible(relation: Relation, statement: Statement, counts: Sequence[int]) -> bool:
    members = (relation.subject, *relation.objects)
    if not all(counts[t] for t in members):
        return False
    if relation.name == "between":
        around = [t for t in relation.objects if t != relation.subject]
        return len(around) == len(relation.objects) and sum(counts[t] for t in set(around)) >= 2
    if relation.subject in relation.objects:
        return relation.name == "next to" and counts[relation.subject] > 1
    return True


def _attempts(
    statement: Statement,
    counts: Sequence[int],
    caption: str,
    seed: int,
    size: tuple[int, int] | None,
    tries: int = len(_ROOMS),
) -> _Try:
    """The first attempt that keeps every relation, else the best; later ones pack more closely."""
    best: _Try | None = None
    for number in range(tries):
        rng = Random(seed * 7919 + number)
        aspect = size[0] / size[1] if size else 1.0
        blocks = build_blocks(statement, counts, rng, aspect=aspect, room=_ROOMS[number])
        attempt = _place(statement, blocks, rng, caption, size)
        if all(attempt.checked.relations):
            return attempt
        if best is None or attempt.worth > best.worth:
            best = attempt
    assert best is not None
    return best


def _largest_part(
    statement: Statement, counts: Sequence[int], caption: str, seed: int, size: tuple[int, int] | None, best: _Try
) -> _Try:
    """The attempt that keeps most relations, leaving out as few as can be; what is stated first is kept first."""
    number = len(statement.relations)
    subsets = [c for k in range(1, min(number, 3) + 1) for c in combinations(reversed(range(number)), k)]
    for left_out in subsets[:60]:
        if best.solved and number - len(left_out) <= sum(best.checked.relations):
            break
        kept = tuple(r for i, r in enumerate(statement.relations) if i not in left_out)
        attempt = _attempts(replace(statement, relations=kept), counts, caption, seed, size, tries=2)
        checked = check(statement, attempt.layout)
        if attempt._replace(checked=checked).worth > best.worth:
            best = attempt._replace(checked=checked)
    return best


def _place(
    statement: Statement, blocks: Sequence[Block], rng: Random, caption: str, size: tuple[int, int] | None
) -> _Try:
    parts = [block.parts(node) for node, block in enumerate(blocks)]
    drawn = sketch(statement, blocks, parts, rng)
    stated = _rows(statement, blocks, parts, drawn)
    clear = _clearances(statement, blocks, parts, drawn)
    reach = [extents(p) if p else (0.0, 0.0, 0.0, 0.0) for p in parts]
    places, scale, solved = _solved(stated, clear, reach, [bool(p) for p in parts], touching(statement, blocks), drawn)
    frames = [
        (places[2 * p.node] + scale * p.dx, places[2 * p.node + 1] + scale * p.dy, scale * p.w, scale * p.h)
        for listed in parts
        for p in listed
    ]
    mirrored = rng.random() < 0.5 and not any(r.name in ("left of", "right of") for r in statement.relations)
    layout = _layout(statement, parts, filling(frames, rng, mirrored=mirrored), caption, size)
    checked = check(statement, layout)
    if not all(checked.relations):
        plain = _layout(statement, parts, frames, caption, size)
        if sum((again := check(statement, plain)).relations) > sum(checked.relations):
            layout, checked = plain, again
    larger = grown(layout)
    if larger is not layout and sum((again := check(statement, larger)).relations) >= sum(checked.relations):
        layout, checked = larger, again
    return _Try(layout, checked, solved)


def _rows(statement: Statement, blocks: Sequence[Block], parts: Sequence[Sequence[Part]], drawn: Sketch) -> list[Row]:
    """The rows of every relation, at the sides that the sketch chose."""
    rows: list[Row] = []
    wanted = drawn.wanted
    for relation in statement.relations:
        if relation.name == "between":
            rows += between_rows(parts[relation.subject], *_ends(relation, parts, wanted))
        elif relation.name == "around" and len(parts[relation.subject]) > 1:
            rows += _encircling(relation, parts)
        else:
            pairs, sides = relation_pairs(relation, blocks, parts)
            here = 1 if wanted[2 * relation.subject] >= wanted[2 * relation.objects[0]] else -1
            rows += related_rows(
                relation.name, pairs, sides=[s or here for s in sides], sink=sink_of(statement, relation)
            )
    return rows


def _clearances(
    statement: Statement, blocks: Sequence[Block], parts: Sequence[Sequence[Part]], drawn: Sketch
) -> list[Row]:
    """What is related by a direction, stands next to or between does not overlap either, if that can be had."""
    rows: list[Row] = []
    for relation in statement.relations:
        if relation.name == "between":
            low, high, axis = _ends(relation, parts, drawn.wanted)
            reach = extents(parts[relation.subject])
            rows.append(_separation(relation.subject, low.node, axis, 1, reach, extents([low])))
            rows.append(_separation(relation.subject, high.node, axis, -1, reach, extents([high])))
        elif relation.name == "next to":
            pairs, sides = relation_pairs(relation, blocks, parts)
            here = 1 if drawn.wanted[2 * relation.subject] >= drawn.wanted[2 * relation.objects[0]] else -1
            rows += [
                _separation(a.node, b.node, 0, s or here, extents([a]), extents([b]))
                for (a, b), s in zip(pairs, sides or [1] * len(pairs), strict=True)
                if a.node != b.node
            ]
        else:
            rows += _apart(relation, parts)
    return rows


def _apart(relation: Relation, parts: Sequence[Sequence[Part]]) -> list[Row]:
    """Blocks in one of the four directions."""
    axis, sign = {"left of": (0, -1), "right of": (0, 1), "above": (1, -1), "below": (1, 1)}.get(relation.name, (0, 0))
    if not sign:
        return []
    a, b = relation.subject, relation.objects[0]
    return [_separation(a, b, axis, sign, extents(parts[a]), extents(parts[b]))]


def _separation(a: int, b: int, axis: int, sign: int, reach_a: Extents, reach_b: Extents) -> Row:
    """`a` lies wholly beyond `b` along an axis: to the right or below for sign 1, to the left or above for -1."""
    room = reach_b[axis + 2] - reach_a[axis] if sign > 0 else reach_a[axis + 2] - reach_b[axis]
    return Row(((2 * a + axis, sign), (2 * b + axis, -sign)), room, GAP / 2)


def _ends(relation: Relation, parts: Sequence[Sequence[Part]], wanted: Sequence[float]) -> tuple[Part, Part, int]:
    """The two that face each other across what is between them, the lower first, and the axis."""
    ends = [p for t in dict.fromkeys(relation.objects) for p in parts[t]]
    first = [p for p in parts[relation.objects[0]]]
    last = [p for p in parts[relation.objects[-1]]]

    def at(part: Part, axis: int) -> float:
        return wanted[2 * part.node + axis] + part[1 + axis]

    if relation.objects[0] == relation.objects[-1]:
        ends.sort(key=lambda p: p.dx)
        half = [p for p in ends if p.dx < 0], [p for p in ends if p.dx >= 0]
        first, last = (half[0] or ends[:1]), (half[1] or ends[-1:])
    axis = max((0, 1), key=lambda a: abs(at(first[0], a) - at(last[0], a)))
    if at(first[0], axis) > at(last[0], axis):
        first, last = last, first
    cross = 1 - axis
    low, high = min(
        ((p, q) for p in first for q in last),
        key=lambda pair: abs(pair[0][1 + cross]) + abs(pair[1][1 + cross]) + at(pair[1], axis) - at(pair[0], axis),
    )
    return low, high, axis


def _encircling(relation: Relation, parts: Sequence[Sequence[Part]]) -> list[Row]:
    """Every object's middle within the middles of the subjects, well clear of their outermost."""
    ring = parts[relation.subject]
    a, b = relation.subject, relation.objects[0]
    rows = []
    for axis in (0, 1) if len(ring) > 2 else (0,):
        low, high = min(p[1 + axis] for p in ring), max(p[1 + axis] for p in ring)
        objects = [p[1 + axis] for p in parts[b]]
        margin = 0.35 * max(0.05 * (high - low), high - low - max(objects) + min(objects))
        rows.append(Row(((2 * b + axis, 1), (2 * a + axis, -1)), low + margin - min(objects), 0.0))
        rows.append(Row(((2 * a + axis, 1), (2 * b + axis, -1)), max(objects) - high + margin, 0.0))
    if len(ring) == 2:
        h = 0.3 * (ring[0].h + parts[b][0].h)
        rows += [Row(((2 * a + 1, s), (2 * b + 1, -s)), -h, 0.0) for s in (1, -1)]
    return rows


def _solved(
    stated: list[Row],
    clear: list[Row],
    reach: Sequence[Extents],
    present: Sequence[bool],
    free: set[tuple[int, int]],
    drawn: Sketch,
) -> tuple[list[float], float, bool]:
    """Places and scale: the sketch where it is right already, else solved, then pushed apart where blocks overlap."""
    places, scale = drawn.wanted, drawn.scale
    apart: list[tuple[int, int, int, int]] = []
    banned: set[tuple[int, int, int, int]] = set()
    rows = [*stated, *clear]
    if any(row.short(places, scale) > 1e-9 for row in rows) or not _inside_canvas(places, scale, reach, present):
        found = _solve(rows, drawn, reach)
        if found is None:
            rows = stated
            found = _solve(rows, drawn, reach)
        if found is None:
            return places, scale, False
        places, scale = found
    for _ in range(_ROUNDS):
        new = _overlapping(places, scale, reach, present, free, banned)
        if not new:
            break
        separations = [_separation(*pushed, reach[pushed[0]], reach[pushed[1]]) for pushed in (*apart, *new)]
        found = _solve([*rows, *separations], drawn, reach, least=_LEAST_SCALES[:1])
        if found is not None:
            apart += new
            places, scale = found
        else:
            banned.update(new)
    return places, scale, True


def _solve(
    rows: Sequence[Row], drawn: Sketch, reach: Sequence[Extents], least: Sequence[float] = _LEAST_SCALES
) -> tuple[list[float], float] | None:
    for smallest in least:
        found = solve(rows, drawn.wanted, reach=reach, scales=(min(smallest, drawn.scale), drawn.scale))
        if found is not None:
            return found.values, found.scale
    return None


def _inside_canvas(places: Sequence[float], scale: float, reach: Sequence[Extents], present: Sequence[bool]) -> bool:
    return all(
        places[2 * n + axis] + reach[n][axis] * scale >= EDGE - 1e-9
        and places[2 * n + axis] + reach[n][axis + 2] * scale <= 1 - EDGE + 1e-9
        for n, there in enumerate(present)
        if there
        for axis in (0, 1)
    )


def _overlapping(
    places: Sequence[float],
    scale: float,
    reach: Sequence[Extents],
    present: Sequence[bool],
    free: set[tuple[int, int]],
    banned: set[tuple[int, int, int, int]],
) -> list[tuple[int, int, int, int]]:
    """(a, b, axis, sign) for every pair of blocks that overlap and should not: the shortest way apart not yet tried."""
    found = []
    for a, b in combinations([n for n, there in enumerate(present) if there], 2):
        if (a, b) in free:
            continue
        ways = []
        for axis in (0, 1):
            way = places[2 * a + axis] - places[2 * b + axis]
            ways.append((scale * (reach[b][axis + 2] - reach[a][axis]) - way, axis, 1))
            ways.append((scale * (reach[a][axis + 2] - reach[b][axis]) + way, axis, -1))
        if min(ways)[0] > 1e-6:
            left = [(a, b, axis, sign) for _, axis, sign in sorted(ways) if (a, b, axis, sign) not in banned]
            found += left[:1]
    return found


def _layout(
    statement: Statement,
    parts: Sequence[Sequence[Part]],
    frames: Sequence[Frame],
    caption: str,
    size: tuple[int, int] | None,
) -> Layout:
    instances, places = [], iter(frames)
    for thing, listed in zip(statement.things, parts, strict=True):
        if listed:
            words, phrase = caption_of(thing), phrase_in(thing, caption)
        for _ in listed:
            box = rounded_box(*next(places))
            instances.append(Instance(caption=words, box=box, label=thing.noun, phrase=phrase))
    return Layout(caption=caption, instances=tuple(instances), size=size)

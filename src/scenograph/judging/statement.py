"""What a prompt states about its picture, and whether a layout keeps it.

A statement is the bridge between a text and a layout that neither of them owns: planners make one from the prompt,
people label one by hand, and the checks here need only the statement and the layout. Nothing here reads English beyond
the nouns that a statement names, and nothing here imports planning.

Geometry is that of the field's benchmarks: directions compare box centres and the larger offset decides (NSR-1K's
45 degree sectors), in fractions of the canvas. Relations between groups hold for every pair for the four directions,
and for each subject with at least one object for the others.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, get_args

from scenograph.errors import ResultError
from scenograph.layout import Box, Instance, Layout
from scenograph.layout.words import singular

__all__ = [
    "RELATIONS",
    "Checked",
    "Comparison",
    "Relation",
    "RelationName",
    "Statement",
    "Thing",
    "assigned",
    "check",
    "holds",
]

RelationName = Literal[
    "left of", "right of", "above", "below", "on", "in front of", "behind", "next to", "between", "inside", "around"
]
RELATIONS: tuple[RelationName, ...] = get_args(RelationName)
_EVERY_PAIR = {"left of", "right of", "above", "below"}
_REACH = 0.3  # boxes side by side with a wider gap are not next to each other: the 150 of 479 px of T2I-CompBench
_TOUCH = 0.03  # a gap that still counts as standing on


@dataclass(frozen=True, kw_only=True)
class Thing:
    """One stated kind of thing: `least` to `most` of them (None: no upper end), all looking alike.

    `noun` is singular and lower case; `phrase` is the span of the prompt that names it, or None.
    """

    noun: str
    least: int = 1
    most: int | None = 1
    attributes: tuple[str, ...] = ()
    phrase: str | None = None

    def __post_init__(self) -> None:
        if self.least < 0 or (self.most is not None and self.most < self.least):
            raise ResultError(f"{self.noun!r} is stated {self.least} to {self.most} times; expected 0 <= least <= most")


@dataclass(frozen=True, kw_only=True)
class Relation:
    """`things[subject]` stands in relation `name` to `things[i]` for i in `objects`: one, or two for "between"."""

    name: RelationName
    subject: int
    objects: tuple[int, ...]


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """There are more, fewer or as many of `things[first]` as of `things[second]`."""

    name: Literal["more", "fewer", "equal"]
    first: int
    second: int


@dataclass(frozen=True, kw_only=True)
class Statement:
    """Everything a prompt states; `settings` are places, which get no box, and `absent` nouns must not occur."""

    things: tuple[Thing, ...] = ()
    relations: tuple[Relation, ...] = ()
    comparisons: tuple[Comparison, ...] = ()
    absent: tuple[str, ...] = ()
    settings: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        for r in self.relations:
            self._check(r.name, (r.subject, *r.objects), expected=(2, 3) if r.name == "between" else (2,))
            if r.name not in RELATIONS:
                raise ResultError(f"no relation {r.name!r}; expected one of: {', '.join(RELATIONS)}")
        for c in self.comparisons:
            self._check(c.name, (c.first, c.second), expected=(2,))

    def _check(self, name: str, indices: Sequence[int], expected: tuple[int, ...]) -> None:
        if len(indices) not in expected or not all(0 <= i < len(self.things) for i in indices):
            raise ResultError(
                f"{name!r} names things {list(indices)} of {len(self.things)}; expected places in the list"
            )


@dataclass(frozen=True, kw_only=True)
class Checked:
    """What a layout keeps of a statement, piece by piece in the statement's order.

    `extras` are labels of instances that nothing stated asks for; `strict` is true when everything holds and nothing
    is extra.
    """

    counts: tuple[bool, ...]
    relations: tuple[bool, ...]
    comparisons: tuple[bool, ...]
    absent: tuple[bool, ...]
    extras: tuple[str, ...]

    @property
    def strict(self) -> bool:
        """The multiset of instances is the stated one and every relation holds."""
        return all((*self.counts, *self.relations, *self.comparisons, *self.absent)) and not self.extras


def check(statement: Statement, layout: Layout) -> Checked:
    """Which parts of the statement a layout keeps."""
    groups, extras = _groups(statement, layout)
    counts = [len(g) for g in groups]
    signs = {"more": 1, "fewer": -1, "equal": 0}
    labels = {_name(i.label) for i in layout.instances}
    return Checked(
        counts=tuple(
            t.least <= n and (t.most is None or n <= t.most) for t, n in zip(statement.things, counts, strict=True)
        ),
        relations=tuple(
            _related(r.name, groups[r.subject], [b for i in r.objects for b in groups[i]]) for r in statement.relations
        ),
        comparisons=tuple(
            signs[c.name] == (counts[c.first] > counts[c.second]) - (counts[c.first] < counts[c.second])
            for c in statement.comparisons
        ),
        absent=tuple(_name(noun) not in labels for noun in statement.absent),
        extras=tuple(extras),
    )


@lru_cache(maxsize=65_536)
def _name(noun: str) -> str:
    return singular(" ".join(noun.lower().split()))


def assigned(statement: Statement, layout: Layout) -> tuple[int | None, ...]:
    """For every instance the thing it is taken for, or None: where its label and most attributes fit.

    Things of one noun and one look ("a dog next to a dog") share their instances in the order given.
    """
    taken = [0] * len(statement.things)
    names = [_name(t.noun) for t in statement.things]
    things: list[int | None] = []
    for instance in layout.instances:
        name = _name(instance.label)
        fitting = [i for i, noun in enumerate(names) if noun == name]
        things.append(_best(statement, instance, fitting, taken) if fitting else None)
        if fitting:
            taken[things[-1] or 0] += 1
    return tuple(things)


def _groups(statement: Statement, layout: Layout) -> tuple[list[list[Box]], list[str]]:
    """The boxes of every thing, and the labels left over."""
    groups: list[list[Box]] = [[] for _ in statement.things]
    extras = []
    for instance, thing in zip(layout.instances, assigned(statement, layout), strict=True):
        if thing is None:
            extras.append(instance.label)
        else:
            groups[thing].append(instance.box)
    return groups, extras


def _best(statement: Statement, instance: Instance, fitting: list[int], taken: list[int]) -> int:
    if len(fitting) == 1:
        return fitting[0]

    def key(i: int) -> tuple[int, bool, int]:
        thing = statement.things[i]
        room = thing.most is None or taken[i] < thing.most
        return _fit(thing, instance), room, -i

    return max(fitting, key=key)


def _fit(thing: Thing, instance: Instance) -> int:
    """How many stated attributes the instance's caption has, less those of the caption that are not stated."""
    words = set(instance.caption.lower().replace("-", " ").split())
    stated = {w for a in thing.attributes for w in a.lower().replace("-", " ").split()}
    return len(words & stated) - len(stated - words) - len(words - stated)


def _related(name: RelationName, subjects: list[Box], objects: list[Box]) -> bool:
    if not subjects or not objects:
        return False
    if name == "between":
        return all(_between(s, objects) for s in subjects)
    if name == "around" and len(subjects) > 1:
        return all(_encircled(o, subjects) for o in objects)
    if name in _EVERY_PAIR:
        return all(holds(name, s, o) for s in subjects for o in objects)
    return all(any(holds(name, s, o) for o in objects) for s in subjects)


def holds(name: RelationName, subject: Box, *objects: Box) -> bool:
    """Whether one box stands in a relation to another (to two others for "between")."""
    if name == "between":
        return _between(subject, objects)
    (other,) = objects
    if name == "behind":
        return holds("in front of", other, subject)
    if name == "around":
        return holds("inside", other, subject)
    dx, dy = (a - b for a, b in zip(subject.center, other.center, strict=True))
    beside = min(subject.y1, other.y1) > max(subject.y0, other.y0)
    over = min(subject.x1, other.x1) > max(subject.x0, other.x0)
    gap = max(subject.x0, other.x0) - min(subject.x1, other.x1)
    return {
        "left of": -dx > abs(dy),
        "right of": dx > abs(dy),
        "above": -dy > abs(dx),
        "below": dy > abs(dx),
        "on": -dy > abs(dx) and over and other.y0 - _TOUCH <= subject.y1 <= other.y1,
        "in front of": over and beside and subject.y1 > other.y1,
        "next to": abs(dx) > abs(dy) and beside and gap <= _REACH,
        "inside": _inside(subject, other),
    }[name]


def _inside(a: Box, b: Box) -> bool:
    """At least nine tenths of `a` lie in `b`, which is larger."""
    shared = a.intersection(b)
    return shared is not None and shared.area >= 0.9 * a.area and a.area < b.area


def _between(subject: Box, objects: Sequence[Box]) -> bool:
    """The middle lies between two of the others' middles, nearer to their line than half the way between them."""
    x, y = subject.center
    for i, one in enumerate(objects):
        for two in objects[i + 1 :]:
            (x0, y0), (x1, y1) = one.center, two.center
            dx, dy = x1 - x0, y1 - y0
            length = (dx * dx + dy * dy) ** 0.5
            if length == 0:
                continue
            along = ((x - x0) * dx + (y - y0) * dy) / length**2
            off = abs((x - x0) * dy - (y - y0) * dx) / length
            if 0 < along < 1 and off < length / 2:
                return True
    return False


def _encircled(box: Box, ring: Sequence[Box]) -> bool:
    """The middle lies within the ring's middles from left to right and from top to bottom (two may only flank it)."""
    x, y = box.center
    xs, ys = [b.center[0] for b in ring], [b.center[1] for b in ring]
    across, along = min(xs) < x < max(xs), min(ys) < y < max(ys)
    return across and along if len(ring) > 2 else across or along

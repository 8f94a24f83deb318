"""The instances of a thing as one rigid block: their sizes, and where they stand to each other.

"Three cats" are a row, "forty birds" a grid. Where a relation lets each subject choose its object (on, next to, in
front of, inside), a block takes its form from the other's: cups in a row no longer than the table, a cat beside every
dog, chairs in a ring. Whole blocks are then moved and scaled by `constraints.solve`; nothing here knows the canvas
beyond its being 1 by 1.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random

from scenograph.judging.statement import Relation, Statement
from scenograph.planning.constraints import GAP, Part
from scenograph.planning.sharing import line_up, share
from scenograph.planning.sizes import typical_size

__all__ = ["ROOM", "Block", "build_blocks"]

ROOM = 1.12  # cell by thing, in a row or a grid
GUESTS = ("on", "in front of", "behind", "inside", "next to")
Offsets = list[tuple[float, float]]


@dataclass
class Block:
    """The `count` instances of one thing, each `w` by `h`, at `offsets` from the block's place.

    `hosts` are the places in the host's block that the instances belong to, where a host gives the block its form, and
    `sides` says for "next to" at which side of it each stands (0: either). `shift` is how far to the right of its
    host's middle the block stands, where it shares the host with other blocks.
    """

    count: int
    w: float
    h: float
    offsets: Offsets = field(default_factory=list)
    hosts: list[int] = field(default_factory=list)
    sides: list[int] = field(default_factory=list)
    sizes: list[float] = field(default_factory=list)
    shift: float | None = None

    def parts(self, node: int) -> list[Part]:
        """Its instances as parts of `node`."""
        return [Part(node, x, y, self.w * f, self.h * f) for (x, y), f in zip(self.offsets, self.sizes, strict=True)]

    def resize(self, factor: float) -> None:
        """Make every instance larger or smaller."""
        self.w, self.h = self.w * factor, self.h * factor

    def widen(self, width: float) -> None:
        """Make it at most half as wide again, to reach `width`, and higher with it."""
        if self.w < width:
            factor = min(1.5, width / self.w)
            self.w, self.h = self.w * factor, self.h * math.sqrt(factor)

    @property
    def span(self) -> tuple[float, float]:
        """Width and height of the whole block."""
        xs, ys = [x for x, _ in self.offsets], [y for _, y in self.offsets]
        return max(xs) - min(xs) + self.w, max(ys) - min(ys) + self.h


def build_blocks(
    statement: Statement, counts: Sequence[int], rng: Random, *, aspect: float = 1.0, room: float = ROOM
) -> list[Block]:
    """One block a thing, in the order of the things; `aspect` is the canvas's width by its height.

    Args:
        room: cell by thing in rows and grids; less than 1 lets alike things overlap, when nothing else fits.
    """
    blocks = [_sized(t.noun, t.attributes, n, rng, aspect) for t, n in zip(statement.things, counts, strict=True)]
    if len(blocks) == 1 and counts[0] == 1:
        blocks[0].resize(min(1.45, 0.85 / blocks[0].w, 0.85 / blocks[0].h))
    leading = _leading(statement, counts)
    present = [r for r in statement.relations if all(counts[t] for t in (r.subject, *r.objects))]
    for relation in present:
        _fit(relation, blocks)
    share(present, blocks, room=ROOM)
    for _ in range(2):  # what is inside what is inside
        for relation in present:
            _enclose(relation, blocks, stretch=False)
    if max(counts, default=0) < 2:  # the common case, and nothing to arrange
        for t, block in enumerate(blocks):
            block.offsets, block.sizes = [(0.0, 0.0)] * block.count, [1.0] * block.count
            block.hosts, block.sides = ([0], [0]) if t in leading else ([], [])
        line_up(present, blocks, rng)
        return blocks
    done: set[int] = set()
    for thing in range(len(blocks)):
        _form(thing, statement, blocks, leading, done, rng, room)
    for relation in present:
        _surround(relation, blocks)
    for block in blocks:
        spread = 0.0 if block.count < 2 or room < 1 else 0.05
        block.sizes = [1 - spread * rng.random() for _ in range(block.count)]
    line_up(present, blocks, rng)
    return blocks


def _sized(noun: str, attributes: Sequence[str], count: int, rng: Random, aspect: float) -> Block:
    extent, shape = typical_size(noun, attributes)
    extent *= 0.9 + 0.2 * rng.random()
    extent *= min(1.0, 0.75 / (extent * math.sqrt(max(count, 1))))  # a hundred birds are small birds
    shape *= 0.92 + 0.16 * rng.random()
    w, h = extent * math.sqrt(shape / aspect), extent * math.sqrt(aspect / shape)
    fit = min(1.0, 0.9 / w, 0.9 / h)
    return Block(count, w * fit, h * fit)


def _leading(statement: Statement, counts: Sequence[int]) -> dict[int, Relation]:
    """Thing → the relation that gives its block a form: the first in which it is the guest, without going round."""
    leading: dict[int, Relation] = {}
    for relation in sorted(statement.relations, key=lambda r: r.name != "around"):  # a ring has no other form
        guest = relation.name in (*GUESTS, "between", "around")
        if (
            not guest
            or relation.subject in leading
            or not all(counts[t] for t in (relation.subject, *relation.objects))
        ):
            continue
        host = relation.objects[0]
        while host in leading and host != relation.subject:
            host = leading[host].objects[0]
        if host != relation.subject:
            leading[relation.subject] = relation
    return leading


def _fit(relation: Relation, blocks: Sequence[Block]) -> None:
    """Bring the sizes of guest and host together: what is inside is smaller, a row on a table no longer than it."""
    guest, host = blocks[relation.subject], blocks[relation.objects[0]]
    each = math.ceil(guest.count / host.count)
    if relation.name in ("inside", "around"):
        _enclose(relation, blocks, stretch=True)
    elif relation.name == "on":
        host.widen(min(0.85, guest.w * each * (1.05 if each > 1 else 0.8)))
        guest.resize(min(1.0, max(0.3, host.w * 1.05 / (guest.w * each)), max(0.7, host.h / guest.h)))
        if each > 1:
            host.h = max(host.h, min(0.4, guest.w * each * 0.5))
            reach = (each - 1) * ROOM * guest.w - 0.8 * guest.h
            guest.resize(min(1.0, 0.7 * host.h / reach if reach > 0 else 1.0))
    elif relation.name == "in front of":
        row = each if each < 6 else math.ceil(each / 2)
        guest.resize(min(1.0, max(0.5, host.w / (row * guest.w * ROOM))))
        guest.resize(min(1.0, 0.85 * host.h / guest.h, 0.9 * (host.w + guest.w) / (row * guest.w)))
    elif relation.name == "behind" and guest.h < host.h:
        host.resize(max(0.6, guest.h / host.h))
        row = each if each < 6 else math.ceil(each / 2)
        guest.resize(min(1.0, 0.9 * (host.w + guest.w) / (row * guest.w)))


def _enclose(relation: Relation, blocks: Sequence[Block], *, stretch: bool) -> None:
    """Shrink what is inside until it takes three quarters of what is around it, each side, after stretching that."""
    inner, outer = blocks[relation.subject], blocks[relation.objects[0]]
    if relation.name == "inside":
        each, most = math.ceil(inner.count / outer.count), 1.4
    elif relation.name == "around" and inner.count == 1:
        inner, outer = outer, inner
        each, most = inner.count, 5.0  # a fence is as high as the picture of what it surrounds
    else:
        return
    columns = math.ceil(math.sqrt(each))
    w, h = inner.w * columns * ROOM, inner.h * math.ceil(each / columns) * ROOM
    if stretch:
        outer.w = max(outer.w, min(0.85, outer.w * most, w / 0.75))
        outer.h = max(outer.h, min(0.85, outer.h * most, h / 0.75))
    inner.resize(min(1.0, 0.75 * outer.w / w, 0.75 * outer.h / h))


def _surround(relation: Relation, blocks: Sequence[Block]) -> None:
    """Enlarge the one thing that is around a block, to hold all of it as it stands; the scale makes it fit."""
    inner, outer = blocks[relation.subject], blocks[relation.objects[0]]
    if relation.name == "around":
        inner, outer = outer, inner
    if relation.name in ("inside", "around") and outer.count == 1 and inner is not outer:
        w, h = inner.span
        outer.w, outer.h = max(outer.w, 1.2 * w), max(outer.h, 1.2 * h)


def _form(
    thing: int,
    statement: Statement,
    blocks: Sequence[Block],
    leading: dict[int, Relation],
    done: set[int],
    rng: Random,
    room: float,
) -> None:
    """Give one block its offsets, after its host's."""
    block, relation = blocks[thing], leading.get(thing)
    if thing in done or not block.count:
        return
    done.add(thing)
    if relation is None or (relation.name == "between" and len(set(relation.objects)) == 1):
        _stand(thing, statement, blocks, leading, rng, room)
        return
    for host in relation.objects:
        _form(host, statement, blocks, leading, done, rng, room)
    host_block = blocks[relation.objects[0]]
    if relation.name == "around":
        block.offsets = _ring(block, host_block, rng) if block.count > 1 else [(0.0, 0.0)]
        block.hosts, block.sides = [0] * block.count, [0] * block.count
    elif relation.name == "between":
        block.offsets = _grid(block.count, _columns(block, room, "tall", rng), block.w * room, block.h * room)
    else:
        _attend(block, host_block, relation.name, room)
        between = (r.subject for r in statement.relations if r.name == "between" and set(r.objects) == {thing})
        if relation.name == "on" and host_block.count == 1 and block.count > 1:
            _part(block, max((blocks[t].w * ROOM for t in between), default=0.0))


def _stand(
    thing: int,
    statement: Statement,
    blocks: Sequence[Block],
    leading: dict[int, Relation],
    rng: Random,
    room: float,
) -> None:
    """A block without a host: a row, a column or a grid, with room in every cell for the guests of each instance."""
    block = blocks[thing]
    w, h = block.w * room, block.h * room
    manner = ""
    for relation in statement.relations:
        if thing in (relation.subject, *relation.objects):
            manner = manner or {"left of": "tall", "right of": "tall", "above": "wide", "below": "wide"}.get(
                relation.name, ""
            )
        if relation.objects == (thing,) and leading.get(relation.subject) is relation and block.count > 1:
            w, h = _cell(block, blocks[relation.subject], relation.name, w, h)
            manner = "row" if block.count < 7 else manner
            if relation.name == "between":
                block.offsets = _hollow(block, blocks[relation.subject], rng)
                return
        if relation.subject == thing and thing in relation.objects:
            manner = "row"
    block.offsets = _grid(block.count, _columns(block, 1.0, manner, rng, (w, h)), w, h)
    block.hosts = []


def _cell(host: Block, guest: Block, name: str, w: float, h: float) -> tuple[float, float]:
    """The cell of one host with the guests that belong to it."""
    if guest.count == 1:
        return w, h
    each = math.ceil(guest.count / host.count)
    if name == "next to":
        beside = 1 if each == 1 else 2 * math.ceil(each / 2)
        return w + beside * guest.w * ROOM + GAP, max(h, guest.h * ROOM)
    if name == "on":
        return max(w, each * guest.w * ROOM), h + guest.h
    return max(w, each * guest.w * ROOM), h + 0.4 * guest.h


def _columns(block: Block, room: float, manner: str, rng: Random, cell: tuple[float, float] | None = None) -> int:
    """How many columns: as the manner asks, else one of the numbers that fill the canvas about as well as the best."""
    w, h = cell or (block.w * room, block.h * room)
    if manner == "row" or block.count < 2:
        return block.count
    scores = {}
    for columns in range(1, block.count + 1):
        rows = math.ceil(block.count / columns)
        across, down = columns * w, rows * h
        if manner == "tall":
            scores[columns] = max((across + 0.5 * (down - h)) / 0.5, down) + 0.3 * down
        elif manner == "wide":
            scores[columns] = max(across, (down + 0.5 * (across - w)) / 0.5) + 0.35 * across
        elif columns >= rows or block.w > 1.5 * block.h:  # people draw rows rather than columns
            scores[columns] = max(across, down) + 0.02 * (columns * rows - block.count)
    best = min(scores.values())
    return rng.choice([columns for columns, score in scores.items() if score <= max(best * 1.2, 0.5)])


def _grid(count: int, columns: int, w: float, h: float) -> Offsets:
    rows = math.ceil(count / columns)
    offsets = []
    for index in range(count):
        row, column = divmod(index, columns)
        wide = columns if row < rows - 1 else count - columns * (rows - 1)
        offsets.append(((column - (wide - 1) / 2) * w, (row - (rows - 1) / 2) * h))
    return offsets


def _hollow(block: Block, guest: Block, rng: Random) -> Offsets:
    """Two groups with room between them for a guest block: "a cat between four dogs"."""
    rows = math.ceil(math.sqrt(guest.count))
    hole = math.ceil(guest.count / rows) * guest.w * ROOM + 2 * GAP
    tall = rows * guest.h * ROOM
    hole = max(hole, 1.8 * tall - block.w)
    left = (block.count + 1) // 2
    sides = [(left, -1), (block.count - left, 1)]
    offsets: Offsets = []
    for count, sign in sides:
        high = max(1, min(count, round(math.sqrt(count))))
        for index in range(count):
            column, row = divmod(index, high)
            in_column = min(high, count - column * high)
            x = hole / 2 + block.w / 2 + column * block.w * ROOM
            offsets.append((sign * x, (row - (in_column - 1) / 2) * block.h * ROOM))
    return offsets


def _ring(block: Block, host: Block, rng: Random) -> Offsets:
    """Around another block: on an ellipse that clears it, or at its two sides."""
    w, h = host.span
    if block.count == 2:
        return [(-(w + block.w) / 2 - GAP, 0.0), ((w + block.w) / 2 + GAP, 0.0)]
    rx, ry = w / 2 + block.w / 2 + GAP, h / 2 + block.h * 0.4
    crowd = block.count * ROOM * max(block.w, block.h * 0.8) / (math.pi * (rx + ry))
    rx, ry = rx * max(1.0, crowd), ry * max(1.0, crowd)
    start = math.pi / 2 + (math.pi / block.count if rng.random() < 0.5 and block.count > 3 else 0.0)
    turns = [start + 2 * math.pi * index / block.count for index in range(block.count)]
    return [(rx * math.cos(a), ry * math.sin(a)) for a in turns]


def _attend(block: Block, host: Block, name: str, room: float) -> None:
    """Offsets from the host's: every host instance has its share of the guests about it."""
    block.offsets, block.hosts, block.sides = [], [], []
    if block.count < host.count:
        first = _outermost(host) if name == "next to" and block.count == 1 else (host.count - block.count) // 2
        shares = {j: 1 for j in range(first, first + block.count)}
    else:
        shares = {j: block.count // host.count + (j < block.count % host.count) for j in range(host.count)}
    for j, number in shares.items():
        x, y = host.offsets[j]
        for (dx, dy), side in _beside(block, host, name, number, room, lone=host.count == 1):
            block.offsets.append((x + dx, y + dy))
            block.hosts.append(j)
            block.sides.append(side)


def _part(block: Block, hole: float) -> None:
    """Open a row in its middle for what stands between its halves."""
    block.offsets = [(x + math.copysign(hole / 2, x), y) for x, y in block.offsets]


def _outermost(host: Block) -> int:
    return max(range(host.count), key=lambda j: host.offsets[j])


def _beside(
    block: Block, host: Block, name: str, share: int, room: float, *, lone: bool
) -> list[tuple[tuple[float, float], int]]:
    """Where `share` guests of one host instance stand to its middle, each with its side for "next to"."""
    if name == "next to":
        return _flanks(block, host, share, room, lone=lone)
    w, h = block.w * room, block.h * room
    if name == "inside":
        columns = max(1, min(share, round(math.sqrt(share * host.w * block.h / (host.h * block.w)))))
        rows = math.ceil(share / columns)
        w, h = min(w, 0.95 * host.w / columns), min(h, 0.95 * host.h / rows)
        return [(offset, 0) for offset in _grid(share, columns, w, h)]
    if name == "on":
        longest = min(1.6 * (block.h / 2 + 0.4 * host.h), 0.8 * (block.w + host.w))
        return [(offset, 0) for offset in _grid(share, share, min(w, longest / max(1, share - 1)), 0.0)]
    row = share if share < 6 else math.ceil(share / 2)
    longest = 1.2 * (block.w + host.w) / 2
    return [(offset, 0) for offset in _grid(share, row, min(w, longest / max(1, row - 1)), 0.6 * block.h)]


def _flanks(block: Block, host: Block, share: int, room: float, *, lone: bool) -> list[tuple[tuple[float, float], int]]:
    """At both sides of the host; one alone, or the guests of the last of several hosts, at one side of it."""
    if share == 1:
        return [((0.0, 0.0), 0 if lone else 1)]
    rows = 1 if share < 7 else 2
    placed: list[tuple[tuple[float, float], int]] = []
    first = (host.w + block.w) / 2 + GAP
    for side, number in ((-1, share // 2), (1, share - share // 2)):
        for index in range(number):
            column, row = divmod(index, rows)
            in_column = min(rows, number - column * rows)
            y = (row - (in_column - 1) / 2) * block.h * room
            placed.append(((side * (first + column * block.w * room), y), side))
    return placed

"""Several things on or in one: together no wider than it is, and side by side."""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random
from typing import TYPE_CHECKING

from scenograph.judging.statement import Relation

if TYPE_CHECKING:
    from scenograph.planning.blocks import Block

__all__ = ["line_up", "share"]

_ACROSS = ("left of", "right of", "above", "below")


def _sharing(relations: Sequence[Relation]) -> dict[int, dict[int, str]]:
    """Things that several others are on or in, each with those others and how."""
    hosts: dict[int, dict[int, str]] = {}
    for r in relations:
        if r.name in ("on", "inside"):
            hosts.setdefault(r.objects[0], {})[r.subject] = r.name
    return hosts


def share(relations: Sequence[Relation], blocks: Sequence[Block], *, room: float) -> None:
    """Several guests on or in one thing, and what stands between them, get no wider together than it is.

    `room` is cell by thing in a row.
    """
    for host, guests in _sharing(relations).items():
        between = {r.subject for r in relations if r.name == "between" and set(r.objects) <= guests.keys()}
        members = guests.keys() | between
        if len(members) > 1:
            width = sum(blocks[t].w * math.ceil(blocks[t].count / blocks[host].count) * room for t in members)
            blocks[host].widen(min(0.85, width))
            most = blocks[host].w * (0.9 if "inside" in guests.values() else 1.1)
            for t in members:
                blocks[t].resize(min(1.0, max(0.35, most / width)))


def line_up(relations: Sequence[Relation], blocks: Sequence[Block], rng: Random) -> None:
    """Blocks that share one host stand side by side on it, in any order."""
    placed = {t for r in relations if r.name in (*_ACROSS, "between") for t in (r.subject, *r.objects)}
    for host, guests in _sharing(relations).items():
        order = [t for t in guests if t not in placed]
        if len(order) < 2 or blocks[host].count > 1:
            continue
        rng.shuffle(order)
        widths = [blocks[t].span[0] for t in order]
        room = blocks[host].w * (0.9 if "inside" in guests.values() else 1.0) - sum(widths)
        x, gap = -(sum(widths) + max(0.0, room)) / 2, max(0.0, room) / len(order)
        for t, width in zip(order, widths, strict=True):
            blocks[t].shift = x + (width + gap) / 2
            x += width + gap

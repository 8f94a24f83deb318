"""The frozen train/test split of the small world.

Two things are kept from every painter, planner and unified model, and shown only to judges: a share of the
noun x colour x texture combinations, and a share of the layouts. Both are decided by a keyed hash, so the split
needs no file, never depends on sampling order, and cannot drift: a test holds its digest.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

from scenograph.layout import Box

__all__ = ["COMBINATION_SHARE", "LAYOUT_SHARE", "combination_held_out", "layout_held_out", "layout_key"]

COMBINATION_SHARE = 12  # per cent of noun x colour x texture
LAYOUT_SHARE = 10  # per cent of layouts
_KEY = b"scenograph split 1"


def _bucket(text: str) -> int:
    return int.from_bytes(blake2b(text.encode(), key=_KEY, digest_size=8).digest(), "big") % 100


def combination_held_out(noun: str, colour: str, texture: str) -> bool:
    """Whether no training scene of a painter, planner or unified model may show this combination."""
    return _bucket(f"combination|{noun}|{colour}|{texture}") < COMBINATION_SHARE


def layout_key(placed: Iterable[tuple[str, Box]]) -> str:
    """What makes two layouts "the same": nouns with centre and size in eighths of the canvas, in any order."""
    rows = []
    for noun, box in placed:
        cx, cy = box.center
        eighths = (round(8 * v) for v in (cx, cy, box.width, box.height))
        rows.append(f"{noun}@" + ",".join(str(v) for v in eighths))
    return ";".join(sorted(rows))


def layout_held_out(placed: Iterable[tuple[str, Box]]) -> bool:
    """Whether this arrangement (`layout_key`) belongs to the test split."""
    return _bucket(f"layout|{layout_key(placed)}") < LAYOUT_SHARE

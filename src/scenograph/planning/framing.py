"""How a solved picture sits on the canvas: filling most of it, mirrored or not, and with no box too small to see."""

from __future__ import annotations

from dataclasses import replace
from random import Random

from scenograph.layout import Box, Layout

__all__ = ["filling", "grown", "rounded_box"]

_FILLED = (0.6, 0.92)  # of the canvas' side, by a whole picture
_MOST_GROWTH = 2.0
_DIGITS = 4  # of a box's sides: people read them, and checks see what is written
_LEAST_SIDE = 0.02  # of the canvas; smaller boxes are enlarged where no relation minds


def filling(layout: Layout, rng: Random, *, mirrored: bool) -> Layout:
    """The same picture grown until it fills most of the canvas, somewhere on it; a thing alone stays as it is."""
    boxes = [i.box for i in layout.instances]
    if len(boxes) < 2:
        return layout
    x0, y0 = min(b.x0 for b in boxes), min(b.y0 for b in boxes)
    width, height = max(b.x1 for b in boxes) - x0, max(b.y1 for b in boxes) - y0
    factor = max(1.0, min(rng.uniform(*_FILLED) / max(width, height), _MOST_GROWTH))
    left, top = (rng.triangular(0, max(0.0, 1 - factor * extent)) for extent in (width, height))
    moved = []
    for box in boxes:
        x, y = box.center
        across = x0 + width - x if mirrored else x - x0
        moved.append(
            rounded_box(left + factor * across, top + factor * (y - y0), factor * box.width, factor * box.height)
        )
    return replace(layout, instances=tuple(replace(i, box=b) for i, b in zip(layout.instances, moved, strict=True)))


def grown(layout: Layout) -> Layout:
    """The same layout, itself where no box is tiny; tiny ones are enlarged about their middles."""
    if all(min(i.box.width, i.box.height) >= _LEAST_SIDE for i in layout.instances):
        return layout
    return replace(layout, instances=tuple(replace(i, box=_grown(i.box)) for i in layout.instances))


def _grown(box: Box) -> Box:
    """At least `_LEAST_SIDE` wide and high, about its middle as far as the canvas allows."""
    (x, y), w, h = box.center, max(box.width, _LEAST_SIDE), max(box.height, _LEAST_SIDE)
    return rounded_box(min(max(x, w / 2), 1 - w / 2), min(max(y, h / 2), 1 - h / 2), w, h)


def rounded_box(x: float, y: float, w: float, h: float) -> Box:
    """The box about (x, y), cut at the canvas' edge."""
    sides = max(0.0, x - w / 2), max(0.0, y - h / 2), min(1.0, x + w / 2), min(1.0, y + h / 2)
    return Box(*(round(side, _DIGITS) for side in sides))

"""How a solved picture sits on the canvas: filling most of it, mirrored or not, and with no box too small to see."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from random import Random

from scenograph.layout import Box, Layout

__all__ = ["Frame", "filling", "grown", "rounded_box"]

Frame = tuple[float, float, float, float]  # middle x, middle y, width, height
_FILLED = (0.6, 0.92)  # of the canvas' side, by a whole picture
_MOST_GROWTH = 2.0
_DIGITS = 4  # of a box's sides: people read them, and checks see what is written
_LEAST_SIDE = 0.02  # of the canvas; smaller boxes are enlarged where no relation minds


def filling(frames: Sequence[Frame], rng: Random, *, mirrored: bool) -> list[Frame]:
    """The same picture grown until it fills most of the canvas, somewhere on it; a thing alone stays as it is."""
    if len(frames) < 2:
        return list(frames)
    x0, y0 = min(x - w / 2 for x, _, w, _ in frames), min(y - h / 2 for _, y, _, h in frames)
    width, height = max(x + w / 2 for x, _, w, _ in frames) - x0, max(y + h / 2 for _, y, _, h in frames) - y0
    factor = max(1.0, min(rng.uniform(*_FILLED) / max(width, height), _MOST_GROWTH))
    left, top = (rng.triangular(0, max(0.0, 1 - factor * extent)) for extent in (width, height))
    right = x0 + width
    return [
        (left + factor * (right - x if mirrored else x - x0), top + factor * (y - y0), factor * w, factor * h)
        for x, y, w, h in frames
    ]


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

"""Where sprites go: boxes in whole pixels of the canvas, in three manners.

`typical` boxes have the noun's usual size and shape, `free` ones any size and shape (as real COCO layouts do),
`grid` sets alike objects in jittered cells for counting. Overlap is bounded, more generously in a share of the scenes.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from random import Random

from scenograph.layout import Box
from scenograph.world.vocabulary import NOUNS

__all__ = ["covered", "place"]

_SHRINK = (1.0, 0.80, 0.68, 0.60)
_SMALLEST = 14  # pixels of 128


def place(nouns: Sequence[str], rng: Random, *, canvas: int, grid: bool = False) -> tuple[Box, ...]:
    """Boxes for the nouns in order (back to front); always succeeds, shrinking boxes when the canvas is full."""
    if grid:
        return _grid(nouns, rng, canvas)
    free = rng.random() < 0.35
    limit = rng.choice((0.05, 0.05, 0.2, 0.5))
    boxes: list[Box] = []
    shrink = _SHRINK[min(len(nouns), 4) - 1]
    for noun in nouns:
        for attempt in range(60):
            factor = shrink * 0.97 ** max(0, attempt - 10)
            box = _free(rng, factor, canvas) if free else _typical(noun, rng, factor, canvas)
            if all(covered(box, b) <= limit for b in boxes):
                break
        boxes.append(box)
    return tuple(boxes)


def _typical(noun: str, rng: Random, factor: float, canvas: int) -> Box:
    aspect, tall = NOUNS[noun]
    height = tall * factor * rng.uniform(0.7, 1.25)
    width = height * aspect * rng.uniform(0.8, 1.25)
    return _anywhere(width, height, rng, canvas)


def _free(rng: Random, factor: float, canvas: int) -> Box:
    area = math.exp(rng.uniform(math.log(0.03), math.log(0.6))) * factor
    aspect = math.exp(rng.uniform(-0.9, 0.9))
    return _anywhere(math.sqrt(area * aspect), math.sqrt(area / aspect), rng, canvas)


def _anywhere(width: float, height: float, rng: Random, canvas: int) -> Box:
    """A box of this size (fractions) at a random place, touching a border now and then."""
    fit = min(1.0, 0.98 / width, 0.98 / height)
    w, h = (max(_SMALLEST, round(v * fit * canvas)) for v in (width, height))
    x, y = (round((canvas - side) * min(1.0, max(0.0, rng.uniform(-0.06, 1.06)))) for side in (w, h))
    return Box.from_pixels(x, y, x + w, y + h, size=(canvas, canvas))


def _grid(nouns: Sequence[str], rng: Random, canvas: int) -> tuple[Box, ...]:
    count = len(nouns)
    columns = math.ceil(math.sqrt(count))
    rows = math.ceil(count / columns)
    if rng.random() < 0.5 and count <= 3:
        columns, rows = (count, 1) if rng.random() < 0.5 else (1, count)
    cell_w, cell_h = canvas / columns, canvas / rows
    cells = rng.sample(range(columns * rows), count)
    boxes = []
    for noun, cell in zip(nouns, cells, strict=True):
        aspect = NOUNS[noun][0] * rng.uniform(0.9, 1.1)
        height = min(0.9 * cell_h, 0.9 * cell_w / aspect) * rng.uniform(0.75, 1.0)
        w, h = max(_SMALLEST, round(height * aspect)), max(_SMALLEST, round(height))
        x = round((cell % columns) * cell_w + rng.uniform(0, 1) * max(cell_w - w, 0))
        y = round((cell // columns) * cell_h + rng.uniform(0, 1) * max(cell_h - h, 0))
        x, y = min(x, canvas - w), min(y, canvas - h)
        boxes.append(Box.from_pixels(x, y, x + w, y + h, size=(canvas, canvas)))
    return tuple(boxes)


def covered(a: Box, b: Box) -> float:
    """The share of the smaller box that the two have in common."""
    common = a.intersection(b)
    return common.area / min(a.area, b.area) if common else 0.0

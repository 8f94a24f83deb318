"""Drawings of food and of the nouns whose body takes a shape (clock, vase, pizza, cake), back to front.

`shape` is one of vocabulary.SHAPES or None for the natural one; it changes the silhouette of the body, not the details by
which the thing is known (hands, lip, toppings, candle).
"""

from __future__ import annotations

import math
from random import Random

import numpy as np

from scenograph.world.figures import (
    Part, Points, Role, box, curve, ellipse, mirror, polygon, rounded, scaled, sector, stroke,
)  # fmt: skip

__all__ = ["apple", "banana", "cake", "clock", "pizza", "vase"]


def apple(random: Random) -> list[Part]:
    """An apple with a stem and a leaf."""
    lean, waist = random.uniform(-4, 4), random.uniform(92, 97)
    half = curve(50, 28, 38, 22, 22, 20, 7, 34, 5, 56, 13, 80, 28, waist, 40, 99, 50, 95, closed=False)
    return [
        (Role.BODY, polygon(*half.ravel(), *mirror(half, 50)[::-1].ravel())),
        (Role.SHADE, sector(50, 26, 13, 6, 0, 180)),
        (Role.TINT, stroke(curve(16, 60, 16, 44, 26, 32, closed=False), 6, 4)),
        (Role.WOOD, stroke(curve(50, 30, 50, 16, 46 + lean, 2, closed=False), 5, 6)),
        (Role.LEAF, curve(51, 17, 60, 4, 82, 1, 76, 15, 62, 21)),
    ]  # fmt: skip


def banana(random: Random) -> list[Part]:
    """A single banana, curved like a smile, stem to the upper right."""
    belly, tip = random.uniform(84, 92), random.uniform(24, 32)
    return [
        (Role.BODY, curve(2, tip + 4, 8, tip, 18, tip + 18, 42, 56, 74, 52, 96, 32, 104, 8, 114, 8, 118, 30, 108, 58, 84, 80,
                          56, belly, 28, 78, 10, 58)),
        (Role.SHADE, stroke(curve(8, tip + 8, 22, 60, 50, 72, 82, 66, 104, 42, 109, 14, closed=False), 3)),
        (Role.HAIR, polygon(103, 14, 105, 0, 115, 0, 116, 14)),
        (Role.HAIR, ellipse(5, tip + 4, 5.5, 6)),
    ]  # fmt: skip


def _outline(shape: str, x0: float, y0: float, x1: float, y1: float) -> Points:
    """The bare silhouette of a shape in a box."""
    cx, cy = (x0 + x1) / 2, (y0 + y1) / 2
    if shape == "round":
        return ellipse(cx, cy, (x1 - x0) / 2, (y1 - y0) / 2)
    if shape == "square":
        return box(x0, y0, x1, y1)
    if shape == "triangular":
        return polygon(cx, y0, x1, y1, x0, y1)
    return polygon(cx, y0, x1, cy, cx, y1, x0, cy)


def _heart(shape: str) -> tuple[float, float, float]:
    """Centre and radius of the largest disc that sits well inside the shape in the box 0 0 100 100."""
    return {"triangular": (50.0, 66.0, 21.5), "diamond": (50.0, 50.0, 26.0)}.get(shape, (50.0, 50.0, 35.0))


def clock(random: Random, shape: str | None) -> list[Part]:
    """A wall clock: broad coloured rim, pale dial with ticks and two hands."""
    shape = shape or "round"
    cx, cy, r = _heart(shape)
    body = rounded(0, 0, 100, 100, 5) if shape == "square" else _outline(shape, 0, 0, 100, 100)
    hour, minute = random.choice((300, 315, 60, 45, 285)), random.choice((0, 90, 15, 75))
    def hand(angle: float, length: float, width: float) -> Points:
        a = math.radians(angle - 90)
        return stroke(polygon(cx, cy, cx + r * length * math.cos(a), cy + r * length * math.sin(a)), width * r, width * r)
    ticks = []
    for i in range(12):
        a, inner = math.radians(i * 30), 0.68 if i % 3 == 0 else 0.8
        c, s = math.cos(a) * r, math.sin(a) * r
        tick = polygon(cx + inner * c, cy + inner * s, cx + 0.92 * c, cy + 0.92 * s)
        ticks.append(stroke(tick, r * (0.12 if i % 3 == 0 else 0.06)))
    return [
        (Role.BODY, body), (Role.SHADE, ellipse(cx, cy, r * 1.07)), (Role.DIAL, ellipse(cx, cy, r)),
        *[(Role.HANDS, tick) for tick in ticks],
        (Role.HANDS, hand(hour, 0.48, 0.15)), (Role.HANDS, hand(minute, 0.74, 0.11)), (Role.TOPPING, ellipse(cx, cy, r * 0.11)),
    ]  # fmt: skip


def vase(random: Random, shape: str | None) -> list[Part]:
    """A vase: narrow neck with a flared lip over a body of the asked shape."""
    neck, lip = random.uniform(9, 12), random.uniform(19, 23)
    if shape is None:
        half = curve(50 - lip, 2, 50 - neck, 16, 50 - neck - 1, 26, 24, 42, 17, 60, 24, 84, 35, 104, 32, 118, closed=False)
        body = [(Role.BODY, polygon(*half.ravel(), *mirror(half, 50)[::-1].ravel()))]
        band = polygon(18, 56, 82, 56, 82, 63, 18, 63)
    else:
        collar = curve(50 - lip, 2, 50 - neck, 12, 50 - neck, 22, 50 - neck - 2, 36, closed=False)
        body = [
            (Role.BODY, polygon(*collar.ravel(), *mirror(collar, 50)[::-1].ravel())),
            (Role.BODY, _outline(shape, 6, 28 if shape != "triangular" else 10, 94, 116)),
        ]
        if shape in ("round", "diamond"):
            body.append((Role.BODY, polygon(38, 104, 62, 104, 68, 118, 32, 118)))
        band = box(*{"round": (9, 62, 91, 69), "square": (6, 62, 94, 69), "triangular": (25, 76, 75, 82)}.get(shape, (12, 69, 88, 75)))
    return [
        *body,
        (Role.SHADE, band),
        (Role.TINT, ellipse(50, 3, lip, 5)), (Role.INK, ellipse(50, 3.4, lip - 4, 3)),
    ]  # fmt: skip


def pizza(random: Random, shape: str | None) -> list[Part]:
    """A pizza from above: crust, coloured topping, salami, olives and cuts; a slice is missing from the natural one."""
    name = shape or "round"
    outer = rounded(0, 0, 100, 100, 4) if name == "square" else _outline(name, 0, 0, 100, 100)
    if name == "triangular":
        outer = polygon(0, 0, 100, 0, 50, 100)
        inner, places = polygon(9, 13, 91, 13, 50, 93), ((30, 24), (66, 28), (48, 46), (50, 70))
    else:
        inner = scaled(outer, (50, 50), 0.86 if name != "diamond" else 0.82)
        reach = {"round": 27.0, "square": 30.0, "diamond": 20.0}[name]
        angle = random.uniform(20, 30)
        turns = [math.radians(angle + 60 * i) for i in range(6)]
        places = tuple((50 + reach * math.cos(t), 50 + reach * math.sin(t)) for t in turns)
    size = random.uniform(6.4, 7.6)
    parts: list[Part] = [(Role.CRUST, outer), (Role.BODY, inner)]
    if name != "triangular":
        ends = [(50 + 60 * math.cos(math.radians(a)), 50 + 60 * math.sin(math.radians(a))) for a in (0, 60, 120)]
        far = 0.7 if name == "round" else 0.6
        parts += [(Role.SHADE, stroke(np.array([[50 + (x - 50) * far, 50 + (y - 50) * far],
                                                [50 - (x - 50) * far, 50 - (y - 50) * far]]), 1.6)) for x, y in ends]  # fmt: skip
    for i, (x, y) in enumerate(places):
        parts += [(Role.TOPPING, ellipse(x, y, size)), (Role.PINK, ellipse(x - 1.5, y - 1.5, size * 0.3))]
        parts.append((Role.LEAF, ellipse(x + (9 if i % 2 else -10), y + 9, 3.4, 2.2)))
    if shape is None:
        parts.append((Role.HOLE, polygon(52, 47, 74, -4, 104, -4, 104, 24)))
    return parts


def cake(random: Random, shape: str | None) -> list[Part]:
    """A birthday cake on a plate from the side, with icing and a burning candle; natural = two tiers, three candles."""
    wax = random.uniform(17, 21)
    def candle(x: float, foot: float) -> list[Part]:
        return [
            (Role.PALE, box(x - 3.2, foot - wax, x + 3.2, foot)), (Role.ACCENT, box(x - 3.2, foot - wax * 0.6, x + 3.2, foot - wax * 0.35)),
            (Role.FLAME, curve(x, foot - wax - 14, x + 4.6, foot - wax - 4, x, foot - wax, x - 4.6, foot - wax - 4)),
        ]  # fmt: skip
    plate: Part = (Role.METAL, rounded(0, 96, 112, 102, 3))
    if shape is None:
        drip = [(Role.PALE, rounded(x, 66, x + 9, y, 4.5)) for x, y in zip(range(9, 99, 12), (78, 74, 80, 75, 79, 74, 80, 75), strict=True)]
        return [
            *[part for x in (40, 56, 72) for part in candle(x, 42)],
            (Role.BODY, rounded(24, 40, 88, 70, 4)), (Role.BODY, rounded(8, 64, 104, 98, 5)),
            (Role.PALE, rounded(8, 63, 104, 69, 3)), *drip, (Role.PALE, rounded(24, 39, 88, 46, 3)), plate,
        ]  # fmt: skip
    top = {"round": 26, "square": 38, "triangular": 24, "diamond": 22}[shape]
    body = _outline(shape, 12 if shape != "triangular" else 4, top, 100 if shape != "triangular" else 108, 98)
    zig = polygon(*[v for i in range(9) for v in (8 + i * 12, 66 if i % 2 else 59)])
    return [
        *candle(56, top + 4), plate, (Role.BODY, body), *_icing(shape, top, zig),
    ]  # fmt: skip


def _icing(shape: str, top: float, zig: Points) -> list[Part]:
    """A pale cap that drips down the body's top, and a garland at its middle."""
    if shape == "square":
        drips = [(Role.PALE, rounded(x, top, x + 11, y, 5)) for x, y in ((12, 58), (27, 53), (43, 60), (59, 54), (75, 59), (89, 53))]
        return [(Role.PALE, box(12, top, 100, top + 9)), *drips]
    if shape == "round":
        cap = sector(56, 62, 44, 36, 205, 335)
    elif shape == "triangular":
        cap = polygon(56, top, 74, top + 26, 66, top + 20, 56, top + 29, 46, top + 20, 38, top + 26)
    else:
        cap = polygon(56, top, 78, top + 19, 67, top + 15, 56, top + 24, 45, top + 15, 34, top + 19)
    return [(Role.PALE, cap)]

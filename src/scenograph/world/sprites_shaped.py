"""Drawings of food and of the nouns whose body takes a shape (clock, vase, pizza, cake), back to front.

`shape` is one of vocabulary.SHAPES or None for the natural one; it changes the silhouette of the body, not the details
by which the thing is known (hands, lip, toppings, candle).
"""

from __future__ import annotations

import math
from random import Random

import numpy as np

from scenograph.world.figures import (
    Part,
    Points,
    Role,
    box,
    curve,
    ellipse,
    mirror,
    polygon,
    rounded,
    scaled,
    sector,
    stroke,
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
        (Role.BODY, curve(2, tip + 4, 8, tip, 18, tip + 18, 42, 56, 74, 52, 96, 32, 104, 8, 114, 8, 118, 30,
                          108, 58, 84, 80, 56, belly, 28, 78, 10, 58)),
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
    return {"triangular": (50.0, 66.0, 22.0), "diamond": (50.0, 50.0, 23.0)}.get(shape, (50.0, 50.0, 30.0))


def clock(random: Random, shape: str | None) -> list[Part]:
    """A wall clock: broad coloured rim, pale dial with ticks and two hands."""
    shape = shape or "round"
    cx, cy, r = _heart(shape)
    body = rounded(0, 0, 100, 100, 5) if shape == "square" else _outline(shape, 0, 0, 100, 100)
    hour, minute = random.choice((300, 315, 60, 45, 285)), random.choice((0, 90, 15, 75))

    def radial(angle: float, inner: float, outer: float, width: float) -> Points:
        c, s = math.sin(math.radians(angle)) * r, -math.cos(math.radians(angle)) * r
        return stroke(polygon(cx + inner * c, cy + inner * s, cx + outer * c, cy + outer * s), width * r)

    long = [radial(angle, 0.68, 0.92, 0.12) for angle in (0, 90, 180, 270)]
    short = [radial(angle, 0.8, 0.92, 0.06) for angle in range(0, 360, 30) if angle % 90]
    hands = [radial(hour, 0, 0.48, 0.15), radial(minute, 0, 0.74, 0.11)]
    return [
        (Role.BODY, body), (Role.SHADE, ellipse(cx, cy, r * 1.07)), (Role.DIAL, ellipse(cx, cy, r)),
        *[(Role.HANDS, figure) for figure in (*long, *short, *hands)], (Role.TOPPING, ellipse(cx, cy, r * 0.11)),
    ]  # fmt: skip


def vase(random: Random, shape: str | None) -> list[Part]:
    """A vase: narrow neck with a flared lip over a body of the asked shape."""
    neck, lip = random.uniform(9, 12), random.uniform(19, 23)
    mouth = lip if shape is None else lip + 7
    if shape is None:
        half = curve(50 - lip, 2, 50 - neck, 16, 49 - neck, 26, 24, 42, 17, 60, 24, 84, 35, 104, 32, 118, closed=False)
        body = [(Role.BODY, polygon(*half.ravel(), *mirror(half, 50)[::-1].ravel()))]
        band = polygon(18, 56, 82, 56, 82, 63, 18, 63)
    else:
        collar = curve(43 - lip, 2, 45 - neck, 10, 45 - neck, 18, 43 - neck, 36, closed=False)
        body = [
            (Role.BODY, polygon(*collar.ravel(), *mirror(collar, 50)[::-1].ravel())),
            (Role.BODY, _outline(shape, 6, 22 if shape != "triangular" else 2, 94, 116)),
        ]
        if shape in ("round", "diamond"):
            body.append((Role.BODY, polygon(38, 104, 62, 104, 68, 118, 32, 118)))
        bands = {"round": (9, 62, 91, 69), "square": (6, 62, 94, 69), "triangular": (25, 76, 75, 82)}
        band = box(*bands.get(shape, (12, 66, 88, 72)))
    return [
        *body,
        (Role.SHADE, band),
        (Role.TINT, ellipse(50, 3, mouth, 5)), (Role.INK, ellipse(50, 3.4, mouth - 4, 3)),
    ]  # fmt: skip


def pizza(random: Random, shape: str | None) -> list[Part]:
    """A pizza from above: crust, coloured topping, salami, olives and cuts; a slice is missing from the natural one."""
    name = shape or "round"
    outer = rounded(0, 0, 100, 100, 4) if name == "square" else _outline(name, 0, 0, 100, 100)
    if name == "triangular":
        outer = polygon(0, 0, 100, 0, 50, 100)
        inner = polygon(9, 13, 91, 13, 50, 93)
        places = [(30.0, 24.0), (66.0, 28.0), (48.0, 46.0), (50.0, 70.0)]
    else:
        inner = scaled(outer, (50, 50), 0.86)
        reach = {"round": 27.0, "square": 30.0, "diamond": 20.0}[name]
        angle = random.uniform(20, 30)
        count = 4 if name == "diamond" else 6
        turns = [math.radians(angle + 360 / count * i) for i in range(count)]
        places = [(50 + reach * math.cos(t), 50 + reach * math.sin(t)) for t in turns]
    size = random.uniform(6.4, 7.6)
    parts: list[Part] = [(Role.CRUST, outer), (Role.BODY, inner)]
    if name != "triangular":
        reach = {"round": 42, "square": 40, "diamond": 30}[name]
        for turn in map(math.radians, (0, 60, 120)):
            x, y = reach * math.cos(turn), reach * math.sin(turn)
            parts.append((Role.SHADE, stroke(polygon(50 + x, 50 + y, 50 - x, 50 - y), 1.6)))
    for i, (x, y) in enumerate(places):
        parts += [(Role.TOPPING, ellipse(x, y, size)), (Role.PINK, ellipse(x - 1.5, y - 1.5, size * 0.3))]
        parts.append((Role.LEAF, ellipse(x + (9 if i % 2 else -10), y + 9, 3.4, 2.2)))
    if shape is None:
        parts.append((Role.HOLE, polygon(52, 47, 74, -4, 104, -4, 104, 24)))
    return parts


def _candle(x: float, foot: float, wax: float) -> list[Part]:
    wick = foot - wax
    return [
        (Role.PALE, box(x - 3.2, wick, x + 3.2, foot)),
        (Role.ACCENT, box(x - 3.2, wick + 0.4 * wax, x + 3.2, wick + 0.65 * wax)),
        (Role.FLAME, curve(x, wick - 14, x + 4.6, wick - 4, x, wick, x - 4.6, wick - 4)),
    ]


def cake(random: Random, shape: str | None) -> list[Part]:
    """A birthday cake on a plate from the side, with icing and a burning candle; natural = two tiers, three candles."""
    wax = random.uniform(17, 21)
    plate: Part = (Role.METAL, rounded(0, 96, 112, 102, 3))
    if shape is None:
        drip = [(Role.PALE, rounded(x, 62, x + 9, 70 + 4 * (x % 24 < 12), 4.5)) for x in range(9, 99, 12)]
        return [
            *[part for x in (40, 56, 72) for part in _candle(x, 38, wax)],
            (Role.BODY, rounded(22, 36, 90, 66, 4)), (Role.BODY, rounded(6, 60, 106, 98, 5)),
            (Role.PALE, rounded(6, 60, 106, 65, 2.5)), *drip, (Role.PALE, rounded(22, 36, 90, 41, 2.5)), plate,
        ]  # fmt: skip
    top = {"round": 26.0, "square": 40.0, "triangular": 24.0, "diamond": 24.0}[shape]
    half = 52.0 if shape == "triangular" else 46.0
    body = _outline(shape, 56 - half, top, 56 + half, 98)
    foot = [(Role.BODY, polygon(44, 86, 68, 86, 74, 98, 38, 98))] if shape in ("round", "diamond") else []
    return [*_candle(56, top + 5, wax), plate, *foot, (Role.BODY, body), *_icing(shape, body, top)]


def _icing(shape: str, body: Points, top: float) -> list[Part]:
    """A pale cap that runs down from the top of the body in drips, and a row of pearls."""
    middle, radius = (98 + top) / 2, (98 - top) / 2
    line = top + {"round": 17, "square": 10, "triangular": 30, "diamond": 18}[shape]
    slope = {  # half the body's width at that height
        "round": 42 * math.sqrt(1 - ((middle - line) / radius) ** 2),
        "square": 46.0,
        "triangular": 52 * (line - top) / (2 * radius),
        "diamond": 46 * (line - top) / radius,
    }[shape]
    above = body[body[:, 1] <= line]
    cap = np.concatenate([[[56 - slope, line]], above[np.argsort(above[:, 0], kind="stable")], [[56 + slope, line]]])
    count = max(3, round(slope / 9))
    pitch = 2 * slope / count
    drips = [
        rounded(left + 0.08 * pitch, line - 6, left + 0.92 * pitch, line + (10 if i % 2 else 5), pitch / 2)
        for i, left in enumerate(np.arange(count) * pitch + 56 - slope)
    ]
    pearls = [ellipse(56 + i * 11, 76, 3) for i in range(-2, 3)]
    return [(Role.PALE, figure) for figure in (cap, *drips, *pearls)]

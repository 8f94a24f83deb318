"""Plane figures from which the sprites are composed: ellipses, boxes, smooth curves, tapered strokes, and their roles.

Every figure is a closed polygon in free design units (x right, y down); `sprites` scales a whole drawing onto the unit
square afterwards, so a noun may be designed in whatever units are handy. Nothing is rasterised here.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from enum import IntEnum

import numpy as np
from numpy.typing import NDArray

__all__ = ["Part", "Points", "Role", "box", "curve", "ellipse", "mirror", "polygon", "rounded", "scaled", "sector",
           "shifted", "stroke"]  # fmt: skip

Points = NDArray[np.float64]


class Role(IntEnum):
    """What a part of a drawing is painted with; the colour that a role means is decided in `textures.palette`."""

    HOLE = 0
    BODY = 1
    SECOND = 2
    SHADE = 3
    TINT = 4
    OUTLINE = 5
    INK = 6
    PALE = 7
    GLASS = 8
    SCREEN = 9
    TYRE = 10
    METAL = 11
    WOOD = 12
    SKIN = 13
    HAIR = 14
    LEAF = 15
    PINK = 16
    BEAK = 17
    TOPPING = 18
    CRUST = 19
    ACCENT = 20
    FLAME = 21
    DIAL = 22
    HANDS = 23


Part = tuple[Role, Points]


def polygon(*xy: float) -> Points:
    """The polygon x0, y0, x1, y1, …"""
    return np.array(xy, dtype=np.float64).reshape(-1, 2)


def box(x0: float, y0: float, x1: float, y1: float) -> Points:
    """An upright rectangle."""
    return polygon(x0, y0, x1, y0, x1, y1, x0, y1)


def sector(
    cx: float, cy: float, rx: float, ry: float, start: float, stop: float, *, centre: bool = False, steps: int = 28
) -> Points:
    """The arc of an ellipse between two angles in degrees (clockwise from east), closed by its chord or its centre."""
    angles = np.radians(np.linspace(start, stop, steps))
    arc = np.stack([cx + rx * np.cos(angles), cy + ry * np.sin(angles)], axis=1)
    return np.concatenate([arc, [[cx, cy]]]) if centre else arc


def ellipse(cx: float, cy: float, rx: float, ry: float | None = None) -> Points:
    """A whole ellipse; a circle when only one radius is given. 25 points put one on each of the four extremes."""
    return sector(cx, cy, rx, rx if ry is None else ry, 0, 360, steps=25)


def rounded(x0: float, y0: float, x1: float, y1: float, r: float) -> Points:
    """A rectangle with corners of radius r."""
    r = min(r, (x1 - x0) / 2, (y1 - y0) / 2)
    corners = ((x1 - r, y1 - r, 0), (x0 + r, y1 - r, 90), (x0 + r, y0 + r, 180), (x1 - r, y0 + r, 270))
    return np.concatenate([sector(x, y, r, r, a, a + 90, steps=6) for x, y, a in corners])


def curve(*xy: float, closed: bool = True, steps: int = 6) -> Points:
    """The Catmull-Rom curve through the points x0, y0, x1, y1, …; open curves keep both ends."""
    p = polygon(*xy)
    ends = (p[-1:], p[:1], p[1:2]) if closed else (2 * p[:1] - p[1:2], 2 * p[-1:] - p[-2:-1])
    p = np.concatenate([ends[0], p, *ends[1:]])
    t = np.linspace(0, 1, steps, endpoint=False)[:, None]
    pieces = [
        0.5 * (2 * b + (c - a) * t + (2 * a - 5 * b + 4 * c - d) * t**2 + (3 * b - a - 3 * c + d) * t**3)
        for a, b, c, d in zip(p[:-3], p[1:-2], p[2:-1], p[3:], strict=True)
    ]
    return np.concatenate(pieces if closed else [*pieces, p[-2:-1]])


def stroke(path: Points, start: float, stop: float | None = None) -> Points:
    """A band along an open path whose width runs from `start` to `stop`, with round ends."""
    widths = np.linspace(start, start if stop is None else stop, len(path)) / 2
    along = np.gradient(path, axis=0)
    along /= np.maximum(np.linalg.norm(along, axis=1, keepdims=True), 1e-9)
    normal = np.stack([-along[:, 1], along[:, 0]], axis=1) * widths[:, None]
    return np.concatenate([path - normal, _cap(path[-1], along[-1], widths[-1]), (path + normal)[::-1],
                           _cap(path[0], -along[0], widths[0])])  # fmt: skip


def _cap(end: Points, along: Points, radius: float) -> Points:
    heading = math.degrees(math.atan2(along[1], along[0]))
    return sector(end[0], end[1], radius, radius, heading - 60, heading + 60, steps=5)


def mirror(points: Points, axis: float) -> Points:
    """The figure mirrored at the vertical line x = axis."""
    return np.stack([2 * axis - points[:, 0], points[:, 1]], axis=1)


def shifted(points: Points, dx: float, dy: float) -> Points:
    """The figure moved by (dx, dy)."""
    return points + np.array([dx, dy])


def scaled(points: Points, about: Sequence[float], factor: float) -> Points:
    """The figure scaled about a point."""
    centre = np.asarray(about, dtype=np.float64)
    return centre + (points - centre) * factor

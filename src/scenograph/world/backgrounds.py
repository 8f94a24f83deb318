"""The six backgrounds of the small world: two or three soft zones and a little detail, paler or duller than any object.

A variant moves the horizon, the tint and the details. Finished backgrounds are cached; callers get their own copy.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random

import numpy as np
from PIL import Image, ImageDraw

from scenograph.errors import WorldError
from scenograph.world.vocabulary import BACKGROUNDS

__all__ = ["draw_background"]

_VARIANTS = 64
_Colour = tuple[int, int, int]


def draw_background(name: str, size_wh: tuple[int, int], *, variant: int = 0) -> Image.Image:
    """An RGB image of `size_wh` pixels; `variant` is any int. Raises WorldError for unknown names and empty sizes."""
    if name not in BACKGROUNDS:
        known = ", ".join(BACKGROUNDS)
        raise WorldError(f"unknown background {name!r}; expected one of {known}. Use a word of that list.")
    if len(size_wh) != 2 or min(size_wh) < 1:
        raise WorldError(f"background size {size_wh!r}; expected (width, height), each at least 1 pixel. Enlarge it.")
    return _cached(name, (size_wh[0], size_wh[1]), variant % _VARIANTS).copy()


@lru_cache(maxsize=6 * _VARIANTS)
def _cached(name: str, size_wh: tuple[int, int], variant: int) -> Image.Image:
    random = Random(f"{name} {variant}")
    return _PAINTERS[name](_Stage(size_wh, random), random)


class _Stage:
    """A canvas addressed in fractions of its size, with a tint that is the same for all of its zones."""

    def __init__(self, size_wh: tuple[int, int], random: Random) -> None:
        self.width, self.height = size_wh
        self.image = Image.new("RGB", size_wh)
        self.draw = ImageDraw.Draw(self.image)
        self.tint = tuple(random.uniform(-7, 7) for _ in range(3))

    def colour(self, rgb: _Colour) -> _Colour:
        r, g, b = (min(255, max(0, round(v + t))) for v, t in zip(rgb, self.tint, strict=True))
        return r, g, b

    def zone(self, top: float, bottom: float, above: _Colour, below: _Colour) -> None:
        """A full-width zone with a vertical gradient."""
        y0, y1 = round(top * self.height), round(bottom * self.height)
        if y1 <= y0:
            return
        share = np.linspace(0, 1, y1 - y0)[:, None]
        column = np.array(self.colour(above)) * (1 - share) + np.array(self.colour(below)) * share
        strip = Image.fromarray(column.round().astype(np.uint8)[:, None, :])
        self.image.paste(strip.resize((self.width, y1 - y0), Image.Resampling.NEAREST), (0, y0))

    def line(self, xy: tuple[float, ...], rgb: _Colour, width: float = 0.012) -> None:
        scale = (self.width, self.height)
        points = [v * scale[i % 2] for i, v in enumerate(xy)]
        self.draw.line(points, fill=self.colour(rgb), width=max(1, round(width * self.height)))

    def polygon(self, xy: tuple[float, ...], rgb: _Colour) -> None:
        scale = (self.width, self.height)
        self.draw.polygon([v * scale[i % 2] for i, v in enumerate(xy)], fill=self.colour(rgb))

    def disc(self, x: float, y: float, rx: float, ry: float, rgb: _Colour) -> None:
        w, h = self.width, self.height
        self.draw.ellipse(((x - rx) * w, (y - ry) * h, (x + rx) * w, (y + ry) * h), fill=self.colour(rgb))


def _meadow(stage: _Stage, random: Random) -> Image.Image:
    horizon = random.uniform(0.28, 0.5)
    stage.zone(0, horizon, (196, 222, 240), (226, 238, 242))
    hill = random.uniform(0.2, 0.8)
    stage.disc(hill, horizon + 0.05, 0.45, 0.14, (184, 212, 170))
    stage.zone(horizon, 1, (186, 216, 156), (164, 200, 132))
    for _ in range(16):
        x, y = random.uniform(0, 1), random.uniform(horizon + 0.06, 0.98)
        for lean in (-0.012, 0.0, 0.012):
            stage.line((x, y, x + lean, y - 0.035), (138, 180, 110), 0.008)
    return stage.image


def _beach(stage: _Stage, random: Random) -> Image.Image:
    horizon, shore = random.uniform(0.22, 0.36), random.uniform(0.46, 0.6)
    stage.zone(0, horizon, (206, 230, 244), (232, 242, 244))
    stage.zone(horizon, shore, (138, 192, 214), (172, 216, 222))
    stage.zone(shore, 1, (238, 224, 186), (230, 212, 168))
    for _ in range(6):
        x, y = random.uniform(0, 0.9), random.uniform(horizon + 0.03, shore - 0.03)
        stage.line((x, y, x + 0.03, y - 0.012, x + 0.06, y, x + 0.09, y - 0.012), (214, 236, 240))
    steps = [(i / 8, shore + (0.008 if i % 2 else -0.008)) for i in range(9)]
    stage.line(tuple(v for step in steps for v in step), (244, 250, 248), 0.018)
    for _ in range(14):
        x, y = random.uniform(0, 1), random.uniform(shore + 0.06, 1)
        stage.disc(x, y, 0.006, 0.005, (208, 188, 144))
    return stage.image


def _snow(stage: _Stage, random: Random) -> Image.Image:
    horizon = random.uniform(0.32, 0.5)
    stage.zone(0, horizon, (186, 200, 216), (208, 218, 228))
    for _ in range(random.choice((3, 4, 5))):
        x, size = random.uniform(0.02, 0.98), random.uniform(0.09, 0.16)
        for lift in (0, 0.4 * size):
            span = (size - lift) * 0.42
            foot, tip = horizon + 0.02 - lift, horizon - size * 0.6 - lift
            stage.polygon((x - span, foot, x + span, foot, x, tip), (152, 174, 176))
    stage.zone(horizon, 1, (222, 230, 238), (232, 238, 244))
    stage.disc(random.uniform(0.2, 0.8), horizon + 0.02, 0.4, 0.035, (222, 230, 238))
    for _ in range(22):
        stage.disc(random.uniform(0, 1), random.uniform(0, 1), 0.009, 0.009, (248, 250, 252))
    return stage.image


def _night(stage: _Stage, random: Random) -> Image.Image:
    horizon = random.uniform(0.55, 0.75)
    stage.zone(0, horizon, (34, 38, 70), (62, 66, 102))
    stage.zone(horizon, 1, (58, 66, 78), (46, 54, 64))
    for _ in range(26):
        x, y, size = random.uniform(0, 1), random.uniform(0, horizon - 0.04), random.choice((0.005, 0.005, 0.008))
        stage.disc(x, y, size, size, (226, 226, 206))
    x, y = random.uniform(0.1, 0.9), random.uniform(0.1, 0.2)
    stage.disc(x, y, 0.06, 0.06, (226, 224, 200))
    stage.disc(x + 0.025, y - 0.012, 0.05, 0.05, (40, 44, 76))
    return stage.image


def _street(stage: _Stage, random: Random) -> Image.Image:
    kerb, x = random.uniform(0.4, 0.52), random.uniform(-0.1, 0)
    stage.zone(0, kerb, (206, 218, 228), (222, 226, 230))
    while x < 1:
        width, top = random.uniform(0.14, 0.24), random.uniform(0.06, 0.26)
        tone = random.randint(176, 198)
        stage.polygon((x, top, x + width, top, x + width, kerb, x, kerb), (tone, tone - 4, tone - 6))
        for row in range(int((kerb - top) / 0.09)):
            for column in (0.22, 0.6):
                left, upper = x + column * width, top + 0.03 + row * 0.09
                right, lower = left + 0.18 * width, upper + 0.04
                stage.polygon((left, upper, right, upper, right, lower, left, lower), (212, 218, 220))
        x += width + random.uniform(0.0, 0.05)
    stage.zone(kerb, kerb + 0.09, (198, 196, 190), (190, 188, 182))
    stage.zone(kerb + 0.09, 1, (142, 144, 150), (152, 154, 160))
    start, lane = random.uniform(-0.2, 0), random.uniform(0.74, 0.84)
    for i in range(6):
        stage.line((start + i * 0.26, lane, start + i * 0.26 + 0.14, lane), (218, 218, 208), 0.022)
    return stage.image


def _room(stage: _Stage, random: Random) -> Image.Image:
    floor = random.uniform(0.58, 0.72)
    wall = random.choice(((228, 216, 198), (214, 222, 214), (222, 212, 216), (212, 218, 226)))
    stage.zone(0, floor, wall, (wall[0] - 8, wall[1] - 8, wall[2] - 8))
    stage.zone(floor, 1, (192, 166, 136), (178, 150, 120))
    stage.zone(floor - 0.025, floor, (240, 236, 228), (232, 228, 220))
    for i in range(3):
        y = floor + (1 - floor) * (0.12 + 0.3 * i)
        stage.line((0, y, 1, y), (166, 140, 112), 0.008)
    x, y = random.uniform(0.06, 0.68), random.uniform(0.08, 0.16)
    stage.polygon((x, y, x + 0.26, y, x + 0.26, y + 0.26, x, y + 0.26), (242, 240, 234))
    stage.polygon((x + 0.02, y + 0.02, x + 0.24, y + 0.02, x + 0.24, y + 0.24, x + 0.02, y + 0.24), (204, 222, 232))
    stage.line((x + 0.13, y, x + 0.13, y + 0.26), (242, 240, 234), 0.016)
    stage.line((x, y + 0.13, x + 0.26, y + 0.13), (242, 240, 234), 0.016)
    return stage.image


_PAINTERS: dict[str, Callable[[_Stage, Random], Image.Image]] = {
    "meadow": _meadow,
    "beach": _beach,
    "snow": _snow,
    "night": _night,
    "street": _street,
    "room": _room,
}

"""Colours and surface patterns of the sprites.

A pattern is a second tone of the object's own colour, so texture never changes which colour is named. Its period is
fixed in canvas pixels (not in fractions of the object): an autoencoder that shrinks by 8 keeps it at every object size.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from scenograph.world.figures import Role
from scenograph.world.vocabulary import COLOURS

__all__ = ["PERIOD", "SUPERSAMPLING", "palette", "pattern"]

SUPERSAMPLING = 3
PERIOD = 12  # canvas pixels; two tones of 6 px each stay visible behind an f=8 autoencoder
_REACH = 160  # largest sprite side, in canvas pixels, that one cached pattern covers before it is repeated

_FIXED = {
    Role.INK: (40, 36, 40),
    Role.PALE: (250, 244, 228),
    Role.GLASS: (168, 214, 240),
    Role.SCREEN: (58, 78, 102),
    Role.TYRE: (54, 54, 60),
    Role.METAL: (178, 182, 190),
    Role.WOOD: (132, 86, 46),
    Role.SKIN: (236, 188, 150),
    Role.HAIR: (84, 56, 36),
    Role.LEAF: (70, 132, 52),
    Role.PINK: (242, 150, 166),
    Role.BEAK: (250, 166, 30),
    Role.TOPPING: (170, 42, 40),
    Role.CRUST: (212, 158, 92),
    Role.ACCENT: (220, 52, 52),
    Role.FLAME: (255, 196, 50),
    Role.HANDS: (40, 36, 40),
}
# Details that would vanish on a body of their own colour.
_EXCEPTIONS = {
    "black": {Role.INK: (222, 222, 222), Role.TYRE: (112, 112, 120), Role.SCREEN: (112, 140, 168)},
    "white": {Role.PALE: (196, 202, 212), Role.GLASS: (140, 190, 222)},
    "red": {Role.ACCENT: (50, 100, 215), Role.TOPPING: (110, 18, 24)},
    "orange": {Role.ACCENT: (50, 100, 215), Role.BEAK: (200, 84, 10)},
    "purple": {Role.ACCENT: (245, 170, 40)},
    "yellow": {Role.BEAK: (226, 110, 16)},
    "green": {Role.LEAF: (28, 92, 40)},
}
_LIGHT = ("yellow", "white")  # their second tone is darker, every other colour's is lighter


def _mix(rgb: tuple[int, int, int], other: tuple[int, int, int], share: float) -> tuple[int, ...]:
    return tuple(round(a + (b - a) * share) for a, b in zip(rgb, other, strict=True))


@lru_cache(maxsize=64)
def palette(colour: str) -> NDArray[np.uint32]:
    """RGBA of every role for an object of this colour, packed as uint32 in memory order; index = role."""
    rgb = COLOURS[colour]
    black, white = (0, 0, 0), (255, 255, 255)
    roles: dict[Role, tuple[int, ...]] = {**_FIXED, **_EXCEPTIONS.get(colour, {})}
    roles[Role.BODY] = rgb
    roles[Role.SECOND] = _mix(rgb, black, 0.30) if colour in _LIGHT else _mix(rgb, white, 0.55)
    roles[Role.SHADE] = _mix(rgb, black, 0.26)
    roles[Role.TINT] = _mix(rgb, white, 0.45)
    roles[Role.OUTLINE] = _mix(rgb, black, 0.52)
    roles[Role.DIAL] = _mix(rgb, white, 0.80)
    if colour == "black":
        roles[Role.SHADE], roles[Role.TINT], roles[Role.OUTLINE] = (76, 76, 84), (104, 104, 112), (168, 168, 174)
        roles[Role.DIAL] = (190, 190, 196)
    if colour == "white":
        roles[Role.SHADE], roles[Role.OUTLINE] = (206, 208, 212), (128, 128, 134)
        roles[Role.DIAL] = (214, 220, 228)
    table = np.zeros((256, 4), dtype=np.uint8)
    for role, value in roles.items():
        table[role] = (*value, 255)
    table[Role.HOLE] = 0
    packed: NDArray[np.uint32] = table.view(np.uint32).ravel()
    packed.flags.writeable = False
    return packed


@lru_cache(maxsize=256)
def _tile(texture: str, phase: int) -> NDArray[np.bool_]:
    side = _REACH * SUPERSAMPLING
    y, x = np.mgrid[0:side, 0:side] / SUPERSAMPLING + phase * 3.0
    if texture == "striped":  # 45 degrees: a horizontal run of 14 px is a stripe period of 10 px
        mask = (x + y) % 14.0 < 6.2
    elif texture == "dotted":
        near = [((x + dx) % PERIOD - PERIOD / 2) ** 2 + ((y + dx) % PERIOD - PERIOD / 2) ** 2 for dx in (0, PERIOD / 2)]
        mask = np.minimum(*near) < 2.7**2
    elif texture == "checkered":
        mask = ((x % PERIOD) < PERIOD / 2) == ((y % PERIOD) < PERIOD / 2)
    else:
        mask = np.zeros((side, side), dtype=np.bool_)
    mask.flags.writeable = False
    return mask


def pattern(texture: str, size_wh: tuple[int, int], phase: int = 0) -> NDArray[np.bool_]:
    """Where the second tone lies, `[height, width]` in supersampled pixels; `phase` (modulo 4) moves the pattern."""
    tile = _tile(texture, phase % 4)
    width, height = size_wh
    if max(size_wh) > len(tile):
        tile = np.tile(tile, (-(-height // len(tile)), -(-width // len(tile))))
    return tile[:height, :width]

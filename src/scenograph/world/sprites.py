"""Rasterises the drawings of the small world's nouns: one parametric vector sprite per noun, ours, drawn with Pillow.

A drawing is a list of figures with roles. They are painted as role numbers into one 8-bit canvas at three times the
size, the outline and the pattern are set on role numbers too, and only then a palette turns numbers into RGBA, which is
reduced to the asked size with premultiplied alpha. Training draws millions of sprites, so everything that does not
depend on the size is cached. Where a sprite stands in a scene is decided in `scenes`; backgrounds are in `backgrounds`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import lru_cache
from random import Random

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw

from scenograph.errors import WorldError
from scenograph.world import sprites_animals, sprites_shaped, sprites_things
from scenograph.world.backgrounds import draw_background
from scenograph.world.figures import Part, Points, Role
from scenograph.world.textures import SUPERSAMPLING, palette, pattern
from scenograph.world.vocabulary import COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, TEXTURES

__all__ = ["VARIANTS", "draw_background", "draw_sprite"]

VARIANTS = 64  # any int is a valid variant; it is taken modulo this number so that drawings can be cached

_FREE: dict[str, Callable[[Random], list[Part]]] = {
    "person": sprites_animals.person,
    "dog": sprites_animals.dog,
    "cat": sprites_animals.cat,
    "elephant": sprites_animals.elephant,
    "giraffe": sprites_animals.giraffe,
    "bird": sprites_animals.bird,
    "teddy bear": sprites_animals.teddy_bear,
    "car": sprites_things.car,
    "bus": sprites_things.bus,
    "boat": sprites_things.boat,
    "airplane": sprites_things.airplane,
    "chair": sprites_things.chair,
    "tv": sprites_things.tv,
    "umbrella": sprites_things.umbrella,
    "potted plant": sprites_things.potted_plant,
    "cup": sprites_things.cup,
    "bottle": sprites_things.bottle,
    "book": sprites_things.book,
    "apple": sprites_shaped.apple,
    "banana": sprites_shaped.banana,
}
_SHAPED: dict[str, Callable[[Random, str | None], list[Part]]] = {
    "clock": sprites_shaped.clock,
    "vase": sprites_shaped.vase,
    "pizza": sprites_shaped.pizza,
    "cake": sprites_shaped.cake,
}


def draw_sprite(
    noun: str,
    size_wh: tuple[int, int],
    *,
    colour: str,
    texture: str = "plain",
    shape: str | None = None,
    flip: bool = False,
    variant: int = 0,
) -> Image.Image:
    """An RGBA image of exactly `size_wh` pixels whose drawing touches all four edges.

    `shape` is for clock, vase, pizza and cake only; None gives the natural one. `variant` moves small proportions,
    `flip` mirrors. Raises WorldError for words outside the vocabulary and for sizes below one pixel.
    """
    _check(noun, size_wh, colour, texture, shape)
    roles = _paint(noun, shape, variant % VARIANTS, size_wh)
    height, width = roles.shape
    _outline(roles, size_wh)
    if texture != "plain":
        second = pattern(texture, (width, height), variant)
        roles[(roles == Role.BODY) & second] = Role.SECOND
    rgba = palette(colour)[roles]
    image = Image.frombuffer("RGBA", (width, height), rgba.tobytes(), "raw", "RGBA", 0, 1).reduce(SUPERSAMPLING)
    return image.transpose(Image.Transpose.FLIP_LEFT_RIGHT) if flip else image


def _check(noun: str, size_wh: tuple[int, int], colour: str, texture: str, shape: str | None) -> None:
    asked = (("noun", noun, tuple(NOUNS)), ("colour", colour, tuple(COLOURS)), ("texture", texture, TEXTURES))
    for what, word, known in asked:
        if word not in known:
            raise WorldError(f"unknown {what} {word!r}; expected one of {', '.join(known)}. Use a word of that list.")
    if shape is not None and (shape not in SHAPES or noun not in SHAPED_NOUNS):
        raise WorldError(
            f"shape {shape!r} for {noun!r}; expected one of {', '.join(SHAPES)} for {', '.join(SHAPED_NOUNS)} and None "
            "for other nouns. Leave the shape out or change the noun."
        )
    if len(size_wh) != 2 or min(size_wh) < 1:
        raise WorldError(f"sprite size {size_wh!r}; expected (width, height), each at least 1 pixel. Enlarge the box.")


@lru_cache(maxsize=4096)
def _drawing(noun: str, shape: str | None, variant: int) -> tuple[Points, tuple[tuple[int, int, int], ...]]:
    """All points of a drawing scaled onto the unit square, and (role, first, last) of each figure."""
    random = Random(f"{noun} {variant}")
    parts = _SHAPED[noun](random, shape) if noun in _SHAPED else _FREE[noun](random)
    solid = np.concatenate([points for role, points in parts if role != Role.HOLE])
    low, high = solid.min(axis=0), solid.max(axis=0)
    spans, first = [], 0
    for role, points in parts:
        spans.append((int(role), 2 * first, 2 * (first + len(points))))
        first += len(points)
    unit: Points = (np.concatenate([points for _, points in parts]) - low) / (high - low)
    return unit, tuple(spans)


def _paint(noun: str, shape: str | None, variant: int, size_wh: tuple[int, int]) -> NDArray[np.uint8]:
    """Role numbers, `[height, width]` in supersampled pixels."""
    unit, spans = _drawing(noun, shape, variant)
    width, height = size_wh[0] * SUPERSAMPLING, size_wh[1] * SUPERSAMPLING
    canvas = Image.new("L", (width, height), 0)
    polygon = ImageDraw.Draw(canvas).polygon
    flat = (unit * (width - 1, height - 1)).ravel().tolist()
    for role, first, last in spans:
        polygon(flat[first:last], fill=role)
    return np.array(canvas)


def _outline(roles: NDArray[np.uint8], size_wh: tuple[int, int]) -> None:
    """Sets the rim of the silhouette, about one final pixel wide (less on small sprites), to the outline role."""
    radius = 1 if min(size_wh) < 20 else 2 if min(size_wh) < 40 else 3
    inside = roles > 0
    rows = np.pad(inside, radius)
    height, width = inside.shape
    core = rows[:height].copy()
    for shift in range(1, 2 * radius + 1):
        core &= rows[shift : shift + height]
    eroded = core[:, :width].copy()
    for shift in range(1, 2 * radius + 1):
        eroded &= core[:, shift : shift + width]
    roles[inside & ~eroded] = Role.OUTLINE

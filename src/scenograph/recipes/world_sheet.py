"""Pictures of the small world for people: every noun in every colour, and scenes beside their boxes."""

from __future__ import annotations

from random import Random

from PIL import Image

from scenograph.drawing import contact_sheet, draw_layout, side_by_side
from scenograph.world.contact_sheet import fitted
from scenograph.world.scenes import scene_at
from scenograph.world.sprites import draw_sprite
from scenograph.world.vocabulary import COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, TEXTURES

__all__ = ["nouns_sheet", "scenes_sheet"]

_PAPER = (206, 212, 212)


def nouns_sheet(*, seed: int = 0, side: int = 72) -> Image.Image:
    """One column per noun, one row per colour; textures, and shapes where a noun has them, take turns."""
    random = Random(seed)
    rows = []
    for row, colour in enumerate(COLOURS):
        rows.append([_sprite(noun, colour, row + column, side, random) for column, noun in enumerate(NOUNS)])
    return contact_sheet(rows, row_labels=list(COLOURS), column_labels=list(NOUNS), gap=2)


def _sprite(noun: str, colour: str, turn: int, side: int, random: Random) -> Image.Image:
    texture, shape = TEXTURES[turn % len(TEXTURES)], SHAPES[turn % len(SHAPES)] if noun in SHAPED_NOUNS else None
    size = fitted(noun, side)
    sprite = draw_sprite(noun, size, colour=colour, texture=texture, shape=shape, variant=random.randrange(64))
    cell = Image.new("RGB", (side + 12, side + 12), _PAPER)
    cell.paste(sprite, ((cell.width - size[0]) // 2, (cell.height - size[1]) // 2), sprite)
    return cell


def scenes_sheet(*, seed: int = 0, rows: int = 3, columns: int = 4) -> Image.Image:
    """Training scenes with their boxes, each over its caption."""
    grid: list[list[Image.Image | None]] = [[] for _ in range(rows)]
    for index in range(rows * columns):
        scene = scene_at(index, seed=seed)
        boxed = draw_layout(scene.layout, scene.draw(256), size=(256, 256))
        grid[index // columns].append(side_by_side([boxed], [scene.layout.caption]))
    return contact_sheet(grid)

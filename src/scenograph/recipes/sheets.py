"""Pictures of the small world and its painters for people: nouns, scenes, reconstructions, plain against guided."""

from __future__ import annotations

from collections.abc import Callable
from random import Random
from typing import Any

import numpy as np
import torch
from PIL import Image

from scenograph.drawing import contact_sheet, draw_layout, side_by_side
from scenograph.models.embedded import WINWINLAY
from scenograph.painting import Painter
from scenograph.world.contact_sheet import fitted
from scenograph.world.scenes import scene_at
from scenograph.world.sprites import draw_sprite
from scenograph.world.vocabulary import COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, TEXTURES

__all__ = ["SHEETS", "guided_sheet", "nouns_sheet", "reconstructions_sheet", "scenes_sheet"]

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


@torch.no_grad()
def reconstructions_sheet(*, seed: int = 0, pairs: int = 16, columns: int = 8) -> Image.Image:
    """Held-out scenes, each over what tiny-sd's autoencoder makes of it."""
    vae = Painter.from_pretrained("tiny-sd").pipeline.vae
    rows: list[list[Image.Image | None]] = []
    for first in range(0, pairs, columns):
        scenes = [scene_at(i, seed=seed, split="test").draw() for i in range(first, first + columns)]
        x = torch.from_numpy(np.stack([np.asarray(s) for s in scenes])).permute(0, 3, 1, 2) / 127.5 - 1
        seen = vae.decode(vae.encode(x.to(vae.dtype)).latent_dist.mean).sample.clamp(-1, 1)
        pixels = ((seen.permute(0, 2, 3, 1) + 1) * 127.5).round().byte().cpu().numpy()
        rows += [list(scenes), [Image.fromarray(p) for p in pixels]]
    return contact_sheet(rows, row_labels=["drawn", "VAE"] * (len(rows) // 2), gap=2)


def guided_sheet(*, seed: int = 0, layouts: int = 8, steps: int = 50) -> Image.Image:
    """Held-out layouts with 1-4 objects: the boxes; tiny-sd plain and with WinWinLay; the models that learned boxes."""
    asked = [scene_at(i, seed=seed, split="test", count=1 + i % 4).layout for i in range(layouts)]
    seeds = list(range(seed, seed + layouts))
    rows: list[list[Image.Image | None]] = [[draw_layout(layout, size=(256, 256)) for layout in asked]]
    painters = {"plain": ("tiny-sd", "plain"), "WinWinLay": ("tiny-sd", WINWINLAY), "GLIGEN": ("tiny-gligen", "plain")}
    for model, method in painters.values():
        painter = Painter.from_pretrained(model)
        options: dict[str, Any] = {k: v for k, v in painter.defaults.items() if k != "method"}
        options |= {"guidance": method, "steps": steps, "batch_size": layouts, "progress": False}
        made = painter.paint(asked, seeds=seeds, **options)
        rows.append([draw_layout(p.layout, p.image, size=(256, 256)) for p in made])
    captions = [layout.caption for layout in asked]
    return contact_sheet(rows, row_labels=["asked", *painters], column_labels=captions, gap=4)


SHEETS: dict[str, Callable[..., Image.Image]] = {
    "nouns": nouns_sheet,
    "scenes": scenes_sheet,
    "reconstructions": reconstructions_sheet,
    "guided": guided_sheet,
}

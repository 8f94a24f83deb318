"""A numbered, shuffled sheet of unlabelled sprites, by which a viewer who does not know the nouns can be tested.

`python -m scenograph.world.contact_sheet SHEET.png KEY.json [SEED]` writes the sheet and, apart from it, its key.
"""

from __future__ import annotations

import json
import sys
from pathlib import Path
from random import Random

from PIL import Image, ImageDraw

from scenograph.world.sprites import draw_sprite
from scenograph.world.vocabulary import COLOURS, NOUNS

__all__ = ["contact_sheet", "fitted"]


def fitted(noun: str, side: int) -> tuple[int, int]:
    """The largest (width, height) of the noun's typical proportions in a square of `side` pixels."""
    ratio = NOUNS[noun][0]
    return (side, max(1, round(side / ratio))) if ratio >= 1 else (max(1, round(side * ratio)), side)


def contact_sheet(*, seed: int = 0, side: int = 56, scale: int = 3, columns: int = 6) -> tuple[Image.Image, list[str]]:
    """All nouns once, plain, in random order, colour and variant, drawn at real size and enlarged; and their order."""
    random = Random(seed)
    nouns = random.sample(list(NOUNS), len(NOUNS))
    cell = side + 12
    sheet = Image.new("RGB", (columns * cell, -(-len(nouns) // columns) * cell), (206, 212, 212))
    places = [(i % columns * cell, i // columns * cell) for i in range(len(nouns))]
    for noun, (x, y) in zip(nouns, places, strict=True):
        size = fitted(noun, side)
        sprite = draw_sprite(noun, size, colour=random.choice(list(COLOURS)), variant=random.randrange(64))
        sheet.paste(sprite, (x + (cell - size[0]) // 2, y + 10 + (side - size[1]) // 2), sprite)
    sheet = sheet.resize((sheet.width * scale, sheet.height * scale), Image.Resampling.NEAREST)
    draw = ImageDraw.Draw(sheet)
    for number, (x, y) in enumerate(places, start=1):
        draw.text((x * scale + 6, y * scale + 4), str(number), fill=(0, 0, 0), font_size=22)
    return sheet, nouns


if __name__ == "__main__":
    image, order = contact_sheet(seed=int(sys.argv[3]) if len(sys.argv) > 3 else 0)
    image.save(sys.argv[1])
    Path(sys.argv[2]).write_text(json.dumps(dict(enumerate(order, start=1)), indent=1))

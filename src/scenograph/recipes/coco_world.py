"""Chooses real COCO layouts for the guidance benchmark and writes them as layouts: `benchmarks/coco_world.jsonl`.

    python -m scenograph.recipes.coco_world coco_layouts.jsonl benchmarks/coco_world.jsonl

The input is JSON Lines of pictures, {"image_id": 872, "instances": [{"caption": COCO's class, "box": [x0, y0, x1, y1]
in fractions}, …]}; ours were the 1455 pictures of COCO val2017 with 2–6 boxes over 2 % of their area. Only boxes and
class names are used. Of each picture the world's nouns stay, told anew, so that every phrase is in the caption.

A picture is left out when a side of a box is shorter than a tenth of the canvas, or when more than half of its
instances are persons (which are half of all COCO boxes). Pictures are taken by a hash of their number, `QUOTAS` of
each count of objects, so that pictures of one object, most common once other nouns are gone, do not prevail.
"""

from __future__ import annotations

import json
import sys
from collections import Counter
from collections.abc import Mapping, Sequence
from hashlib import blake2b
from pathlib import Path
from random import Random
from typing import Any

from scenograph.errors import LayoutError, ScenographError
from scenograph.layout import Instance, Layout, save_layouts
from scenograph.world.captions import Stated, tell
from scenograph.world.vocabulary import NOUNS

__all__ = ["QUOTAS", "choose", "main", "read_rows"]

QUOTAS = {1: 40, 2: 80, 3: 60, 4: 40, 5: 20, 6: 10}
"""Objects in a picture → how many such pictures at most."""
SMALLEST_SIDE = 0.1
PERSONS = 0.5
"""Largest share of persons in a picture."""


def read_rows(path: str | Path) -> list[tuple[str, Layout]]:
    """(image number, layout) of every usable row. Raises LayoutError when the file cannot be read or is none."""
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        usable = [(str(row["image_id"]), layout) for row in rows if (layout := _layout(row)) is not None]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LayoutError(f"{path}: {error}; expected JSON Lines of COCO rows with image_id and instances") from error
    return usable


def choose(rows: Sequence[tuple[str, Layout]], quotas: Mapping[int, int] = QUOTAS) -> list[Layout]:
    """The layouts of the benchmark: `quotas` of every count of objects, in an order that mixes the counts."""
    left = Counter(quotas)
    chosen = []
    for _, layout in sorted(rows, key=lambda row: blake2b(row[0].encode()).digest()):
        if left[len(layout.instances)] > 0:
            left[len(layout.instances)] -= 1
            chosen.append(layout)
    return chosen


def _layout(row: Mapping[str, Any]) -> Layout | None:
    known = [Instance.from_dict(one) for one in row["instances"] if one["caption"] in NOUNS]
    persons = sum(one.label == "person" for one in known)
    if not known or persons > PERSONS * len(known):
        return None
    if any(min(one.box.width, one.box.height) < SMALLEST_SIDE for one in known):
        return None
    told = tell([Stated(noun=one.label, word=one.label) for one in known], Random(f"coco/{row['image_id']}"))
    instances = tuple(
        Instance(caption=caption, label=one.label, phrase=phrase, box=one.box)
        for one, caption, phrase in zip(known, told.captions, told.phrases, strict=True)
    )
    return Layout(caption=told.caption, instances=instances)


def main(arguments: Sequence[str]) -> int:
    """ROWS.jsonl LAYOUTS.jsonl → exit status."""
    if len(arguments) != 2:
        print("usage: python -m scenograph.recipes.coco_world ROWS.jsonl LAYOUTS.jsonl", file=sys.stderr)
        return 2
    try:
        layouts = choose(read_rows(arguments[0]))
        save_layouts(arguments[1], layouts)
    except ScenographError as error:
        print(error, file=sys.stderr)
        return 2
    print(f"{arguments[1]}: {len(layouts)} layouts")
    return 0


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))

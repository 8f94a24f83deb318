"""Measures how large COCO's classes usually are in a picture: the table `MEASURED` of `planning.sizes`.

    python -m scenograph.recipes.noun_sizes coco_layouts.jsonl

The input is JSON Lines of pictures, {"width", "height", "instances": [{"caption": class, "box": [x0, y0, x1, y1] in
fractions}, …]}. An extent is the square root of a box's area. It is taken as the noun's extent times the picture's (how
near the camera stood), and both are found by median polish; pictures give way by four fifths, because most hold few
boxes. Prints "noun extent aspect", the classes with at least five boxes. Takes a second.
"""

from __future__ import annotations

import json
import math
import sys
from collections import defaultdict
from pathlib import Path
from statistics import median
from typing import TypeVar

__all__ = ["main", "measure"]

FEWEST = 5
ROUNDS = 20
GIVING_WAY = 0.8
_Key = TypeVar("_Key", int, str)


def measure(path: str | Path) -> dict[str, tuple[float, float]]:
    """Noun → (extent, aspect), by increasing noun."""
    sizes: list[tuple[int, str, float]] = []
    aspects: defaultdict[str, list[float]] = defaultdict(list)
    for picture, line in enumerate(Path(path).read_text(encoding="utf-8").splitlines()):
        row = json.loads(line)
        for instance in row["instances"]:
            x0, y0, x1, y1 = instance["box"]
            noun = instance["caption"]
            sizes.append((picture, noun, math.log((x1 - x0) * (y1 - y0)) / 2))
            aspects[noun].append((x1 - x0) * row["width"] / ((y1 - y0) * row["height"]))
    nouns: dict[str, float] = {}
    pictures: defaultdict[int, float] = defaultdict(float)
    for _ in range(ROUNDS):
        nouns = _medians([(noun, size - pictures[picture]) for picture, noun, size in sizes])
        rest = _medians([(picture, size - nouns[noun]) for picture, noun, size in sizes])
        pictures.update({picture: GIVING_WAY * value for picture, value in rest.items()})
    common = sorted(noun for noun, listed in aspects.items() if len(listed) >= FEWEST)
    return {noun: (math.exp(nouns[noun]), median(aspects[noun])) for noun in common}


def _medians(pairs: list[tuple[_Key, float]]) -> dict[_Key, float]:
    groups: defaultdict[_Key, list[float]] = defaultdict(list)
    for key, value in pairs:
        groups[key].append(value)
    return {key: median(values) for key, values in groups.items()}


def main(arguments: list[str]) -> None:
    """Print the table."""
    print(", ".join(f"{noun} {extent:.2f} {aspect:.2f}" for noun, (extent, aspect) in measure(arguments[0]).items()))


if __name__ == "__main__":
    main(sys.argv[1:])

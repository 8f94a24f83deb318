"""NSR-1K scored as the public scripts score it, for conformance with published figures and for nothing else.

After eval_counting_layout.py and eval_spatial_layout.py of LayoutGPT. Their quirks are kept because published figures
have them: articles are stripped as sets of characters ("apple" → "pple"), names match by substring and the last match
wins, extra objects never cost accuracy, any pair of boxes may show a relation. What a layout is worth by the words of
its prompt says `nsr1k_strict`.
"""

from __future__ import annotations

import difflib
import math
from collections import Counter
from collections.abc import Sequence

from scenograph.judging.nsr1k import CountingRow, Seen, SpatialRow

__all__ = ["official_counting", "official_relation", "official_spatial"]

_HALF_RIGHT_ANGLE = math.sqrt(2) / 2


def official_counting(row: CountingRow, objects: Sequence[Seen]) -> dict[str, float]:
    """The scores of one try at a counting prompt: "accuracy", and except for comparisons "precision", "recall", "iou"
    (0 to 1) and "mae" (objects).

    A benchmark's score is the plain mean over all tries at all prompts that have it.
    """
    found = Counter(_official_name(name, row) for name, _ in objects if name is not None)
    if row.kind == "comparison":
        (_, one), (_, two) = row.counts
        first, second = (found[name] for name, _ in row.counts)
        equal = one == two == first == second
        return {"accuracy": float(equal or (one == first and (one - two) * (first - second) > 0))}
    pairs = [(found[name], count) for name, count in row.counts]
    shared = sum(min(pair) for pair in pairs)
    return {
        "accuracy": float(all(seen == count for seen, count in pairs)),
        "precision": shared / found.total() if shared else 0.0,
        "recall": shared / sum(count for _, count in pairs) if shared else 0.0,
        "iou": shared / sum(max(pair) for pair in pairs) if shared else 0.0,
        "mae": sum(abs(seen - count) for seen, count in pairs) / len(pairs) if pairs else 0.0,
    }


def _official_name(name: str, row: CountingRow) -> str:
    """Each category of the row in turn may take the name over, also one taken over by a category before it."""
    for category, _ in row.counts:
        stripped = name.lstrip("a ").lstrip("an ").lstrip("the ")  # sets of characters, as published
        if stripped in category or category in stripped:
            name = category
    return name


def official_spatial(row: SpatialRow, objects: Sequence[Seen]) -> bool | None:
    """Whether any pair of boxes shows the relation; None (a miss, which counts as wrong) when an object is absent."""
    named = [(name, sides) for name, sides in objects if sides != (0, 0, 0, 0) and name is not None]
    first, second = _closest(row.first, named), _closest(row.second, named)
    if not first or not second:
        return None
    relations = {official_relation(one, two) for one in first for two in second}
    wanted = {"left", "right"} if row.relation == "next to" else {row.relation}
    return bool(relations & wanted)


def _closest(name: str, objects: Sequence[tuple[str, tuple[float, ...]]]) -> list[tuple[float, ...]]:
    """All boxes of the one name that difflib finds most alike."""
    closest = difflib.get_close_matches(name, [seen for seen, _ in objects])[:1]
    return [sides for seen, sides in objects if seen in closest]


def official_relation(one: Sequence[float], two: Sequence[float]) -> str:
    """Where the first box (x0, y0, x1, y1) is, seen from the second: left, right, top, bottom or diagonal."""
    dx = (one[0] + one[2]) / 2 - (two[0] + two[2]) / 2
    dy = (one[1] + one[3]) / 2 - (two[1] + two[3]) / 2
    distance = math.sqrt(dx**2 + dy**2)
    if distance == 0:
        return "diagonal"
    cosine, sine = dx / distance, -dy / distance
    for name, value in (("right", cosine), ("top", sine), ("left", -cosine), ("bottom", -sine)):
        if value > _HALF_RIGHT_ANGLE:
            return name
    return "diagonal"

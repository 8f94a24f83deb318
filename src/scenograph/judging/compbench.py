"""The box scores of T2I-CompBench (Huang et al. 2023): 2D spatial, 3D spatial, numeracy, over what was seen.

They take a Layout, so the same functions score detections in a picture (instances with `score`) and a planned layout as
if every instance had been detected perfectly (no score counts as 1). After UniDet_eval/2D_spatial_eval.py,
3D_spatial_eval.py and numeracy_eval.py of the official repository, with the official thresholds: the picture is taken
with its shorter side at 479 pixels, near is within 150 of them, spatial scores below a half are nothing.

What differs: who is asked for comes from `asked_relation` and `asked_counts`, small rules for the benchmark's own
patterns, where the official scripts ask spaCy for nouns and a list of objects. Depth comes from a function: of a depth
map for pictures (`depth_in`), of the lower edge for layouts (`depth_of_ground`: what stands lower stands nearer, as in
`statement.holds`).
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenograph.layout import Box, Layout, head_noun
from scenograph.layout.words import COMPOUNDS, singular

__all__ = [
    "COUNTED",
    "PEOPLE",
    "Asked",
    "asked_counts",
    "asked_relation",
    "depth_in",
    "depth_of_ground",
    "numeracy_score",
    "spatial_3d_score",
    "spatial_score",
]

Depth = Callable[[Box], float]
"""How near a box's thing is; larger is nearer."""

PEOPLE = {"girl": "person", "boy": "person", "man": "person", "woman": "person"}
"""What the official detector calls them. For layouts whose labels are the prompt's own words give {} instead."""
COUNTED = {**PEOPLE, "ship": "boat", "telivision": "tv", "goldfish": "fish", "painting": "picture"}
"""The same for numeracy, with the official spelling."""
_SHORT_SIDE = 479
_NEAR = 150
_IOU_2D, _IOU_3D = 0.1, 0.5
_BESIDE = ("on side of", "next to", "near")
_FLAT = (*_BESIDE, "on the left of", "on the right of", "on the bottom of", "on the top of", "on top of")
_DEEP = ("in front of", "behind", "hidden")
_NUMBERS = {"a": 1, "an": 1} | {
    word: number for number, word in enumerate("one two three four five six seven eight".split(), start=1)
}


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A prompt's question: where `first` is, seen from `second`, in the benchmark's wording."""

    first: str
    second: str
    locality: str


def asked_relation(prompt: str, *, deep: bool = False) -> Asked | None:
    """What a prompt of the spatial (`deep`: 3D spatial) category asks; None without one of its wordings.

    Wordings are looked for in the official order, and the first that occurs counts.
    """
    locality = next((words for words in (_DEEP if deep else _FLAT) if words in prompt), None)
    if locality is None:
        return None
    before, _, after = prompt.partition(locality)
    after = after.removeprefix(" by")
    if not before.strip(" .,") or not after.strip(" .,"):
        return None
    return Asked(first=head_noun(before), second=head_noun(after), locality=locality)


def asked_counts(prompt: str, nouns: Collection[str] = COMPOUNDS) -> tuple[tuple[str, int], ...]:
    """(noun in the singular, number) of everything a prompt of the numeracy category counts.

    Args:
        nouns: two-word nouns to keep together; the official script has them in new_objects.txt.
    """
    words = re.findall(r"[a-z-]+|[^\sa-z]", prompt.lower())
    asked = []
    for index, word in enumerate(words[:-1]):
        if word not in _NUMBERS or not words[index + 1].isalpha():
            continue
        one, two = words[index + 1], " ".join(words[index + 1 : index + 3])
        pair = " ".join([one, singular(two.rpartition(" ")[2])])
        asked.append((pair if pair in nouns else singular(one), _NUMBERS[word]))
    return tuple(asked)


def spatial_score(seen: Layout, asked: Asked, *, aliases: dict[str, str] = PEOPLE) -> float:
    """The 2D score, 0 to 1: a quarter for each object's confidence, half for the relation, below a half nothing.

    The first instance of each exact label counts. "on top of" has no rule in the official script and scores nothing for
    its relation.
    """
    labels = [instance.label for instance in seen.instances]
    places = [
        labels.index(name) if name in labels else None
        for name in (aliases.get(asked.first, asked.first), aliases.get(asked.second, asked.second))
    ]
    score = _mixed(seen, places, lambda one, two: _position(asked.locality, *_on_canvas(seen, one, two)))
    return score if score >= 0.5 else 0.0


def spatial_3d_score(
    seen: Layout, asked: Asked, *, depth: Depth | None = None, aliases: dict[str, str] = PEOPLE
) -> float:
    """The 3D score, 0 to 1: as `spatial_score`, without its lower limit, labels matched by substring.

    Args:
        depth: nearness of a box's thing; None takes the ground's, for layouts.
    """
    nearness = depth or depth_of_ground
    first, second = (aliases.get(name, name) for name in (asked.first, asked.second))
    places = _last_before_both([instance.label for instance in seen.instances], first, second)

    def position(one: Box, two: Box) -> float:
        difference = nearness(one) - nearness(two)
        if not (difference > 0 if asked.locality == "in front of" else difference < 0):
            return 0.0
        iou = one.iou(two)
        return 0.0 if iou == _IOU_3D else min(1.0, iou / _IOU_3D)  # exactly one half scores nothing, as published

    return _mixed(seen, places, position)


def depth_of_ground(box: Box) -> float:
    """Nearness where there is only a layout: how far down the box stands."""
    return box.y1


def depth_in(map_HW: NDArray[np.floating], *, transposed: bool = True) -> Depth:
    """Nearness in a picture: the mean of a depth map (H, W; larger is nearer) in the box.

    Args:
        transposed: read the box with x as the row, as the official script does; NaN, which is neither nearer nor
            farther, where that leaves nothing.
    """
    height, width = map_HW.shape

    def mean(box: Box) -> float:
        x0, y0, x1, y1 = map(int, box.to_pixels((width, height)))
        part = map_HW[x0:x1, y0:y1] if transposed else map_HW[y0:y1, x0:x1]
        return float(part.mean()) if part.size else float("nan")

    return mean


def numeracy_score(seen: Layout, asked: Sequence[tuple[str, int]], *, aliases: dict[str, str] = COUNTED) -> float:
    """The numeracy score, 0 to 1: of every noun's share half for being there, half for its exact number.

    Instances that nearly cover one of the same label are the same thing. A label that contains the noun will do.
    """
    labels = _distinct(seen)
    score = 0.0
    for noun, number in asked:
        name = aliases.get(noun, noun)
        if name not in labels:
            labels = [name if name in label else label for label in labels]
        count = Counter(labels)[name]
        score += (0.5 * (count > 0) + 0.5 * (count > 0 and count == number)) / len(asked)
    return score


def _mixed(seen: Layout, places: Sequence[int | None], position: Callable[[Box, Box], float]) -> float:
    """A quarter of each confidence, and half of the position's score where both are there."""
    found = [seen.instances[place] for place in places if place is not None]
    score = sum(0.25 * (1.0 if instance.score is None else instance.score) for instance in found)
    return score + position(found[0].box, found[1].box) / 2 if len(found) == 2 else score


def _last_before_both(labels: Sequence[str], first: str, second: str) -> list[int | None]:
    """The official search: it goes on, and overwrites, until both have been found; alone, the first one counts."""
    one = two = None
    both = any(first in label for label in labels) and any(second in label for label in labels)
    for index, label in enumerate(labels):
        one = index if first in label and (both or one is None) else one
        two = index if second in label and (both or two is None) else two
        if one is not None and two is not None:
            break
    return [one, two]


def _on_canvas(seen: Layout, one: Box, two: Box) -> tuple[float, float, float]:
    """(dx, dy, IoU): from the first middle to the second, with the canvas' shorter side at 479 pixels."""
    width, height = seen.size or (1, 1)
    scale = _SHORT_SIDE / min(width, height)
    dx, dy = (b - a for a, b in zip(one.center, two.center, strict=True))
    return dx * width * scale, dy * height * scale, one.iou(two)


def _position(locality: str, dx: float, dy: float, iou: float) -> float:
    if locality in _BESIDE:
        return 1.0 if abs(dx) < _NEAR or abs(dy) < _NEAR else _NEAR / max(abs(dx), abs(dy))
    holds = {
        "on the left of": dx > abs(dy),
        "on the right of": -dx > abs(dy),
        "on the top of": dy > abs(dx),
        "on the bottom of": -dy > abs(dx),
    }.get(locality, False)
    if not holds:
        return 0.0
    return 1.0 if iou < _IOU_2D else _IOU_2D / iou


def _distinct(seen: Layout) -> list[str]:
    """Labels, without those of boxes that cover, or are covered by, an earlier box of the same label."""
    kept: list[tuple[str, tuple[float, ...]]] = []
    width, height = seen.size or (_SHORT_SIDE, _SHORT_SIDE)
    scale = _SHORT_SIDE / min(width, height)
    for instance in seen.instances:
        sides = tuple(side * scale for side in instance.box.to_pixels((width, height)))
        if not any(label == instance.label and _same(sides, other) for label, other in kept):
            kept.append((instance.label, sides))
    return [label for label, _ in kept]


def _same(one: Sequence[float], two: Sequence[float]) -> bool:
    """More than nine tenths of either box (or of both together) in common, sides counted in whole pixels."""
    shared = max(0, min(one[2], two[2]) - max(one[0], two[0]) + 1) * max(
        0, min(one[3], two[3]) - max(one[1], two[1]) + 1
    )
    areas = [(box[2] - box[0] + 1) * (box[3] - box[1] + 1) for box in (one, two)]
    return max(shared / areas[0], shared / areas[1], shared / (sum(areas) - shared)) > 0.9

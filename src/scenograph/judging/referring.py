"""Referring expressions: one box for each expression, scored as Ref-L4 does (Chen et al. 2024, evaluation.py).

    acc50, acc75, acc90         percent of expressions whose box has an IoU above 0.5, 0.75, 0.9
    macc                        the mean of these percentages over 0.5, 0.55, …, 0.95
    small_acc50, small_macc, …  the same for small, medium and large things: √(w·h) in pixels of the picture below
                                128, up to 256, above
    iou                         the mean IoU, which is not in the protocol

The protocol's traps: an IoU must be *above* a threshold, not reach it; exactly 128 and exactly 256 are medium; an
expression without a box, or with one that cannot be read, stays in the denominator with IoU 0. IoUs and sizes are
rounded as float32 would be, so that fractions of the canvas decide ties as whole pixels do. Two differences: a box that
reaches beyond the canvas is cut there (officially it is scored as it is), and the official class average merges COCO's
classes into Objects365's by a table; `class_means` takes the labels as they are given.

An asked layout is a picture: every instance's caption is an expression, its box the truth, its label the class; `size`
is in pixels. Pictures are what intervals resample, because expressions of one picture are not independent.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from itertools import islice
from math import sqrt
from typing import Protocol, runtime_checkable

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Estimate, Tally
from scenograph.judging.detection import Detector, canonical
from scenograph.layout import Box, Instance, Layout

__all__ = [
    "SIZES",
    "THRESHOLDS",
    "PhraseGrounder",
    "class_means",
    "grounded_boxes",
    "in_asked_order",
    "referring_tallies",
    "size_class",
]

THRESHOLDS = tuple(percent / 100 for percent in range(50, 100, 5))
SIZES = ("small", "medium", "large")
_ACCURACIES = {"acc50": 0.5, "acc75": 0.75, "acc90": 0.9}
_BY_SIZE = ("acc50", "macc")
_SMALL, _LARGE = 128, 256
_DIGITS = 7  # of float32, in which the official evaluation computes IoUs

Boxes = Sequence[Box | None]


@runtime_checkable
class PhraseGrounder(Protocol):
    """Finds what phrases speak of; `grounding.unified.UnifiedGrounder` is one."""

    def ground(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[Layout]:
        """One layout per image; every instance's caption is one of the image's own phrases."""


def size_class(box: Box, size: tuple[int, int]) -> str:
    """ "small", "medium" or "large" of a box in a picture of `size` pixels."""
    _, _, width, height = box.to_xywh(size)
    side = round(sqrt(width * height), _DIGITS)
    return SIZES[(side >= _SMALL) + (side > _LARGE)]


def grounded_boxes(
    images: Iterable[Image.Image],
    asked: Sequence[Layout],
    grounder: PhraseGrounder | Detector,
    *,
    batch_size: int = 16,
    together: bool = False,
) -> list[list[Box | None]]:
    """One box, or None, for every instance of every asked layout, looked for by its caption in the image at its place.

    Args:
        images: pictures in the order of the layouts; taken `batch_size` at a time, so they may be read on the way.
        grounder: with `ground` it is asked for one expression at a time (as the protocol does) or, `together`, for all
            of a picture's. A detector with an open vocabulary is asked for the expression as its only word; of one
            with labels of its own the instance's label counts, and nothing else that the expression says. Either
            way its surest box is taken: load it with a threshold of 0, or what it is unsure of counts as missing.

    Raises:
        ResultError: as many images as layouts were expected, or a detector was to be asked `together`.
    """
    if together and not isinstance(grounder, PhraseGrounder):
        raise ResultError("a detector cannot be asked for a picture's expressions together; leave `together` out")
    found: list[list[Box | None]] = []
    pictures = iter(images)
    while batch := list(islice(pictures, batch_size)):
        layouts = asked[len(found) : len(found) + len(batch)]
        if len(layouts) < len(batch):
            raise ResultError(f"got more images than the {len(asked)} asked layouts; give one image for each")
        if not isinstance(grounder, PhraseGrounder):
            found += _detected(batch, layouts, grounder)
        else:
            found += _together(batch, layouts, grounder) if together else _one_by_one(batch, layouts, grounder)
    if len(found) < len(asked):
        raise ResultError(f"got {len(found)} images for {len(asked)} asked layouts; give one image for each")
    return found


def _detected(
    images: Sequence[Image.Image], layouts: Sequence[Layout], detector: Detector
) -> Iterator[list[Box | None]]:
    if detector.labels is None:
        for image, layout in zip(images, layouts, strict=True):
            seen = [detector.detect([image], [one.caption])[0] for one in layout.instances]
            yield [_surest(one.instances) for one in seen]
        return
    named = canonical(layouts, detector.labels)
    for layout, those in zip(named, detector.detect(images, detector.labels), strict=True):
        yield [_surest([s for s in those.instances if s.label == one.label]) for one in layout.instances]


def _one_by_one(
    images: Sequence[Image.Image], layouts: Sequence[Layout], grounder: PhraseGrounder
) -> Iterator[list[Box | None]]:
    pairs = [(image, one.caption) for image, layout in zip(images, layouts, strict=True) for one in layout.instances]
    seen = _asked_for(grounder, [image for image, _ in pairs], [[said] for _, said in pairs])
    boxes = iter([_surest(layout.instances) for layout in seen])
    for layout in layouts:
        yield [next(boxes) for _ in layout.instances]


def _together(
    images: Sequence[Image.Image], layouts: Sequence[Layout], grounder: PhraseGrounder
) -> Iterator[list[Box | None]]:
    phrases = [[one.caption for one in layout.instances] for layout in layouts]
    for layout, seen in zip(layouts, _asked_for(grounder, images, phrases), strict=True):
        yield in_asked_order(layout.instances, seen.instances)


def in_asked_order(asked: Sequence[Instance], seen: Sequence[Instance]) -> list[Box | None]:
    """Of every asked instance the box that was found for its caption, None where there is none.

    Nothing tells which of two equal captions is whose ("two dogs"): theirs are shared out so that IoUs are largest.
    """
    from scipy.optimize import linear_sum_assignment

    boxes: list[Box | None] = [None] * len(asked)
    for caption in {one.caption for one in asked}:
        rows = [i for i, one in enumerate(asked) if one.caption == caption]
        found = [one.box for one in seen if one.caption == caption]
        ious = np.array([[asked[i].box.iou(box) for box in found] for i in rows]).reshape(len(rows), len(found))
        for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
            boxes[rows[row]] = found[column]
    return boxes


def _asked_for(
    grounder: PhraseGrounder, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]
) -> list[Layout]:
    seen = grounder.ground(images, phrases) if images else []
    if len(seen) != len(images):
        raise ResultError(f"the grounder answered {len(images)} images with {len(seen)} layouts; expected one for each")
    return seen


def _surest(instances: Sequence[Instance]) -> Box | None:
    """The box with the best score; without scores the first."""
    best = max(instances, key=lambda one: 1.0 if one.score is None else one.score, default=None)
    return None if best is None else best.box


def referring_tallies(asked: Sequence[Layout], seen: Sequence[Boxes]) -> dict[str, Tally]:
    """Every metric of the protocol in percent, per picture, pooled over expressions.

    Args:
        seen: for every asked layout a box for each of its instances; None where there is none.

    Raises:
        ResultError: there is not one place for each expression, or a layout has no size.
    """
    ious = _ious(asked, seen)
    values: dict[str, list[list[float]]] = {name: [] for name in (*_ACCURACIES, "macc", "iou")}
    for row in ious:
        for name, threshold in _ACCURACIES.items():
            values[name].append([100.0 * (iou > threshold) for iou in row])
        values["macc"].append([_mean_accuracy(iou) for iou in row])
        values["iou"].append([100 * iou for iou in row])
    sizes = [[_checked_class(one, layout) for one in layout.instances] for layout in asked]
    for size in SIZES:
        for name in _BY_SIZE:
            pairs = zip(values[name], sizes, strict=True)
            values[f"{size}_{name}"] = [[v for v, s in zip(*row, strict=True) if s == size] for row in pairs]
    return {name: Tally.of(per_picture) for name, per_picture in values.items()}


def class_means(asked: Sequence[Layout], seen: Sequence[Boxes], weights_RN: NDArray[np.int64]) -> dict[str, Estimate]:
    """ "class_acc50" and "class_macc": the mean over labels of the percentages within each. Raises ResultError.

    A resample's mean is over the labels it drew.
    """
    ious = _ious(asked, seen)
    labels = sorted({one.label for layout in asked for one in layout.instances})
    if not labels:
        raise ResultError(f"a mean over classes needs at least one expression, got none in {len(asked)} layouts")

    def over_classes(scores: Sequence[Sequence[float]]) -> Estimate:
        tallies = []
        for label in labels:
            pairs = zip(scores, asked, strict=True)
            of_label = [[v for v, one in zip(row, a.instances, strict=True) if one.label == label] for row, a in pairs]
            tallies.append(Tally.of(of_label).estimate(weights_RN))
        samples_KR = np.stack([one.samples_R for one in tallies])
        return Estimate(value=float(np.mean([one.value for one in tallies])), samples_R=np.nanmean(samples_KR, axis=0))

    return {
        "class_acc50": over_classes([[100.0 * (iou > 0.5) for iou in row] for row in ious]),
        "class_macc": over_classes([[_mean_accuracy(iou) for iou in row] for row in ious]),
    }


def _mean_accuracy(iou: float) -> float:
    return 100 * sum(iou > threshold for threshold in THRESHOLDS) / len(THRESHOLDS)


def _ious(asked: Sequence[Layout], seen: Sequence[Boxes]) -> list[list[float]]:
    lengths = [[len(layout.instances) for layout in asked], [len(boxes) for boxes in seen]]
    if lengths[0] != lengths[1]:
        got = f"{len(asked)} layouts with {sum(lengths[0])} expressions and {len(seen)} rows of {sum(lengths[1])} boxes"
        raise ResultError(f"every expression needs its box or None, got {got}")
    return [
        [0.0 if box is None else round(one.box.iou(box), _DIGITS) for one, box in zip(a.instances, s, strict=True)]
        for a, s in zip(asked, seen, strict=True)
    ]


def _checked_class(one: Instance, layout: Layout) -> str:
    if layout.size is None:
        raise ResultError("an asked layout has no size; expected (width, height) of its picture in pixels")
    return size_class(one.box, layout.size)

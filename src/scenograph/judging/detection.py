"""Where things are: COCO average precision, one-to-one matching and mean IoU of asked layouts against seen ones.

AP, AP50, AP75 and AR are pycocotools' own (Lin et al. 2014; IoU .50:.05:.95, 101 recall points, 100 detections,
area "all"), on fractions of the canvas, in percent. The asked boxes are the truth; categories are the asked labels.
AP uses every detection with its score; matching and mean IoU use those at or above `MATCH_SCORE`, because an
NMS-free detector always has a faint box somewhere near. Resampling recomputes AP from the cached per-image matches
of one COCOeval run, which is exact: see `Coco.estimates`.

What it is not: a judge of attributes or of picture quality.
"""

from __future__ import annotations

import contextlib
import io
from collections.abc import Callable, Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Estimate, Floats, Tally
from scenograph.layout import Instance, Layout
from scenograph.world.captions import noun_of

__all__ = [
    "FOUND_IOU",
    "MATCH_SCORE",
    "Coco",
    "Detector",
    "Match",
    "canonical",
    "detect_asked",
    "detect_each",
    "found_tally",
    "iou_tally",
    "match",
    "mean_iou",
    "unknown_labels",
]

MATCH_SCORE = 0.3
FOUND_IOU = 0.5
_METRICS = ("ap", "ap50", "ap75", "ar")
_SCALE = 1000.0  # COCOeval only needs areas below its "all" limit of 1e10
_MAX_DETECTIONS = 100


class Detector(Protocol):
    """Image to layout. Implementations are in `grounding`."""

    @property
    def labels(self) -> tuple[str, ...] | None:
        """The only labels it can see, or None for an open vocabulary."""

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        """One layout per image; instances carry `label` (a word of the vocabulary), `caption` (the same) and
        `score`.
        """


@dataclass(frozen=True, kw_only=True)
class Match:
    """One asked instance and the index of the seen instance that stands for it; None and IoU 0 when it is missing."""

    seen: int | None
    iou: float


def canonical(layouts: Sequence[Layout], labels: Sequence[str] | None) -> list[Layout]:
    """The same layouts with labels a detector of these `labels` can answer: "puppy" becomes "dog".

    Synonyms are the small world's, of the label or of what the caption is about. A label without one stays as it is
    and counts as missing. None changes nothing.
    """
    if labels is None:
        return list(layouts)
    known = set(labels)

    def named(instance: Instance) -> Instance:
        if instance.label in known:
            return instance
        noun = noun_of(instance.label) or noun_of(instance.caption)
        return replace(instance, label=noun) if noun and noun in known else instance

    return [replace(layout, instances=tuple(map(named, layout.instances))) for layout in layouts]


def unknown_labels(asked: Sequence[Layout], labels: Sequence[str] | None) -> list[str]:
    """Labels of `canonical` layouts that a detector of these `labels` cannot answer."""
    if labels is None:
        return []
    return sorted({one.label for layout in asked for one in layout.instances} - set(labels))


def detect_asked(images: Sequence[Image.Image], asked: Sequence[Layout], detector: Detector) -> list[Layout]:
    """What a detector sees of all its own labels, or with an open vocabulary of each picture's: what it is asked for
    in one picture must not depend on the others. Raises ResultError for unequal lists.
    """
    if len(images) != len(asked):
        raise ResultError(f"got {len(images)} images for {len(asked)} asked layouts; give one image for each")
    return detect_each(images, [[one.label for one in layout.instances] for layout in asked], detector)


def detect_each(images: Sequence[Image.Image], asked: Sequence[Collection[str]], detector: Detector) -> list[Layout]:
    """What a detector sees of all its own labels, or with an open vocabulary of each picture's words."""
    words = [tuple(detector.labels or dict.fromkeys(those)) for those in asked]
    seen = {i: Layout(caption="nothing", instances=()) for i, those in enumerate(words) if not those}
    for vocabulary in dict.fromkeys(those for those in words if those):
        alike = [index for index, those in enumerate(words) if those == vocabulary]
        seen |= dict(zip(alike, detector.detect([images[i] for i in alike], vocabulary), strict=True))
    return [seen[index] for index in range(len(images))]


def match(asked: Layout, seen: Layout, *, min_score: float = MATCH_SCORE) -> list[Match]:
    """For each asked instance the same-label seen instance of the assignment with the largest IoU sum (Hungarian).

    Pairs that do not overlap are no match. Seen instances without a score count as certain.
    """
    from scipy.optimize import linear_sum_assignment

    matches = [Match(seen=None, iou=0.0)] * len(asked.instances)
    for label in {instance.label for instance in asked.instances}:
        rows = [i for i, one in enumerate(asked.instances) if one.label == label]
        columns = [j for j, one in enumerate(seen.instances) if one.label == label and _score(one) >= min_score]
        ious = np.array([[asked.instances[i].box.iou(seen.instances[j].box) for j in columns] for i in rows])
        if not ious.size:
            continue
        for row, column in zip(*linear_sum_assignment(ious, maximize=True), strict=True):
            if ious[row, column] > 0:
                matches[rows[row]] = Match(seen=columns[column], iou=float(ious[row, column]))
    return matches


def iou_tally(asked: Sequence[Layout], seen: Sequence[Layout], *, min_score: float = MATCH_SCORE) -> Tally:
    """IoU in percent of every asked instance with its match, per layout; a missing instance counts 0."""
    _same_length(asked, seen)
    pairs = zip(asked, seen, strict=True)
    return Tally.of([100 * found.iou for found in match(a, s, min_score=min_score)] for a, s in pairs)


def found_tally(
    asked: Sequence[Layout], seen: Sequence[Layout], *, counts: Callable[[Instance], bool] = lambda one: True
) -> Tally:
    """Percent of the asked instances that `counts` whose match has an IoU of at least `FOUND_IOU`, per layout."""
    _same_length(asked, seen)
    pairs = ((a, match(a, s)) for a, s in zip(asked, seen, strict=True))
    return Tally.of(
        [100.0 * (found.iou >= FOUND_IOU) for one, found in zip(a.instances, matches, strict=True) if counts(one)]
        for a, matches in pairs
    )


def mean_iou(asked: Sequence[Layout], seen: Sequence[Layout], *, min_score: float = MATCH_SCORE) -> float:
    """Mean IoU in percent over all asked instances."""
    return iou_tally(asked, seen, min_score=min_score).mean()


@dataclass(frozen=True, kw_only=True)
class _Category:
    """One label's detections over all layouts, best score first. T IoU thresholds, D detections, N layouts."""

    layout_D: NDArray[np.int64]
    hit_TD: NDArray[np.bool_]
    asked_N: NDArray[np.int64]


class Coco:
    """One COCOeval run of seen against asked layouts: values by pycocotools, resamples from its per-image matches.

    `scores` has "ap", "ap50", "ap75" and "ar" in percent (AR at 100 detections). Raises ResultError when the lists
    differ in length or nothing is asked.
    """

    def __init__(self, asked: Sequence[Layout], seen: Sequence[Layout]) -> None:
        _same_length(asked, seen)
        self.labels = sorted({one.label for layout in asked for one in layout.instances})
        if not self.labels:
            raise ResultError(f"average precision needs at least one asked instance, got none in {len(asked)} layouts")
        with contextlib.redirect_stdout(io.StringIO()):
            evaluation = _evaluate(asked, seen, self.labels)
        self.thresholds_T: Floats = np.asarray(evaluation.params.iouThrs, dtype=np.float64)
        self.recalls: Floats = np.asarray(evaluation.params.recThrs, dtype=np.float64)
        self.scores = _summarise(evaluation, self.thresholds_T)
        self._categories = [_category(evaluation, k, len(asked)) for k in range(len(self.labels))]

    def estimates(self, weights_RN: NDArray[np.int64]) -> dict[str, Estimate]:
        """Every score with its resamples: equal to COCOeval on the resampled layouts, up to the order of tied scores.

        A layout drawn w times contributes each of its detections w times, so cumulative true and false positives
        are weighted sums. Precision only has to be known at true positives: that is where recall rises, and the
        running maximum from the right is the interpolated precision. Each true positive is worth the number of
        recall points it newly reaches.
        """
        ap_KRT = np.stack([self._precision(category, weights_RN) for category in self._categories])
        ar_KRT = np.stack([self._recall(category, weights_RN) for category in self._categories])
        at50, at75 = (int(np.argmin(abs(self.thresholds_T - t))) for t in (0.5, 0.75))
        samples = {"ap": ap_KRT, "ap50": ap_KRT[..., [at50]], "ap75": ap_KRT[..., [at75]], "ar": ar_KRT}
        return {m: Estimate(value=self.scores[m], samples_R=100 * _mean_KT(samples[m])) for m in _METRICS}

    def _precision(self, category: _Category, weights_RN: NDArray[np.int64]) -> Floats:
        """Interpolated AP (R, T) of one category; NaN where a resample asks for none of it."""
        asked_R1 = (weights_RN @ category.asked_N)[:, None]
        drawn_RD = weights_RN[:, category.layout_D]
        detected_RD = np.cumsum(drawn_RD, axis=1)
        ap_TR = np.zeros((len(self.thresholds_T), len(weights_RN)))
        with np.errstate(invalid="ignore", divide="ignore"):
            for t, hit_D in enumerate(category.hit_TD):
                true_RH = np.cumsum(drawn_RD[:, hit_D], axis=1)
                precision_RH = true_RH / (detected_RD[:, hit_D] + np.spacing(1))
                envelope_RH = np.maximum.accumulate(precision_RH[:, ::-1], axis=1)[:, ::-1]
                reached_RH = np.searchsorted(self.recalls, true_RH / asked_R1, side="right")
                newly_RH = np.diff(reached_RH, axis=1, prepend=0)
                ap_TR[t] = (envelope_RH * newly_RH).sum(axis=1) / len(self.recalls)
        return np.where(asked_R1 > 0, ap_TR.T, np.nan)

    def _recall(self, category: _Category, weights_RN: NDArray[np.int64]) -> Floats:
        """Recall (R, T) of one category with all its detections; NaN where a resample asks for none of it."""
        asked_R1 = (weights_RN @ category.asked_N)[:, None]
        true_RT = weights_RN[:, category.layout_D] @ category.hit_TD.T.astype(np.int64)
        with np.errstate(invalid="ignore", divide="ignore"):
            return np.where(asked_R1 > 0, true_RT / asked_R1, np.nan)


def _mean_KT(values_KRT: Floats) -> Floats:
    """The mean over asked categories and thresholds, per resample."""
    counted = np.isfinite(values_KRT)
    return np.where(counted, values_KRT, 0).sum(axis=(0, 2)) / counted.sum(axis=(0, 2))


def _score(instance: Instance) -> float:
    return 1.0 if instance.score is None else instance.score


def _same_length(asked: Sequence[Layout], seen: Sequence[Layout]) -> None:
    if len(asked) != len(seen):
        raise ResultError(f"{len(asked)} asked layouts but {len(seen)} seen; give one seen layout for each asked one")


def _boxes(layouts: Sequence[Layout], numbers: dict[str, int]) -> list[dict[str, Any]]:
    """COCO annotations; ids start at 1 because COCOeval takes a match with id 0 for no match."""
    rows: list[dict[str, Any]] = []
    for image, layout in enumerate(layouts):
        for one in layout.instances:
            if one.label not in numbers:
                continue
            xywh = [_SCALE * v for v in (one.box.x0, one.box.y0, one.box.width, one.box.height)]
            rows.append(
                {
                    "id": len(rows) + 1,
                    "image_id": image,
                    "category_id": numbers[one.label],
                    "bbox": xywh,
                    "area": xywh[2] * xywh[3],
                    "iscrowd": 0,
                    "score": _score(one),
                }
            )
    return rows


def _evaluate(asked: Sequence[Layout], seen: Sequence[Layout], labels: Sequence[str]) -> Any:
    from pycocotools.coco import COCO
    from pycocotools.cocoeval import COCOeval

    numbers = {label: k for k, label in enumerate(labels)}
    images = [{"id": image} for image in range(len(asked))]
    categories = [{"id": k, "name": label} for label, k in numbers.items()]

    def coco(layouts: Sequence[Layout]) -> COCO:
        data = COCO()
        dataset: Any = {"images": images, "categories": categories, "annotations": _boxes(layouts, numbers)}
        data.dataset = dataset
        data.createIndex()
        return data

    evaluation = COCOeval(coco(asked), coco(seen), "bbox")
    evaluation.params.areaRng, evaluation.params.areaRngLbl = [[0, 1e10]], ["all"]
    evaluation.params.maxDets = [_MAX_DETECTIONS]
    evaluation.evaluate()
    evaluation.accumulate()
    return evaluation


def _summarise(evaluation: Any, thresholds_T: Floats) -> dict[str, float]:
    """COCOeval.summarize's four numbers; that method itself insists on three area ranges."""
    precision_TRK, recall_TK = evaluation.eval["precision"][..., 0, 0], evaluation.eval["recall"][..., 0, 0]

    def mean(values: Floats) -> float:
        return 100 * float(np.mean(values[values > -1]))

    at50, at75 = (int(np.argmin(abs(thresholds_T - t))) for t in (0.5, 0.75))
    return {
        "ap": mean(precision_TRK),
        "ap50": mean(precision_TRK[at50]),
        "ap75": mean(precision_TRK[at75]),
        "ar": mean(recall_TK),
    }


def _category(evaluation: Any, k: int, layouts: int) -> _Category:
    """The k-th category's cached matches: `evalImgs` runs over categories, then areas (one), then images."""
    images = [e for e in evaluation.evalImgs[k * layouts : (k + 1) * layouts] if e is not None]
    asked_N = np.zeros(layouts, dtype=np.int64)
    for e in images:
        asked_N[e["image_id"]] = len(e["gtIds"])
    scores_D = np.concatenate([np.asarray(e["dtScores"], dtype=np.float64) for e in images])
    order = np.argsort(-scores_D, kind="mergesort")
    layout_D = np.concatenate([np.full(len(e["dtScores"]), e["image_id"], dtype=np.int64) for e in images])
    hit_TD = np.concatenate([np.asarray(e["dtMatches"]) > 0 for e in images], axis=1)
    return _Category(layout_D=layout_D[order], hit_TD=hit_TD[:, order], asked_N=asked_N)

"""One image against one layout: a score for the picture and a row for every instance.

What `scenograph judge` and `make demo` print. Sets of images are compared with the same functions by the benchmark
protocols.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from typing import Any

from PIL import Image

from scenograph.errors import ScenographWarning
from scenograph.judging.attributes import Reader, asked_attributes, crop
from scenograph.judging.clip import REGION_MARGIN, ClipScorer
from scenograph.judging.detection import (
    FOUND_IOU,
    MATCH_SCORE,
    Detector,
    canonical,
    detect_asked,
    match,
    unknown_labels,
)
from scenograph.layout import Box, Instance, Layout

__all__ = ["InstanceScore", "Scores", "judge_image", "judge_images"]


@dataclass(frozen=True, kw_only=True)
class InstanceScore:
    """One asked instance. IoUs and scores are fractions; `attributes` holds whether each asked attribute was read."""

    caption: str
    label: str
    iou: float
    found: bool
    seen_box: Box | None
    seen_score: float | None
    attributes: dict[str, bool]
    region_clip: float | None

    @property
    def ok(self) -> bool:
        """In its place (IoU ≥ `FOUND_IOU`) with every asked attribute."""
        return self.found and all(self.attributes.values())


@dataclass(frozen=True, kw_only=True)
class Scores:
    """One image: the mean IoU, the share of asked attributes read, the CLIP cosine (None without a judge, or
    nothing to judge).
    """

    mean_iou: float | None
    found: int
    attribute_accuracy: float | None
    clip_s: float | None
    instances: tuple[InstanceScore, ...]
    seen: Layout

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        rows = []
        for one in self.instances:
            row: dict[str, Any] = asdict(one) | {"ok": one.ok}
            row["seen_box"] = None if one.seen_box is None else list(one.seen_box)
            rows.append(row)
        whole = {k: getattr(self, k) for k in ("mean_iou", "found", "attribute_accuracy", "clip_s")}
        return whole | {"instances": rows, "seen": self.seen.to_dict()}


def judge_image(
    image: Image.Image,
    layout: Layout,
    detector: Detector,
    reader: Reader | None = None,
    clip: ClipScorer | None = None,
    *,
    min_score: float = MATCH_SCORE,
) -> Scores:
    """Score one image. Attributes are read at the matched detection; those of a missing instance are wrong, as in the
    benchmark's `attributes_detected`.
    """
    return judge_images([image], [layout], detector, reader, clip, min_score=min_score)[0]


def judge_images(
    images: Sequence[Image.Image],
    layouts: Sequence[Layout],
    detector: Detector,
    reader: Reader | None = None,
    clip: ClipScorer | None = None,
    *,
    min_score: float = MATCH_SCORE,
) -> list[Scores]:
    """`judge_image` for many images. Raises ResultError for unequal lists."""
    asked = canonical(layouts, detector.labels)
    if unknown := unknown_labels(asked, detector.labels):
        told = f"the detector has no word for {', '.join(unknown)}: they count as missing; name another --detector"
        warnings.warn(told, ScenographWarning, stacklevel=2)
    seen = detect_asked(images, asked, detector)
    return [_score(*one, reader, clip, min_score) for one in zip(images, asked, seen, strict=True)]


def _score(
    image: Image.Image, asked: Layout, seen: Layout, reader: Reader | None, clip: ClipScorer | None, min_score: float
) -> Scores:
    matches = match(asked, seen, min_score=min_score)
    matched = [None if m.seen is None else seen.instances[m.seen] for m in matches]
    readings = iter(reader.read([crop(image, s.box) for s in matched if s]) if reader else [{}] * len(matched))
    read = [{} if s is None else next(readings) for s in matched]
    cosines = _region_cosines(image, asked.instances, clip)
    rows = []
    for one, found, spotted, got, cosine in zip(asked.instances, matches, matched, read, cosines, strict=True):
        wanted = asked_attributes(one) if reader else {}
        rows.append(
            InstanceScore(
                caption=one.caption,
                label=one.label,
                iou=found.iou,
                found=found.iou >= FOUND_IOU,
                seen_box=spotted.box if spotted else None,
                seen_score=spotted.score if spotted else None,
                attributes={kind: got.get(kind) == value for kind, value in wanted.items()},
                region_clip=cosine,
            )
        )
    hits = [hit for row in rows for hit in row.attributes.values()]
    return Scores(
        mean_iou=sum(row.iou for row in rows) / len(rows) if rows else None,
        found=sum(row.found for row in rows),
        attribute_accuracy=sum(hits) / len(hits) if hits else None,
        clip_s=float(clip.image_features([image])[0] @ clip.text_features([asked.caption])[0]) if clip else None,
        instances=tuple(rows),
        seen=seen,
    )


def _region_cosines(image: Image.Image, asked: Sequence[Instance], clip: ClipScorer | None) -> list[float | None]:
    if clip is None:
        return [None] * len(asked)
    crops_ND = clip.image_features([crop(image, one.box, margin=REGION_MARGIN) for one in asked])
    cosines_N = (crops_ND * clip.text_features([one.caption for one in asked])).sum(dim=-1)
    return [float(cosine) for cosine in cosines_N]

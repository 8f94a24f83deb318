"""NSR-1K on pictures: counting and spatial accuracy from detections, and CLIP-s (GOAL's table 2).

After eval_models/GLIP/eval_counting.py and eval_spatial.py of LayoutGPT. Both look for a row's own names and match them
exactly. Counting is the share of *categories*, not of prompts, with the exact number; a comparison counts as two
categories of which at most one can be won: when the first has its exact number and the second is as many, or more, or
fewer, as in the truth. Spatial is the share of prompts where any pair of boxes shows the relation; without both boxes
it is wrong.

Differs from the paper: it detects with GLIP (Swin-L, confidence 0.7), which transformers does not have. GroundingDINO,
its successor, takes the same question; its confidences are lower, and about 0.3 is usual.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from typing import TypeVar

from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Tally
from scenograph.judging.clip import ClipScorer
from scenograph.judging.compbench_images import prompt_cosines, sightings
from scenograph.judging.detection import Detector
from scenograph.judging.nsr1k import CountingRow, SpatialRow
from scenograph.judging.nsr1k_official import official_relation
from scenograph.layout import Layout

__all__ = ["CONFIDENCE", "SUPPRESSION", "counted_right", "counting_tallies", "shown", "spatial_tallies"]

CONFIDENCE = 0.7
SUPPRESSION = 0.5
"""IoU above which the weaker of two boxes of one name is the same thing: a hub detector says many things twice."""
_Row = TypeVar("_Row", CountingRow, SpatialRow)


def counting_tallies(
    rows: Sequence[CountingRow],
    images: Sequence[Image.Image],
    detector: Detector,
    *,
    clip: ClipScorer | None = None,
    confidence: float = CONFIDENCE,
    suppression: float | None = SUPPRESSION,
) -> dict[str, Tally]:
    """ "accuracy" in percent, and with a CLIP "clip_s", of one image for each row (a row may occur several times).

    Raises ResultError when there is not one image for each row.
    """
    names = [[name for name, _ in row.counts] for row in rows]
    seen = _seen(rows, images, names, detector, confidence, suppression)
    right = ((100.0 * one for one in counted_right(row, layout)) for row, layout in zip(rows, seen, strict=True))
    return {"accuracy": Tally.of(right)} | _clip_s(rows, images, clip)


def spatial_tallies(
    rows: Sequence[SpatialRow],
    images: Sequence[Image.Image],
    detector: Detector,
    *,
    clip: ClipScorer | None = None,
    confidence: float = CONFIDENCE,
    suppression: float | None = SUPPRESSION,
) -> dict[str, Tally]:
    """The same for spatial rows: `counting_tallies`."""
    names = [[row.first, row.second] for row in rows]
    seen = _seen(rows, images, names, detector, confidence, suppression)
    right = ([100.0 * shown(row, layout)] for row, layout in zip(rows, seen, strict=True))
    return {"accuracy": Tally.of(right)} | _clip_s(rows, images, clip)


def counted_right(row: CountingRow, seen: Layout) -> list[bool]:
    """Category by category whether it is there in its exact number; of a comparison the first place says all."""
    found = Counter(instance.label for instance in seen.instances)
    counts = dict(row.counts)
    if row.kind != "comparison":
        return [found[name] == count for name, count in counts.items()]
    (anchor, one), (other, two) = row.counts
    alike = found[other] == one if one == two else (found[other] - one) * (two - one) > 0
    return [found[anchor] == one and alike] + [False] * (len(counts) - 1)


def shown(row: SpatialRow, seen: Layout) -> bool:
    """Whether any pair of boxes stands in the relation; "next to" is left or right. Places are compared in pixels."""
    size = seen.size or (1, 1)
    first, second = (
        [i.box.to_pixels(size) for i in seen.instances if i.label == name] for name in (row.first, row.second)
    )
    relations = {official_relation(one, two) for one in first for two in second}
    return bool(relations & ({"left", "right"} if row.relation == "next to" else {row.relation}))


def _seen(
    rows: Sequence[_Row],
    images: Sequence[Image.Image],
    names: Sequence[Sequence[str]],
    detector: Detector,
    confidence: float,
    suppression: float | None,
) -> list[Layout]:
    if len(rows) != len(images):
        raise ResultError(f"every image needs its row of NSR-1K, got {len(images)} images and {len(rows)} rows")
    return sightings(images, names, detector, confidence=confidence, suppression=suppression)


def _clip_s(rows: Sequence[_Row], images: Sequence[Image.Image], clip: ClipScorer | None) -> dict[str, Tally]:
    if clip is None:
        return {}
    return {"clip_s": Tally.of([cosine] for cosine in prompt_cosines(images, [row.prompt for row in rows], clip))}

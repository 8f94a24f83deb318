"""T2I-CompBench on pictures (Huang et al. 2023): every prompt's score by the evaluators its category needs.

    colour, shape, texture   attribute VQA, multiplied over noun chunks (`vqa`)
    spatial                  detections: who is where (`compbench.spatial_score`)
    3d-spatial               detections and a depth map (`compbench.spatial_3d_score`)
    numeracy                 detections: how many (`compbench.numeracy_score`)
    non-spatial              the plain cosine of CLIP
    complex                  the mean of attribute, spatial and CLIP (3-in-1)

Evaluators come behind small protocols, so hub models and the small world's judges give the same scores. Where hub
evaluators differ from the paper's: it detects with UniDet (RS200, R50), which transformers does not have. GroundingDINO
and OWLv2 stand in for it, asked for nothing but the prompt's own nouns, so that no other label competes for a box;
their confidences, half of a spatial score, are lower than UniDet's. What UniDet does to its own output is done here:
a confidence of at least 0.5, and non-maximum suppression within a label at an IoU of 0.5. For GroundingDINO a
confidence of about 0.3 is usual; a score says which it was taken with. The paper's CLIP is ViT-B/32.

The small world has no depth model: its judges cannot tell from a picture which of two things was drawn in front, so it
has no 3d-spatial scores.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass, replace
from statistics import fmean

from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Tally
from scenograph.judging.clip import ClipScorer
from scenograph.judging.compbench import (
    COUNTED,
    PEOPLE,
    depth_in,
    numeracy_score,
    spatial_3d_score,
    spatial_score,
)
from scenograph.judging.compbench_prompts import CompPrompt
from scenograph.judging.depth import DepthEstimator
from scenograph.judging.detection import Detector, detect_each
from scenograph.judging.vqa import AttributeVQA, attribute_scores
from scenograph.layout import Instance, Layout

__all__ = ["Evaluators", "compbench_scores", "compbench_tallies", "prompt_cosines", "sightings"]


@dataclass(frozen=True, kw_only=True)
class Evaluators:
    """Who judges; those that no prompt needs may be missing.

    Attributes:
        confidence: detections below it are not there; UniDet's is 0.5.
        suppression: of two detections of one label with a higher IoU the weaker is not there; None keeps both.
        renamed: whether to look for the official detector's names ("person" for "boy", "boat" for "ship"). Right for
            COCO's labels, wrong for detectors that know the prompts' own words.
    """

    vqa: AttributeVQA | None = None
    detector: Detector | None = None
    depth: DepthEstimator | None = None
    clip: ClipScorer | None = None
    confidence: float = 0.5
    suppression: float | None = 0.5
    renamed: bool = True


def compbench_scores(
    prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators
) -> list[float]:
    """The score of every image of the prompt at its place, 0 to 1 (a cosine can be negative).

    Raises ResultError when an evaluator is missing, or there is not one image for each prompt.
    """
    if len(prompts) != len(images):
        raise ResultError(f"every image needs its prompt, got {len(images)} images and {len(prompts)} prompts")
    needing: dict[str, list[int]] = defaultdict(list)
    for index, prompt in enumerate(prompts):
        for part in prompt.parts:
            needing[part].append(index)
    parts: dict[int, list[float]] = defaultdict(list)
    for part, indices in needing.items():
        scores = _SCORERS[part]([prompts[i] for i in indices], [images[i] for i in indices], evaluators)
        for index, score in zip(indices, scores, strict=True):
            parts[index].append(score)
    return [fmean(parts[index]) for index in range(len(prompts))]


def compbench_tallies(
    prompts: Sequence[CompPrompt], images: Sequence[Sequence[Image.Image]], evaluators: Evaluators
) -> dict[str, Tally]:
    """Category → scores in percent of its prompts, each of which may have several images (officially ten).

    Prompts are what intervals resample. Tallies of different sets of pictures are paired prompt by prompt.
    """
    if len(prompts) != len(images):
        raise ResultError(f"every prompt needs its images, got {len(prompts)} prompts and {len(images)} lists")
    flat = [(prompt, image) for prompt, those in zip(prompts, images, strict=True) for image in those]
    scores = iter(compbench_scores([prompt for prompt, _ in flat], [image for _, image in flat], evaluators))
    values: dict[str, list[list[float]]] = defaultdict(list)
    for prompt, those in zip(prompts, images, strict=True):
        values[prompt.category].append([100 * next(scores) for _ in those])
    return {category: Tally.of(per_prompt) for category, per_prompt in values.items()}


def sightings(
    images: Sequence[Image.Image],
    words: Sequence[Collection[str]],
    detector: Detector,
    *,
    confidence: float,
    suppression: float | None = None,
) -> list[Layout]:
    """What a detector sees in every image, surest first: an open vocabulary is asked for the image's own words only.

    Closed ones are asked for all their labels, because names may match by part ("bear", "teddy bear").
    """
    return [_kept(seen, confidence, suppression) for seen in detect_each(images, words, detector)]


def _kept(seen: Layout, confidence: float, suppression: float | None) -> Layout:
    kept: list[Instance] = []
    for one in sorted(seen.instances, key=_certainty, reverse=True):
        hidden = suppression is not None and any(
            other.label == one.label and other.box.iou(one.box) > suppression for other in kept
        )
        if _certainty(one) >= confidence and not hidden:
            kept.append(one)
    return replace(seen, instances=tuple(kept))


def _certainty(one: Instance) -> float:
    return 1.0 if one.score is None else one.score


def prompt_cosines(images: Sequence[Image.Image], texts: Sequence[str], clip: ClipScorer) -> list[float]:
    """The plain cosine of every image with the text at its place: no scaling, no clipping at 0."""
    cosines_N = (clip.image_features(images) * clip.text_features(texts)).sum(dim=-1)
    return [float(cosine) for cosine in cosines_N]


Scorer = Callable[[Sequence[CompPrompt], Sequence[Image.Image], Evaluators], list[float]]


def _attribute(prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators) -> list[float]:
    if evaluators.vqa is None:
        raise _missing("vqa", prompts)
    return attribute_scores(images, [prompt.chunks for prompt in prompts], evaluators.vqa)


def _clip(prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators) -> list[float]:
    if evaluators.clip is None:
        raise _missing("clip", prompts)
    return prompt_cosines(images, [prompt.clip_text for prompt in prompts], evaluators.clip)


def _spatial(prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators) -> list[float]:
    aliases = PEOPLE if evaluators.renamed else {}
    seen = _seen(prompts, images, evaluators, aliases)
    return [
        spatial_score(layout, prompt.relation, aliases=aliases) if prompt.relation else 0.0
        for prompt, layout in zip(prompts, seen, strict=True)
    ]


def _spatial_3d(prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators) -> list[float]:
    aliases = PEOPLE if evaluators.renamed else {}
    if evaluators.depth is None:
        raise _missing("depth", prompts)
    seen = _seen(prompts, images, evaluators, aliases)
    maps = evaluators.depth.nearness(images)
    return [
        spatial_3d_score(layout, prompt.relation, depth=depth_in(map_HW), aliases=aliases) if prompt.relation else 0.0
        for prompt, layout, map_HW in zip(prompts, seen, maps, strict=True)
    ]


def _numeracy(prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators) -> list[float]:
    aliases = COUNTED if evaluators.renamed else {}
    seen = _seen(prompts, images, evaluators, aliases)
    return [numeracy_score(layout, p.counts, aliases=aliases) for p, layout in zip(prompts, seen, strict=True)]


def _seen(
    prompts: Sequence[CompPrompt], images: Sequence[Image.Image], evaluators: Evaluators, aliases: Mapping[str, str]
) -> list[Layout]:
    if evaluators.detector is None:
        raise _missing("detector", prompts)
    words = [[aliases.get(noun, noun) for noun in _nouns(prompt)] for prompt in prompts]
    return sightings(
        images, words, evaluators.detector, confidence=evaluators.confidence, suppression=evaluators.suppression
    )


def _nouns(prompt: CompPrompt) -> tuple[str, ...]:
    """What a prompt's boxes decide; a prompt of counts may also state a relation, which is not scored."""
    if prompt.counts:
        return tuple(noun for noun, _ in prompt.counts)
    return (prompt.relation.first, prompt.relation.second) if prompt.relation else ()


def _missing(what: str, prompts: Sequence[CompPrompt]) -> ResultError:
    categories = ", ".join(dict.fromkeys(prompt.category for prompt in prompts))
    return ResultError(f"scoring {categories} prompts needs Evaluators({what}=…), got none")


_SCORERS: Mapping[str, Scorer] = {
    "attribute": _attribute,
    "spatial": _spatial,
    "3d-spatial": _spatial_3d,
    "numeracy": _numeracy,
    "clip": _clip,
}

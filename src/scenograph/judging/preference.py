"""Which picture people would like better: PickScore (Kirstain et al. 2023), the preference column of GOAL's table 4.

A score is exp(logit scale) · cosine of a CLIP tuned on people's choices; of several pictures for one prompt, the
softmax of their scores is the share of people that would choose each (`preferences`). GOAL's figures are such shares
over the methods compared (they sum to 1), not scores.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from pathlib import Path
from typing import Protocol

from PIL import Image

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.checkpoints import checkpoint
from scenograph.judging.clip import TransformersClip

__all__ = ["PickScore", "PreferenceScorer", "preferences"]


_PROCESSORS = {"yuvalkirstain/PickScore_v1": "laion/CLIP-ViT-H-14-laion2B-s32B-b79K"}


class PreferenceScorer(Protocol):
    """Pictures and the prompts they were made for to scores; higher is liked better, 1 more is e times as often."""

    def scores(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """One score for each image with the prompt at its place."""


class PickScore:
    """A `CLIPModel` with its logit scale, such as "yuvalkirstain/PickScore_v1"."""

    def __init__(self, clip: TransformersClip) -> None:
        self.clip = clip
        self.scale = math.exp(float(clip.model.logit_scale))

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, processor: str | Path | None = None, device: str | None = None
    ) -> PickScore:
        """Load a folder or a hub id; `processor` names another checkpoint for tokenizer and image processor, by default
        the checkpoint itself, and for the published weights the CLIP they were tuned from.

        Raises CheckpointError when that fails, or the checkpoint is no CLIP.
        """
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel

        source = checkpoint(name, "PickScore")
        kind = source.config().model_type
        if kind != "clip":
            raise CheckpointError(f"the checkpoint {str(name)!r} is a {kind}, expected a clip; choose another")
        processor = processor or _PROCESSORS.get(str(name))
        parts = source if processor is None else checkpoint(processor, "PickScore's processor")
        model = source.model(CLIPModel, device)
        return cls(TransformersClip(model, parts.part(AutoTokenizer), parts.part(AutoImageProcessor)))

    def scores(self, images: Sequence[Image.Image], prompts: Sequence[str]) -> list[float]:
        """One score for each image with the prompt at its place; about 20 for the published weights."""
        if len(images) != len(prompts):
            raise ResultError(f"PickScore needs a prompt for each image, got {len(images)} and {len(prompts)}")
        cosines_N = (self.clip.image_features(images) * self.clip.text_features(prompts)).sum(dim=-1)
        return [self.scale * cosine for cosine in cosines_N.tolist()]


def preferences(scores: Sequence[Sequence[float]]) -> list[list[float]]:
    """Method → image → score to method → image → share of choices: the softmax over the methods, image by image.

    Raises ResultError when the methods do not have equally many images.
    """
    if len({len(row) for row in scores}) > 1:
        raise ResultError(f"preferences compare the same prompts, got {[len(row) for row in scores]} images a method")
    shares: list[list[float]] = [[] for _ in scores]
    for column in zip(*scores, strict=True):
        best = max(column)
        weights = [math.exp(score - best) for score in column]
        for row, weight in zip(shares, weights, strict=True):
            row.append(weight / sum(weights))
    return shares

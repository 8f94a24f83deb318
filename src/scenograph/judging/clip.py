"""Does the picture fit the words: CLIP-s, region CLIP-s, and the retrieval checks a CLIP has to pass before it may
judge.

CLIP-s is the plain cosine of image and caption embeddings (as in WinWinLay's tables; no factor 2.5, no clipping at
0). The same class serves the embedded CLIP (`VisionTextDualEncoderModel`: SigLIP tower, CLIP text tower, pixels in
[-1, 1]) and hub CLIPs (`CLIPModel` with its own image processor). What it is not: sensitive to places; that is what
detection is for.

Cosines have no natural zero: any picture of this world is close to any caption of it. The floors are what pictures get
with the captions of *other* layouts (the mean over every such pairing, so no shuffle has to be drawn); a share of a
ceiling is counted from there.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.attributes import crop, pixels_of
from scenograph.judging.bootstrap import Estimate, Tally
from scenograph.judging.checkpoints import checkpoint
from scenograph.layout import Layout

__all__ = [
    "REGION_MARGIN",
    "ClipScorer",
    "TransformersClip",
    "clip_floor",
    "clip_tally",
    "first_of",
    "region_clip_floor",
    "region_clip_tally",
    "twin_accuracy",
]

REGION_MARGIN = 0.08  # what the embedded CLIP sees around a region in training
_DUAL = "vision-text-dual-encoder"


class ClipScorer(Protocol):
    """Images and texts in one space; rows have length 1, so a dot product is the cosine."""

    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """(N, D) float32."""

    def text_features(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32."""


class TransformersClip:
    """A CLIP of transformers. Texts longer than the text tower's window are cut, as everywhere in the field."""

    def __init__(self, model: Any, tokenizer: Any, processor: Any | None = None, *, batch_size: int = 64) -> None:
        self.model = model.eval()
        self.tokenizer = tokenizer
        self.processor = processor
        self.batch_size = batch_size
        self.size = int(model.config.vision_config.image_size)
        self.window = int(model.config.text_config.max_position_embeddings)

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str | None = None, batch_size: int = 64) -> TransformersClip:
        """Load an embedded name ("clip-a"), a folder or a hub id. Raises CheckpointError when that fails.

        A `VisionTextDualEncoderModel` gets pixels in [-1, 1] at its own size; any other CLIP its own image processor.
        """
        from transformers import AutoImageProcessor, AutoTokenizer, CLIPModel, VisionTextDualEncoderModel

        source = checkpoint(name, "CLIP")
        kind = source.config().model_type
        if kind not in ("clip", _DUAL):
            raise CheckpointError(
                f"the checkpoint {str(name)!r} is a {kind}, expected a clip or {_DUAL}; choose another"
            )
        dual = kind == _DUAL
        model = source.model(VisionTextDualEncoderModel if dual else CLIPModel, device)
        processor = None if dual else source.part(AutoImageProcessor)
        return cls(model, source.part(AutoTokenizer), processor, batch_size=batch_size)

    @property
    def dimension(self) -> int:
        """D, the length of a feature vector."""
        return int(self.model.config.projection_dim)

    @torch.inference_mode()
    def image_features(self, images: Sequence[Image.Image]) -> Tensor:
        """(N, D) float32 of length 1."""
        rows = [torch.empty(0, self.dimension)]
        for start in range(0, len(images), self.batch_size):
            pixels_BCHW = self._pixels(images[start : start + self.batch_size]).to(self.model.device)
            rows.append(self.model.get_image_features(pixel_values=pixels_BCHW).pooler_output.float().cpu())
        return torch.nn.functional.normalize(torch.cat(rows), dim=-1)

    @torch.inference_mode()
    def text_features(self, texts: Sequence[str]) -> Tensor:
        """(N, D) float32 of length 1."""
        rows = [torch.empty(0, self.dimension)]
        for start in range(0, len(texts), self.batch_size):
            batch = list(texts[start : start + self.batch_size])
            tokens = self.tokenizer(batch, padding=True, truncation=True, max_length=self.window, return_tensors="pt")
            tokens = {key: tokens[key].to(self.model.device) for key in ("input_ids", "attention_mask")}
            rows.append(self.model.get_text_features(**tokens).pooler_output.float().cpu())
        return torch.nn.functional.normalize(torch.cat(rows), dim=-1)

    def _pixels(self, images: Sequence[Image.Image]) -> Tensor:
        if self.processor is None:
            return torch.stack([pixels_of(image, self.size) for image in images])
        rgb = [image.convert("RGB") for image in images]
        pixels_BCHW: Tensor = self.processor(images=rgb, return_tensors="pt")["pixel_values"]
        return pixels_BCHW


def clip_tally(images: Sequence[Image.Image], layouts: Sequence[Layout], clip: ClipScorer) -> Tally:
    """CLIP-s: the cosine of every image with its layout's caption."""
    if len(images) != len(layouts):
        raise ResultError(f"CLIP-s needs one image per layout, got {len(images)} images and {len(layouts)} layouts")
    texts_ND = clip.text_features([layout.caption for layout in layouts])
    cosines_N = (clip.image_features(images) * texts_ND).sum(dim=-1)
    return Tally.of([cosine] for cosine in cosines_N.tolist())


def region_clip_tally(images: Sequence[Image.Image], layouts: Sequence[Layout], clip: ClipScorer) -> Tally:
    """Region CLIP-s: the cosine of each asked box's crop with its instance's caption."""
    if len(images) != len(layouts):
        raise ResultError(
            f"region CLIP-s needs one image per layout, got {len(images)} images and {len(layouts)} layouts"
        )
    pairs = [(image, one) for image, layout in zip(images, layouts, strict=True) for one in layout.instances]
    crops_MD = clip.image_features([crop(image, one.box, margin=REGION_MARGIN) for image, one in pairs])
    texts_MD = clip.text_features([one.caption for _, one in pairs])
    cosines = iter((crops_MD * texts_MD).sum(dim=-1).tolist())
    return Tally.of([next(cosines) for _ in layout.instances] for layout in layouts)


def clip_floor(
    images: Sequence[Image.Image], layouts: Sequence[Layout], clip: ClipScorer, weights_RN: NDArray[np.int64]
) -> Estimate:
    """The mean cosine of every image with the captions of all other layouts, with its resamples."""
    texts_ND = clip.text_features([layout.caption for layout in layouts])
    return _mismatched(clip.image_features(images), texts_ND, [1] * len(layouts), weights_RN)


def region_clip_floor(
    images: Sequence[Image.Image], layouts: Sequence[Layout], clip: ClipScorer, weights_RN: NDArray[np.int64]
) -> Estimate:
    """The mean cosine of every asked box's crop with the instance captions of all other layouts, with its resamples."""
    counts = [len(layout.instances) for layout in layouts]
    pairs = [(image, one) for image, layout in zip(images, layouts, strict=True) for one in layout.instances]
    crops_MD = clip.image_features([crop(image, one.box, margin=REGION_MARGIN) for image, one in pairs])
    texts_MD = clip.text_features([one.caption for _, one in pairs])
    sums = [torch.stack([part.sum(dim=0) for part in rows.split(counts)]) for rows in (crops_MD, texts_MD)]
    return _mismatched(sums[0], sums[1], counts, weights_RN)


def _mismatched(images_ND: Tensor, texts_ND: Tensor, counts: Sequence[int], weights_RN: NDArray[np.int64]) -> Estimate:
    """From per-layout sums of features: a layout's pairs with itself are left out, drawn repeatedly or not."""
    cosines_NN = (images_ND.double() @ texts_ND.double().T).numpy()
    pairs_NN = np.outer(counts, counts).astype(np.float64)
    np.fill_diagonal(cosines_NN, 0)
    np.fill_diagonal(pairs_NN, 0)
    with np.errstate(invalid="ignore", divide="ignore"):
        value = float(cosines_NN.sum() / pairs_NN.sum())
        total_R, count_R = (((weights_RN @ sums) * weights_RN).sum(axis=1) for sums in (cosines_NN, pairs_NN))
        return Estimate(value=value, samples_R=total_R / count_R)


def twin_accuracy(images_ND: Tensor, texts_ND: Tensor, twins_ND: Tensor) -> float:
    """Percent of images closer to their caption than to its twin (the caption with attributes swapped). A tie is a
    loss.
    """
    own_N, other_N = (images_ND * texts_ND).sum(dim=-1), (images_ND * twins_ND).sum(dim=-1)
    return 100 * float((own_N > other_N).float().mean())


def first_of(images_ND: Tensor, texts_ND: Tensor, *, group: int = 100) -> float:
    """Percent of images whose caption is first among `group` captions, taken group after group (a shorter rest is
    left out).

    A tie with another caption is a loss. Raises ResultError with fewer images than one group.
    """
    whole = len(images_ND) // group * group
    if not whole or len(images_ND) != len(texts_ND):
        got = f"{len(images_ND)} images and {len(texts_ND)} captions"
        raise ResultError(f"first of {group} needs at least {group} images, each with a caption, got {got}")
    hits = []
    for start in range(0, whole, group):
        cosines_GG = images_ND[start : start + group] @ texts_ND[start : start + group].T
        own_G1 = cosines_GG.diagonal()[:, None]
        others_GG = cosines_GG.masked_fill(torch.eye(group, dtype=torch.bool), float("-inf"))
        hits.append((own_G1 > others_GG).all(dim=1).float())
    return 100 * float(torch.cat(hits).mean())

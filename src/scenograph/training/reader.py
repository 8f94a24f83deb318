"""The judges' attribute readers: stock image classifiers that tell noun, colour, texture and shape of a cut-out box.

One classifier holds all answers as labels "colour:red"; each group of labels has its own softmax. A is a ResNet, B a
ConvNeXt.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor
from transformers import (
    ConvNextV2Config,
    ConvNextV2ForImageClassification,
    PreTrainedModel,
    ResNetConfig,
    ResNetForImageClassification,
    ViTImageProcessorPil,
)

from scenograph.datasets.drawn import DrawnScenes
from scenograph.training.clip import crop_regions
from scenograph.training.loop import Plan, Run, begin
from scenograph.world.scenes import Scene, SceneObject
from scenograph.world.vocabulary import COLOURS, NOUNS, SHAPES, TEXTURES

__all__ = ["GROUPS", "ReaderRecipe", "convnext", "reader_processor", "resnet", "train_reader"]

GROUPS = {"noun": tuple(NOUNS), "colour": tuple(COLOURS), "texture": TEXTURES, "shape": SHAPES}
_LABELS = dict(enumerate(f"{group}:{name}" for group, names in GROUPS.items() for name in names))
_SIDE, _MARGIN, _UNKNOWN = 64, 0.1, -100


@dataclass(frozen=True, kw_only=True)
class ReaderRecipe:
    """Which classifier, and its plan."""

    name: str
    plan: Plan
    build: Callable[[], PreTrainedModel]


def _labels() -> dict[str, Any]:
    return {"id2label": _LABELS, "label2id": {name: i for i, name in _LABELS.items()}}


def resnet() -> PreTrainedModel:
    """A ResNet of about 0.7 M parameters."""
    return ResNetForImageClassification(
        ResNetConfig(
            embedding_size=24, hidden_sizes=[24, 48, 96, 128], depths=[1, 1, 1, 1], layer_type="basic", **_labels()
        )
    )


def convnext() -> PreTrainedModel:
    """A ConvNeXt V2 of about 0.6 M parameters."""
    return ConvNextV2ForImageClassification(
        ConvNextV2Config(hidden_sizes=[24, 48, 80, 128], depths=[1, 1, 2, 1], image_size=_SIDE, **_labels())
    )


def reader_processor() -> ViTImageProcessorPil:
    """Cut-outs to 64 x 64 and [-1, 1]."""
    return ViTImageProcessorPil(
        size={"height": _SIDE, "width": _SIDE}, resample=2, image_mean=[0.5] * 3, image_std=[0.5] * 3
    )


def _chosen(scenes: Sequence[Scene], rng: np.random.Generator) -> list[SceneObject]:
    """One object per scene, of which at least half is seen; the front one always is."""
    chosen = []
    for scene in scenes:
        seen = [len(scene.objects) - 1]
        if len(scene.objects) > 1:
            seen = [i for i, share in enumerate(scene.truth().visible_share) if share >= 0.5]
        chosen.append(scene.objects[int(rng.choice(seen))])
    return chosen


def _cuts(images: np.ndarray, chosen: Sequence[SceneObject], rng: np.random.Generator) -> Tensor:
    """Cut-outs with jittered boxes, degraded a little, in [-1, 1]."""
    boxes_B4 = torch.tensor([[o.box.x0, o.box.y0, o.box.x1, o.box.y1] for o in chosen])
    sides = (boxes_B4[:, 2:] - boxes_B4[:, :2]).repeat(1, 2)
    boxes_B4 = boxes_B4 + sides * torch.from_numpy(rng.uniform(-0.08, 0.08, boxes_B4.shape).astype(np.float32))
    pixels = torch.from_numpy(images).permute(0, 3, 1, 2).float() / 127.5 - 1
    if rng.random() < 0.4:
        pixels = F.avg_pool2d(pixels, 3, stride=1, padding=1, count_include_pad=False)
    cuts = crop_regions(pixels, boxes_B4, margin=_MARGIN, size=_SIDE)
    noise = torch.from_numpy(rng.standard_normal(cuts.shape, dtype=np.float32))
    return (cuts * float(rng.uniform(0.9, 1.1)) + float(rng.uniform(0, 0.12)) * noise).clamp(-1, 1)


def _loss(logits: Tensor, chosen: Sequence[SceneObject]) -> tuple[Tensor, dict[str, Tensor]]:
    parts, start = {}, 0
    for group, names in GROUPS.items():
        told = [getattr(o, group) for o in chosen]
        target = torch.tensor([names.index(t) if t in names else _UNKNOWN for t in told])
        if bool((target != _UNKNOWN).any()):
            parts[group] = F.cross_entropy(logits[:, start : start + len(names)], target, ignore_index=_UNKNOWN)
        start += len(names)
    return torch.stack(list(parts.values())).sum(), {k: v for k, v in parts.items() if k != "shape"}


def train_reader(
    recipe: ReaderRecipe, drawn: DrawnScenes, folder: str | Path, *, start: Path | None = None
) -> PreTrainedModel:
    """Trains (or goes on training) and returns the reader with averaged weights."""
    torch.manual_seed(recipe.plan.seed)
    model = recipe.build().train()
    begin(model, start)
    run = Run(folder, recipe.plan, model, what=recipe.name)
    images = drawn.images_NHWC

    def make(step: int, rng: np.random.Generator) -> tuple[Tensor, list[SceneObject]]:
        indices = np.sort(rng.choice(drawn.count, recipe.plan.batch, replace=False))
        chosen = _chosen(drawn.scenes(indices), rng)
        return _cuts(images[indices], chosen, rng), chosen

    for _, (cuts, chosen) in run.batches(make):
        loss, parts = _loss(run.model(pixel_values=cuts).logits, chosen)
        run.update(loss, **parts)
    run.finish()
    return model.eval()

"""The embedded CLIPs: an image tower that learns contrastively against a frozen text tower (`training.text`).

Image and caption meet contrastively (Radford et al. 2021; one side locked as in Zhai et al. 2022) with additions
that a small world needs:

* every caption meets its attribute-swapped twin, or colours would never bind to nouns;
* regions (the box enlarged to the full frame, or the frame black outside the box) meet one-object captions, and a part
  of all pictures is blurred and noisy as a diffusion model's one-step estimates are, so that GOAL's alignment loss can
  read them;
* every patch tells the noun, colour and texture of the object seen there through a linear layer that is thrown away:
    what stands where is learned from 64 answers a picture, long before pooled pictures tell captions apart;
* every picture's embedding tells what each noun in it is like, as the text tower's pooled features were taught to: the
  contrast with twins alone, one bit of a pair, leaves a bag of words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    CLIPTextModel,
    CLIPTokenizer,
    SiglipVisionConfig,
    SiglipVisionModel,
    VisionTextDualEncoderModel,
)

from scenograph.datasets.drawn import DrawnScenes
from scenograph.training.loop import Plan, Run, begin
from scenograph.training.patches import ANSWERS, patch_answers, patch_loss
from scenograph.training.tables import Answers, Tables, seen_in, table_answers, table_loss
from scenograph.world.captions import attributes_of
from scenograph.world.scenes import Scene, retell, twin_captions

__all__ = ["ClipRecipe", "build_clip", "crop_regions", "train_clip"]


@dataclass(frozen=True, kw_only=True)
class ClipRecipe:
    """Sizes and plan of one CLIP."""

    name: str
    plan: Plan
    text: str  # the text tower's name
    width: int = 128
    layers: int = 4
    patch: int = 16
    patches: float = 1.0  # the weight of the patches' answers
    tables: float = 1.0  # the weight of what embeddings tell of each noun
    degrade: float = 0.35  # the share of blurred and noisy pictures; 0 for a judge that must see blur


def build_clip(recipe: ClipRecipe, text_tower: CLIPTextModel) -> VisionTextDualEncoderModel:
    """A given, frozen text tower with SigLIP's image tower and two projections at random."""
    vision = SiglipVisionConfig(
        hidden_size=recipe.width,
        intermediate_size=4 * recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.width // 32,
        image_size=128,
        patch_size=recipe.patch,
    )
    torch.manual_seed(recipe.plan.seed)
    text_tower.requires_grad_(False).eval()
    model = VisionTextDualEncoderModel(vision_model=SiglipVisionModel(vision), text_model=text_tower)
    model.projection_dim = model.config.projection_dim = recipe.width
    model.visual_projection = nn.Linear(recipe.width, recipe.width, bias=False)
    model.text_projection = nn.Linear(text_tower.config.hidden_size, recipe.width, bias=False)
    return model


def crop_regions(pixels_BCHW: Tensor, boxes_B4: Tensor, *, margin: float = 0.08, size: int = 128) -> Tensor:
    """Each picture's box (fractions, x0 y0 x1 y1) with a margin, enlarged to size x size; differentiable."""
    centre = (boxes_B4[:, :2] + boxes_B4[:, 2:]) / 2
    reach = (boxes_B4[:, 2:] - boxes_B4[:, :2]) * (1 + 2 * margin)  # half a box, where the frame is 2 wide
    theta = torch.zeros(len(boxes_B4), 2, 3, dtype=pixels_BCHW.dtype, device=pixels_BCHW.device)
    theta[:, 0, 0], theta[:, 1, 1] = reach[:, 0], reach[:, 1]
    theta[:, :, 2] = 2 * centre - 1
    grid = F.affine_grid(theta, [len(boxes_B4), 3, size, size], align_corners=False)
    return F.grid_sample(pixels_BCHW, grid, padding_mode="border", align_corners=False)


def _only_box(pixels_BCHW: Tensor, boxes_B4: Tensor) -> Tensor:
    """Black outside the box, as GOAL masks its one-step estimates (eq. 5)."""
    size = pixels_BCHW.shape[-1]
    at = (torch.arange(size) + 0.5) / size
    inside_x = (at >= boxes_B4[:, :1]) & (at < boxes_B4[:, 2:3])
    inside_y = (at >= boxes_B4[:, 1:2]) & (at < boxes_B4[:, 3:])
    mask = (inside_y[:, :, None] & inside_x[:, None, :])[:, None]
    return torch.where(mask, pixels_BCHW, torch.full_like(pixels_BCHW, -1.0))


def _degrade(pixels_BCHW: Tensor, rng: np.random.Generator, share: float) -> Tensor:
    """Blurs and perturbs a share of the pictures as a diffusion model's one-step estimates are."""
    out = pixels_BCHW.clone()
    for i in np.flatnonzero(rng.random(len(out)) < share):
        small = int(rng.integers(10, 48))
        low = F.interpolate(out[i : i + 1], size=(small, small), mode="area")
        low = low + float(rng.uniform(0, 0.35)) * torch.from_numpy(rng.standard_normal(low.shape, dtype=np.float32))
        blurred = F.interpolate(low, size=out.shape[-2:], mode="bilinear", align_corners=False)
        out[i] = torch.lerp(out[i : i + 1], blurred, float(rng.uniform(0.6, 1.0)))[0].clamp(-1, 1)
    return out


def _truths(scenes: Sequence[Scene], chosen: Sequence[int], captions: Sequence[str]) -> Tensor:
    """(B, B): whether caption j is true of the chosen object of scene i."""
    stated = [attributes_of(c) for c in captions]
    shown = [vars(scene.objects[i]) for scene, i in zip(scenes, chosen, strict=True)]
    return torch.tensor([[all(o[key] == value for key, value in s.items()) for s in stated] for o in shown])


def _contrast(image: Tensor, text: Tensor, scale: Tensor, true_BB: Tensor | None = None) -> Tensor:
    """InfoNCE both ways; columns past the batch are extra negatives; other true pairs are left out of the sums."""
    logits = scale * image @ text.T
    own = torch.arange(len(image))
    if true_BB is not None:
        also = true_BB & ~torch.eye(len(image), dtype=torch.bool)
        logits = logits.masked_fill(also, -1e4)
    return (F.cross_entropy(logits, own) + F.cross_entropy(logits[:, : len(image)].T, own)) / 2


def _pixels(drawn: np.ndarray, indices: np.ndarray) -> Tensor:
    """Drawn scenes as float pictures in [-1, 1], (B, 3, 128, 128)."""
    return torch.from_numpy(drawn[np.sort(indices)]).permute(0, 3, 1, 2).float() / 127.5 - 1


def _region_batch(
    scenes: Sequence[Scene], pixels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, list[str], Tensor]:
    """One region per scene, its caption, and which captions are true of which regions."""
    chosen, captions = [], []
    for scene in scenes:
        top = len(scene.objects) - 1  # front objects more often: less is hidden
        index = top if rng.random() < 0.5 else int(rng.integers(0, top + 1))
        chosen.append(index)
        captions.append(scene.described.captions[index])
    boxes = [scene.objects[i].box for scene, i in zip(scenes, chosen, strict=True)]
    boxes_B4 = torch.tensor([[b.x0, b.y0, b.x1, b.y1] for b in boxes])
    cut = torch.from_numpy(rng.random(len(scenes)) < 0.6)[:, None, None, None]
    regions = torch.where(cut, crop_regions(pixels, boxes_B4), _only_box(pixels, boxes_B4))
    return regions, captions, _truths(scenes, chosen, captions)


class _Embedder(nn.Module):
    """Unit embeddings of both sides and what patches and embeddings tell, in one forward call, so that several
    processes can share it."""

    def __init__(self, clip: VisionTextDualEncoderModel) -> None:
        super().__init__()
        self.clip = clip
        self.patches = nn.Linear(clip.vision_model.config.hidden_size, ANSWERS)
        self.tables = Tables(clip.visual_projection.out_features)

    def forward(self, pixels_BCHW: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Any, ...]:
        seen = self.clip.vision_model(pixel_values=pixels_BCHW)
        image = self.clip.visual_projection(seen.pooler_output)
        with torch.no_grad():
            pooled = self.clip.text_model(input_ids=ids_BT, attention_mask=mask_BT).pooler_output
        scale = self.clip.logit_scale.exp().clamp(max=100)
        text = self.clip.text_projection(pooled)
        told = self.patches(seen.last_hidden_state), self.tables(image)
        return F.normalize(image, dim=-1), F.normalize(text, dim=-1), scale, *told


class _Batch(NamedTuple):
    """Pictures then their regions; captions, twins, region captions; which region captions are true of which regions;
    what the pictures' patches and the pictures show."""

    pixels_BCHW: Tensor
    ids_BT: Tensor
    mask_BT: Tensor
    true_BB: Tensor
    answers_BP3: Tensor
    table: Answers


def _batch(
    recipe: ClipRecipe, tokenizer: CLIPTokenizer, scenes: Sequence[Scene], pixels: Tensor, rng: np.random.Generator
) -> _Batch:
    words = Random(int(rng.integers(1 << 62)))
    twins = [twin_captions(s, words) for s in scenes]
    # Half of the scenes keep a free caption (attributes may be unsaid); its twin is then merely another negative.
    told = [twin[0] if words.random() < 0.5 else retell(s, words) for s, twin in zip(scenes, twins, strict=True)]
    regions, region_captions, true_BB = _region_batch(scenes, pixels, rng)
    texts = [*(d.caption for d in told), *(false for _, false in twins), *region_captions]
    enc = tokenizer(texts, padding=True, truncation=True, return_tensors="pt")
    return _Batch(
        pixels_BCHW=_degrade(torch.cat([pixels, regions]), rng, recipe.degrade),
        ids_BT=enc["input_ids"],
        mask_BT=enc["attention_mask"],
        true_BB=true_BB,
        answers_BP3=patch_answers(scenes, pixels.shape[-1] // recipe.patch),
        table=table_answers([seen_in(scene) for scene in scenes]),
    )


def _loss(model: nn.Module, batch: _Batch) -> dict[str, Tensor]:
    size = len(batch.true_BB)
    image, text, scale, patches_BPK, (asked, *rest) = model(batch.pixels_BCHW, batch.ids_BT, batch.mask_BT)
    read = {key: logits[:size] for key, logits in asked.items()}, *(logits[:size] for logits in rest)
    return {
        "whole": _contrast(image[:size], text[: 2 * size], scale),
        "region": _contrast(image[size:], text[2 * size :], scale, batch.true_BB),
        "patches": patch_loss(patches_BPK[:size], batch.answers_BP3),
        **table_loss(read, batch.table),
    }


def train_clip(
    recipe: ClipRecipe,
    drawn: DrawnScenes,
    tokenizer: CLIPTokenizer,
    text_tower: CLIPTextModel,
    folder: str | Path,
    *,
    start: Path | None = None,
) -> VisionTextDualEncoderModel:
    """Trains (or goes on training) in `folder` and returns the model with averaged weights."""
    clip = build_clip(recipe, text_tower)
    begin(clip, start)
    run = Run(folder, recipe.plan, _Embedder(clip), what=recipe.name)
    images = drawn.images_NHWC

    def make(step: int, rng: np.random.Generator) -> _Batch:
        indices = np.sort(rng.choice(drawn.count, recipe.plan.batch, replace=False))
        return _batch(recipe, tokenizer, drawn.scenes(indices), _pixels(images, indices), rng)

    for _, batch in run.batches(make):
        parts = _loss(run.model, batch)
        told = recipe.patches * parts["patches"] + recipe.tables * (parts["things"] + parts["background"])
        run.update(parts["whole"] + parts["region"] + told, **parts)
    run.finish()
    return clip.eval()

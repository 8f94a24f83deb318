"""The embedded CLIPs and the text tower of every embedded diffusion model.

Image and caption are learned together, contrastively (Radford et al. 2021), with three additions that a small world needs:

* every caption meets its attribute-swapped twin, or colours would never bind to nouns;
* regions (the box enlarged to the full frame, or the frame black outside the box) meet one-object captions; a part of all
  pictures is blurred and noisy as a diffusion model's one-step estimates are, so that GOAL's alignment loss can read them;
* the last token of every phrase must tell its noun, colour, texture, shape and number, and the caption's end its nouns and
  background: a frozen text tower can only give a UNet what its tokens know.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    CLIPTokenizer,
    SiglipVisionConfig,
    SiglipVisionModel,
    VisionTextDualEncoderModel,
)

from scenograph.datasets.drawn import DrawnScenes
from scenograph.training.loop import Plan, Run
from scenograph.training.tokenizer import MAX_TOKENS
from scenograph.world.captions import attributes_of, background_of
from scenograph.world.scenes import Scene, retell, twin_captions
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPES, TEXTURES

__all__ = ["ClipRecipe", "build_clip", "crop_regions", "train_clip"]

# What a phrase's last token must tell; class 0 is "not stated".
_FACTS = {"noun": tuple(NOUNS), "colour": tuple(COLOURS), "texture": TEXTURES[1:], "shape": SHAPES}
_HEADS = {**{k: len(v) + 1 for k, v in _FACTS.items()}, "count": 11}


@dataclass(frozen=True, kw_only=True)
class ClipRecipe:
    """Sizes and plan of one CLIP."""

    name: str
    plan: Plan
    width: int = 128
    text_layers: int = 4
    vision_layers: int = 5
    patch: int = 16
    projection: int = 128


def build_clip(recipe: ClipRecipe, tokenizer: CLIPTokenizer) -> VisionTextDualEncoderModel:
    """Random weights of stock classes: CLIP's text tower, SigLIP's image tower, two projections."""
    text = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=4 * recipe.width,
        num_hidden_layers=recipe.text_layers,
        num_attention_heads=recipe.width // 32,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=recipe.projection,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    vision = SiglipVisionConfig(
        hidden_size=recipe.width,
        intermediate_size=4 * recipe.width,
        num_hidden_layers=recipe.vision_layers,
        num_attention_heads=recipe.width // 32,
        image_size=128,
        patch_size=recipe.patch,
    )
    torch.manual_seed(recipe.plan.seed)
    model = VisionTextDualEncoderModel(vision_model=SiglipVisionModel(vision), text_model=CLIPTextModel(text))
    if recipe.projection != model.projection_dim:
        model.projection_dim = model.config.projection_dim = recipe.projection
        model.visual_projection = nn.Linear(recipe.width, recipe.projection, bias=False)
        model.text_projection = nn.Linear(recipe.width, recipe.projection, bias=False)
    with torch.no_grad():
        model.text_model.get_input_embeddings().weight.normal_(std=0.02)
    return model


class _Learner(nn.Module):
    """The CLIP with the heads that exist only while it learns."""

    def __init__(self, clip: VisionTextDualEncoderModel, width: int) -> None:
        super().__init__()
        self.clip = clip
        self.heads = nn.ModuleDict({name: nn.Linear(width, size) for name, size in _HEADS.items()})
        self.nouns = nn.Linear(width, len(NOUNS))
        self.background = nn.Linear(width, len(BACKGROUNDS) + 1)

    def forward(self, pixels_BCHW: Tensor, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        image = self.clip.visual_projection(self.clip.vision_model(pixel_values=pixels_BCHW).pooler_output)
        text = self.clip.text_model(input_ids=ids_BT, attention_mask=mask_BT)
        words = self.clip.text_projection(text.pooler_output)
        return F.normalize(image, dim=-1), F.normalize(words, dim=-1), text.last_hidden_state, text.pooler_output


def crop_regions(pixels_BCHW: Tensor, boxes_B4: Tensor, *, margin: float = 0.08, size: int = 128) -> Tensor:
    """Each picture's box (fractions, x0 y0 x1 y1) with a margin, enlarged to size x size, differentiable in the pixels."""
    centre = (boxes_B4[:, :2] + boxes_B4[:, 2:]) / 2
    half = (boxes_B4[:, 2:] - boxes_B4[:, :2]) / 2 * (1 + 2 * margin)
    theta = torch.zeros(len(boxes_B4), 2, 3, dtype=pixels_BCHW.dtype, device=pixels_BCHW.device)
    theta[:, 0, 0], theta[:, 1, 1] = half[:, 0], half[:, 1]
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


def _degrade(pixels_BCHW: Tensor, rng: np.random.Generator, share: float = 0.35) -> Tensor:
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


@dataclass(frozen=True, kw_only=True)
class _Words:
    """The texts of one batch and what their tokens must tell."""

    ids_BT: Tensor
    mask_BT: Tensor
    at: Tensor  # (P, 2): row and token of every phrase end
    facts: dict[str, Tensor]  # head -> (P,) classes
    nouns_BN: Tensor
    background_B: Tensor


def _words(tokenizer: CLIPTokenizer, scenes: Sequence[Scene], texts: Sequence[str], told: Sequence) -> _Words:
    enc = tokenizer(
        list(texts), padding=True, truncation=True, return_offsets_mapping=True, return_tensors="pt"
    )
    offsets = enc["offset_mapping"].numpy()
    at, rows = [], []
    for row, described in enumerate(told):
        for phrase in dict.fromkeys(described.phrases):
            end = described.caption.find(phrase) + len(phrase)
            hits = np.flatnonzero((offsets[row, :, 0] < end) & (offsets[row, :, 1] >= end))
            if len(hits):
                at.append((row, int(hits[0])))
                rows.append(_phrase_facts(phrase, described.phrases.count(phrase)))
    facts = {k: torch.tensor([r[k] for r in rows]) for k in _HEADS}
    nouns = torch.zeros(len(scenes), len(NOUNS))
    for row, scene in enumerate(scenes):
        for o in scene.objects:
            nouns[row, list(NOUNS).index(o.noun)] = 1
    names = list(BACKGROUNDS)
    stated = [background_of(d.caption) for d in told]
    background = torch.tensor([0 if s is None else 1 + names.index(s) for s in stated])
    return _Words(
        ids_BT=enc["input_ids"], mask_BT=enc["attention_mask"], at=torch.tensor(at), facts=facts,
        nouns_BN=nouns, background_B=background,
    )  # fmt: skip


def _phrase_facts(phrase: str, count: int) -> dict[str, int]:
    stated = attributes_of(phrase)
    facts = {k: 1 + names.index(stated[k]) if k in stated else 0 for k, names in _FACTS.items()}
    return {**facts, "count": min(count, 10)}


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


def _region_batch(scenes: Sequence[Scene], pixels: Tensor, rng: np.random.Generator) -> tuple[Tensor, list[str], Tensor]:
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


def _loss(
    learner: nn.Module, tokenizer: CLIPTokenizer, scenes: Sequence[Scene], pixels: Tensor, rng: np.random.Generator
) -> tuple[Tensor, dict[str, Tensor]]:
    words_rng = Random(int(rng.integers(1 << 62)))
    told = [s.described if words_rng.random() < 0.5 else retell(s, words_rng) for s in scenes]
    twins = [twin_captions(s, words_rng) for s in scenes]
    regions, region_captions, true = _region_batch(scenes, pixels, rng)
    size = len(scenes)
    half = words_rng.random() < 0.5  # the twin's own true wording, or the free caption, stands for the picture
    captions = [t for t, _ in twins] if half else [d.caption for d in told]
    texts = [d.caption for d in told] + captions + [f for _, f in twins] + region_captions
    words = _words(tokenizer, scenes, texts, told)
    image, text, hidden, pooled = learner(
        _degrade(torch.cat([pixels, regions]), rng), words.ids_BT, words.mask_BT
    )
    bare = learner.module if hasattr(learner, "module") else learner
    scale = bare.clip.logit_scale.exp().clamp(max=100)
    whole = _contrast(image[:size], text[size : 3 * size], scale)
    region = _contrast(image[size:], text[3 * size :], scale, true)
    ends = hidden[words.at[:, 0], words.at[:, 1]]
    tokens = torch.stack([F.cross_entropy(bare.heads[k](ends), v) for k, v in words.facts.items()]).sum()
    told_end = pooled[:size]
    ends_loss = F.binary_cross_entropy_with_logits(bare.nouns(told_end), words.nouns_BN) * 4
    ends_loss = ends_loss + F.cross_entropy(bare.background(told_end), words.background_B)
    parts = {"whole": whole, "region": region, "tokens": tokens, "ends": ends_loss}
    return whole + region + 0.3 * tokens + 0.3 * ends_loss, parts


def train_clip(
    recipe: ClipRecipe, drawn: DrawnScenes, tokenizer: CLIPTokenizer, folder: str | Path
) -> VisionTextDualEncoderModel:
    """Trains (or goes on training) in `folder` and returns the model with averaged weights."""
    learner = _Learner(build_clip(recipe, tokenizer), recipe.width)
    run = Run(folder, recipe.plan, learner, what=recipe.name)
    images = drawn.images_NHWC
    for step in run.steps():
        rng = run.rng(step)
        indices = np.sort(rng.choice(drawn.count, recipe.plan.batch, replace=False))
        loss, parts = _loss(run.model, tokenizer, drawn.scenes(indices), _pixels(images, indices), rng)
        run.update(loss, **parts)
    run.finish()
    return learner.clip.eval()

"""The embedded autoencoder: diffusers' AutoencoderKL, f = 8, four channels, on drawn scenes and 64 px cuts of them.

Cuts teach fast, but group norms see other statistics on them than on whole pictures, so every second step, and all
of the last part, takes a quarter as many whole pictures. At last the decoder goes on alone, in full batches of whole
pictures. It has no attention, which would cost more than it gives here.
Loss: absolute (sharp edges) and squared (learns fast) differences of pixels, an object's weighing three times a
background's, and a small KL term; no adversary, which flat drawings do not need. (An L1 loss on pixel differences
was tried: most differences are 0, so it teaches blur first.)
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL
from torch import Tensor

from scenograph.datasets.drawn import DrawnScenes
from scenograph.training.loop import Plan, Run, begin
from scenograph.world.scenes import CANVAS

__all__ = ["VaeRecipe", "build_vae", "cut_scenes", "differences", "encode_scenes", "train_vae"]


@dataclass(frozen=True, kw_only=True)
class VaeRecipe:
    """Sizes and plan of the autoencoder."""

    name: str
    plan: Plan
    channels: tuple[int, ...] = (16, 32, 64, 96)
    layers: int = 1
    cut: int = 64
    whole_after: float = 0.6
    kl: float = 3e-4
    squared: float = 2.0
    objects: float = 3.0  # the weight of an object's pixels; a background's is 1
    decoder: float = 0.25  # the steps of the decoder alone, as a share of the plan's


def build_vae(recipe: VaeRecipe) -> AutoencoderKL:
    """Random weights; channels_last, which two cores like."""
    torch.manual_seed(recipe.plan.seed)
    levels = len(recipe.channels)
    vae = AutoencoderKL(
        down_block_types=("DownEncoderBlock2D",) * levels,
        up_block_types=("UpDecoderBlock2D",) * levels,
        block_out_channels=recipe.channels,
        layers_per_block=recipe.layers,
        latent_channels=4,
        norm_num_groups=8,
        sample_size=128,
        mid_block_add_attention=False,
    )
    return vae.to(memory_format=torch.channels_last)


def cut_scenes(
    drawn: DrawnScenes, images: np.ndarray, rng: np.random.Generator, batch: int, size: int
) -> tuple[Tensor, Tensor]:
    """Cuts of scenes in [-1, 1], (B, 3, size, size), and where objects are, (B, 1, size, size)."""
    indices = np.sort(rng.choice(drawn.count, batch, replace=False))
    corners = rng.integers(0, CANVAS - size + 1, (batch, 2))
    at = [np.s_[y : y + size, x : x + size] for y, x in corners]
    cuts = np.stack([images[i][where] for i, where in zip(indices, at, strict=True)])
    owners = [s.truth().owner_HW[where] for s, where in zip(drawn.scenes(indices), at, strict=True)]
    pixels = torch.from_numpy(cuts).permute(0, 3, 1, 2).float() / 127.5 - 1
    return pixels.contiguous(memory_format=torch.channels_last), torch.from_numpy(np.stack(owners) >= 0)[:, None]


def train_vae(recipe: VaeRecipe, drawn: DrawnScenes, folder: str | Path, *, start: Path | None = None) -> AutoencoderKL:
    """Trains (or goes on training) and returns the autoencoder; `scaling_factor` becomes 1 / latent deviation."""
    vae = build_vae(recipe)
    begin(vae, start)
    run = Run(folder, recipe.plan, vae, what=recipe.name)
    images = drawn.images_NHWC

    def make(step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        whole = step % 2 == 1 or step >= recipe.whole_after * recipe.plan.steps
        batch, size = (max(1, recipe.plan.batch // 4), CANVAS) if whole else (recipe.plan.batch, recipe.cut)
        return cut_scenes(drawn, images, rng, batch, size)

    for _, (x, objects) in run.batches(make):
        posterior = vae.encode(x).latent_dist
        seen = vae.decode(posterior.sample()).sample
        kl = posterior.kl().mean() / posterior.mean[0].numel()
        parts = differences(recipe.objects, seen, x, objects)
        run.update(parts["absolute"] + recipe.squared * parts["squared"] + recipe.kl * kl, kl=kl, **parts)
    run.finish()
    _train_decoder(recipe, vae, drawn, Path(folder) / "decoder")
    sample = encode_scenes(vae.eval(), images[: min(512, drawn.count)])
    vae.register_to_config(scaling_factor=round(1 / float(np.std(sample.astype(np.float32))), 4))
    return vae


def _train_decoder(recipe: VaeRecipe, vae: AutoencoderKL, drawn: DrawnScenes, folder: Path) -> None:
    """The last part: the decoder alone on whole pictures. Latents no longer move, so a painter may learn meanwhile."""
    vae.encoder.requires_grad_(False)
    vae.quant_conv.requires_grad_(False)
    plan = replace(recipe.plan, steps=round(recipe.decoder * recipe.plan.steps))
    run = Run(folder, plan, vae, what=f"{recipe.name} decoder")
    images = drawn.images_NHWC

    def make(step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        return cut_scenes(drawn, images, rng, plan.batch, CANVAS)

    for _, (x, objects) in run.batches(make):
        with torch.no_grad():
            latents = vae.encode(x).latent_dist.sample()
        parts = differences(recipe.objects, vae.decode(latents).sample, x, objects)
        run.update(parts["absolute"] + recipe.squared * parts["squared"], **parts)
    run.finish()


def differences(weight: float, seen: Tensor, x: Tensor, objects: Tensor) -> dict[str, Tensor]:
    """Mean absolute and squared differences of pixels, an object's weighing `weight` times a background's."""
    error = (seen - x) * (1 + (weight - 1) * objects)
    return {"absolute": error.abs().mean(), "squared": (error * (seen - x)).mean()}


@torch.no_grad()
def encode_scenes(vae: AutoencoderKL, images_NHWC: np.ndarray, *, batch: int = 64) -> np.ndarray:
    """Latent means of drawn scenes, unscaled, float16 (N, 4, 16, 16)."""
    latents = []
    for start in range(0, len(images_NHWC), batch):
        x = torch.from_numpy(np.ascontiguousarray(images_NHWC[start : start + batch])).permute(0, 3, 1, 2)
        x = (x.float() / 127.5 - 1).contiguous(memory_format=torch.channels_last)
        latents.append(vae.encode(x).latent_dist.mean.half().numpy())
    return np.concatenate(latents)

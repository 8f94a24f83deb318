"""The image tokens of tiny-janus: transformers' JanusVQVAE on drawn scenes, 64 tokens of a codebook for 128 px.

van den Oord et al. 2017 with what keeps a codebook alive (Yu et al. 2022): latents and entries are compared by their
direction in few dimensions, and entries that nothing chose for a while begin anew from latents of the batch. Decoding
normalises the entries, so training does too. Loss: `training.vae`'s, without an adversary, the commitment, and how a
frozen CLIP's image tower sees the two pictures, cell by cell: 64 tokens cannot hold every pixel, and a mean of pixels
spends them on large areas and leaves things a blur that nobody can name.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from torch import Tensor, nn

from scenograph.datasets.drawn import DrawnScenes
from scenograph.training.loop import Plan, Run
from scenograph.training.vae import cut_scenes, differences
from scenograph.world.scenes import CANVAS

__all__ = ["VqRecipe", "train_vq"]


@dataclass(frozen=True, kw_only=True)
class VqRecipe:
    """Plan of one VQ model; its sizes are the unified model's (`unified.model.tiny_config`)."""

    name: str
    plan: Plan
    squared: float = 2.0
    objects: float = 3.0
    commitment: float = 0.25
    semantic: float = 2.0  # of what the tower sees, on whole pictures
    cut: int = 64
    whole_after: float = 0.6
    patience: int = 100
    """Steps after which an entry that nothing chose begins anew."""


class _Quantised(nn.Module):
    """A JanusVQVAE as training runs it, with how long each entry has been idle."""

    idle_V: Tensor

    def __init__(self, vq: Any) -> None:
        super().__init__()
        self.vq = vq
        self.register_buffer("idle_V", torch.zeros(vq.quantize.num_embeddings))

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor]:
        """(pixels, commitment terms of latents and of entries, unit latents (M, C), chosen ids (M,))."""
        half = partial(torch.autocast, x_BCHW.device.type, torch.bfloat16)  # 1.6 times as fast on a CPU with AMX
        with half():
            z_BCHW = self.vq.quant_conv(self.vq.encoder(x_BCHW))
        z_BCHW = F.normalize(z_BCHW.float(), dim=1)  # half precision could not tell neighbours in the codebook apart
        z_MC = z_BCHW.permute(0, 2, 3, 1).flatten(0, 2)
        codebook_VC = F.normalize(self.vq.quantize.embedding.weight, dim=-1)
        ids_M = (z_MC @ codebook_VC.T).argmax(-1)
        entry_BCHW = codebook_VC[ids_M].view(z_BCHW.permute(0, 2, 3, 1).shape).permute(0, 3, 1, 2)
        through = z_BCHW + (entry_BCHW - z_BCHW).detach()
        with half():
            seen = self.vq.decoder(self.vq.post_quant_conv(through)).float()
        bound = F.mse_loss(z_BCHW, entry_BCHW.detach()), F.mse_loss(entry_BCHW, z_BCHW.detach())
        return seen, torch.stack(bound), z_MC.detach(), ids_M


def train_vq(
    recipe: VqRecipe, vq: Any, drawn: DrawnScenes, folder: str | Path, *, tower: nn.Module | None = None
) -> Any:
    """Trains (or goes on training) a JanusVQVAE; returns it with averaged weights, unit entries, in eval mode.

    `tower`, a SiglipVisionModel for pictures of a scene's size, says what they mean; without it only pixels count.
    """
    model = _Quantised(vq).train()
    if tower is not None:
        tower.requires_grad_(False).eval()
    run = Run(folder, recipe.plan, model, what=recipe.name)
    images = drawn.images_NHWC

    def make(step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
        whole = step % 2 == 1 or step >= recipe.whole_after * recipe.plan.steps  # as the autoencoder learns
        batch, size = (max(1, recipe.plan.batch // 4), CANVAS) if whole else (recipe.plan.batch, recipe.cut)
        x, objects = cut_scenes(drawn, images, rng, batch, size)
        return x.contiguous(), objects  # which these layers like better than channels_last

    for _, (x, objects) in run.batches(make):
        seen, bound, z_MC, ids_M = run.model(x)
        parts = differences(recipe.objects, seen, x, objects)
        used = torch.bincount(ids_M, minlength=len(model.idle_V)) > 0
        loss = parts["absolute"] + recipe.squared * parts["squared"] + recipe.commitment * bound[0] + bound[1]
        if tower is not None and x.shape[-1] == CANVAS:
            parts["meaning"] = _meaning(tower.to(run.device), seen, x)
            loss = loss + recipe.semantic * parts["meaning"]
        run.update(loss, bound=bound[0], used=used.float().mean(), **parts)
        _wake(recipe, model, run, used, z_MC)
    run.finish()
    with torch.no_grad():
        vq.quantize.embedding.weight.copy_(F.normalize(vq.quantize.embedding.weight, dim=-1))
    return vq.eval()


def _meaning(tower: nn.Module, seen_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
    """1 − the cosine of a picture's states and its copy's, the mean over cells and layers."""
    with torch.no_grad():
        wanted = tower(pixel_values=x_BCHW, output_hidden_states=True).hidden_states[1:]
    got = tower(pixel_values=seen_BCHW, output_hidden_states=True).hidden_states[1:]
    return 1 - torch.stack([F.cosine_similarity(a, b, dim=-1).mean() for a, b in zip(got, wanted, strict=True)]).mean()


@torch.no_grad()
def _wake(recipe: VqRecipe, model: _Quantised, run: Run, used_V: Tensor, z_MC: Tensor) -> None:
    """Put idle entries where latents are; their average follows, or it would return them at the end.

    Several processes put the same entries in the same places.
    """
    model.idle_V += 1
    model.idle_V[run.accelerator.reduce(used_V.float()) > 0] = 0
    asleep = (model.idle_V > recipe.patience).nonzero().flatten()
    if not len(asleep):
        return
    new_MC = broadcast(z_MC[torch.randint(len(z_MC), (len(asleep),))])
    weight = model.vq.quantize.embedding.weight
    weight[asleep] = new_MC
    model.idle_V[asleep] = 0
    if run.ema is not None:
        place = next(i for i, p in enumerate(run.parameters) if p is weight)
        run.ema[place][asleep] = new_MC

"""GOAL (Grounded Joint Layout Alignment): a GLIGEN fine-tuned so that attributes bind to the right box.

    L = L_LDM + α (D_local + D_global) + β (L_in + L_out)

Gated self-attention, self-attention and cross-attention learn; position net, CLIP and VAE are frozen. Sampling is
GLIGEN's and costs the same. With α = β = 0 it is GLIGEN continued with L_LDM alone, the control of every table.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from torch import Tensor

from scenograph.errors import TrainingError
from scenograph.judging.clip import TransformersClip
from scenograph.layout import Layout
from scenograph.models.gated import is_gated
from scenograph.painting.attention import Observed, observe
from scenograph.painting.tokens import TokenLayout
from scenograph.training.alignment import (
    ARTICLES,
    Semantics,
    attention_alignment,
    decoded,
    decoder_layers,
    named,
    one_step_estimate,
)
from scenograph.training.gligen import conditioned, denoising_loss
from scenograph.training.grounded import Batch, Grounded, draw_batch
from scenograph.training.loop import Plan, Run

__all__ = ["GoalRecipe", "goal_loss", "is_trained", "late_or_early", "train_goal"]


@dataclass(frozen=True, kw_only=True)
class GoalRecipe:
    """Plan and weights of one alignment.

    Attributes:
        alpha, beta: weights of DSAlign and MAAlign; 0 leaves one out, and its computation.
        local_weight, global_weight: of D_local and D_global inside DSAlign; Table 6 sets one of them to 0.
        layers: cross-attention layers that MAAlign reads, all of one grid; None: the up block at 16 x 16.
        max_timestep: DSAlign reads estimates up to here only; beyond, a step promises nothing yet. None: all.
        by_noise: weigh DSAlign by √ᾱ_t, which undoes the 1/√ᾱ_t in the estimate's gradient.
        cropped: see `Semantics`.
        grounded: share of the steps, from the noisiest, that painting will ground (its β). It paints the others without
            the gated layers, so of the noise of those steps this share learns without them too: self- and
            cross-attention change, and what nobody trained would paint the details.
        weights: of the noise steps in L_LDM, as in `denoising_loss`; None is the paper's plain mean.
    """

    name: str
    plan: Plan
    alpha: float = 1e-2
    beta: float = 1e-3
    local_weight: float = 1.0
    global_weight: float = 1.0
    layers: tuple[str, ...] | None = None
    max_timestep: int | None = None
    by_noise: bool = False
    cropped: bool = False
    grounded: float = 1.0
    weights: tuple[float, float] | None = None
    drop_caption: float = 0.1
    drop_grounding: float = 0.1
    checkpointing: bool = False


def is_trained(parameter: str) -> bool:
    """Whether GOAL trains a parameter: gated self-attention, self-attention and cross-attention."""
    return any(part in parameter for part in (".fuser.", ".attn1.", ".attn2."))


def train_goal(
    recipe: GoalRecipe, data: Grounded, pipeline: Any, clip: TransformersClip | None, folder: str | Path
) -> Any:
    """Trains (or goes on training) a gated pipeline's UNet; returns it with averaged weights.

    Args:
        clip: for DSAlign; not the one that reports. May be None where α is 0.

    Raises TrainingError for a UNet without gated layers, or α without a CLIP.
    """
    unet = pipeline.unet
    if not is_gated(unet):
        raise TrainingError("GOAL fine-tunes a GLIGEN, and this UNet has no gated layers; train gligen first")
    if recipe.alpha and clip is None:
        raise TrainingError("DSAlign reads a CLIP and none was given; name one, or set alpha to 0")
    for part in (pipeline.vae, pipeline.text_encoder, *((clip.model,) if clip else ())):
        part.requires_grad_(False).eval()
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_trained(name))
    if recipe.checkpointing:
        unet.enable_gradient_checkpointing()
        pipeline.vae.train().enable_gradient_checkpointing()  # its decoder's activations are the larger part
    for part in (unet, pipeline.vae):
        part.to(memory_format=torch.channels_last)
    run = Run(folder, recipe.plan, unet, what=recipe.name, idle=recipe.grounded < 1)
    pipeline.to(run.device)
    if clip is not None:
        clip.model.to(run.device)
    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)

    def make(step: int, _: np.random.Generator) -> Batch:
        batch = draw_batch(
            data,
            run.sample_rngs(step),
            pipeline.tokenizer,
            timesteps=schedule.config.num_train_timesteps,
            drop_caption=recipe.drop_caption,
            drop_grounding=recipe.drop_grounding,
        )
        return late_or_early(batch, step, recipe.grounded, schedule.config.num_train_timesteps)

    unet.train()
    with ExitStack() as stack:
        observed = None
        if recipe.beta:
            observed = stack.enter_context(
                observe(unet, recipe.layers or decoder_layers(unet, data.latents_NCHW.shape[-1]))
            )
        for _, batch in run.batches(make):
            loss, parts = goal_loss(recipe, batch, pipeline, schedule, run.model, clip, observed)
            run.update(loss, **parts)
    run.finish()
    unet.disable_gradient_checkpointing()
    pipeline.vae.eval().disable_gradient_checkpointing()
    return unet.requires_grad_(False).eval()


def late_or_early(batch: Batch, step: int, grounded: float, timesteps: int) -> Batch:
    """The batch with its noise steps within the part of painting that is grounded, or within the rest and ungrounded.

    Updates of both kinds take turns in the parts' proportion, alike in all processes, so over all of them the noise
    steps stay uniform.
    """
    late = 1 - grounded
    if not late:
        return batch
    border = round(late * timesteps)
    if int((step + 1) * late) > int(step * late):
        return batch._replace(t_B=batch.t_B * border // timesteps, gated=False)
    return batch._replace(t_B=border + batch.t_B * (timesteps - border) // timesteps)


def goal_loss(
    recipe: GoalRecipe,
    batch: Batch,
    pipeline: Any,
    schedule: DDPMScheduler,
    unet: Any,
    clip: TransformersClip | None,
    observed: Observed | None,
) -> tuple[Tensor, dict[str, Tensor]]:
    """(L, its parts) of one batch."""
    noisy = schedule.add_noise(batch.latents_BCHW, batch.noise_BCHW, batch.t_B)
    seen = unet(noisy, batch.t_B, **conditioned(pipeline, batch)).sample.float()
    denoising = denoising_loss(schedule, batch, seen, recipe.weights)
    loss, parts = denoising, {"ldm": denoising}
    if observed is not None:
        inside, outside = _attention(observed, batch, pipeline, noisy)
        loss = loss + recipe.beta * (inside + outside)
        parts |= {"inside": inside, "outside": outside}
    if recipe.alpha and clip is not None:
        alpha_bar_B = schedule.alphas_cumprod.to(noisy.device)[batch.t_B]
        estimate = one_step_estimate(noisy, seen, alpha_bar_B, schedule.config.prediction_type)
        local, whole = _semantics(recipe, batch, pipeline, clip, estimate, alpha_bar_B)
        loss = loss + recipe.alpha * (recipe.local_weight * local + recipe.global_weight * whole)
        parts |= {"local": local, "global": whole}
    return loss, parts


def _attention(observed: Observed, batch: Batch, pipeline: Any, noisy: Tensor) -> tuple[Tensor, Tensor]:
    """MAAlign, averaged over the batch; samples with a dropped caption or without named instances count 0."""
    tokens, content = [], []
    words = {pipeline.tokenizer(word).input_ids[1] for word in ARTICLES}
    for layout, told, ids in zip(batch.layouts, batch.told, batch.ids_BT.tolist(), strict=True):
        tokens.append(named(pipeline.tokenizer, layout) if told else TokenLayout(groups=()))
        content.append({position for position, token in enumerate(ids) if token not in words})
    grid = (noisy.shape[2], noisy.shape[3])
    inside_B, outside_B = attention_alignment(observed.maps(), grid, tokens, content)
    return inside_B.mean(), outside_B.mean()


def _semantics(
    recipe: GoalRecipe,
    batch: Batch,
    pipeline: Any,
    clip: TransformersClip,
    estimate_BCHW: Tensor,
    alpha_bar_B: Tensor,
) -> tuple[Tensor, Tensor]:
    """D_local and D_global, averaged over the batch; only the samples that are read are decoded.

    What a sample was not told is not asked of it: no boxes where they were dropped, no caption where it was.
    """
    limit, asked = recipe.max_timestep, _asked(recipe, batch)
    chosen = [i for i, t in enumerate(batch.t_B.tolist()) if asked[i] and (limit is None or t <= limit)]
    zero = estimate_BCHW.new_zeros(())
    if not chosen:
        return zero, zero
    pixels_BCHW = decoded(pipeline.vae, estimate_BCHW[chosen])
    weight_B = alpha_bar_B[chosen].sqrt() if recipe.by_noise else torch.ones_like(alpha_bar_B[chosen])
    reader, size = Semantics(clip, recipe.cropped), len(batch.layouts)
    layouts: Sequence[Layout] = [batch.layouts[i] for i in chosen]
    local = whole = zero
    if recipe.local_weight:
        local = (weight_B * reader.local(pixels_BCHW, layouts)).sum() / size
    if recipe.global_weight:
        told_B = torch.tensor([batch.told[i] for i in chosen], device=weight_B.device)
        distance_B = reader.whole(pixels_BCHW, [layout.caption for layout in layouts])
        whole = (told_B * weight_B * distance_B).sum() / size
    return local, whole


def _asked(recipe: GoalRecipe, batch: Batch) -> list[bool]:
    """Of which samples DSAlign reads the picture."""
    return [
        bool((recipe.global_weight and told) or (recipe.local_weight and layout.instances))
        for told, layout in zip(batch.told, batch.layouts, strict=True)
    ]

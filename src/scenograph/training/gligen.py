"""GLIGEN (Li et al. 2023): gated layers learn to paint instances into their boxes, over a frozen diffusion model.

Only what `models.gated.add_gates` adds is trained: gated self-attention and the position net; so the result is the base
checkpoint and a delta. Captions and groundings are dropped at random, for classifier-free guidance with null tokens.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from scenograph.models.gated import add_gates, is_gate
from scenograph.painting.gligen import ground
from scenograph.training.grounded import Batch, Grounded, draw_batch
from scenograph.training.loop import Plan, Run

__all__ = ["GligenRecipe", "conditioned", "denoising_target", "train_gligen"]


@dataclass(frozen=True, kw_only=True)
class GligenRecipe:
    """Plan of one training of gated layers."""

    name: str
    plan: Plan
    drop_caption: float = 0.1
    drop_grounding: float = 0.1
    checkpointing: bool = False


def conditioned(pipeline: Any, batch: Batch) -> dict[str, Any]:
    """The UNet's keyword arguments for a batch: text features and grounding, without a graph."""
    with torch.no_grad():
        text_BLD = pipeline.text_encoder(batch.ids_BT)[0]
        grounding = ground(pipeline, batch.layouts)
    return {"encoder_hidden_states": text_BLD, "cross_attention_kwargs": {"gligen": grounding.arguments()}}


def denoising_target(schedule: DDPMScheduler, batch: Batch) -> Tensor:
    """What the UNet should predict: noise, or the velocity of v-prediction checkpoints."""
    if schedule.config.prediction_type == "v_prediction":
        velocity: Tensor = schedule.get_velocity(batch.latents_BCHW, batch.noise_BCHW, batch.t_B)
        return velocity
    return batch.noise_BCHW


def train_gligen(recipe: GligenRecipe, data: Grounded, pipeline: Any, folder: str | Path) -> Any:
    """Trains (or goes on training) the gated layers of a pipeline's UNet; returns that UNet with averaged weights.

    Args:
        pipeline: a stock SD pipeline; gates are added where it has none. Its other parts stay as they are.
    """
    unet = add_gates(pipeline.unet, seed=recipe.plan.seed)
    pipeline.register_modules(unet=unet)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_gate(name))
    if recipe.checkpointing:
        unet.enable_gradient_checkpointing()
    run = Run(folder, recipe.plan, unet, what=recipe.name)
    pipeline.to(run.device)
    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)

    def make(step: int, _: np.random.Generator) -> Batch:
        return draw_batch(
            data,
            run.sample_rngs(step),
            pipeline.tokenizer,
            timesteps=schedule.config.num_train_timesteps,
            drop_caption=recipe.drop_caption,
            drop_grounding=recipe.drop_grounding,
        )

    unet.train()
    for _, batch in run.batches(make):
        noisy = schedule.add_noise(batch.latents_BCHW, batch.noise_BCHW, batch.t_B)
        seen = run.model(noisy, batch.t_B, **conditioned(pipeline, batch)).sample
        run.update(F.mse_loss(seen.float(), denoising_target(schedule, batch)))
    run.finish()
    unet.disable_gradient_checkpointing()
    return unet.requires_grad_(False).eval()

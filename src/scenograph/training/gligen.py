"""GLIGEN (Li et al. 2023): gated layers learn to paint instances into their boxes, over a frozen diffusion model.

Only what `models.gated.add_gates` adds is trained: gated self-attention and the position net; so the result is the base
checkpoint and a delta. Captions and groundings are dropped at random, for classifier-free guidance with null tokens.
"""

from __future__ import annotations

from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import DDPMScheduler
from torch import Tensor

from scenograph.errors import TrainingError
from scenograph.models.gated import add_gates, is_gate
from scenograph.painting.attention import gated_attentions, observe
from scenograph.painting.gligen import Grounding, ground
from scenograph.training.alignment import up_block_sides
from scenograph.training.diffusion import step_weights
from scenograph.training.grounded import Batch, Grounded, draw_batch
from scenograph.training.loop import Plan, Run
from scenograph.training.pointing import Pointer, looking_loss, pointing_loss

__all__ = ["GligenRecipe", "conditioned", "denoising_loss", "denoising_target", "train_gligen"]

_LARGEST = 32  # cells along a side of the maps that are looked at: those of 64 x 64 cells take half a gigabyte each


@dataclass(frozen=True, kw_only=True)
class GligenRecipe:
    """Plan of one training of gated layers.

    Attributes:
        weights: of the noise steps, as in `denoising_loss`; None is the plain mean of the papers.
        ajar: how new gates begin, as in `add_gates`.
        hints: the weight of `pointing_loss` and `looking_loss`, which are no part of GLIGEN's; 0 leaves them out.
    """

    name: str
    plan: Plan
    weights: tuple[float, float] | None = None
    drop_caption: float = 0.1
    drop_grounding: float = 0.1
    ajar: bool = False
    hints: float = 0.0
    checkpointing: bool = False


def conditioned(pipeline: Any, batch: Batch, grounding: Grounding | None = None) -> dict[str, Any]:
    """The UNet's keyword arguments for a batch: text features and grounding (its own if None), without a graph."""
    with torch.no_grad():
        text_BLD = pipeline.text_encoder(batch.ids_BT)[0]
        if not batch.gated:
            return {"encoder_hidden_states": text_BLD}
        grounding = grounding or ground(pipeline, batch.layouts)
    return {"encoder_hidden_states": text_BLD, "cross_attention_kwargs": {"gligen": grounding.arguments()}}


def denoising_target(schedule: DDPMScheduler, batch: Batch) -> Tensor:
    """What the UNet should predict: noise, or the velocity of v-prediction checkpoints."""
    if schedule.config.prediction_type == "v_prediction":
        velocity: Tensor = schedule.get_velocity(batch.latents_BCHW, batch.noise_BCHW, batch.t_B)
        return velocity
    return batch.noise_BCHW


def denoising_loss(
    schedule: DDPMScheduler, batch: Batch, seen_BCHW: Tensor, weights: tuple[float, float] | None = None
) -> Tensor:
    """L_LDM of a batch.

    weights: (snr_gamma, structure) of `step_weights`, scaled to a mean of 1 over all steps, for a base model that was
    trained so: the plain mean would pull it elsewhere. Epsilon predictions only; raises TrainingError for others.
    """
    target_BCHW = denoising_target(schedule, batch)
    if weights is None:
        return F.mse_loss(seen_BCHW.float(), target_BCHW)
    if schedule.config.prediction_type != "epsilon":
        raise TrainingError(f"weights of steps are for epsilon, not {schedule.config.prediction_type}; leave them out")
    error_B = F.mse_loss(seen_BCHW.float(), target_BCHW, reduction="none").mean((1, 2, 3))
    weights_T = step_weights(schedule, torch.arange(schedule.config.num_train_timesteps), *weights).to(error_B.device)
    return (weights_T[batch.t_B] / weights_T.mean() * error_B).mean()


def train_gligen(recipe: GligenRecipe, data: Grounded, pipeline: Any, folder: str | Path) -> Any:
    """Trains (or goes on training) the gated layers of a pipeline's UNet; returns that UNet with averaged weights.

    Args:
        pipeline: a stock SD pipeline; gates are added where it has none. Its other parts stay as they are.
    """
    unet = add_gates(pipeline.unet, seed=recipe.plan.seed, ajar=recipe.ajar).to(memory_format=torch.channels_last)
    pipeline.register_modules(unet=unet)
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_gate(name))
    if recipe.checkpointing:
        unet.enable_gradient_checkpointing()
    pointer = Pointer(unet) if recipe.hints else None
    run = Run(folder, recipe.plan, pointer or unet, what=recipe.name)
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
    with ExitStack() as watching:
        observed = None
        if pointer:
            watching.callback(pointer.let_go)
            observed = watching.enter_context(observe(unet, _looking(unet)))
        for _, batch in run.batches(make):
            noisy = schedule.add_noise(batch.latents_BCHW, batch.noise_BCHW, batch.t_B)
            grounding = ground(pipeline, batch.layouts)
            given = conditioned(pipeline, batch, grounding)
            if observed is None:
                seen = run.model(noisy, batch.t_B, **given).sample
                run.update(denoising_loss(schedule, batch, seen, recipe.weights))
                continue
            seen, says_BHWE = run.model(noisy, batch.t_B, **given)
            denoising = denoising_loss(schedule, batch, seen, recipe.weights)
            pointing = pointing_loss(says_BHWE, grounding)
            looking, share = looking_loss(observed.maps(), grounding, (noisy.shape[2], noisy.shape[3]))
            loss = denoising + recipe.hints * (pointing + looking)
            run.update(loss, denoising=denoising, pointing=pointing, looking=looking, inside=share)
    run.finish()
    unet.disable_gradient_checkpointing()
    return unet.requires_grad_(False).eval()


def _looking(unet: Any) -> list[str]:
    """The gated layers that `looking_loss` reads: of the middle and the up blocks. The first block's cells know too
    little of where they are: the way to the borders is long."""
    large = tuple(prefix for prefix, side in up_block_sides(unet).items() if side > _LARGEST)
    return [name for name in gated_attentions(unet) if not name.startswith(("down_blocks", *large))]

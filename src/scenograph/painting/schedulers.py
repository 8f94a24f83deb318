"""The four schedulers a picture can be painted with, by name, and what guidance must know of each.

They are the stock classes of diffusers, built from the checkpoint's own scheduler config, so that timestep spacing,
offsets and prediction type stay the checkpoint's. Guidance works on variance-preserving (VP) latents
z = √ᾱ x₀ + √(1−ᾱ) ε; two facts make that possible with every scheduler:

* Euler keeps σ-scaled latents x₀ + σ ε = z·√(1+σ²); DDIM, DPM++ and UniPC keep VP latents.
* ᾱ of a step is the one the scheduler itself uses there: 1/(1+σ²) where it has a σ table (which Karras spacing may have
  moved off the training timesteps), ᾱ_t otherwise.

A latent that guidance has moved must also survive the multistep solvers. DDIM and Euler have no memory. DPM++ and UniPC
take the difference between this prediction of x₀ and the remembered ones for the slope of the trajectory; a move would
look like a slope and be taken 1.4 times. UniPC's corrector even computes the latent *again* from the step before, which
would undo the move. So `GuidableDPM` and `GuidableUniPC` forget what a moved sample predicted before (the step is then
of first order, DDIM's), and the corrector leaves it alone.
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerDiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from scenograph.errors import GuidanceError


class _Forgetful:
    """A multistep solver that forgets the remembered predictions of the samples that guidance has moved at this step.

    `moved_B` is set before `step` and says which; None (no guidance) is the stock scheduler to the bit.
    """

    moved_B: Tensor | None = None
    model_outputs: list[Tensor | None]

    def convert_model_output(self, model_output: Tensor, *, sample: Tensor) -> Tensor:
        """The stock conversion, which opens every step; for moved samples its result replaces the remembered ones."""
        converted: Tensor = super().convert_model_output(model_output, sample=sample)  # type: ignore[misc]  # a mixin
        if self.moved_B is not None:
            self.model_outputs = [
                None if output is None else _chosen(self.moved_B, converted, output) for output in self.model_outputs
            ]
        return converted


class GuidableDPM(_Forgetful, DPMSolverMultistepScheduler):
    """DPM++ that takes a step of first order where guidance has moved the latent."""


class GuidableUniPC(_Forgetful, UniPCMultistepScheduler):
    """UniPC that takes a step of first order, and none back, where guidance has moved the latent."""

    def multistep_uni_c_bh_update(
        self, this_model_output: Tensor, *, last_sample: Tensor, this_sample: Tensor, order: int
    ) -> Tensor:
        """The stock corrector, kept away from the samples that guidance has just moved."""
        corrected: Tensor = super().multistep_uni_c_bh_update(
            this_model_output=this_model_output, last_sample=last_sample, this_sample=this_sample, order=order
        )
        return corrected if self.moved_B is None else _chosen(self.moved_B, this_sample, corrected)


def _chosen(moved_B: Tensor, moved_BCHW: Tensor, other_BCHW: Tensor) -> Tensor:
    return torch.where(moved_B.view(-1, 1, 1, 1), moved_BCHW, other_BCHW)


SCHEDULERS: dict[str, type[Any]] = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "dpm++": GuidableDPM,
    "unipc": GuidableUniPC,
}

_STOCK = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}

# Samplers of checkpoints trained on the same noise as SD (ᾱ from a table of β): DDIM stands in for them.
_ALIKE = {
    "DDIMParallelScheduler",
    "DDPMScheduler",
    "DDPMParallelScheduler",
    "DEISMultistepScheduler",
    "DPMSolverSDEScheduler",
    "DPMSolverSinglestepScheduler",
    "EulerAncestralDiscreteScheduler",
    "HeunDiscreteScheduler",
    "KDPM2AncestralDiscreteScheduler",
    "KDPM2DiscreteScheduler",
    "LMSDiscreteScheduler",
    "PNDMScheduler",
    "SASolverScheduler",
}
# The same noise, but distilled into few steps of their own kind: another sampler must be asked for by name.
_DISTILLED = {"LCMScheduler", "TCDScheduler"}

# What DDIM assumes when a config says nothing is not what SD needs: clipping x₀ to [-1, 1] ruins latents.
_SILENT: dict[str, dict[str, Any]] = {"ddim": {"clip_sample": False, "set_alpha_to_one": False}}


def scheduler_name(checkpoint: Any) -> str:
    """Which of SCHEDULERS a checkpoint's own scheduler is; "ddim", the papers' choice, for others of the same noise.

    The answer does not depend on guidance, so that a plain and a guided picture of one seed differ by guidance alone.
    Raises GuidanceError for a checkpoint that was distilled for a sampler of its own.
    """
    kind = type(checkpoint).__name__
    if kind in _DISTILLED:
        names = ", ".join(SCHEDULERS)
        raise GuidanceError(f"the checkpoint is made for {kind}, which is not here; name one of: {names}")
    return next((name for name, stock in _STOCK.items() if stock == kind), "ddim")


def make_scheduler(name: str | None, checkpoint: Any) -> tuple[str, Any]:
    """(name, fresh scheduler) from the checkpoint's own scheduler config; None asks for the checkpoint's own kind.

    Raises GuidanceError for an unknown name, and for a checkpoint that was trained on another noise than SD: with one
    of our schedulers it would paint garbage.
    """
    _check_noise(checkpoint)
    name = scheduler_name(checkpoint) if name is None else name
    if name not in SCHEDULERS:
        raise GuidanceError(f"unknown scheduler {name!r}; expected one of: {', '.join(SCHEDULERS)}")
    silent = {key: value for key, value in _SILENT.get(name, {}).items() if key not in checkpoint.config}
    return name, SCHEDULERS[name].from_config(checkpoint.config, **silent)


def checked_scheduler(name: str | None, checkpoint: Any, steps: int) -> str:
    """The name that `make_scheduler` gives. Raises GuidanceError as it does, and when that scheduler has no `steps`
    noise levels of its own to step through."""
    chosen, scheduler = make_scheduler(name, checkpoint)
    trained = scheduler.config.num_train_timesteps
    try:
        scheduler.set_timesteps(steps)
    except ValueError:  # what the schedulers raise for more steps than levels
        usable = False
    else:
        levels = scheduler.timesteps if getattr(scheduler, "sigmas", None) is None else scheduler.sigmas[:-1]
        usable = bool(scheduler.timesteps.max() < trained and (levels[1:] != levels[:-1]).all())
    if not usable:
        raise GuidanceError(f"steps is {steps}; expected fewer: the checkpoint was trained on {trained} noise levels")
    return chosen


def _check_noise(checkpoint: Any) -> None:
    kind, config = type(checkpoint).__name__, checkpoint.config
    predicts = config.get("prediction_type", "epsilon")
    known = kind in _ALIKE or kind in _DISTILLED or kind in _STOCK.values()
    if not known or predicts not in ("epsilon", "v_prediction") or config.get("use_flow_sigmas"):
        raise GuidanceError(
            f"the checkpoint is made for {kind} with prediction type {predicts!r}; expected a checkpoint trained with "
            "DDPM noise (a table of betas) to predict epsilon or v_prediction: use one of those"
        )


def alpha_bar(scheduler: Any, index: int, timestep: Tensor) -> float:
    """ᾱ at sampling step `index`, as this scheduler means it."""
    sigmas = getattr(scheduler, "sigmas", None)
    if sigmas is not None:
        return 1.0 / (1.0 + float(sigmas[index]) ** 2)
    return float(scheduler.alphas_cumprod[int(timestep)])


def latent_scale(scheduler: Any, index: int) -> float:
    """Scheduler latents ÷ VP latents at sampling step `index`: √(1+σ²) for Euler, else 1."""
    if not isinstance(scheduler, EulerDiscreteScheduler):
        return 1.0
    sigmas: Tensor = scheduler.sigmas  # type: ignore[attr-defined]  # set by set_timesteps
    return float((1.0 + float(sigmas[index]) ** 2) ** 0.5)


def note_moved(scheduler: Any, moved_B: Tensor | None) -> None:
    """Tell the scheduler which samples guidance has moved at the step it is about to take."""
    if isinstance(scheduler, _Forgetful):
        scheduler.moved_B = moved_B


def step_function(scheduler: Any, generators: list[torch.Generator]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`scheduler.step` with the stock pipelines' arguments: η = 0 for DDIM, generators where they are taken."""
    taken = inspect.signature(scheduler.step).parameters
    extra = {name: value for name, value in (("eta", 0.0), ("generator", generators)) if name in taken}

    def step(prediction_BCHW: Tensor, timestep: Tensor, latents_BCHW: Tensor) -> Tensor:
        latents: Tensor = scheduler.step(prediction_BCHW, timestep, latents_BCHW, **extra, return_dict=False)[0]
        return latents

    return step

"""The four schedulers a picture can be painted with, by name, and what guidance must know of each.

They are the stock classes of diffusers, built from the checkpoint's own scheduler config, so that timestep spacing,
offsets and prediction type stay the checkpoint's. Guidance works on variance-preserving (VP) latents
z = √ᾱ x₀ + √(1−ᾱ) ε; two facts make that possible with every scheduler:

* Euler keeps σ-scaled latents x₀ + σ ε = z·√(1+σ²); DDIM, DPM++ and UniPC keep VP latents.
* ᾱ of a step is the one the scheduler itself uses there: 1/(1+σ²) where it has a σ table (which Karras spacing may have
  moved off the training timesteps), ᾱ_t otherwise.

A latent that guidance has moved must also survive the multistep solvers. DDIM and Euler have no memory. DPM++ remembers
predictions of x₀ and starts each step from the latent it is given: the move stays, and the remembered x₀ stay what they
were, predictions made at earlier noise levels. UniPC's corrector however computes the latent *again* from the step
before, which would silently undo the move; `GuidableUniPC` leaves moved samples alone.
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


class GuidableUniPC(UniPCMultistepScheduler):
    """UniPC whose corrector skips the samples that guidance has moved at this step.

    `moved_B` is set before `step` and says which; None (no guidance) is the stock scheduler to the bit.
    """

    moved_B: Tensor | None = None

    def multistep_uni_c_bh_update(
        self, this_model_output: Tensor, *, last_sample: Tensor, this_sample: Tensor, order: int
    ) -> Tensor:
        """The stock corrector, kept away from the samples that guidance has just moved."""
        corrected: Tensor = super().multistep_uni_c_bh_update(  # type: ignore[misc]  # diffusers is untyped
            this_model_output=this_model_output, last_sample=last_sample, this_sample=this_sample, order=order
        )
        if self.moved_B is None:
            return corrected
        return torch.where(self.moved_B.view(-1, 1, 1, 1), this_sample, corrected)


SCHEDULERS: dict[str, type[Any]] = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": GuidableUniPC,
}

_STOCK = {
    "ddim": "DDIMScheduler",
    "euler": "EulerDiscreteScheduler",
    "dpm++": "DPMSolverMultistepScheduler",
    "unipc": "UniPCMultistepScheduler",
}

# What DDIM assumes when a config says nothing is not what SD needs: clipping x₀ to [-1, 1] ruins latents.
_SILENT: dict[str, dict[str, Any]] = {"ddim": {"clip_sample": False, "set_alpha_to_one": False}}


def scheduler_name(checkpoint: Any) -> str:
    """Which of SCHEDULERS a checkpoint's own scheduler is; "ddim", the papers' choice, when it is none of them.

    The answer does not depend on guidance, so that a plain and a guided picture of one seed differ by guidance alone.
    """
    return next((name for name, kind in _STOCK.items() if type(checkpoint).__name__ == kind), "ddim")


def make_scheduler(name: str | None, checkpoint: Any) -> tuple[str, Any]:
    """(name, fresh scheduler) from the checkpoint's own scheduler config; None asks for the checkpoint's own kind.

    Raises GuidanceError for an unknown name.
    """
    name = scheduler_name(checkpoint) if name is None else name
    if name not in SCHEDULERS:
        raise GuidanceError(f"unknown scheduler {name!r}; expected one of: {', '.join(SCHEDULERS)}")
    silent = {key: value for key, value in _SILENT.get(name, {}).items() if key not in checkpoint.config}
    return name, SCHEDULERS[name].from_config(checkpoint.config, **silent)


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
    if isinstance(scheduler, GuidableUniPC):
        scheduler.moved_B = moved_B


def step_function(scheduler: Any, generators: list[torch.Generator]) -> Callable[[Tensor, Tensor, Tensor], Tensor]:
    """`scheduler.step` with the stock pipelines' arguments: η = 0 for DDIM, generators where they are taken."""
    taken = inspect.signature(scheduler.step).parameters
    extra = {name: value for name, value in (("eta", 0.0), ("generator", generators)) if name in taken}

    def step(prediction_BCHW: Tensor, timestep: Tensor, latents_BCHW: Tensor) -> Tensor:
        latents: Tensor = scheduler.step(prediction_BCHW, timestep, latents_BCHW, **extra, return_dict=False)[0]
        return latents

    return step

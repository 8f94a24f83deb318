"""The one denoising loop, for SD 1.x/2.x (ε and v-prediction) and SDXL over stock components.

Nothing else in scenograph steps a scheduler. Without guidance the loop equals the stock diffusers pipelines to the bit
in float32, for the same seed and scheduler: the tests compare them. What it adds is a batch of *different* layouts,
each with its own generators, and one hook: before the classifier-free-guidance forward of a step, guidance may move the
latents. Guidance draws its noise from generators of its own, so that it never shifts the sampler's.

Guidance sees VP latents (`schedulers.py` says why and how) in at least float32, and reaches the UNet through the
closures of `Step`, which are differentiable in the latents. The loop itself builds no graph; autograd is on in `guide`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol

import torch
from diffusers.utils.torch_utils import randn_tensor
from torch import Tensor
from tqdm import tqdm

from scenograph.errors import GuidanceError
from scenograph.painting.conditioning import Condition, joined
from scenograph.painting.guidance.step import Step
from scenograph.painting.schedulers import alpha_bar, latent_scale, note_moved, step_function
from scenograph.painting.tokens import TokenLayout

_ASIDE = 0x5CE_0061_A9B0_57EA  # any number that no two seeds of one project differ by


class Guide(Protocol):
    """What the loop asks of a guidance (`painting.guidance.Guidance` is one)."""

    def guide(self, latents_BCHW: Tensor, step: Step) -> Tensor:
        """The moved VP latents, or the very same object when this step is left alone."""


@dataclass(frozen=True, kw_only=True)
class Denoiser:
    """A UNet with its text: every call of the network goes through here."""

    unet: Any
    condition: Condition
    uncondition: Condition
    cfg: float
    scale_embedding_BD: Tensor | None = None
    """Guidance-distilled UNets (LCM) take the CFG scale as an input and are never run unconditionally."""

    def ungrounded(self) -> Denoiser:
        """The same without GLIGEN's tokens."""
        condition, uncondition = (replace(half, grounding=None) for half in (self.condition, self.uncondition))
        return replace(self, condition=condition, uncondition=uncondition)

    def guided(self, model_input_BCHW: Tensor, timestep: Tensor) -> Tensor:
        """Prediction with classifier-free guidance; one pass when cfg ≤ 1."""
        if self.cfg <= 1 or self.scale_embedding_BD is not None:
            return self._call(model_input_BCHW, timestep, self.condition)
        both = joined(self.uncondition, self.condition)
        negative, text = self._call(torch.cat([model_input_BCHW] * 2), timestep, both).chunk(2)
        return negative + self.cfg * (text - negative)

    def raw(self, latents_BCHW: Tensor, timestep: Tensor, *, unconditional: bool = False) -> Tensor:
        """Prediction at VP latents with one of the two texts, in the latents' dtype."""
        half = self.uncondition if unconditional else self.condition
        # The model input of every scheduler is the VP latent: Euler's scale_model_input divides by √(1+σ²).
        return self._call(latents_BCHW.to(half.text_BLD.dtype), timestep, half).to(latents_BCHW.dtype)

    def _call(self, model_input_BCHW: Tensor, timestep: Tensor, half: Condition) -> Tensor:
        prediction: Tensor = self.unet(
            model_input_BCHW, timestep, timestep_cond=self.scale_embedding_BD, return_dict=False, **half.arguments()
        )[0]
        return prediction


@torch.no_grad()
def sample(
    pipeline: Any,
    condition: Condition,
    uncondition: Condition,
    *,
    scheduler: Any,
    generators: Sequence[torch.Generator],
    size: tuple[int, int],
    steps: int,
    cfg: float,
    grounded: float = 1.0,
    guidance: Guide | None = None,
    tokens: Sequence[TokenLayout] = (),
    progress: bool = False,
) -> Tensor:
    """Denoise a batch and return its latents_BCHW, as the VAE's `decode` expects them after unscaling.

    Args:
        pipeline: stock pipeline that holds the UNet and says where it runs.
        condition, uncondition: text of the B samples (`conditioning.encode`).
        scheduler: fresh, from `make_scheduler`; its state is this run's.
        generators: one per sample; initial and later noise of a sample come from its own generator alone, the noise
            of guidance from one beside it that its seed decides.
        size: canvas (width, height) in pixels, multiples of the VAE factor.
        grounded: share of the steps, from the first, that see the conditions' grounding (GLIGEN's β).
        tokens: where each sample's phrases are; needed with guidance.

    Raises GuidanceError when guidance returns a latent that is not finite.
    """
    device = pipeline._execution_device
    scheduler.set_timesteps(steps, device=device)
    if hasattr(scheduler, "set_begin_index"):
        scheduler.set_begin_index(0)  # saves a search for each first step
    step = step_function(scheduler, list(generators))
    denoiser = _denoiser(pipeline, condition, uncondition, cfg)
    latents = _initial_latents(pipeline, condition, size, generators) * scheduler.init_noise_sigma
    timesteps, aside = scheduler.timesteps, [beside(generator) for generator in generators]
    last_grounded = int(grounded * len(timesteps))
    # disable=None: no bar where stderr is not a terminal
    for index, timestep in enumerate(tqdm(timesteps, desc="painting", disable=None if progress else True)):
        if index == last_grounded:
            denoiser = denoiser.ungrounded()
        if guidance is not None:
            state = _step(denoiser, scheduler, index, timestep, tokens, aside, latents)
            latents, moved_B = _guide(guidance, latents, state, latent_scale(scheduler, index))
            note_moved(scheduler, moved_B)
        prediction = denoiser.guided(scheduler.scale_model_input(latents, timestep), timestep)
        latents = step(prediction, timestep, latents)
    return latents


def beside(generator: torch.Generator) -> torch.Generator:
    """A second stream of noise for the same seed: what guidance draws must not move what the sampler draws later."""
    return torch.Generator(generator.device).manual_seed(generator.initial_seed() ^ _ASIDE)


def _denoiser(pipeline: Any, condition: Condition, uncondition: Condition, cfg: float) -> Denoiser:
    width = pipeline.unet.config.time_cond_proj_dim
    embedding = None
    if width is not None:
        batch = condition.text_BLD.shape[0]
        embedding = pipeline.get_guidance_scale_embedding(torch.tensor(cfg - 1).repeat(batch), embedding_dim=width)
        embedding = embedding.to(condition.text_BLD)
    return Denoiser(
        unet=pipeline.unet, condition=condition, uncondition=uncondition, cfg=cfg, scale_embedding_BD=embedding
    )


def _initial_latents(
    pipeline: Any, condition: Condition, size: tuple[int, int], generators: Sequence[torch.Generator]
) -> Tensor:
    factor = pipeline.vae_scale_factor
    shape = (len(generators), pipeline.unet.config.in_channels, size[1] // factor, size[0] // factor)
    latents: Tensor = randn_tensor(
        shape, generator=list(generators), device=pipeline._execution_device, dtype=condition.text_BLD.dtype
    )
    return latents


def _step(
    denoiser: Denoiser,
    scheduler: Any,
    index: int,
    timestep: Tensor,
    tokens: Sequence[TokenLayout],
    generators: Sequence[torch.Generator],
    latents_BCHW: Tensor,
) -> Step:
    return Step(
        index=index,
        total=len(scheduler.timesteps),
        alpha_bar=alpha_bar(scheduler, index, timestep),
        prediction_type=scheduler.config.prediction_type,
        unet=denoiser.unet,
        forward=lambda latents: denoiser.raw(latents, timestep),
        forward_uncond=lambda latents: denoiser.raw(latents, timestep, unconditional=True),
        cfg=denoiser.cfg,
        tokens=tuple(tokens),
        generators=tuple(generators),
        grid=(latents_BCHW.shape[2], latents_BCHW.shape[3]),
    )


def _guide(guidance: Guide, latents_BCHW: Tensor, step: Step, scale: float) -> tuple[Tensor, Tensor | None]:
    """(moved scheduler latents, which samples moved or None): guidance on VP latents and back.

    Only the difference is carried back, so that a sample which guidance leaves alone keeps its bits.
    """
    half = latents_BCHW.dtype in (torch.float16, torch.bfloat16)
    vp_BCHW = (latents_BCHW.float() if half else latents_BCHW) / scale
    with torch.enable_grad():
        guided_BCHW = guidance.guide(vp_BCHW, step)
    if guided_BCHW is vp_BCHW:
        return latents_BCHW, None
    shift_BCHW = (guided_BCHW.detach() - vp_BCHW) * scale
    if not torch.isfinite(shift_BCHW).all():
        raise GuidanceError(f"guidance made the latents infinite or NaN at step {step.index + 1} of {step.total}")
    moved_B = (shift_BCHW != 0).flatten(1).any(1)
    return (latents_BCHW.to(vp_BCHW.dtype) + shift_BCHW).to(latents_BCHW.dtype), moved_B

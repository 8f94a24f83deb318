"""What a guidance sees of one sampling step: the model, the prompt tokens, the noise level and the randomness.

The sampler builds one `Step` per denoising step and hands it to `Guidance.guide` together with latents in
variance-preserving (VP) form, `z = √ᾱ x₀ + √(1−ᾱ) ε`. Schedulers that scale their latents otherwise are the sampler's
business: nothing in `guidance/` ever meets a σ-scaled latent, and nothing in it steps a scheduler.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor

from scenograph.painting.tokens import TokenLayout


@dataclass(frozen=True, kw_only=True)
class Step:
    """One denoising step of a batch of B (possibly different) layouts."""

    index: int
    """Number of this sampling step, from 0."""
    total: int
    """How many sampling steps there are."""
    alpha_bar: float
    """ᾱ_t of this timestep."""
    prediction_type: str
    """What `forward` returns: "epsilon" or "v_prediction"."""
    unet: torch.nn.Module
    """The network inside `forward`, for attention capture."""
    forward: Callable[[Tensor], Tensor]
    """VP latents_BCHW → raw prediction with the conditional text (no CFG); differentiable in the latents."""
    forward_uncond: Callable[[Tensor], Tensor]
    """The same with the negative prompt."""
    cfg: float
    """Scale of classifier-free guidance."""
    tokens: tuple[TokenLayout, ...]
    """One per sample."""
    generators: tuple[torch.Generator, ...]
    """One per sample. Draw one sample at a time, so that a sample's noise does not depend on its batch."""
    grid: tuple[int, int]
    """Latent (height, width)."""

"""Prompts → what the UNet is conditioned on, and latents → picture, through the stock pipelines' own parts.

SD takes the text features alone; SDXL adds pooled text and the canvas size. The unconditional half of classifier-free
guidance is the negative prompt, with null grounding where a gated UNet is grounded (`gligen.py`). With none given, SD
encodes "" and SDXL (as its checkpoints configure it) takes zeros: both as the stock pipelines do by default.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor

from scenograph.errors import PhraseError
from scenograph.painting.gligen import Grounding


@dataclass(frozen=True, kw_only=True)
class Condition:
    """One half of classifier-free guidance for a batch of B samples."""

    text_BLD: Tensor
    """Text features, one row per token."""
    added: dict[str, Tensor] = field(default_factory=dict)
    """SDXL: `text_embeds` (B, P) and `time_ids` (B, 6). Empty for SD."""
    grounding: Grounding | None = None
    """GLIGEN's tokens; None leaves the gated layers out."""

    def arguments(self) -> dict[str, Any]:
        """Keyword arguments of the UNet."""
        grounded = {} if self.grounding is None else {"cross_attention_kwargs": {"gligen": self.grounding.arguments()}}
        return {"encoder_hidden_states": self.text_BLD, "added_cond_kwargs": self.added or None, **grounded}


def joined(first: Condition, second: Condition) -> Condition:
    """Both halves as one batch of 2B."""
    added = {name: torch.cat([first.added[name], second.added[name]]) for name in first.added}
    grounding = None
    if first.grounding is not None and second.grounding is not None:
        grounding = first.grounding + second.grounding
    return Condition(text_BLD=torch.cat([first.text_BLD, second.text_BLD]), added=added, grounding=grounding)


@torch.no_grad()
def encode(
    pipeline: Any, prompts: Sequence[str], negatives: Sequence[str], size: tuple[int, int]
) -> tuple[Condition, Condition]:
    """(conditional, unconditional) text of a batch; `size` is the canvas (width, height) in pixels.

    Raises PhraseError when a text does not fit the text encoder's window.
    """
    check_length(pipeline, prompts, "prompt")
    check_length(pipeline, negatives, "negative prompt")
    # Stock means "no negative prompt" by None; one that SDXL then replaces by zeros, where "" is encoded as text.
    negative = list(negatives) if any(negatives) else None
    encoded = pipeline.encode_prompt(
        prompt=list(prompts),
        device=pipeline._execution_device,
        num_images_per_prompt=1,
        do_classifier_free_guidance=True,
        negative_prompt=negative,
    )
    text, negative_text, *pooled = encoded
    if not pooled:
        return Condition(text_BLD=text), Condition(text_BLD=negative_text)
    if negative and pipeline.config.force_zeros_for_empty_prompt:
        # A sample without negative prompt must not depend on whether its batch has one.
        empty = torch.tensor([not text for text in negative], device=text.device)
        negative_text = negative_text.masked_fill(empty[:, None, None], 0)
        pooled[1] = pooled[1].masked_fill(empty[:, None], 0)
    time_ids = _time_ids(pipeline, size, text)
    return (
        Condition(text_BLD=text, added={"text_embeds": pooled[0], "time_ids": time_ids}),
        Condition(text_BLD=negative_text, added={"text_embeds": pooled[1], "time_ids": time_ids}),
    )


def _time_ids(pipeline: Any, size: tuple[int, int], text_BLD: Tensor) -> Tensor:
    """SDXL's size conditioning (B, 6): original size, crop corner and target size, each (height, width)."""
    canvas = (size[1], size[0])
    projection = pipeline.text_encoder_2.config.projection_dim
    ids: Tensor = pipeline._get_add_time_ids(
        canvas, (0, 0), canvas, dtype=text_BLD.dtype, text_encoder_projection_dim=projection
    )
    return ids.to(text_BLD.device).repeat(text_BLD.shape[0], 1)


def check_length(pipeline: Any, texts: Sequence[str], what: str) -> None:
    """Raise PhraseError for a text longer than the window: diffusers would cut it and paint the rest without a word."""
    tokenizer = pipeline.tokenizer
    window = tokenizer.model_max_length
    for text in texts:
        count = len(tokenizer(text, truncation=False).input_ids)
        if count > window:
            raise PhraseError(
                f"the {what} {text[:60] + '…' if len(text) > 60 else text!r} has {count} tokens (with start and end), "
                f"expected at most {window}: shorten it, or the captions that were appended to it"
            )


@torch.no_grad()
def decode(pipeline: Any, latents_BCHW: Tensor) -> list[Any]:
    """Latents → PIL images, through the checkpoint's VAE (with its tiling or slicing, when switched on)."""
    vae = pipeline.vae
    # SDXL's VAE overflows in float16.
    upcast = vae.dtype == torch.float16 and vae.config.force_upcast and hasattr(pipeline, "text_encoder_2")
    # Module.to: diffusers' own warns at every change of precision.
    if upcast:
        torch.nn.Module.to(vae, dtype=torch.float32)
    try:
        scaled = _unscaled(vae, latents_BCHW.to(vae.dtype) if upcast else latents_BCHW)
        pixels = vae.decode(scaled, return_dict=False)[0]
    finally:
        if upcast:
            torch.nn.Module.to(vae, dtype=torch.float16)
    images: list[Any] = pipeline.image_processor.postprocess(pixels, output_type="pil")
    return images


def _unscaled(vae: Any, latents_BCHW: Tensor) -> Tensor:
    """Latents as the VAE knows them: the inverse of the scaling the diffusion model was trained on."""
    mean, std = getattr(vae.config, "latents_mean", None), getattr(vae.config, "latents_std", None)
    if mean is None or std is None:
        return latents_BCHW / vae.config.scaling_factor
    mean_1C11, std_1C11 = (latents_BCHW.new_tensor(values).view(1, -1, 1, 1) for values in (mean, std))
    return latents_BCHW * std_1C11 / vae.config.scaling_factor + mean_1C11

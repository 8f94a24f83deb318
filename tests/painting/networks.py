"""Tiny random UNets of the real classes, and `Step`s over them, for the attention and guidance tests.

Query weights are enlarged: a freshly initialised network attends almost uniformly, and energies would hardly change.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import lru_cache
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

import torch
from diffusers import UNet2DConditionModel
from torch import Tensor

from scenograph.layout import Box
from scenograph.painting.guidance import Step
from scenograph.painting.tokens import TokenGroup, TokenLayout
from tests.tiny import tiny_sd_parts, tiny_sdxl

FAMILIES = ("sd", "sdxl")
GRID = (16, 16)


@lru_cache
def _sdxl() -> Any:
    with TemporaryDirectory() as folder:
        return UNet2DConditionModel.from_pretrained(tiny_sdxl(Path(folder)), subfolder="unet")


def tiny_unet(family: str, dtype: torch.dtype = torch.float32) -> Any:
    """A new UNet with frozen seeded weights."""
    if family == "sd":
        unet: Any = tiny_sd_parts()["unet"]
    else:
        unet = UNet2DConditionModel.from_config(_sdxl().config)
        unet.load_state_dict(_sdxl().state_dict())
    with torch.no_grad():
        for name, weight in unet.named_parameters():
            if name.endswith("to_q.weight"):
                weight.mul_(6)
    return unet.to(dtype).eval().requires_grad_(False)


def text_arguments(unet: Any, texts_BTD: Tensor) -> dict[str, Any]:
    """The keyword arguments of a UNet call that carry the text."""
    arguments: dict[str, Any] = {"encoder_hidden_states": texts_BTD, "return_dict": False}
    if unet.config.addition_embed_type == "text_time":
        batch = texts_BTD.shape[0]
        arguments["added_cond_kwargs"] = {
            "text_embeds": texts_BTD[:, 0, :32],
            "time_ids": torch.tensor([[128, 128, 0, 0, 128, 128]] * batch).to(texts_BTD),
        }
    return arguments


def forward_of(unet: Any, texts_BTD: Tensor, timestep: int = 700) -> Callable[[Tensor], Tensor]:
    """latents → the UNet's raw prediction."""
    arguments = text_arguments(unet, texts_BTD)

    def forward(latents_BCHW: Tensor) -> Tensor:
        prediction: Tensor = unet(latents_BCHW, timestep, **arguments)[0]
        return prediction

    return forward


def texts(unet: Any, seeds: Sequence[int]) -> Tensor:
    """One random text per seed, texts_BTD."""
    width, dtype = unet.config.cross_attention_dim, next(unet.parameters()).dtype
    return torch.stack([_normal((77, width), seed) for seed in seeds]).to(dtype)


def latents(seeds: Sequence[int], dtype: torch.dtype = torch.float32, grid: tuple[int, int] = GRID) -> Tensor:
    """One random latent per seed, latents_BCHW."""
    return torch.stack([_normal((4, *grid), 1000 + seed) for seed in seeds]).to(dtype)


def _normal(shape: tuple[int, ...], seed: int) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def group(tokens: Sequence[int], *boxes: tuple[float, float, float, float], phrase: str = "dog") -> TokenGroup:
    return TokenGroup(tokens=tuple(tokens), boxes=tuple(Box(*box) for box in boxes), phrase=phrase)


def token_layout(*groups: TokenGroup) -> TokenLayout:
    return TokenLayout(groups=groups)


LAYOUTS = (
    token_layout(group([2], (0.1, 0.1, 0.5, 0.6))),
    token_layout(group([2, 3], (0.0, 0.5, 0.45, 1.0)), group([6], (0.5, 0.0, 1.0, 0.5))),
    token_layout(group([4], (0.05, 0.3, 0.4, 0.9), (0.6, 0.3, 0.95, 0.9))),
    token_layout(group([1, 5], (0.3, 0.3, 0.32, 0.33)), group([9], (0.6, 0.1, 0.9, 0.4)), group([11], (0, 0, 1, 1))),
)
"""One subject; two subjects; a shared phrase; a box smaller than a cell and a box as large as the canvas."""


def make_step(
    unet: Any,
    seeds: Sequence[int] = (0,),
    layouts: Sequence[TokenLayout] | None = None,
    *,
    index: int = 0,
    total: int = 50,
    alpha_bar: float = 0.3,
    prediction_type: str = "epsilon",
    grid: tuple[int, int] = GRID,
) -> Step:
    """A step whose sample k has the text, generator and (by default) layout of seeds[k]."""
    chosen = tuple(layouts) if layouts is not None else tuple(LAYOUTS[seed % len(LAYOUTS)] for seed in seeds)
    return Step(
        index=index,
        total=total,
        alpha_bar=alpha_bar,
        prediction_type=prediction_type,
        unet=unet,
        forward=forward_of(unet, texts(unet, seeds)),
        forward_uncond=forward_of(unet, texts(unet, [99] * len(seeds))),
        cfg=7.5,
        tokens=chosen,
        generators=tuple(torch.Generator().manual_seed(500 + seed) for seed in seeds),
        grid=grid,
    )

"""Stable Diffusion at its real sizes: which layers guidance finds, without weights; one guided step, with random ones.

`pytest -m slow`; the last test takes a minute and 7 GB.
"""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import UNet2DConditionModel

from scenograph.painting.attention import guidance_layers
from scenograph.painting.guidance.winwinlay import winwinlay
from scenograph.recipes.bench_speed import CONFIGS, GRIDS, new_unet, step_of

pytestmark = pytest.mark.slow

SDXL: dict[str, Any] = {
    "sample_size": 128,
    "down_block_types": ("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
    "up_block_types": ("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
    "block_out_channels": (320, 640, 1280),
    "layers_per_block": 2,
    "transformer_layers_per_block": (1, 2, 10),
    "attention_head_dim": (5, 10, 20),
    "cross_attention_dim": 2048,
    "use_linear_projection": True,
    "addition_embed_type": "text_time",
    "addition_time_embed_dim": 256,
    "projection_class_embeddings_input_dim": 2816,
}


def on_meta(config: dict[str, Any]) -> Any:
    with torch.device("meta"):
        return UNet2DConditionModel(**config)


@pytest.mark.parametrize(
    ("config", "millions", "up_block", "middle", "up"),
    [(CONFIGS["sd15"], 859.5, "up_blocks.1", 1, 3), (SDXL, 2567.5, "up_blocks.0", 10, 30)],
    ids=["sd15", "sdxl"],
)
def test_sizes_and_guidance_layers(
    config: dict[str, Any], millions: float, up_block: str, middle: int, up: int
) -> None:
    unet = on_meta(config)
    assert sum(weight.numel() for weight in unet.parameters()) / 1e6 == pytest.approx(millions, abs=0.1)
    layers = guidance_layers(unet)
    assert {name.split(".attentions")[0] for name in layers} == {"mid_block", up_block}
    assert sum(name.startswith("mid_block.") for name in layers) == middle
    assert sum(name.startswith(f"{up_block}.") for name in layers) == up
    assert all(name.endswith(".attn2") for name in layers)


def test_a_guided_step_of_sd15() -> None:
    unet, grid = new_unet("sd15"), GRIDS["sd15"]
    noise = torch.Generator().manual_seed(1)
    latents, text = torch.randn(1, 4, *grid, generator=noise), torch.randn(1, 77, 768, generator=noise)
    guidance = winwinlay(iterations=1)
    moved = guidance.guide(latents, step_of(unet, grid, text))
    assert moved.shape == latents.shape and moved.dtype == latents.dtype
    assert moved.isfinite().all()
    (log,) = guidance.log.steps
    length = float((moved - latents).norm())
    assert length == pytest.approx(log.moved[0][0], rel=1e-3)
    assert 0 < length < float(latents.norm())

"""Latents → pictures where checkpoints differ: half-precision SDXL, and latents with a mean of their own."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
import torch
from torch import Tensor

from scenograph.painting import Painter
from scenograph.painting.conditioning import decode
from tests.heard import heard


@pytest.fixture
def half(painters: dict[str, Painter]) -> Painter:
    return Painter.from_pretrained(painters["sdxl"].name, device="cpu", dtype="fp16")


@pytest.fixture
def decoded(half: Painter) -> Iterator[list[Tensor]]:
    """What the VAE's decoder is given."""
    seen: list[Tensor] = []
    handle = half.pipeline.vae.post_quant_conv.register_forward_pre_hook(lambda _, args: seen.append(args[0]))
    yield seen
    handle.remove()


def test_the_vae_of_half_precision_sdxl_decodes_in_float32_and_is_half_again(
    half: Painter, decoded: list[Tensor]
) -> None:
    vae = half.pipeline.vae
    before = {name: weight.clone() for name, weight in vae.state_dict().items()}
    latents = torch.randn(1, 4, 16, 16, generator=torch.Generator().manual_seed(0)).half()
    with heard() as said:
        (image,) = decode(half.pipeline, latents)
    assert said.getvalue() == ""
    assert image.size == (128, 128)
    assert [tensor.dtype for tensor in decoded] == [torch.float32]
    torch.testing.assert_close(decoded[0], latents.float() / vae.config.scaling_factor, rtol=1e-6, atol=0)
    for name, weight in vae.state_dict().items():
        assert weight.dtype == torch.float16 and torch.equal(weight, before[name]), name


def test_the_vae_is_half_again_after_a_failure(half: Painter) -> None:
    with pytest.raises(RuntimeError):
        decode(half.pipeline, torch.zeros(1, 3, 16, 16).half())  # a channel is missing
    assert half.pipeline.vae.dtype == torch.float16


def test_latents_with_a_mean_are_moved_back_to_it(half: Painter, decoded: list[Tensor]) -> None:
    mean, std = [0.5, -1.0, 2.0, 0.0], [1.0, 2.0, 0.5, 4.0]
    half.pipeline.vae.register_to_config(latents_mean=mean, latents_std=std, scaling_factor=0.5)
    decode(half.pipeline, torch.ones(2, 4, 16, 16).half())
    for channel in range(4):
        expected = torch.full((2, 16, 16), std[channel] / 0.5 + mean[channel])
        torch.testing.assert_close(decoded[0][:, channel], expected, rtol=1e-6, atol=0)

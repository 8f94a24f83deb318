"""Pixels and image tokens: the normalisation that the published VQ model has and transformers' encode lacks."""

from __future__ import annotations

from typing import Any

import pytest
import torch
import torch.nn.functional as F
from PIL import Image

from scenograph.unified.pictures import image_tokens, paint_tokens, pictures, pixels
from tests.unified.tiny import IMAGE_LENGTH, tiny_janus, world_codec


@pytest.fixture
def model() -> Any:
    return tiny_janus(world_codec())


def noise(count: int = 8) -> torch.Tensor:
    return torch.rand(count, 3, 64, 64, generator=torch.Generator().manual_seed(0)) * 2 - 1


def spread_codebook(model: Any, lengths_V1: torch.Tensor) -> None:
    """A codebook of random directions with the given lengths, and an encoder that reaches all of them."""
    vq = model.model.vqmodel
    generator = torch.Generator().manual_seed(1)
    with torch.no_grad():
        directions_VC = F.normalize(torch.randn(vq.quantize.embedding.weight.shape, generator=generator), dim=-1)
        vq.quantize.embedding.weight.copy_(directions_VC * lengths_V1)
        vq.quant_conv.weight.mul_(20)


def plain(model: Any, pixels_BCHW: torch.Tensor) -> torch.Tensor:
    with torch.no_grad():
        ids: torch.Tensor = model.model.vqmodel.encode(pixels_BCHW).image_tokens
    return ids.view(len(pixels_BCHW), -1)


def test_tokens_are_the_nearest_direction_by_hand(model: Any) -> None:
    spread_codebook(model, torch.rand(24, 1, generator=torch.Generator().manual_seed(2)) * 3 + 0.1)
    vq = model.model.vqmodel
    ids_BN = image_tokens(model, noise())
    assert ids_BN.shape == (8, IMAGE_LENGTH)
    with torch.no_grad():
        z_BCHW = vq.quant_conv(vq.encoder(noise()))
    codebook_VC = vq.quantize.embedding.weight.detach()
    for sample in range(2):
        for place in range(IMAGE_LENGTH):
            z_C = z_BCHW[sample, :, place // 4, place % 4]
            distances = [float((F.normalize(z_C, dim=0) - F.normalize(e, dim=0)).norm()) for e in codebook_VC]
            assert distances[int(ids_BN[sample, place])] == pytest.approx(min(distances), abs=1e-5)


def test_on_a_codebook_of_unit_length_only_normalising_z_remains(model: Any) -> None:
    """Where all rows have one length the nearest entry and the nearest direction are the same."""
    spread_codebook(model, torch.ones(24, 1))
    ids_BN = image_tokens(model, noise())
    assert torch.equal(ids_BN, plain(model, noise()))
    assert len(ids_BN.unique()) > 3


def test_with_other_lengths_transformers_encode_finds_other_tokens(model: Any) -> None:
    spread_codebook(model, torch.rand(24, 1, generator=torch.Generator().manual_seed(2)) * 3 + 0.1)
    agree = (image_tokens(model, noise()) == plain(model, noise())).float().mean()
    assert agree < 0.9


def test_tokens_of_what_decoding_uses_come_back(model: Any) -> None:
    """The entries that decoding looks up are the nearest ones to themselves, whatever their lengths."""
    spread_codebook(model, torch.rand(24, 1, generator=torch.Generator().manual_seed(2)) * 3 + 0.1)
    ids_BN = torch.arange(24).repeat(2)[: 2 * IMAGE_LENGTH].view(2, IMAGE_LENGTH)
    vq = model.model.vqmodel
    entries = vq.quantize.get_codebook_entry(ids_BN)
    vq.encoder, vq.quant_conv = torch.nn.Identity(), torch.nn.Identity()
    assert torch.equal(image_tokens(model, entries), ids_BN)


def test_painting_tokens(model: Any) -> None:
    pixels_BCHW = paint_tokens(model, torch.zeros(2, IMAGE_LENGTH, dtype=torch.long))
    assert pixels_BCHW.shape == (2, 3, 64, 64) and not pixels_BCHW.requires_grad
    assert [one.size for one in pictures(pixels_BCHW)] == [(64, 64)] * 2


def test_pictures_and_pixels_are_inverse() -> None:
    picture = Image.effect_noise((64, 64), 90).convert("RGB")
    pixels_BCHW = pixels([picture], 64)
    assert float(pixels_BCHW.min()) >= -1 and float(pixels_BCHW.max()) <= 1
    assert pictures(pixels_BCHW)[0].tobytes() == picture.tobytes()

"""GOAL's losses against formulas worked out by hand and in float64, and where their gradients go."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch
from diffusers import AutoencoderKL, UNet2DConditionModel

from scenograph.errors import TrainingError
from scenograph.judging.clip import TransformersClip
from scenograph.layout import Box, Instance, Layout
from scenograph.painting.tokens import TokenGroup, TokenLayout
from scenograph.recipes import world as recipes
from scenograph.training.alignment import (
    Semantics,
    attention_alignment,
    decoded,
    decoder_layers,
    masked,
    one_step_estimate,
    spherical_distance,
)
from scenograph.training.clip import build_clip
from tests.tiny import tiny_sd_parts

LEFT, RIGHT = Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0)


def unit(*shape: int, seed: int = 0) -> torch.Tensor:
    return torch.nn.functional.normalize(torch.randn(*shape, generator=torch.Generator().manual_seed(seed)), dim=-1)


def test_spherical_distance_is_half_the_angle_squared() -> None:
    first, second = unit(50, 8), unit(50, 8, seed=1)
    angle = np.arccos(np.clip((first.double() * second.double()).sum(-1).numpy(), -1, 1))
    assert np.allclose(spherical_distance(first, second).numpy(), (angle / 2) ** 2, atol=1e-6)


@pytest.mark.parametrize("sign", [1, -1])
def test_spherical_distance_has_finite_gradients_at_its_ends(sign: int) -> None:
    first = unit(3, 8)
    second = (sign * first).clone().requires_grad_()
    spherical_distance(first, second).sum().backward()  # type: ignore[no-untyped-call]
    assert second.grad is not None and torch.isfinite(second.grad).all()
    expected = 0.0 if sign > 0 else (math.pi / 2) ** 2
    assert spherical_distance(first, sign * first)[0].item() == pytest.approx(expected, abs=2e-3)


def test_the_estimate_of_the_true_noise_is_the_clean_latent() -> None:
    clean, noise = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8)
    alpha_bar = torch.tensor([0.9, 0.5, 0.1, 0.005])
    noisy = alpha_bar.sqrt().view(-1, 1, 1, 1) * clean + (1 - alpha_bar).sqrt().view(-1, 1, 1, 1) * noise
    assert torch.allclose(one_step_estimate(noisy, noise, alpha_bar), clean, atol=1e-4)


def test_the_estimate_of_the_true_velocity_is_the_clean_latent_even_of_pure_noise() -> None:
    clean, noise = torch.randn(4, 4, 8, 8), torch.randn(4, 4, 8, 8)
    alpha_bar = torch.tensor([0.9, 0.5, 0.005, 0.0])
    signal, rest = alpha_bar.sqrt().view(-1, 1, 1, 1), (1 - alpha_bar).sqrt().view(-1, 1, 1, 1)
    noisy, velocity = signal * clean + rest * noise, signal * noise - rest * clean
    assert torch.allclose(one_step_estimate(noisy, velocity, alpha_bar, "v_prediction"), clean, atol=1e-5)


def test_masking_leaves_black_outside_and_keeps_a_pixel_of_the_smallest_box() -> None:
    picture = torch.ones(3, 16, 16)
    assert masked(picture, LEFT).sum() == 3 * 16 * 8
    assert masked(picture, LEFT)[:, :, 8:].abs().max() == 0
    assert masked(picture, Box(0.51, 0.51, 0.52, 0.52)).sum() == 3


def one(*groups: TokenGroup) -> list[TokenLayout]:
    return [TokenLayout(groups=groups)]


def maps_of(*token_maps: torch.Tensor) -> dict[str, torch.Tensor]:
    """Two heads alike, of maps (rows, columns)."""
    stacked = torch.stack([m.flatten() for m in token_maps], dim=-1)
    return {"layer": stacked[None, None].repeat(1, 2, 1, 1)}


def test_a_perfect_map_costs_nothing_and_the_opposite_everything() -> None:
    left = torch.zeros(4, 4)
    left[1, 0] = 1
    group = TokenGroup(tokens=(0,), boxes=(LEFT,), phrase="cat")
    for box, expected in ((LEFT, (0.0, 0.0)), (RIGHT, (1.0, 1.0))):
        group = TokenGroup(tokens=(0,), boxes=(box,), phrase="cat")
        inside, outside = attention_alignment(maps_of(left), (4, 4), one(group), [{0}])
        assert (inside.item(), outside.item()) == expected


def test_shared_tokens_stay_in_by_their_own_box_and_out_by_the_union() -> None:
    spread = torch.tensor([[0.8, 0.0, 0.0, 0.2], [0.0, 0.4, 0.0, 0.0]]).repeat(2, 1)
    boxes = (Box(0.0, 0.0, 0.25, 1.0), Box(0.75, 0.0, 1.0, 1.0))
    group = TokenGroup(tokens=(0,), boxes=boxes, phrase="two cats")
    inside, outside = attention_alignment(maps_of(spread), (4, 4), one(group), [{0}])
    assert inside.item() == pytest.approx(((1 - 0.8) + (1 - 0.2)) / 2)
    assert outside.item() == pytest.approx(0.4)


def test_articles_do_not_count_unless_nothing_else_is_there() -> None:
    article, cat = torch.full((4, 4), 0.9), torch.full((4, 4), 0.3)
    group = TokenGroup(tokens=(0, 1), boxes=(LEFT,), phrase="a cat")
    inside, _ = attention_alignment(maps_of(article, cat), (4, 4), one(group), [{1}])
    assert inside.item() == pytest.approx(0.7)
    inside, _ = attention_alignment(maps_of(article, cat), (4, 4), one(group), [set()])
    assert inside.item() == pytest.approx((0.1 + 0.7) / 2)


def test_a_box_below_a_cell_keeps_one_cell_and_no_instance_costs_nothing() -> None:
    flat = torch.full((4, 4), 0.25)
    tiny = TokenGroup(tokens=(0,), boxes=(Box(0.6, 0.6, 0.61, 0.61),), phrase="cat")
    inside, outside = attention_alignment(maps_of(flat), (4, 4), one(tiny), [{0}])
    assert inside.item() == pytest.approx(0.75) and outside.item() == pytest.approx(0.25)
    inside, outside = attention_alignment(maps_of(flat), (4, 4), one(), [set()])
    assert inside.item() == outside.item() == 0


def test_heads_and_layers_are_averaged_before_the_maximum() -> None:
    peaked, other = torch.zeros(2, 2), torch.zeros(2, 2)
    peaked[0, 0] = other[1, 0] = 1
    layers = {"a": peaked.view(1, 1, 4, 1), "b": other.view(1, 1, 4, 1)}
    inside, _ = attention_alignment(layers, (2, 2), one(TokenGroup(tokens=(0,), boxes=(LEFT,), phrase="x")), [{0}])
    assert inside.item() == pytest.approx(0.5)


def test_the_sixteen_by_sixteen_decoder_layers_are_found_by_size() -> None:
    unet = tiny_sd_parts()["unet"]
    for side in (None, 16, 12, 24, 64):
        assert all(name.startswith("up_blocks.1.") for name in decoder_layers(unet, side))
    with torch.device("meta"):
        big = UNet2DConditionModel(sample_size=64, cross_attention_dim=768)  # SD 1.x
        blind = UNet2DConditionModel(
            sample_size=64,
            up_block_types=("UpBlock2D",) * 4,
            down_block_types=("DownBlock2D",) * 4,
            mid_block_type=None,
        )
    found = {side: {name.split(".")[1] for name in decoder_layers(big, side)} for side in (None, 32, 64, 96, 128)}
    assert found == {None: {"1"}, 32: {"2"}, 64: {"1"}, 96: {"1"}, 128: {"1"}}
    with pytest.raises(TrainingError, match="no up block of this UNet attends"):
        decoder_layers(blind)


@pytest.fixture(scope="module")
def clip() -> TransformersClip:
    parts = tiny_sd_parts()
    return TransformersClip(build_clip(recipes.clip_b(), parts["text_encoder"]), parts["tokenizer"])


@pytest.mark.parametrize("cropped", [False, True])
def test_semantics_is_differentiable_through_the_frozen_decoder(clip: TransformersClip, cropped: bool) -> None:
    vae: AutoencoderKL = tiny_sd_parts()["vae"]
    vae.requires_grad_(False)
    clip.model.requires_grad_(False)
    latents = torch.randn(2, 4, 16, 16, requires_grad=True)
    layouts = [
        Layout(caption="a cat", instances=(Instance(caption="a cat", box=LEFT),)),
        Layout(caption="a dog", instances=()),
    ]
    reader = Semantics(clip, cropped)
    local_B = reader.local(decoded(vae, latents), layouts)
    assert local_B[0] > 0 and local_B[1] == 0
    local_B.sum().backward()  # type: ignore[no-untyped-call]
    assert latents.grad is not None
    assert latents.grad[0].abs().max() > 0 and latents.grad[1].abs().max() == 0
    assert all(p.grad is None for p in (*vae.parameters(), *clip.model.parameters()))
    whole_B = reader.whole(decoded(vae, latents), ["a cat", "a dog"])
    assert whole_B.shape == (2,) and (whole_B > 0).all()


def test_the_differentiable_reading_equals_the_judges_on_pictures(clip: TransformersClip) -> None:
    """Resizing and normalising in torch gives what `image_features` gives of the same picture."""
    from PIL import Image

    pixels = torch.rand(3, 128, 128, generator=torch.Generator().manual_seed(0))
    pixels = (pixels * 255).round() / 255
    image = Image.fromarray((pixels * 255).round().byte().permute(1, 2, 0).numpy())
    ours = Semantics(clip)._images(pixels[None]).detach()
    assert torch.allclose(ours, clip.image_features([image]), atol=1e-5)

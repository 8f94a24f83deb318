"""Attention capture: exact maps, exact values, exact gradients, less memory, and a network left as it was found."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager, nullcontext
from typing import Any

import pytest
import torch
import torch.nn.functional as F
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import Attention, AttnProcessor
from peft import LoraConfig
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.painting.attention import (
    Cut,
    Recording,
    _probabilities,
    capture,
    choose_layers,
    grid_of,
    guidance_layers,
    learning_kernels,
)
from tests.painting.networks import FAMILIES, forward_of, latents, texts, tiny_unet

CUTS: tuple[Cut, ...] = ("stop", "detach")


def energy(recording: Recording) -> Tensor:
    """Some scalar of all maps whose gradient is not trivial."""
    return torch.stack([(maps[..., 2] ** 2).sum() for maps in recording.maps.values()]).sum()


def gradient(unet: Any, cut: Cut, seed: int = 0) -> tuple[Tensor, Tensor | None]:
    """∇z of `energy`, and the forward's value."""
    dtype = next(unet.parameters()).dtype
    z = latents([seed], dtype).requires_grad_()
    with capture(unet, guidance_layers(unet), cut=cut) as recording:
        value = recording.run(forward_of(unet, texts(unet, [seed])), z)
    return torch.autograd.grad(energy(recording), z)[0], value


@contextmanager
def saved_bytes() -> Iterator[Callable[[], int]]:
    """Counts the bytes of distinct storages that autograd keeps for backward."""
    storages: dict[int, int] = {}

    def pack(tensor: Tensor) -> Tensor:
        storages[tensor.untyped_storage().data_ptr()] = tensor.untyped_storage().nbytes()
        return tensor

    with torch.autograd.graph.saved_tensors_hooks(pack, lambda tensor: tensor):
        yield lambda: sum(storages.values())


def test_default_layers() -> None:
    found = {
        family: sorted({name.split(".trans")[0] for name in guidance_layers(tiny_unet(family))}) for family in FAMILIES
    }
    assert found == {
        "sd": ["mid_block.attentions.0", "up_blocks.1.attentions.0", "up_blocks.1.attentions.1"],
        "sdxl": ["mid_block.attentions.0", "up_blocks.0.attentions.0", "up_blocks.0.attentions.1"],
    }


def test_a_block_stands_for_the_layers_in_it() -> None:
    unet = tiny_unet("sd")
    assert set(choose_layers(unet, ["mid_block", "up_blocks.1"])) == set(guidance_layers(unet))
    first = guidance_layers(unet)[0]
    assert list(choose_layers(unet, [first])) == [first]
    assert choose_layers(unet, ["mid_block", first]) == choose_layers(unet, ["mid_block"])


def test_default_layers_of_the_real_sd15() -> None:
    with torch.device("meta"):
        unet: Any = UNet2DConditionModel(cross_attention_dim=768)
    blocks = [name.split(".transformer")[0] for name in guidance_layers(unet)]
    assert sorted(blocks) == ["mid_block.attentions.0", *(f"up_blocks.1.attentions.{i}" for i in range(3))]


@pytest.mark.parametrize("family", FAMILIES)
def test_maps_are_what_the_eager_processor_computes(family: str) -> None:
    unet = tiny_unet(family, torch.float64)
    text, z = texts(unet, [0, 1]), latents([0, 1], torch.float64)
    layers = guidance_layers(unet)
    seen: dict[str, Tensor] = {}
    with capture(unet, layers, cut=None) as recording:
        recording.run(forward_of(unet, text), z)
    for name in layers:
        module = unet.get_submodule(name)
        module.set_processor(AttnProcessor())
        original = module.get_attention_scores

        def record(*args: Any, name: str = name, original: Any = original, **kwargs: Any) -> Tensor:
            seen[name] = original(*args, **kwargs)
            return seen[name]

        module.get_attention_scores = record
    forward_of(unet, text)(z)
    for name, maps_BHQT in recording.maps.items():
        assert recording.grids[name][0] * recording.grids[name][1] == maps_BHQT.shape[2]
        torch.testing.assert_close(maps_BHQT.flatten(0, 1), seen[name], rtol=0, atol=1e-12)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("cut", CUTS)
def test_truncated_gradient_equals_the_full_one(family: str, cut: Cut) -> None:
    unet = tiny_unet(family)
    full, _ = gradient(unet, None)
    truncated, _ = gradient(unet, cut)
    assert full.norm() > 1e-4
    assert (truncated - full).norm() / full.norm() <= 1e-5


@pytest.mark.parametrize("family", FAMILIES)
def test_detached_values_are_the_plain_forward_s(family: str) -> None:
    unet = tiny_unet(family)
    plain = forward_of(unet, texts(unet, [0]))(latents([0]))
    _, value = gradient(unet, "detach")
    assert value is not None and not value.requires_grad
    assert torch.equal(value, plain)
    assert gradient(unet, "stop")[1] is None


@pytest.mark.parametrize("family", FAMILIES)
def test_cuts_keep_less_for_backward(family: str) -> None:
    unet, kept = tiny_unet(family), {}
    for cut in (None, *CUTS):
        with saved_bytes() as count, capture(unet, guidance_layers(unet), cut=cut) as recording:
            recording.run(forward_of(unet, texts(unet, [0])), latents([0]).requires_grad_())
            kept[cut] = count()
    assert kept["detach"] == kept["stop"] < kept[None]
    with capture(unet, guidance_layers(unet), cut=None) as recording, saved_bytes() as count:
        unet.requires_grad_(True)  # what the public codes do: every weight's input is kept as well
        recording.run(forward_of(unet, texts(unet, [0])), latents([0]).requires_grad_())
        assert count() > kept[None]


@pytest.mark.parametrize("fails", [False, True])
def test_the_network_is_left_as_it_was(fails: bool) -> None:
    unet = tiny_unet("sd")
    unet.conv_in.weight.requires_grad_(True)
    before = dict(unet.attn_processors)
    wanted = {name: parameter.requires_grad for name, parameter in unet.named_parameters()}
    text = texts(unet, [0])[..., :5] if fails else texts(unet, [0])
    with torch.no_grad():
        try:
            with capture(unet, guidance_layers(unet), cut="detach") as recording:
                assert not any(parameter.requires_grad for parameter in unet.parameters())
                recording.run(forward_of(unet, text), latents([0]))
        except RuntimeError:
            assert fails
        else:
            assert not fails
        assert not torch.is_grad_enabled()
    assert all(unet.attn_processors[name] is processor for name, processor in before.items())
    assert {name: parameter.requires_grad for name, parameter in unet.named_parameters()} == wanted
    assert not any(module._forward_pre_hooks for module in unet.modules())
    assert torch.is_grad_enabled()


def test_a_processor_of_the_users_stays_in_charge() -> None:
    class Doubling(AttnProcessor):
        def __call__(self, *args: Any, **kwargs: Any) -> Tensor:
            return 2 * super().__call__(*args, **kwargs)

    unet = tiny_unet("sd")
    plain = gradient(unet, "detach")[1]
    unet.set_attn_processor(Doubling())
    processors = dict(unet.attn_processors)
    changed = gradient(unet, "detach")[1]
    assert plain is not None and changed is not None and not torch.allclose(plain, changed)
    assert torch.equal(changed, forward_of(unet, texts(unet, [0]))(latents([0])))
    assert all(unet.attn_processors[name] is processor for name, processor in processors.items())


def test_lora_applies_to_the_maps() -> None:
    unet = tiny_unet("sd")
    plain, _ = gradient(unet, "stop")
    unet.add_adapter(LoraConfig(r=2, target_modules=["to_q", "to_k"], init_lora_weights=False))
    unet.requires_grad_(False)
    with_lora, _ = gradient(unet, "stop")
    full, _ = gradient(unet, None)
    unet.disable_adapters()
    without, _ = gradient(unet, "stop")
    assert (with_lora - plain).norm() > 0.01 * plain.norm()
    assert (with_lora - full).norm() / full.norm() <= 1e-5
    torch.testing.assert_close(without, plain)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_networks_give_float32_maps(dtype: torch.dtype) -> None:
    exact, half = tiny_unet("sd"), tiny_unet("sd", dtype)
    recorded = []
    for unet in (exact, half):
        with capture(unet, guidance_layers(unet), cut="stop") as recording:
            recording.run(forward_of(unet, texts(unet, [0])), latents([0], next(unet.parameters()).dtype))
        recorded.append(recording.maps)
    for name, maps_BHQT in recorded[1].items():
        assert maps_BHQT.dtype == torch.float32
        torch.testing.assert_close(maps_BHQT, recorded[0][name], rtol=0, atol=0.05)


@pytest.mark.parametrize("autocast", [False, True])
def test_attention_learns_in_float32_within_bfloat16(autocast: bool) -> None:
    torch.manual_seed(0)
    query, key, value = torch.randn(3, 2, 2, 6, 8).bfloat16().requires_grad_()
    mask = torch.randn(6, 6).bfloat16()
    exact = F.scaled_dot_product_attention(query.float(), key.float(), value.float(), mask.float()).bfloat16()
    rounded = F.scaled_dot_product_attention(query, key, value, mask)
    assert not torch.equal(exact, rounded)
    context = learning_kernels(torch.device("cpu"), torch.bfloat16)
    for _ in range(2):
        with context, torch.autocast("cpu", torch.bfloat16, enabled=autocast):
            assert torch.equal(F.scaled_dot_product_attention(query, key, value, mask), exact)
            assert torch.equal(F.scaled_dot_product_attention(query=query, key=key, value=value, attn_mask=mask), exact)
            with torch.no_grad():
                assert torch.equal(F.scaled_dot_product_attention(query, key, value, mask), exact)
    assert torch.equal(F.scaled_dot_product_attention(query, key, value, mask), rounded)
    gradient = torch.autograd.grad(exact.sum(), query)[0]
    assert gradient.dtype == torch.bfloat16 and gradient.abs().sum() > 0


def test_other_precisions_and_devices_keep_their_kernels() -> None:
    for device, dtype in (("cpu", torch.float32), ("cpu", torch.float16), ("cuda", torch.bfloat16)):
        assert isinstance(learning_kernels(torch.device(device), dtype), nullcontext)


@pytest.mark.parametrize(
    "options",
    [
        {},
        {"norm_num_groups": 4},
        {"cross_attention_norm": "layer_norm"},
        {"cross_attention_norm": "group_norm", "cross_attention_norm_num_groups": 4},
        {"upcast_attention": True, "upcast_softmax": True},
        {"qk_norm": "layer_norm"},
        {"scale_qk": False},
        {"residual_connection": True, "rescale_output_factor": 2.0},
    ],
)
def test_every_kind_of_attention_layer(options: dict[str, Any]) -> None:
    """Against the probabilities that reproduce the layer's own output."""
    torch.manual_seed(0)
    layer = Attention(16, cross_attention_dim=8, heads=2, dim_head=8, **options)
    hidden, text = torch.randn(2, 6, 16), torch.randn(2, 5, 8)
    mask = torch.zeros(2, 1, 5)
    mask[1, :, 3:] = -10000.0
    maps_BHQT = _probabilities(layer, hidden, encoder_hidden_states=text, attention_mask=mask)
    normed = layer.norm_encoder_hidden_states(text) if layer.norm_cross is not None else text
    value_BHTD = layer.to_v(normed).view(2, 5, 2, 8).transpose(1, 2)
    rebuilt = layer.to_out[0]((maps_BHQT @ value_BHTD).transpose(1, 2).reshape(2, 6, 16))
    if layer.residual_connection:
        rebuilt = (rebuilt + hidden) / layer.rescale_output_factor
    torch.testing.assert_close(rebuilt, layer(hidden, text, mask), rtol=0, atol=1e-6)
    assert maps_BHQT[1, :, :, 3:].max() < 1e-6


def test_forwards_outside_run_do_not_record() -> None:
    unet = tiny_unet("sd")
    with capture(unet, guidance_layers(unet), cut="stop") as recording:
        recording.run(forward_of(unet, texts(unet, [0])), latents([0]))
        maps = dict(recording.maps)
        prediction = forward_of(unet, texts(unet, [7]))(latents([1]))
    assert prediction.shape == (1, 4, 16, 16)
    assert all(recording.maps[name] is maps[name] for name in maps)


def test_one_layer_by_predicate() -> None:
    unet = tiny_unet("sdxl")
    with capture(unet, lambda name: name.startswith("mid_block"), cut="stop") as recording:
        recording.run(forward_of(unet, texts(unet, [0])), latents([0]))
    assert recording.maps and all(name.startswith("mid_block") for name in recording.maps)


def test_non_square_canvas() -> None:
    unet = tiny_unet("sd")
    with capture(unet, guidance_layers(unet), cut="stop") as recording:
        recording.run(forward_of(unet, texts(unet, [0])), latents([0], grid=(12, 20)))
    assert set(recording.grids.values()) == {(6, 10), (12, 20)}


@pytest.mark.parametrize(
    ("queries", "grid", "expected"),
    [(64, (64, 64), (8, 8)), (40 * 24, (80, 48), (40, 24)), (9 * 5, (35, 18), (9, 5)), (1, (3, 1), (1, 1))],
)
def test_grid_of(queries: int, grid: tuple[int, int], expected: tuple[int, int]) -> None:
    assert grid_of(queries, grid) == expected


def test_mistakes_are_explained() -> None:
    unet = tiny_unet("sd")
    with pytest.raises(GuidanceError, match="no cross-attention layer 'mid'"), capture(unet, ["mid"], cut=None):
        pass
    with pytest.raises(GuidanceError, match="no cross-attention layer was chosen"), capture(unet, [], cut=None):
        pass
    with pytest.raises(GuidanceError, match="no halving"):
        grid_of(60, (16, 16))
    with (
        capture(unet, guidance_layers(unet), cut=None) as recording,
        pytest.raises(GuidanceError, match="never reached"),
    ):
        recording.run(lambda z: z, latents([0]))
    unet.train().enable_gradient_checkpointing()
    with pytest.raises(GuidanceError, match="checkpointing"), capture(unet, guidance_layers(unet), cut=None):
        pass

"""Gates and deltas: nothing changes until it is trained, and what is trained travels alone."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch

from scenograph.errors import CheckpointError
from scenograph.models.gated import DELTA, add_gates, apply_delta, base_of, is_gate, save_delta
from scenograph.models.loading import load_pipeline
from tests.tiny import tiny_sd, tiny_sd_parts


def test_a_delta_brings_back_what_was_trained(tmp_path: Path) -> None:
    base = tiny_sd(tmp_path / "base")
    _, pipeline = load_pipeline(base, device="cpu")
    trained = add_gates(pipeline.unet)
    with torch.no_grad():
        for name, parameter in trained.named_parameters():
            if is_gate(name) or ".attn1." in name:
                parameter.add_(torch.randn_like(parameter).half().float())
    folder = save_delta(trained, pipeline.unet.state_dict(), tmp_path / "delta", name=str(base))
    assert base_of(folder) == str(base)
    family, loaded = load_pipeline(folder, device="cpu")
    assert family.name == "sd" and loaded.unet.config.attention_type == "gated"
    for name, tensor in trained.state_dict().items():
        kept = loaded.unet.state_dict()[name]
        assert (kept - tensor).abs().max() <= 1e-3 * tensor.abs().max() + 1e-6, name
    from safetensors.torch import load_file

    stored = load_file(folder / "delta.safetensors")
    assert all(is_gate(name) or ".attn1." in name for name in stored)
    assert all(tensor.dtype == torch.float16 for tensor in stored.values())


def test_gates_are_seeded_apart_from_the_global_generator() -> None:
    unet = tiny_sd_parts()["unet"]
    state = torch.get_rng_state()
    one, two, other = add_gates(unet, seed=1), add_gates(unet, seed=1), add_gates(unet, seed=2)
    assert torch.equal(state, torch.get_rng_state())
    key = "position_net.linears.0.weight"
    assert torch.equal(one.state_dict()[key], two.state_dict()[key])
    assert not torch.equal(one.state_dict()[key], other.state_dict()[key])


def test_gates_ajar_change_nothing_and_learn_at_once() -> None:
    unet = tiny_sd_parts()["unet"].eval()
    size, width = unet.config.sample_size, unet.config.cross_attention_dim
    seen = torch.randn(1, 4, size, size), torch.tensor([500]), torch.randn(1, 5, width)
    boxes = {"boxes": torch.rand(1, 3, 4), "positive_embeddings": torch.randn(1, 3, width), "masks": torch.ones(1, 3)}
    gradients = {}
    for ajar in (False, True):
        gated = add_gates(unet, ajar=ajar).eval()
        out = gated(*seen, cross_attention_kwargs={"gligen": boxes}).sample
        assert torch.equal(out, unet(*seen).sample)
        out.square().sum().backward()
        learns = {name for name, p in gated.named_parameters() if p.grad is not None and p.grad.abs().max() > 0}
        gradients[ajar] = {name for name in learns if is_gate(name)}
    assert gradients[False] and all(name.endswith(("alpha_attn", "alpha_dense")) for name in gradients[False])
    assert any(name.endswith("attn.to_out.0.weight") for name in gradients[True])


@pytest.mark.parametrize("facts", ["{", "[]", '{"base": "x"}'])
def test_damaged_facts_are_one_line(tmp_path: Path, facts: str) -> None:
    (tmp_path / DELTA).write_text(facts)
    with pytest.raises(CheckpointError, match="damaged"):
        base_of(tmp_path)


def test_a_delta_of_another_base_is_refused(tmp_path: Path) -> None:
    unet = tiny_sd_parts()["unet"]
    folder = save_delta(add_gates(unet), unet.state_dict(), tmp_path, name="some/base")
    (folder / DELTA).write_text(json.dumps({"base": "some/base", "attention_type": "default"}))
    with pytest.raises(CheckpointError, match="which its base lacks"):
        apply_delta(unet, folder)
    (folder / "delta.safetensors").write_bytes(b"nothing")
    with pytest.raises(CheckpointError, match="does not fit"):
        apply_delta(unet, folder)


def test_a_delta_that_names_itself_is_refused(tmp_path: Path) -> None:
    unet = tiny_sd_parts()["unet"]
    save_delta(add_gates(unet), unet.state_dict(), tmp_path, name=str(tmp_path))
    with pytest.raises(CheckpointError, match="names itself"):
        load_pipeline(tmp_path, device="cpu")

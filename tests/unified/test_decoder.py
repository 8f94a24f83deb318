"""The short loop over a Llama's weights is the Llama, and steps aside where the modules do more."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from peft import LoraConfig, inject_adapter_in_model

from scenograph.unified.batch import collate
from scenograph.unified.decoder import Decoder, is_plain_llama
from scenograph.unified.sampler import Sampling, sample_images
from scenograph.unified.scoring import states
from scenograph.unified.sequence import paint_sequence
from tests.unified.tiny import images, layout, tiny_janus, world_codec

CODEC = world_codec()
LAYOUTS = [layout(), layout(("a red cat", (0.0, 0.0, 0.4, 0.4)), caption="a cat")]


def stepped(model: Any, count: int) -> torch.Tensor:
    """States of the first layouts' images, one token at a time."""
    from scenograph.unified.passes import image_embeddings

    prefixes = [paint_sequence(CODEC, one) for one in LAYOUTS[:count]]
    tokens_BN = torch.tensor(images(count))
    with torch.no_grad():
        decoder = Decoder(model, collate(prefixes, side="left"), tokens_BN.shape[1])
        found = [decoder.last_BD]
        for token_B in tokens_BN.T:
            found.append(decoder.step(image_embeddings(model, token_B)))
    return torch.stack(found, dim=1)


def whole(model: Any, count: int) -> torch.Tensor:
    """The same states of one parallel pass through transformers' modules."""
    sequences = [paint_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(count), strict=False)]
    batch = collate(sequences, side="left")
    with torch.no_grad():
        return states(model, batch)[:, -18:-1]  # BOI and the image, without EOI


@pytest.mark.parametrize("count", [1, 2])
@pytest.mark.parametrize("groups", [1, 2])
@pytest.mark.parametrize("small", [True, False])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_token_at_a_time_is_all_at_once(
    count: int, groups: int, small: bool, dtype: torch.dtype, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenograph.unified.decoder._SMALL", 2**20 if small else 0)
    model = tiny_janus(CODEC, key_value_heads=2 // groups).to(dtype)
    assert is_plain_llama(model.model.language_model)
    close = {torch.float32: 1e-5, torch.bfloat16: 5e-2}[dtype]
    torch.testing.assert_close(stepped(model, count), whole(model, count), atol=close, rtol=close)


def test_long_contexts_keep_their_scaled_angles() -> None:
    scaled = {"rope_type": "linear", "factor": 4.0, "rope_theta": 10_000.0}
    model = tiny_janus(CODEC, rope_parameters=scaled)
    assert is_plain_llama(model.model.language_model)
    torch.testing.assert_close(stepped(model, 2), whole(model, 2), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(stepped(model, 2), stepped(tiny_janus(CODEC), 2))


def test_a_lora_is_not_overlooked() -> None:
    plain = stepped(tiny_janus(CODEC), 2)
    model = tiny_janus(CODEC)
    inject_adapter_in_model(LoraConfig(r=2, target_modules=["q_proj", "down_proj"], init_lora_weights=False), model)
    assert not is_plain_llama(model.model.language_model)
    torch.testing.assert_close(stepped(model, 2), whole(model, 2), atol=1e-5, rtol=1e-5)
    assert not torch.allclose(stepped(model, 2), plain, atol=1e-3)


def test_a_hook_is_not_overlooked() -> None:
    model = tiny_janus(CODEC)
    called: list[int] = []
    model.model.language_model.layers[0].mlp.register_forward_hook(lambda *_: called.append(1))
    assert not is_plain_llama(model.model.language_model)
    stepped(model, 1)
    assert len(called) == 17


def test_another_activation_is_not_overlooked() -> None:
    model = tiny_janus(CODEC, hidden_act="gelu")
    assert not is_plain_llama(model.model.language_model)
    torch.testing.assert_close(stepped(model, 2), whole(model, 2), atol=1e-5, rtol=1e-5)


def test_both_ways_draw_the_same_images(monkeypatch: pytest.MonkeyPatch) -> None:
    model = tiny_janus(CODEC, spread=2.0)
    prefixes = [paint_sequence(CODEC, one) for one in LAYOUTS]
    fast = sample_images(model, prefixes, sampling=Sampling(), seeds=[0, 1])
    monkeypatch.setattr("scenograph.unified.decoder.is_plain_llama", lambda _: False)
    slow = sample_images(model, prefixes, sampling=Sampling(), seeds=[0, 1])
    assert torch.equal(fast.tokens_BN, slow.tokens_BN)
    torch.testing.assert_close(fast.log_probs_BN, slow.log_probs_BN, atol=1e-4, rtol=1e-4)

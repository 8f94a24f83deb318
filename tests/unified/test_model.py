"""Sizes, loading, the frozen parts, and the heads beside transformers' own forward."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import JanusForConditionalGeneration, SiglipVisionConfig, SiglipVisionModel

from scenograph.errors import CheckpointError
from scenograph.unified.batch import collate, embed
from scenograph.unified.model import (
    copy_tower,
    count_parameters,
    freeze_encoders,
    load_unified,
    real_config,
    tiny_config,
)
from scenograph.unified.passes import (
    hidden,
    image_embeddings,
    soft_embeddings,
    text_logits,
    tower_features,
)
from scenograph.unified.sequence import ground_sequence
from tests.unified.tiny import IMAGE_LENGTH, layout, text_codec, tiny_janus, world_codec

CODEC = world_codec()


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_janus(CODEC)


def test_the_real_configuration_counts_as_published() -> None:
    """Each part by its own arithmetic; 2.08 B in all, without SigLIP's pooling, which Janus leaves out."""
    with torch.device("meta"):
        counts = count_parameters(JanusForConditionalGeneration(real_config()))
    width, inner, vocabulary = 2048, 5632, 102_400
    block = 4 * width**2 + 3 * width * inner + 2 * width
    assert counts["language_model"] == vocabulary * width + 24 * block + width == 1_442_940_928
    assert counts["lm_head"] == vocabulary * width
    tower, places = 1024, 576
    vision = 12 * tower**2 + 13 * tower  # attention and MLP with biases, two norms
    assert counts["vision_model"] == 24 * vision + 3 * 16**2 * tower + tower + places * tower + 2 * tower
    assert counts["aligner"] == (tower + 1) * width + (width + 1) * width
    assert counts["generation_embeddings"] == 16_384 * 8
    assert counts["generation_aligner"] == (8 + 1) * width + (width + 1) * width
    assert counts["generation_head"] == (width + 1) * width + (width + 1) * 16_384
    assert 71e6 < counts["vqmodel"] < 73e6  # LlamaGen's VQ-16: 72 M
    assert 2.07e9 < counts["total"] < 2.09e9
    assert sum(counts.values()) == 2 * counts["total"]


def test_tiny_janus_is_tiny() -> None:
    with torch.device("meta"):
        model = JanusForConditionalGeneration(tiny_config(CODEC))
    counts = count_parameters(model)
    assert 5.5e6 < counts["total"] < 7.5e6 and counts["lm_head"] == 0
    assert model.config.vision_config.num_image_tokens == 64
    assert model.model.vqmodel.quantize.quant_state_dims == [8, 8]
    assert model.get_input_embeddings().num_embeddings >= len(CODEC.tokenizer)


def test_tiny_janus_runs_at_its_size() -> None:
    torch.manual_seed(0)
    model = JanusForConditionalGeneration(tiny_config(CODEC)).eval()
    with torch.no_grad():
        assert tower_features(model, torch.zeros(1, 3, 128, 128)).shape == (1, 64, 192)
        assert model.model.vqmodel.decode(torch.zeros(1, 64, dtype=torch.long)).shape == (1, 3, 128, 128)


def test_states_are_those_of_janus_own_forward(model: Any) -> None:
    pixels_BCHW = torch.randn(2, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    sequence = ground_sequence(CODEC, IMAGE_LENGTH, layout().instances)
    batch = collate([sequence, sequence])
    seen = batch.kinds_BT == 2
    ids_BT = batch.ids_BT.masked_fill(seen, model.config.image_token_id)
    with torch.no_grad():
        expected = model(input_ids=ids_BT, pixel_values=pixels_BCHW).logits
        embeds_BTD = embed(model, batch, features_BND=tower_features(model, pixels_BCHW))
        found = text_logits(model, hidden(model, embeds_BTD, batch.mask(), batch.positions()))
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-5)


def test_a_one_hot_is_its_token(model: Any) -> None:
    ids_BN = torch.tensor([[0, 5, 23]])
    one_hot_BNV = torch.nn.functional.one_hot(ids_BN, 24).float()
    torch.testing.assert_close(soft_embeddings(model, one_hot_BNV), image_embeddings(model, ids_BN))


def test_the_clips_tower_fits_and_sees_the_same() -> None:
    torch.manual_seed(1)
    tower = SiglipVisionModel(
        SiglipVisionConfig(
            hidden_size=16,
            intermediate_size=64,
            num_hidden_layers=1,
            num_attention_heads=2,
            image_size=64,
            patch_size=16,
        )
    ).eval()
    model = tiny_janus(CODEC)
    copy_tower(model, tower)
    pixels_BCHW = torch.randn(2, 3, 64, 64)
    with torch.no_grad():
        found = model.model.vision_model(pixels_BCHW).last_hidden_state
        torch.testing.assert_close(found, tower(pixels_BCHW).last_hidden_state, atol=1e-5, rtol=1e-5)
    with pytest.raises(CheckpointError, match="same sizes"):
        copy_tower(JanusForConditionalGeneration(tiny_config(CODEC)), tower)


def test_the_encoders_stay_frozen(model: Any) -> None:
    freeze_encoders(model)
    for name, weight in model.named_parameters():
        assert weight.requires_grad is not any(part in name for part in ("vision_model", "vqmodel")), name
    model.requires_grad_(False)


def test_a_folder_loads(tmp_path: Path, model: Any) -> None:
    model.save_pretrained(tmp_path)
    CODEC.tokenizer.save_pretrained(tmp_path)
    unified = load_unified(tmp_path, device="cpu")
    assert unified.side == 64 and unified.image_length == IMAGE_LENGTH
    assert unified.codec.write(layout().instances) == CODEC.write(layout().instances)
    assert not any(weight.requires_grad for weight in unified.model.parameters())
    ids_BT = torch.tensor([CODEC.write(layout().instances)])
    with torch.no_grad():
        torch.testing.assert_close(unified.model(ids_BT).logits, model(ids_BT).logits)


def test_a_published_tokenizer_gets_the_marks(tmp_path: Path) -> None:
    codec = text_codec()
    model = tiny_janus(codec)
    model.save_pretrained(tmp_path)
    codec.tokenizer.save_pretrained(tmp_path)
    assert load_unified(tmp_path, device="cpu").codec.coordinates.bins == 1000
    model.resize_token_embeddings(len(codec.tokenizer) - 1)
    model.save_pretrained(tmp_path)
    with pytest.raises(CheckpointError, match="resize_token_embeddings"):
        load_unified(tmp_path, device="cpu")


@pytest.mark.parametrize("config", [{"model_type": "llama"}, {"model_type": "multi_modality"}])
def test_another_model_is_refused_in_one_line(tmp_path: Path, config: dict[str, str]) -> None:
    (tmp_path / "config.json").write_text(json.dumps(config))
    with pytest.raises(CheckpointError) as caught:
        load_unified(tmp_path)
    assert "\n" not in str(caught.value)


def test_nothing_there_is_one_line() -> None:
    with pytest.raises(CheckpointError, match="no unified model"):
        load_unified("nowhere")

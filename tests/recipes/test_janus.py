"""tiny-janus' recipe: its size, where stage 3's layouts come from, and the warning before a stage that begins early."""

from __future__ import annotations

import warnings
from pathlib import Path

import numpy as np
import pytest
import torch
import torch.nn.functional as F
from transformers import (
    CLIPTextConfig,
    CLIPTextModel,
    JanusForConditionalGeneration,
    SiglipVisionConfig,
    SiglipVisionModel,
    VisionTextDualEncoderModel,
)

from scenograph.errors import CheckpointError
from scenograph.models.embedded import WEIGHTS
from scenograph.recipes.janus import (
    LAYOUTS,
    fresh_janus,
    fresh_vq,
    layouts_of,
    pairs_of,
    save_janus,
    stage_scores,
    tiny_codec,
    warn_early,
)
from scenograph.training.loop import Plan
from scenograph.unified.model import Unified, count_parameters, tiny_config
from scenograph.unified.passes import image_embeddings
from scenograph.unified.tokens import Codec
from scenograph.world.captions import noun_of
from scenograph.world.split import layout_held_out


def fresh(codec: Codec, folder: Path, monkeypatch: pytest.MonkeyPatch) -> Unified:
    """tiny-janus before stage 1, with the eyes of a random CLIP."""
    fresh_vq(codec, seed=1).save_pretrained(folder / "vq")
    vision = SiglipVisionConfig(
        hidden_size=128,
        intermediate_size=512,
        num_hidden_layers=4,
        num_attention_heads=4,
        image_size=128,
        patch_size=16,
    )
    text = CLIPTextConfig(hidden_size=32, intermediate_size=32, num_hidden_layers=1, num_attention_heads=1)
    clip = VisionTextDualEncoderModel(vision_model=SiglipVisionModel(vision), text_model=CLIPTextModel(text))
    clip.save_pretrained(folder / "clip")
    monkeypatch.setattr("scenograph.recipes.janus.embedded_path", lambda name: folder / "clip")
    return fresh_janus(codec, folder / "vq", seed=0)


@pytest.mark.skipif(not (WEIGHTS / "tiny-sd" / "tokenizer").exists(), reason="the tokenizer is in training")
def test_it_has_about_six_million_parameters_and_whole_pixels() -> None:
    codec = tiny_codec(WEIGHTS / "tiny-sd" / "tokenizer")
    with torch.device("meta"):
        counts = count_parameters(JanusForConditionalGeneration(tiny_config(codec)))
    assert 5e6 < counts["total"] < 8e6
    assert codec.coordinates.bins == 129  # 0 … 128


@pytest.mark.skipif(not (WEIGHTS / "tiny-sd" / "tokenizer").exists(), reason="the tokenizer is in training")
@pytest.mark.parametrize(("steps", "pairs"), [(10, 40), (100_000, 48_000)])
def test_a_short_stage_encodes_no_more_pictures_than_it_draws(steps: int, pairs: int) -> None:
    assert pairs_of(Plan(steps=steps, batch=4, lr=1e-3)) == pairs


def test_image_tokens_begin_as_their_codes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Of about the words' size, and alike where the codes are alike."""
    codec = tiny_codec(WEIGHTS / "tiny-sd" / "tokenizer")
    model = fresh(codec, tmp_path, monkeypatch).model
    with torch.no_grad():
        codes_VC = F.normalize(model.model.vqmodel.quantize.embedding.weight, dim=-1)
        assert torch.allclose(model.model.generation_embeddings.weight, codes_VC)
        assert not torch.equal(model.model.vqmodel.quantize.embedding.weight, codes_VC)
        seen = image_embeddings(model, torch.arange(1024)).std()
        assert seen > 0.1 * model.get_input_embeddings().weight.std()


@pytest.mark.skipif(not (WEIGHTS / "tiny-sd" / "tokenizer").exists(), reason="the tokenizer is in training")
def test_coordinates_begin_as_neighbours(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = tiny_codec(WEIGHTS / "tiny-sd" / "tokenizer")
    weight_VD = fresh(codec, tmp_path, monkeypatch).model.get_input_embeddings().weight.detach()
    rows_KD = weight_VD[list(codec.coordinates.digits)]
    assert 0.5 < rows_KD.std() / weight_VD.std() < 2
    near, far = (F.cosine_similarity(rows_KD[:-step], rows_KD[step:]).mean() for step in (1, 40))
    assert near > 0.8 and far < 0.5


@pytest.mark.skipif(not (WEIGHTS / "judge-a" / "detector").exists(), reason="judge A is in training")
def test_a_stage_is_measured_with_what_its_tokens_allow(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = tiny_codec(WEIGHTS / "tiny-sd" / "tokenizer")
    save_janus(fresh(codec, tmp_path, monkeypatch), tmp_path / "stage")
    found = stage_scores(tmp_path / "stage", count=3)
    assert found["layouts"] == 3 and 0 < found["PSNR (dB)"] < 20
    percents = [name for name in found if name not in ("layouts", "PSNR (dB)")]
    assert {"AP of reconstructions", "painted: AP", "grounded: mAcc (%)"} <= set(percents)
    assert all(0 <= found[name] <= 100 for name in percents)


@pytest.mark.parametrize("kind", LAYOUTS)
def test_layouts_of_every_kind_repeat_and_differ(kind: str) -> None:
    draw = layouts_of(kind)
    first = [draw(np.random.default_rng(seed)) for seed in range(12)]
    assert first == [draw(np.random.default_rng(seed)) for seed in range(12)]
    assert len(set(first)) > 6 and all(layout.instances for layout in first)
    several = [draw(np.random.default_rng(seed)) for seed in range(100)]
    for layout in several:
        assert not layout_held_out((noun_of(one.label) or one.label, one.box) for one in layout.instances)
    if kind == "random":
        assert min(min(i.box.width, i.box.height) for layout in first for i in layout.instances) >= 0.15 - 1e-9


def test_an_unknown_kind_is_one_line() -> None:
    with pytest.raises(CheckpointError, match="expected one of: real, random, planned"):
        layouts_of("dreamt")


@pytest.mark.parametrize(
    ("stage", "share", "message"),
    [("djo", 0.1, "below 20 %"), ("cycle", 0.39, "below 40 %"), ("djo", None, "not measured")],
)
def test_a_stage_that_begins_early_says_so(stage: str, share: float | None, message: str) -> None:
    with pytest.warns(UserWarning, match=message):
        warn_early(stage, share)


def test_a_stage_that_begins_in_time_says_nothing() -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        warn_early("djo", 0.2)
        warn_early("cycle", 0.6)

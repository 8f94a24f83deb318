"""Image tokens: the parts of the model that learn apart are the whole, and what each of them may change."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from transformers import SiglipVisionConfig, SiglipVisionModel
from transformers.models.janus.configuration_janus import JanusVQVAEConfig
from transformers.models.janus.modeling_janus import JanusVQVAE

from scenograph.datasets.drawn import DrawnScenes, draw_scenes
from scenograph.recipes import world
from scenograph.training import vq as story
from scenograph.training.loop import Run
from scenograph.training.scores import vq_scores
from scenograph.training.vq import VqRecipe, decode_deep, decode_shallow, encode_deep, encode_shallow, train_vq
from tests.recipes.fakes import DogJudge


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnScenes:
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 12, seed=1, workers=1)


def fresh() -> Any:
    torch.manual_seed(0)
    sizes = {
        "num_embeddings": 16,
        "num_patches": 8,
        "latent_channels": 32,
        "base_channels": 32,
        "channel_multiplier": [1, 1, 1, 1, 2],
    }
    return JanusVQVAE(JanusVQVAEConfig(**sizes, num_res_blocks=1))


def recipe() -> VqRecipe:
    """Four steps of tokens, two of each other part; entries begin anew at once."""
    plan = replace(world.vq().plan, steps=4, batch=4, log_every=1, save_minutes=0.0)
    return replace(world.vq(), plan=plan, scenes=10, shallow=0.5, decoder=0.5, pictures=2, patience=0)


@pytest.fixture(scope="module")
def whole(drawn: DrawnScenes, tmp_path_factory: pytest.TempPathFactory) -> tuple[Any, Path]:
    """What a training without a break ends in, and its folder."""
    folder = tmp_path_factory.mktemp("whole")
    return train_vq(recipe(), fresh(), drawn, folder), folder


def changed(before: Mapping[str, torch.Tensor], after: Mapping[str, torch.Tensor]) -> set[str]:
    return {name for name in before if not torch.equal(before[name], after[name])}


def test_the_parts_are_the_whole() -> None:
    vq = fresh()
    x, z = torch.randn(2, 3, 128, 128), torch.randn(2, 32, 8, 8)
    with torch.no_grad():
        features = encode_shallow(vq.encoder, x)
        assert features.shape == (2, 32, 16, 16)
        torch.testing.assert_close(encode_deep(vq.encoder, features), vq.encoder(x))
        small, doubled = decode_deep(vq.decoder, z)
        assert small.shape == (2, 64, 8, 8) and doubled.shape == (2, 32, 16, 16)
        torch.testing.assert_close(decode_shallow(vq.decoder, doubled), vq.decoder(z))


def test_it_learns_keeps_its_codebook_alive_and_measures(whole: tuple[Any, Path]) -> None:
    vq, folder = whole
    lengths = vq.quantize.embedding.weight.norm(dim=-1)
    assert torch.allclose(lengths, torch.ones_like(lengths), atol=1e-5)
    assert changed(fresh().state_dict(), vq.state_dict()) == set(vq.state_dict())  # every layer is in one of the parts
    rows = [json.loads(row) for row in (folder / "log.jsonl").read_text().splitlines()]
    assert 0 < rows[-1]["used"] <= 1 and rows[-1]["cells"] > 0
    found = vq_scores(vq, DogJudge(), count=3)
    assert 0 < found["PSNR (dB)"] < 30 and 0 < found["codebook used (%)"] <= 100
    assert 0 <= found["AP of reconstructions"] <= 100


@pytest.mark.parametrize(("part", "step"), [("vq shallow", 1), ("vq tokens", 2), ("vq decoder", 1)])
def test_killed_in_any_part_it_ends_in_the_same_weights(
    part: str,
    step: int,
    whole: tuple[Any, Path],
    drawn: DrawnScenes,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    class Killed(Exception):
        pass

    def dying(run: Run, *args: Any, **kwargs: Any) -> None:
        if (run.what, run.step) == (part, step):
            raise Killed
        update(run, *args, **kwargs)

    update = Run.update
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Run, "update", dying)
        train_vq(recipe(), fresh(), drawn, tmp_path)
    assert not changed(whole[0].state_dict(), train_vq(recipe(), fresh(), drawn, tmp_path).state_dict())


def test_frozen_tokens_stay_and_a_tower_that_looks_on_learns_nothing(drawn: DrawnScenes, tmp_path: Path) -> None:
    sizes = {"hidden_size": 16, "intermediate_size": 16, "num_hidden_layers": 2, "num_attention_heads": 2}
    tower = SiglipVisionModel(SiglipVisionConfig(**sizes, image_size=128))
    blind = train_vq(recipe(), fresh(), drawn, tmp_path / "blind", frozen=True).state_dict()
    vq = train_vq(recipe(), fresh(), drawn, tmp_path / "seen", frozen=True, tower=tower).state_dict()
    assert {name.split(".")[0] for name in changed(fresh().state_dict(), vq)} == {"decoder", "post_quant_conv"}
    assert changed(blind, vq)
    row = json.loads((tmp_path / "seen" / "decoder" / "log.jsonl").read_text().splitlines()[-1])
    assert 0 < row["meaning"] < 2
    assert not any(p.requires_grad or p.grad is not None for p in tower.parameters())


def test_features_do_not_depend_on_how_many_are_made_at_once(
    drawn: DrawnScenes, monkeypatch: pytest.MonkeyPatch
) -> None:
    shallow = story._Shallow(fresh(), 8, 0.1)
    whole, answers = story._features(shallow, drawn, 10, torch.device("cpu"))
    monkeypatch.setattr(story, "_PIECE", 4)
    parts, again = story._features(shallow, drawn, 10, torch.device("cpu"))
    assert whole.shape == (10, 32, 16, 16) and answers.shape == (10, 64, 3) and (answers == again).all()
    assert abs(whole.astype("f4") - parts.astype("f4")).max() < 0.05 * whole.std()

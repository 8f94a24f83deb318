"""The rows of EchoGen's tables: what differs between them, and that one call trains one from what it stands on."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenograph.errors import TrainingError
from scenograph.recipes import echogen_rows, janus
from scenograph.recipes import world as recipes
from scenograph.recipes.echogen_rows import ABLATIONS, TABLES, Training, leak_training, train_ablation
from scenograph.recipes.embedded import ORDER
from scenograph.training.cycle import CycleRecipe
from scenograph.training.djo import DjoRecipe
from scenograph.training.loop import Plan, facts_of
from scenograph.training.paired import Paired
from scenograph.unified.mask import Sharing
from scenograph.unified.model import Unified, load_unified
from tests.unified.tiny import images, layout, tiny_janus, world_codec


def test_every_row_is_a_training_that_there_is() -> None:
    known = {*ORDER, *ABLATIONS}
    assert {name for rows in TABLES.values() for name in rows.values()} <= known
    assert {one.after for one in ABLATIONS.values()} <= {None, *known}
    assert not {*ORDER} & {*ABLATIONS}
    assert all(one.recipe.name == name for name, one in ABLATIONS.items())


def test_stage_3_differs_in_its_start_or_its_layouts_alone() -> None:
    whole = recipes.tiny_janus()
    expected = {"janus-cycle": ("janus-pmtp", "real"), "janus-random": ("janus-djo", "random")}
    expected |= {"janus-planned": ("janus-djo", "planned")}
    for name, (after, layouts) in expected.items():
        one = ABLATIONS[name]
        assert (one.after, one.layouts) == (after, layouts)
        assert replace(one.recipe, name=whole.name) == whole


def test_the_control_of_stage_2_differs_in_the_loop_alone() -> None:
    one = ABLATIONS["janus-unlooped"]
    assert one.after == "janus-pmtp" and isinstance(one.recipe, DjoRecipe) and not one.recipe.closed
    assert replace(one.recipe, name="janus-djo", closed=True) == recipes.janus_djo()


def test_ways_to_share_differ_in_nothing_else() -> None:
    made: dict[Sharing, Any] = {sharing: leak_training(sharing, 1, 50).recipe for sharing in Sharing}
    assert len({recipe.plan for recipe in made.values()}) == 1
    assert {sharing: recipe.drop for sharing, recipe in made.items() if not recipe.drop} == {Sharing.SHARED: 0.0}
    assert len({recipe.name for recipe in made.values()}) == len(Sharing)
    assert leak_training(Sharing.SHARED, 2, 50).recipe.plan.seed == made[Sharing.SHARED].plan.seed + 1


@pytest.fixture
def tiny(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Path:
    """A run folder in which every stage is of a random tiny model."""
    codec = world_codec()

    def fresh(*_: object, seed: int) -> Unified:
        return Unified(tiny_janus(codec, seed=seed), codec)

    def paired(unified: Unified, run: Path, plan: Plan) -> Paired:
        tokens = np.array(images(2), np.uint16)
        return Paired(
            tokens_KN=tokens,
            layout=lambda i, rng: layout(),
            pixels=lambda i: torch.zeros(3, 64, 64),
            cells=lambda i: torch.zeros(tokens.shape[1], 5, dtype=torch.long),
        )

    for name in ("vq", "tokenizer"):
        (tmp_path / name / "model").mkdir(parents=True)
    monkeypatch.setattr(janus, "tiny_codec", lambda path: codec)
    monkeypatch.setattr(janus, "fresh_janus", fresh)
    monkeypatch.setattr(janus, "entry_share", lambda path: None)
    monkeypatch.setattr(echogen_rows, "_paired", paired)
    for name in ("janus-pmtp", "janus-djo"):
        janus.save_janus(fresh(seed=len(name)), tmp_path / name / "model")
    return tmp_path


def _weights(path: Path) -> dict[str, torch.Tensor]:
    found: dict[str, torch.Tensor] = load_unified(path, device="cpu").model.state_dict()
    return found


def test_a_row_goes_on_from_its_stage_and_is_trained_once(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    short = replace(recipes.tiny_janus(), group=2, plan=replace(recipes.tiny_janus().plan, batch=1))
    small = {name: replace(one, recipe=replace(short, name=name)) for name, one in ABLATIONS.items() if "janus" in name}
    monkeypatch.setattr(echogen_rows, "ABLATIONS", {**ABLATIONS, **small})
    with pytest.warns(UserWarning, match="stage cycle"):
        path = train_ablation("janus-random", tiny, steps=1)
    assert path == tiny / "janus-random" / "model"
    before, after = _weights(tiny / "janus-djo" / "model"), _weights(path)
    moved = [name for name, one in before.items() if not torch.equal(one, after[name])]
    assert moved and not any("vqmodel" in name or "vision_model" in name for name in moved)
    written = (path / "model.safetensors").stat().st_mtime_ns
    assert train_ablation("janus-random", tiny, steps=1) == path
    assert (path / "model.safetensors").stat().st_mtime_ns == written
    train_ablation("janus-random", tiny, steps=2)
    assert facts_of(tiny / "janus-random")["steps"] == 2
    # Of another stage 2 it would keep the policy and take a new reference.
    janus.save_janus(Unified(tiny_janus(world_codec(), seed=7), world_codec()), tiny / "janus-djo" / "model")
    with pytest.raises(TrainingError, match="began from another checkpoint"):
        train_ablation("janus-random", tiny, steps=3)


def test_an_early_entry_trains_what_it_stands_on(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    plan = replace(ABLATIONS["entry-1000"].recipe.plan, steps=1, batch=2)
    first = replace(ABLATIONS["entry-1000"], recipe=replace(ABLATIONS["entry-1000"].recipe, plan=plan))
    monkeypatch.setattr(echogen_rows, "ABLATIONS", {**ABLATIONS, "entry-1000": first})
    with pytest.warns(UserWarning, match="stage djo"):
        train_ablation("entry-1000-djo", tiny, steps=1)
    assert (tiny / "entry-1000" / "model" / "config.json").exists()


def test_stage_1_with_candidate_masks_is_a_row(tiny: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe: Any = ABLATIONS["janus-masks"].recipe
    assert replace(recipe, name="janus-pmtp", masks=False) == recipes.janus_pmtp()
    short = Training(recipe=replace(recipe, parse=1.0, plan=replace(recipe.plan, batch=4)))
    monkeypatch.setattr(echogen_rows, "ABLATIONS", {**ABLATIONS, "janus-masks": short})
    made = load_unified(train_ablation("janus-masks", tiny, steps=2), device="cpu")
    assert made.takes_masks and bool(made.model.model.candidate_mask.weight.any())


def test_unknown_names_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="expected one of: janus-unlooped"):
        train_ablation("tiny-janus", tmp_path)
    assert isinstance(ABLATIONS["janus-cycle"].recipe, CycleRecipe)

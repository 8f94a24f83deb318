"""The rows of GOAL's tables: what differs between them and what does not."""

from __future__ import annotations

import copy
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline

from scenograph.datasets.drawn import DrawnScenes
from scenograph.errors import TrainingError
from scenograph.models.gated import DELTA, add_gates
from scenograph.recipes import goal_rows
from scenograph.recipes import world as recipes
from scenograph.recipes.goal_rows import TABLES, rows_of, train_row
from scenograph.training.goal import train_goal
from tests.tiny import tiny_sd_parts


def test_rows_of_a_table_differ_in_losses_and_layers_alone() -> None:
    for table in TABLES:
        plans = {row.recipe.plan for row in rows_of(table, 1) if row.recipe}
        assert len(plans) == 1 and next(iter(plans)).steps == 800
        names = [row.recipe.name for row in rows_of(table, 1) if row.recipe]
        assert len(set(names)) == len(names)


def test_what_each_row_turns_off() -> None:
    five = {row.name: row.recipe for row in rows_of("5", 1)}
    assert five["frozen"] is None
    weights = {name: (bool(r.alpha), bool(r.beta)) for name, r in five.items() if r}
    expected = {"L_LDM": (False, False), "+ MAAlign": (False, True), "+ DSAlign": (True, False), "GOAL": (True, True)}
    assert weights == expected
    six = {row.name: row.recipe for row in rows_of("6", 1)}
    halves = {name: (r.local_weight, r.global_weight) for name, r in six.items() if r}
    assert halves == {"L_LDM": (1, 1), "local": (1, 0), "global": (0, 1), "local + global": (1, 1)}
    for table in TABLES:
        (control,) = [row.recipe for row in rows_of(table, 1) if row.name == "L_LDM"]
        assert control and control.alpha == control.beta == 0, "always in the table"


def test_the_same_training_has_the_same_name_in_every_table() -> None:
    whole = [row.recipe for table in (None, "5", "6", "7") for row in rows_of(table, 1) if row.recipe]
    for name in {recipe.name for recipe in whole}:
        assert len({repr(recipe) for recipe in whole if recipe.name == name}) == 1
    control = replace(recipes.tiny_goal(), name="ldm-0", alpha=0.0, beta=0.0)
    assert whole.count(recipes.tiny_goal()) == whole.count(control) == 4


def test_the_main_table_pairs_control_and_goal_by_seed() -> None:
    rows = rows_of(None, 3)
    assert [row.name for row in rows] == ["tiny-gligen", "ldm 1", "goal 1", "ldm 2", "goal 2", "ldm 3", "goal 3"]
    assert [row.family for row in rows] == ["", *["ldm", "goal"] * 3]
    assert not any(row.family for table in TABLES for row in rows_of(table, 1))
    for control, goal in zip(rows[1::2], rows[2::2], strict=True):
        assert control.recipe and goal.recipe
        alike = replace(goal.recipe, name=control.recipe.name, alpha=0.0, beta=0.0)
        assert alike == control.recipe


def test_the_first_goal_of_the_main_table_is_the_shipped_one() -> None:
    assert rows_of(None, 2)[2].recipe == recipes.tiny_goal()


def test_a_row_is_trained_once_and_refused_after_its_base_has_changed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts, trainings = tiny_sd_parts(), []

    def load(name: str, **options: Any) -> tuple[None, Any]:
        own = copy.deepcopy(parts)
        if name == "tiny-gligen":
            own["unet"] = add_gates(own["unet"])
        return None, StableDiffusionPipeline(**own)

    def train(*given: Any) -> Any:
        trainings.append(given)
        return train_goal(*given)

    monkeypatch.setattr(goal_rows, "load_pipeline", load)
    monkeypatch.setattr(goal_rows, "train_goal", train)
    monkeypatch.setattr(goal_rows, "cache_latents", lambda *given, **more: np.zeros((4, 4, 16, 16), np.float16))
    drawn = DrawnScenes(folder=tmp_path, count=4, seed=0, split="train")
    whole = rows_of(None, 1)[1]
    assert whole.recipe
    row = replace(whole, recipe=replace(whole.recipe, plan=replace(whole.recipe.plan, steps=2, batch=2)))
    place = train_row(row, drawn, tmp_path)
    assert train_row(row, drawn, tmp_path) == place == tmp_path / "goal" / "ldm-0" / "model"
    assert len(trainings) == 1 and (Path(place) / DELTA).exists()
    shorter = replace(row, recipe=replace(whole.recipe, plan=replace(whole.recipe.plan, steps=1, batch=2)))
    with pytest.raises(TrainingError, match="trained for 2 steps, and rows that are compared for 1"):
        train_row(shorter, drawn, tmp_path)
    with torch.no_grad():
        parts["vae"].post_quant_conv.bias += 0.5
    with pytest.raises(TrainingError, match="began from another checkpoint"):
        train_row(row, drawn, tmp_path)


def test_an_unknown_table_is_one_line() -> None:
    with pytest.raises(TrainingError, match="expected one of: 5, 6, 7"):
        rows_of("8", 1)

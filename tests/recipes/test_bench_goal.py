"""`bench goal` end to end on random weights, and its arithmetic on made-up scores."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Estimate
from scenograph.judging.compbench_world import world_compbench
from scenograph.judging.guidance_protocol import Judges
from scenograph.judging.results import read_results
from scenograph.layout import Layout
from scenograph.models.families import FAMILIES
from scenograph.models.gated import add_gates
from scenograph.painting import Painter
from scenograph.recipes import bench_goal
from scenograph.recipes.bench_goal import GoalBench, _judged, _painted, _pairs, _pooled, _removed, _seeds
from scenograph.recipes.bench_tables import goal_tables
from scenograph.recipes.goal_rows import Row
from tests.recipes.fakes import DogJudge
from tests.tiny import tiny_sd_parts


def _painter(name: Any, **options: Any) -> Painter:
    from diffusers import StableDiffusionPipeline

    parts = tiny_sd_parts()
    if "gligen" in str(name):
        parts["unet"] = add_gates(parts["unet"])
    return Painter(FAMILIES["sd"], StableDiffusionPipeline(**parts), name=str(name))


def test_it_paints_judges_pools_and_goes_on(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    judge: Any = DogJudge()
    monkeypatch.setattr(bench_goal, "judge", lambda letter: Judges(detector=judge, reader=judge, clip=judge))
    monkeypatch.setattr(Painter, "from_pretrained", _painter)
    trained = ("tiny-gligen", "ldm 1", "goal 1", "ldm 2", "goal 2")
    rows = [Row(name=name, recipe=None, family=name[:-2] if name[-1].isdigit() else "") for name in trained]
    monkeypatch.setattr(bench_goal, "rows_of", lambda table, seeds: rows)
    plan = GoalBench(prompts=2, seeds=2, guided_seeds=1, trainings=2, steps=1, resamples=20)
    out, readme = tmp_path / "goal.json", tmp_path / "README.md"
    readme.write_text("<!-- results:goal-small-world -->\n<!-- /results:goal-small-world -->\n")
    monkeypatch.setattr(Painter, "paint", _Counting(Painter.paint))
    bench_goal.run(plan, run=tmp_path / "run", out=out, readme=readme)
    names = [row["name"] for row in read_results(out)["rows"]]
    assert names[:3] == ["drawn", "tiny-sd, plain", "tiny-sd, winwinlay"]
    assert {"goal", "ldm", "goal − tiny-gligen", "goal − ldm", "errors of ldm removed by goal"} <= set(names)
    assert "| GOAL, all trainings |" in readme.read_text() and "Percent of errors removed" in readme.read_text()
    homes = (tmp_path / "run" / "bench_goal").glob("tiny-sd-*")
    assert {home.name.split("-")[2][:3]: len(list(home.iterdir())) for home in homes} == {"pla": 2, "win": 1}
    painted = _Counting.calls
    bench_goal.run(plan, run=tmp_path / "run", out=out)
    assert _Counting.calls == painted, "kept pictures are not painted again"


class _Counting:
    """A method that counts how often it was called."""

    calls = 0

    def __init__(self, method: Any) -> None:
        self.method = method

    def __get__(self, instance: Any, owner: Any) -> Any:
        def call(*args: Any, **options: Any) -> Any:
            _Counting.calls += 1
            return self.method(instance, *args, **options)

        return call


def test_every_picture_is_looked_at_once() -> None:
    counting = _CountingJudge()
    judge: Any = counting
    items = [item for category in ("colour", "spatial", "numeracy", "complex") for item in world_compbench(category, 2)]
    measured = _judged([[i.scene.draw()] * 2 for i in items], items, Judges(detector=judge, reader=judge, clip=judge))
    assert counting.looked_at == 2 * len(items) == sum(len(those) for those in measured.seen)


class _CountingJudge(DogJudge):
    looked_at = 0

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.looked_at += len(images)
        return super().detect(images, vocabulary)


def test_pictures_of_another_autoencoder_are_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    painter = _painter("tiny-sd")
    monkeypatch.setattr(Painter, "from_pretrained", lambda name, dtype: painter)
    judge: Any = DogJudge()
    judges, items = Judges(detector=judge, reader=judge, clip=judge), world_compbench("colour", 1)
    bench = GoalBench(prompts=1, seeds=1, steps=1)
    _painted(bench, "tiny-sd", "plain", items, judges, tmp_path, print, seeds=[0])
    with torch.no_grad():
        painter.pipeline.vae.post_quant_conv.bias += 0.5
    with pytest.raises(ResultError, match="other layouts, seeds or settings"):
        _painted(bench, "tiny-sd", "plain", items, judges, tmp_path, print, seeds=[0])


def test_errors_removed_is_the_share_of_what_was_wrong() -> None:
    better = Estimate(value=70.0, samples_R=np.array([70.0, 60.0]))
    worse = Estimate(value=40.0, samples_R=np.array([40.0, 60.0]))
    removed = _removed(better, worse)
    assert removed.value == pytest.approx(50.0)
    assert removed.samples_R.tolist() == [50.0, 0.0]


def test_tables_are_told_apart_by_the_command() -> None:
    row = {"name": "goal", "n": 2, "colour": 50.0}
    assert list(goal_tables({"rows": [row], "command": GoalBench(table="5").command()})) == ["goal-table-5"]
    (text,) = goal_tables({"rows": [row], "command": GoalBench().command()}).values()
    assert "GOAL, all trainings" in text


def test_the_trainings_of_a_row_share_the_seeds() -> None:
    rows = [
        Row(name=name, recipe=None, family=family)
        for name, family in zip(
            ("tiny-gligen", "ldm 1", "goal 1", "ldm 2", "goal 2", "goal 3"),
            ("", "ldm", "goal", "ldm", "goal", "goal"),
            strict=True,
        )
    ]
    shared = [_seeds(GoalBench(seeds=3), row, rows) for row in rows]
    assert shared == [[0, 1, 2], [0, 2], [0], [1], [1], [2]]
    assert [_seeds(GoalBench(seeds=1), row, rows) for row in rows] == [[0]] * len(rows), "every training paints"


def test_ablations_are_compared_with_what_aligns_nothing() -> None:
    five = ("frozen", "L_LDM", "+ MAAlign", "GOAL", "drawn")
    assert _pairs(dict.fromkeys(five)) == [
        ("L_LDM", "frozen"),
        ("+ MAAlign", "frozen"),
        ("GOAL", "frozen"),
        ("+ MAAlign", "L_LDM"),
        ("GOAL", "L_LDM"),
    ]
    seven = ("L_LDM", "mid 8 x 8", "up 16 x 16", "drawn")
    assert _pairs(dict.fromkeys(seven)) == [("mid 8 x 8", "L_LDM"), ("up 16 x 16", "L_LDM")]
    rows = [Row(name=name, recipe=None) for name in seven]
    assert not _pooled(rows, {}), "the size of a layer is no number of a training"

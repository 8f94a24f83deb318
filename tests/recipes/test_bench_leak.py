"""`bench leak` at a size of seconds: rows, pooling over trainings, and losses by hand."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import torch

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Estimate
from scenograph.judging.results import read_results
from scenograph.recipes import bench_leak, janus
from scenograph.recipes.bench_layouts import drawn_set
from scenograph.recipes.bench_leak import LeakBench, _pooled, loss_tallies
from scenograph.recipes.echogen_rows import Training
from scenograph.unified.batch import collate
from scenograph.unified.losses import pmtp_loss
from scenograph.unified.mask import Sharing
from scenograph.unified.model import Unified
from scenograph.unified.pictures import image_tokens, pixels
from scenograph.unified.sequence import shared_sequence
from tests.unified.tiny import tiny_janus, world_codec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("leak") / "model"
    codec = world_codec()
    janus.save_janus(Unified(tiny_janus(codec), codec), path)
    return path


def test_every_way_is_trained_measured_and_pooled(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    trained: list[str] = []

    def train_row(one: Training, run: Path) -> Path:
        trained.append(one.recipe.name)
        assert one.recipe.plan.steps == 7 and one.after is None
        return folder

    monkeypatch.setattr(bench_leak, "train_row", train_row)
    out, readme = tmp_path / "leak.json", tmp_path / "README.md"
    readme.write_text("<!-- results:echogen-leak -->\n<!-- /results:echogen-leak -->\n")
    bench = LeakBench(rows=("shared", "two-passes"), trainings=2, train_steps=7, limit=3, resamples=10)
    bench_leak.run(bench, run=tmp_path, out=out, readme=readme)
    assert trained == ["leak-shared-7-0", "leak-shared-7-1", "leak-two-passes-7-0", "leak-two-passes-7-1"]
    rows = {row["name"]: row for row in read_results(out)["rows"]}
    pair = ["shared 1", "shared 2", "shared", "two-passes 1", "two-passes 2", "two-passes"]
    assert list(rows) == [*pair, "shared − two-passes"]
    assert rows["shared 1"]["images_seen"] == 7 * 32 and rows["shared"]["trainings"] == 2
    assert {"acc50", "macc", "image_loss", "box_loss", "box_loss_shared"} <= set(rows["shared"])
    assert rows["shared − two-passes"]["box_loss"] == 0  # the same weights
    assert "| shared − two-passes |" in readme.read_text()
    with pytest.raises(ResultError, match="there are: shared, dropped"):
        bench_leak.run(LeakBench(rows=("secret",)), run=tmp_path, out=out)


def test_losses_are_those_of_stage_1() -> None:
    codec = world_codec()
    unified, chosen = Unified(tiny_janus(codec), codec), drawn_set(1)
    found = loss_tallies(unified, chosen)
    tokens = image_tokens(unified.model, pixels(chosen.ceiling(), unified.side)).tolist()
    batch = collate([shared_sequence(codec, chosen.layouts[0], tokens[0])])
    for sharing, name in ((Sharing.TWO_PASSES, "box_loss"), (Sharing.SHARED, "box_loss_shared")):
        with torch.no_grad():
            loss = pmtp_loss(unified.model, batch, sharing)
        assert found[name].mean() == pytest.approx(float(loss.layout.box), rel=1e-5)
        assert found["image_loss"].mean() == pytest.approx(float(loss.image), rel=1e-4)
    assert found["box_loss"].mean() != found["box_loss_shared"].mean()
    assert found["box_loss"].count_N.tolist() == [4.0]  # one thing


def test_a_pooled_interval_holds_trainings_as_well_as_scenes() -> None:
    still = [Estimate(value=value, samples_R=np.full(4, value)) for value in (10.0, 20.0)]
    picks_RS = np.array([[1.0, 0.0], [0.0, 1.0], [0.5, 0.5], [0.5, 0.5]])
    pooled = _pooled(still, picks_RS)
    assert pooled.value == 15 and pooled.samples_R.tolist() == [10, 20, 15, 15]


def test_the_command_says_what_it_does_not_know(run: Callable[..., tuple[int, str, str]], tmp_path: Path) -> None:
    status, _, err = run("bench", "leak", "--rows", "secret", "--run", tmp_path, "--out", tmp_path / "x.json")
    assert status == 2 and err.count("\n") == 1 and "two-passes" in err

"""Embedded trainings end in a published folder, and only the recipe's own plan replaces what users get."""

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file, save_file
from transformers import VisionTextDualEncoderModel

from scenograph.errors import ScenographWarning, TrainingError
from scenograph.models import embedded as names
from scenograph.models.embedded import EMBEDDED
from scenograph.models.gated import add_gates
from scenograph.recipes import embedded, janus, world
from scenograph.training.clip import build_clip
from tests.tiny import tiny_sd_parts


@pytest.fixture
def weights(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty weights folder, a world of twelve scenes and a reader that trains two steps."""
    folder = tmp_path / "weights"
    for module in (embedded, names):
        monkeypatch.setattr(module, "WEIGHTS", folder)
    monkeypatch.setattr(embedded, "_SCENES", {"train": (12, 0), "all": (12, 1)})
    recipe = world.reader_a()
    short = replace(recipe, plan=replace(recipe.plan, steps=2, batch=4))
    monkeypatch.setattr(world, "reader_a", lambda: short)
    return folder


def test_a_training_publishes_half_precision_and_a_measured_card(weights: Path, tmp_path: Path) -> None:
    path = embedded.train_embedded("reader-a", tmp_path / "run", threads=1)
    assert path == weights / EMBEDDED["reader-a"]
    assert {str(t.dtype) for t in load_file(path / "model.safetensors").values()} <= {"torch.float16", "torch.int64"}
    card = (path / "README.md").read_text()
    assert "| steps | 2 |" in card
    assert "attributes (%)" in card
    assert [p.name for p in path.parent.iterdir()] == ["reader"]
    # Trained again from the published weights where the run folder is lost.
    embedded.train_embedded("reader-a", tmp_path / "elsewhere", threads=1, warm=True)


def test_a_try_out_is_not_published(weights: Path, tmp_path: Path) -> None:
    path = embedded.train_embedded("reader-a", tmp_path / "run", steps=1, threads=1)
    assert path == tmp_path / "run" / "reader-a" / "model"
    assert not weights.exists()


def test_a_lost_text_tower_is_taken_from_the_published_clip(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe, tower = world.clip_a(), tiny_sd_parts()["text_encoder"]
    build_clip(recipe, tower).save_pretrained(weights / EMBEDDED["clip-a"])
    given: dict[str, Any] = {}

    def train(*args: Any, start: Path) -> VisionTextDualEncoderModel:
        given.update(tower=args[3], start=start)
        return build_clip(recipe, args[3])

    monkeypatch.setattr(embedded, "train_clip", train)
    embedded.train_embedded("clip-a", tmp_path / "run", steps=1, threads=1, warm=True)
    assert given["start"] == weights / EMBEDDED["clip-a"]
    for one, other in zip(given["tower"].parameters(), tower.parameters(), strict=True):
        assert torch.equal(one, other)


def test_gates_go_on_from_the_published_ones(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    given: list[Any] = []
    saved: list[Any] = []
    pipelines = {"tiny-sd": StableDiffusionPipeline(**tiny_sd_parts())}
    pipelines["tiny-gligen"] = StableDiffusionPipeline(**tiny_sd_parts())
    pipelines["tiny-gligen"].register_modules(unet=add_gates(pipelines["tiny-gligen"].unet))
    monkeypatch.setattr(embedded, "load_pipeline", lambda name, **options: (None, pipelines[name]))
    monkeypatch.setattr(embedded, "train_gligen", lambda recipe, data, pipeline, where: given.append(pipeline))

    def save(unet: Any, base: Any, out: Path, *, name: str) -> None:
        saved.append(base)
        out.mkdir()

    monkeypatch.setattr(embedded, "save_delta", save)
    monkeypatch.setattr(embedded, "of_scenes", lambda drawn, latents: None)
    monkeypatch.setattr(embedded._Site, "latents", lambda site, vae, drawn: None)
    (weights / EMBEDDED["tiny-gligen"]).mkdir(parents=True)
    for warm in (False, True):
        embedded.train_embedded("tiny-gligen", tmp_path / f"run-{warm}", steps=1, threads=1, warm=warm)
    assert given == [pipelines["tiny-sd"], pipelines["tiny-gligen"]]
    assert not any("fuser" in key for base in saved for key in base)


def test_users_get_the_furthest_stage_of_tiny_janus(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def save(site: Any, name: str, out: Path) -> None:
        out.mkdir(parents=True)
        save_file({"stage": torch.ones(1)}, out / "model.safetensors")
        (out / "config.json").write_text(json.dumps({"scenograph_stage": name}))

    for name in ("janus-pmtp", "janus-djo"):
        monkeypatch.setitem(embedded._STORIES, name, (save, lambda path: {"painted: AP": 1.0}, f"stage of {name}"))  # type: ignore[misc]
        monkeypatch.setattr(world, name.replace("-", "_"), world.janus_pmtp)
    path = embedded.train_embedded("janus-pmtp", tmp_path, threads=1)
    assert path == weights / "tiny-janus" and "stage of janus-pmtp" in (path / "README.md").read_text()
    embedded.train_embedded("janus-djo", tmp_path, threads=1)
    assert "stage of janus-djo" in (path / "README.md").read_text()
    for run in (tmp_path, tmp_path / "another"):
        assert embedded.train_embedded("janus-pmtp", run, threads=1) == run / "janus-pmtp" / "model"
        assert "stage of janus-djo" in (path / "README.md").read_text()


def test_asked_steps_are_not_those_of_the_stage_before(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder, whole = tmp_path / "janus-djo", world.janus_djo().plan.steps
    (folder / "model").mkdir(parents=True)
    asked: list[str] = []
    monkeypatch.setattr(embedded, "train_embedded", lambda name, run, **options: asked.append(name))
    for done, steps in ((whole, whole + 500), (10, 5)):
        monkeypatch.setattr(embedded, "facts_of", lambda place, done=done: {"steps": done})
        site = embedded._Site(run=tmp_path, steps=steps, workers=1, warm=False)
        assert site.model("janus-djo") == folder / "model"
        assert asked == ([] if done == whole else ["janus-djo"])


def test_a_warm_start_that_is_none_is_said(weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def save(site: Any, name: str, out: Path) -> None:
        out.mkdir(parents=True)

    monkeypatch.setitem(embedded._STORIES, "janus-djo", (save, lambda path: {}, ""))  # type: ignore[misc]
    with pytest.warns(ScenographWarning, match="no weights for 'janus-djo' to begin with"):
        embedded.train_embedded("janus-djo", tmp_path / "run", steps=1, threads=1, warm=True)


def test_a_stage_goes_on_from_itself_where_that_is_asked(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (weights / "tiny-janus").mkdir(parents=True)
    (weights / "tiny-janus" / "config.json").write_text('{"scenograph_stage": "tiny-janus"}')
    given: list[Any] = []
    monkeypatch.setattr(janus, "go_on", lambda before, folder, stage: given.append((before, stage)))
    monkeypatch.setattr(janus, "save_janus", lambda unified, out: out.mkdir(parents=True))
    monkeypatch.setattr(embedded, "train_cycle", lambda recipe, layouts, unified, folder: unified)
    embedded.train_embedded("tiny-janus", tmp_path / "warm", steps=1, threads=1, warm=True)
    (tmp_path / "cold" / "janus-djo" / "model").mkdir(parents=True)
    embedded.train_embedded("tiny-janus", tmp_path / "cold", steps=1, threads=1)
    assert given == [(weights / "tiny-janus", None), (tmp_path / "cold" / "janus-djo" / "model", "cycle")]


def test_tiny_janus_goes_on_from_the_published_one(
    weights: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    given: list[Path] = []

    def load(path: Path, **options: Any) -> Any:
        given.append(path)

    (weights / "tiny-janus").mkdir(parents=True)
    (weights / "tiny-janus" / "config.json").write_text('{"scenograph_stage": "janus-pmtp"}')
    monkeypatch.setattr(embedded, "load_unified", load)
    monkeypatch.setattr(embedded, "_paired", lambda site, unified, plan: None)
    monkeypatch.setattr(embedded, "train_pmtp", lambda recipe, data, unified, where: unified)
    monkeypatch.setattr(janus, "save_janus", lambda unified, out: out.mkdir(parents=True))
    embedded.train_embedded("janus-pmtp", tmp_path, steps=1, threads=1, warm=True)
    assert given == [weights / "tiny-janus"]
    # Stage 2 does not take what is published for its own, nor stage 3 for what it goes on from.
    site = embedded._Site(run=tmp_path / "new", steps=1, workers=1, warm=True)
    assert site.start("janus-pmtp") and not site.start("janus-djo") and not site.start("tiny-janus")


def test_unknown_names(tmp_path: Path) -> None:
    with pytest.raises(TrainingError, match="tiny-sd"):
        embedded.train_embedded("huge-sd", tmp_path)

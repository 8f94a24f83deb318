"""The guidance benchmark: its layouts, its options, and a small run from painting to tables."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from scenograph.errors import ResultError
from scenograph.judging.guidance_protocol import CEILING, Judges
from scenograph.judging.results import read_results
from scenograph.layout import Box, Instance, Layout, save_layouts
from scenograph.painting import Painter
from scenograph.painting.guidance import METHODS as KNOWN
from scenograph.painting.guidance import method
from scenograph.recipes import bench_guidance
from scenograph.recipes.bench_guidance import (
    METHODS,
    PAIRS,
    TUNED,
    GuidanceBench,
    _pairs,
    run,
)
from scenograph.recipes.bench_tables import folded, guidance_tables
from tests.recipes.fakes import random_judges
from tests.tiny import tiny_sd


def test_every_pair_is_painted_by_default_and_options_keep_a_method_in_its_pairs() -> None:
    assert set(METHODS) <= set(KNOWN) and {name for pair in PAIRS for name in pair} <= set(METHODS)
    assert _pairs(METHODS) == list(PAIRS)
    changed = ("plain", "naef+adaptive", "naef+adaptive:r=0.2", "aef+backprop:eta=10", "naef+backprop-matched")
    assert _pairs(changed) == [("naef+adaptive", "plain"), ("naef+adaptive:r=0.2", "plain")]
    assert _pairs(("naef+backprop-matched:eta=9", *changed)) == [
        ("naef+adaptive", "plain"),
        ("naef+adaptive:r=0.2", "plain"),
        ("naef+backprop-matched:eta=9", "aef+backprop:eta=10"),
    ]


def test_chosen_options_are_known_and_in_pairs_of_their_own() -> None:
    assert all(method(name) for name in TUNED)
    published = _pairs(METHODS)
    both = _pairs((*METHODS, *TUNED))
    assert set(published) < set(both) and len(both) == 2 * len(published)
    assert (TUNED[-1], "layout-control") in both, "which stays as published"


def test_options_that_are_tried_are_compared_with_the_first() -> None:
    tried = ("winwinlay:r=0.2", "winwinlay:r=0.3", "plain")
    assert _pairs(tried, development=True) == [(tried[1], tried[0]), (tried[2], tried[0])]


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Judges:
    return random_judges(tmp_path_factory.mktemp("judges"))


def plan_of(tmp_path: Path, **changes: Any) -> GuidanceBench:
    """Four own layouts, one step of a tiny model."""
    nouns = ["dog", "cat", "dog", "teddy bear"]
    boxes = [Box(0.1, 0.1, 0.6, 0.7), Box(0.4, 0.3, 0.9, 0.9), Box(0.0, 0.0, 0.5, 0.5), Box(0.2, 0.2, 0.8, 0.8)]
    layouts = [
        Layout(caption=f"a red {noun}", instances=(Instance(caption=f"a red {noun}", label=noun, box=box),))
        for noun, box in zip(nouns, boxes, strict=True)
    ]
    save_layouts(tmp_path / "own.jsonl", layouts)
    defaults: dict[str, Any] = {
        "sets": (str(tmp_path / "own.jsonl"),),
        "methods": ("plain",),
        "model": str(tiny_sd(tmp_path / "sd")),
        "steps": 1,
        "batch_size": 3,
        "resamples": 5,
    }
    return GuidanceBench(**defaults | changes)


def no_painting(*_: object, **__: object) -> None:
    raise AssertionError("nothing is to be painted now")


def test_a_small_run_from_layouts_to_the_readme(
    tmp_path: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench = plan_of(tmp_path, methods=("plain", "aef+adaptive:O=1", "naef+adaptive:O=1"))
    out, readme = tmp_path / "results" / "own.json", tmp_path / "README.md"
    readme.write_text("# x\n<!-- results:winwinlay-own -->\n<!-- /results:winwinlay-own -->\nend\n", encoding="utf-8")

    def again(plan: GuidanceBench = bench) -> list[dict[str, Any]]:
        place = {"folder": tmp_path / "run", "out": out, "readme": readme}
        return run(plan, **place, judges=judges, device="cpu", progress=False)  # type: ignore[arg-type]

    rows = again()
    guided = bench.methods[1:]
    names = ["plain", *guided, CEILING, f"{guided[1]} − plain"]
    assert [row["name"] for row in rows] == [f"own/{name}" for name in names]
    content = read_results(out)
    assert str(tmp_path) not in content["command"] and "own.jsonl" in content["command"]
    assert "judge A" in content["what"]
    table = guidance_tables(content)["winwinlay-own"]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:6]] == names[:-1]
    assert folded(table) in readme.read_text(encoding="utf-8")
    assert len(sorted((tmp_path / "run" / "own").rglob("*.png"))) == 12
    with monkeypatch.context() as patched:
        patched.setattr(Painter, "paint", no_painting)
        assert again() == rows
    with pytest.raises(ResultError, match="other layouts, seeds or settings"):
        again(replace(bench, steps=2))
    with monkeypatch.context() as patched:  # the painting code has changed since
        patched.setattr(bench_guidance, "code_digest", lambda place: "another version")
        with pytest.raises(ResultError, match="other layouts, seeds or settings"):
            again()


def test_the_commit_is_that_of_the_start(tmp_path: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch) -> None:
    moments: list[str] = []

    def commit() -> str:
        moments.append("later" if list(tmp_path.rglob("run.json")) else "start")
        return moments[-1]

    monkeypatch.setattr("scenograph.judging.results.commit", commit)
    monkeypatch.setattr(bench_guidance, "commit", commit)
    out = tmp_path / "own.json"
    run(plan_of(tmp_path), folder=tmp_path / "run", out=out, judges=judges, device="cpu", progress=False)
    assert read_results(out)["commit"] == "start"


def test_what_is_wrong_with_the_places_is_found_before_painting(
    tmp_path: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    bench, out, readme = plan_of(tmp_path), tmp_path / "own.json", tmp_path / "README.md"
    readme.write_text("no markers\n", encoding="utf-8")
    monkeypatch.setattr(Painter, "paint", no_painting)
    with pytest.raises(ResultError, match="needs exactly one <!-- results:winwinlay-own -->"):
        run(bench, folder=tmp_path / "run", out=out, readme=readme, judges=judges, device="cpu", progress=False)
    for bad in (tmp_path, readme / "own.json"):
        with pytest.raises(ResultError, match="cannot write results to"):
            run(bench, folder=tmp_path / "run", out=bad, judges=judges, device="cpu", progress=False)


def test_development_is_apart_from_what_is_reported(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[str] = []

    def judge(letter: str, device: str | None = None) -> Judges:
        asked.append(letter)
        raise ResultError("far enough")

    monkeypatch.setattr(bench_guidance, "judge", judge)
    bench = plan_of(tmp_path)
    tuned = replace(bench, sets=("drawn",), development=True, limit=2, methods=("winwinlay:r=0.1",))
    places = {"folder": tmp_path / "run", "out": tmp_path / "own.json"}
    for plan in (bench, tuned):
        with pytest.raises(ResultError, match="far enough"):
            run(plan, **places, progress=False)  # type: ignore[arg-type]
    assert asked == ["a", "b"]
    assert "--development" in tuned.command() and "--layouts" not in tuned.command()
    with pytest.raises(ResultError, match="layouts of its own"):
        run(replace(bench, development=True), **places)  # type: ignore[arg-type]
    (tmp_path / "README.md").touch()
    with pytest.raises(ResultError, match="go into no document"):
        run(tuned, readme=tmp_path / "README.md", **places)  # type: ignore[arg-type]

"""`bench echogen` end to end on a random tiny model: rows, what is kept, what is missing, and its own readings."""

from __future__ import annotations

import json
from collections.abc import Callable, Sequence
from dataclasses import replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scenograph.cli.bench_echogen import TABLES as TABLE_NAMES
from scenograph.cli.bench_echogen import WAYS as WAY_NAMES
from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.guidance_protocol import CEILING, Judges
from scenograph.judging.results import read_results
from scenograph.judging.reward import layout_reward
from scenograph.layout import Box, Layout
from scenograph.models import embedded
from scenograph.painting.unified import UnifiedPainter
from scenograph.recipes import bench_echogen, echogen_readings, janus
from scenograph.recipes.bench_echogen import BASELINES, PAIRS, TOKENS, EchogenBench, places_of
from scenograph.recipes.bench_layouts import development_set
from scenograph.recipes.bench_leak import WAYS
from scenograph.recipes.echogen_readings import grounding_tallies, referring_layout, reward_tally
from scenograph.recipes.echogen_rows import TABLES
from scenograph.training.cycle import grounded_boxes
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.sampler import Sampling, sample_images
from scenograph.unified.sequence import paint_sequence
from scenograph.world.captions import Described
from scenograph.world.scenes import Scene, SceneObject
from tests.recipes.fakes import random_judges
from tests.tiny import tiny_sd
from tests.unified.tiny import tiny_janus, world_codec

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Judges:
    return random_judges(tmp_path_factory.mktemp("judges"))


def _save(path: Path, seed: int) -> Path:
    codec = world_codec()
    path.parent.mkdir(parents=True, exist_ok=True)
    model = tiny_janus(codec, seed=seed)
    model.model.vqmodel.load_state_dict(tiny_janus(codec, seed=0).model.vqmodel.state_dict())  # all stages share one
    janus.save_janus(Unified(model, codec), path)
    return path


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run folder with two stages in it."""
    run = tmp_path_factory.mktemp("runs")
    for seed, name in enumerate(("janus-pmtp", "janus-djo")):
        _save(run / name / "model", seed)
    return run


def no_painting(*_: object, **__: object) -> None:
    raise AssertionError("nothing is to be painted now")


def test_names_of_the_command_line_are_the_tables_and_ways() -> None:
    assert (*TABLES,) == TABLE_NAMES == (*PAIRS,)
    assert WAYS == WAY_NAMES
    for table, pairs in PAIRS.items():
        known = {*TABLES[table], *(BASELINES if table == "main" else ())}
        assert {name for pair in pairs for name in pair} <= known


def test_fewer_steps_guide_fewer_of_them(tmp_path: Path) -> None:
    """The share that was chosen, whatever the options are later called."""
    place = str(tiny_sd(tmp_path / "sd"))
    told = [
        json.loads(bench_echogen._row(EchogenBench(steps=steps), "winwinlay", place, "cpu").settings)[2]
        for steps in (50, 25)
    ]
    assert told[0] == BASELINES["winwinlay"][1] and "guided=10:" in told[0]
    assert told[1] == told[0].replace("guided=10:", "guided=5:")


def test_stages_beside_a_diffusion_row(
    tmp_path: Path, trained: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    given = (("plain", str(tiny_sd(tmp_path / "sd"))),)
    bench = EchogenBench(rows=("plain", "1", "1+2"), checkpoints=given, limit=4, steps=1, batch_size=3, resamples=2)
    out, readme = tmp_path / "echogen.json", tmp_path / "README.md"
    readme.write_text("<!-- results:echogen-small-world -->\n<!-- /results:echogen-small-world -->\n")

    def again(plan: EchogenBench = bench) -> list[dict[str, Any]]:
        return bench_echogen.run(plan, run=trained, out=out, readme=readme, judges=judges, device="cpu")

    rows = {row["name"]: row for row in again()}
    assert list(rows) == ["plain", "1", "1+2", TOKENS, CEILING, "1+2 − 1"]
    measures = {"ap", "ap50", "ap75", "world_fid", "clip_s", "spatial", "colour", "texture", "shape"}
    assert measures <= set(rows["1"]) and measures <= set(rows["plain"]) and "spatial" in rows[CEILING]
    assert {"reward", "acc50", "acc75", "acc90", "macc"} <= set(rows["1"]) and "macc" not in rows["plain"]
    assert "macc" not in rows[TOKENS] and rows[TOKENS]["world_fid"] > rows[CEILING]["world_fid"]
    assert rows["1+2 − 1"]["reward"] == pytest.approx(rows["1+2"]["reward"] - rows["1"]["reward"])
    assert str(tmp_path) not in read_results(out)["command"] and "plain=sd" in read_results(out)["command"]
    assert "| 1+2 − 1 |" in readme.read_text() and "inconclusive" in readme.read_text()
    monkeypatch.setattr(UnifiedPainter, "paint", no_painting)
    assert {row["name"]: row for row in again()} == rows
    with pytest.raises(ResultError, match="other layouts, seeds or settings"):
        again(replace(bench, unified_cfg=2.0))


def test_missing_rows_are_named_in_one_line(trained: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(embedded, "WEIGHTS", tmp_path)
    with pytest.raises(CheckpointError) as caught:
        places_of(EchogenBench(), trained)
    text = str(caught.value)
    assert "\n" not in text and "1+3 (`scenograph train janus-cycle`)" in text and "gligen" in text
    assert "--rows 1,1+2" in text
    found = places_of(EchogenBench(rows=("1+2", "1")), trained)
    assert found == {"1": trained / "janus-pmtp" / "model", "1+2": trained / "janus-djo" / "model"}
    named = EchogenBench(rows=("1+2",), checkpoints=(("1+2", str(trained / "janus-pmtp" / "model")),))
    assert places_of(named, trained) == {"1+2": trained / "janus-pmtp" / "model"}
    with pytest.raises(CheckpointError, match="there are: 1\\+2, real"):
        places_of(EchogenBench(table="layouts", rows=("goal",)), trained)
    (tmp_path / "tiny-janus").mkdir()
    for stage, there in (("janus-pmtp", False), ("tiny-janus", True)):
        (tmp_path / "tiny-janus" / "config.json").write_text(json.dumps({"scenograph_stage": stage}))
        if there:
            assert places_of(EchogenBench(rows=("1+2+3",)), trained) == {"1+2+3": "tiny-janus"}
        else:
            with pytest.raises(CheckpointError, match=r"1\+2\+3 \(`scenograph train tiny-janus`\)"):
                places_of(EchogenBench(rows=("1+2+3",)), trained)
    with pytest.raises(CheckpointError, match=r"1 \(nowhere\)"):
        places_of(EchogenBench(rows=("1",), checkpoints=(("1", "nowhere"),)), trained)


def test_development_asks_judge_b_for_other_layouts(
    trained: Path, tmp_path: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked: list[Any] = []

    def compare(layouts: Sequence[Layout], *_: object, **options: Any) -> list[dict[str, Any]]:
        asked.extend([*layouts, options["folder"].name])
        return [{"name": "1", "n": 2}]

    def judge(letter: str, device: str | None = None) -> Judges:
        asked.append(letter)
        return judges

    monkeypatch.setattr(bench_echogen, "compare", compare)
    monkeypatch.setattr(bench_echogen, "judge", judge)
    bench = EchogenBench(rows=("1",), limit=2, development=True)
    bench_echogen.run(bench, run=trained, out=tmp_path / "x.json", device="cpu")
    assert asked == ["b", *development_set(2, reported=1000).layouts, "development"]
    assert "judge B" in read_results(tmp_path / "x.json")["what"] and "--development" in bench.command()


class _Knowing:
    """Grounds every phrase where a layout has it, the whole canvas elsewhere; reads every crop as a dog."""

    labels = None

    def __init__(self, layouts: Sequence[Layout]) -> None:
        self.boxes = {one.caption: one.box for layout in layouts for one in layout.instances}

    def ground(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[Layout]:
        whole = Box(0, 0, 1, 1)
        return [
            Layout.from_dict(
                {
                    "caption": "x",
                    "instances": [{"caption": p, "box": [*self.boxes.get(p, whole)]} for p in those],
                }
            )
            for those in phrases
        ]

    def read(self, crops: Sequence[Image.Image]) -> list[dict[str, str]]:
        return [{"noun": "dog"} for _ in crops]


def _scene(*captions: str) -> Scene:
    looks = {"a dog": "red", "a red dog": "red", "a blue dog": "blue", "a cat": "red"}
    objects = tuple(
        SceneObject(
            noun=caption.split()[-1],
            colour=looks[caption],
            texture="plain",
            shape=None,
            box=Box(0.1 + 0.3 * i, 0.2, 0.3 + 0.3 * i, 0.6),
        )
        for i, caption in enumerate(captions)
    )
    text = " and ".join(captions)
    return Scene(
        objects=objects, background="meadow", described=Described(caption=text, phrases=captions, captions=captions)
    )


def test_only_expressions_of_one_thing_are_asked_for() -> None:
    def kept(*captions: str) -> list[str]:
        return [one.caption for one in referring_layout(_scene(*captions)).instances]

    assert kept("a red dog", "a blue dog", "a cat") == ["a red dog", "a blue dog", "a cat"]
    assert kept("a dog", "a blue dog") == ["a blue dog"]
    assert kept("a red dog", "a red dog") == []


def test_readings_of_a_grounder_that_knows() -> None:
    scenes = [_scene("a red dog", "a blue dog", "a cat"), _scene("a dog", "a blue dog")]
    layouts, images = [scene.layout for scene in scenes], [scene.draw() for scene in scenes]
    knowing, blind = _Knowing(layouts[:1]), _Knowing([])
    assert grounding_tallies(scenes[:1], images[:1], knowing)["macc"].mean() == 100
    assert grounding_tallies(scenes, images, blind)["acc50"].mean() == 0


def test_the_reward_is_that_of_the_tokens_that_are_drawn(trained: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    unified = load_unified(trained / "janus-pmtp" / "model", device="cpu")
    layouts, sampling = [scene.layout for scene in (_scene("a red dog", "a cat"), _scene("a dog"))], Sampling()
    drawn = sample_images(
        unified.model, [paint_sequence(unified.codec, one) for one in layouts], sampling=sampling, seeds=[3, 4]
    )
    captions = [[one.caption for one in layout.instances] for layout in layouts]
    expected = map(layout_reward, layouts, grounded_boxes(unified, drawn.tokens_BN, captions))
    tally = reward_tally(unified, layouts, [3, 4], sampling)
    assert tally.total_N.tolist() == pytest.approx([100 * one for one in expected])
    monkeypatch.setattr(echogen_readings, "REWARDED", 1)
    assert reward_tally(unified, layouts, [3, 4], sampling).count_N.tolist() == [1, 0]


def test_the_command_draws_a_sheet_and_refuses_in_one_line(
    run: Run, trained: Path, tmp_path: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(bench_echogen, "judge", lambda letter, device=None: judges)
    monkeypatch.setattr(bench_echogen, "EchogenBench", partial(EchogenBench, resamples=2))
    out, sheet = tmp_path / "layouts.json", tmp_path / "sheet.png"
    options = ("--table", "layouts", "--rows", "1+2", "--limit", "4", "--run", trained, "--out", out)
    curves = tmp_path / "curves.png"
    status, _, err = run("bench", "echogen", *options, "--curves", curves)
    assert status == 2 and "a training that has begun" in err and not out.exists()
    (trained / "janus-djo" / "log.jsonl").write_text('{"step": 1, "loss": 2.0}\n{"step": 2, "loss": 1.0}\n')
    status, text, err = run("bench", "echogen", *options, "--sheet", sheet, "--curves", curves, "--json")
    assert status == 0, err
    assert [json.loads(line)["name"] for line in text.splitlines()] == ["1+2", TOKENS, CEILING]
    assert Image.open(sheet).height > 300 and Image.open(curves).width > 300
    status, _, err = run("bench", "echogen", "--rows", "1+3", "--run", trained)
    assert status == 2 and err.count("\n") == 1 and "janus-cycle" in err
    status, _, err = run("bench", "echogen", "--checkpoint", "1+3", "--run", trained)
    assert status == 2 and "ROW=FOLDER" in err
    for command, words, complaint in (
        ("echogen", ("--temperature", "-1"), "temperature -1.0"),
        ("echogen", ("--unified-cfg", "nan"), "guidance nan"),
        ("parsing", ("--unified-cfg", "inf"), "guidance inf"),
        ("echogen", ("--sheet", tmp_path / "a.png" / "b.png"), "a.png"),
    ):
        (tmp_path / "a.png").touch()
        status, _, err = run("bench", command, *words)
        assert status == 2 and complaint in err and err.count("\n") == 1, err

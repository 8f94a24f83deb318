"""`bench parsing`: what counts as right, how layouts are made wrong, and a run on a random tiny model."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scenograph.judging.compbench_world import world_compbench
from scenograph.judging.detection import FOUND_IOU
from scenograph.judging.guidance_protocol import Judges
from scenograph.judging.results import read_results
from scenograph.layout import Layout
from scenograph.planning.unified_planner import UnifiedPlanner
from scenograph.recipes import bench_parsing, janus
from scenograph.recipes.bench_parsing import WAYS, ParsingBench, recovered, states_all, wrong_layouts
from scenograph.unified.model import Unified
from scenograph.world.vocabulary import COLOURS
from tests.recipes.fakes import DogJudge
from tests.unified.tiny import layout, tiny_janus, world_codec

SPATIAL = world_compbench("spatial", 6)


def test_a_layout_is_right_when_it_keeps_everything_that_is_said() -> None:
    for item in (*SPATIAL, *world_compbench("numeracy", 4), *world_compbench("complex", 4)):
        assert states_all(item.layout, item)
        first, *rest = item.layout.instances
        wrong = next(colour for colour in COLOURS if colour not in first.caption)
        said = " ".join(wrong if word in COLOURS else word for word in first.caption.split())
        assert not states_all(replace(item.layout, instances=(replace(first, caption=said), *rest)), item)
        assert not states_all(replace(item.layout, instances=tuple(rest)), item)
    assert not states_all(None, SPATIAL[0])
    bare = replace(SPATIAL[0].layout, instances=tuple(replace(i, label="thing") for i in SPATIAL[0].layout.instances))
    assert states_all(bare, SPATIAL[0]), "the caption names the noun"


def test_layouts_are_made_wrong_in_every_way_and_the_same_again() -> None:
    made = wrong_layouts(SPATIAL[0], seed=3)
    assert tuple(made) == WAYS and made == wrong_layouts(SPATIAL[0], seed=3)
    truth = SPATIAL[0].layout
    assert recovered(truth, truth)
    assert not any(recovered(truth, one) for one in made.values())
    counts = {way: len(one.instances) - len(truth.instances) for way, one in made.items()}
    assert counts == {"moved": 0, "swapped": 0, "dropped": -1, "doubled": 1}
    pairs = zip(truth.instances, made["moved"].instances, strict=True)
    assert sorted(a.box.iou(b.box) >= FOUND_IOU for a, b in pairs) == [False, True]


def test_recovered_wants_every_thing_near_its_place_and_nothing_else() -> None:
    truth = layout(("a dog", (0.1, 0.1, 0.5, 0.5)), ("a cat", (0.6, 0.6, 0.9, 0.9)))
    near = layout(("a red cat", (0.6, 0.6, 0.9, 0.85)), ("a dog", (0.1, 0.1, 0.5, 0.45)))
    assert recovered(truth, near)
    assert not recovered(truth, layout(("a dog", (0.1, 0.1, 0.5, 0.5)), ("a dog", (0.6, 0.6, 0.9, 0.9))))
    assert not recovered(truth, layout(("a dog", (0.1, 0.1, 0.5, 0.5))))


def test_a_run_from_prompts_to_the_readme(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    codec = world_codec()
    janus.save_janus(Unified(tiny_janus(codec), codec), tmp_path / "model")
    given: list[Layout] = []

    def corrected(self: UnifiedPlanner, image: Image.Image, candidate: Layout) -> Layout:
        given.append(candidate)
        return candidate

    def written(self: UnifiedPlanner, *_: object) -> Layout:
        return layout()

    monkeypatch.setattr(UnifiedPlanner, "corrected", corrected)
    monkeypatch.setattr(UnifiedPlanner, "_written", written)
    monkeypatch.setattr(bench_parsing, "CATEGORIES", ("spatial", "numeracy"))
    judge: Any = DogJudge()
    out, readme = tmp_path / "parsing.json", tmp_path / "README.md"
    readme.write_text("<!-- results:echogen-parsing -->\n<!-- /results:echogen-parsing -->\n")
    bench = ParsingBench(model=str(tmp_path / "model"), prompts=2, unified_cfg=1.0, resamples=10)
    judges = Judges(detector=judge, reader=judge, clip=judge)
    bench_parsing.run(bench, out=out, readme=readme, judges=judges, device="cpu")
    rows = {row["name"]: row for row in read_results(out)["rows"]}
    assert list(rows) == ["the prompt's own layout", "janus", "janus, regenerated", "grammar", "drawn"]
    assert rows["the prompt's own layout"]["acc"] == 100 and rows["janus"]["acc"] == 0
    assert rows["grammar"]["acc"] > 50
    # Who gives back what it got corrects nothing, and was given every wrong layout and an empty one.
    assert rows["janus"]["reacc"] == rows["janus"]["reacc_blank"] == 0
    assert sum(not one.instances for one in given) == 4 and len(given) > 8
    assert all("quality" in row for row in rows.values())
    assert "| janus | 0.0" in readme.read_text() and str(tmp_path) not in read_results(out)["command"]


def test_the_planner_understands_a_picture_of_any_proportions() -> None:
    codec = world_codec()
    planner = UnifiedPlanner(Unified(tiny_janus(codec), codec), temperature=0, max_instances=2)
    picture = Image.new("RGB", (96, 48), "red")
    seen = planner.corrected(picture, Layout(caption="a dog", instances=layout().instances, size=(96, 48)))
    assert seen.size == (96, 48) and seen.caption == "a dog"
    assert seen == planner.corrected(picture, Layout(caption="a dog", instances=layout().instances, size=(96, 48)))

"""The guidance benchmark: its layouts, its options, and a small run from painting to tables."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenograph.errors import GuidanceError, LayoutError, ResultError
from scenograph.grounding.detector import load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.clip import TransformersClip
from scenograph.judging.guidance_protocol import CEILING, Judges
from scenograph.judging.results import read_results
from scenograph.layout import Box, Instance, Layout, save_layouts
from scenograph.painting import Painter
from scenograph.painting.guidance import METHODS as KNOWN
from scenograph.painting.guidance import Backprop, Langevin, method
from scenograph.recipes.bench_guidance import (
    METHODS,
    PAIRS,
    GuidanceBench,
    coco_layouts,
    drawn_layouts,
    options_of,
    parse_changes,
    run,
    tables,
    write_tables,
)
from scenograph.world.split import layout_held_out
from scenograph.world.vocabulary import NOUNS
from tests.judging.checkpoints import rt_detr, save_detector, save_dual_encoder, save_reader
from tests.tiny import tiny_sd


def test_drawn_layouts_are_held_out_and_have_one_to_four_objects() -> None:
    layouts = drawn_layouts(40)
    assert layouts[:7] == drawn_layouts(7)
    assert [len(layout.instances) for layout in layouts] == [1, 2, 3, 4] * 10
    assert all(layout_held_out((one.label, one.box) for one in layout.instances) for layout in layouts)
    assert all(layout.prompt(strict=True).appended == () for layout in layouts)


def coco_row(number: int, *instances: tuple[str, list[float]]) -> str:
    boxes = [{"caption": caption, "box": box} for caption, box in instances]
    return json.dumps({"image_id": number, "width": 640, "height": 480, "captions": ["a photo"], "instances": boxes})


def test_coco_layouts_keep_only_what_the_world_can_draw(tmp_path: Path) -> None:
    path, large = tmp_path / "coco.jsonl", [0.1, 0.1, 0.6, 0.7]
    rows = [
        coco_row(1, ("dog", large), ("sofa", [0.0, 0.5, 1.0, 1.0]), ("dog", [0.5, 0.5, 0.9, 0.9])),
        coco_row(2, ("sofa", large)),
        coco_row(3, ("cat", large), ("cup", [0.1, 0.1, 0.15, 0.6])),
        coco_row(4, *[("person", large)] * 7),
        coco_row(5, ("teddy bear", large), ("cup", [0.1, 0.1, 0.4, 0.6])),
        coco_row(6, ("cat", large)),
    ]
    path.write_text("\n".join(rows), encoding="utf-8")
    layouts = coco_layouts(path, 10)
    assert [[one.label for one in layout.instances] for layout in layouts] == [
        ["dog"] * 2,
        ["teddy bear", "cup"],
        ["cat"],
    ]
    assert layouts == coco_layouts(path, 3) and len(coco_layouts(path, 2)) == 2
    assert layouts[0].instances[0].box == Box(*large)
    for layout in layouts:
        prompt = layout.prompt(strict=True)
        assert prompt.text == layout.caption
        assert {one.label for one in layout.instances} <= set(NOUNS)
    assert layouts[0].instances[0].phrase == layouts[0].instances[1].phrase == "two dogs"


@pytest.mark.parametrize("text", ["", "[]", "{}", '{"instances": [{"caption": "dog", "box": [0, 0, 1]}]}', "nonsense"])
def test_bad_coco_files(tmp_path: Path, text: str) -> None:
    path = tmp_path / "coco.jsonl"
    path.write_text(text, encoding="utf-8")
    with pytest.raises(LayoutError, match=r"coco\.jsonl"):
        coco_layouts(path, 10)


def test_changes_reach_the_methods_that_have_them() -> None:
    changes = parse_changes(["r=0.1", "O=2", "guided=5", "eta=10", "lam=1", "rho=[4, 1]", "score=cfg"])
    adaptive, backprop = (method(name, **options_of(name, changes)) for name in ("naef+adaptive", "aef+backprop"))
    assert adaptive is not None and backprop is not None
    assert adaptive.update == Langevin(ratio=0.1, iterations=2, score="cfg")
    assert backprop.update == Backprop(eta=10)
    assert adaptive.window.steps == backprop.window.steps == 5
    assert options_of("naef+adaptive", changes)["rho"] == (4, 1)
    assert options_of("plain", changes) == {}
    assert set(METHODS) <= set(KNOWN) and {name for pair in PAIRS for name in pair} <= set(METHODS)


@pytest.mark.parametrize("text", ["r", "magic=1", "=1"])
def test_bad_changes(text: str) -> None:
    with pytest.raises(GuidanceError, match="NAME=VALUE"):
        parse_changes([text])


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Judges:
    folder = tmp_path_factory.mktemp("judges")
    save_detector(rt_detr(), folder / "detector")
    return Judges(
        detector=load_detector(folder / "detector", device="cpu"),
        reader=AttributeReader.from_pretrained(save_reader(folder / "reader"), device="cpu"),
        clip=TransformersClip.from_pretrained(save_dual_encoder(folder / "clip"), device="cpu"),
    )


def test_a_small_run_from_layouts_to_the_readme(
    tmp_path: Path, judges: Judges, monkeypatch: pytest.MonkeyPatch
) -> None:
    nouns = ["dog", "cat", "dog", "teddy bear"]
    boxes = [Box(0.1, 0.1, 0.6, 0.7), Box(0.4, 0.3, 0.9, 0.9), Box(0.0, 0.0, 0.5, 0.5), Box(0.2, 0.2, 0.8, 0.8)]
    layouts = [
        Layout(caption=f"a red {noun}", instances=(Instance(caption=f"a red {noun}", label=noun, box=box),))
        for noun, box in zip(nouns, boxes, strict=True)
    ]
    save_layouts(tmp_path / "own.jsonl", layouts)
    bench = GuidanceBench(
        sets=(str(tmp_path / "own.jsonl"),),
        methods=("plain", "aef+adaptive", "naef+adaptive"),
        changes=(("O", 1),),
        model=str(tiny_sd(tmp_path / "sd")),
        steps=1,
        batch_size=3,
        resamples=5,
    )
    out = tmp_path / "results" / "own.json"
    rows = run(bench, folder=tmp_path / "run", out=out, judges=judges, device="cpu", progress=False)
    names = ["plain", "aef+adaptive", "naef+adaptive", CEILING, "naef+adaptive − plain"]
    assert [row["name"] for row in rows] == [f"own/{name}" for name in names]
    content = read_results(out)
    assert str(tmp_path) not in content["command"] and "own.jsonl" in content["command"]
    pictures = sorted((tmp_path / "run" / "own").rglob("*.png"))
    assert len(pictures) == 12

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("everything has been painted already")

    with monkeypatch.context() as patched:
        patched.setattr(Painter, "paint", refuse)
        again = run(bench, folder=tmp_path / "run", out=out, judges=judges, device="cpu", progress=False)
    assert again == rows
    other = GuidanceBench(**{**vars(bench), "steps": 2})
    with pytest.raises(ResultError, match="other layouts, seeds or settings"):
        run(other, folder=tmp_path / "run", out=out, judges=judges, device="cpu", progress=False)

    table = tables(out)["own"]
    assert [line.split("|")[1].strip() for line in table.splitlines()[2:]] == names[:-1]
    readme = tmp_path / "README.md"
    readme.write_text("# x\n<!-- results:winwinlay-own -->\n<!-- /results:winwinlay-own -->\nend\n", encoding="utf-8")
    write_tables(out, readme)
    assert table in readme.read_text(encoding="utf-8")

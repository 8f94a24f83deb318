"""`bench referring` end to end: real rows with pictures, and the small world, by tiny models of the real classes."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenograph.errors import DatasetError
from scenograph.judging.results import read_results
from scenograph.recipes import bench_referring, janus
from scenograph.recipes.bench_referring import expressions, tables
from scenograph.unified.model import Unified
from tests.judging.checkpoints import rt_detr, save_detector, save_grounding_dino
from tests.unified.tiny import tiny_janus, world_codec

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of Ref-L4 with two expressions each, and three grounders."""
    path = tmp_path_factory.mktemp("referring")
    (path / "images").mkdir()
    rows = []
    for number in range(4):
        pixels = np.random.default_rng(number).integers(0, 256, (60, 80, 3), dtype=np.uint8)
        Image.fromarray(pixels).save(path / "images" / f"{number}.png")
        row = {"file_name": f"{number}.png", "width": 80, "height": 60, "split": "val", "ori_category_id": "o365_1"}
        rows.append(row | {"caption": "a dog", "bbox": [0, 0, 40, 30]})
        rows.append(row | {"caption": f"a cat number {number}", "bbox": [20, 15, 60, 45]})
    (path / "ref-l4-val.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    codec = world_codec()
    janus.save_janus(Unified(tiny_janus(codec), codec), path / "janus")
    save_grounding_dino(path / "dino")
    save_detector(rt_detr(), path / "detector")
    return path


def test_rows_with_pictures(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "referring.json"
    words = ["--data", f"ref-l4:{folder}", "--grounder", folder / "dino", "--grounder", folder / "janus"]
    status, text, err = run("bench", "referring", *words, "--out", out, "--device", "cpu", "-q", "--json")
    assert status == 0, err
    content = read_results(out)
    first, second, gap = content["rows"]
    assert [json.loads(line)["name"] for line in text.splitlines()] == [row["name"] for row in content["rows"]]
    assert gap["name"] == f"{second['name']} − {first['name']}"
    assert first["n"] == 4 and first["expressions"] == second["expressions"] == 8
    assert gap["iou"] == pytest.approx(second["iou"] - first["iou"], abs=1e-3)
    for row in (first, second):
        assert 0 < row["iou"] < 100 and row["iou_ci"][0] <= row["iou"] <= row["iou_ci"][1]
        assert row["small_macc"] == pytest.approx(row["macc"]) and "large_macc" not in row
    assert content["command"].startswith("scenograph bench referring --data ref-l4:")
    assert set(tables(content)) == {"referring", "referring, parts"}
    assert "Acc@0.75" in tables(content)["referring"] and "medium" not in tables(content)["referring, parts"]


def test_a_unified_model_is_asked_together(folder: Path, tmp_path: Path) -> None:
    def content(together: bool) -> dict[str, Any]:
        return bench_referring.run(
            data=f"ref-l4:{folder}",
            grounders=[str(folder / "janus")],
            out=tmp_path / f"{together}.json",
            command="x",
            together=together,
            device="cpu",
            progress=False,
        )

    alone, together = content(False), content(True)
    assert alone["rows"][0]["iou"] != together["rows"][0]["iou"] and "a picture at a time" in together["what"]


def test_limits_spread_over_the_data(folder: Path) -> None:
    some = expressions(f"ref-l4:{folder}", limit=2)
    assert [layout.instances[1].caption for layout in some.layouts] == ["a cat number 0", "a cat number 2"]
    assert [image.size for image in some.pictures()] == [(80, 60)] * 2
    assert np.array_equal(np.asarray(next(some.pictures())), np.asarray(Image.open(folder / "images" / "0.png")))
    assert len(expressions(f"ref-l4:{folder}", limit=9).layouts) == 4
    assert len(expressions(f"ref-l4:{folder}", split="val").layouts) == 4


def test_the_worlds_expressions_fit_one_thing() -> None:
    asked = expressions("world", limit=12)
    assert len(asked.layouts) == 12 and len(list(asked.pictures())) == 12
    assert {layout.size for layout in asked.layouts} == {(128, 128)}
    for layout in asked.layouts:
        captions = [one.caption for one in layout.instances]
        assert len(set(captions)) == len(captions)


def test_the_world_by_a_detector_with_labels(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "world.json"
    words = ["--data", "world", "--limit", 6, "--grounder", folder / "detector", "--out", out, "--device", "cpu"]
    status, text, err = run("bench", "referring", *words)
    assert status == 0, err
    (row,) = read_results(out)["rows"]
    assert row["n"] == 6 and row["iou"] < 100 and "| Acc@0.5 |" in text


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["--data", "nowhere"], "expected ref-l4:PATH, refcoco:PATH or world"),
        (["--data", "ref-l4:"], "expected ref-l4:PATH, refcoco:PATH or world"),
        (["--data", "ref-l4:missing"], "is no .json"),
        (["--data", "world", "--split", "val"], "leave the pictures and the split out"),
        (["--data", "world", "--limit", "4", "--together", "--grounder", "{folder}/detector"], "leave `together` out"),
        (
            ["--data", "world", "--together", "--grounder", "{folder}/janus", "--grounder", "{folder}/detector"],
            "detector' cannot be asked for several expressions",
        ),
        (["--data", "world", "--grounder", "no-such"], "no-such"),
        (["--data", "ref-l4:{folder}", "--split", "train"], "no ref-l4-val"),
    ],
)
def test_mistakes_are_one_line(run: Run, folder: Path, tmp_path: Path, words: list[str], message: str) -> None:
    words = [word.format(folder=folder) for word in words]
    given = words if "--grounder" in words else [*words, "--grounder", str(folder / "dino")]
    status, text, err = run("bench", "referring", *given, "--out", tmp_path / "r.json", "-q")
    assert (status, text) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "r.json").exists()


def test_data_without_a_reader() -> None:
    with pytest.raises(DatasetError, match="no referring expressions 'coco:x'"):
        expressions("coco:x")

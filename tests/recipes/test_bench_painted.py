"""`bench layoutsam` and `bench coco` end to end: painted pictures, judges of every kind, mistakes in one line."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scenograph.cli import bench_pictures
from scenograph.errors import ImageError
from scenograph.judging.results import read_results
from scenograph.layout import Layout
from scenograph.models.embedded import EMBEDDED, WEIGHTS
from scenograph.painting.metadata import CHUNK, NEEDED
from scenograph.recipes.bench_painted import ASKERS, Painted, painted
from scenograph.world.scenes import Scene, scene_at
from tests.datasets.goal2k_fakes import Server
from tests.judging.checkpoints import rt_detr, save_clip, save_detector, save_grounding_dino, save_llava, save_reader

Run = Callable[..., tuple[int, str, str]]
THERE = all((WEIGHTS / EMBEDDED[name] / "config.json").exists() for name in ("detector-a", "reader-a", "clip-a"))


def scenes(count: int) -> list[Scene]:
    return [scene_at(index, seed=9, split="test", count=2) for index in range(count)]


def save_painted(image: Image.Image, layout: Layout, path: Path) -> None:
    """A picture with its recipe, as painting leaves it."""
    chunks = PngInfo()
    chunks.add_itxt(CHUNK, json.dumps(dict.fromkeys(NEEDED, 1) | {"layout": layout.to_dict()}))
    image.save(path, pnginfo=chunks)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Drawn scenes in place of painted ones, rows of LayoutSAM-eval and COCO for them, and tiny judges."""
    path = tmp_path_factory.mktemp("painted")
    (path / "pictures").mkdir()
    rows, annotations, images = [], list[dict[str, Any]](), []
    for number, scene in enumerate(scenes(4)):
        layout, name = scene.layout, f"{number:02d}.png"
        save_painted(scene.draw(), layout, path / "pictures" / name)
        images.append({"id": number, "file_name": name, "width": 128, "height": 128})
        boxes = [list(one.box.to_pixels((128, 128))) for one in layout.instances]
        rows.append(
            {"file_name": name, "global_caption": layout.caption, "width": 128, "height": 128, "bbox_list": str(boxes),
             "region_captions": str([one.label for one in layout.instances]),
             "detail_region_captions": str([one.caption for one in layout.instances])}
        )  # fmt: skip
        for one in layout.instances:
            box = {"id": len(annotations), "image_id": number, "bbox": list(one.box.to_xywh((128, 128)))}
            annotations.append(box | {"category_id": 1 + (one.label != "dog")})
    (path / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)))
    categories = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}]
    (path / "coco.json").write_text(
        json.dumps({"images": images, "annotations": annotations, "categories": categories})
    )
    save_llava(path / "llava")
    save_grounding_dino(path / "dino")
    save_clip(path / "clip")
    save_detector(rt_detr(), path / "weights" / "judge-a" / "detector")
    save_reader(path / "weights" / "judge-a" / "reader")
    return path


def bench(run: Run, out: Path, *words: object) -> dict[str, Any]:
    status, _, err = run("bench", *words, "--out", out, "--device", "cpu", "-q")
    assert status == 0, err
    (row,) = read_results(out)["rows"]
    return dict(row)


def test_the_choices_are_the_recipes() -> None:
    assert bench_pictures.ASKERS == ASKERS


def test_rows_and_carried_layouts_are_the_same(folder: Path) -> None:
    carried, pictures = painted(f"painted:{folder / 'pictures'}")
    rows, same = painted(f"layoutsam:{folder / 'rows.jsonl'}", images=folder / "pictures")
    assert pictures.paths == same.paths and len(pictures) == 4
    for one, other in zip(carried, rows, strict=True):
        for first, second in zip(one.instances, other.instances, strict=True):
            assert (first.label, first.caption) == (second.label, second.caption)
            assert tuple(first.box) == pytest.approx(tuple(second.box), abs=1e-3)
    assert np.array_equal(np.asarray(pictures[1]), np.asarray(scenes(2)[1].draw()))
    assert [image.size for image in pictures[1:3]] == [(128, 128)] * 2
    some, few = painted(f"painted:{folder / 'pictures'}", limit=2)
    assert some == [carried[0], carried[2]] and len(few) == 2


def test_layoutsam_by_a_local_model(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ["--data", f"painted:{folder / 'pictures'}", "--asker", "local", "--llm", folder / "llava"]
    row = bench(run, tmp_path / "r.json", "layoutsam", *words)
    assert row["n"] == 4 and row["boxes"] == 8 and {"spatial", "colour", "texture", "shape"} < set(row)


def test_layoutsam_by_an_endpoint(run: Run, folder: Path, tmp_path: Path) -> None:
    """The first instance of each picture is there, and its colour alone is right."""
    firsts = {f'"{scene.layout.instances[0].label}"' for scene in scenes(4)}

    def answer(asked: dict[str, Any]) -> tuple[int, Any]:
        text = asked["messages"][0]["content"][0]["text"]
        there = "present" in text and any(name in text for name in firsts)
        message = {"role": "assistant", "content": "Yes" if there or "with the color" in text else "No"}
        body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
        return 200, body | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}

    count = sum(f'"{one.label}"' in firsts for scene in scenes(4) for one in scene.layout.instances)
    server = Server(answer)
    try:
        data = ["--data", f"layoutsam:{folder / 'rows.jsonl'}", "--images", folder / "pictures"]
        words = [*data, "--asker", "llm", "--llm", "judge", "--base-url", server.url]
        row = bench(run, tmp_path / "r.json", "layoutsam", *words)
    finally:
        server.stop()
    assert row["name"] == "judge" and row["spatial"] == row["colour"] == pytest.approx(100 * count / 8)
    assert row["texture"] == row["shape"] == 0 and len(server.asked) == 8 + 3 * count


def test_layoutsam_by_tiny_judges_of_the_world(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenograph.models.embedded.WEIGHTS", folder / "weights")
    row = bench(run, tmp_path / "r.json", "layoutsam", "--data", f"painted:{folder / 'pictures'}")
    assert row["name"] == "judge A" and 0 <= row["shape"] <= row["spatial"] <= 100


@pytest.mark.skipif(not THERE, reason="the embedded weights are in training")
def test_drawn_scenes_are_the_ceiling_and_swapped_pictures_are_not(run: Run, tmp_path: Path) -> None:
    drawn = scenes(24)
    for name, shift in (("own", 0), ("swapped", 1)):
        (tmp_path / name).mkdir()
        for number, scene in enumerate(drawn):
            layout = drawn[(number + shift) % len(drawn)].layout
            save_painted(scene.draw(), layout, tmp_path / name / f"{number:02d}.png")
    own, swapped = (
        bench(run, tmp_path / f"{name}.json", "layoutsam", "--data", f"painted:{tmp_path / name}")
        for name in ("own", "swapped")
    )
    for score in ("spatial", "colour", "texture", "shape"):
        assert own[score] > 85 > 40 > swapped[score]
    words = ["--data", f"painted:{tmp_path / 'own'}", "--reference", tmp_path / "own"]
    row = bench(run, tmp_path / "coco.json", "coco", *words)
    assert row["ap50"] > 90 and row["ap"] < row["ap50"] and row["clip_fid"] == pytest.approx(0, abs=1e-3)


def test_coco_by_grounding_dino_and_a_clip(run: Run, folder: Path, tmp_path: Path) -> None:
    data = ["--data", f"coco:{folder / 'coco.json'}", "--images", folder / "pictures"]
    judges = ["--detector", folder / "dino", "--clip", folder / "clip", "--reference", folder / "pictures"]
    row = bench(run, tmp_path / "r.json", "coco", *data, *judges)
    assert row["n"] == 4 and row["boxes"] == 8 and abs(row["clip_fid"]) < 1e-3
    assert {"ap", "ap50", "ap75", "clip", "ap_ci", "clip_ci", "clip_fid_ci"} < set(row)
    captions = folder / "captions.json"
    said = [{"image_id": n, "caption": "a dog on a lawn"} for n in range(4)]
    captions.write_text(json.dumps({"annotations": said}))
    other = bench(run, tmp_path / "s.json", "coco", *data, *judges, "--captions", captions)
    assert other["clip"] != row["clip"] and other["ap"] == row["ap"]
    bare = bench(run, tmp_path / "t.json", "coco", *data, "--detector", folder / "dino", "--clip", "none")
    assert "clip" not in bare and bare["ap"] == row["ap"]


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("layoutsam --data nowhere", "expected painted:FOLDER, layoutsam:PATH or coco:FILE"),
        ("layoutsam --data painted:missing", "no pictures in 'missing'"),
        ("layoutsam --data painted:{0}/pictures --images {0}/pictures", "leave --images out"),
        ("layoutsam --data layoutsam:{0}/rows.jsonl", "give --images"),
        ("layoutsam --data layoutsam:{0}/rows.jsonl --images {0}", "4 of 4 pictures are not in"),
        ("layoutsam --data painted:{0}/pictures --asker llm", "name it with --llm"),
        ("layoutsam --data painted:{0}/pictures --asker local", "name it with --llm"),
        ("layoutsam --data painted:{0}/pictures --asker local --llm a/b --base-url http://x", "leave --base-url out"),
        ("layoutsam --data painted:{0}/pictures --llm x", "belong to --asker llm or local"),
        ("coco --data painted:{0}/pictures --captions {0}/coco.json --detector {0}/dino", "belongs to coco data"),
        ("coco --data painted:{0}/pictures --clip none --reference {0}/pictures", "in a CLIP's space"),
        ("coco --data painted:{0}/pictures --detector no-such", "no-such"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    monkeypatch.setattr("scenograph.models.embedded.WEIGHTS", folder / "weights")
    given = [word.format(folder) for word in words.split()]
    if given[0] == "coco" and "--clip" not in given:
        given += ["--clip", "none"]
    status, text, err = run("bench", *given, "--out", tmp_path / "r.json", "-q")
    assert (status, text) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "r.json").exists()


def test_a_picture_that_cannot_be_read(tmp_path: Path) -> None:
    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(ImageError, match="no readable picture"):
        Painted([tmp_path / "a.png"])[0]

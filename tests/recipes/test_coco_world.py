"""Choosing COCO layouts: which pictures stay, in which words and numbers."""

from __future__ import annotations

import json
from collections import Counter
from pathlib import Path

import pytest

from scenograph.errors import LayoutError
from scenograph.layout import Box, load_layouts
from scenograph.recipes.coco_world import choose, main, read_rows

LARGE = [0.1, 0.1, 0.6, 0.7]


def row(number: int, *instances: tuple[str, list[float]]) -> str:
    boxes = [{"caption": caption, "box": box} for caption, box in instances]
    return json.dumps({"image_id": number, "width": 640, "height": 480, "captions": ["a photo"], "instances": boxes})


def file(tmp_path: Path, rows: list[str]) -> Path:
    path = tmp_path / "coco.jsonl"
    path.write_text("\n".join(rows), encoding="utf-8")
    return path


def test_only_what_the_world_can_draw_and_judge_stays(tmp_path: Path) -> None:
    rows = [
        row(1, ("dog", LARGE), ("sofa", [0.0, 0.5, 1.0, 1.0]), ("dog", [0.5, 0.5, 0.9, 0.9])),
        row(2, ("sofa", LARGE)),
        row(3, ("cat", LARGE), ("cup", [0.1, 0.1, 0.15, 0.6])),
        row(4, ("person", LARGE)),
        row(5, ("person", LARGE), ("cup", [0.1, 0.1, 0.4, 0.6])),
        row(6, ("person", LARGE), ("person", LARGE), ("cup", [0.1, 0.1, 0.4, 0.6])),
    ]
    found = dict(read_rows(file(tmp_path, rows)))
    assert {key: [one.label for one in layout.instances] for key, layout in found.items()} == {
        "1": ["dog", "dog"],
        "5": ["person", "cup"],
    }
    two = found["1"]
    assert two.instances[0].box == Box(*LARGE)
    assert two.instances[0].phrase == two.instances[1].phrase == "two dogs"
    assert two.prompt(strict=True).text == two.caption


def test_quotas_and_an_order_that_is_the_same_for_every_order_of_the_file(tmp_path: Path) -> None:
    rows = [row(number, *[("dog", LARGE)] * (1 + number % 3)) for number in range(30)]
    usable = read_rows(file(tmp_path, rows))
    chosen = choose(usable, {1: 2, 2: 5})
    assert Counter(len(layout.instances) for layout in chosen) == {1: 2, 2: 5}
    assert choose(usable[::-1], {1: 2, 2: 5}) == chosen


@pytest.mark.parametrize("text", ["[]", "{}", '{"image_id": 1, "instances": [{"caption": "dog", "box": [0, 1]}]}', "x"])
def test_bad_files(tmp_path: Path, text: str) -> None:
    with pytest.raises(LayoutError, match=r"coco\.jsonl"):
        read_rows(file(tmp_path, [text]))


def test_the_command(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows, out = file(tmp_path, [row(1, ("dog", LARGE)), row(2, ("cat", LARGE))]), tmp_path / "layouts.jsonl"
    assert main([str(rows), str(out)]) == 0
    assert load_layouts(out) == choose(read_rows(rows))
    assert (main([str(tmp_path / "missing"), str(out)]), main([])) == (2, 2)
    assert "usage" in capsys.readouterr().err

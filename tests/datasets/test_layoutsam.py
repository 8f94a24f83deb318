"""LayoutSAM-Eval: rows as the hub has them, and what is said of broken ones."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from pyarrow import parquet

from scenograph.datasets.layoutsam import read_layoutsam_eval
from scenograph.errors import DatasetError


def row(**changes: Any) -> dict[str, Any]:
    """Lists as the hub writes them: as text, in Python's way, with apostrophes and all."""
    return {
        "file_name": "sa_1.jpg",
        "image_id": 1,
        "global_caption": "A dog's bowl beside a dog.",
        "width": 300,
        "height": 200,
        "bbox_list": str([[0, 50, 100, 150.0], [200, 0, 310, 200]]),
        "region_captions": str(["dog's bowl", "dog"]),
        "detail_region_captions": str(["a dog's red metal bowl", 'a "black" dog']),
    } | changes


def saved(path: Path, *rows: Any) -> Path:
    path.write_text("\n".join(json.dumps(one) for one in rows))
    return path


@pytest.mark.parametrize("written", [str, json.dumps, list])
def test_rows(tmp_path: Path, written: Any) -> None:
    lists = {
        "bbox_list": written([[0, 50, 100, 150.0], [200, 0, 310, 200]]),
        "region_captions": written(["dog's bowl", "dog"]),
        "detail_region_captions": written(["a dog's red metal bowl", 'a "black" dog']),
    }
    ((name, layout),) = read_layoutsam_eval(saved(tmp_path / "rows.jsonl", row(**lists)))
    assert name == "sa_1.jpg" and layout.caption == "A dog's bowl beside a dog." and layout.size == (300, 200)
    bowl, dog = layout.instances
    assert (bowl.label, bowl.caption) == ("dog's bowl", "a dog's red metal bowl")
    assert (dog.label, dog.caption) == ("dog", 'a "black" dog')
    assert tuple(bowl.box) == (0, 0.25, 0.333, 0.75)  # thousandths
    assert tuple(dog.box) == (0.667, 0, 1, 1)  # cut at the edge


def test_thin_boxes_stay_and_empty_ones_are_counted(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    boxes = str([[30, 20, 30.1, 40], [30, 20, 30, 40], [310, 20, 330, 40]])
    words = str(["a", "b", "c"])
    rows = row(bbox_list=boxes, region_captions=words, detail_region_captions=words)
    with caplog.at_level(logging.WARNING):
        ((_, layout),) = read_layoutsam_eval(saved(tmp_path / "rows.jsonl", rows))
    assert [one.label for one in layout.instances] == ["a"] and "2 boxes without area" in caplog.text
    assert layout.instances[0].box.width == pytest.approx(0.1 / 300)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"bbox_list": "[[0, 0, 1, 1]"}, "row 2: bbox_list is .*expected a list, written out"),
        ({"bbox_list": "__import__('os').system('true')"}, "row 2: bbox_list is .*expected a list, written out"),
        ({"bbox_list": "{}"}, "row 2: bbox_list is {}; expected a list"),
        ({"bbox_list": "[[0, 0, 1], [1, 1, 2, 2]]"}, r"row 2: a box is \[0, 0, 1\]; expected \[x0, y0, x1, y1\]"),
        ({"bbox_list": "[[0, 0, 1, 'b'], [1, 1, 2, 2]]"}, "row 2: a side of a box is 'b'"),
        ({"region_captions": "['dog']"}, "row 2: has 2 boxes, 1 short and 2 long captions"),
        ({"detail_region_captions": "['dog', '']"}, "row 2: a long caption is ''"),
        ({"global_caption": None}, "row 2: has no global_caption"),
        ({"width": "300"}, "row 2: size is"),
    ],
)
def test_a_bad_row_is_one_line_that_names_it(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        read_layoutsam_eval(saved(tmp_path / "rows.jsonl", row(), row(**changes)))
    assert "\n" not in str(caught.value)


def test_a_folder_without_its_files(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no data/test-\*\.parquet"):
        read_layoutsam_eval(tmp_path)


def test_the_hubs_folder(tmp_path: Path) -> None:
    (tmp_path / "data").mkdir()
    for number in (1, 0):
        table = pyarrow.Table.from_pylist([row(file_name=f"sa_{number}.jpg", image={"bytes": b"no picture"})])
        parquet.write_table(table, tmp_path / "data" / f"test-0000{number}-of-00002.parquet")
    assert [name for name, _ in read_layoutsam_eval(tmp_path)] == ["sa_0.jpg", "sa_1.jpg"]

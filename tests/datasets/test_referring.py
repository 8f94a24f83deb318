"""Ref-L4 and RefCOCO: rows as they are published, in every format, and what is said of broken ones."""

from __future__ import annotations

import json
import sys
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from PIL import Image
from pyarrow import parquet

from scenograph.datasets.records import read_records
from scenograph.datasets.referring import read_ref_l4, read_refcoco, referring_layouts, referring_pictures
from scenograph.errors import DatasetError, DependencyError

TRAIN = "COCO_train2014_000000581857.jpg"


def save(folder: Path, *names: str, size: tuple[int, int] = (80, 60)) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    for name in names:
        Image.new("RGB", size, (9, 99, 9)).save(folder / name)
    return folder


def ref_l4(**changes: Any) -> dict[str, Any]:
    row = {"id": 1, "caption": "The dog on the left.", "bbox": [8.0, 6.0, 40.0, 30.0], "width": 80, "height": 60}
    return row | {"file_name": "a.jpg", "ori_category_id": "o365_93", "split": "val", "bbox_area": 1200} | changes


def lines(path: Path, *rows: Any) -> Path:
    path.write_text("".join(json.dumps(row) + "\n" for row in rows))
    return path


def refer(folder: Path) -> tuple[list[Any], dict[str, Any]]:
    """The refer API's two files: one box with two expressions in testA, one in testB."""
    save(folder / "images", TRAIN, "COCO_train2014_000000000001.jpg")
    said = [{"sent": "man on left", "raw": "Man on left", "sent_id": 1, "tokens": []}, {"sent": "the man in black"}]
    refs = [
        {"ref_id": 1, "ann_id": 16, "image_id": 581857, "split": "testA", "category_id": 1, "sentences": said,
         "file_name": "COCO_train2014_000000581857_16.jpg"},
        {"ref_id": 2, "ann_id": 17, "image_id": 1, "split": "testB", "category_id": 2,
         "sentences": [{"sent": "red mug"}]},
    ]  # fmt: skip
    instances = {
        "images": [
            {"id": 581857, "file_name": TRAIN, "width": 80, "height": 60},
            {"id": 1, "file_name": "COCO_train2014_000000000001.jpg", "width": 80, "height": 60},
        ],
        "annotations": [{"id": 16, "bbox": [0, 0, 40.0, 60.4]}, {"id": 17, "bbox": [20, 15, 20, 15]}],
        "categories": [{"id": 1, "name": "person"}, {"id": 2, "name": "cup"}],
    }
    return refs, instances


def test_ref_l4_rows(tmp_path: Path) -> None:
    save(tmp_path / "images", "a.jpg", "b.jpg")
    lines(tmp_path / "ref-l4-val.jsonl", ref_l4(), ref_l4(caption="its tail", bbox=[40, 30, 40, 30]))
    lines(tmp_path / "ref-l4-test.jsonl", ref_l4(split="test", file_name="b.jpg"))
    rows = read_ref_l4(tmp_path)
    assert [row.expression for row in rows] == ["The dog on the left.", "its tail", "The dog on the left."]
    assert tuple(rows[0].box) == pytest.approx((0.1, 0.1, 0.6, 0.6))  # [x, y, w, h] of 80 × 60
    assert rows[0].size == (80, 60) and rows[0].category == "o365_93" and rows[0].path == tmp_path / "images" / "a.jpg"
    assert [row.split for row in read_ref_l4(tmp_path, split="test")] == ["test"]
    layouts = referring_layouts(rows)
    assert [(path.name, len(one.instances), one.size) for path, one in layouts] == [
        ("a.jpg", 2, (80, 60)),
        ("b.jpg", 1, (80, 60)),
    ]
    assert layouts[0][1].instances[1].caption == "its tail" and layouts[0][1].instances[1].label == "o365_93"
    assert [image.size for image in referring_pictures(layouts)] == [(80, 60), (80, 60)]


def test_a_picture_of_another_size_is_an_error_not_a_score(tmp_path: Path) -> None:
    save(tmp_path, "a.jpg", size=(81, 60))
    pairs = referring_layouts(read_ref_l4(lines(tmp_path / "rows.jsonl", ref_l4())))
    with pytest.raises(DatasetError, match="is 81x60 pixels, its boxes are for 80x60"):
        list(referring_pictures(pairs))


@pytest.mark.parametrize(
    ("row", "words"),
    [
        (ref_l4(bbox=[1, 2, 3]), r"row 2: bbox is \[1, 2, 3\]; expected \[x, y, width, height\]"),
        (ref_l4(bbox=[1, 2, 0, 4]), "row 2: .*inverted or has no area"),
        (ref_l4(bbox=[90, 2, 5, 4]), "row 2: .*no area"),
        (ref_l4(bbox=[1, 2, "3", 4]), "row 2: a side of the bbox is '3'"),
        (ref_l4(caption="  "), "row 2: caption is '  ', which is empty"),
        (ref_l4(caption=None), "row 2: .*expected an object with 'caption'"),
        (ref_l4(width=0), "row 2: size is "),
        (["no", "row"], r"row 2: is \['no', 'row'\]; expected an object"),
    ],
)
def test_a_bad_row_is_one_line_that_names_it(tmp_path: Path, row: Any, words: str) -> None:
    save(tmp_path, "a.jpg")
    with pytest.raises(DatasetError, match=words) as caught:
        read_ref_l4(lines(tmp_path / "rows.jsonl", ref_l4(), row))
    assert "\n" not in str(caught.value) and "rows.jsonl" in str(caught.value)


def test_a_box_over_the_edge_is_cut(tmp_path: Path) -> None:
    save(tmp_path, "a.jpg")
    (row,) = read_ref_l4(lines(tmp_path / "rows.jsonl", ref_l4(bbox=[40, 30, 41, 31])))
    assert tuple(row.box) == (0.5, 0.5, 1, 1)


def test_what_is_missing_is_said(tmp_path: Path) -> None:
    with pytest.raises(DatasetError, match=r"no ref-l4-val\.parquet"):
        read_ref_l4(tmp_path)
    rows = lines(tmp_path / "rows.jsonl", ref_l4(), ref_l4(file_name="b.jpg"))
    with pytest.raises(DatasetError, match=r"2 of 2 pictures are not in .*the first is 'a\.jpg'"):
        read_ref_l4(rows)
    save(tmp_path, "a.jpg", "b.jpg")
    with pytest.raises(DatasetError, match="no expression is of the split 'test'; there are: val"):
        read_ref_l4(rows, split="test")
    with pytest.raises(DatasetError, match="cannot be read"):
        read_ref_l4(tmp_path / "gone.jsonl")
    with pytest.raises(DatasetError, match=r"is no \.json"):
        read_ref_l4(tmp_path / "a.jpg")
    (tmp_path / "empty.json").write_text("[]")
    with pytest.raises(DatasetError, match="has no rows"):
        read_ref_l4(tmp_path / "empty.json")


@pytest.mark.parametrize("one_file", [False, True])
def test_references_of_the_refer_api(tmp_path: Path, one_file: bool) -> None:
    refs, instances = refer(tmp_path)
    source = tmp_path
    if one_file:
        source = tmp_path / "all.json"
        source.write_text(json.dumps(instances | {"refs": refs}))
    else:
        (tmp_path / "refs(unc).json").write_text(json.dumps(refs))
        (tmp_path / "instances.json").write_text(json.dumps(instances))
    rows = read_refcoco(source)
    assert [(row.expression, row.split, row.category) for row in rows] == [
        ("man on left", "testA", "person"),
        ("the man in black", "testA", "person"),
        ("red mug", "testB", "cup"),
    ]
    assert rows[0].path == tmp_path / "images" / TRAIN  # the picture's name, not the reference's
    assert tuple(rows[0].box) == (0, 0, 0.5, 1) and tuple(rows[2].box) == (0.25, 0.25, 0.5, 0.5)
    assert [row.expression for row in read_refcoco(source, split="testB")] == ["red mug"]
    assert len(read_refcoco(source, split="test")) == 3


def test_references_that_do_not_fit(tmp_path: Path) -> None:
    refs, instances = refer(tmp_path)
    (tmp_path / "refs(unc).json").write_text(json.dumps(refs))
    with pytest.raises(DatasetError, match=r"no instances\.json beside it"):
        read_refcoco(tmp_path)
    (tmp_path / "instances.json").write_text(json.dumps(instances | {"annotations": instances["annotations"][:1]}))
    with pytest.raises(DatasetError, match="row 2: ann_id 17 is not in"):
        read_refcoco(tmp_path)
    (tmp_path / "refs(google).json").write_text(json.dumps(refs))
    with pytest.raises(DatasetError, match="split the pictures in different ways; name the file you want"):
        read_refcoco(tmp_path)
    lines(tmp_path / "other.jsonl", {"prompt": "a"})
    with pytest.raises(DatasetError, match="has prompt; expected references"):
        read_refcoco(tmp_path / "other.jsonl")


def test_a_pickle_stays_closed(tmp_path: Path) -> None:
    (tmp_path / "refs(unc).p").write_bytes(b"cos\nsystem\n(S'touch opened'\ntR.")
    for source in (tmp_path, tmp_path / "refs(unc).p"):
        with pytest.raises(DatasetError, match="is a pickle, which can run any code"):
            read_refcoco(source)
    with pytest.raises(DatasetError, match="no references"):
        read_refcoco(save(tmp_path / "empty"))


def test_the_hubs_copies_with_corners_and_with_sides_agree(tmp_path: Path) -> None:
    save(tmp_path, TRAIN)
    jxu124 = {
        "sentences": [{"sent": "man on left"}, {"sent": "the man in black"}],
        "split": "val",
        "raw_anns": json.dumps({"bbox": [20.0, 15.0, 40.0, 30.0], "id": 16}),
        "raw_image_info": json.dumps({"file_name": TRAIN, "width": 80, "height": 60}),
        "bbox": [20.0, 15.0, 60.0, 45.0],  # corners
    }
    lmms = {
        "answer": ["man on left", "the man in black"],
        "bbox": [20.0, 15.0, 40.0, 30.0],
        "file_name": "COCO_train2014_000000581857_16.jpg",
    }
    first = read_refcoco(lines(tmp_path / "rows.jsonl", jxu124))
    second = read_refcoco(lines(tmp_path / "val-00000-of-00001.jsonl", lmms))
    assert first == second
    assert tuple(first[0].box) == (0.25, 0.25, 0.75, 0.75) and len(first) == 2 and first[0].split == "val"
    with pytest.raises(DatasetError, match="row 1: raw_anns is no JSON"):
        read_refcoco(lines(tmp_path / "broken.jsonl", jxu124 | {"raw_anns": "{"}))


def test_parquet_without_pyarrow_says_what_to_do(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    with pytest.raises(DependencyError, match=r"scenograph\[parquet\]"):
        read_records(save(tmp_path) / "ref-l4-val.parquet")


def test_parquet(tmp_path: Path) -> None:
    save(tmp_path, "a.jpg")
    table = pyarrow.Table.from_pylist([ref_l4(), ref_l4(caption="its tail")])
    parquet.write_table(table, tmp_path / "ref-l4-val.parquet")
    lines(tmp_path / "rows.jsonl", ref_l4(), ref_l4(caption="its tail"))
    assert read_ref_l4(tmp_path) == read_ref_l4(tmp_path / "rows.jsonl")
    (tmp_path / "ref-l4-val.parquet").write_bytes(b"PAR1 no more")
    with pytest.raises(DatasetError, match="no readable parquet"):
        read_ref_l4(tmp_path)

"""Referring expressions: Ref-L4 (Chen et al. 2024) and RefCOCO, RefCOCO+, RefCOCOg (Kazemzadeh 2014, Yu, Mao 2016).

    Ref-L4     ref-l4-val.parquet and ref-l4-test.parquet as published, or their rows as JSON: caption, bbox
               [x, y, w, h], width, height, file_name, ori_category_id, split
    RefCOCO*   the refer API's refs(SPLIT_BY) as JSON (a list, with instances.json beside it, or one object with refs,
               images and annotations), or the hub's copies as parquet or JSON: jxu124/refcoco (raw_anns,
               raw_image_info) and lmms-lab/RefCOCO (answer, bbox, file_name)

Traps. The refer API publishes its references as pickles, which are not opened (`records`). A reference's file_name ends
with the annotation's number (COCO_train2014_000000581857_16.jpg), the picture's does not. `bbox` is [x, y, w, h] in
lmms-lab's rows but has two corners in jxu124's, whose raw annotation is read instead. RefCOCO and RefCOCOg each come
split in two ways (unc and google, umd and google), so a folder with both needs one to be named. One box has several
expressions; each is a row. Boxes that reach over an edge by rounding are cut there.
"""

from __future__ import annotations

import json
import re
from collections import defaultdict
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scenograph.datasets.coco import check_files, read_json
from scenograph.datasets.pictures import picture_size, read_picture
from scenograph.datasets.records import PICKLES, read_records, refuse_pickle
from scenograph.errors import DatasetError, LayoutError
from scenograph.layout import Box, Instance, Layout
from scenograph.layout.values import checked_number, checked_size, checked_text, show

__all__ = ["ReferringRow", "read_ref_l4", "read_refcoco", "referring_layouts", "referring_pictures"]

_REF_L4 = ("caption", "bbox", "width", "height", "file_name", "ori_category_id", "split")
_REFERENCES = ("sentences", "split", "image_id", "ann_id", "category_id")
_HUB = ("raw_anns", "anns", "raw_image_info", "image_info", "captions", "answer", "bbox", "file_name")

Record = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class ReferringRow:
    """One expression and the box it speaks of, in a picture of `size` (width, height).

    `split` and `category` are the source's own words ("testA", "refcoco_1"); a source may name no category.
    """

    path: Path
    expression: str
    box: Box
    size: tuple[int, int]
    split: str
    category: str | None = None


def read_ref_l4(source: str | Path, images: str | Path | None = None, *, split: str = "all") -> list[ReferringRow]:
    """The expressions of Ref-L4, val before test.

    Args:
        source: the downloaded folder, or one file of its rows.
        images: folder of the pictures (what images.tar.gz holds); None: "images" beside the rows, else their folder.
        split: "val", "test" or "all".

    Raises:
        DatasetError: a file cannot be read or is something else, a row is malformed, a picture is missing.
        DependencyError: parquet without pyarrow.
    """
    path = Path(source)
    files = [path]
    if path.is_dir():
        there = [
            path / f"ref-l4-{name}.{ending}" for name in ("val", "test") for ending in ("parquet", "jsonl", "json")
        ]
        files = [file for file in there if file.is_file() and split in ("all", file.stem.removeprefix("ref-l4-"))]
        if not files:
            raise DatasetError(f"{path}: has no ref-l4-val.parquet or ref-l4-test.parquet for split {split!r}")
    folder = _pictures_folder(files[0], images)
    rows = []
    for where, record in (one for file in files for one in read_records(file, _REF_L4)):
        size = _size(record, where)
        rows.append(
            ReferringRow(
                path=folder / _text(record, "file_name", where),
                expression=_text(record, "caption", where),
                box=_box(_get(record, "bbox", where), size, where),
                size=size,
                split=_text(record, "split", where),
                category=None if record.get("ori_category_id") is None else str(record["ori_category_id"]),
            )
        )
    return _checked(_of_split(rows, None if split == "all" else split, path), folder)


def read_refcoco(
    source: str | Path,
    images: str | Path | None = None,
    *,
    split: str | None = None,
    instances: str | Path | None = None,
) -> list[ReferringRow]:
    """The expressions of RefCOCO, RefCOCO+ or RefCOCOg, one row for each sentence of each reference.

    Args:
        source: a folder of the refer API's (with its references as JSON) or of parquet files, or one file.
        images: folder of COCO's train2014 pictures; None: "images" beside the rows, else their folder.
        split: "train", "val", "testA", "testB" or "test" (as in the refer API, testA and testB too); None is all.
        instances: the refer API's instances.json; None: the one beside the references.

    Raises:
        DatasetError: a file cannot be read or is something else (a pickle, say), a row is malformed, a picture is
            missing, or nothing is of the split.
        DependencyError: parquet without pyarrow.
    """
    path = Path(source)
    files = _refcoco_files(path) if path.is_dir() else [path]
    folder = _pictures_folder(files[0], images)
    rows = [row for file in files for row in _refcoco_rows(file, folder, instances)]
    return _checked(_of_split(rows, split, path), folder)


def referring_layouts(rows: Sequence[ReferringRow]) -> list[tuple[Path, Layout]]:
    """Pictures in the order they first appear, each with a layout: an instance for every expression.

    `judging.referring` takes these layouts. An instance's label is the category, or the expression's head noun.
    """
    of_picture: dict[Path, list[ReferringRow]] = defaultdict(list)
    for row in rows:
        of_picture[row.path].append(row)
    layouts = []
    for path, those in of_picture.items():
        said = tuple(Instance(caption=row.expression, box=row.box, label=row.category) for row in those)  # type: ignore[arg-type]
        layouts.append((path, Layout(caption=those[0].expression, instances=said, size=those[0].size)))
    return layouts


def referring_pictures(pairs: Sequence[tuple[Path, Layout]]) -> Iterator[Image.Image]:
    """The pictures of `referring_layouts`, RGB, each read when it is asked for. Raises DatasetError."""
    for path, layout in pairs:
        yield read_picture(path, layout.size or picture_size(path)).convert("RGB")


def _refcoco_files(folder: Path) -> list[Path]:
    references = sorted(folder.glob("refs*.json"))
    if len(references) > 1:
        names = ", ".join(file.name for file in references)
        raise DatasetError(f"{folder}: has {names}, which split the pictures in different ways; name the file you want")
    tables = sorted(folder.glob("*.parquet")) or sorted(folder.glob("data/*.parquet"))
    if references or tables:
        return references or tables
    pickles = sorted(file for file in folder.glob("refs*") if file.suffix in PICKLES)
    if pickles:
        raise refuse_pickle(pickles[0])
    raise DatasetError(f"{folder}: has no references; expected refs(unc).json with instances.json, or parquet files")


def _refcoco_rows(file: Path, folder: Path, instances: str | Path | None) -> list[ReferringRow]:
    records = read_records(file, (*_REFERENCES, *_HUB))
    where, first = records[0]
    if len(records) == 1 and "refs" in first:
        inside = [(f"{file}: refs[{index}]", one) for index, one in enumerate(_list(first, "refs", where))]
        return _references(inside, first, file, folder)
    if any(key in first for key in ("raw_anns", "anns")):
        return [row for where, record in records for row in _jxu124(record, folder, where)]
    if "answer" in first:
        return [row for where, record in records for row in _lmms(record, folder, where, file)]
    if "sentences" not in first:
        raise DatasetError(
            f"{where}: has {', '.join(first)}; expected references of the refer API or a copy of the hub"
        )
    if instances is None and not (file.parent / "instances.json").is_file():
        raise DatasetError(f"{file}: has no instances.json beside it, which holds the boxes; name it as instances")
    boxes = Path(instances) if instances is not None else file.parent / "instances.json"
    data = read_json(boxes)
    if not isinstance(data, dict):
        raise DatasetError(f"{boxes}: is {show(data)}; expected an object with images and annotations")
    return _references(records, data, boxes, folder)


def _references(records: Sequence[tuple[str, Any]], data: Record, source: Path, folder: Path) -> list[ReferringRow]:
    """Rows of the refer API's references and the images, annotations and categories they point at."""
    images = {_get(one, "id", f"{source}: images"): one for one in _list(data, "images", str(source))}
    boxes = {_get(one, "id", f"{source}: annotations"): one for one in _list(data, "annotations", str(source))}
    names = {one.get("id"): one.get("name") for one in data.get("categories") or () if isinstance(one, dict)}
    rows = []
    for where, record in records:
        image, box = images.get(_get(record, "image_id", where)), boxes.get(_get(record, "ann_id", where))
        if image is None or box is None:
            what = f"image_id {show(record['image_id'])}" if image is None else f"ann_id {show(record['ann_id'])}"
            raise DatasetError(f"{where}: {what} is not in {source}; take the instances of the same data set")
        size = _size(image, where)
        for sentence in _list(record, "sentences", where):
            rows.append(
                ReferringRow(
                    path=folder / _text(image, "file_name", where),
                    expression=_text(sentence, "sent", where),
                    box=_box(_get(box, "bbox", where), size, where),
                    size=size,
                    split=_text(record, "split", where),
                    category=names.get(record.get("category_id")),
                )
            )
    return rows


def _jxu124(record: Record, folder: Path, where: str) -> Iterator[ReferringRow]:
    """Rows of jxu124/refcoco, whose own `bbox` is not read: it has corners where COCO has a width and a height."""
    box = _embedded(record, "raw_anns" if "raw_anns" in record else "anns", where)
    image = _embedded(record, "raw_image_info" if "raw_image_info" in record else "image_info", where)
    size = _size(image, where)
    for sentence in _list(record, "sentences", where):
        yield ReferringRow(
            path=folder / _text(image, "file_name", where),
            expression=_text(sentence, "sent", where),
            box=_box(_get(box, "bbox", where), size, where),
            size=size,
            split=_text(record, "split", where),
        )


def _lmms(record: Record, folder: Path, where: str, file: Path) -> Iterator[ReferringRow]:
    """Rows of lmms-lab/RefCOCO: the split is in the file's name, the size in the picture's file."""
    name = re.sub(r"(_\d{12})_\d+(?=\.\w+$)", r"\1", _text(record, "file_name", where))
    size = picture_size(folder / name)
    box = _box(_get(record, "bbox", where), size, where)
    for said in _list(record, "answer", where):
        expression = _text({"answer": said}, "answer", where)
        split = file.stem.split("-")[0]
        yield ReferringRow(path=folder / name, expression=expression, box=box, size=size, split=split)


def _pictures_folder(file: Path, images: str | Path | None) -> Path:
    if images is not None:
        return Path(images)
    beside = file.parent / "images"
    return beside if beside.is_dir() else file.parent


def _of_split(rows: Sequence[ReferringRow], split: str | None, source: Path) -> list[ReferringRow]:
    kept = [row for row in rows if split is None or row.split == split or (split == "test" and "test" in row.split)]
    if not kept:
        there = ", ".join(dict.fromkeys(row.split for row in rows)) or "none at all"
        raise DatasetError(f"{source}: no expression is of the split {split!r}; there are: {there}")
    return kept


def _checked(rows: list[ReferringRow], folder: Path) -> list[ReferringRow]:
    check_files(list(dict.fromkeys(row.path for row in rows)), folder)
    return rows


def _get(record: object, key: str, where: str) -> Any:
    if not isinstance(record, Mapping) or record.get(key) is None:
        raise DatasetError(f"{where}: is {show(record)}; expected an object with {key!r}")
    return record[key]


def _list(record: object, key: str, where: str) -> Sequence[Any]:
    value = _get(record, key, where)
    if not isinstance(value, list) or not value:
        raise DatasetError(f"{where}: {key} is {show(value)}; expected a list that is not empty")
    return value


def _text(record: object, key: str, where: str) -> str:
    try:
        return checked_text(_get(record, key, where), key).strip()
    except LayoutError as error:
        raise DatasetError(f"{where}: {error}") from None


def _embedded(record: Record, key: str, where: str) -> Any:
    """An object that a hub copy keeps as JSON text in a column."""
    value = _get(record, key, where)
    try:
        return json.loads(value) if isinstance(value, str) else value
    except ValueError as error:
        raise DatasetError(f"{where}: {key} is no JSON ({error}); fetch the file again") from None


def _size(record: object, where: str) -> tuple[int, int]:
    try:
        return checked_size((_get(record, "width", where), _get(record, "height", where)))
    except LayoutError as error:
        raise DatasetError(f"{where}: {error}") from None


def _box(sides: object, size: tuple[int, int], where: str) -> Box:
    if not isinstance(sides, list) or len(sides) != 4:
        raise DatasetError(f"{where}: bbox is {show(sides)}; expected [x, y, width, height] in pixels")
    try:
        x, y, width, height = (checked_number(side, "a side of the bbox") for side in sides)
        return Box.from_xywh(x, y, width, height, size=size, clip=True)
    except LayoutError as error:
        raise DatasetError(f"{where}: {error}") from None

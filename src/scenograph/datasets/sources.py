"""Training data by name: "coco:ANNOTATIONS.json" and "layouts:FILE.jsonl".

A layouts file is our own format with one more key, the path of the picture: {"image": "pictures/7.png", "caption": …,
"instances": …}, relative to `images`, else to the file. `scenograph build goal2k` writes such files.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenograph.datasets.coco import check_files, read_coco
from scenograph.datasets.pictures import LayoutPictures, PictureRow, largest, picture_size, said
from scenograph.datasets.square import Fit, Square
from scenograph.errors import DatasetError, LayoutError
from scenograph.layout import Layout, jsontext
from scenograph.layout.values import show

__all__ = ["SOURCES", "read_layout_rows", "read_training_data"]

SOURCES = ("coco", "layouts")


def read_training_data(
    source: str,
    *,
    images: str | Path | None = None,
    captions: str | Path | None = None,
    size: int = 512,
    fit: Fit = "crop",
    mirror: bool = False,
) -> LayoutPictures:
    """Pictures with layouts as squares; what was left out is said once, as a log warning and in `notes`.

    Args:
        source: "coco:FILE" or "layouts:FILE".
        images: folder of the pictures; None: the folder of the file.
        captions: a COCO captions file, for coco.
        size: pixels of a side.
        fit: "crop" cuts the middle out, "letterbox" keeps the whole picture between bars.
        mirror: use pictures mirrored as well, where no word speaks of left or right.

    Raises:
        DatasetError: no such source, a file is missing or malformed, or nothing is left.
    """
    kind, colon, name = source.partition(":")
    if not colon or kind not in SOURCES or not name:
        likely = "coco" if source.endswith(".json") else "layouts"
        advice = f"did you mean {likely}:{source}?" if Path(source).suffix and not colon else "name a file"
        raise DatasetError(f"no data source {source!r}; expected coco:FILE.json or layouts:FILE.jsonl: {advice}")
    if captions is not None and kind != "coco":
        raise DatasetError("a captions file belongs to coco data; layouts have captions of their own")
    square = Square(size, fit)
    if kind == "coco":
        rows, notes = read_coco(name, images, captions=captions)
    else:
        rows, notes = read_layout_rows(name, images)
    pictures = LayoutPictures(rows, square, mirror=mirror)
    pictures.notes = (*notes, *pictures.notes)
    said(pictures.notes, name)
    return pictures


def read_layout_rows(path: str | Path, images: str | Path | None = None) -> tuple[list[PictureRow], list[str]]:
    """(pictures with layouts, what was left out) of a layouts file. Raises DatasetError."""
    path = Path(path)
    folder = path.parent if images is None else Path(images)
    try:
        values = jsontext.parse_lines(jsontext.decode(path.read_bytes()))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected JSON Lines of layouts") from None
    except LayoutError as error:
        raise DatasetError(f"{path}: {error}") from None
    if len(values) == 1 and isinstance(values[0][1], list):
        values = [(f"layouts[{index}]", item) for index, item in enumerate(values[0][1])]
    read = [_layout(value, f"{path}: {where}" if where else str(path)) for where, value in values]
    check_files([folder / name for name, _ in read], folder)
    rows, many = [], 0
    for name, layout in read:
        kept = largest(layout.instances)
        many += len(kept) < len(layout.instances)
        size = layout.size or picture_size(folder / name)
        sized = Layout(caption=layout.caption, instances=kept, size=size)
        rows.append(PictureRow(path=folder / name, layout=sized))
    return rows, [f"{many} pictures have more than 30 boxes; the smallest are left out"] if many else []


def _layout(value: Any, where: str) -> tuple[str, Layout]:
    if not isinstance(value, dict) or not isinstance(value.get("image"), str) or not value["image"].strip():
        raise DatasetError(f"{where}: is {show(value)}; expected a layout with the path of its picture as 'image'")
    rest = {key: item for key, item in value.items() if key != "image"}
    try:
        return value["image"], Layout.from_dict(rest)
    except LayoutError as error:
        raise DatasetError(f"{where}: {error}") from None

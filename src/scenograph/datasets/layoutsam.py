"""LayoutSAM-Eval (Zhang et al. 2024, CreatiLayout): 5 000 captions with boxes, each box with a short and a long text.

The hub's HuiZhang0812/LayoutSAM-eval as downloaded (data/test-*.parquet), or its rows as JSON: file_name,
global_caption, width, height, and three lists, bbox_list [x0, y0, x1, y1] in pixels, region_captions ("dog") and
detail_region_captions ("a black dog with a collar"). The lists stand in the columns as text, written as Python or JSON
does. Sides are rounded to thousandths, as the benchmark does before it crops.

In a layout the short text is an instance's label, the long one its caption: what `judging.layoutsam` asks. The pictures
of the data set are not read; it judges generated ones, which carry the same file name.
"""

from __future__ import annotations

import ast
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenograph.datasets.pictures import said
from scenograph.datasets.records import read_records
from scenograph.errors import DatasetError, LayoutError
from scenograph.layout import Box, Instance, Layout
from scenograph.layout.values import checked_number, checked_size, checked_text, show

__all__ = ["read_layoutsam_eval"]

_LISTS = ("bbox_list", "region_captions", "detail_region_captions")
_COLUMNS = ("file_name", "global_caption", "width", "height", *_LISTS)
_PLACES = 3


def read_layoutsam_eval(source: str | Path) -> list[tuple[str, Layout]]:
    """(file name, layout) of every row, in order. Boxes without area are left out, which is said once.

    Args:
        source: the downloaded folder, or one file of its rows.

    Raises:
        DatasetError: a file cannot be read or is something else, or a row is malformed.
        DependencyError: parquet without pyarrow.
    """
    path = Path(source)
    files = [path]
    if path.is_dir():
        files = sorted(path.glob("data/test-*.parquet")) or sorted(path.glob("test-*.parquet"))
        if not files:
            raise DatasetError(f"{path}: has no data/test-*.parquet; expected a copy of LayoutSAM-eval, or name a file")
    rows, empty = [], 0
    for where, record in (one for file in files for one in read_records(file, _COLUMNS)):
        try:
            name, layout, lost = _row(record)
        except LayoutError as error:
            raise DatasetError(f"{where}: {error}") from None
        rows.append((name, layout))
        empty += lost
    said([f"{empty} boxes without area are left out"] if empty else [], path)
    return rows


def _row(record: Mapping[str, Any]) -> tuple[str, Layout, int]:
    """(file name, layout, boxes left out). Raises LayoutError."""
    missing = [key for key in _COLUMNS if record.get(key) is None]
    if missing:
        raise LayoutError(f"has no {', '.join(missing)}; expected a row of LayoutSAM-eval")
    size = checked_size((record["width"], record["height"]))
    boxes, subjects, descriptions = (_list(record, key) for key in _LISTS)
    if not len(boxes) == len(subjects) == len(descriptions):
        got = f"{len(boxes)} boxes, {len(subjects)} short and {len(descriptions)} long captions"
        raise LayoutError(f"has {got}; expected as many of each")
    instances = []
    for sides, subject, description in zip(boxes, subjects, descriptions, strict=True):
        box = _box(sides, size)
        caption, label = checked_text(description, "a long caption"), checked_text(subject, "a short caption")
        if box is not None:
            instances.append(Instance(caption=caption.strip(), label=label.strip(), box=box))
    layout = Layout(caption=record["global_caption"], instances=tuple(instances), size=size)
    return checked_text(record["file_name"], "file_name"), layout, len(boxes) - len(instances)


def _list(record: Mapping[str, Any], key: str) -> list[Any]:
    value = record[key]
    if isinstance(value, str):
        try:
            value = ast.literal_eval(value)
        except (ValueError, SyntaxError, MemoryError, RecursionError):
            raise LayoutError(f"{key} is {show(value)}; expected a list, written out") from None
    if not isinstance(value, list):
        raise LayoutError(f"{key} is {show(value)}; expected a list")
    return value


def _box(sides: object, size: tuple[int, int]) -> Box | None:
    """The box in thousandths, or as it is where that would empty it; None without area on the canvas."""
    if not isinstance(sides, list | tuple) or len(sides) != 4:
        raise LayoutError(f"a box is {show(sides)}; expected [x0, y0, x1, y1] in pixels")
    pixels = [checked_number(side, "a side of a box") for side in sides]
    exact = [min(max(side / scale, 0.0), 1.0) for side, scale in zip(pixels, (*size, *size), strict=True)]
    for x0, y0, x1, y1 in ([round(side, _PLACES) for side in exact], exact):
        if x0 < x1 and y0 < y1:
            return Box(x0, y0, x1, y1)
    return None

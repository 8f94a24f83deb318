"""NSR-1K, the prompts and layouts of LayoutGPT (Feng et al. 2023): its files read, nothing scored.

Prompts files are JSON lists of the official repository (`counting.val.json`, `spatial.val.json`) or parts of them;
their boxes are (x, y, width, height) in fractions of the canvas. Released layouts have corners (x0, y0, x1, y1) in
fractions, several tries for a prompt, and may hold boxes that are none: everything here keeps boxes as bare numbers.
Scores: `nsr1k_official` (to the digit, with every quirk) and `nsr1k_strict` (what was asked, nothing else).
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

from scenograph.errors import LayoutError, ResultError
from scenograph.judging.subsets import spread
from scenograph.layout import Box, Instance, Layout

__all__ = [
    "RELATIONS",
    "Answer",
    "CountingRow",
    "Prompts",
    "Seen",
    "SpatialRow",
    "answer_of",
    "find_prompts",
    "layout_of",
    "read_layouts",
    "read_prompts",
]

RELATIONS = ("left", "right", "top", "bottom", "next to")
"""Of spatial rows: where the first object is, seen from the second."""

Sides = tuple[float, float, float, float]
Seen = tuple[str | None, Sides]
"""A name and (x0, y0, x1, y1) in fractions of the canvas, as somebody wrote them; a name may be missing."""
_Row = TypeVar("_Row")


@dataclass(frozen=True, kw_only=True)
class CountingRow:
    """A prompt with the number of each category in the picture it belongs to.

    `kind` is the file's sub-type: single-category, two-categories, comparison, or real (a natural caption).
    """

    id: int
    prompt: str
    counts: tuple[tuple[str, int], ...]
    kind: str
    truth: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class SpatialRow:
    """A prompt that says where `first` is, seen from `second`; `kind` is the file's type: template or natural."""

    id: int
    prompt: str
    first: str
    second: str
    relation: str
    kind: str
    truth: tuple[Seen, ...] = ()


@dataclass(frozen=True, kw_only=True)
class Answer:
    """One try at a prompt's layout; no objects at all where there was no answer."""

    id: int
    objects: tuple[Seen, ...] = ()
    prompt: str | None = None


@dataclass(frozen=True, kw_only=True)
class Prompts:
    """The rows of one or several prompts files."""

    counting: tuple[CountingRow, ...] = ()
    spatial: tuple[SpatialRow, ...] = ()

    def part(self, limit: int | None) -> Prompts:
        """At most `limit` rows of each set, evenly spread over the file, because files are sorted by category."""
        return Prompts(counting=tuple(spread(self.counting, limit)), spatial=tuple(spread(self.spatial, limit)))


def find_prompts(path: str | Path) -> Prompts:
    """The prompts of a file, or of all `counting*.json` and `spatial*.json` in a folder and below it.

    Training prompts (".train" in the name) of a folder are left out; an id that several files hold counts once.

    Raises:
        ResultError: nothing is there, or a file is not of the format.
    """
    place = Path(path)
    if not place.is_dir():
        return read_prompts(place)
    names = sorted(p for p in place.rglob("*.json") if p.name.startswith(("counting", "spatial")))
    files = [read_prompts(p) for p in names if ".train" not in p.name]
    if not files:
        raise ResultError(f"{place}: holds no counting*.json or spatial*.json; expected the prompts of NSR-1K")
    counting = {row.id: row for file in reversed(files) for row in file.counting}
    spatial = {row.id: row for file in reversed(files) for row in file.spatial}
    return Prompts(counting=tuple(counting.values()), spatial=tuple(spatial.values()))


def read_prompts(path: str | Path) -> Prompts:
    """The rows of one prompts file; which set it is, its keys say. Raises ResultError."""
    rows = _read(path)
    if rows and "num_object" in rows[0]:
        return Prompts(counting=_parsed(path, rows, _counting))
    if rows and "relation" in rows[0]:
        return Prompts(spatial=_parsed(path, rows, _spatial))
    if rows and "query_id" in rows[0]:
        raise ResultError(f"{path}: holds layouts (query_id), not prompts; expected them as --layouts")
    raise ResultError(f"{path}: is not of NSR-1K; expected a JSON list of objects with num_object, or with relation")


def read_layouts(path: str | Path) -> tuple[Answer, ...]:
    """Released layouts, every try of every prompt in the file's order. Raises ResultError."""
    return _parsed(path, _read(path), _answer)


def answer_of(layout: Layout, id: int) -> Answer:
    """A layout as an answer: labels and boxes."""
    seen = tuple((i.label, (i.box.x0, i.box.y0, i.box.x1, i.box.y1)) for i in layout.instances)
    return Answer(id=id, objects=seen, prompt=layout.caption)


def layout_of(objects: Iterable[Seen], caption: str) -> Layout | None:
    """Objects as a layout; None when a name is missing or a box is none."""
    try:
        instances = tuple(Instance(caption=str(n or ""), label=str(n or ""), box=_box(sides)) for n, sides in objects)
        return Layout(caption=caption, instances=instances)
    except LayoutError:
        return None


def _box(sides: Sides) -> Box:
    return Box.from_pixels(*sides, size=(1, 1))  # forgives what adding x and width has rounded


def _read(path: str | Path) -> list[Mapping[str, Any]]:
    try:
        text = Path(path).read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    try:
        rows = json.loads(text)
    except (ValueError, RecursionError):
        rows = None
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ResultError(f"{path}: is not of NSR-1K; expected a JSON list of objects")
    return rows


def _parsed(
    path: str | Path, rows: Sequence[Mapping[str, Any]], read: Callable[[Mapping[str, Any]], _Row]
) -> tuple[_Row, ...]:
    parsed = []
    for number, row in enumerate(rows):
        try:
            parsed.append(read(row))
        except (KeyError, TypeError, ValueError, AttributeError) as error:
            what = f"has no {error}" if isinstance(error, KeyError) else f"is malformed ({error})"
            raise ResultError(f"{path}: row {number} {what}; expected a row of NSR-1K") from None
    return tuple(parsed)


def _counting(row: Mapping[str, Any]) -> CountingRow:
    counts = tuple((str(name), int(count)) for name, count in row["num_object"])
    kind = str(row["sub-type"])
    if kind == "comparison" and len(counts) != 2:
        raise ValueError(f"a comparison of {len(counts)} categories, expected 2")
    truth = tuple((str(name), _corners(xywh)) for name, xywh in row.get("object_list", ()))
    return CountingRow(id=int(row["id"]), prompt=_text(row["prompt"]), counts=counts, kind=kind, truth=truth)


def _spatial(row: Mapping[str, Any]) -> SpatialRow:
    (first, one), (second, two) = row["obj1"], row["obj2"]
    if row["relation"] not in RELATIONS:
        raise ValueError(f"relation {row['relation']!r}, expected one of {', '.join(RELATIONS)}")
    return SpatialRow(
        id=int(row["id"]),
        prompt=_text(row["prompt"]),
        first=str(first),
        second=str(second),
        relation=row["relation"],
        kind=str(row["type"]),
        truth=((str(first), _corners(one)), (str(second), _corners(two))),
    )


def _answer(row: Mapping[str, Any]) -> Answer:
    objects = tuple((None if name is None else str(name), _sides(box)) for name, box in row["object_list"])
    return Answer(id=int(row["query_id"] if "query_id" in row else row["id"]), objects=objects, prompt=row["prompt"])


def _text(value: object) -> str:
    if not isinstance(value, str) or not value.strip():
        raise ValueError(f"prompt is {value!r}, expected a text")
    return value


def _sides(box: Sequence[float]) -> Sides:
    a, b, c, d = (float(side) for side in box)
    return a, b, c, d


def _corners(xywh: Sequence[float]) -> Sides:
    x, y, w, h = _sides(xywh)
    return x, y, x + w, y + h

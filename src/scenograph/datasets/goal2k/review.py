"""Stage 4: a person looks at every picture and its boxes, and says so in a text file.

`review.tsv` has a line for every picture: id, verdict, page, boxes, caption, remarks. The verdict is `?` until a person
writes `accept`, `fix` or `reject`. To fix is to edit the boxes or the caption in the line: boxes are
`a red cup (0.100 0.250 0.400 0.800); a dog (…)`, fractions of the picture from its left upper corner. Pictures with
their boxes drawn and numbered are on the page named, `review/page-001.png`.

Lines are never changed or moved once they are written; new pictures are added at the end. Only the line of a picture
that was replaced by another goes, and the new picture waits for a verdict.
"""

from __future__ import annotations

import csv
import io
import json
import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from scenograph.datasets.goal2k.painting import picture_path
from scenograph.drawing import contact_sheet, draw_layout, side_by_side
from scenograph.errors import DatasetError, LayoutError
from scenograph.files import write_whole
from scenograph.layout import Box, Instance, Layout

__all__ = [
    "VERDICTS",
    "Reviewed",
    "boxes_as_text",
    "boxes_of_text",
    "draw_pages",
    "drop_lines",
    "extend_review",
    "read_review",
]

VERDICTS = ("accept", "fix", "reject")
_OPEN = "?"
_COLUMNS = ("id", "verdict", "page", "boxes", "caption", "remarks")
_HEAD = """\
# Look at review/page-NNN.png, then write accept, fix or reject in place of every ?.
# fix: edit the boxes, "a red cup (x0 y0 x1 y1); a dog (...)" in fractions of the picture from the left upper corner,
# or the caption, in the same line. Columns are separated by tabs.
"""
_PER_PAGE, _COLUMNS_OF_PAGE, _SHOWN = 12, 4, 384
_PIECE = re.compile(r"\s*(?P<caption>\S.*?)\s*\((?P<sides>[^()]*)\)\s*(?:;|$)")
_PAGE = "scenograph review"


@dataclass(frozen=True, kw_only=True)
class Reviewed:
    """What a person said of a picture; `layout` is as seen, or as fixed, and None for what is rejected or undecided."""

    verdict: str
    layout: Layout | None = None
    edited: bool = False


def boxes_as_text(layout: Layout) -> str:
    """The boxes of a layout as a person edits them."""
    return "; ".join(
        f"{_flat(one.caption)} ({' '.join(f'{side:.3f}' for side in one.box)})" for one in layout.instances
    )


def boxes_of_text(text: str, seen: Layout) -> tuple[Instance, ...]:
    """The instances of edited text. What is unchanged is exactly what was seen; labels and phrases stay with captions.

    Raises DatasetError for text that is no list of boxes.
    """
    known = {boxes_as_text(replace(seen, instances=(one,))): one for one in seen.instances}
    named = {_flat(one.caption): one for one in reversed(seen.instances)}
    instances, at = [], 0
    while text[at:].strip():
        found = _PIECE.match(text, at)
        if found is None:
            raise DatasetError(
                f"the boxes go wrong at {text[at : at + 40].strip()!r}; expected 'a cup (x0 y0 x1 y1); …'"
            )
        piece, at = f"{_flat(found['caption'])} ({' '.join(found['sides'].split())})", found.end()
        instances.append(known.get(piece) or _edited(found["caption"], found["sides"], named))
    return tuple(instances)


def _edited(caption: str, sides: str, named: Mapping[str, Instance]) -> Instance:
    caption = _flat(caption)
    try:
        numbers = [float(side) for side in re.split(r"[\s,]+", sides.strip())]
    except ValueError:
        numbers = []
    if len(numbers) != 4:
        raise DatasetError(f"the box of {caption!r} is ({sides}); expected four numbers (x0 y0 x1 y1)")
    try:
        box, like = Box(*numbers), named.get(caption)
        if like is not None:
            return replace(like, box=box, score=None)
        if ";" in caption:
            raise DatasetError(f"{caption!r} has no box of its own; expected 'a cup (x0 y0 x1 y1); a dog (…)'")
        return Instance(caption=caption, box=box)
    except LayoutError as error:
        raise DatasetError(f"{caption!r}: {error}") from None


def drop_lines(path: Path, keys: Collection[str]) -> None:
    """Take the lines of pictures out of a review, where there is one. Raises DatasetError when it cannot be read."""
    if not keys or not path.exists():
        return
    text = _text(path)
    gone = {number for number, cells in _lines(text, path) if cells[0] in keys}
    if gone:
        write_whole(path, "".join(line for n, line in enumerate(text.splitlines(keepends=True), 1) if n not in gone))


def extend_review(path: Path, grounded: Sequence[Mapping[str, Any]]) -> int:
    """Add a line for every picture that has none and return how many; the file appears when it is whole.

    Raises DatasetError when the file cannot be read.
    """
    text = _text(path) if path.exists() else _HEAD + "\t".join(_COLUMNS) + "\n"
    known = {cells[0] for _, cells in _lines(text, path)}
    lines, number = io.StringIO(), len(known)
    writer = csv.writer(lines, delimiter="\t", lineterminator="\n")
    for row in grounded:
        if row["id"] not in known:
            layout, remarks = Layout.from_dict(row["layout"]), "; ".join(row["remarks"])
            page = number // _PER_PAGE + 1
            writer.writerow([row["id"], _OPEN, page, boxes_as_text(layout), _flat(layout.caption), remarks])
            number += 1
    if lines.getvalue() or not path.exists():
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(path, text + ("" if text.endswith("\n") else "\n") + lines.getvalue())
    return number - len(known)


def read_review(path: Path, grounded: Sequence[Mapping[str, Any]]) -> dict[str, Reviewed]:
    """Id → what was said, of all pictures; those without a line are undecided.

    Raises DatasetError for the first line that cannot be used, with its number.
    """
    seen = {row["id"]: Layout.from_dict(row["layout"]) for row in grounded}
    reviewed: dict[str, Reviewed] = {}
    for number, cells in _lines(_text(path), path) if path.exists() else ():
        try:
            if cells[0] in reviewed:
                raise DatasetError(f"{cells[0]!r} has a line already; leave one of them")
            if cells[0] not in seen:
                raise DatasetError(f"no picture is called {cells[0]!r}; correct the id or take the line out")
            reviewed[cells[0]] = _said(cells, seen[cells[0]])
        except DatasetError as error:
            raise DatasetError(f"{path}, line {number}: {error}") from None
    return {key: reviewed.get(key, Reviewed(verdict=_OPEN)) for key in seen}


def _said(cells: Sequence[str], seen: Layout) -> Reviewed:
    verdict = cells[1].strip().lower() or _OPEN
    if verdict not in (*VERDICTS, _OPEN):
        raise DatasetError(f"the verdict is {cells[1]!r}; expected {', '.join(VERDICTS)} or {_OPEN}")
    if verdict in ("reject", _OPEN):
        return Reviewed(verdict=verdict)
    boxes, caption = " ".join(cells[3].split()), _flat(cells[4])
    edited = boxes != " ".join(boxes_as_text(seen).split()) or caption != _flat(seen.caption)
    if verdict == "accept" and edited:
        raise DatasetError("the boxes or the caption are edited, but the verdict is accept; write fix, or undo it")
    if not edited:
        return Reviewed(verdict=verdict, layout=seen)
    if not caption:
        raise DatasetError("the caption is empty; expected what the picture shows")
    kept = caption == _flat(seen.caption)
    instances = boxes_of_text(boxes, seen)
    if not kept:  # phrases are of the old caption
        instances = tuple(replace(one, phrase=None) for one in instances)
    return Reviewed(verdict=verdict, edited=True, layout=replace(seen, caption=caption, instances=instances))


def _lines(text: str, path: Path) -> Iterator[tuple[int, list[str]]]:
    """(line number, cells) of every picture. Raises DatasetError for a line with too few or too many cells."""
    for number, line in enumerate(text.splitlines(), 1):
        if not line.strip() or line.lstrip('"').startswith("#"):
            continue
        try:
            (cells,) = csv.reader([line], delimiter="\t", strict=True)
        except (csv.Error, ValueError):
            raise DatasetError(
                f"{path}, line {number}: a quotation mark is not closed; close it or take it off"
            ) from None
        if tuple(cells[:2]) == _COLUMNS[:2]:
            continue
        while len(cells) > len(_COLUMNS) and not cells[-1].strip():
            cells.pop()
        if not 5 <= len(cells) <= len(_COLUMNS):
            raise DatasetError(
                f"{path}, line {number}: {len(cells)} columns; expected {', '.join(_COLUMNS)} with a tab between them"
            )
        yield number, [cells[0].strip(), *cells[1:]]


def _text(path: Path) -> str:
    try:
        return path.read_bytes().decode("utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        raise DatasetError(f"{path}: cannot be read ({error}); expected the review as UTF-8 text") from None


def _flat(text: str) -> str:
    return " ".join(text.split())


def draw_pages(path: Path, folder: Path, grounded: Sequence[Mapping[str, Any]], *, progress: bool = True) -> int:
    """Draw the contact sheets of a review into `folder`/review, those that are new or have grown; returns how many."""
    rows = {row["id"]: row for row in grounded}
    pages: dict[str, list[str]] = {}
    for _, cells in _lines(_text(path), path):
        if cells[0] in rows:
            pages.setdefault(cells[2].strip(), []).append(cells[0])
    (folder / "review").mkdir(exist_ok=True)
    stale = []
    for page, keys in pages.items():
        place = folder / "review" / f"page-{int(page):03d}.png" if page.isdigit() else None
        text = json.dumps([[key, rows[key]["picture"], rows[key]["layout"]] for key in keys])
        if place is not None and _page_text(place) != text:
            stale.append((place, keys, text))
    for place, keys, text in tqdm(stale, desc="drawing", unit="page", disable=not progress or not stale):
        _draw_page(place, [rows[key] for key in keys], folder, text)
    return len(stale)


def _page_text(place: Path) -> str | None:
    try:
        with Image.open(place) as image:
            text: str | None = getattr(image, "text", {}).get(_PAGE)
            return text
    except (OSError, ValueError, SyntaxError):
        return None


def _draw_page(place: Path, rows: Sequence[Mapping[str, Any]], folder: Path, text: str) -> None:
    tiles: list[Image.Image | None] = []
    for row in rows:
        layout = Layout.from_dict(row["layout"])
        with Image.open(picture_path(folder, row["id"])) as image:
            scale = _SHOWN / max(image.size)
            size = max(1, round(image.width * scale)), max(1, round(image.height * scale))
            shown = draw_layout(layout, image.convert("RGB"), size=size)
        tiles.append(side_by_side([shown], [f"{row['id']}: {layout.caption}"]))
    chunks, png = PngInfo(), io.BytesIO()
    chunks.add_itxt(_PAGE, text)
    sheet = contact_sheet([tiles[i : i + _COLUMNS_OF_PAGE] for i in range(0, len(tiles), _COLUMNS_OF_PAGE)])
    sheet.save(png, format="PNG", pnginfo=chunks)
    write_whole(place, png.getvalue())

"""Pictures in files with their layouts, as squares: what trainings on one's own pictures read.

A map-style data set: `len(pictures)`, and `pictures[i]` is (RGB image, Layout) of one square, the same at every call.
Layouts are brought to the square once, when the set is made; pixels are read when asked for.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from PIL import Image, ImageOps

from scenograph.datasets.square import Square, can_mirror, mirrored, upright
from scenograph.datasets.wording import class_caption
from scenograph.errors import DatasetError
from scenograph.layout import Instance, Layout

__all__ = ["MOST", "LayoutPictures", "PictureRow", "largest", "picture_size", "read_picture", "said"]

MOST = 30
"""Instances of one picture at most: GLIGEN's limit."""
_LOG = logging.getLogger(__name__)
_UNREADABLE = (OSError, SyntaxError, ValueError, Image.DecompressionBombError)


@dataclass(frozen=True, kw_only=True)
class PictureRow:
    """A picture file and its layout, which has the picture's size.

    `told` is false where nobody wrote a caption: it is made of the classes, again for the things left in the square.
    """

    path: Path
    layout: Layout
    told: bool = True


def largest(instances: Sequence[Instance]) -> tuple[Instance, ...]:
    """The `MOST` largest, the largest first; of one size in their order."""
    return tuple(sorted(instances, key=lambda one: -one.box.area)[:MOST])


def said(notes: Sequence[str], where: object) -> None:
    """What a reader left out, on stderr (as a log warning), in one line."""
    if notes:
        _LOG.warning("%s: %s", where, "; ".join(notes))


class LayoutPictures:
    """Squares of pictures with layouts; pictures with nothing left in their square are left out.

    Attributes:
        rows: the pictures used, before squaring.
        notes: what was left out, one phrase each.

    Args:
        mirror: every picture whose words do not speak of left or right stands in the set twice, the second time
            mirrored, after all others.
    """

    def __init__(self, rows: Sequence[PictureRow], square: Square, *, mirror: bool = False) -> None:
        self.square, self.notes = square, tuple[str, ...]()
        fitted = [(row, _fitted(row, square)) for row in rows]
        kept = [(row, layout) for row, layout in fitted if layout.instances]
        if not kept:
            raise DatasetError(f"none of {len(rows)} pictures has a box in its square; expected pictures with boxes")
        if len(kept) < len(rows):
            self.notes = (f"{len(rows) - len(kept)} pictures have no box in their square and are left out",)
        self.rows = tuple(row for row, _ in kept)
        self._items = [(row.path, row.layout.size, layout, False) for row, layout in kept]
        if mirror:
            turned = [(row, layout) for row, layout in kept if can_mirror(layout)]
            self._items += [(row.path, row.layout.size, mirrored(layout), True) for row, layout in turned]

    def __len__(self) -> int:
        return len(self._items)

    def layout(self, index: int) -> Layout:
        """The layout of square `index`, without reading its pixels."""
        return self._items[index][2]

    def source(self, index: int) -> str:
        """The file of square `index` as it is on the disk, and how it is cut."""
        path, _, _, turned = self._items[index]
        stat = path.stat()
        return f"{path.resolve()} {stat.st_mtime_ns} {stat.st_size} {self.square} {turned}"

    def __getitem__(self, index: int) -> tuple[Image.Image, Layout]:
        """Square `index`. Raises DatasetError when the file is no readable picture of the size it should have."""
        path, size, layout, turned = self._items[index]
        assert size is not None  # squaring has asked for it
        image = self.square.image(read_picture(path, size))
        return (ImageOps.mirror(image) if turned else image), layout


def _fitted(row: PictureRow, square: Square) -> Layout:
    layout = square.layout(row.layout)
    layout = replace(layout, instances=largest(layout.instances))
    return layout if row.told else replace(layout, caption=class_caption(layout.instances))


def read_picture(path: Path, size: tuple[int, int]) -> Image.Image:
    """A picture as it is shown, EXIF heeded. Raises DatasetError when the file is none of `size` (width, height)."""
    try:
        with Image.open(path) as stored:
            stored.load()
            image = upright(stored, size)
    except FileNotFoundError:
        raise DatasetError(f"no picture {str(path)!r}; it was there when the data set was read") from None
    except _UNREADABLE as error:
        raise DatasetError(f"{path}: no readable picture ({error or type(error).__name__}); replace it") from None
    if image is None:
        got, told = "x".join(map(str, stored.size)), "x".join(map(str, size))
        raise DatasetError(f"{path} is {got} pixels, its boxes are for {told}; correct the size or the picture")
    return image


def picture_size(path: Path) -> tuple[int, int]:
    """(width, height) of a picture as it is shown, EXIF heeded. Raises DatasetError."""
    try:
        with Image.open(path) as image:
            turned = image.getexif().get(0x0112, 1) >= 5
            return (image.height, image.width) if turned else image.size
    except FileNotFoundError:
        raise DatasetError(f"no picture {str(path)!r}; give the folder of the pictures with --images") from None
    except _UNREADABLE as error:
        raise DatasetError(f"{path}: no readable picture ({error or type(error).__name__}); replace it") from None

"""A picture with its layout brought to a square of `side` pixels: cut out of the middle, or whole with bars.

Cutting is the field's habit (GLIGEN's and Stable Diffusion's training); a thing of which too little is left is not
there any more. Bars keep everything and teach the bars. Boxes go through the same map as the pixels, without rounding.
A mirrored picture has mirrored boxes; what speaks of left or right is never mirrored, because it would become false.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Literal, get_args

from PIL import Image, ImageOps

from scenograph.errors import DatasetError
from scenograph.layout import Box, Instance, Layout
from scenograph.unified.letterbox import Letterbox

__all__ = ["KEPT", "Fit", "Square", "can_mirror", "mirrored", "upright"]

Fit = Literal["crop", "letterbox"]
KEPT = 0.25
"""A thing whose box has less than this share left after the cut is gone."""
_SIDES = re.compile(r"\b(left|right)", re.IGNORECASE)


@dataclass(frozen=True)
class Square:
    """How pictures become squares of `side` pixels."""

    side: int
    fit: Fit = "crop"

    def __post_init__(self) -> None:
        if self.fit not in get_args(Fit):
            raise DatasetError(f"fit is {self.fit!r}; expected one of: {', '.join(get_args(Fit))}")
        if not isinstance(self.side, int) or self.side < 8:
            raise DatasetError(f"the size is {self.side!r}; expected whole pixels, at least 8")

    def image(self, image: Image.Image) -> Image.Image:
        """The picture as RGB, `side` x `side`."""
        image = _flat(image)
        if self.fit == "crop":
            return image.resize((self.side, self.side), Image.Resampling.BICUBIC, box=_middle(image.size))
        left, top, right, bottom = Letterbox(image.size, self.side).frame
        square = Image.new("RGB", (self.side, self.side))
        square.paste(image.resize((right - left, bottom - top), Image.Resampling.BICUBIC), (left, top))
        return square

    def layout(self, layout: Layout) -> Layout:
        """The layout of that square; things that were cut off are left out. Raises DatasetError without a size."""
        if layout.size is None:
            raise DatasetError("the layout has no size, so where the middle lies is unknown; set its size")
        if self.fit == "letterbox":
            return replace(Letterbox(layout.size, self.side).layout(layout), size=(self.side, self.side))
        frame = _middle(layout.size)
        instances = tuple(cut for one in layout.instances if (cut := _cut(one, frame, layout.size)) is not None)
        return replace(layout, instances=instances, size=(self.side, self.side))


def _middle(size: tuple[int, int]) -> tuple[float, float, float, float]:
    """The largest square in the middle, in pixels; half a pixel stays half a pixel."""
    side = min(size)
    left, top = (size[0] - side) / 2, (size[1] - side) / 2
    return left, top, left + side, top + side


def _cut(one: Instance, frame: tuple[float, float, float, float], size: tuple[int, int]) -> Instance | None:
    left, top, right, bottom = frame
    x0, y0, x1, y1 = one.box.to_pixels(size)
    inside = max(x0, left), max(y0, top), min(x1, right), min(y1, bottom)
    across, down = inside[2] - inside[0], inside[3] - inside[1]
    if across <= 0 or down <= 0 or across * down < KEPT * (x1 - x0) * (y1 - y0):
        return None
    sides = ((a - b) / (right - left) for a, b in zip(inside, (left, top, left, top), strict=True))
    x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in sides)
    return replace(one, box=Box(x0, y0, x1, y1)) if x0 < x1 and y0 < y1 else None


def can_mirror(layout: Layout) -> bool:
    """Whether nothing that is said of the picture speaks of left or right."""
    texts = [layout.caption]
    for one in layout.instances:
        texts += [one.caption, one.phrase or "", one.negative or ""]
    return not any(_SIDES.search(text) for text in texts)


def mirrored(layout: Layout) -> Layout:
    """The layout of the picture seen in a mirror."""
    instances = (replace(one, box=_mirrored(one.box)) for one in layout.instances)
    return replace(layout, instances=tuple(instances))


def _mirrored(box: Box) -> Box:
    x0, x1 = 1 - box.x1, 1 - box.x0
    return Box(x0, box.y0, x1, box.y1) if x0 < x1 else box  # a sliver whose sides round to one


def _flat(image: Image.Image) -> Image.Image:
    """RGB, with transparent parts on white."""
    if not image.has_transparency_data:
        return image.convert("RGB")
    rgba = image.convert("RGBA")
    return Image.alpha_composite(Image.new("RGBA", image.size, "white"), rgba).convert("RGB")


def upright(image: Image.Image, size: tuple[int, int]) -> Image.Image | None:
    """The picture as its boxes of a canvas of `size` see it: turned as its EXIF says, else as stored; None if neither.

    Most tools show and label pictures turned; some old ones do not.
    """
    turned = ImageOps.exif_transpose(image)
    return next((one for one in (turned, image) if one.size == size), None)

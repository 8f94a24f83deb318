"""Any canvas ↔ the model's square picture: where Janus' image processor puts a picture, and the way back for boxes.

Janus scales the longer side to the square and pads the shorter one, so a box of the canvas is another box of the
square. A layout is squared before it becomes tokens, and a grounded layout is brought back; a painted square is cut to
the canvas' proportions.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from PIL import Image

from scenograph.layout import Box, Layout

__all__ = ["Letterbox"]

_MIN_SIZE = 14  # JanusImageProcessor's default: a thin picture is not scaled below it


@dataclass(frozen=True)
class Letterbox:
    """The place of a canvas of `size` (width, height) in a square of `side` pixels; size None is square itself."""

    size: tuple[int, int] | None
    side: int

    @property
    def frame(self) -> tuple[int, int, int, int]:
        """(left, top, right, bottom) of the canvas in the square, in whole pixels, as the processor rounds them."""
        width, height = self.size or (1, 1)
        scale = self.side / max(width, height)
        # Whole numbers throughout, by Python's rounding of halves to even, as the processor has it.
        across, down = (max(round(length * scale), _MIN_SIZE) for length in (width, height))
        square = max(across, down)
        left, top = (square - across) // 2, (square - down) // 2
        return left, top, left + across, top + down

    def box(self, box: Box) -> Box:
        """A box of the canvas as a box of the square; the very same where the canvas is square itself."""
        left, top, right, bottom = self.frame
        if (left, top, right, bottom) == (0, 0, self.side, self.side):
            return box  # dividing what was multiplied may move a coordinate over the edge between two tokens
        x0, x1 = (_placed(x, left, right, self.side) for x in (box.x0, box.x1))
        y0, y1 = (_placed(y, top, bottom, self.side) for y in (box.y0, box.y1))
        return Box(x0, y0, x1, y1)

    def inverse(self, box: Box) -> Box | None:
        """A box of the square as a box of the canvas, cut at its edges; None when it lies on the padding alone."""
        left, top, right, bottom = self.frame
        x0, x1 = (_taken(x, left, right, self.side) for x in (box.x0, box.x1))
        y0, y1 = (_taken(y, top, bottom, self.side) for y in (box.y0, box.y1))
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def layout(self, layout: Layout) -> Layout:
        """The layout on the square, without a size."""
        instances = tuple(replace(one, box=self.box(one.box)) for one in layout.instances)
        return replace(layout, instances=instances, size=None)

    def layout_back(self, layout: Layout) -> Layout:
        """A layout of the square on the canvas; instances that lie on the padding alone are left out."""
        back = [(one, self.inverse(one.box)) for one in layout.instances]
        instances = tuple(replace(one, box=box) for one, box in back if box is not None)
        return replace(layout, instances=instances, size=self.size)

    def crop(self, image: Image.Image) -> Image.Image:
        """A painted square cut to the canvas' proportions, not scaled."""
        scale = image.width / self.side
        left, top, right, bottom = (round(side * scale) for side in self.frame)
        return image.crop((left, top, right, bottom))


def _placed(value: float, low: int, high: int, side: int) -> float:
    return min((low + value * (high - low)) / side, 1.0)


def _taken(value: float, low: int, high: int, side: int) -> float:
    return min(max((value * side - low) / (high - low), 0.0), 1.0)

"""Box: a rectangle on the canvas, and its named conversions.

The convention of the whole project is fractions of the canvas, (x0, y0, x1, y1), origin top-left. The field has many
others (x, y, width, height; pixels of a 512 canvas; 0-1000), and guessing between them is how boxes end up in the wrong
place: each has a constructor and an exporter of its own name, and none is recognised by its looks.
"""

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Self

from scenograph.errors import LayoutError
from scenograph.layout.values import checked_number, checked_size

__all__ = ["Box"]

ROUNDING = (
    1e-9  # what float arithmetic in a conversion may add, in fractions of the canvas; anything more needs clip=True
)
PIXELISH = 1.5  # a side beyond this was never meant as a fraction

Sides = tuple[float, float, float, float]


@dataclass(frozen=True, slots=True)
class Box:
    """A rectangle in fractions of the canvas: origin top-left, 0 ≤ x0 < x1 ≤ 1 and 0 ≤ y0 < y1 ≤ 1.

    Raises:
        LayoutError: a side is not a finite number or lies outside the canvas, or the rectangle is inverted or empty.
    """

    x0: float
    y0: float
    x1: float
    y1: float

    def __post_init__(self) -> None:
        x0, y0, x1, y1 = self.x0, self.y0, self.x1, self.y1
        if type(x0) is type(y0) is type(x1) is type(y1) is float and 0 <= x0 < x1 <= 1 and 0 <= y0 < y1 <= 1:
            return  # boxes are made by the thousand
        for name, side in zip(self.__slots__, self, strict=True):
            object.__setattr__(self, name, checked_number(side, f"box {name}"))
        if not (0 <= self.x0 < self.x1 <= 1 and 0 <= self.y0 < self.y1 <= 1):
            raise LayoutError(_why_not(tuple(self)))

    def __iter__(self) -> Iterator[float]:
        """The four sides in order, so that `list(box)` and `x0, y0, x1, y1 = box` work."""
        return iter((self.x0, self.y0, self.x1, self.y1))

    @property
    def width(self) -> float:
        """Fraction of the canvas width."""
        return self.x1 - self.x0

    @property
    def height(self) -> float:
        """Fraction of the canvas height."""
        return self.y1 - self.y0

    @property
    def area(self) -> float:
        """Fraction of the canvas area."""
        return self.width * self.height

    @property
    def center(self) -> tuple[float, float]:
        """(x, y) of the middle, in fractions of the canvas."""
        return (self.x0 + self.x1) / 2, (self.y0 + self.y1) / 2

    def intersection(self, other: "Box") -> "Box | None":
        """The rectangle that both boxes cover, or None when they share no area."""
        x0, y0 = max(self.x0, other.x0), max(self.y0, other.y0)
        x1, y1 = min(self.x1, other.x1), min(self.y1, other.y1)
        return Box(x0, y0, x1, y1) if x0 < x1 and y0 < y1 else None

    def iou(self, other: "Box") -> float:
        """Intersection over union: 0 when the boxes share no area, 1 when they are the same."""
        shared = self.intersection(other)
        if shared is None:
            return 0.0
        union = self.area + other.area - shared.area
        return shared.area / union if union else float(self == other)  # areas near 1e-320 underflow to 0

    @classmethod
    def from_pixels(
        cls, x0: float, y0: float, x1: float, y1: float, *, size: tuple[int, int], clip: bool = False
    ) -> Self:
        """A box given by its corners in pixels of a canvas of `size` (width, height).

        Args:
            clip: cut what reaches outside the canvas instead of refusing it.
        """
        return cls(*_fractions((x0, y0, x1, y1), size, clip, "pixels (x0, y0, x1, y1)"))

    @classmethod
    def from_xywh(cls, x: float, y: float, w: float, h: float, *, size: tuple[int, int], clip: bool = False) -> Self:
        """A box given as COCO does: left, top, width and height in pixels of a canvas of `size` (width, height).

        Fractions go through `size=(1, 1)`. Args: `clip` as in `from_pixels`.
        """
        left, top, width, height = (
            checked_number(n, f"box {name}") for name, n in zip("xywh", (x, y, w, h), strict=True)
        )
        return cls(*_fractions((left, top, left + width, top + height), size, clip, "pixels (x, y, x+w, y+h)"))

    @classmethod
    def from_thousandths(cls, x0: float, y0: float, x1: float, y1: float, *, clip: bool = False) -> Self:
        """A box given by its corners on a 0–1000 canvas, the habit of language models and unified tokenisers."""
        return cls(*_fractions((x0, y0, x1, y1), (1000, 1000), clip, "thousandths (x0, y0, x1, y1)"))

    def to_pixels(self, size: tuple[int, int]) -> Sides:
        """(x0, y0, x1, y1) in pixels of a canvas of `size` (width, height), not rounded."""
        width, height = checked_size(size)
        return self.x0 * width, self.y0 * height, self.x1 * width, self.y1 * height

    def to_xywh(self, size: tuple[int, int]) -> Sides:
        """(left, top, width, height) in pixels of a canvas of `size` (width, height), not rounded."""
        x0, y0, x1, y1 = self.to_pixels(size)
        return x0, y0, x1 - x0, y1 - y0

    def to_thousandths(self) -> tuple[int, int, int, int]:
        """(x0, y0, x1, y1) on a 0–1000 canvas, rounded to whole numbers; a thinner box stays one thousandth wide."""
        (x0, x1), (y0, y1) = _thousandths(self.x0, self.x1), _thousandths(self.y0, self.y1)
        return x0, y0, x1, y1


def _thousandths(low: float, high: float) -> tuple[int, int]:
    start, stop = round(low * 1000), round(high * 1000)
    if start < stop:
        return start, stop
    start = min(int(low * 1000), 999)
    return start, start + 1


def _fractions(sides: Sides, size: tuple[int, int], clip: bool, unit: str) -> Sides:
    """`sides` divided by the canvas; refused when outside, inverted or empty, in the unit that the caller wrote."""
    width, height = checked_size(size)
    given = [checked_number(side, f"box side {index} of {unit}") for index, side in enumerate(sides)]
    x0, y0, x1, y1 = (side / scale for side, scale in zip(given, (width, height, width, height), strict=True))
    slack = float("inf") if clip else ROUNDING
    x0, y0, x1, y1 = (_onto_canvas(side, slack) for side in (x0, y0, x1, y1))
    listed = f"box [{', '.join(f'{side:g}' for side in given)}] in {unit} on a canvas of {width}x{height}"
    if min(x0, y0, x1, y1) < 0 or max(x0, y0, x1, y1) > 1:
        raise LayoutError(f"{listed} reaches outside it; correct the box or the size, or cut the box with clip=True")
    if not (x0 < x1 and y0 < y1):
        raise LayoutError(
            f"{listed} is inverted or has no area; expected a right and a bottom side beyond left and top"
        )
    return x0, y0, x1, y1


def _onto_canvas(side: float, slack: float) -> float:
    if -slack <= side < 0:
        return 0.0
    return 1.0 if 1 < side <= 1 + slack else side


def _why_not(sides: tuple[float, ...]) -> str:
    """The one line for four finite numbers that are no box in fractions."""
    x0, y0, x1, y1 = sides
    listed = f"box [{x0!r}, {y0!r}, {x1!r}, {y1!r}]"
    if max(sides) > PIXELISH:
        return (
            f"{listed} looks like pixels; expected fractions of the canvas between 0 and 1: "
            "use Box.from_pixels(x0, y0, x1, y1, size=(width, height)), Box.from_xywh or Box.from_thousandths"
        )
    if min(sides) < 0 or max(sides) > 1:
        return f"{listed} reaches outside the canvas; expected [x0, y0, x1, y1] between 0 and 1, origin top-left"
    if x0 > x1 or y0 > y1:
        return (
            f"{listed} is inverted; expected [x0, y0, x1, y1] with x0 < x1 and y0 < y1: "
            "swap the corners, or use Box.from_xywh for left, top, width, height"
        )
    return f"{listed} has no area; expected [x0, y0, x1, y1] with x0 < x1 and y0 < y1"

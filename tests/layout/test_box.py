"""Box: what it refuses, its geometry, and conversions that invert each other."""

import math
from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from scenograph.errors import LayoutError, ScenographError
from scenograph.layout import Box
from tests.layout.strategies import boxes, sizes

EPSILON = 1e-12  # conversions multiply and divide by at most 5000 pixels: a few roundings of 2.2e-16 each


@pytest.mark.parametrize(
    ("sides", "reason"),
    [
        ((0.5, 0, 0.2, 1), "inverted"),
        ((0, 0.9, 1, 0.1), "inverted"),
        ((0.5, 0, 0.5, 1), "no area"),
        ((0, 0, 1, 0), "no area"),
        ((-0.1, 0, 0.5, 1), "outside"),
        ((0, 0, 1.0001, 1), "outside"),
        ((10, 20, 300, 400), "Box.from_pixels"),
        ((0, 0, 2, 2), "looks like pixels"),
        ((math.nan, 0, 1, 1), "box x0 is nan; expected a finite number"),
        ((0, 0, math.inf, 1), "finite"),
        ((0, 0, 10**400, 1), "finite"),
        ((0, 0, 10**5000, 1), "finite"),
        ((False, 0, True, 1), "box x0 is False (bool)"),
        (("0", 0, 1, 1), "expected a number"),
        ((0, None, 1, 1), "box y0 is None"),
    ],
)
def test_no_box_in_fractions(sides: tuple[float, float, float, float], reason: str) -> None:
    with pytest.raises(LayoutError) as caught:
        Box(*sides)
    assert reason in str(caught.value)
    assert "expected" in str(caught.value)
    assert "\n" not in str(caught.value)


def test_sides_are_plain_floats() -> None:
    box = Box(0, np.float32(0.25), np.float64(0.5), 1)  # type: ignore[arg-type]
    assert [type(side) for side in box] == [float] * 4
    assert repr(box) == "Box(x0=0.0, y0=0.25, x1=0.5, y1=1.0)"
    assert {box} == {Box(0.0, 0.25, 0.5, 1.0)}


def test_frozen() -> None:
    with pytest.raises(AttributeError):
        Box(0, 0, 1, 1).x0 = 0.5  # type: ignore[misc]


def test_geometry() -> None:
    box = Box(0.25, 0, 0.75, 1)
    assert (box.width, box.height, box.area, box.center) == (0.5, 1, 0.5, (0.5, 0.5))
    assert box.intersection(Box(0.5, 0.5, 1, 1)) == Box(0.5, 0.5, 0.75, 1)
    assert box.intersection(Box(0.75, 0, 1, 1)) is None  # touching sides share no area
    assert box.iou(Box(0.5, 0, 1, 1)) == pytest.approx(1 / 3)
    assert box.iou(Box(0, 0, 0.25, 1)) == 0


def test_iou_of_boxes_whose_areas_underflow() -> None:
    speck = Box(0, 0, 1e-200, 1e-200)
    assert speck.area == 0
    assert speck.iou(speck) == 1
    assert speck.iou(Box(0, 0, 2e-200, 1e-200)) == 0


@given(boxes, boxes)
def test_iou_is_symmetric_and_a_share(a: Box, b: Box) -> None:
    assert a.iou(b) == b.iou(a)
    assert 0 <= a.iou(b) <= 1
    assert a.iou(a) == 1


@given(boxes, boxes)
def test_intersection_lies_in_both(a: Box, b: Box) -> None:
    shared = a.intersection(b)
    assert shared == b.intersection(a)
    for box in (a, b) if shared else ():
        assert box.intersection(shared) == shared  # type: ignore[arg-type]


@given(boxes, sizes)
def test_pixels_and_xywh_invert(box: Box, size: tuple[int, int]) -> None:
    for back in (Box.from_pixels(*box.to_pixels(size), size=size), Box.from_xywh(*box.to_xywh(size), size=size)):
        assert max(abs(a - b) for a, b in zip(box, back, strict=True)) < EPSILON


@given(boxes)
def test_thousandths_round_to_the_nearest(box: Box) -> None:
    whole = box.to_thousandths()
    assert all(isinstance(side, int) for side in whole)
    back = Box.from_thousandths(*whole)
    assert back.to_thousandths() == whole
    for low, high, a, b in ((box.x0, box.x1, back.x0, back.x1), (box.y0, box.y1, back.y0, back.y1)):
        tolerance = (0.5 if high - low >= 0.001 else 1) / 1000 + EPSILON
        assert abs(low - a) <= tolerance
        assert abs(high - b) <= tolerance


@given(*[st.integers(0, 1000)] * 4)
def test_whole_thousandths_are_kept(x0: int, y0: int, x1: int, y1: int) -> None:
    assume(x0 < x1 and y0 < y1)
    assert Box.from_thousandths(x0, y0, x1, y1).to_thousandths() == (x0, y0, x1, y1)


def test_named_conventions() -> None:
    expected = Box(0.25, 0.5, 0.5, 1.0)
    assert Box.from_pixels(160, 240, 320, 480, size=(640, 480)) == expected
    assert Box.from_xywh(160, 240, 160, 240, size=(640, 480)) == expected
    assert Box.from_xywh(0.25, 0.5, 0.25, 0.5, size=(1, 1)) == expected
    assert Box.from_thousandths(250, 500, 500, 1000) == expected
    assert expected.to_pixels((640, 480)) == (160, 240, 320, 480)
    assert expected.to_xywh((640, 480)) == (160, 240, 160, 240)


def test_outside_is_cut_only_when_asked() -> None:
    with pytest.raises(LayoutError, match=r"\[600, 0, 660, 100\] in pixels .* on a canvas of 640x480 .*clip=True"):
        Box.from_pixels(600, 0, 660, 100, size=(640, 480))
    assert Box.from_pixels(600, -5, 660, 240, size=(640, 480), clip=True) == Box(0.9375, 0, 1, 0.5)
    assert Box.from_xywh(600, 0, 60, 240, size=(640, 480), clip=True) == Box(0.9375, 0, 1, 0.5)
    assert Box.from_thousandths(0, 0, 1001, 500, clip=True) == Box(0, 0, 1, 0.5)
    with pytest.raises(LayoutError, match="no area"):
        Box.from_pixels(700, 0, 800, 100, size=(640, 480), clip=True)


def test_float_noise_at_an_edge_is_no_overshoot() -> None:
    x, width = 0.1, 639.9000000000001
    assert x + width > 640
    assert Box.from_xywh(x, 0, width, 480, size=(640, 480)).x1 == 1
    with pytest.raises(LayoutError, match="outside"):
        Box.from_xywh(0, 0, 640.01, 480, size=(640, 480))  # a hundredth of a pixel is not noise


@pytest.mark.parametrize("size", [(0, 10), (10, -1), (640.5, 480), (True, 4), "64", (1, 2, 3), None, (math.nan, 1)])
def test_no_size(size: object) -> None:
    for convert in (Box(0, 0, 1, 1).to_pixels, lambda size: Box.from_xywh(0, 0, 1, 1, size=size)):
        with pytest.raises(LayoutError, match=r"size is .*; expected"):
            convert(size)  # type: ignore[arg-type]


@pytest.mark.parametrize("build", [Box.from_pixels, Box.from_xywh])
def test_converters_refuse_what_is_no_number(build: Callable[..., Box]) -> None:
    for bad in (math.nan, math.inf, "3", None, True):
        with pytest.raises(ScenographError, match="expected a"):
            build(0, 0, bad, 10, size=(64, 64), clip=True)

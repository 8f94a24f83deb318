"""The square around a canvas, beside Janus' own image processor."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from PIL import Image

from scenograph.layout import Box
from scenograph.unified.letterbox import Letterbox
from scenograph.unified.pictures import pixels
from tests.layout.strategies import boxes
from tests.unified.tiny import layout

SIZES = [(640, 480), (333, 500), (100, 100), (1000, 37), (31, 997), (75, 50)]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("side", [64, 384])
def test_the_frame_is_where_the_processor_puts_the_picture(size: tuple[int, int], side: int) -> None:
    white = pixels([Image.new("RGB", size, "white")], side)[0, 0].numpy()
    rows, columns = np.nonzero(white > 0.9)
    left, top, right, bottom = Letterbox(size, side).frame
    assert (columns.min(), rows.min(), columns.max() + 1, rows.max() + 1) == (left, top, right, bottom)


@given(box=boxes, size=st.tuples(st.integers(1, 3000), st.integers(1, 3000)))
def test_boxes_come_back(box: Box, size: tuple[int, int]) -> None:
    letterbox = Letterbox(size, 384)
    if box.width < 1e-9 or box.height < 1e-9:
        return
    back = letterbox.inverse(letterbox.box(box))
    assert back is not None and max(abs(a - b) for a, b in zip(box, back, strict=True)) < 1e-9


def test_a_square_changes_nothing() -> None:
    box = Box(0.1, 0.2, 0.6, 0.9)
    for size in (None, (128, 128), (777, 777)):
        assert tuple(Letterbox(size, 384).box(box)) == pytest.approx(tuple(box), abs=1e-12)


def test_a_wide_canvas_by_hand() -> None:
    letterbox = Letterbox((200, 100), 384)
    assert letterbox.frame == (0, 96, 384, 288)
    assert letterbox.box(Box(0, 0, 1, 1)) == Box(0, 0.25, 1, 0.75)
    assert letterbox.inverse(Box(0.5, 0.1, 1, 0.5)) == Box(0.5, 0, 1, 0.5)
    assert letterbox.inverse(Box(0, 0.8, 1, 1)) is None


def test_layouts_and_pictures_go_both_ways() -> None:
    letterbox = Letterbox((200, 100), 64)
    asked = layout(("a cat", (0.5, 0.5, 1, 1)), ("a dog", (0, 0, 0.5, 0.5)))
    squared = letterbox.layout(asked)
    assert squared.size is None and squared.instances[0].box == Box(0.5, 0.5, 1, 0.75)
    back = letterbox.layout_back(squared)
    assert back.size == (200, 100) and back.instances == asked.instances
    beyond = layout(("a cat", (0.5, 0.5, 1, 1)), ("padding", (0, 0, 0.5, 0.2)))
    assert len(letterbox.layout_back(beyond).instances) == 1
    assert letterbox.crop(Image.new("RGB", (64, 64))).size == (64, 32)

"""Drawing: where the boxes are, that labels stay on the canvas, and the arithmetic of sheets."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from PIL import Image

from scenograph.drawing import PALETTE, contact_sheet, draw_layout, side_by_side
from scenograph.errors import ImageError
from scenograph.layout import Box, Instance, Layout
from tests.layout.strategies import captions, layouts

GREY = (128, 128, 128)


def layout(*boxes: Box, label: str = "dog", size: tuple[int, int] | None = None) -> Layout:
    listed = tuple(Instance(caption="a dog", label=label, box=box) for box in boxes)
    return Layout(caption="dogs", instances=listed, size=size)


def colours(image: Image.Image) -> set[tuple[int, ...]]:
    return {colour for _, colour in image.getcolors(image.width * image.height) or [] if isinstance(colour, tuple)}


def test_a_frame_of_two_pixels_inside_its_box() -> None:
    picture = draw_layout(layout(Box(0.25, 0.25, 0.75, 0.75)), Image.new("RGB", (200, 200), GREY))
    red = PALETTE[0]
    across = [picture.getpixel((x, 120)) for x in range(200)]
    assert [x for x, colour in enumerate(across) if colour == red] == [50, 51, 148, 149]
    down = [picture.getpixel((140, y)) for y in range(200)]
    assert [y for y, colour in enumerate(down) if colour == red] == [50, 51, 148, 149]
    assert picture.getpixel((20, 120)) == picture.getpixel((100, 120)) == GREY


def test_the_picture_given_is_not_changed() -> None:
    image = Image.new("RGB", (64, 64), GREY)
    draw_layout(layout(Box(0, 0, 1, 1)), image)
    assert colours(image) == {GREY}


def test_size_is_asked_or_the_image_or_the_layout_or_512() -> None:
    one = layout(Box(0, 0, 1, 1), size=(320, 200))
    image = Image.new("RGB", (64, 48))
    assert draw_layout(one, image, size=(300, 100)).size == (300, 100)
    assert draw_layout(one, image).size == (64, 48)
    assert draw_layout(one).size == (320, 200)
    assert draw_layout(layout()).size == (512, 512)
    with pytest.raises(ImageError, match=r"size is \(0, 5\); expected"):
        draw_layout(one, size=(0, 5))


def test_every_instance_has_its_colour_and_the_palette_starts_again() -> None:
    thirteen = layout(*[Box(i / 13, 0.5, (i + 1) / 13, 1) for i in range(13)])
    seen = colours(draw_layout(thirteen, size=(1300, 400)))
    assert set(PALETTE) <= seen
    assert len(set(PALETTE)) == 12


def extent(picture: Image.Image, colour: tuple[int, ...]) -> tuple[int, int, int, int]:
    """(left, top, right, bottom) of the pixels that have `colour`, the latter two exclusive."""
    rows, columns = np.nonzero((np.asarray(picture) == colour).all(axis=2))
    return columns.min(), rows.min(), columns.max() + 1, rows.max() + 1


@pytest.mark.parametrize(
    "box", [Box(0.97, 0.97, 1, 1), Box(0.97, 0, 1, 0.03), Box(0, 0.97, 0.03, 1), Box(0, 0, 0.03, 0.03)]
)
def test_labels_of_specks_in_the_corners_stay_on_the_canvas(box: Box) -> None:
    speck = Box(0.5, 0.5, 0.53, 0.53)
    whole, seen = (
        extent(draw_layout(layout(where, label="refrigerator"), size=(512, 384)), PALETTE[0]) for where in (speck, box)
    )
    # Rounding may move a side by a pixel, an edge of the canvas may not take any of the chip.
    assert seen[2] - seen[0] == pytest.approx(whole[2] - whole[0], abs=1)
    assert seen[3] - seen[1] == pytest.approx(whole[3] - whole[1], abs=1)
    assert whole[2] - whole[0] > 80, "letters of 14 pixels"


def test_labels_of_equal_boxes_do_not_cover_each_other() -> None:
    same = Box(0.2, 0.2, 0.8, 0.8)
    picture = draw_layout(layout(same, same, same, label="cat"), Image.new("RGB", (400, 400), GREY))
    # The chip of the first box is the only thing left of it, and it is whole: about 50 x 20 pixels less its letters.
    remaining = sum(count for count, colour in picture.getcolors(160_000) or [] if colour == PALETTE[0])
    assert remaining > 500


def test_a_long_label_is_shortened_not_cut_off() -> None:
    picture = draw_layout(layout(Box(0, 0.8, 0.1, 1), label="w" * 500), Image.new("RGB", (256, 256), GREY))
    left, top, right, _ = extent(picture, PALETTE[0])
    assert left == 0
    assert 240 < right <= 256
    ends = np.asarray(picture)[top + 4 : top + 14, right - 2 : right]
    assert (ends == PALETTE[0]).all(), "letters reach the end of their chip"


def test_modes_and_transparency() -> None:
    for mode in ("L", "RGBA", "P", "1", "CMYK", "I;16"):
        picture = draw_layout(layout(Box(0.5, 0.5, 1, 1)), Image.new(mode, (64, 64)))
        assert picture.mode == "RGB"
    clear = side_by_side([Image.new("RGBA", (10, 10), (255, 0, 0, 0))])
    assert len(colours(clear)) == 1


@settings(max_examples=30)
@given(layouts(captions), st.tuples(st.integers(1, 300), st.integers(1, 300)), st.booleans())
def test_any_layout_can_be_drawn(asked: Layout, size: tuple[int, int], blank: bool) -> None:
    assert draw_layout(asked, None if blank else Image.new("RGB", (9, 5)), size=size).size == size


def test_side_by_side() -> None:
    images = [Image.new("RGB", (100, 100), "red"), Image.new("RGB", (50, 100), "blue")]
    plain = side_by_side(images, gap=10)
    assert plain.size == (180, 120)
    assert (plain.getpixel((10, 10)), plain.getpixel((169, 109))) == ((255, 0, 0), (0, 0, 255))
    doubled = side_by_side(images, height=200, gap=10)
    assert doubled.size == (330, 220)
    short = side_by_side(images, ["red", "blue"], gap=10)
    long = side_by_side(images, ["red", "a caption that takes many lines of text below so narrow a picture"], gap=10)
    assert plain.height < short.height < long.height
    assert plain.width == short.width == long.width


def test_contact_sheet() -> None:
    red, blue = Image.new("RGB", (100, 100), "red"), Image.new("RGB", (50, 100), "blue")
    sheet = contact_sheet([[red, blue], [None, red]], gap=10)
    assert sheet.size == (230, 230)
    assert sheet.getpixel((15, 15)) == (255, 0, 0)
    assert sheet.getpixel((170, 50)) == (0, 0, 255)  # half as wide as its cell: in the middle, not stretched
    assert sheet.getpixel((130, 50)) == sheet.getpixel((5, 5))
    labelled = contact_sheet([[red, blue], [red]], row_labels=["plain", "guided"], column_labels=["a", "b"], gap=10)
    assert labelled.width > sheet.width
    assert labelled.height > sheet.height
    assert contact_sheet([[red]], cell=(64, 32), gap=0).size == (64, 32)


def test_sheets_refuse_what_does_not_fit() -> None:
    red = Image.new("RGB", (8, 8))
    with pytest.raises(ImageError, match="0 images and 0 captions"):
        side_by_side([])
    with pytest.raises(ImageError, match="1 images and 2 captions"):
        side_by_side([red], ["a", "b"])
    for rows, names, titles in (([], [], []), ([[None]], [], []), ([[red]], ["a", "b"], []), ([[red]], [], ["a", "b"])):
        with pytest.raises(ImageError, match="expected one label each or none"):
            contact_sheet(rows, row_labels=names, column_labels=titles)

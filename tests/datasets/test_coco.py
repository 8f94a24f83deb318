"""Own pictures for training: COCO files and layout files as squares whose boxes follow the pixels."""

from __future__ import annotations

import json
import logging
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenograph.datasets.pictures import MOST, LayoutPictures, PictureRow
from scenograph.datasets.sources import read_training_data
from scenograph.datasets.square import Square, can_mirror, mirrored
from scenograph.datasets.wording import class_caption, counted, with_article
from scenograph.errors import DatasetError
from scenograph.layout import Box, Instance, Layout

CATEGORIES = [{"id": 1, "name": "dog"}, {"id": 2, "name": "cat"}, {"id": 7, "name": "traffic_light"}]
RED, BLUE = (255, 0, 0), (0, 0, 255)


def picture(size: tuple[int, int], boxes: dict[tuple[int, int, int, int], tuple[int, int, int]]) -> Image.Image:
    """Rectangles (x0, y0, x1, y1) in pixels on grey."""
    pixels = np.full((size[1], size[0], 3), 90, np.uint8)
    for (x0, y0, x1, y1), colour in boxes.items():
        pixels[y0:y1, x0:x1] = colour
    return Image.fromarray(pixels)


class Folder:
    """A COCO folder in the making."""

    def __init__(self, path: Path) -> None:
        self.path, self.images, self.annotations = path, list[dict[str, Any]](), list[dict[str, Any]]()
        (path / "images").mkdir()

    def image(self, image: Image.Image, boxes: Sequence[tuple[int, Sequence[float]]], **more: Any) -> int:
        number = len(self.images) + 1
        name = f"{number:04d}.png"
        image.save(self.path / "images" / name)
        self.images.append({"id": number, "file_name": name, "width": image.width, "height": image.height, **more})
        for category, bbox in boxes:
            self.annotation(number, category, bbox)
        return number

    def annotation(self, image: int, category: int, bbox: Any, **more: Any) -> None:
        record = {"id": len(self.annotations) + 1, "image_id": image, "category_id": category, "bbox": bbox, **more}
        self.annotations.append(record)

    def write(self, **changes: Any) -> str:
        data = {"images": self.images, "annotations": self.annotations, "categories": CATEGORIES} | changes
        (self.path / "a.json").write_text(json.dumps(data))
        return f"coco:{self.path / 'a.json'}"

    def read(self, **options: Any) -> LayoutPictures:
        return read_training_data(self.write(), images=self.path / "images", **options)


@pytest.fixture
def folder(tmp_path: Path) -> Folder:
    return Folder(tmp_path)


def box_of(image: Image.Image, colour: tuple[int, int, int]) -> tuple[int, int, int, int]:
    """(x0, y0, x1, y1) in pixels of what looks like `colour` in a scaled picture."""
    near = np.abs(np.asarray(image).astype(int) - colour).sum(axis=2) < 130
    rows, columns = np.flatnonzero(near.any(axis=1)), np.flatnonzero(near.any(axis=0))
    return int(columns[0]), int(rows[0]), int(columns[-1]) + 1, int(rows[-1]) + 1


@pytest.mark.parametrize("fit", ["crop", "letterbox"])
@pytest.mark.parametrize("size", [(160, 120), (120, 160), (128, 128), (97, 64), (300, 101)])
def test_boxes_follow_the_pixels(folder: Folder, fit: Any, size: tuple[int, int]) -> None:
    middle = (size[0] // 2 - 20, size[1] // 2 - 15, size[0] // 2 + 21, size[1] // 2 + 8)
    folder.image(picture(size, {middle: RED}), [(1, [middle[0], middle[1], 41, 23])])
    image, layout = folder.read(size=256, fit=fit)[0]
    assert image.size == layout.size == (256, 256) and image.mode == "RGB"
    asked = layout.instances[0].box.to_pixels((256, 256))
    assert np.abs(np.subtract(asked, box_of(image, RED))).max() <= 1.0


def test_whole_pixels_stay_whole(folder: Folder) -> None:
    folder.image(picture((96, 64), {(24, 8, 56, 40): RED}), [(1, [24, 8, 32, 32])])
    image, layout = folder.read(size=64)[0]
    assert layout.instances[0].box == Box.from_pixels(8, 8, 40, 40, size=(64, 64))
    assert np.array_equal(np.asarray(image), np.asarray(picture((64, 64), {(8, 8, 40, 40): RED})))


def test_what_the_cut_takes_away_is_gone_from_caption_and_layout(folder: Folder) -> None:
    inside, edge, outside = [110, 20, 60, 60], [90, 20, 20, 60], [0, 0, 30, 30]
    folder.image(picture((300, 100), {}), [(1, inside), (2, edge), (7, outside)])
    cut, whole = folder.read(size=64), folder.read(size=64, fit="letterbox")
    assert cut.layout(0).caption == "a photo of a dog and a cat"
    assert [one.label for one in cut.layout(0).instances] == ["dog", "cat"]
    assert cut.layout(0).instances[1].box.x0 == 0 and cut.layout(0).instances[1].box.x1 == pytest.approx(0.1)
    assert whole.layout(0).caption == "a photo of a dog, a cat and a traffic light"


def test_classes_become_a_caption_and_descriptions_are_kept(folder: Folder) -> None:
    number = folder.image(picture((64, 64), {}), [(2, [0, 0, 10, 10]), (2, [20, 0, 10, 10])])
    folder.annotation(number, 1, [0, 20, 40, 40], caption="a black dog with a collar")
    layout = folder.read(size=64).layout(0)
    assert layout.caption == "a photo of a black dog with a collar and two cats"
    assert (layout.instances[0].caption, layout.instances[0].label) == ("a black dog with a collar", "dog")
    assert layout.prompt().appended == ()


def test_captions_come_from_the_file_that_names_most(folder: Folder) -> None:
    folder.image(picture((64, 64), {}), [(2, [0, 0, 10, 10]), (1, [20, 0, 30, 30])])
    folder.image(picture((64, 64), {}), [(2, [0, 0, 10, 10])])
    folder.image(picture((64, 64), {}), [(2, [0, 0, 10, 10])], caption="my own words")
    texts = ["animals  indoors", "A dog and\n some cats", "a dog"]
    rows = [{"id": i, "image_id": 1, "caption": text} for i, text in enumerate(texts)]
    (folder.path / "c.json").write_text(json.dumps({"annotations": rows}))
    pictures = folder.read(size=64, captions=folder.path / "c.json")
    assert [pictures.layout(i).caption for i in range(3)] == ["A dog and some cats", "a photo of a cat", "my own words"]


def test_what_is_left_out_is_counted_and_said_once(folder: Folder, caplog: pytest.LogCaptureFixture) -> None:
    number = folder.image(picture((64, 64), {}), [(1, [5, 5, 20, 20]), (1, [50, 50, 40, 10]), (2, [1, 1, 0, 9])])
    folder.annotation(number, 1, [0, 0, 60, 60], iscrowd=1)
    folder.annotation(number, 1, [70, 0, 9, 9])
    folder.annotation(number, 1, [-9, 0, 9, 9])
    folder.annotation(99, 1, [0, 0, 9, 9])
    folder.image(picture((64, 64), {}), [])
    with caplog.at_level(logging.WARNING):
        pictures = folder.read(size=64)
    assert len(pictures) == 1 and [tuple(one.box) for one in pictures.layout(0).instances] == [
        (5 / 64, 5 / 64, 25 / 64, 25 / 64),
        (50 / 64, 50 / 64, 1.0, 60 / 64),
    ]
    (said,) = caplog.messages
    for words in (
        "1 crowd regions", "1 boxes without area", "2 boxes outside", "1 boxes are cut", "1 annotations belong to no",
        "1 pictures have no box",
    ):  # fmt: skip
        assert words in said
    assert list(pictures.notes) == said.split(": ", 1)[1].split("; ")


def test_at_most_thirty_the_largest_first(folder: Folder) -> None:
    from scenograph.painting.gligen import MOST as GLIGENS

    boxes = [(1, [0.0, 0.0, 5.0 + i, 5.0]) for i in range(40)]
    folder.image(picture((64, 64), {}), boxes)
    pictures = folder.read(size=64)
    widths = [one.box.width * 64 for one in pictures.layout(0).instances]
    assert MOST == GLIGENS == len(widths) and widths == pytest.approx([44.0 - i for i in range(30)])
    assert "1 pictures have more than 30 boxes; the smallest are left out" in pictures.notes
    assert pictures.layout(0).caption == "a photo of 30 dogs"


def test_a_mirrored_picture_has_mirrored_boxes(folder: Folder) -> None:
    folder.image(picture((64, 64), {(4, 8, 20, 40): RED}), [(1, [4, 8, 16, 32])])
    folder.image(picture((64, 64), {(4, 8, 20, 40): BLUE}), [(1, [4, 8, 16, 32])], caption="a dog on the Left")
    pictures = folder.read(size=64, mirror=True)
    assert len(pictures) == 3  # the second speaks of a side
    image, layout = pictures[2]
    assert box_of(image, RED) == (44, 8, 60, 40) == layout.instances[0].box.to_pixels((64, 64))
    assert np.array_equal(np.asarray(image), np.asarray(pictures[0][0])[:, ::-1])
    assert mirrored(mirrored(layout)) == layout


def test_every_word_of_a_side_keeps_a_picture_unmirrored() -> None:
    box = Box(0.1, 0.1, 0.5, 0.5)

    def layout(caption: str, phrase: str) -> Layout:
        return Layout(caption=caption, instances=(Instance(caption="a dog", phrase=phrase, box=box),))

    assert can_mirror(layout("a bright upright dog", "dog"))
    for caption, phrase in (("the leftmost dog", "dog"), ("dogs", "dog on the RIGHT"), ("a right-hand dog", "dog")):
        assert not can_mirror(layout(caption, phrase))


def test_a_picture_turned_by_exif_is_read_as_its_boxes_see_it(folder: Folder) -> None:
    upright = picture((48, 64), {(0, 0, 24, 16): RED})
    number = folder.image(upright, [(1, [0, 0, 24, 16])])
    exif = Image.Exif()
    exif[0x0112] = 6  # stored lying on its left side
    stored = upright.transpose(Image.Transpose.ROTATE_90)
    stored.save(folder.path / "images" / f"{number:04d}.png", exif=exif)
    image, layout = folder.read(size=64, fit="letterbox")[0]
    assert np.abs(np.subtract(box_of(image, RED), layout.instances[0].box.to_pixels((64, 64)))).max() <= 1
    folder.images[0] |= {"width": 64, "height": 48}  # another tool saw it lying
    lying = folder.read(size=64, fit="letterbox")[0][0]
    assert box_of(lying, RED) == (0, 32, 16, 56)  # its red corner is at the bottom then


def test_transparency_and_grey_become_rgb(folder: Folder) -> None:
    folder.image(Image.new("RGBA", (64, 64), (0, 0, 0, 0)), [(1, [0, 0, 9, 9])])
    folder.image(Image.new("L", (64, 64), 7), [(1, [0, 0, 9, 9])])
    pictures = folder.read(size=16)
    assert [pictures[i][0].getpixel((8, 8)) for i in range(2)] == [(255, 255, 255), (7, 7, 7)]


def changed(folder: Folder, what: str) -> dict[str, Any]:
    """Arguments of a reading that must fail, after spoiling the folder."""
    folder.image(picture((64, 64), {}), [(1, [0, 0, 9, 9])])
    images: Path | None = folder.path / "images"
    options: dict[str, Any] = {}
    changes: dict[str, Any] = {}
    if what == "missing picture":
        (folder.path / "images" / "0001.png").unlink()
    elif what == "no folder":
        images = folder.path / "nowhere"
    elif what == "other size":
        folder.images[0]["width"] = 63
    elif what == "no categories":
        changes["categories"] = None
    elif what == "unknown category":
        folder.annotations[0]["category_id"] = 5
    elif what == "bad bbox":
        folder.annotations[0]["bbox"] = [1, 2, 3]
    elif what == "text bbox":
        folder.annotations[0]["bbox"] = [1, 2, 3, "4"]
    elif what == "no size":
        del folder.images[0]["width"]
    elif what == "list id":
        folder.images[0]["id"] = [1]
    elif what == "twice":
        folder.images.append(folder.images[0])
    elif what == "no box":
        folder.annotations.clear()
    elif what == "fit":
        options["fit"] = "stretch"
    return {"source": folder.write(**changes), "images": images, "size": 32, **options}


@pytest.mark.parametrize(
    ("what", "words"),
    [
        ("missing picture", "1 of 1 pictures are not in"),
        ("no folder", "--images"),
        ("other size", "its boxes are for 63x64"),
        ("no categories", "--captions"),
        ("unknown category", "annotation 1: category_id is 5"),
        ("bad bbox", "expected [x, y, width, height]"),
        ("text bbox", "expected a number"),
        ("no size", "with 'width'"),
        ("list id", "expected a whole number"),
        ("twice", "same id"),
        ("no box", "no picture has a box"),
        ("fit", "crop, letterbox"),
    ],
)
def test_mistakes_are_one_line(folder: Folder, what: str, words: str) -> None:
    arguments = changed(folder, what)
    with pytest.raises(DatasetError) as caught:
        read_training_data(**arguments)[0]
    assert words in str(caught.value) and "\n" not in str(caught.value)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("{", "is no JSON"),
        ("[1]", "got list; expected COCO instances"),
        ('{"annotations": []}', "expected COCO instances"),
        ("\x00\xff", "is no JSON"),
    ],
)
def test_other_files_are_refused(tmp_path: Path, text: str, words: str) -> None:
    (tmp_path / "a.json").write_bytes(text.encode("latin-1"))
    with pytest.raises(DatasetError, match=words.replace("[", r"\[")):
        read_training_data(f"coco:{tmp_path / 'a.json'}")


@pytest.mark.parametrize("source", ["a.json", "lvis:a.json", "coco:", "", "a.jsonl"])
def test_unknown_sources_are_explained(source: str) -> None:
    with pytest.raises(DatasetError, match=r"expected coco:FILE.json or layouts:FILE.jsonl"):
        read_training_data(source)


def layouts_file(path: Path, **changes: Any) -> str:
    row = {
        "image": "p/1.png",
        "caption": "a dog",
        "instances": [{"caption": "dog", "box": [0.25, 0.25, 0.75, 0.5]}],
    } | changes
    (path / "l.jsonl").write_text("\n".join(json.dumps(row) for _ in range(2)))
    (path / "p").mkdir(exist_ok=True)
    picture((100, 50), {}).save(path / "p" / "1.png")
    return f"layouts:{path / 'l.jsonl'}"


def test_layouts_with_pictures_are_read_and_need_no_size(tmp_path: Path) -> None:
    pictures = read_training_data(layouts_file(tmp_path), size=32)
    image, layout = pictures[1]
    assert len(pictures) == 2 and image.size == (32, 32) and layout.caption == "a dog"
    assert tuple(layout.instances[0].box) == (0.0, 0.25, 1.0, 0.5)


@pytest.mark.parametrize(
    ("changes", "words"),
    [
        ({"image": None}, "line 1: .*as 'image'"),
        ({"image": "p/2.png"}, "2 of 2 pictures are not in"),
        ({"instances": [{"caption": "dog", "box": [0, 0, 2, 2]}]}, "line 1: .*pixels"),
        ({"instances": []}, "none of 2 pictures has a box"),
        ({"colour": "red"}, "line 1: .*unknown key"),
    ],
)
def test_malformed_layout_files_are_one_line(tmp_path: Path, changes: dict[str, Any], words: str) -> None:
    with pytest.raises(DatasetError, match=words) as caught:
        read_training_data(layouts_file(tmp_path, **changes), size=32)
    assert "\n" not in str(caught.value)


def test_a_damaged_picture_is_said_when_it_is_read(tmp_path: Path) -> None:
    pictures = read_training_data(layouts_file(tmp_path, size=[100, 50]), size=32)
    (tmp_path / "p" / "1.png").write_bytes(b"not a picture")
    with pytest.raises(DatasetError, match="no readable picture"):
        pictures[0]
    (tmp_path / "p" / "1.png").unlink()
    with pytest.raises(DatasetError, match="it was there"):
        pictures[0]


def test_words_for_classes() -> None:
    assert [with_article(w) for w in ("apple", "red cup", "the dog", "scissors")] == [
        "an apple", "a red cup", "the dog", "a pair of scissors"
    ]  # fmt: skip
    assert [counted("person", n) for n in (1, 2, 12)] == ["a person", "two people", "12 people"]
    assert class_caption([]) == "a photo"


def test_a_layout_without_a_size_cannot_be_cut() -> None:
    with pytest.raises(DatasetError, match="no size"):
        Square(32).layout(Layout(caption="a dog", instances=()))


def test_nothing_left_in_any_square_is_an_error() -> None:
    layout = Layout(caption="x", instances=(Instance(caption="dog", box=Box(0, 0, 0.1, 1)),), size=(300, 100))
    with pytest.raises(DatasetError, match="none of 1 pictures"):
        LayoutPictures([PictureRow(path=Path("x"), layout=layout)], Square(32))


def test_reading_needs_no_torch() -> None:
    code = "import sys, scenograph.datasets.sources, scenograph.datasets.coco; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr

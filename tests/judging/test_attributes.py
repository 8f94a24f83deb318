"""The attribute reader on a tiny checkpoint, and accuracies with a reader that knows plain colours."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image, ImageDraw

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.attributes import AttributeReader, asked_attributes, attribute_tallies, crop
from scenograph.layout import Box, Instance, Layout
from tests.judging.checkpoints import rt_detr, save_detector, save_reader

RGB = {"red": (214, 40, 40), "blue": (40, 96, 214)}


class MiddlePixel:
    """Reads the colour of a crop's middle; everything is plain and has no shape."""

    def read(self, crops: Sequence[Image.Image]) -> list[dict[str, str]]:
        found = []
        for one in crops:
            middle = np.array(one.getpixel((one.width // 2, one.height // 2)))
            found.append({"colour": min(RGB, key=lambda c: float(abs(middle - RGB[c]).sum())), "texture": "plain"})
        return found


def instance(caption: str, *box: float) -> Instance:
    return Instance(caption=caption, box=Box(*box))


def test_reader_loads_and_reads_one_value_per_group(tmp_path: Path) -> None:
    reader = AttributeReader.from_pretrained(save_reader(tmp_path), batch_size=2)
    crops = [Image.new("RGB", (20, 30), colour) for colour in ("red", "blue", "white")]
    for one, probabilities in zip(reader.read(crops), reader.probabilities(crops), strict=True):
        assert set(one) == {"noun", "colour", "texture", "shape"}
        for group, values in probabilities.items():
            assert sum(values.values()) == pytest.approx(1)
            assert values[one[group]] == max(values.values())
    assert reader.read([]) == []


def test_reader_refuses_labels_without_groups(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="look like 'colour:red', got 'dog'"):
        AttributeReader(rt_detr())
    with pytest.raises(CheckpointError, match="cannot load the attribute reader"):
        AttributeReader.from_pretrained(save_detector(rt_detr(), tmp_path))


def test_crop_has_a_margin_and_repeats_the_edge() -> None:
    image = Image.new("RGB", (100, 200))
    assert crop(image, Box(0.2, 0.2, 0.6, 0.6)).size == (48, 96)
    assert crop(image, Box(0.2, 0.2, 0.6, 0.6), margin=0).size == (40, 80)
    assert crop(image, Box(0.0, 0.0, 0.5, 1.0)).size == (60, 240)
    image.putpixel((0, 0), (255, 0, 0))
    corner = np.array(crop(image, Box(0.0, 0.0, 0.5, 0.5)))
    assert (corner[:11, :6] == (255, 0, 0)).all() and corner.sum() == 11 * 6 * 255
    assert crop(image, Box(0.999, 0.999, 1.0, 1.0)).size == (1, 1)


def test_only_stated_attributes_are_asked() -> None:
    assert asked_attributes(instance("a striped red dog", 0, 0, 1, 1)) == {"colour": "red", "texture": "striped"}
    assert asked_attributes(instance("a dog", 0, 0, 1, 1)) == {}


def painted(*boxes: tuple[str, tuple[float, float, float, float]]) -> Image.Image:
    image = Image.new("RGB", (100, 100), "white")
    for colour, (x0, y0, x1, y1) in boxes:
        ImageDraw.Draw(image).rectangle((100 * x0, 100 * y0, 100 * x1 - 1, 100 * y1 - 1), fill=RGB[colour])
    return image


def test_accuracy_at_asked_boxes_and_at_detections() -> None:
    left, right = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)
    asked = [
        Layout(caption="s", instances=(instance("a red dog", *left), instance("a striped blue cat", *right))),
        Layout(caption="s", instances=(instance("a dog", *left),)),
    ]
    images = [painted(("red", left), ("red", right)), painted()]
    at_boxes = attribute_tallies(images, asked, MiddlePixel())
    assert at_boxes["colour"].mean() == 50  # the cat is red
    assert at_boxes["texture"].mean() == 0
    assert at_boxes["attributes"].mean() == pytest.approx(100 / 3)
    assert at_boxes["attributes"].count_N.tolist() == [3, 0]
    assert np.isnan(at_boxes["shape"].mean())
    # The dog was found where the blue is; the cat was not found at all.
    moved = [painted(("blue", left), ("blue", right)), painted()]
    dog = Instance(caption="dog", box=Box(0.0, 0.0, 0.3, 0.4), score=0.9)
    seen = [Layout(caption="s", instances=(dog,)), Layout(caption="s", instances=())]
    at_detections = attribute_tallies(moved, asked, MiddlePixel(), seen=seen)
    assert at_detections["colour"].mean() == 0
    assert attribute_tallies(moved, asked, MiddlePixel())["colour"].mean() == 50
    assert attribute_tallies(images, asked, MiddlePixel(), seen=seen)["colour"].mean() == 50


def test_only_instances_that_count_are_judged() -> None:
    left, right = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)
    asked = [Layout(caption="s", instances=(instance("a red dog", *left), instance("a blue cat", *right)))]
    images = [painted(("red", left), ("red", right))]
    dogs = attribute_tallies(images, asked, MiddlePixel(), counts=lambda one: one.label == "dog")["colour"]
    cats = attribute_tallies(images, asked, MiddlePixel(), counts=lambda one: one.label == "cat")["colour"]
    assert (dogs.mean(), dogs.count_N.sum()) == (100, 1)
    assert (cats.mean(), cats.count_N.sum()) == (0, 1)


def test_counts_must_fit() -> None:
    with pytest.raises(ResultError, match="got 1 images, 0 asked"):
        attribute_tallies([Image.new("RGB", (4, 4))], [], MiddlePixel())

"""The embedded VQA: questions answered from detections and readings of known content."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.world_vqa import WorldVQA
from scenograph.layout import Box, Instance, Layout

LEFT, RIGHT, LOW = Box(0, 0, 0.5, 0.5), Box(0.5, 0, 1, 0.5), Box(0, 0.5, 0.5, 1)
HUES = {"red": (200, 0, 0), "blue": (0, 0, 200), "green": (0, 200, 0)}


def picture(left: str, right: str = "green", low: str = "green") -> Image.Image:
    image = Image.new("RGB", (40, 40), HUES["green"])
    for hue, corner in ((left, (0, 0)), (right, (20, 0)), (low, (0, 20))):
        image.paste(HUES[hue], (*corner, corner[0] + 20, corner[1] + 20))
    return image


class Sees:
    """The same things in every picture."""

    labels: tuple[str, ...] | None = ("dog", "cup", "apple")

    def __init__(self, *placed: tuple[str, Box, float | None]) -> None:
        self.instances = tuple(Instance(caption=n, label=n, box=b, score=s) for n, b, s in placed)
        self.looks = 0

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.looks += len(images)
        return [Layout(caption="seen", instances=self.instances) for _ in images]


class Reads:
    """How much of a crop's middle is of each hue, and always 0.8 striped."""

    def probabilities(self, crops: Sequence[Image.Image]) -> list[dict[str, dict[str, float]]]:
        read = []
        for one in crops:
            pixel = one.getpixel((one.width // 2, one.height // 2))
            hue = next(name for name, value in HUES.items() if value == pixel)
            colour = {name: 0.9 if name == hue else 0.05 for name in HUES}
            read.append({"colour": colour, "texture": {"plain": 0.2, "striped": 0.8}, "shape": {"round": 0.5}})
        return read


def test_the_best_thing_of_the_noun_answers() -> None:
    vqa = WorldVQA(Sees(("dog", LEFT, 0.9), ("dog", RIGHT, 0.8), ("cup", LOW, 0.9)), Reads())
    image = picture("red", "blue", "green")
    asked = ["a red dog?", "the blue puppy?", "a green dog?", "a green cup?", "a red cup?", "a dog?"]
    assert vqa.yes([image] * len(asked), asked) == pytest.approx([0.9, 0.9, 0.05, 0.9, 0.05, 1.0])


def test_every_attribute_counts() -> None:
    vqa = WorldVQA(Sees(("dog", LEFT, 0.9)), Reads())
    asked = ["a striped red dog?", "a round striped dog?", "a dotted dog?"]
    assert vqa.yes([picture("red")] * 3, asked) == pytest.approx([0.72, 0.4, 0.0])


def test_what_is_not_found_is_not_there() -> None:
    vqa = WorldVQA(Sees(("dog", LEFT, 0.29), ("cup", RIGHT, None)), Reads())
    assert vqa.yes([picture("red")] * 3, ["a red dog?", "an apple?", "a cup?"]) == [0, 0, 1]


def test_a_number_asks_for_all_of_them() -> None:
    vqa = WorldVQA(Sees(("dog", LEFT, 0.9), ("dog", RIGHT, 0.9), ("dog", LOW, 0.9)), Reads())
    image = picture("red", "red", "blue")
    asked = ["two red dogs?", "three red dogs?", "four red dogs?", "three dogs?", "one red dog?"]
    assert vqa.yes([image] * 5, asked) == pytest.approx([0.9, 0.05, 0.0, 1.0, 0.9])


def test_each_picture_has_its_own_answer_and_is_looked_at_once() -> None:
    detector = Sees(("dog", LEFT, 0.9))
    vqa = WorldVQA(detector, Reads())
    red, blue = picture("red"), picture("blue")
    assert vqa.yes([red, blue, red], ["a red dog?", "a red dog?", "a blue dog?"]) == pytest.approx([0.9, 0.05, 0.05])
    assert detector.looks == 2
    assert vqa.yes([], []) == []


def test_a_question_about_nothing_of_the_world() -> None:
    with pytest.raises(ResultError, match=r"nothing that 'a red bench\?' asks for"):
        WorldVQA(Sees(), Reads()).yes([picture("red")], ["a red bench?"])

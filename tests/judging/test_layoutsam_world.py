"""LayoutSAM-Eval by the world's judges: what counts as present, and whose attributes are read."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.layoutsam import Question, layoutsam_tallies
from scenograph.judging.layoutsam_world import WorldAsker
from scenograph.layout import Box, Instance, Layout

HUES = {"red": (200, 0, 0), "blue": (0, 0, 200), "green": (0, 200, 0)}
LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)


def picture(left: str, right: str = "green") -> Image.Image:
    image = Image.new("RGB", (40, 40), HUES[left])
    image.paste(HUES[right], (20, 0, 40, 40))
    return image


class Sees:
    """The same things in every picture."""

    labels: tuple[str, ...] | None = ("dog", "cup")

    def __init__(self, *placed: tuple[str, Box, float | None]) -> None:
        self.instances = tuple(Instance(caption=n, label=n, box=b, score=s) for n, b, s in placed)
        self.looks = list[int]()

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.looks.append(len(images))
        return [Layout(caption="seen", instances=self.instances) for _ in images]


class Reads:
    """The hue of a crop's middle; everything is striped."""

    def __init__(self) -> None:
        self.crops = 0

    def read(self, crops: Sequence[Image.Image]) -> list[dict[str, str]]:
        self.crops += len(crops)
        hues = {value: name for name, value in HUES.items()}
        middles = [one.getpixel((one.width // 2, one.height // 2)) for one in crops]
        return [{"noun": "cup", "colour": hues[m], "texture": "striped", "shape": "round"} for m in middles]  # type: ignore[index]


def questions(said: str, box: Box, *about: str, label: str = "dog", image: Image.Image | None = None) -> list[Question]:
    image = image or picture("red", "blue")
    return [Question(about=one, image=image, box=box, subject=label, description=said) for one in about]


def present(seen: Box, box: Box, *, score: float | None = 0.9, label: str = "dog") -> bool:
    (answer,) = WorldAsker(Sees((label, seen, score)), Reads()).yes(questions("a dog", box, "spatial"))
    return answer


@pytest.mark.parametrize(
    ("seen", "box", "there"),
    [
        (LEFT, LEFT, True),
        (RIGHT, LEFT, False),
        (Box(0.3, 0, 0.7, 1), LEFT, True),  # exactly half of it
        (Box(0.31, 0, 0.71, 1), LEFT, False),
        (Box(0.1, 0.1, 0.3, 0.3), Box(0, 0, 1, 1), True),  # too small for its box, but in it
        (Box(0, 0, 1, 1), Box(0.1, 0.1, 0.3, 0.3), True),  # fills its box and more
    ],
)
def test_present_is_what_a_crop_shows(seen: Box, box: Box, there: bool) -> None:
    assert present(seen, box) is there


def test_what_is_unsure_or_of_another_noun_is_absent() -> None:
    assert present(LEFT, LEFT, score=0.3) and present(LEFT, LEFT, score=None)
    assert not present(LEFT, LEFT, score=0.29)
    assert not present(LEFT, LEFT, label="cup")


def test_what_is_said_must_be_read_and_what_is_unsaid_is_right() -> None:
    asker = WorldAsker(Sees(("dog", LEFT, 0.9)), Reads())
    kinds = ("colour", "texture", "shape")
    assert asker.yes(questions("a striped red dog", LEFT, *kinds)) == [True, True, True]
    assert asker.yes(questions("a dotted blue dog", LEFT, *kinds)) == [False, False, True]
    assert asker.yes(questions("a dog", LEFT, *kinds)) == [True, True, True]
    assert asker.yes(questions("a red dog", RIGHT, *kinds)) == [False, False, False]  # there is none


def test_the_thing_that_fits_the_box_best_is_read() -> None:
    small = Box(0.55, 0.1, 0.75, 0.3)
    asker = WorldAsker(Sees(("dog", small, 0.99), ("dog", LEFT, 0.4)), Reads())
    assert asker.yes(questions("a red dog", Box(0, 0, 0.8, 1), "colour")) == [True]
    assert asker.yes(questions("a blue puppy", Box(0.5, 0, 0.8, 0.4), "colour", label="puppy")) == [True]


def test_each_picture_is_looked_at_and_each_thing_read_once() -> None:
    detector, reader = Sees(("dog", LEFT, 0.9)), Reads()
    images = [picture("red"), picture("blue")]
    said = [Instance(caption="a striped red dog", label="dog", box=LEFT), Instance(caption="a red cup", box=RIGHT)]
    layouts = [Layout(caption="a", instances=tuple(said))] * 2
    tallies = layoutsam_tallies(images, layouts, WorldAsker(detector, reader))
    assert {name: tally.mean() for name, tally in tallies.items()} == {
        "spatial": 50,
        "colour": 25,
        "texture": 50,
        "shape": 50,
    }
    assert detector.looks == [2, 2] and reader.crops == 2
    assert WorldAsker(detector, reader).yes([]) == []


def test_a_subject_that_the_world_lacks() -> None:
    with pytest.raises(ResultError, match="the small world has no 'zeppelin'"):
        WorldAsker(Sees(), Reads()).yes(questions("a silver zeppelin", LEFT, "spatial", label="zeppelin"))

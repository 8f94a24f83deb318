"""LayoutSAM-Eval: what is asked, of which pixels, and which share of the boxes counts."""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import resamples
from scenograph.judging.layoutsam import SCORES, Question, layoutsam_tallies
from scenograph.layout import Box, Instance, Layout

LEFT, RIGHT = Box(0, 0, 0.5, 1), Box(0.5, 0, 1, 1)


def asked(*things: tuple[str, str, Box]) -> Layout:
    ones = [Instance(label=subject, caption=said, box=box) for subject, said, box in things]
    return Layout(caption="a picture", instances=tuple(ones))


class Says:
    """Answers by a rule, and remembers the questions of each round."""

    def __init__(self, rule: Callable[[Question], bool]) -> None:
        self.rule, self.rounds = rule, list[list[Question]]()

    def yes(self, questions: Sequence[Question]) -> list[bool]:
        self.rounds.append(list(questions))
        return [self.rule(one) for one in questions]


def blank(count: int) -> list[Image.Image]:
    return [Image.new("RGB", (20, 10), (number, 0, 0)) for number in range(count)]


DOG, CAT, CUP = ("dog", "a black dog", LEFT), ("cat", "a fluffy cat", RIGHT), ("cup", "a round red cup", LEFT)


def test_every_score_is_a_share_of_all_boxes() -> None:
    """Of three things one is absent; of the two there, both have their colour, one its texture, none its shape."""

    def rule(one: Question) -> bool:
        if one.about == "spatial":
            return one.subject != "cup"
        return one.about == "colour" or (one.about == "texture" and one.subject == "cat")

    asker = Says(rule)
    tallies = layoutsam_tallies(blank(2), [asked(DOG, CUP), asked(CAT)], asker)
    assert {name: tally.mean() for name, tally in tallies.items()} == pytest.approx(
        {"spatial": 200 / 3, "colour": 200 / 3, "texture": 100 / 3, "shape": 0}
    )
    assert tallies["texture"].total_N.tolist() == [0, 100] and tallies["texture"].count_N.tolist() == [2, 1]
    first, second = asker.rounds
    assert [(one.about, one.subject) for one in first] == [("spatial", "dog"), ("spatial", "cup"), ("spatial", "cat")]
    assert [(one.about, one.subject) for one in second] == [
        (about, subject) for subject in ("dog", "cat") for about in SCORES[1:]
    ]
    assert first[2].image.getpixel((0, 0)) == (1, 0, 0)  # each question has its own picture


def test_a_thing_that_is_absent_is_asked_nothing_more() -> None:
    asker = Says(lambda one: False)
    tallies = layoutsam_tallies(blank(1), [asked(DOG, CAT)], asker)
    assert [tally.mean() for tally in tallies.values()] == [0, 0, 0, 0] and sum(map(len, asker.rounds)) == 2


def test_batches_and_pictures_without_boxes_change_nothing() -> None:
    layouts = [asked(DOG), asked(), asked(CAT, CUP), asked(CUP), asked(DOG, CAT)]

    def rule(one: Question) -> bool:
        return (len(one.about) + len(one.subject) * ord(one.subject[-1])) % 4 > 1

    whole = layoutsam_tallies(blank(5), layouts, Says(rule))
    parts = layoutsam_tallies(iter(blank(5)), layouts, Says(rule), batch_size=2)
    for name in SCORES:
        assert np.array_equal(whole[name].total_N, parts[name].total_N)
        assert parts[name].count_N.tolist() == [1, 0, 2, 1, 2]
    low, high = whole["spatial"].estimate(resamples(5)).interval
    assert np.isnan(low) or low <= whole["spatial"].mean() <= high


def test_the_benchmarks_own_words() -> None:
    def text(about: str) -> str:
        return Question(
            about=about, image=blank(1)[0], box=LEFT, subject="hot/dog", description="a red/brown hot dog"
        ).text

    assert text("spatial") == (
        'Is the subject "hotdog" present in the image? Strictly answer with "Yes" or "No", without any irrelevant '
        "words."
    )
    assert text("colour") == (
        'Is the subject in "hotdog" in the image consistent with the color described in the detailed description: '
        '"a redbrown hot dog"? Strictly answer with "Yes" or "No", without any irrelevant words. If the color is not '
        'mentioned in the detailed description, the answer is "Yes".'
    )
    assert text("shape") == text("colour").replace("color", "shape")
    assert text("texture") == text("colour").replace("color", "texture")


@pytest.mark.parametrize(
    ("box", "corners"),
    [
        (Box(0.29, 0.1, 0.79, 0.9), (29, 5, 79, 45)),  # 0.29 · 100 is 28.999… in floats
        (Box(0.299, 0.0, 0.555, 1.0), (29, 0, 55, 50)),  # sides are rounded down
        (Box(0.5, 0.5, 0.501, 0.501), (50, 25, 51, 26)),  # never empty
        (Box(0.999, 0.999, 1.0, 1.0), (99, 49, 100, 50)),
    ],
)
def test_crops(box: Box, corners: tuple[int, int, int, int]) -> None:
    pixels = np.zeros((50, 100, 3), np.uint8)
    pixels[..., 0], pixels[..., 1] = np.arange(100), np.arange(50)[:, None]
    image = Image.fromarray(pixels)
    got = np.asarray(Question(about="spatial", image=image, box=box, subject="a", description="a").crop())
    assert (got[0, 0, 0], got[0, 0, 1], got[-1, -1, 0] + 1, got[-1, -1, 1] + 1) == corners


@pytest.mark.parametrize(("images", "got"), [(1, "got 1 images for 2"), (3, "got more images for 2")])
def test_every_layout_needs_its_image(images: int, got: str) -> None:
    with pytest.raises(ResultError, match=got):
        layoutsam_tallies(blank(images), [asked(DOG)] * 2, Says(lambda one: True), batch_size=1)

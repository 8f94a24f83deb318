"""Ref-L4's protocol against answers worked out by hand: strict thresholds, sizes at their bounds, missing boxes."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import resamples
from scenograph.judging.referring import (
    PhraseGrounder,
    class_means,
    grounded_boxes,
    in_asked_order,
    referring_tallies,
    size_class,
)
from scenograph.layout import Box, Instance, Layout

SIZE = (641, 479)  # nothing of it is a power of two: fractions of the canvas are never exact


def pixels(x: float, y: float, width: float, height: float) -> Box:
    return Box.from_xywh(x, y, width, height, size=SIZE)


def picture(*boxes: Box, size: tuple[int, int] | None = SIZE, label: str = "dog") -> Layout:
    ones = [Instance(caption=f"the {label} number {n}", box=box, label=label) for n, box in enumerate(boxes)]
    return Layout(caption="a picture", instances=tuple(ones), size=size)


TRUTH = pixels(30, 40, 200, 100)


def of_width(width: float) -> Box:
    """A box with IoU width / 200 with the truth."""
    return pixels(30, 40, width, 100)


def scores(asked: Sequence[Layout], seen: Sequence[Sequence[Box | None]]) -> dict[str, float]:
    return {name: tally.mean() for name, tally in referring_tallies(asked, seen).items()}


@pytest.mark.parametrize(
    ("width", "acc50", "acc75", "acc90", "macc"),
    [
        (100, 0, 0, 0, 0),  # exactly 0.5 is not above it
        (101, 100, 0, 0, 10),
        (150, 100, 0, 0, 50),  # exactly 0.75: above 0.5, 0.55, 0.6, 0.65 and 0.7
        (151, 100, 100, 0, 60),
        (180, 100, 100, 0, 80),
        (181, 100, 100, 100, 90),
        (190, 100, 100, 100, 90),  # exactly 0.95
        (200, 100, 100, 100, 100),
    ],
)
def test_an_iou_has_to_be_above_a_threshold(width: float, acc50: int, acc75: int, acc90: int, macc: int) -> None:
    got = scores([picture(TRUTH)], [[of_width(width)]])
    assert [got[name] for name in ("acc50", "acc75", "acc90")] == [acc50, acc75, acc90]
    assert got["macc"] == pytest.approx(macc)
    assert got["iou"] == pytest.approx(width / 2)


def test_ties_are_ties_wherever_the_box_stands() -> None:
    """Half a box has an IoU of 0.5 in whole pixels; fractions of the canvas come out a little above or below."""
    places = [(x, y) for x in range(1, 400, 13) for y in range(1, 300, 11)]
    truth = [pixels(x, y, 200, 100) for x, y in places]
    half = [pixels(x, y, 100, 100) for x, y in places]
    raw = [t.iou(h) for t, h in zip(truth, half, strict=True)]
    assert min(raw) < 0.5 < max(raw)
    assert scores([picture(*truth)], [half])["acc50"] == 0


@pytest.mark.parametrize(
    ("width", "height", "expected"),
    [
        (127, 128, "small"),
        (128, 128, "medium"),
        (64, 256, "medium"),  # √(64 · 256) = 128
        (256, 256, "medium"),
        (512, 128, "medium"),
        (257, 256, "large"),
        (640, 470, "large"),
    ],
)
def test_sizes_at_their_bounds(width: int, height: int, expected: str) -> None:
    assert size_class(pixels(0, 0, width, height), SIZE) == expected
    assert size_class(pixels(SIZE[0] - width, SIZE[1] - height, width, height), SIZE) == expected


def test_a_missing_box_stays_in_the_denominator() -> None:
    asked = [picture(TRUTH, TRUTH), picture(TRUTH), picture()]
    got = scores(asked, [[TRUTH, None], [None], []])
    assert got["acc50"] == got["macc"] == got["iou"] == pytest.approx(100 / 3)
    assert referring_tallies(asked, [[TRUTH, None], [None], []])["acc50"].count_N.tolist() == [2, 1, 0]


def test_every_size_has_its_own_denominator() -> None:
    small, large = pixels(10, 10, 50, 50), pixels(0, 0, 600, 400)
    got = scores([picture(small, large), picture(small, TRUTH)], [[None, large], [small, of_width(151)]])
    assert {size: got[f"{size}_acc50"] for size in ("small", "medium", "large")} == {
        "small": 50,
        "medium": 100,
        "large": 100,
    }
    assert got["medium_macc"] == pytest.approx(60) and got["small_macc"] == 50
    only = scores([picture(small)], [[small]])
    assert only["small_acc50"] == 100 and np.isnan(only["large_acc50"])


def test_the_mean_over_classes_weighs_each_class_alike() -> None:
    asked = [picture(TRUTH, TRUTH, TRUTH), picture(TRUTH, label="cat")]
    seen: list[list[Box | None]] = [[TRUTH, None, None], [of_width(151)]]
    weights_RN = np.array([[1, 1], [2, 0]])
    got = class_means(asked, seen, weights_RN)
    assert got["class_acc50"].value == pytest.approx((100 / 3 + 100) / 2)
    assert got["class_macc"].value == pytest.approx((100 / 3 + 60) / 2)
    assert got["class_acc50"].samples_R == pytest.approx([(100 / 3 + 100) / 2, 100 / 3])  # the second drew dogs alone


def test_intervals_resample_pictures() -> None:
    asked = [picture(TRUTH, TRUTH), picture(TRUTH)] * 20
    estimate = referring_tallies(asked, [[TRUTH, TRUTH], [None]] * 20)["acc50"].estimate(resamples(40))
    low, high = estimate.interval
    assert estimate.value == pytest.approx(200 / 3) and low < estimate.value < high


def test_what_cannot_be_scored_is_one_line() -> None:
    with pytest.raises(ResultError, match=r"1 layouts with 2 expressions and 1 rows of 1 boxes"):
        referring_tallies([picture(TRUTH, TRUTH)], [[TRUTH]])
    with pytest.raises(ResultError, match="has no size"):
        referring_tallies([picture(TRUTH, size=None)], [[TRUTH]])
    with pytest.raises(ResultError, match="at least one expression"):
        class_means([picture()], [[]], resamples(1))


class Told:
    """A grounder of phrases that answers by what it was told, and remembers how it was asked."""

    def __init__(self, boxes: dict[str, Box]) -> None:
        self.boxes, self.asked = boxes, list[tuple[int, tuple[str, ...]]]()

    def ground(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[Layout]:
        self.asked += [(image.width, tuple(those)) for image, those in zip(images, phrases, strict=True)]
        named = [[Instance(caption=said, box=self.boxes[said]) for said in those if said in self.boxes]
                 for those in phrases]  # fmt: skip
        return [Layout(caption="seen", instances=tuple(ones)) for ones in named]


class Sees:
    """A detector of the same things in every picture."""

    def __init__(self, labels: tuple[str, ...] | None, *seen: tuple[str, Box, float | None]) -> None:
        self.labels, self.asked = labels, list[tuple[str, ...]]()
        self.instances = tuple(Instance(caption=n, label=n, box=b, score=s) for n, b, s in seen)

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.asked.append(tuple(vocabulary))
        return [Layout(caption="seen", instances=self.instances) for _ in images]


def images(count: int) -> list[Image.Image]:
    """Pictures told apart by their width."""
    return [Image.new("RGB", (10 + number, 8)) for number in range(count)]


LEFT, RIGHT = Box(0, 0, 0.4, 1), Box(0.5, 0, 1, 1)


def test_expressions_are_asked_one_by_one_of_their_own_picture() -> None:
    grounder = Told({"the dog number 0": LEFT})
    assert isinstance(grounder, PhraseGrounder)
    asked = [picture(LEFT, RIGHT), picture(), picture(RIGHT)]
    assert grounded_boxes(iter(images(3)), asked, grounder, batch_size=2) == [[LEFT, None], [], [LEFT]]
    assert grounder.asked == [
        (10, ("the dog number 0",)),
        (10, ("the dog number 1",)),
        (12, ("the dog number 0",)),
    ]


def test_expressions_of_a_picture_asked_together() -> None:
    twice = Layout(caption="a", instances=tuple(Instance(caption=c, box=LEFT) for c in ("a cat", "a dog", "a dog")))
    grounder = Told({"a dog": RIGHT})
    assert grounded_boxes(images(1), [twice], grounder, together=True) == [[None, RIGHT, RIGHT]]
    assert grounder.asked == [(10, ("a cat", "a dog", "a dog"))]


def test_boxes_of_equal_captions_are_shared_out_as_they_agree_best() -> None:
    asked = [Instance(caption=c, box=b) for c, b in (("a dog", LEFT), ("a cat", LEFT), ("a dog", RIGHT))]
    seen = [Instance(caption=c, box=b) for c, b in (("a dog", RIGHT), ("a dog", LEFT), ("a cow", LEFT))]
    assert in_asked_order(asked, seen) == [LEFT, None, RIGHT]
    assert in_asked_order(asked, seen[:1]) == [None, None, RIGHT]
    assert in_asked_order(asked, []) == [None] * 3 and in_asked_order([], seen) == []


def test_the_surest_box_of_an_open_vocabulary() -> None:
    detector = Sees(None, ("x", LEFT, 0.2), ("x", RIGHT, 0.7), ("x", TRUTH, 0.1))
    assert grounded_boxes(images(1), [picture(LEFT, RIGHT)], detector) == [[RIGHT, RIGHT]]
    assert detector.asked == [("the dog number 0",), ("the dog number 1",)]
    assert grounded_boxes(images(1), [picture(LEFT)], Sees(None)) == [[None]]


def test_a_detector_with_labels_is_asked_for_the_noun() -> None:
    detector = Sees(("cat", "dog"), ("cat", LEFT, 0.9), ("dog", LEFT, 0.3), ("dog", RIGHT, 0.4))
    said = [Instance(caption=c, box=LEFT, label=n) for c, n in (("a red puppy", "puppy"), ("a cat", "cat"))]
    asked = [Layout(caption="a", instances=(*said, Instance(caption="a zeppelin", box=LEFT)))]
    assert grounded_boxes(images(1), asked, detector) == [[RIGHT, LEFT, None]]
    assert detector.asked == [("cat", "dog")]


def test_pictures_and_layouts_must_pair_up() -> None:
    with pytest.raises(ResultError, match="got 1 images for 2 asked layouts"):
        grounded_boxes(images(1), [picture(LEFT)] * 2, Told({}))
    with pytest.raises(ResultError, match="more images than the 1 asked"):
        grounded_boxes(images(2), [picture(LEFT)], Told({}))
    with pytest.raises(ResultError, match="cannot be asked for a picture's expressions together"):
        grounded_boxes(images(1), [picture(LEFT)], Sees(None), together=True)

"""T2I-CompBench's box scores: the questions of its prompts, every rule and threshold, detections and layouts."""

from __future__ import annotations

import math

import numpy as np
import pytest

from scenograph.judging.compbench import (
    Asked,
    asked_counts,
    asked_relation,
    depth_in,
    numeracy_score,
    spatial_3d_score,
    spatial_score,
)
from scenograph.layout import Box, Instance, Layout

SMALL = 0.1


def at(x: float, y: float, w: float = SMALL, h: float = SMALL) -> Box:
    return Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def seen(*placed: tuple[str, Box], score: float | None = None, size: tuple[int, int] | None = None) -> Layout:
    instances = tuple(Instance(caption=n, label=n, box=b, score=score) for n, b in placed)
    return Layout(caption="seen", instances=instances, size=size)


@pytest.mark.parametrize(
    ("prompt", "asked"),
    [
        ("a balloon on the top of a giraffe", ("balloon", "giraffe", "on the top of")),
        ("a person on side of a bowl", ("person", "bowl", "on side of")),
        ("a butterfly on the left of a teddy bear.", ("butterfly", "teddy bear", "on the left of")),
        ("a boy near a painting", ("boy", "painting", "near")),
        ("a red cup on top of a table", ("cup", "table", "on top of")),
    ],
)
def test_asked_relation(prompt: str, asked: tuple[str, str, str]) -> None:
    assert asked_relation(prompt) == Asked(first=asked[0], second=asked[1], locality=asked[2])


def test_asked_relation_in_depth() -> None:
    assert asked_relation("a pig hidden by a cat", deep=True) == Asked(first="pig", second="cat", locality="hidden")
    assert asked_relation("a bowl in front of a backpack", deep=True) == Asked(
        first="bowl", second="backpack", locality="in front of"
    )
    assert asked_relation("a bowl and a cat") is None
    assert asked_relation("next to") is None
    # The list's order counts, not the prompt's.
    both = asked_relation("a cat on the left of a dog near a cup")
    assert both is not None
    assert both.locality == "near"


def test_asked_counts() -> None:
    assert asked_counts("three couches, one man, and two traffic lights") == (
        ("couch", 3),
        ("man", 1),
        ("traffic light", 2),
    )
    assert asked_counts("a horse grazed near three sheep") == (("horse", 1), ("sheep", 3))
    assert asked_counts("two red pandas", nouns={"red panda"}) == (("red panda", 2),)
    assert asked_counts("cats and nine dogs, a") == ()


@pytest.mark.parametrize(
    ("locality", "box", "position"),
    [
        ("on the left of", at(0.2, 0.5), 1),
        ("on the left of", at(0.8, 0.5), 0),
        ("on the left of", at(0.2, 0.15), 0),
        ("on the right of", at(0.8, 0.5), 1),
        ("on the top of", at(0.5, 0.2), 1),
        ("on the bottom of", at(0.5, 0.8), 1),
        ("on the bottom of", at(0.5, 0.2), 0),
        ("on top of", at(0.5, 0.2), 0),  # has no rule
        ("near", at(0.1, 0.5), 1),  # the vertical distance is small
        ("near", at(0.1, 0.1), 150 / (0.4 * 479)),
        ("next to", at(0.3, 0.1), 1),
        ("on side of", at(0.1, 0.15), 150 / (0.4 * 479)),
    ],
)
def test_spatial(locality: str, box: Box, position: float) -> None:
    asked = Asked(first="cat", second="dog", locality=locality)
    score = spatial_score(seen(("cat", box), ("dog", at(0.5, 0.5))), asked)
    assert score == pytest.approx(0.5 + 0.5 * position)


def test_overlap_costs_beyond_a_tenth() -> None:
    asked = Asked(first="cat", second="dog", locality="on the left of")
    cat, dog = at(0.4, 0.5, 0.4, 0.4), at(0.5, 0.5, 0.4, 0.4)
    assert spatial_score(seen(("cat", cat), ("dog", dog)), asked) == pytest.approx(0.5 + 0.5 * 0.1 / cat.iou(dog))


def test_pixels_are_of_the_shorter_side() -> None:
    asked = Asked(first="cat", second="dog", locality="near")
    placed = (("cat", at(0.2, 0.1)), ("dog", at(0.5, 0.9)))
    assert spatial_score(seen(*placed), asked) == 1
    assert spatial_score(seen(*placed, size=(200, 100)), asked) == pytest.approx(0.5 + 75 / (0.8 * 479))


def test_confidence_and_the_lower_limit() -> None:
    asked = Asked(first="cat", second="dog", locality="on the left of")
    pair = (("cat", at(0.2, 0.5)), ("dog", at(0.8, 0.5)))
    assert spatial_score(seen(*pair, score=0.6), asked) == pytest.approx(0.8)
    assert spatial_score(seen(*pair[::-1], score=0.9), Asked(first="dog", second="cat", locality="near")) > 0.9
    wrong = Asked(first="dog", second="cat", locality="on the left of")
    assert spatial_score(seen(*pair), wrong) == 0.5
    assert spatial_score(seen(*pair, score=0.9), wrong) == 0
    assert spatial_score(seen(pair[0]), asked) == 0
    assert spatial_score(seen(), asked) == 0


def test_people_are_persons_to_the_detector() -> None:
    asked = Asked(first="boy", second="dog", locality="on the left of")
    assert spatial_score(seen(("person", at(0.2, 0.5)), ("dog", at(0.8, 0.5))), asked) == 1
    layout = seen(("boy", at(0.2, 0.5)), ("dog", at(0.8, 0.5)))
    assert spatial_score(layout, asked) == 0
    assert spatial_score(layout, asked, aliases={}) == 1


def test_depth_of_a_layout_is_its_ground() -> None:
    front, back = at(0.5, 0.6, 0.4, 0.4), at(0.5, 0.5, 0.4, 0.4)
    near = seen(("cat", front), ("dog", back))
    position = min(1, front.iou(back) / 0.5)
    assert position == 1
    assert spatial_3d_score(near, Asked(first="cat", second="dog", locality="in front of")) == 1
    assert spatial_3d_score(near, Asked(first="cat", second="dog", locality="behind")) == 0.5
    assert spatial_3d_score(near, Asked(first="dog", second="cat", locality="hidden")) == 1
    apart = seen(("cat", at(0.2, 0.6)), ("dog", at(0.8, 0.5)))
    assert spatial_3d_score(apart, Asked(first="cat", second="dog", locality="in front of")) == 0.5
    little = seen(("cat", at(0.5, 0.7, 0.4, 0.4)), ("dog", back))
    iou = little.instances[0].box.iou(back)
    assert 0 < iou < 0.5
    assert spatial_3d_score(little, Asked(first="cat", second="dog", locality="in front of")) == pytest.approx(
        0.5 + iou
    )


def test_3d_has_no_lower_limit_and_takes_substrings() -> None:
    asked = Asked(first="cat", second="bear", locality="behind")
    assert spatial_3d_score(seen(("cat", at(0.5, 0.5)), score=0.8), asked) == pytest.approx(0.2)
    found = seen(("teddy bear", at(0.5, 0.6, 0.4, 0.4)), ("cat", at(0.5, 0.5, 0.4, 0.4)))
    assert spatial_3d_score(found, asked) == 1
    # The search goes on until both are found, so the second bear is the one that counts.
    bears = seen(("bear", at(0.1, 0.1)), ("bear", at(0.5, 0.6, 0.4, 0.4)), ("cat", at(0.5, 0.5, 0.4, 0.4)))
    assert spatial_3d_score(bears, asked) == 1


def test_depth_maps_are_read_as_published() -> None:
    depth = np.zeros((10, 10))
    depth[0:5, 5:10] = 1.0  # above right
    assert depth_in(depth)(Box(0.5, 0, 1, 0.5)) == 0
    assert depth_in(depth)(Box(0, 0.5, 0.5, 1)) == 1
    assert depth_in(depth, transposed=False)(Box(0.5, 0, 1, 0.5)) == 1
    assert math.isnan(depth_in(np.zeros((4, 10)))(Box(0.5, 0, 1, 0.5)))


def test_numeracy() -> None:
    asked = (("cat", 2), ("dog", 1))
    two_cats = (("cat", at(0.2, 0.2)), ("cat", at(0.4, 0.2)))
    assert numeracy_score(seen(*two_cats, ("dog", at(0.7, 0.7))), asked) == 1
    assert numeracy_score(seen(*two_cats), asked) == 0.5
    assert numeracy_score(seen(*two_cats[:1], ("dog", at(0.7, 0.7))), asked) == 0.75
    assert numeracy_score(seen(), asked) == 0
    assert numeracy_score(seen(("person", at(0.2, 0.2))), (("boy", 1),)) == 1
    assert numeracy_score(seen(("teddy bear", at(0.2, 0.2))), (("bear", 1),)) == 1
    assert numeracy_score(seen(("painting", at(0.2, 0.2))), (("painting", 1),), aliases={}) == 1


def test_numeracy_counts_a_thing_once() -> None:
    twice = seen(("cat", at(0.5, 0.5, 0.4, 0.4)), ("cat", at(0.5, 0.5, 0.38, 0.4)), ("cat", at(0.5, 0.5, 0.1, 0.1)))
    assert numeracy_score(twice, (("cat", 1),)) == 1
    assert numeracy_score(seen(("cat", at(0.3, 0.5, 0.4, 0.4)), ("cat", at(0.5, 0.5, 0.4, 0.4))), (("cat", 2),)) == 1

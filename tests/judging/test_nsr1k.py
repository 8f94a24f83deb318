"""NSR-1K: the files' conventions, the official scores with their quirks and to the digit, and what strict refuses."""

from __future__ import annotations

import json
from collections import defaultdict
from pathlib import Path
from statistics import mean
from typing import Any

import pytest

from scenograph.errors import ResultError
from scenograph.judging.nsr1k import (
    CountingRow,
    Prompts,
    Seen,
    SpatialRow,
    answer_of,
    find_prompts,
    layout_of,
    read_layouts,
    read_prompts,
)
from scenograph.judging.nsr1k_captions import Mention, mentions, unknowable
from scenograph.judging.nsr1k_official import official_counting, official_relation, official_spatial
from scenograph.judging.nsr1k_strict import strict_counting, strict_spatial
from scenograph.layout import Box, Instance, Layout

SHARED = Path("/work/shared/data/nsr1k")
SYNONYMS = {"kitten": "cat", "bear": "bear", "dog": "dog", "teddy bear": "teddy bear", "hot dog": "hot dog"}
SYNONYMS |= {"cat": "cat", "bike": "bicycle", "sofa": "couch", "teddy": "teddy bear", "television": "tv"}

COUNTING: list[dict[str, Any]] = [
    {
        "id": 7,
        "prompt": "two cats",
        "num_object": [["cat", 2]],
        "object_list": [["cat", [0.1, 0.2, 0.3, 0.4]], ["cat", [0.5, 0.2, 0.5, 0.4]]],
        "type": "template",
        "sub-type": "single-category",
    },
    {"id": 8, "prompt": "a dog on a bed", "num_object": [["dog", 1], ["bed", 1]], "type": "mscoco", "sub-type": "real"},
]
SPATIAL: list[dict[str, Any]] = [
    {
        "id": 7,
        "prompt": "a cat to the left of a dog",
        "relation": "left",
        "obj1": ["cat", [0.1, 0.4, 0.2, 0.2]],
        "obj2": ["dog", [0.6, 0.4, 0.2, 0.2]],
        "type": "template",
    }
]
RELEASED = [
    {"query_id": 7, "iter": 0, "prompt": "two cats", "object_list": [["cat", [0, 0, 0.5, 0.5]], [None, [0, 0, 0, 0]]]}
]


def synonym(noun: str) -> str | None:
    return SYNONYMS.get(noun)


def counting(prompt: str, kind: str = "real", **counts: int) -> CountingRow:
    named = tuple((name.replace("_", " "), number) for name, number in counts.items())
    return CountingRow(id=1, prompt=prompt, counts=named, kind=kind)


def spatial(prompt: str, relation: str, kind: str = "natural", first: str = "cat", second: str = "dog") -> SpatialRow:
    return SpatialRow(id=1, prompt=prompt, first=first, second=second, relation=relation, kind=kind)


def seen(*names: str | None) -> list[Seen]:
    return [(name, (i / 20, 0.4, i / 20 + 0.04, 0.5)) for i, name in enumerate(names)]


LEFT, MIDDLE, TOP = (0.1, 0.4, 0.3, 0.6), (0.4, 0.4, 0.6, 0.6), (0.4, 0.05, 0.6, 0.25)


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    (tmp_path / "counting").mkdir()
    (tmp_path / "counting" / "counting.val.json").write_text(json.dumps(COUNTING))
    (tmp_path / "counting" / "counting.train.json").write_text("nothing")
    (tmp_path / "spatial.dev.json").write_text(json.dumps(SPATIAL))
    (tmp_path / "gpt4.counting.json").write_text(json.dumps(RELEASED))
    return tmp_path


def test_a_folder_and_a_file(folder: Path) -> None:
    prompts = find_prompts(folder)
    assert [row.id for row in prompts.counting] == [7, 8]
    assert prompts.counting[0].counts == (("cat", 2),) and prompts.counting[1].kind == "real"
    assert prompts.counting[0].truth[0][1] == pytest.approx((0.1, 0.2, 0.4, 0.6))
    assert prompts.spatial[0].truth[1][1] == pytest.approx((0.6, 0.4, 0.8, 0.6))
    assert find_prompts(folder / "spatial.dev.json") == Prompts(spatial=prompts.spatial)
    assert find_prompts(folder / "spatial.dev.json") == read_prompts(folder / "spatial.dev.json")


def test_released_layouts_keep_what_is_no_box(folder: Path) -> None:
    (answer,) = read_layouts(folder / "gpt4.counting.json")
    assert answer.id == 7 and answer.objects == (("cat", (0, 0, 0.5, 0.5)), (None, (0, 0, 0, 0)))
    assert layout_of(answer.objects, "two cats") is None
    with pytest.raises(ResultError, match="--layouts"):
        read_prompts(folder / "gpt4.counting.json")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("{}", "expected a JSON list"),
        ("nonsense", "expected a JSON list"),
        ("[1]", "expected a JSON list"),
        ("[]", "is not of NSR-1K"),
        ('[{"a": 1}]', "is not of NSR-1K"),
        (json.dumps([{**COUNTING[0], "prompt": ""}]), "row 0 is malformed"),
        (json.dumps([COUNTING[0], {"id": 3, "num_object": [], "prompt": "a"}]), "row 1 has no 'sub-type'"),
        (json.dumps([{**COUNTING[0], "sub-type": "comparison"}]), "comparison of 1"),
        (json.dumps([{**SPATIAL[0], "relation": "near"}]), "row 0 is malformed"),
    ],
)
def test_what_is_not_of_the_format_is_refused(tmp_path: Path, content: str, message: str) -> None:
    path = tmp_path / "counting.json"
    path.write_text(content)
    with pytest.raises(ResultError, match=message):
        read_prompts(path)


def test_nothing_there_is_refused(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no counting"):
        find_prompts(tmp_path)
    with pytest.raises(ResultError, match="cannot be read"):
        find_prompts(tmp_path / "counting.json")


def test_a_part_is_spread_over_the_file() -> None:
    rows = tuple(counting(f"{i} cats", cat=i) for i in range(10))
    assert [row.counts[0][1] for row in Prompts(counting=rows).part(4).counting] == [0, 2, 5, 7]
    assert Prompts(counting=rows).part(None).counting == Prompts(counting=rows).part(99).counting == rows


def test_official_counting() -> None:
    row = counting("two cats and a dog", cat=2, dog=1)
    assert official_counting(row, seen("cat", "cat", "dog")) == {
        **dict.fromkeys(("accuracy", "precision", "recall", "iou"), 1.0),
        "mae": 0.0,
    }
    extra = official_counting(row, seen("cat", "cat", "dog", "bed", "bed"))
    assert extra["accuracy"] == 1 and extra["precision"] == 3 / 5
    wrong = official_counting(row, seen("cat", "dog", "dog", "dog"))
    assert wrong == {"accuracy": 0.0, "precision": 2 / 4, "recall": 2 / 3, "iou": 2 / 5, "mae": 1.5}
    assert official_counting(row, []) == {**dict.fromkeys(("accuracy", "precision", "recall", "iou"), 0.0), "mae": 1.5}


def test_official_names_have_their_quirks() -> None:
    assert official_counting(counting("an apple", apple=1), seen("pple"))["accuracy"] == 1
    assert official_counting(counting("a teddy bear", teddy_bear=1), seen("the teddy bear"))["accuracy"] == 1
    assert official_counting(counting("a plant", potted_plant=1), seen("potted-plant"))["accuracy"] == 0
    assert official_counting(counting("a hot dog and a dog", dog=1, hot_dog=1), seen("hot dog", "dog"))["accuracy"] == 0
    assert official_counting(counting("a car", car=1), seen("carrot"))["accuracy"] == 1  # substring
    assert official_counting(counting("a cat", cat=1), seen("a"))["accuracy"] == 1  # nothing is in everything
    assert official_counting(counting("a cat", cat=1), seen(None, "cat"))["precision"] == 1


@pytest.mark.parametrize(
    ("one", "two", "names", "kept"),
    [
        (2, 2, "cat cat dog dog", 1),
        (2, 2, "cat cat dog", 0),
        (2, 3, "cat cat dog dog dog dog", 1),
        (2, 3, "cat dog dog", 0),
        (2, 3, "cat cat dog", 0),
        (3, 1, "cat cat cat dog dog", 1),
        (3, 1, "cat cat cat", 1),
    ],
)
def test_official_comparisons(one: int, two: int, names: str, kept: int) -> None:
    row = counting("…", "comparison", cat=one, dog=two)
    assert official_counting(row, seen(*names.split())) == {"accuracy": kept}


@pytest.mark.parametrize(
    ("box", "relation"),
    [
        ((0.5, 0, 0.6, 0.1), "right"),
        ((0, 0.5, 0.1, 0.6), "bottom"),
        ((-1, 0, -0.9, 0.1), "left"),
        ((0.2, -1, 0.3, -0.9), "top"),
        ((0, 0, 0.1, 0.1), "diagonal"),
        ((0.5, 0.5, 0.6, 0.6), "diagonal"),
        ((-0.1, -0.1, 0.2, 0.2), "diagonal"),
    ],
)
def test_official_relations(box: tuple[float, ...], relation: str) -> None:
    assert official_relation(box, (0, 0, 0.1, 0.1)) == relation


def test_official_spatial() -> None:
    row = spatial("a cat left of a dog", "left")
    assert official_spatial(row, [("cat", LEFT), ("dog", MIDDLE)]) is True
    assert official_spatial(row, [("cat", MIDDLE), ("dog", LEFT)]) is False
    assert official_spatial(row, [("cat", LEFT), ("dog", TOP), ("dog", MIDDLE), ("cat", TOP)]) is True  # any pair
    assert official_spatial(row, [("cats", LEFT), ("dogs", MIDDLE)]) is True  # the closest name
    assert official_spatial(row, [("cat", LEFT)]) is None
    assert official_spatial(row, [("cat", (0, 0, 0, 0)), ("dog", MIDDLE)]) is None
    assert official_spatial(row, []) is None
    beside = spatial("a cat next to a dog", "next to")
    assert official_spatial(beside, [("cat", MIDDLE), ("dog", LEFT)]) is True
    assert official_spatial(beside, [("cat", MIDDLE), ("dog", TOP)]) is False


@pytest.mark.skipif(not SHARED.exists(), reason="needs the development half of NSR-1K")
def test_conformance_with_the_published_scorer() -> None:
    rows = {row.id: row for row in read_prompts(SHARED / "counting.dev.json").counting}
    scores: dict[str, list[float]] = defaultdict(list)
    for answer in read_layouts(SHARED / "gpt4.counting.dev.json"):
        row = rows[answer.id]
        for metric, value in official_counting(row, answer.objects).items():
            scores[metric].append(value)
        scores[row.kind].append(scores["accuracy"][-1])
    shown = {name: f"{100 * mean(values):.2f}" for name, values in scores.items()}
    assert f"{mean(scores['mae']):.3f}" == "0.305"
    assert {**shown, "mae": ""} == {
        **{"precision": "78.68", "recall": "83.83", "iou": "83.37", "mae": "", "accuracy": "76.38"},
        **{"single-category": "82.35", "two-categories": "66.67", "comparison": "82.17", "real": "77.72"},
    }


@pytest.mark.skipif(not SHARED.exists(), reason="needs the development half of NSR-1K")
def test_the_truth_itself_is_right() -> None:
    prompts = find_prompts(SHARED)
    assert all(official_spatial(row, row.truth) for row in prompts.spatial)
    assert mean(official_counting(row, row.truth)["accuracy"] for row in prompts.counting) > 0.99
    assert mean(strict_counting(row, row.truth, lambda noun: None) for row in prompts.counting) > 0.99
    assert mean(strict_spatial(row, row.truth, lambda noun: None) for row in prompts.spatial) > 0.98


def test_strict_counting_of_templates() -> None:
    row = counting("two cats and a dog", "two-categories", cat=2, dog=1)
    assert strict_counting(row, seen("cat", "Cats", "dog"), synonym)
    assert strict_counting(row, seen("kitten", "cat", "dog"), synonym)
    assert not strict_counting(row, seen("cat", "cat", "dog", "bed"), synonym)
    assert not strict_counting(row, seen("cat", "cat"), synonym)
    assert not strict_counting(row, seen("cat", "cat", "hot dog"), synonym)
    assert not strict_counting(row, [*seen("cat", "cat"), ("dog", (0.5, 0.5, 0.5, 0.9))], synonym)
    assert strict_counting(counting("a stop sign", "single-category", stop_sign=1), seen("stop-sign"), synonym)


def test_strict_comparisons() -> None:
    fewer = counting("two cats and a few dogs …", "comparison", cat=2, dog=3)
    assert strict_counting(fewer, seen(*["cat"] * 2, *["dog"] * 5), synonym)
    assert not strict_counting(fewer, seen(*["cat"] * 2, *["dog"] * 2), synonym)
    assert not strict_counting(fewer, seen(*["cat"] * 1, *["dog"] * 3), synonym)
    assert not strict_counting(fewer, seen(*["cat"] * 2, *["dog"] * 5, "bed"), synonym)
    more = counting("three cats and a few dogs …", "comparison", cat=3, dog=1)
    assert strict_counting(more, seen(*["cat"] * 3, *["dog"] * 2), synonym)
    assert not strict_counting(more, seen(*["cat"] * 3), synonym)
    equal = counting("a cat and the equal number of dog", "comparison", cat=1, dog=1)
    assert strict_counting(equal, seen("cat", "dog"), synonym)
    assert not strict_counting(equal, seen("cat", "dog", "dog"), synonym)


def test_strict_counting_of_captions_lets_named_things_be() -> None:
    row = counting("Two cats on a striped Pillow", cat=2)
    assert strict_counting(row, seen("cat", "cat", "pillow"), synonym)
    assert not strict_counting(row, seen("cat", "cat", "pillow", "dog"), synonym)
    assert not strict_counting(row, seen("cat", "pillow"), synonym)


def test_strict_spatial() -> None:
    row = spatial("a cat left of a dog", "left", "template")
    assert strict_spatial(row, [("cat", LEFT), ("dog", MIDDLE)], synonym)
    assert not strict_spatial(row, [("cat", LEFT), ("dog", MIDDLE), ("dog", (0.7, 0.4, 0.9, 0.6))], synonym)
    assert not strict_spatial(row, [("cat", LEFT), ("dog", MIDDLE), ("bed", TOP)], synonym)
    assert not strict_spatial(row, [("cat", MIDDLE), ("dog", LEFT)], synonym)
    natural = spatial("two cats on a bed to the left of a dog", "left")
    both = [("cat", LEFT), ("cat", (0.05, 0.4, 0.2, 0.6)), ("dog", MIDDLE)]
    assert strict_spatial(natural, [*both, ("bed", TOP)], synonym)
    assert not strict_spatial(natural, both[1:], synonym)
    assert not strict_spatial(natural, [*both[1:], ("cat", (0.7, 0.4, 0.9, 0.6))], synonym)
    far = spatial("a cat next to a dog", "next to")
    assert not strict_spatial(far, [("cat", (0, 0.4, 0.1, 0.6)), ("dog", (0.9, 0.4, 1, 0.6))], synonym)


@pytest.mark.parametrize(
    ("prompt", "category", "said"),
    [
        ("two large, brown dogs", "dog", [(True, None)]),  # not "brown dogs" for certain: the comma ends the walk
        ("two large brown dogs", "dog", [(True, 2)]),
        ("a black and white dog", "dog", [(False, 1)]),
        ("three men riding bikes", "bicycle", [(True, None)]),
        ("a couple of kittens near 4 dogs", "cat", [(True, 2)]),
        ("a couple of kittens near 4 dogs", "dog", [(True, 4)]),
        ("a hot dog", "dog", []),
        ("a hot dog and the dog's bowl", "dog", [(False, 1)]),
        ("a small teddy bear", "bear", []),
        ("a small teddy bear next to his teddy", "teddy bear", [(False, 1), (False, 1)]),
        ("a pair of scissors", "scissors", [(False, 1)]),
        ("Dogs in the snow", "dog", [(True, None)]),
        ("dog in the snow", "dog", [(False, 1)]),
        ("", "dog", []),
    ],
)
def test_mentions(prompt: str, category: str, said: list[tuple[bool, int | None]]) -> None:
    assert mentions(prompt, category, synonym) == [Mention(plural=many, count=count) for many, count in said]


def test_what_cannot_be_known_is_listed_with_its_reason() -> None:
    assert unknowable(counting("three cats", cat=3), synonym) is None
    assert unknowable(counting("a cat and another cat", cat=2), synonym) is None
    assert unknowable(counting("cats in a field", cat=3), synonym) == "cat: a plural without a number, there were 3"
    assert unknowable(counting("a cat", cat=3), synonym) == "cat: 1 named, there were 3"
    assert unknowable(counting("a cat", cat=1, dog=1), synonym) == "dog: not named"
    assert unknowable(counting("cats in a field", "single-category", cat=3), synonym) is None


@pytest.mark.parametrize(
    ("prompt", "first", "relation", "second", "told"),
    [
        ("a cat on a bed next to a wall", "cat", "next to", "bed", False),
        ("a cat on a bed next to a dog", "dog", "next to", "bed", True),
        ("a cat next to a pile of books and a dog", "cat", "next to", "dog", True),
        ("a cat next to a fence with a dog", "cat", "next to", "dog", False),
        ("a cat and a dog laying next to each other", "cat", "next to", "dog", True),
        ("a white bed with a teddy on top of it", "teddy bear", "top", "bed", True),
        ("a large teddy bear laying on top of a bed", "bed", "top", "teddy bear", False),
        ("a kitten sitting on top of a red car", "cat", "top", "car", True),
        ("a cat in a bowl on top of a cupboard", "cat", "top", "bowl", False),
        ("a cat is under the back of a car", "cat", "bottom", "car", True),
        ("a cat sleeping on a bed under some blankets", "cat", "bottom", "bed", False),
        ("a kitchen with a stove", "oven", "next to", "microwave", False),
    ],
)
def test_relations_that_the_caption_does_not_tell(
    prompt: str, first: str, relation: str, second: str, told: bool
) -> None:
    row = spatial(prompt, relation, first=first, second=second)
    assert (unknowable(row, synonym) is None) == told
    assert unknowable(spatial(prompt, relation, "template", first=first, second=second), synonym) is None


def test_answer_of_a_layout() -> None:
    layout = Layout(caption="a cat", instances=(Instance(caption="a big cat", box=Box(0.1, 0.2, 0.3, 0.4)),))
    answer = answer_of(layout, 5)
    assert answer.id == 5 and answer.objects == (("cat", (0.1, 0.2, 0.3, 0.4)),)

"""repair: whatever came in, a valid layout that keeps its statement comes out, with every change said."""

import contextlib
import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from scenograph.errors import PlanError
from scenograph.judging.statement import Comparison, Relation, Statement, Thing, check
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.arrange import arrange
from scenograph.planning.repair import repair
from tests.layout.strategies import layouts

CAT, DOG = Thing(noun="cat"), Thing(noun="dog")
LEFT = Statement(things=(CAT, DOG), relations=(Relation(name="left of", subject=0, objects=(1,)),))
GOOD = {
    "caption": "a cat left of a dog",
    "instances": [{"caption": "a cat", "box": [0.1, 0.3, 0.4, 0.6]}, {"caption": "a dog", "box": [0.6, 0.3, 0.9, 0.6]}],
}


def with_boxes(*boxes: Any, **fields: Any) -> dict[str, Any]:
    names = ("a cat", "a dog", "a bird")
    listed = [{"caption": name, "box": box} for name, box in zip(names, boxes, strict=False)]
    return {"caption": "a cat left of a dog", "instances": listed, **fields}


def boxes_of(layout: Layout) -> list[list[float]]:
    return [[round(side, 6) for side in i.box] for i in layout.instances]


def test_what_is_right_stays_as_it_is() -> None:
    layout = Layout.from_dict(GOOD)
    repaired = repair(layout, statement=LEFT)
    assert repaired.layout is layout and repaired.changes == ()
    assert repair(layout).layout is layout
    for raw in (GOOD, json.dumps(GOOD), json.dumps(GOOD).encode()):
        repaired = repair(raw, statement=LEFT)
        assert repaired.layout == layout and repaired.changes == ()


@settings(max_examples=100, deadline=None)
@given(layouts())
def test_every_valid_layout_stays(layout: Layout) -> None:
    assert repair(layout).layout is layout
    if layout.instances:
        repaired = repair(layout.to_dict())
        assert repaired.layout == layout or repaired.changes  # boxes thinner than 1e-4 count as collapsed
        assert repair(layout.to_json()).layout == repaired.layout


@pytest.mark.parametrize(
    ("cat", "expected", "words"),
    [
        ([0.4, 0.6, 0.1, 0.3], [0.1, 0.3, 0.4, 0.6], "exchanged left and right and top and bottom of 'a cat'"),
        ([-0.1, 0.3, 0.2, 0.6], [0.0, 0.3, 0.3, 0.6], "moved 'a cat' 0.1 to the right, into the canvas"),
        ([0.1, 0.8, 0.4, 1.1], [0.1, 0.7, 0.4, 1.0], "moved 'a cat' 0.1 up, into the canvas"),
        ([-0.2, 0.3, 1.1, 0.6], [0.0, 0.3, 1.0, 0.6], "clipped 'a cat' to the canvas"),
        ([0.2, 0.3, 0.2, 0.6], [0.175, 0.3, 0.225, 0.6], "gave 'a cat' a width of 0.05"),
        (["0.1", 0.3, 0.4, 0.6], [0.1, 0.3, 0.4, 0.6], "read the quoted numbers in the box of 'a cat'"),
        ({"x": 0.1, "y": 0.3, "w": 0.3, "h": 0.3}, [0.1, 0.3, 0.4, 0.6], "by its corners: it had x, y, w, h"),
        ([[0.1, 0.3], [0.4, 0.6]], [0.1, 0.3, 0.4, 0.6], None),
    ],
)
def test_boxes_are_made_valid(cat: object, expected: list[float], words: str | None) -> None:
    repaired = repair(with_boxes(cat, [0.6, 0.3, 0.9, 0.6]))
    assert boxes_of(repaired.layout) == [expected, [0.6, 0.3, 0.9, 0.6]]
    assert len(repaired.changes) == (words is not None)
    assert words is None or words in repaired.changes[0]


@pytest.mark.parametrize("box", [[float("nan"), 0, 1, 1], [0, 0, float("inf"), 1], [1, 2], None, "here", [True] * 4])
def test_a_box_without_numbers_gets_the_usual_size(box: object) -> None:
    repaired = repair(with_boxes(box))
    assert "is not four numbers" in repaired.changes[0]
    assert 0.05 < repaired.layout.instances[0].box.area < 0.3


def test_other_scales_are_taken_only_with_a_word() -> None:
    raw = with_boxes([51.2, 128, 204.8, 256], [300, 128, 500, 256])
    for repaired in (repair(raw, size=(512, 512)), repair(dict(raw, size=[512, 512]))):
        assert boxes_of(repaired.layout)[0] == [0.1, 0.25, 0.4, 0.5]
        assert repaired.changes == ("read the boxes as pixels of the canvas of 512x512",)
    assert "thousandths" in repair(raw).changes[0]
    assert "thousandths" in repair(with_boxes([100, 100, 400, 900]), size=(64, 64)).changes[0]
    assert "hundredths" in repair(with_boxes([10, 10, 40, 90])).changes[0]
    assert "took 2400 for the width" in repair(with_boxes([100, 100, 2400, 900])).changes[0]
    one_far_side = repair(with_boxes([0.1, 0.1, 0.4, 0.4], [0.2, 0.2, 0.5, 0.5], [0.5, 0.5, 1.7, 0.9]))
    assert boxes_of(one_far_side.layout)[:2] == [[0.1, 0.1, 0.4, 0.4], [0.2, 0.2, 0.5, 0.5]]


@pytest.mark.parametrize("end", [30, 60, 95, 110, 140, len(json.dumps(GOOD)) - 1])
def test_json_cut_short_keeps_what_is_whole(end: int) -> None:
    text = json.dumps(GOOD)[:end]
    repaired = repair(text, statement=LEFT, caption="a cat left of a dog")
    assert check(LEFT, repaired.layout).strict
    whole = text.count("}")
    assert boxes_of(repaired.layout)[:whole] == [[0.1, 0.3, 0.4, 0.6], [0.6, 0.3, 0.9, 0.6]][:whole]
    assert repaired.changes
    assert repaired.layout.caption == "a cat left of a dog"


def test_words_around_the_json_are_left_out() -> None:
    repaired = repair(f"Sure! Here is the layout:\n```json\n{json.dumps(GOOD, indent=1)}\n```\nEnjoy {{}}!")
    assert repaired.layout == Layout.from_dict(GOOD)
    assert repaired.changes == ("left out the words around the JSON",)


def test_habits_of_models_are_understood() -> None:
    listed = [{"label": "cat", "bbox": [100, 200, 300, 400]}, {"label": "dog", "bbox": [500, 200, 800, 600]}]
    assert boxes_of(repair(listed, statement=LEFT).layout) == [[0.1, 0.2, 0.3, 0.4], [0.5, 0.2, 0.8, 0.6]]
    assert len(repair([["a cat", [0.1, 0.1, 0.3, 0.3]]]).layout.instances) == 1
    assert len(repair({"objects": {"cat": [0.1, 0.1, 0.3, 0.3]}}).layout.instances) == 1
    odd = {"caption": "x", "instances": [{"caption": "a cat", "box": [0, 0, 1, 1], "label": 3, "score": 7, "id": 1}, 5]}
    assert len(repair(odd).changes) == 4


@pytest.mark.parametrize(
    "nothing", ["", "no", "{}", "[]", "[[[[", "{" * 5000, {}, [], None, 3.5, b"\xff\xfe", [[[]]], {"instances": 3}]
)
def test_nothing_to_read(nothing: object) -> None:
    with pytest.raises(PlanError, match="no instance can be read"):
        repair(nothing)
    repaired = repair(nothing, statement=LEFT)
    assert check(LEFT, repaired.layout).strict
    assert "placed everything" in repaired.changes[0]


def test_a_wrong_relation_moves_few_boxes() -> None:
    layout = Layout(
        caption="x",
        instances=tuple(
            Instance(caption=name, box=box)
            for name, box in (
                ("a cat", Box(0.5, 0.3, 0.7, 0.5)),
                ("a dog", Box(0.4, 0.6, 0.6, 0.8)),
                ("a bird", Box(0.8, 0.1, 0.9, 0.2)),
            )
        ),
    )
    statement = replace(LEFT, things=(CAT, DOG, Thing(noun="bird")))
    repaired = repair(layout, statement=statement)
    assert check(statement, repaired.layout).strict
    assert repaired.layout.instances[2] is layout.instances[2]
    assert 1 <= len(repaired.changes) <= 2
    assert all(c.startswith("moved 'a ") and c.endswith("for 'a cat left of a dog'") for c in repaired.changes)
    for old, new in zip(layout.instances, repaired.layout.instances, strict=True):
        assert new.box.width == pytest.approx(old.box.width) and new.box.height == pytest.approx(old.box.height)


def test_wrong_counts() -> None:
    cats = Statement(things=(Thing(noun="cat", least=2, most=2), DOG), absent=("bird",))
    raw = {
        "caption": "two cats and a dog",
        "instances": [
            {"caption": "a cat", "box": [0.1, 0.1, 0.3, 0.3]},
            {"caption": "a cat", "box": [0.5, 0.1, 0.7, 0.3]},
            {"caption": "a cat", "box": [0.11, 0.1, 0.31, 0.3]},
            {"caption": "a bird", "box": [0.5, 0.5, 0.6, 0.6]},
        ],
    }
    repaired = repair(raw, statement=cats)
    assert check(cats, repaired.layout).strict
    assert boxes_of(repaired.layout)[:2] == [[0.1, 0.1, 0.3, 0.3], [0.5, 0.1, 0.7, 0.3]]
    assert repaired.changes == (
        "removed 'a bird': it is stated to be absent",
        "removed 'a cat': there should be 2 of '2 cats'",
        "added 'a dog': there should be one",
    )
    dog = repaired.layout.instances[2].box
    assert all(dog.iou(i.box) < 0.05 for i in repaired.layout.instances[:2])


def test_comparisons_change_as_few_as_can_be() -> None:
    things = (Thing(noun="cat", most=None), Thing(noun="dog", most=None))
    more = Statement(things=things, comparisons=(Comparison(name="more", first=0, second=1),))
    repaired = repair(with_boxes([0.1, 0.1, 0.3, 0.3], [0.5, 0.5, 0.7, 0.7]), statement=more)
    assert check(more, repaired.layout).strict
    assert len(repaired.changes) == 1


def test_a_contradiction_is_said() -> None:
    both = replace(LEFT, relations=(*LEFT.relations, Relation(name="left of", subject=1, objects=(0,))))
    repaired = repair(GOOD, statement=both)
    assert "dropped 'a dog left of a cat'" in repaired.changes[-1]
    assert repaired.layout == Layout.from_dict(GOOD)


SCENES = (
    LEFT,
    Statement(
        things=(Thing(noun="cup", least=3, most=3), Thing(noun="table"), Thing(noun="lamp")),
        relations=(Relation(name="on", subject=0, objects=(1,)), Relation(name="next to", subject=2, objects=(1,))),
    ),
    Statement(
        things=(Thing(noun="chair", least=4, most=4), Thing(noun="table")),
        relations=(Relation(name="around", subject=0, objects=(1,)),),
    ),
    Statement(
        things=(Thing(noun="man"), Thing(noun="car"), Thing(noun="tree"), Thing(noun="dog")),
        relations=(
            Relation(name="between", subject=0, objects=(1, 2)),
            Relation(name="in front of", subject=3, objects=(1,)),
        ),
    ),
    Statement(
        things=(Thing(noun="fish", least=2, most=2), Thing(noun="bowl"), Thing(noun="cat")),
        relations=(Relation(name="inside", subject=0, objects=(1,)), Relation(name="behind", subject=2, objects=(1,))),
    ),
)


@settings(max_examples=120, deadline=None)
@given(data=st.data(), statement=st.sampled_from(SCENES), seed=st.integers(0, 50))
def test_any_damage_is_repaired(data: st.DataObject, statement: Statement, seed: int) -> None:
    raw = arrange(statement, "a picture", seed=seed).layout.to_dict()
    listed = raw["instances"]
    sides = st.one_of(st.floats(-1, 2), st.floats(), st.integers(-50, 1200), st.none(), st.text(max_size=3))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(listed)))
        match data.draw(st.sampled_from(["box", "drop", "double", "stranger", "side", "caption"])):
            case "drop":
                del listed[at : at + 1]
            case "double":
                listed += listed[at : at + 1]
            case "stranger":
                listed.insert(at, {"caption": "a zebra", "box": [0.1, 0.1, 0.2, 0.2]})
            case "box":
                for item in listed[at : at + 1]:
                    item["box"] = data.draw(st.lists(sides, max_size=5))
            case "side":
                for item in listed[at : at + 1]:
                    item["box"] = [*item["box"][:3], data.draw(st.floats(-0.5, 1.5))]
            case _:
                for item in listed[at : at + 1]:
                    item["caption"] = data.draw(st.sampled_from(["", None, 3, "a cat"]))
    repaired = repair(raw, statement=statement)
    assert check(statement, repaired.layout).strict, repaired.changes
    assert Layout.from_json(repaired.layout.to_json()) == repaired.layout
    text = json.dumps(raw)
    cut = repair(text[: data.draw(st.integers(0, len(text)))], statement=statement)
    assert check(statement, cut.layout).strict


@settings(max_examples=200, deadline=None)
@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=8) | st.integers(),
        lambda inner: (
            st.lists(inner, max_size=4)
            | st.dictionaries(st.sampled_from(["instances", "caption", "box", "label", "size"]), inner, max_size=4)
        ),
        max_leaves=12,
    )
)
def test_nothing_crashes_it(raw: object) -> None:
    with contextlib.suppress(PlanError):
        assert repair(raw).layout.instances
    assert check(LEFT, repair(raw, statement=LEFT).layout).strict

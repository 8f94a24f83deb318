"""In-context examples: the nearest are found, and the baseline that takes them as they are."""

import json

import pytest

from scenograph.errors import LayoutError, PlanError
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.examples import Examples, ExamplesPlanner, shots
from scenograph.planning.prompting import CANVAS, answer_schema, loose_layout, messages, to_answer, to_layout


def layout(caption: str) -> Layout:
    return Layout(caption=caption, instances=(Instance(caption="a thing", box=Box(0.1, 0.2, 0.5, 0.9)),))


BANK = Examples(tuple(layout(c) for c in ("two cats on a bed", "a train left of a bus", "three chairs around a table")))


@pytest.mark.parametrize(
    ("prompt", "nearest"),
    [
        ("a bus left of a train", "a train left of a bus"),
        ("many cats", "two cats on a bed"),
        ("one chair", "three chairs around a table"),  # by the parts of the word
        ("the beds", "two cats on a bed"),
    ],
)
def test_the_nearest_caption(prompt: str, nearest: str) -> None:
    assert BANK.nearest(prompt, 1)[0].caption == nearest


def test_order_and_number() -> None:
    assert [e.caption for e in BANK.nearest("zzz", 5)] == [e.caption for e in BANK.layouts]
    assert shots(BANK, "a bus", 2)[-1].caption == "a train left of a bus"
    assert not shots(None, "a bus", 2) and not shots(BANK, "a bus", 0)


def test_the_shipped_examples_are_sound() -> None:
    shipped = Examples.shipped()
    assert len({e.caption for e in shipped.layouts}) == len(shipped.layouts) >= 24
    for example in shipped.layouts:
        assert example.instances
        assert len(to_layout(to_answer(example), example.caption).instances) == len(example.instances)


def test_a_missing_file_is_one_line() -> None:
    with pytest.raises(LayoutError, match="missing"):
        Examples.from_file("missing.jsonl")


def test_the_baseline() -> None:
    planner = ExamplesPlanner(BANK)
    plan = planner.plan("a bus and a train", size=(640, 480))
    assert plan.layout.caption == "a bus and a train" and plan.layout.size == (640, 480)
    assert plan.layout.instances[0].box == BANK.layouts[1].instances[0].box
    assert "a train left of a bus" in plan.changes[0]
    assert planner.plan("a bus and a train", seed=1).changes != plan.changes
    with pytest.raises(PlanError, match="empty"):
        planner.plan("  ")


def test_an_answer_goes_both_ways() -> None:
    made = to_layout(to_answer(BANK.layouts[0]), "two cats on a bed")
    assert made == BANK.layouts[0]
    edge = Layout(caption="x", instances=(Instance(caption="x", box=Box(0.9999, 0.0, 1.0, 0.0001)),))
    assert len(to_layout(to_answer(edge), "x").instances) == 1


def test_every_answer_that_keeps_the_schema_is_a_layout() -> None:
    from random import Random

    import jsonschema

    rng = Random(3)
    for _ in range(300):
        item = {
            "caption": "x",
            **{k: rng.randrange(CANVAS) for k in "xy"},
            **{k: 1 + rng.randrange(CANVAS) for k in "wh"},
        }
        answer = {"objects": [item]}
        jsonschema.validate(answer, answer_schema(most=1))
        assert Layout.from_json(to_layout(json.dumps(answer), "x").to_json()).instances


@pytest.mark.parametrize(
    "answer",
    [
        "",
        "[]",
        "{}",
        '{"objects": 3}',
        '{"objects": [3]}',
        '{"objects": [{"caption": "a", "x": 1}]}',
        '{"objects": [{}]}',
    ]
    + [json.dumps({"objects": [{"caption": "a", "x": x, "y": 1, "w": 1, "h": 1}]}) for x in (1000, -1, True, "1")],
)
def test_other_answers_are_refused(answer: str) -> None:
    with pytest.raises(PlanError, match="expected"):
        to_layout(answer, "a prompt")


def test_what_is_left_of_a_damaged_answer() -> None:
    half = '{"objects":[{"caption":"a cat","x":100,"y":200,"w":300,"h":100},{"caption":"no box"},{"caption":"a do'
    assert loose_layout(half, "cats")["instances"] == [
        {"caption": "a cat", "box": [0.1, 0.2, 0.4, 0.30000000000000004]}
    ]


def test_the_chat_ends_with_the_prompt() -> None:
    chat = messages("a cat", BANK.layouts[:1])
    assert [m["role"] for m in chat] == ["system", "user", "assistant", "user"]
    assert chat[-1]["content"] == "a cat" and chat[2]["content"] == to_answer(BANK.layouts[0])

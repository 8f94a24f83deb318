"""Instance and Layout: validation, dicts and JSON, the schema, COCO and GLIGEN."""

import dataclasses
import json
import math
from typing import Any

import jsonschema
import pytest
from hypothesis import given

import scenograph
from scenograph.errors import LayoutError
from scenograph.layout import MAX_INSTANCES, SCHEMA, Box, Instance, Layout, schema
from tests.layout.strategies import layouts

BOX = Box(0.1, 0.2, 0.3, 0.4)
DOG = Instance(caption="a black dog with a collar", box=BOX)


def valid() -> dict[str, Any]:
    return {"caption": "a dog", "instances": [{"caption": "a dog", "box": [0.1, 0.2, 0.3, 0.4]}]}


def changed(**fields: Any) -> dict[str, Any]:
    """A valid layout as a dict, with fields of its one instance set."""
    data = valid()
    data["instances"][0] |= fields
    return data


def test_label_defaults_to_the_head_noun() -> None:
    assert DOG.label == "dog"
    assert Instance(caption="a black dog", box=BOX, label="animal").label == "animal"
    assert dataclasses.replace(DOG, caption="a red cat").label == "dog"
    assert dataclasses.replace(DOG, caption="a red cat", label=None).label == "cat"  # type: ignore[arg-type]


def test_values_are_frozen_hashable_and_plain() -> None:
    layout = Layout(caption="a dog", instances=[DOG], size=[640, 480])  # type: ignore[arg-type]
    assert layout.instances == (DOG,)
    assert layout.size == (640, 480)
    assert {layout: 1}[dataclasses.replace(layout)] == 1
    with pytest.raises(dataclasses.FrozenInstanceError):
        layout.caption = "x"  # type: ignore[misc]
    with pytest.raises(TypeError):
        Layout("a dog", (DOG,))  # type: ignore[call-arg]


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("caption", "", "empty"),
        ("caption", " \n", "empty"),
        ("caption", 3, "expected a text"),
        ("caption", "\ud800", "surrogate"),
        ("label", "", "label is ''"),
        ("phrase", " ", "phrase"),
        ("negative", ["x"], "negative is ['x'] (list); expected a text"),
        ("score", 1.5, "between 0 and 1"),
        ("score", math.nan, "finite"),
        ("score", True, "number"),
        ("score", "0.5", "number"),
        ("box", (0, 0, 1, 1), "expected a Box"),
    ],
)
def test_no_instance(field: str, value: object, reason: str) -> None:
    fields: dict[str, Any] = {"caption": "a dog", "box": BOX, field: value}
    with pytest.raises(LayoutError) as caught:
        Instance(**fields)
    assert reason in str(caught.value)


@pytest.mark.parametrize(
    ("field", "value", "reason"),
    [
        ("caption", "", "empty"),
        ("instances", "dogs", "expected a sequence of Instance"),
        ("instances", 5, "expected a sequence of Instance"),
        ("instances", {"a": 1}, "expected a sequence of Instance"),
        ("instances", (DOG, BOX), "instances[1] is Box("),
        ("instances", (DOG,) * (MAX_INSTANCES + 1), "1001 instances; expected at most 1000"),
        ("size", (0, 1), "size is (0, 1)"),
    ],
)
def test_no_layout(field: str, value: object, reason: str) -> None:
    fields: dict[str, Any] = {"caption": "a dog", "instances": (DOG,), field: value}
    with pytest.raises(LayoutError) as caught:
        Layout(**fields)
    assert reason in str(caught.value)


def test_a_thousand_instances_and_none_are_layouts() -> None:
    assert len(Layout(caption="dogs", instances=(DOG,) * MAX_INSTANCES).instances) == MAX_INSTANCES
    assert Layout(caption="an empty room", instances=()).instances == ()


@given(layouts())
def test_json_loses_nothing(layout: Layout) -> None:
    assert Layout.from_json(layout.to_json()) == layout
    assert Layout.from_json(layout.to_json(indent=2).encode()) == layout
    assert Layout.from_dict(layout.to_dict()) == layout


def test_json_says_no_more_than_needed() -> None:
    assert Layout(caption="a dog", instances=(DOG,)).to_json() == (
        '{"caption": "a dog", "instances": [{"caption": "a black dog with a collar", "box": [0.1, 0.2, 0.3, 0.4]}]}'
    )


BAD: list[tuple[object, str]] = [
    (None, "layout is None"),
    ([], "expected an object with caption, instances, size"),
    ({"instances": []}, "layout has no 'caption'"),
    ({"caption": "x"}, "layout has no 'instances'"),
    (valid() | {"Caption": "x"}, "unknown key 'Caption'; did you mean 'caption'?"),
    (valid() | {"caption": ["x"]}, "caption is ['x']"),
    (valid() | {"instances": "xx"}, "expected a list of objects"),
    (valid() | {"instances": ["dog"]}, "instances[0]: instance is 'dog'"),
    (valid() | {"instances": valid()["instances"] * 10_000}, "10000 instances; expected at most 1000"),
    (valid() | {"size": [640]}, "size is [640]"),
    (valid() | {"size": [0, 640]}, "size is [0, 640]"),
    (valid() | {"size": "640x480"}, "size is '640x480'"),
    (changed(bbox=[0, 0, 1, 1]), "instances[0]: instance has the unknown key 'bbox'; did you mean 'box'?"),
    (changed(caption=""), "instances[0]: caption is ''"),
    (changed(caption=None), "instances[0]: caption is None"),
    (changed(label=7), "instances[0]: label is 7"),
    (changed(score="high"), "instances[0]: score is 'high'"),
    (changed(score=-1), "instances[0]: score is -1.0"),
    (changed(box=[0, 0, 1]), "box is [0, 0, 1]; expected four numbers"),
    (changed(box={"x0": 0}), "expected four numbers"),
    (changed(box="0011"), "expected four numbers"),
    (changed(box=[0, 0, 1, True]), "box y1 is True (bool)"),
    (changed(box=[0, 0, 1, "1"]), "box y1 is '1' (str)"),
    (changed(box=[0, 0, 640, 480]), "looks like pixels"),
    (changed(box=[0, -0.5, 1, 1]), "outside the canvas"),
]


@pytest.mark.parametrize(("data", "reason"), BAD)
def test_bad_dicts_and_the_schema_agree(data: object, reason: str) -> None:
    with pytest.raises(LayoutError) as caught:
        Layout.from_dict(data)
    assert reason in str(caught.value)
    assert "\n" not in str(caught.value)
    with pytest.raises(jsonschema.ValidationError):
        jsonschema.validate(data, SCHEMA)


@given(layouts())
def test_the_schema_accepts_every_layout(layout: Layout) -> None:
    jsonschema.Draft202012Validator(SCHEMA).validate(json.loads(layout.to_json()))


def test_the_schema_is_one_and_a_copy() -> None:
    jsonschema.Draft202012Validator.check_schema(SCHEMA)
    copy = schema()
    assert copy == SCHEMA
    copy["properties"].clear()
    assert SCHEMA["properties"]


def test_optional_keys_may_be_null() -> None:
    data = changed(label=None, phrase=None, score=None, negative=None) | {"size": None}
    jsonschema.validate(data, SCHEMA)
    assert Layout.from_dict(data) == Layout.from_dict(valid())


def test_one_layout_is_not_a_list() -> None:
    with pytest.raises(LayoutError, match=r"JSON array; expected one layout object.*load_layouts"):
        Layout.from_json("[]")


CATEGORIES = [{"id": 18, "name": "dog"}, {"id": 1, "name": "person"}]
IMAGE = {"id": 7, "width": 640, "height": 480}


def annotation(bbox: object, category: int = 18, **more: object) -> dict[str, Any]:
    return {"id": 5, "image_id": 7, "category_id": category, "bbox": bbox, "iscrowd": 0} | more


def test_from_coco() -> None:
    annotations = [
        annotation([160, 240, 160, 240], score=0.5),
        annotation([0, 0, 640, 480], category=1),
        annotation([0, 0, 64, 48], iscrowd=1),
        annotation([0, 0, 64, 48], image_id=8),
    ]
    layout = Layout.from_coco(IMAGE, annotations, CATEGORIES)
    assert layout.caption == "dog, person"
    assert layout.size == (640, 480)
    dog, person = layout.instances
    assert dog == Instance(caption="dog", label="dog", box=Box(0.25, 0.5, 0.5, 1), score=0.5)
    assert person.box == Box(0, 0, 1, 1)
    assert Layout.from_coco(IMAGE, [], CATEGORIES, caption="nothing here").instances == ()


def test_from_coco_refuses_or_cuts_what_reaches_outside() -> None:
    over = [annotation([600, 0, 40.5, 480])]
    with pytest.raises(LayoutError, match=r"annotation 5: box .*640x480 .*clip=True"):
        Layout.from_coco(IMAGE, over, CATEGORIES)
    assert Layout.from_coco(IMAGE, over, CATEGORIES, clip=True).instances[0].box.x1 == 1


@pytest.mark.parametrize(
    ("image", "annotations", "reason"),
    [
        ({"id": 7, "width": 640}, [], "expected a COCO record with 'height'"),
        (IMAGE, [annotation([0, 0, 9, 9], category=99)], "annotation 5: category_id is 99"),
        (IMAGE, [annotation([0, 0, 9])], "annotation 5: bbox is [0, 0, 9]"),
        (IMAGE, [annotation([0, 0, 0, 9])], "annotation 5: box [0, 0, 0, 9]"),
        (IMAGE, [{"bbox": [0, 0, 1, 1]}], "annotations[0] is {'bbox'"),
        (IMAGE, ["dog"], "annotations[0] is 'dog'"),
        (IMAGE, [], "image 7 has no instances"),
    ],
)
def test_bad_coco(image: dict[str, Any], annotations: list[Any], reason: str) -> None:
    with pytest.raises(LayoutError) as caught:
        Layout.from_coco(image, annotations, CATEGORIES)
    assert reason in str(caught.value)


@given(layouts())
def test_coco_keeps_boxes_labels_and_scores(layout: Layout) -> None:
    layout = dataclasses.replace(layout, size=(640, 480))
    image, annotations, categories = json.loads(json.dumps(layout.to_coco(image_id=3)))
    back = Layout.from_coco(image, annotations, categories, caption=layout.caption)
    assert (back.caption, back.size) == (layout.caption, layout.size)
    for was, now in zip(layout.instances, back.instances, strict=True):
        assert (was.label, was.score) == (now.label, now.score)
        assert max(abs(a - b) for a, b in zip(was.box, now.box, strict=True)) < 1e-12


def test_to_coco_with_given_categories() -> None:
    layout = Layout(caption="a dog", instances=(DOG,), size=(100, 100))
    image, annotations, categories = layout.to_coco(image_id=4, categories=CATEGORIES)
    assert image == {"id": 4, "width": 100, "height": 100}
    assert categories == CATEGORIES
    assert annotations[0]["category_id"] == 18
    assert annotations[0]["bbox"] == pytest.approx([10, 20, 20, 20])
    assert annotations[0]["area"] == pytest.approx(400)
    with pytest.raises(LayoutError, match="label 'dog' is not among the 1 categories"):
        layout.to_coco(categories=CATEGORIES[1:])
    with pytest.raises(LayoutError, match="no size"):
        dataclasses.replace(layout, size=None).to_coco()


def test_gligen() -> None:
    layout = Layout(caption="a dog", instances=(DOG,))
    assert layout.to_gligen() == {"gligen_phrases": [DOG.caption], "gligen_boxes": [[0.1, 0.2, 0.3, 0.4]]}
    assert Layout.from_gligen("a dog", **layout.to_gligen()) == layout
    with pytest.raises(LayoutError, match="1 gligen_phrases and 0 gligen_boxes"):
        Layout.from_gligen("a dog", ["a dog"], [])


def test_the_noun_is_at_hand() -> None:
    assert scenograph.Layout is Layout
    assert issubclass(LayoutError, scenograph.ScenographError)

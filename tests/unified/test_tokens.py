"""Layouts as tokens: exact round trips, stated quantisation, and what the tokenizer must bring."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenograph.errors import CheckpointError, LayoutError
from scenograph.layout import Box, Instance, Layout
from scenograph.unified.tokens import BBOX, LAYOUT, LAYOUT_END, SCAP, Codec, add_tokens
from tests.layout.strategies import boxes
from tests.tiny import tiny_tokenizer
from tests.unified.tiny import layout, text_codec, world_codec

CODECS = {"location": world_codec(), "text": text_codec()}


@pytest.fixture(params=CODECS)
def codec(request: pytest.FixtureRequest) -> Codec:
    return CODECS[request.param]


@pytest.mark.parametrize("name", CODECS)
@given(box=boxes)
def test_boxes_come_back_within_half_a_step(name: str, box: Box) -> None:
    coordinates = CODECS[name].coordinates
    back = coordinates.read(coordinates.write(box))
    step = 1 / (coordinates.bins - 1)
    thin_x, thin_y = box.width < step, box.height < step
    reach = {0: thin_x, 1: thin_y, 2: thin_x, 3: thin_y}
    for index, (side, kept) in enumerate(zip(box, back, strict=True)):
        assert abs(side - kept) <= step * (1 if reach[index] else 0.5) + 1e-12
    assert coordinates.read(coordinates.write(back)) == back  # and what was rounded once is not rounded again


@pytest.mark.parametrize("name", CODECS)
@given(captions=st.lists(st.text(min_size=1, max_size=12), max_size=4), box=boxes)
def test_layouts_come_back_in_their_normal_form(name: str, captions: list[str], box: Box) -> None:
    codec = CODECS[name]
    things = []
    for said in captions:
        if said.strip() and said.isprintable():
            things.append(Instance(caption=said, box=box))
    asked = Layout(caption="all of it", instances=tuple(things))
    ids = codec.write(asked.instances)
    assert codec.read(ids, "all of it") == codec.normal(asked)
    assert codec.write(codec.read(ids).instances) == ids
    assert codec.normal(codec.normal(asked)) == codec.normal(asked)


def test_a_byte_level_tokenizer_keeps_captions_to_the_letter() -> None:
    said = "A Dog's  ball — 犬, <bbox>"
    asked = layout((said, (0, 0, 1, 1)))
    assert text_codec().normal(asked).instances[0].caption == said


def test_marks_in_a_caption_are_plain_text(codec: Codec) -> None:
    ids = codec.write(layout((f"a {BBOX} cat {LAYOUT_END}", (0, 0, 1, 1))).instances)
    assert [ids.count(codec.marks[mark]) for mark in (LAYOUT, SCAP, BBOX, LAYOUT_END)] == [1, 1, 1, 1]
    assert "bbox" in codec.read(ids).instances[0].caption


def test_the_form_of_a_layout() -> None:
    ids = text_codec().write(layout(("a cat", (0.25, 0, 1, 0.5))).instances)
    assert text_codec().tokenizer.decode(ids) == "<layout><scap>a cat<bbox>250,000,999,500</layout>"
    ids = world_codec().write(layout(("a cat", (0.25, 0, 1, 0.5))).instances)
    assert world_codec().tokenizer.decode(ids) == "<layout><scap>a cat <bbox><loc32><loc0><loc128><loc64></layout>"


def test_pixel_edges_of_the_small_world_are_exact() -> None:
    codec = world_codec()
    box = Box.from_pixels(3, 17, 101, 128, size=(128, 128))
    assert codec.coordinates.read(codec.coordinates.write(box)) == box


def test_an_empty_layout_reads_as_one(codec: Codec) -> None:
    assert codec.read(codec.write([])).instances == ()


@pytest.mark.parametrize("cut", ["first", "last", "box", "inverted", "scap"])
def test_other_tokens_are_refused_in_one_line(codec: Codec, cut: str) -> None:
    ids = codec.write(layout(("a cat", (0.25, 0, 1, 0.5))).instances)
    length = codec.coordinates.length
    box = ids[-length - 1 : -1]
    broken = {
        "first": ids[1:],
        "last": ids[:-1],
        "box": [*ids[:-2], ids[-1]],
        "inverted": [*ids[: -length - 1], *reversed(box), ids[-1]],
        "scap": [ids[0], *ids[2:]],
    }[cut]
    with pytest.raises(LayoutError) as caught:
        codec.read(broken)
    assert "\n" not in str(caught.value) and "expected" in str(caught.value)


def test_a_tokenizer_without_the_marks_is_refused() -> None:
    with pytest.raises(CheckpointError, match="add_tokens"):
        _ = Codec(tiny_tokenizer()).marks
    with pytest.raises(CheckpointError, match="pad"):
        tokenizer = tiny_tokenizer()
        tokenizer.pad_token = None
        Codec(add_tokens(tokenizer))


def test_adding_tokens_twice_adds_none() -> None:
    tokenizer = add_tokens(tiny_tokenizer(), locations=9)
    count = len(tokenizer)
    assert len(add_tokens(tokenizer, locations=9)) == count
    assert tokenizer.pad_token != tokenizer.eos_token  # CLIP's are one and the same


def test_a_saved_tokenizer_is_the_same_codec(tmp_path: object, codec: Codec) -> None:
    from transformers import AutoTokenizer

    codec.tokenizer.save_pretrained(tmp_path)
    again = Codec(AutoTokenizer.from_pretrained(tmp_path))
    assert again.coordinates == codec.coordinates and again.words == codec.words and again.marks == codec.marks
    assert again.write(layout().instances) == codec.write(layout().instances)

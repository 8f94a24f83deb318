"""Whatever is chosen among the allowed tokens parses, and every layout can be written."""

from __future__ import annotations

from random import Random

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenograph.errors import PlanError
from scenograph.layout import Instance
from scenograph.unified.grammar import LayoutGrammar, Writing
from scenograph.unified.tokens import BBOX, LAYOUT_END, SCAP, Codec
from tests.layout.strategies import boxes
from tests.unified.tiny import text_codec, world_codec

CODECS = {"location": world_codec(), "text": text_codec()}


def written(grammar: LayoutGrammar, rng: Random, *, eager: bool = False) -> list[int]:
    """A layout of tokens chosen at random; eager chooses another instance and the end of a caption where it can."""
    writing, ids = grammar.begin(), []
    marks = grammar.codec.marks
    while not writing.done:
        allowed = writing.allowed().tolist()
        wanted = [token for token in (marks[BBOX], marks[SCAP]) if eager and token in allowed]
        ids.append((wanted or [rng.choice(allowed)])[0])
        writing.push(ids[-1])
        assert len(ids) <= grammar.room
    return ids


@pytest.mark.parametrize("name", CODECS)
def test_anything_allowed_parses(name: str) -> None:
    codec = CODECS[name]
    for seed in range(200):
        grammar = LayoutGrammar(codec, most=4, longest=5)
        ids = written(grammar, Random(seed), eager=seed % 2 == 0)
        found = codec.read(ids)
        assert ids[-1] == codec.eos and len(found.instances) <= 4
        if seed % 2 == 0:
            assert len(found.instances) == 4


@pytest.mark.parametrize("name", CODECS)
@given(data=st.data())
def test_any_layout_can_be_written(name: str, data: st.DataObject) -> None:
    codec = CODECS[name]
    captions = data.draw(st.lists(st.sampled_from(["a dog", "two red cats", "teddy bear"]), max_size=3))
    instances = [Instance(caption=said, box=data.draw(boxes)) for said in captions]
    ids = [*codec.write(instances), codec.eos]
    for grammar in (LayoutGrammar(codec, most=3), LayoutGrammar(codec, phrases=captions)):
        writing = grammar.begin()
        for token in ids:
            assert token in writing.allowed().tolist()
            writing.push(token)
        assert writing.done and len(ids) <= grammar.room


@pytest.mark.parametrize("name", CODECS)
def test_given_phrases_each_get_one_box(name: str) -> None:
    codec = CODECS[name]
    phrases = ["a black dog", "A CAT, with 3 tails — 猫", "a cat"]
    for seed in range(20):
        found = codec.read(written(LayoutGrammar(codec, phrases=phrases), Random(seed)))
        assert [one.caption for one in found.instances] == [codec.said(codec.text(said)) for said in phrases]


def boxed(codec: Codec) -> Writing:
    writing = LayoutGrammar(codec, phrases=["a cat"]).begin()
    while writing.state != "box":
        writing.push(int(writing.allowed()[0]))
    return writing


def test_location_tokens_leave_room_for_the_box() -> None:
    codec = CODECS["location"]
    writing = boxed(codec)
    digits = codec.coordinates.digits
    assert writing.allowed().tolist() == list(digits[:-1])
    writing.push(digits[100])
    writing.push(digits[127])
    assert writing.allowed().tolist() == list(digits[101:])
    writing.push(digits[128])
    assert writing.allowed().tolist() == [digits[128]]


def test_digits_leave_room_for_the_box() -> None:
    codec = CODECS["text"]
    writing = boxed(codec)
    digits = codec.coordinates.digits

    def push(text: str) -> None:
        for sign in text:
            token = codec.id_of(sign)
            assert token in writing.allowed().tolist(), (text, sign)
            writing.push(token)

    push("99")
    assert writing.allowed().tolist() == list(digits[:9])  # 999 leaves no room on the right
    push("8,000,")
    assert writing.allowed().tolist() == [digits[9]]
    push("99")
    assert writing.allowed().tolist() == [digits[9]]
    push("9,0")
    assert writing.allowed().tolist() == list(digits)
    push("0")
    assert writing.allowed().tolist() == list(digits[1:])


def test_least_and_most() -> None:
    codec = CODECS["location"]
    marks = codec.marks
    grammar = LayoutGrammar(codec, least=1, most=1)
    writing = grammar.begin()
    writing.push(int(writing.allowed()[0]))
    assert writing.allowed().tolist() == [marks[SCAP]]
    while writing.count == 0:
        writing.push(int(writing.allowed()[-1]))
    assert writing.allowed().tolist() == [marks[LAYOUT_END]]
    with pytest.raises(PlanError, match="least"):
        LayoutGrammar(codec, least=3, most=2)


def test_no_phrases_is_an_empty_layout() -> None:
    codec = CODECS["text"]
    assert codec.read(written(LayoutGrammar(codec, phrases=[]), Random(0))).instances == ()

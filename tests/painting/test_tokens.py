"""Phrases are found by character offsets, whatever the tokenizer does to the text."""

from __future__ import annotations

import pytest

from scenograph.errors import PhraseError
from scenograph.layout import Box, Instance, Layout, Prompt
from scenograph.painting.tokens import TokenLayout, locate
from tests.tiny import tiny_tokenizer

LEFT, RIGHT = Box(0.0, 0.2, 0.4, 0.8), Box(0.5, 0.2, 0.9, 0.8)


def find(caption: str, *named: tuple[str, Box], template: str = "{}") -> TokenLayout:
    layout = Layout(caption=caption, instances=tuple(Instance(caption=name, box=box) for name, box in named))
    return locate(tiny_tokenizer(), layout.prompt(template=template), layout)


def words(layout: TokenLayout, text: str) -> list[list[str]]:
    """What the located positions say, read back through the tokenizer."""
    tokenizer = tiny_tokenizer()
    ids = tokenizer(text).input_ids
    return [[str(tokenizer.decode([ids[token]])).strip() for token in group.tokens] for group in layout.groups]


def test_positions_count_the_start_token() -> None:
    found = find("a red dog and a blue cat", ("red dog", LEFT), ("cat", RIGHT))
    assert [group.tokens for group in found.groups] == [(2, 3), (7,)]
    assert [group.phrase for group in found.groups] == ["red dog", "cat"]
    assert [group.boxes for group in found.groups] == [(LEFT,), (RIGHT,)]


@pytest.mark.parametrize(
    "text", ["a  RED   Dog,\tand a cat", "  a red dog and (a cat)", "a photo of a red dog. a cat!"]
)
def test_case_space_and_punctuation(text: str) -> None:
    found = find(text, ("dog", LEFT), ("cat", RIGHT))
    assert words(found, text) == [["dog"], ["cat"]]


def test_words_of_many_tokens_and_letters_of_many_bytes() -> None:
    caption = "a café owner, a skateboarder and a dog"
    found = find(caption, ("skateboarder", LEFT), ("café owner", RIGHT), ("dog", RIGHT))
    assert "".join(words(found, caption)[0]) == "skateboarder"
    assert len(found.groups[0].tokens) > 3
    assert words(found, caption)[2] == ["dog"]
    everything = [token for group in found.groups for token in group.tokens]
    assert len(everything) == len(set(everything))


def test_shared_phrases_are_one_group() -> None:
    found = find("two dogs and a cat", ("dog", LEFT), ("cat", LEFT), ("dog", RIGHT))
    assert [(group.phrase, group.boxes) for group in found.groups] == [("dogs", (LEFT, RIGHT)), ("cat", (LEFT,))]


def test_phrases_that_share_a_part_are_one_group() -> None:
    """Two groups with the token of "dog" would pull its one map into opposite boxes."""
    caption, low = "a black dog and a cat", Box(0.1, 0.8, 0.3, 1.0)
    for order in ([("a black dog", LEFT), ("dog", RIGHT)], [("dog", RIGHT), ("a black dog", LEFT)]):
        found = find(caption, ("cat", low), *order)
        assert words(found, caption) == [["cat"], ["a", "black", "dog"]]
        assert [group.phrase for group in found.groups] == ["cat", "a black dog"]
        assert set(found.groups[1].boxes) == {LEFT, RIGHT}
    bridged = find(caption, ("a black", LEFT), ("cat", low), ("dog", RIGHT), ("black dog", LEFT))
    assert [group.tokens for group in bridged.groups] == [(1, 2, 3), (6,)]
    assert bridged.groups[0].boxes == (LEFT, RIGHT, LEFT)


def test_template_and_appended_phrases_shift() -> None:
    found = find("a dog", ("dog", LEFT), ("red car", RIGHT), template="a photo of {}")
    assert words(found, "a photo of a dog, red car") == [["dog"], ["red", "car"]]


def test_no_instances() -> None:
    assert find("a dog").groups == ()


def test_beyond_the_window() -> None:
    assert find("a " * 74 + "dog", ("dog", LEFT)).groups[0].tokens == (75,)
    with pytest.raises(PhraseError, match=r"'dog' reaches token 76.*77 tokens"):
        find("a " * 75 + "dog", ("dog", LEFT))


def test_phrases_without_tokens_and_foreign_prompts() -> None:
    layout = Layout(caption="a  dog", instances=(Instance(caption="dog", box=LEFT),))
    with pytest.raises(PhraseError, match="covers no token"):
        locate(tiny_tokenizer(), Prompt(text="a  dog", spans=((1, 3),), appended=()), layout)
    with pytest.raises(PhraseError, match="2 phrase spans for 1 instances"):
        locate(tiny_tokenizer(), Prompt(text="a dog", spans=((0, 1), (2, 5)), appended=()), layout)


def test_a_tokenizer_without_offsets() -> None:
    class Slow:
        is_fast = False

    layout = Layout(caption="a dog", instances=(Instance(caption="dog", box=LEFT),))
    with pytest.raises(PhraseError, match="Slow that reports no character offsets"):
        locate(Slow(), layout.prompt(), layout)

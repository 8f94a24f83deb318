"""The prompt of a layout: which characters name which instance."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenograph.errors import LayoutError, PhraseError
from scenograph.layout import Box, Instance, Layout, Prompt
from tests.layout.strategies import captions, layouts, texts

BOX = Box(0, 0, 0.5, 0.5)


def layout(caption: str, *instances: str | Instance) -> Layout:
    listed = [Instance(caption=i, box=BOX) if isinstance(i, str) else i for i in instances]
    return Layout(caption=caption, instances=tuple(listed))


def named(prompt: Prompt) -> list[str]:
    return [prompt.text[start:stop] for start, stop in prompt.spans]


def instance(caption: str, *, phrase: str | None = None, label: str | None = None) -> Instance:
    return Instance(caption=caption, box=BOX, phrase=phrase, label=label)  # type: ignore[arg-type]


def test_caption_then_bare_caption_then_label_then_plural() -> None:
    asked = layout(
        "The black dog, a red ball and two cats under a tree",
        "a red ball",
        "a black dog",
        "a tall tree with leaves",
        "a sleeping cat",
    )
    assert asked.prompt() == Prompt(text=asked.caption, spans=((15, 25), (4, 13), (47, 51), (34, 38)), appended=())
    assert named(asked.prompt()) == ["a red ball", "black dog", "tree", "cats"]


def test_three_cats_share_their_words() -> None:
    explicit = [instance("a cat", phrase="three cats")] * 3
    assert named(layout("Three cats on a sofa", *explicit).prompt()) == ["Three cats"] * 3
    assert named(layout("three cats on a sofa", "cat", "cat", "cat").prompt(strict=True)) == ["cats"] * 3
    assert named(layout("two people", "person", "person").prompt()) == ["people"] * 2


def test_as_many_occurrences_as_instances_go_in_order() -> None:
    prompt = layout("a dog and a dog", "dog", "Dog").prompt()
    assert prompt.spans == ((2, 5), (12, 15))
    assert layout("a dog and a dog", "a dog", "a dog").prompt().spans == ((0, 5), (10, 15))


def test_another_number_of_occurrences_is_shared() -> None:
    assert layout("a dog and a dog", "dog", "dog", "dog").prompt().spans == ((2, 5),) * 3
    assert layout("a dog and a dog", "dog").prompt().spans == ((2, 5),)


def test_longer_phrases_choose_first() -> None:
    prompt = layout("a black dog and a dog", "dog", "black dog").prompt()
    assert prompt.spans == ((18, 21), (2, 11))
    assert layout("a black dog", "dog", "black dog").prompt().spans == ((8, 11), (2, 11))  # no other dog to point at


def test_whole_words_only() -> None:
    prompt = layout("a cathedral and a caterpillar", "a cat").prompt()
    assert prompt.text == "a cathedral and a caterpillar, a cat"
    assert prompt.appended == ("a cat",)
    assert named(prompt) == ["a cat"]


def test_missing_instances_are_appended_once_and_said() -> None:
    prompt = layout("A quiet street. ", "a red car", "street", "a red car", "a dog.").prompt()
    assert prompt.text == "A quiet street, a red car, a dog"
    assert prompt.appended == ("a red car", "a dog")
    assert named(prompt) == ["a red car", "street", "a red car", "a dog"]
    assert prompt.spans[0] == prompt.spans[2]


def test_nothing_named_in_a_caption_of_dots() -> None:
    assert layout("...", "a dog").prompt().text == "..., a dog"


def test_a_closing_dot_that_belongs_to_a_phrase_stays() -> None:
    prompt = layout("the sign of Acme Inc.", instance("a sign", phrase="Acme Inc."), "a dog").prompt()
    assert prompt.text == "the sign of Acme Inc., a dog"
    assert named(prompt) == ["Acme Inc.", "a dog"]


def test_an_explicit_phrase_is_not_replaced_by_another() -> None:
    asked = layout("a dog in a garden", instance("dog", phrase="the puppy"))
    assert asked.prompt() == Prompt(text="a dog in a garden, dog", spans=((19, 22),), appended=("dog",))
    with pytest.raises(
        PhraseError, match=r"instances\[0\] 'the puppy' is not named in the caption 'a dog in a garden'"
    ):
        asked.prompt(strict=True)


def test_strict_names_the_first_missing_instance() -> None:
    asked = layout("a dog", "dog", "a red ball")
    with pytest.raises(PhraseError, match=r"instances\[1\] 'a red ball'") as caught:
        asked.prompt(strict=True)
    assert "\n" not in str(caught.value)
    assert layout("a dog", "dog").prompt(strict=True) == layout("a dog", "dog").prompt()


def test_template_shifts_every_span() -> None:
    prompt = layout("a dog {x}", "dog", "a cat").prompt(template="best photo of {}, 4k")
    assert prompt.text == "best photo of a dog {x}, a cat, 4k"
    assert named(prompt) == ["dog", "a cat"]
    assert prompt.appended == ("a cat",)


@pytest.mark.parametrize("template", ["", "no place", "{} and {}", "{0}"])
def test_template_has_one_place(template: str) -> None:
    with pytest.raises(LayoutError, match=r"template is .*; expected"):
        layout("a dog", "dog").prompt(template=template)


def test_unicode_captions() -> None:
    prompt = layout("Ein Ärmel, 一只猫 und ÖL 🐕", "ärmel", "猫", "Öl").prompt(strict=True)
    assert named(prompt) == ["Ärmel", "猫", "ÖL"]


def test_no_instances() -> None:
    assert layout("an empty room.").prompt() == Prompt(text="an empty room.", spans=(), appended=())


@given(layouts(captions), st.sampled_from(["{}", "a photo: {}!"]))
def test_spans_slice_to_words_of_the_instance(asked: Layout, template: str) -> None:
    prompt = asked.prompt(template=template)
    assert len(prompt.spans) == len(asked.instances)
    before = template.index("{}")
    for instance, words in zip(asked.instances, named(prompt), strict=True):
        told = " ".join((instance.caption, instance.phrase or "", instance.label)).casefold()
        assert words.strip() == words != ""
        assert words.casefold() in told or words.casefold().removesuffix("es").removesuffix("s") in told
    ends = [stop for _, stop in prompt.spans]
    assert all(before <= start < stop for start, stop in prompt.spans)
    assert max(ends, default=0) <= len(prompt.text) - (len(template) - before - 2)
    if not prompt.appended:
        assert prompt == asked.prompt(template=template, strict=True)
        assert prompt.text == template.format(asked.caption)


@given(layouts(texts))
def test_any_text_gets_a_prompt(asked: Layout) -> None:
    prompt = asked.prompt()
    assert all(0 <= start < stop <= len(prompt.text) for start, stop in prompt.spans)

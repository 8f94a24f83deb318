"""Head nouns, plurals, and where a phrase stands in a text."""

import re

import pytest
from hypothesis import given

from scenograph.layout import head_noun
from scenograph.layout.words import occurrences, plural
from tests.layout.strategies import captions, texts

COCO_NAMES = """
person, bicycle, car, motorcycle, airplane, bus, train, truck, boat, traffic light, fire hydrant, stop sign,
parking meter, bench, bird, cat, dog, horse, sheep, cow, elephant, bear, zebra, giraffe, backpack, umbrella,
handbag, tie, suitcase, frisbee, skis, snowboard, sports ball, kite, baseball bat, baseball glove, skateboard,
surfboard, tennis racket, bottle, wine glass, cup, fork, knife, spoon, bowl, banana, apple, sandwich, orange,
broccoli, carrot, hot dog, pizza, donut, cake, chair, couch, potted plant, bed, dining table, toilet, tv,
laptop, mouse, remote, keyboard, cell phone, microwave, oven, toaster, sink, refrigerator, book, clock, vase,
scissors, teddy bear, hair drier, toothbrush
"""
COCO = re.split(r",\s+", COCO_NAMES.strip())


def test_coco_names_are_their_own_head_nouns() -> None:
    assert len(COCO) == 80
    for name in COCO:
        assert head_noun(name) == name
        assert head_noun(plural(name)) == name
        assert head_noun(f"two large {plural(name)} on a table") == name
        assert head_noun(f"A red striped {name}.") == name


@pytest.mark.parametrize(
    ("caption", "noun"),
    [
        ("a black dog with a collar", "dog"),
        ("two teddy bears", "teddy bear"),
        ("a tennis racket", "tennis racket"),
        ("a cat sitting on a chair", "cat"),
        ("person riding a horse", "person"),
        ("a wooden dining table", "dining table"),
        ("a tall standing man", "man"),
        ("a sleeping cat", "cat"),
        ("a dog covered in mud", "dog"),
        ("a wooden bed", "bed"),
        ("the red striped cake", "cake"),
        ("dog.", "dog"),
        ("A Black DOG", "dog"),
        ("a black and white cat", "cat"),
        ("a small, round table", "table"),
        ("a cat and a dog", "cat"),
        ("an orange, a cat", "orange"),
        ("a slice of pizza", "pizza"),
        ("a photo of a pair of scissors", "scissors"),
        ("a glass of wine", "glass"),
        ("a group of people", "person"),
        ("three women", "woman"),
        ("children", "child"),
        ("buses", "bus"),
        ("two knives", "knife"),
        ("a man's hat", "hat"),
        ("person 2", "person"),
        ("a dog (left)", "dog"),
        ("猫", "猫"),
        ("...", "..."),
        ("7", "7"),
    ],
)
def test_head_noun(caption: str, noun: str) -> None:
    assert head_noun(caption) == noun


@given(texts)
def test_head_noun_is_never_empty(caption: str) -> None:
    assert head_noun(caption).strip()


@pytest.mark.parametrize(
    ("phrase", "text", "found"),
    [
        ("cat", "a cathedral, a caterpillar, a bobcat and cats", []),
        ("cat", "Cat, cat's, (CAT) cat-like", ["Cat", "cat", "CAT", "cat"]),
        ("teddy bear", "a Teddy\n  Bear", ["Teddy\n  Bear"]),
        ("dog", "dog", ["dog"]),
        ("dog", "dogs dog2 _dog", []),
        ("cafe", "a café", []),
        ("cafe", "a cafe\u0301 and a cafe", ["cafe"]),
        ("CAFÉ", "a café", ["café"]),
        ("a.c", "abc a.c", ["a.c"]),
        ("cat cat", "bobcat cat cat", ["cat cat"]),
        ("猫", "一只猫和一只猫", ["猫", "猫"]),
        ("собака", "Большая Собака", ["Собака"]),
    ],
)
def test_occurrences(phrase: str, text: str, found: list[str]) -> None:
    assert [text[start:stop] for start, stop in occurrences(phrase, text)] == found


@given(captions)
def test_a_text_occurs_in_itself(text: str) -> None:
    assert (0, len(text)) in occurrences(text, text)

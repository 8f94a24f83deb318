"""Which instances ask for a combination that no painter was trained on."""

from __future__ import annotations

from scenograph.judging.combinations import HALVES, is_held_out
from scenograph.layout import Box, Instance
from scenograph.world.scenes import scene_at
from scenograph.world.split import combination_held_out
from scenograph.world.vocabulary import COLOURS, NOUNS

BOX = Box(0.1, 0.1, 0.5, 0.5)


def test_every_stated_combination_is_told_apart_by_the_split() -> None:
    halves = set()
    for noun in NOUNS:
        for colour in COLOURS:
            for texture in ("plain", "striped"):
                words = f"a {colour} {noun}" if texture == "plain" else f"a striped {colour} {noun}"
                one = Instance(caption=words, label=noun, box=BOX)
                held_out = combination_held_out(noun, colour, texture)
                assert is_held_out(one) is held_out
                assert (HALVES["seen"](one), HALVES["held_out"](one)) == (not held_out, held_out)
                halves.add(held_out)
    assert halves == {True, False}


def test_without_a_colour_or_a_known_noun_there_is_no_combination() -> None:
    for caption in ("a striped dog", "a dog", "a red sofa"):
        one = Instance(caption=caption, box=BOX)
        assert is_held_out(one) is None
        assert not HALVES["seen"](one) and not HALVES["held_out"](one)


def test_no_training_scene_asks_for_one() -> None:
    instances = [one for index in range(60) for one in scene_at(index).layout.instances]
    stated = [is_held_out(one) for one in instances if "texture" not in one.caption]
    assert sum(half is False for half in stated) > 30

"""Prompts of T2I-CompBench: what each category asks, files, and which parts a complex prompt's score has."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenograph.errors import ResultError
from scenograph.judging.compbench import Asked
from scenograph.judging.compbench_prompts import CompPrompt, comp_prompt, key_of, prompt_of, read_prompts


def test_what_each_category_asks() -> None:
    colour = comp_prompt("a teal lamp and a red stool", "colour")
    assert (colour.chunks, colour.parts) == (("a teal lamp", "a red stool"), ("attribute",))
    spatial = comp_prompt("a goat on the left of a sofa", "spatial")
    assert spatial.relation == Asked(first="goat", second="sofa", locality="on the left of")
    assert (spatial.chunks, spatial.parts) == ((), ("spatial",))
    deep = comp_prompt("a goat behind a sofa", "3d-spatial")
    assert deep.relation == Asked(first="goat", second="sofa", locality="behind")
    assert comp_prompt("two goats and a sofa", "numeracy").counts == (("goat", 2), ("sofa", 1))
    action = comp_prompt("A small goat eats a sofa.", "non-spatial")
    assert (action.parts, action.clip_text) == (("clip",), "A small goat eats a sofa.")


def test_complex_prompts() -> None:
    text = "The small red mug is on the left of the striped towel."
    whole = comp_prompt(text, "complex")
    assert whole.parts == ("attribute", "spatial", "clip")
    assert whole.chunks == ("The small red mug", "the striped towel")
    assert whole.relation == Asked(first="mug", second="towel", locality="on the left of")
    assert whole.clip_text == "The mug is on the left of the towel."
    key = "the small red mug is on the left of the striped towel"
    assert key_of(text + " And more.\n") == key
    assert comp_prompt(text, "complex", spatial={key}).parts == ("attribute", "spatial")
    assert comp_prompt(text, "complex", actions={key}).parts == ("attribute", "clip")
    assert comp_prompt(text, "complex", spatial={key}, actions={key}).parts == ("attribute", "spatial")


def test_the_nearest_nouns_of_a_complex_prompt_are_related() -> None:
    text = "The tall girl with the red hat stood next to the old dog of the farmer."
    assert comp_prompt(text, "complex").relation == Asked(first="hat", second="dog", locality="next to")
    assert comp_prompt("The red mug shone.", "complex").relation is None
    assert comp_prompt("next to the mug", "complex").relation is None


def test_files(tmp_path: Path) -> None:
    file = tmp_path / "color_val.txt"
    file.write_text("a teal lamp and a red stool\n\na green pear and a grey plate\n")
    first, second = read_prompts(file)
    assert (first.category, second.prompt) == ("colour", "a green pear and a grey plate")
    deep = tmp_path / "3d_spatial_train.txt"
    deep.write_text("a goat behind a sofa\n")
    assert read_prompts(deep)[0].category == "3d-spatial"
    assert read_prompts(file, "texture")[0].category == "texture"
    assert prompt_of(tmp_path / "a red_striped mug_000012.png") == "a red"  # up to the first underscore, as officially


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="no category 'taste'"):
        CompPrompt(prompt="a mug", category="taste")
    with pytest.raises(ResultError, match="cannot be read"):
        read_prompts(tmp_path / "color_val.txt")
    (tmp_path / "shape.txt").write_text("\n")
    with pytest.raises(ResultError, match="holds no prompts"):
        read_prompts(tmp_path / "shape.txt")
    (tmp_path / "taste.txt").write_text("a sour plum\n")
    with pytest.raises(ResultError, match="no category 'taste'"):
        read_prompts(tmp_path / "taste.txt")

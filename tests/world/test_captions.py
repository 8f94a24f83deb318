"""Words to attributes."""

import pytest

from scenograph.world.captions import attributes_of, noun_of


@pytest.mark.parametrize(
    ("caption", "expected"),
    [
        ("a red striped dog", {"noun": "dog", "colour": "red", "texture": "striped"}),
        ("three round blue clocks", {"noun": "clock", "colour": "blue", "shape": "round"}),
        ("a Stuffed Bear", {"noun": "teddy bear"}),
        ("a plant", {"noun": "potted plant"}),
        ("an orange potted plant", {"noun": "potted plant", "colour": "orange"}),
        ("a puppy that is white", {"noun": "dog", "colour": "white"}),
        ("two people", {"noun": "person"}),
        ("a woman holding a red umbrella", {"noun": "person"}),
        ("a flying red bird", {"noun": "bird", "colour": "red"}),
        ("a blue cup with black dots on it", {"noun": "cup", "colour": "blue"}),
        ("a zebra", {}),
        ("a cattle", {}),
    ],
)
def test_attributes_of(caption: str, expected: dict[str, str]) -> None:
    assert attributes_of(caption) == expected


@pytest.mark.parametrize(
    ("label", "noun"),
    [
        ("puppy", "dog"),
        ("a small brown dog", "dog"),
        ("stuffed bear", "teddy bear"),
        ("two planes", "airplane"),
        ("Television", "tv"),
        ("a hot dog", None),
        ("a table with a cup on it", None),
        ("a bus stop", None),
    ],
)
def test_noun_of(label: str, noun: str | None) -> None:
    assert noun_of(label) == noun

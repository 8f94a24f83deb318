"""Every word of the small world that means something: nouns, attributes, backgrounds and their synonyms.

Nouns are COCO's, so that real COCO and NSR-1K layouts are valid input. This module holds facts only; how a noun
looks is in `sprites`, how a scene is told is in `captions`.
"""

from __future__ import annotations

from types import MappingProxyType

__all__ = ["BACKGROUNDS", "COLOURS", "NOUNS", "SHAPED_NOUNS", "SHAPES", "SYNONYMS", "TEXTURES", "plural"]

# Noun -> (typical width / height of its box, typical height as a fraction of the canvas when it stands alone).
NOUNS = MappingProxyType(
    {
        "person": (0.45, 0.70),
        "dog": (1.20, 0.45),
        "cat": (0.95, 0.45),
        "elephant": (1.30, 0.60),
        "giraffe": (0.65, 0.75),
        "bird": (1.15, 0.35),
        "teddy bear": (0.80, 0.50),
        "car": (1.90, 0.35),
        "bus": (1.80, 0.45),
        "boat": (1.10, 0.55),
        "airplane": (1.90, 0.40),
        "chair": (0.65, 0.55),
        "tv": (1.25, 0.45),
        "clock": (1.00, 0.40),
        "umbrella": (1.05, 0.50),
        "vase": (0.65, 0.50),
        "potted plant": (0.75, 0.55),
        "cup": (1.10, 0.35),
        "bottle": (0.38, 0.55),
        "book": (1.25, 0.35),
        "apple": (0.95, 0.35),
        "banana": (1.30, 0.35),
        "pizza": (1.00, 0.45),
        "cake": (1.05, 0.45),
    }
)

COLOURS = MappingProxyType(
    {
        "red": (214, 40, 40),
        "orange": (245, 135, 20),
        "yellow": (248, 214, 40),
        "green": (46, 150, 64),
        "blue": (40, 96, 214),
        "purple": (140, 60, 180),
        "black": (38, 38, 42),
        "white": (244, 244, 240),
    }
)

TEXTURES = ("plain", "striped", "dotted", "checkered")

SHAPES = ("round", "square", "triangular", "diamond")
SHAPED_NOUNS = ("clock", "vase", "pizza", "cake")

# Name -> the ways a caption says it.
BACKGROUNDS = MappingProxyType(
    {
        "meadow": ("in a meadow", "on green grass", "in a grassy field"),
        "beach": ("on a beach", "on the sand", "at the beach"),
        "snow": ("in the snow", "on snow", "in a snowy field"),
        "night": ("at night", "under a night sky", "in the dark"),
        "street": ("on a street", "on a gray road", "in the street"),
        "room": ("in a room", "indoors", "inside a room"),
    }
)

# Words that name the same noun; the first is COCO's.
SYNONYMS = MappingProxyType(
    {
        "person": ("person", "man", "woman"),
        "dog": ("dog", "puppy"),
        "cat": ("cat", "kitten"),
        "tv": ("tv", "television"),
        "airplane": ("airplane", "plane"),
        "cup": ("cup", "mug"),
        "boat": ("boat", "sailboat"),
        "potted plant": ("potted plant", "plant"),
        "teddy bear": ("teddy bear", "stuffed bear"),
    }
)

_IRREGULAR = {"person": "people", "man": "men", "woman": "women", "bus": "buses"}


def plural(word: str) -> str:
    """The plural of a noun of this world ("potted plant" -> "potted plants")."""
    return _IRREGULAR.get(word, word + "s")

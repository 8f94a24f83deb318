"""Captions made of class names: "a photo of a cat and two dogs"."""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence

from scenograph.layout import Instance
from scenograph.layout.words import INVARIANT, plural

__all__ = ["class_caption", "counted", "enumerated", "with_article"]

_NUMBERS = ("no", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_DETERMINED = re.compile(r"(a|an|the|one|two|three|four|five|six|seven|eight|nine|ten|some|many|his|her|their)\s", re.I)
_PAIRED = INVARIANT & set("scissors skis pants jeans shorts trousers goggles headphones binoculars sunglasses".split())


def with_article(words: str) -> str:
    """ "a cat", "an apple", "a pair of scissors"; what has a determiner keeps it."""
    if _DETERMINED.match(words):
        return words
    if words.split()[-1].lower() in _PAIRED:
        return f"a pair of {words}"
    return f"{'an' if words[0].lower() in 'aeiou' else 'a'} {words}"


def counted(noun: str, count: int) -> str:
    """ "a dog", "three dogs", "14 dogs"."""
    if count == 1:
        return with_article(noun)
    return f"{_NUMBERS[count] if count < len(_NUMBERS) else count} {plural(noun)}"


def enumerated(parts: Sequence[str]) -> str:
    """ "a", "a and b", "a, b and c"."""
    return " and ".join([", ".join(parts[:-1]), parts[-1]] if len(parts) > 1 else parts)


def class_caption(instances: Sequence[Instance]) -> str:
    """A caption that counts what has only a class, and repeats the captions of what has one of its own.

    In the order of the instances; nothing at all is "a photo".
    """
    labels = Counter(one.label for one in instances if one.caption == one.label)
    parts = [
        counted(one.label, labels[one.label]) if one.caption == one.label else with_article(one.caption.strip(" ."))
        for one in instances
    ]
    said = list(dict.fromkeys(parts))
    return f"a photo of {enumerated(said)}" if said else "a photo"

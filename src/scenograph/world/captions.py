"""Scenes in words: varied captions with a phrase for every object, and the way back from words to attributes.

A caption may leave a colour, texture or shape unsaid; what it says is true. `attributes_of` reads stated attributes
back, for judging; it is a look-up over the world's vocabulary, not a parser of English (that is `planning`).
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from random import Random

from scenograph.layout.words import head_noun
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPES, SYNONYMS, TEXTURES, plural

__all__ = [
    "COUNT_WORDS",
    "RELATIONS",
    "Described",
    "Stated",
    "attributes_of",
    "background_of",
    "describe",
    "noun_of",
    "tell",
]

_MORE = re.compile(r"\b(with|without|and|or|on|in|at|by|near|next|beside|behind|under|over|above|below|of|\w+ing)\b")
COUNT_WORDS = ("zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten")
_PREFIXES = ("", "", "a photo of ", "a photo of ", "a picture of ", "an image of ", "a drawing of ")
RELATIONS = {
    "left": ("to the left of", "on the left of", "left of"),
    "right": ("to the right of", "on the right of", "right of"),
    "above": ("above", "over", "on top of"),
    "below": ("below", "under", "beneath"),
    "next to": ("next to", "beside", "near"),
    "in front of": ("in front of",),
    "behind": ("behind",),
}


@dataclass(frozen=True, kw_only=True)
class Stated:
    """What a caption says of one object; None where it keeps silent."""

    noun: str
    word: str
    colour: str | None = None
    texture: str | None = None
    shape: str | None = None


@dataclass(frozen=True, kw_only=True)
class Described:
    """A caption and, for each object, the span of it that names the object and its own one-object caption.

    `relation` is what the caption says of two objects (subject index, name, object index), None when it says nothing.
    """

    caption: str
    phrases: tuple[str, ...]
    captions: tuple[str, ...]
    relation: tuple[int, str, int] | None = None


def _article(words: str) -> str:
    return f"{'an' if words[0] in 'aeiou' else 'a'} {words}"


def _adjectives(stated: Stated, rng: Random) -> list[str]:
    words = [w for w in (stated.colour, stated.texture, stated.shape) if w]
    rng.shuffle(words)
    return words


def describe(stated: Stated, rng: Random, *, count: int = 1) -> str:
    """One object, or `count` alike, in words: "a striped red dog", "three red apples", "a dog that is red"."""
    adjectives = _adjectives(stated, rng)
    if count > 1:
        return " ".join([COUNT_WORDS[count], *adjectives, plural(stated.word)])
    if stated.colour and not stated.texture and not stated.shape and rng.random() < 0.06:
        return f"{_article(stated.word)} that is {stated.colour}"
    return _article(" ".join([*adjectives, stated.word]))


def _enumerate(parts: Sequence[str], rng: Random) -> str:
    if len(parts) == 1:
        return parts[0]
    joint = rng.choice((" and ", " and ", " with "))
    return ", ".join(parts[:-1]) + joint + parts[-1]


def tell(
    stated: Sequence[Stated],
    rng: Random,
    *,
    background: str | None = None,
    relation: tuple[int, str, int] | None = None,
) -> Described:
    """A caption for objects in depth order; alike objects are counted together ("two red cups").

    `relation` is (subject index, relation name, object index), said when subject and object are each one of a kind.
    `background` is said at the end when given.
    """
    groups: dict[Stated, list[int]] = {}
    for index, one in enumerate(stated):
        groups.setdefault(one, []).append(index)
    words = {key: describe(key, rng, count=len(members)) for key, members in groups.items()}
    order = list(groups)
    rng.shuffle(order)
    related = relation and len(groups[stated[relation[0]]]) == 1 and len(groups[stated[relation[2]]]) == 1
    if related and relation:
        subject, name, target = stated[relation[0]], relation[1], stated[relation[2]]
        rest = [words[g] for g in order if g not in (subject, target)]
        pair = f"{words[subject]} {rng.choice(RELATIONS[name])} {words[target]}"
        body = _enumerate([pair, *rest], rng)
    else:
        body = _enumerate([words[g] for g in order], rng)
    caption = rng.choice(_PREFIXES) + body + (f" {rng.choice(BACKGROUNDS[background])}" if background else "")
    singles = tuple(words[s] if len(groups[s]) == 1 else describe(s, rng) for s in stated)
    phrases = tuple(words[s] for s in stated)
    return Described(caption=caption, phrases=phrases, captions=singles, relation=relation if related else None)


@lru_cache(maxsize=1)
def _spoken() -> dict[str, str]:
    """Every way to say a noun, one or many of them → the noun."""
    spoken = {w: noun for noun in NOUNS for w in SYNONYMS.get(noun, (noun,))}
    return spoken | {plural(w): noun for w, noun in spoken.items()}


def noun_of(label: str) -> str | None:
    """The noun of the world that a label is a word for, or None: "a small puppy" is a dog, "a hot dog" is none."""
    text = label.lower()
    return _spoken().get(text) or _spoken().get(head_noun(text))


@lru_cache(maxsize=1)
def _noun_words() -> tuple[tuple[re.Pattern[str], str], ...]:
    """Every way to say a noun, longest first, so that "potted plant" wins over "plant"."""
    spoken = _spoken()
    return tuple((re.compile(rf"\b{w}\b"), spoken[w]) for w in sorted(spoken, key=len, reverse=True))


def attributes_of(caption: str) -> dict[str, str]:
    """The stated noun, colour, texture and shape of a one-object caption; a key is missing when it is not stated.

    Only words of this world are seen; a plain texture is never stated. Of several nouns the earliest counts, and what
    is said of other things ("a woman holding a red umbrella") does not.
    """
    return dict(_attributes(caption.lower()))


@lru_cache(maxsize=65536)
def _attributes(text: str) -> dict[str, str]:
    found: dict[str, str] = {}
    hits = [(m.start(), -len(m.group()), noun) for pattern, noun in _noun_words() if (m := pattern.search(text))]
    if hits:
        found["noun"] = min(hits)[2]
    words = re.findall(r"[a-z]+", _own(text))
    for key, known in (("colour", tuple(COLOURS)), ("texture", TEXTURES[1:]), ("shape", SHAPES)):
        said = next((w for w in words if w in known), None)
        if said:
            found[key] = said
    return found


def _own(text: str) -> str:
    """Of a caption the part that speaks of the thing itself, not of what it has or where it is."""
    start = text.find(head_noun(text))
    more = _MORE.search(text, start + 1) if start >= 0 else None
    return text[: more.start()] if more else text


def background_of(caption: str) -> str | None:
    """The background a caption states, or None."""
    text = caption.lower()
    return next((name for name, ways in BACKGROUNDS.items() if any(way in text for way in ways)), None)

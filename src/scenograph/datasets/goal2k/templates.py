"""Prompts from templates: six categories, T2I-CompBench's, one after the other.

    color          a red cup and a blue dog
    shape          a round clock next to a square pizza
    texture        a wooden bench and a leather handbag
    spatial        a cat on the left of a bicycle
    non-spatial    a person is riding a horse              (counts, where the words have no deeds: three dogs and a cup)
    complex        the black cat is on top of the wooden bench, next to a red cup

Sequence number i of a seed is the same prompt whatever the number of prompts, so a longer list begins as a shorter one.
Every template is read without rest by the grammar planner, whose reading later says what to look for (a test).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Sequence
from dataclasses import dataclass
from itertools import count as counting
from random import Random

from scenograph.datasets.goal2k.words import Words
from scenograph.datasets.wording import counted, with_article
from scenograph.errors import DatasetError

__all__ = ["CATEGORIES", "TemplatePrompt", "template_prompts"]

CATEGORIES = ("color", "shape", "texture", "spatial", "non-spatial", "complex")
_PATIENCE = 200
"""Tries without a new prompt before the words of a category count as used up."""
_PLACED = 0.8
"""Share of prompts that say where, of words that have places."""
_PAIRS = ("{0} and {1}", "{0} next to {1}", "{0} beside {1}", "a photo of {0} and {1}", "{0} in front of {1}")
_SIDES = ("on the left of", "on the right of", "to the left of", "to the right of", "above", "below", "next to", "near",
          "in front of", "behind")  # fmt: skip
_BESIDE = ("on the left of", "on the right of", "next to", "in front of", "behind")


@dataclass(frozen=True, kw_only=True)
class TemplatePrompt:
    """A prompt, its category and the template's name."""

    text: str
    category: str
    template: str


def template_prompts(words: Words, seed: int, *, avoid: Collection[str] = ()) -> Iterator[TemplatePrompt]:
    """Prompts without end, in turn of each category, none twice and none of `avoid` (whatever the letters' case).

    A category whose words are used up is passed over. Raises DatasetError when all are.
    """
    taken = {text.lower() for text in avoid}
    left, made = list(CATEGORIES), 0
    for number in counting():
        if not left:
            raise DatasetError(f"the words {words.name!r} make only {made} prompts; ask for fewer")
        for category in tuple(left):
            tries = (Random(f"goal2k/{words.name}/{seed}/{category}/{number}/{i}") for i in range(_PATIENCE))
            fresh = (one for one in (_made(category, words, r) for r in tries) if one.text.lower() not in taken)
            prompt = next(fresh, None)
            if prompt is None:
                left.remove(category)
                continue
            made += 1
            taken.add(prompt.text.lower())
            yield prompt


def _made(category: str, words: Words, random: Random) -> TemplatePrompt:
    make = _MAKERS[category]
    template, text = make(words, random)
    if words.places and random.random() < _PLACED:
        text = f"{text} {random.choice(words.places)}"
    return TemplatePrompt(text=text, category=category, template=f"{category}/{template}")


def _described(words: Words, table: str, random: Random, nouns: Sequence[str]) -> list[str]:
    """ "a red cup" for every noun, by a table of attributes; nouns without are said alone."""
    phrases = []
    for noun in nouns:
        said = getattr(words, table).get(noun, ())
        allowed = [word for word in said if not _withheld(words, table, noun, word)]
        phrases.append(with_article(f"{random.choice(allowed)} {noun}" if allowed else noun))
    return phrases


def _withheld(words: Words, table: str, noun: str, word: str) -> bool:
    if table == "colours":
        return words.held_out(noun, word, None)
    return table == "textures" and words.held_out(noun, None, word)


def _two(table: str) -> Callable[[Words, Random], tuple[str, str]]:
    def make(words: Words, random: Random) -> tuple[str, str]:
        nouns = random.sample(sorted(getattr(words, table)), 2)
        number = random.randrange(len(_PAIRS))
        return str(number), _PAIRS[number].format(*_described(words, table, random, nouns))

    return make


def _spatial(words: Words, random: Random) -> tuple[str, str]:
    if random.random() < 0.25:
        thing, ground = _laid(words, random)
        return "on", f"{with_article(thing)} on top of {with_article(ground)}"
    one, other = random.sample(words.beside, 2)
    relation = random.choice(_SIDES)
    if random.random() < 0.2:
        return "several", f"{counted(one, random.choice((2, 3)))} {relation} {with_article(other)}"
    return relation.replace(" ", "-"), f"{with_article(one)} {relation} {with_article(other)}"


def _laid(words: Words, random: Random) -> tuple[str, str]:
    thing = random.choice(words.small)
    return thing, random.choice([one for one in words.supports if one != thing])


def _deed(words: Words, random: Random) -> tuple[str, str]:
    if not words.deeds:
        return _counts(words, random)
    who, does, what = random.choice(words.deeds)
    form = random.choice(("{0} is {1} {2}", "{0} {1} {2}"))
    plain = with_article(random.choice(what))
    with_what = plain if random.random() < 0.6 else _described(words, "colours", random, [plain.split(" ", 1)[1]])[0]
    return does.replace(" ", "-"), form.format(with_article(who), does, with_what)


def _counts(words: Words, random: Random) -> tuple[str, str]:
    nouns = random.sample(words.beside, random.choice((1, 2, 2)))
    numbers = [random.randint(2, 4), random.randint(1, 3)]
    parts = [counted(noun, number) for noun, number in zip(nouns, numbers, strict=False)]
    return "counts", " and ".join(parts)


def _complex(words: Words, random: Random) -> tuple[str, str]:
    form = random.randrange(4)
    if form == 0:
        thing, ground = _laid(words, random)
        third = random.choice([one for one in words.beside if one not in (thing, ground)])
        a, b, c = _mixed(words, random, (thing, ground, third))
        return "on-and-beside", f"{_the(a)} is on top of {_the(b)}, next to {c}"
    a, b, c = _mixed(words, random, random.sample(words.beside, 3))
    if form == 1:
        return "list", f"{a}, {b} and {c}"
    if form == 2:
        return "beside-and", f"{a} {random.choice(_BESIDE)} {b}, and {c}"
    return "both", f"{a} and {b} {random.choice(_BESIDE)} {c}"


def _mixed(words: Words, random: Random, nouns: Sequence[str]) -> list[str]:
    """Each noun with an attribute of one of its tables."""
    phrases = []
    for noun in nouns:
        tables = [table for table in ("colours", "shapes", "textures") if noun in getattr(words, table)]
        phrases += _described(words, random.choice(tables), random, [noun]) if tables else [with_article(noun)]
    return phrases


def _the(phrase: str) -> str:
    return "the " + phrase.split(" ", 1)[1]


_MAKERS: dict[str, Callable[[Words, Random], tuple[str, str]]] = {
    "color": _two("colours"),
    "shape": _two("shapes"),
    "texture": _two("textures"),
    "spatial": _spatial,
    "non-spatial": _deed,
    "complex": _complex,
}

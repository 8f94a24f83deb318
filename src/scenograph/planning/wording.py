"""How a statement is said again: the caption of one instance, and sentences about relations and comparisons."""

from __future__ import annotations

import re
from functools import lru_cache

from scenograph.judging.statement import Comparison, Relation, Statement, Thing
from scenograph.layout.words import occurrences, plural

__all__ = ["caption_of", "name_of", "phrase_in", "say_comparison", "say_relation", "with_article"]

PAIRS = frozenset(
    """scissors pants jeans shorts trousers glasses sunglasses goggles headphones binoculars pliers tongs skis tweezers
    eyeglasses""".split()
)
MASSES = frozenset(
    """water grass snow sand broccoli bread rice food fruit luggage furniture clothing clothes hay smoke fog ice milk
    juice coffee tea wine beer cheese meat butter equipment traffic soup pasta salad scenery mud dirt stairs""".split()
)
AFTER = re.compile(r"(with|without|in|on|of|from|made|wearing|holding|for|that|which|who|whose|full|covered|filled)\b")


@lru_cache(4096)
def with_article(words: str) -> str:
    """`words`, a noun with what describes it, with "a" or "an": by the sound that most such spellings have."""
    first = words.lower().split()[0] if words.split() else ""
    silent = first.startswith(("hour", "honest", "heir", "honor", "honour"))
    consonant = re.match(r"(eu|uni([^nm]|$)|use|usu|ut[ei]|one($|\b)|once|ufo|u-)", first) is not None
    return ("an " if silent or (first[:1] in set("aeiou") and not consonant) else "a ") + words


def caption_of(thing: Thing) -> str:
    """What stands in the box of one instance: article, attributes, noun."""
    return _caption(thing.noun, thing.attributes)


@lru_cache(4096)
def _caption(noun: str, attributes: tuple[str, ...]) -> str:
    before = [a for a in attributes if not AFTER.match(a)]
    after = [a for a in attributes if AFTER.match(a)]
    words = " ".join((*before, noun))
    last = noun.split()[-1] if noun.split() else noun
    if last in PAIRS:
        words = f"a pair of {words}"
    elif last not in MASSES:
        words = with_article(words)
    return " ".join((words, *after))


def phrase_in(thing: Thing, caption: str) -> str | None:
    """The thing's phrase where the caption has it, as whole words."""
    phrase = thing.phrase
    if not phrase or not phrase.strip():
        return None
    start = caption.find(phrase)
    if start >= 0:  # the usual case, without compiling a pattern for every prompt
        around = caption[start - 1 : start] + caption[start + len(phrase) : start + len(phrase) + 1]
        if not any(c.isalnum() for c in around):
            return phrase
    return phrase if occurrences(phrase, caption) else None


def name_of(index: int, statement: Statement) -> str:
    """A thing as a noun phrase, in the plural when it is stated to be several."""
    thing = statement.things[index]
    if thing.least == 1 and thing.most == 1:
        return caption_of(thing)
    number = f"{thing.least} " if thing.most == thing.least else ""
    return number + " ".join((*thing.attributes, plural(thing.noun)))


def say_relation(relation: Relation, statement: Statement) -> str:
    """ "a cat left of a dog"."""
    objects = " and ".join(name_of(t, statement) for t in relation.objects)
    return f"{name_of(relation.subject, statement)} {relation.name} {objects}"


def say_comparison(comparison: Comparison, statement: Statement) -> str:
    """ "more cats than dogs"."""
    first, second = (plural(statement.things[t].noun) for t in (comparison.first, comparison.second))
    return f"as many {first} as {second}" if comparison.name == "equal" else f"{comparison.name} {first} than {second}"

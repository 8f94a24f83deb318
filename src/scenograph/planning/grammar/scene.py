"""What has been understood so far: things, relations, comparisons, places, and what was left over."""

from __future__ import annotations

import re
from collections.abc import Iterable
from dataclasses import replace

from scenograph.judging.statement import Comparison, Relation, RelationName, Statement, Thing
from scenograph.planning.grammar.phrases import Phrase
from scenograph.planning.grammar.tokens import Token

__all__ = ["Scene"]

_CONTENT = frozenset(("NOUN", "ADJ", "GENITIVE", "JUNK"))
_WORDS = re.compile(r"[\w'-]+")
_MOST_RELATIONS = 1000  # as many as things: beyond any scene


class Scene:
    """The statement in the making; things are known by their index."""

    def __init__(self, prompt: str) -> None:
        self.prompt = prompt
        self.things: list[Thing] = []
        self.phrases: list[Phrase] = []
        self.relations: dict[tuple[str, int, tuple[int, ...]], None] = {}
        self.comparisons: dict[tuple[str, int, int], None] = {}
        self.absent: list[str] = []
        self.settings: list[str] = []
        self.lost: list[tuple[int, int]] = []
        self.named: dict[str, int] = {}

    def add(self, phrase: Phrase) -> int:
        """A new thing; its index."""
        self.things.append(
            Thing(
                noun=phrase.noun,
                least=phrase.least,
                most=phrase.most,
                attributes=phrase.attributes,
                phrase=self.prompt[phrase.named : phrase.end],
            )
        )
        self.phrases.append(phrase)
        index = len(self.things) - 1
        self.named[phrase.noun] = index
        for content in phrase.contents:
            self.relate("inside", [self.add(content)], [index])
        return index

    def describe(self, ids: list[int], *attributes: str) -> None:
        """More about things that are there already."""
        for i in ids:
            thing = self.things[i]
            new = tuple(a for a in attributes if a not in thing.attributes)
            self.things[i] = replace(thing, attributes=(*thing.attributes, *new))

    def relate(self, name: str, subjects: list[int], objects: list[int], *, inverse: bool = False) -> None:
        """State a relation of every subject to every object; "between" takes two objects at once."""
        if inverse:
            subjects, objects = objects, subjects
        pairs: Iterable[tuple[int, tuple[int, ...]]]
        if name == "between" and len(objects) >= 2:
            pairs = ((s, tuple(objects[:2])) for s in subjects)
        else:
            pairs = ((s, (o,)) for s in subjects for o in objects)
        for subject, others in pairs:
            if len(self.relations) >= _MOST_RELATIONS:
                self.lose(self.phrases[subject])
                break
            if subject not in others:
                self.relations[(name, subject, others)] = None

    def lose(self, what: Token | Phrase) -> None:
        """What was not understood."""
        self.lost.append((what.start, what.end))

    def lose_unsaid(self, tokens: list[Token]) -> None:
        """Nouns, adjectives and unknown marks of the prompt that came into nothing, for whatever reason, were lost."""
        said: list[str] = [*self.settings, *self.absent]
        for thing in self.things:
            said += (thing.phrase or "", thing.noun, *thing.attributes)
        words = set(_WORDS.findall(" ".join(said).lower().replace("’", "'")))
        for token in tokens:
            if token.type not in _CONTENT or words.issuperset(_WORDS.findall(token.text)):
                continue
            noun = token.value.partition("|")[0]
            if not noun or not words.issuperset(_WORDS.findall(noun)):
                self.lose(token)

    def statement(self) -> Statement:
        """Everything that was understood."""
        return Statement(
            things=tuple(self.things),
            relations=tuple(Relation(name=_checked(n), subject=s, objects=o) for n, s, o in self.relations),
            comparisons=tuple(Comparison(name=n, first=a, second=b) for n, a, b in self.comparisons),  # type: ignore
            absent=tuple(dict.fromkeys(self.absent)),
            settings=tuple(dict.fromkeys(self.settings)),
        )

    def left_over(self) -> tuple[str, ...]:
        """The spans that were lost; those with nothing but space between them as one."""
        spans = sorted(set(self.lost))
        merged: list[list[int]] = []
        for start, end in spans:
            if merged and not self.prompt[merged[-1][1] : start].strip():
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([start, end])
        return tuple(self.prompt[start:end] for start, end in merged)


def _checked(name: str) -> RelationName:
    return name  # type: ignore[return-value]

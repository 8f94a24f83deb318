"""What a prompt asks for, by the grammar planner's reading: what a grounder is to look for, and what its finds are."""

from __future__ import annotations

from dataclasses import dataclass

from scenograph.datasets.wording import with_article
from scenograph.planning.grammar import read
from scenograph.planning.grammar.lexicon import coco_name

__all__ = ["Asked", "asked_of", "coco_objects"]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A kind of thing: its noun, a caption of one of it, the words of the prompt, and how many (None: some)."""

    noun: str
    caption: str
    phrase: str | None
    count: int | None
    attributes: tuple[str, ...] = ()


def asked_of(prompt: str) -> tuple[Asked, ...]:
    """The things of a prompt in their order, places and absent things aside."""
    return tuple(
        Asked(
            noun=thing.noun,
            # "covered in foil" stands behind its noun and would not before it
            caption=with_article(" ".join([*(a for a in thing.attributes if " " not in a), thing.noun])),
            phrase=thing.phrase,
            count=thing.least if thing.least == thing.most else None,
            attributes=thing.attributes,
        )
        for thing in read(prompt).statement.things
        if thing.most != 0
    )


def coco_objects(prompt: str) -> tuple[tuple[str, ...], bool]:
    """COCO classes that a sentence names, each once, and whether it relates things to each other."""
    statement = read(prompt).statement
    named = (coco_name(thing.noun) for thing in statement.things)
    return tuple(dict.fromkeys(name for name in named if name is not None)), bool(statement.relations)

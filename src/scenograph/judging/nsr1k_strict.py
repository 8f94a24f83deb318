"""NSR-1K scored by what the prompts say: the official scores forgive extra objects and take any pair of boxes.

Counting: templates and comparisons are kept when the instances are exactly those stated; a natural caption when every
category of the truth is there as often as in the truth and whatever else is drawn is named in the caption. Spatial: as
many of both objects as the caption says, every pair (for "next to", each with some other) in the relation by
`statement.holds`, nothing else that the caption does not name. Names match when they are the same in the singular, or
when `category_of` says that one is the other's category. A layout with a box that is none is wrong.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Literal

from scenograph.judging.nsr1k import CountingRow, Seen, SpatialRow, layout_of
from scenograph.judging.nsr1k_captions import CategoryOf, mentions, singular_phrase
from scenograph.judging.statement import Comparison, Relation, RelationName, Statement, Thing, check
from scenograph.layout import Instance, Layout
from scenograph.layout.words import occurrences, plural

__all__ = [
    "stated_by_counting",
    "stated_by_spatial",
    "strict_counting",
    "strict_spatial",
]

_NAMES: dict[str, RelationName] = {
    "left": "left of",
    "right": "right of",
    "top": "above",
    "bottom": "below",
    "next to": "next to",
}


def strict_counting(row: CountingRow, objects: Sequence[Seen], category_of: CategoryOf) -> bool:
    """Whether the instances are those that the prompt states and no others."""
    return _keeps(stated_by_counting(row), row.prompt, objects, category_of, natural=row.kind == "real")


def strict_spatial(row: SpatialRow, objects: Sequence[Seen], category_of: CategoryOf) -> bool:
    """Whether the objects stand in the relation, each as often as the prompt says, with nothing else."""
    return _keeps(stated_by_spatial(row, category_of), row.prompt, objects, category_of, natural=row.kind != "template")


def stated_by_counting(row: CountingRow) -> Statement:
    """A comparison fixes the first count and the relation of the second to it; other rows fix every count."""
    if row.kind != "comparison":
        return Statement(things=tuple(Thing(noun=name, least=n, most=n) for name, n in row.counts))
    (first, one), (second, two) = row.counts
    name: Literal["more", "fewer", "equal"] = "equal" if one == two else "more" if one > two else "fewer"
    things = (Thing(noun=first, least=one, most=one), Thing(noun=second, least=min(1, two), most=None))
    return Statement(things=things, comparisons=(Comparison(name=name, first=0, second=1),))


def stated_by_spatial(row: SpatialRow, category_of: CategoryOf) -> Statement:
    """Two things and their relation.

    A caption that names one several times may mean the same one or others; a plural without a number leaves it open.
    """
    relation = Relation(name=_NAMES[row.relation], subject=0, objects=(1,))
    things = []
    for name in (row.first, row.second):
        said = mentions(row.prompt, name, category_of) if row.kind != "template" else []
        known = [m.count for m in said if m.count is not None] or [1]
        most = sum(known) if len(known) >= len(said) else None
        things.append(Thing(noun=name, least=max(known), most=most))
    return Statement(things=tuple(things), relations=(relation,))


def _keeps(
    statement: Statement, prompt: str, objects: Sequence[Seen], category_of: CategoryOf, *, natural: bool
) -> bool:
    layout = layout_of(objects, prompt)
    if layout is None:
        return False
    checked = check(statement, _in_the_words_of(statement, layout, category_of))
    extras = [noun for noun in checked.extras if not (natural and _named(noun, prompt))]
    return replace(checked, extras=tuple(extras)).strict


def _in_the_words_of(statement: Statement, layout: Layout, category_of: CategoryOf) -> Layout:
    """Labels replaced by the noun of the statement that they mean, captions by labels: no attributes are stated."""
    nouns = [thing.noun for thing in statement.things]

    def named(instance: Instance) -> Instance:
        name = " ".join(instance.label.lower().replace("-", " ").split())
        one = singular_phrase(name)
        noun = next((n for n in nouns if one == n), None) or next((n for n in nouns if category_of(one) == n), one)
        return replace(instance, label=noun, caption=noun)

    return replace(layout, instances=tuple(map(named, layout.instances)))


def _named(noun: str, prompt: str) -> bool:
    return any(occurrences(words, prompt) for words in {noun, plural(noun)})

"""NSR-1K scored by what the prompts say: the official scores forgive extra objects and take any pair of boxes.

Counting: templates and comparisons are kept when the instances are exactly those stated; a natural caption when every
category of the truth is there as often as in the truth and whatever else is drawn is named in the caption. Spatial: as
many of both objects as the caption says, every pair (for "next to", each with some other) in the relation by
`statement.holds`, nothing else that the caption does not name. Names match when they are the same in the singular, or
when `category_of` says that one is the other's category. A layout with a box that is none is wrong.

Not every truth can be known from its caption: "giraffes in a field" were three. `unknowable` names such rows by a rule
on the caption alone, so that scores can be given without them beside the score of all rows.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Literal

from scenograph.judging.nsr1k import CountingRow, Seen, SpatialRow, layout_of
from scenograph.judging.statement import Comparison, Relation, RelationName, Statement, Thing, check
from scenograph.layout import Instance, Layout
from scenograph.layout.words import DESCRIBING, INVARIANT, STOPS, occurrences, plural, singular

__all__ = [
    "CategoryOf",
    "Mention",
    "mentions",
    "stated_by_counting",
    "stated_by_spatial",
    "strict_counting",
    "strict_spatial",
    "unknowable",
]

CategoryOf = Callable[[str], str | None]
"""A noun → the category of the benchmark that it plainly is one of, or None."""

_ONE = "a an one another this that his her its their my your single"
_UP = "three four five six seven eight nine ten eleven twelve"
_NUMBERS = {
    **dict.fromkeys(_ONE.split(), 1),
    "two": 2,
    "both": 2,
    **{word: number for number, word in enumerate(_UP.split(), start=3)},
}
_FARTHEST = 3  # words between a number and its noun: "two large brown dogs"
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
        one = _singular(name)
        noun = next((n for n in nouns if one == n), None) or next((n for n in nouns if category_of(one) == n), one)
        return replace(instance, label=noun, caption=noun)

    return replace(layout, instances=tuple(map(named, layout.instances)))


def _singular(name: str) -> str:
    before, space, last = name.rpartition(" ")
    return before + space + singular(last)


def _named(noun: str, prompt: str) -> bool:
    return any(occurrences(words, prompt) for words in {noun, plural(noun)})


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One naming of a category: in the plural or not, and how many the words before it say (None: they do not)."""

    plural: bool
    count: int | None


def mentions(prompt: str, category: str, category_of: CategoryOf) -> list[Mention]:
    """Where a text names a category, in order; a word of another category's name ("hot dog") does not name it.

    The count is a number word or article in front of the noun, with at most three describing words between; a singular
    noun without one is one.
    """
    words = [re.sub(r"['’]s?$", "", word) for word in re.findall(r"[^\W_](?:[\w'’-]*\w)?|[.,;:!?]", prompt.lower())]
    found = []
    for start, stop in _spans(words, category, category_of):
        many = words[stop - 1] != singular(words[stop - 1]) and words[stop - 1] not in INVARIANT
        found.append(Mention(plural=many, count=_count_before(words, start, many)))
    return found


def _spans(words: Sequence[str], category: str, category_of: CategoryOf) -> Iterator[tuple[int, int]]:
    """From the left: the category's own name, or else one word that means it and is not part of another name."""
    length, start = len(category.split()), 0
    while start < len(words):
        if _singular(" ".join(words[start : start + length])) == category and (
            length > 1 or not _part_of_another(words, start, category, category_of)
        ):
            yield start, start + length
            start += length
            continue
        ahead = _singular(" ".join(words[start : start + 2]))
        meant = category_of(singular(words[start])) == category and category_of(ahead) in (category, None)
        if meant and not _part_of_another(words, start, category, category_of):
            yield start, start + 1
        start += 1


def _part_of_another(words: Sequence[str], start: int, category: str, category_of: CategoryOf) -> bool:
    """Whether the word at `start` ends the two-word name of another category."""
    longer = _singular(" ".join(words[max(0, start - 1) : start + 1]))
    return category_of(longer) not in (category, None)


def _count_before(words: Sequence[str], start: int, many: bool) -> int | None:
    for back in range(1, _FARTHEST + 2):
        word = words[start - back] if start >= back else "."
        if word in _NUMBERS or word.isdecimal():
            count = int(word) if word.isdecimal() else _NUMBERS[word]
            return count if many == (count > 1) else 1 if not many else None
        if word == "of" and many and start > back and words[start - back - 1] in {"couple", "pair"}:
            return 2
        if word == "and" and start > back and words[start - back - 1] in DESCRIBING:
            continue
        if word in STOPS or word.endswith("ing") or word == ".":
            break
    return None if many else 1


def unknowable(row: CountingRow, category_of: CategoryOf) -> str | None:
    """Why the truth of a natural caption cannot be known from its words; None when it can. Templates always can."""
    if row.kind != "real":
        return None
    reasons = []
    for name, count in row.counts:
        said = mentions(row.prompt, name, category_of)
        known = [m.count for m in said if m.count is not None]
        if not said:
            reasons.append(f"{name}: not named")
        elif count in known or count == sum(known):
            continue
        elif len(known) < len(said):
            reasons.append(f"{name}: a plural without a number, there were {count}")
        else:
            reasons.append(f"{name}: {' and '.join(map(str, known))} named, there were {count}")
    return "; ".join(reasons) or None

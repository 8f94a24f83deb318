"""What the captions of NSR-1K tell about their truth, and which truths they do not tell.

The truth of a natural caption is what annotators drew in its photograph, and not always what the caption says:
"giraffes in a field" were three, and of "a cat on a bed next to a wall" the truth has the cat next to the bed.
`unknowable` names such rows, so that scores can be given without them beside the score of all rows. Its rule looks at
caption and truth alone, never at an answer, and is deliberately simple: a number or article in front of a noun, and the
noun phrase that follows the words of a relation. Templates can always be known.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field

from scenograph.judging.nsr1k import CountingRow, SpatialRow
from scenograph.layout.words import DESCRIBING, INVARIANT, STOPS, singular

__all__ = ["CategoryOf", "Mention", "mentions", "singular_phrase", "unknowable"]

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
_RELATIONS = {
    "next to": "next to|beside|alongside|near|by",
    "top": "on top of|on the top of|atop|above|over|on|onto",
    "bottom": "under|underneath|below|beneath",
    "left": "left of|left side of",
    "right": "right of|right side of",
}
"""The words of each relation; what it is a relation to follows them."""
_PRONOUNS = {"it", "them", "him", "her", "each", "one"}
_SAID = {"next to": "next to", "top": "on top of", "bottom": "under", "left": "left of", "right": "right of"}
_VERBS = frozenset("sitting laying lying standing sleeping holding looking".split())
_INSIDE = {"of", "and", ",", "as", "down"}  # go on: "a pile of books", "a hat, a book and a dog", "a run down bus"


def singular_phrase(name: str) -> str:
    """A name of several words with its last word in the singular."""
    before, space, last = name.rpartition(" ")
    return before + space + singular(last)


@dataclass(frozen=True, kw_only=True)
class Mention:
    """One naming of a category: in the plural or not, and how many the words before it say (None: they do not).

    `start` and `stop` are places among the caption's words.
    """

    plural: bool
    count: int | None
    start: int = field(default=0, compare=False)
    stop: int = field(default=0, compare=False)


def mentions(prompt: str, category: str, category_of: CategoryOf) -> list[Mention]:
    """Where a text names a category, in order; a word of another category's name ("hot dog") does not name it.

    The count is a number word or article in front of the noun, with at most three describing words between; a singular
    noun without one is one.
    """
    words = _words(prompt)
    found = []
    for start, stop in _spans(words, category, category_of):
        many = words[stop - 1] != singular(words[stop - 1]) and words[stop - 1] not in INVARIANT
        found.append(Mention(plural=many, count=_count_before(words, start, many), start=start, stop=stop))
    return found


def _spans(words: Sequence[str], category: str, category_of: CategoryOf) -> Iterator[tuple[int, int]]:
    """From the left: the category's own name, or else one word that means it and is not part of another name."""
    length, start = len(category.split()), 0
    while start < len(words):
        if singular_phrase(" ".join(words[start : start + length])) == category and (
            length > 1 or not _part_of_another(words, start, category, category_of)
        ):
            yield start, start + length
            start += length
            continue
        ahead = singular_phrase(" ".join(words[start : start + 2]))
        meant = category_of(singular(words[start])) == category and category_of(ahead) in (category, None)
        if meant and not _part_of_another(words, start, category, category_of):
            yield start, start + 1
        start += 1


def _part_of_another(words: Sequence[str], start: int, category: str, category_of: CategoryOf) -> bool:
    """Whether the word at `start` ends the two-word name of another category."""
    longer = singular_phrase(" ".join(words[max(0, start - 1) : start + 1]))
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


def unknowable(row: CountingRow | SpatialRow, category_of: CategoryOf) -> str | None:
    """Why the truth of a natural caption cannot be known from its words; None when it can. Templates always can."""
    if isinstance(row, SpatialRow):
        return None if row.kind == "template" else _relation_untold(row, category_of)
    return None if row.kind != "real" else _counts_untold(row, category_of)


def _counts_untold(row: CountingRow, category_of: CategoryOf) -> str | None:
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


def _relation_untold(row: SpatialRow, category_of: CategoryOf) -> str | None:
    """Whether no wording of the relation stands between the two objects: after it the second (either, for next to)."""
    words = _words(row.prompt)
    first, second = (mentions(row.prompt, name, category_of) for name in (row.first, row.second))
    for name, said in ((row.first, first), (row.second, second)):
        if not said:
            return f"{name}: not named"
    orders = [(first, second), (second, first)] if row.relation == "next to" else [(first, second)]
    for start, stop in _wordings(words, row.relation):
        end = _phrase_end(words, stop)
        pronoun = end > stop and words[stop] in _PRONOUNS
        for one, two in orders:
            before = any(m.stop <= start for m in one)
            if before and (any(stop <= m.start < end for m in two) or (pronoun and any(m.stop <= start for m in two))):
                return None
    return f"does not say that the {row.first} is {_SAID[row.relation]} the {row.second}"


def _wordings(words: Sequence[str], relation: str) -> Iterator[tuple[int, int]]:
    for wording in _RELATIONS[relation].split("|"):
        parts = wording.split()
        for start in range(len(words) - len(parts) + 1):
            if list(words[start : start + len(parts)]) == parts:
                yield start, start + len(parts)


def _phrase_end(words: Sequence[str], start: int) -> int:
    """Where the noun phrases that begin at `start` end: "a pile of books and a cat | sitting on …"."""
    end = start
    while end < len(words) and (words[end] in _INSIDE or not (words[end] in STOPS or words[end] in _VERBS)):
        end += 1
    return end


def _words(prompt: str) -> list[str]:
    found = re.findall(r"[^\W_](?:[\w'’-]*\w)?|[.,;:!?]", prompt.lower())
    return [re.sub(r"['’]s?$", "", word) for word in found]

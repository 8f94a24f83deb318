"""What a prompt of T2I-CompBench names, without a parser: its noun chunks, and the prompt without adjectives.

The official scripts ask spaCy (en_core_web_sm, which no package index has). This is a small rule for the benchmark's
own sentences instead: a chunk begins at an article, a number or a possessive, or after what ended the one before, and
ends at a preposition, conjunction, form of "be", comma or full stop, before the next article, and before a verb. The
word in front of an article is a verb ("the couch welcomed | the guest"); elsewhere verbs are known by "-ed" and "-ing"
and by a short list. As officially, "top", "the side", "the left" and "the right" are no chunks, and pronouns, which
spaCy counts, are none here either.

Who has a planner at hand, or knows what was asked, gives better chunks than these.
"""

from __future__ import annotations

import re

from scenograph.layout.words import COMPOUNDS, DESCRIBING, NOT_VERBS, STOPS, singular

__all__ = ["noun_chunks", "without_adjectives"]

_OFFICIALLY_NONE = frozenset({"top", "the side", "the left", "the right"})
_NUMBERS = "two three four five six seven eight nine ten"
_DETERMINERS = frozenset(
    f"a an the this these those some any several many few another each every both all no its his her their my your our "
    f"one {_NUMBERS}".split()
)
_ENDS = (STOPS | set("past alongside that it they them he him she i you we there what ! ? )".split())) - {"can"}
_VERBS = frozenset(
    """
    hung hang hangs lay lie lies sat sit sits stood stand stands rest rests drove drive drives ran run runs flew fly
    flies shone shine shines rose made make makes met meet meets held hold holds kept keep keeps gave give gives took
    take takes swam swim swims fell fall falls grew grow grows simmer simmers brew brews cover covers drift drifts
    glow glows hide hides lean leans blend blends contrast contrasts spread slept eats ate carry carries came went
    told brought
    """.split()
)
_ADJECTIVE_ENDINGS = ("ful", "ous", "ive", "less", "ic", "al", "ish", "ed", "en", "ing", "ular")
_ADJECTIVES = (DESCRIBING - _DETERMINERS - {"very", "other", "glass", "stone", "leather"}) | frozenset(
    """
    soft hard smooth rough sharp blunt cool warm hot cold sweet sour fresh dull thick thin sleek plush prickly fuzzy
    misty icy frosty crunchy creamy juicy oval oblong spherical conical cubic cylindrical rectangular circular teardrop
    pentagonal pyramidal triangular hexagonal crescent
    """.split()
)


def noun_chunks(prompt: str) -> tuple[str, ...]:
    """The noun chunks of a prompt in their order, as they are written: "a red car and two dogs" → "a red car", "two
    dogs".
    """
    chunks = (" ".join(run).replace(" ,", ",") for _, run in _placed(prompt))
    return tuple(chunk for chunk in chunks if chunk.lower() not in _OFFICIALLY_NONE)


def without_adjectives(prompt: str) -> str:
    """The prompt without the adjectives that stand before a noun: "The red apple is small" → "The apple is small".

    Colours, sizes, and words with an adjective's ending, wherever another word of the same chunk follows.
    """
    dropped: set[int] = set()
    for start, run in _placed(prompt):
        inner = [index for index, word in enumerate(run[:-1]) if _is_adjective(word, run[index + 1])]
        dropped |= {start + index for index in inner}
    words = [word for index, word in enumerate(_words(prompt)) if index not in dropped]
    return re.sub(r"(, )+(?=,)|\s+(?=[.,;:!?])", "", " ".join(words))


def _words(prompt: str) -> list[str]:
    return re.findall(r"[^\W_](?:[\w'’-]*\w)?|[.,;:()!?–—]", prompt)


def _placed(prompt: str) -> list[tuple[int, list[str]]]:
    """Every chunk's place among the words, and its words, commas between adjectives included."""
    words = _words(prompt)
    chunks: list[tuple[int, list[str]]] = []
    start = 0
    run: list[str] = []

    def close(*, before_article: bool = False, last: bool = False) -> None:
        kept = _trimmed(run, before_article=before_article, last=last)
        if kept:
            chunks.append((start, kept))
        run.clear()

    for index, word in enumerate(words):
        lower, following = word.lower(), words[index + 1].lower() if index + 1 < len(words) else ""
        if lower in _DETERMINERS and run:
            close(before_article=run[-1].lower() not in _DETERMINERS)
        elif (lower in _ENDS and not _goes_on(run, lower, following)) or _is_action(run, lower, following):
            close()
            continue
        if not run:
            start = index
        run.append(word)
    close(last=True)
    return chunks


def _goes_on(run: list[str], word: str, following: str) -> bool:
    """Whether "and" or a comma stands between two adjectives of one noun."""
    if word not in {"and", ","} or not run or following in _DETERMINERS or following in _ENDS:
        return False
    only_one = len(run) == 2 and run[0].lower() in _DETERMINERS
    return run[-1].lower() in DESCRIBING - _DETERMINERS or (word == "," and only_one)


def _is_action(run: list[str], word: str, following: str) -> bool:
    """Whether a verb stands after a noun ("a boy holding flowers", "handles served drinks"), or begins a chunk that no
    article does ("is riding").
    """
    if word in NOT_VERBS or word in DESCRIBING or f"{word} {singular(following)}" in COMPOUNDS or following == "room":
        return False
    if not run:
        return word.endswith("ing")
    before = run[-1].lower()
    if before in _DETERMINERS | {",", "and"} or _describes(before):
        return False
    if word == "can":
        return following == "be" or following not in STOPS | {""}  # not the one for paint
    if word in _VERBS:
        return following not in {"", ".", ","}  # the last word of a sentence is its noun: "a book stand"
    return word.endswith("ing") or (word.endswith("ed") and singular(before) != before)


def _trimmed(run: list[str], *, before_article: bool, last: bool) -> list[str]:
    """The chunk without the verb and adverbs at its end; nothing when no noun is left.

    Nothing follows the `last` one, so its last word is its noun.
    """
    kept = list(run)
    if before_article and kept:
        kept.pop()
    while len(kept) > 1 and not last and _ends_no_noun(kept):
        kept.pop()
    bare = [word.lower() for word in kept if word.lower() not in _DETERMINERS]
    participle = len(kept) == 1 and kept[0].endswith("ed") and kept[0] not in NOT_VERBS
    if not bare or bare[0] in _VERBS or participle or (len(bare) == len(kept) and all(map(_describes, bare))):
        return []
    return kept


def _ends_no_noun(run: list[str]) -> bool:
    word = run[-1].lower()
    if word in NOT_VERBS or (word in _VERBS and _describes(run[-2].lower())):
        return False
    return word in _VERBS or word in {",", "and"} or word.endswith("ly") or (word.endswith("ed") and len(word) > 4)


def _describes(word: str) -> bool:
    return word in DESCRIBING or word in _ADJECTIVES or word in {",", "and"}


def _is_adjective(word: str, following: str) -> bool:
    lower = word.lower()
    if f"{lower} {singular(following.lower())}" in COMPOUNDS:
        return False
    return lower in _ADJECTIVES or (len(lower) > 4 and lower.endswith(_ADJECTIVE_ENDINGS))

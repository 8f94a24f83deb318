"""Prompt → tokens: words and fixed word groups, and where they stand.

The classes are the terminals of grammar.lark. What only its neighbours can tell about a word is left to `senses`.
"""

from __future__ import annotations

import re

from scenograph.planning.grammar import lexicon
from scenograph.planning.grammar.numbers import number_at

__all__ = ["Token", "split"]

# Latin words with inner hyphens and apostrophes, numbers, single punctuation marks, and runs of anything else.
_PIECES = re.compile(
    r"\d{1,3}(?:[, ]\d{3})+(?![\d,])|\d+[-–]\d+(?!\w)|[A-Za-zÀ-ɏ0-9]+(?:[-'’][A-Za-zÀ-ɏ0-9]+)*|[,;:.!?&+]"
    r"|[()\[\]{}\"“”'’`*_~|/<>-]|[^\sA-Za-z0-9]+"
)
_STOPS = set(".!?;:")
_QUOTES = set("\"“”'’*")  # say nothing
_LONGEST = 40  # letters; what is longer is no word
_BEFORE_NOUNS = frozenset("the a an its his her their".split())


class Token:
    """One token: its class, its text in lower case, the span [start, end) of the prompt, and what the class needs.

    `value` is the relation's name, the count's ends ("2-3"), or the noun in the singular. It passes for a lark token.
    """

    __slots__ = ("end", "known", "start", "text", "type", "value")
    start_pos = line = column = end_line = end_column = end_pos = None

    def __init__(self, type: str, text: str, start: int, end: int, value: str = "") -> None:
        self.type, self.text, self.start, self.end, self.value = type, text, start, end, value
        self.known = True

    def __repr__(self) -> str:
        return f"{self.type}({self.text})"


def split(prompt: str) -> list[Token]:
    """The tokens of a prompt, in order, every word in one of them; the class of words of open classes is ""."""
    return _grouped(_pieces(prompt))


def _pieces(prompt: str) -> list[tuple[str, int, int]]:
    found = []
    for match in _PIECES.finditer(prompt):
        text = match.group().lower().replace("’", "'")
        found.append((lexicon.SPELLING.get(text, text) if text == "siting" else text, match.start(), match.end()))
    return found


def _grouped(pieces: list[tuple[str, int, int]]) -> list[Token]:
    """Tokens in which numbers, fixed word groups and compound nouns are one; open words have no class yet."""
    words = [piece[0] for piece in pieces]
    found: list[Token] = []
    at = 0
    while at < len(pieces):
        kind, value, length = _clad(words, at) or number_at(words, at) or _fixed(words, at, found) or _single(words, at)
        start, end = pieces[at][1], pieces[at + length - 1][2]
        text = words[at] if length == 1 else " ".join(words[at : at + length])
        if kind == "AND" and found and found[-1].type == "COMMA":
            found.pop()
        found.append(Token(kind, text, start, end, value))
        at += length
    return found


def _clad(words: list[str], at: int) -> tuple[str, str, int] | None:
    """ "a woman in red": a colour without a noun is what she wears."""
    if words[at] != "in" or at + 1 >= len(words) or not lexicon.is_colour(words[at + 1]):
        return None
    following = lexicon.kinds_of(words[at + 2]) if at + 2 < len(words) and words[at + 2].isalpha() else "X"
    typed = at + 2 < len(words) and words[at + 2] in lexicon.PHRASES
    if typed and words[at + 2] == "and":
        typed = words[at + 3 : at + 4] in (["a"], ["an"], ["the"], ["one"], ["two"])
        following = ""
    alone = typed or following in ("G", "X", "S", "V", "PV", "B")
    return ("MATERIAL", "clad", 2) if alone else None


def _fixed(words: list[str], at: int, found: list[Token]) -> tuple[str, str, int] | None:
    """The longest word group of the tables that begins here."""
    lengths, groups = lexicon.PHRASES.get(words[at], ((), {}))
    for length in lengths:
        group = tuple(words[at : at + length])
        if len(group) < length or group not in groups:
            continue
        kind, value = groups[group]
        if not _fits(words, at, group, kind, found):
            continue
        if length == 1 and at + 1 < len(words) and _compound(words, at):
            return None
        after_article = length == 1 and at and words[at - 1] in _BEFORE_NOUNS
        if kind in ("PREP", "RELATION") and after_article and lexicon.known_noun(words[at]):
            return None  # "the back of a car"
        if kind.startswith("BESIDE"):
            return "BESIDE", "left of" if kind.endswith("LEFT") else "right of", length
        return kind, value, length
    return None


def _fits(words: list[str], at: int, group: tuple[str, ...], kind: str, found: list[Token]) -> bool:
    following = words[at + len(group)] if at + len(group) < len(words) else ""
    if (
        kind == "FRAME"
        and group[-1] in ("of", "with", "shows", "is")
        and len(group) > 1
        and group[0] not in ("there", "here")
    ):
        return not found or found[-1].type in ("STOP", "FRAME")
    if group[-1] == "covered" and following in ("a", "an", "the", "its", "his", "her", "their"):
        return False
    if group == ("her",):
        return not set(lexicon.kinds_of(following)) & {"N", "A"}
    if group == ("nearby",):
        return not set(lexicon.kinds_of(following)) & {"N"}
    if group == ("it's",):
        return not set(lexicon.kinds_of(following)) & {"N"}
    if group in (("a", "couple"), ("both",)):
        return bool(following) and bool(set(lexicon.kinds_of(following)) & {"N", "A"})
    if kind == "THAT" and group == ("that",):
        return bool(found)
    return True


def _compound(words: list[str], at: int) -> int:
    """How many words from here make a compound noun of the table: 0, 2 or 3."""
    for length in (3, 2):
        if at + length <= len(words):
            last = words[at + length - 1]
            last = last[:-2] if last.endswith("'s") else last
            name = " ".join((*words[at : at + length - 1], _last_noun(last)))
            if name in lexicon.COMPOUNDS or name in lexicon.KINDS:
                return length
    return 0


def _last_noun(word: str) -> str:
    return "glass" if word == "glasses" else lexicon.noun_of(word)


def _single(words: list[str], at: int) -> tuple[str, str, int]:
    """A compound noun, a mark, or a word whose class is still open ("")."""
    word = words[at]
    if not word[0].isalpha():
        if word == ",":
            return "COMMA", "", 1
        if word in _QUOTES:
            return "ADVERB", "", 1
        return ("STOP", "", 1) if word[0] in _STOPS else ("JUNK", "", 1)
    length = _compound(words, at)
    if length:
        *first, last = words[at : at + length]
        genitive = last.endswith("'s")
        last = last[:-2] if genitive else last
        plural = _last_noun(last) != last
        kind = "GENITIVE" if genitive else "NOUN"
        name = " ".join((*first, _last_noun(last)))
        return kind, lexicon.COMPOUNDS.get(name, name) + ("|s" if plural else ""), length
    if word in lexicon.FUNCTION:
        return lexicon.FUNCTION[word], "", 1
    if len(word) > _LONGEST or not all(c < "ɐ" for c in word):
        return "JUNK", "", 1
    return "", "", 1

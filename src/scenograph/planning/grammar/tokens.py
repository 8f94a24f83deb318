"""Prompt → tokens: words and word groups with the class that each has in its place, and where it stands.

The classes are the terminals of grammar.lark. What a word can be comes from `lexicon`; what it is, from its neighbours.
"""

from __future__ import annotations

import re

from scenograph.layout import MAX_INSTANCES
from scenograph.planning.grammar import lexicon

__all__ = ["Token", "capped", "tokenise"]

# Latin words with inner hyphens and apostrophes, numbers, single punctuation marks, and runs of anything else.
_PIECES = re.compile(
    r"\d{1,3}(?:[, ]\d{3})+(?![\d,])|\d+[-–]\d+(?!\w)|[A-Za-zÀ-ɏ0-9]+(?:[-'’][A-Za-zÀ-ɏ0-9]+)*|[,;:.!?&+]"
    r"|[()\[\]{}\"“”'’`*_~|/<>-]|[^\sA-Za-z0-9]+"
)
_STOPS = set(".!?;:")
_LONGEST = 40  # letters; what is longer is no word
# Nothing but these and adjectives stands between an article and its noun.
_MODS = frozenset("COUNT DET POSS DEGREE ADJ GLUE GENITIVE EQUAL TWICE MORE FEWER".split())
_ARTICLES = frozenset("COUNT DET POSS EQUAL TWICE MORE FEWER".split())
_OPENING = frozenset("RELATION PREP HAVE FRAME STOP COMMA AND OF WHILE WITHOUT MATERIAL NUMBER_OF THAN MORE_THAN".split())
_BOUNDS = {
    ("more", "than"): "{}+1-", ("over",): "{}+1-", ("at", "least"): "{}-", ("at", "most"): "1-{}",
    ("less", "than"): "1-{}-1", ("fewer", "than"): "1-{}-1", ("up", "to"): "1-{}", ("exactly",): "{}-{}",
    ("no", "more", "than"): "1-{}", ("about",): "{}-{}", ("approximately",): "{}-{}", ("around",): "{}-{}",
    ("no", "fewer", "than"): "{}-", ("not", "more", "than"): "1-{}", ("only",): "{}-{}", ("just",): "{}-{}",
}  # fmt: skip


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


def tokenise(prompt: str) -> list[Token]:
    """The tokens of a prompt, in order; every word is in one of them."""
    found = _grouped(_pieces(prompt))
    for index, token in enumerate(found):
        if token.type == "":
            _resolve(found, index)
    _connect(found)
    return found


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
        kind, value, length = _clad(words, at) or _number(words, at) or _fixed(words, at, found) or _single(words, at)
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


def _number(words: list[str], at: int) -> tuple[str, str, int] | None:
    """A number in digits or words, with a bound before it: "at least 12", "twenty-five", "two hundred"."""
    for bound, ends in _BOUNDS.items():
        if words[at] == bound[0] and tuple(words[at : at + len(bound)]) == bound:
            exact = _exact(words, at + len(bound))
            if exact:
                return "COUNT", _ends(ends, exact[0]), len(bound) + exact[1]
    first = words[at]
    if first[0].isdigit() and re.fullmatch(r"\d+[-–]\d+", first):
        low, high = (int(part[:9]) for part in re.split("[-–]", first))
        return "COUNT", f"{min(low, high)}-{max(low, high)}", 1
    exact = _exact(words, at)
    return ("COUNT", f"{exact[0]}-{exact[0]}", exact[1]) if exact else None


def _ends(ends: str, number: int) -> str:
    shifted = ends.replace("{}+1", str(number + 1)).replace("{}-1", str(max(1, number - 1)))
    return shifted.replace("{}", str(number))


def _exact(words: list[str], at: int) -> tuple[int, int] | None:
    """(number, how many words) where a plain number stands; one alone is left to the word groups."""
    if at >= len(words):
        return None
    first = _value(words[at])
    if first is None:
        return None
    total, length = first, 1
    following = _value(words[at + 1]) if at + 1 < len(words) else None
    if following in (100, 1000) and first < following and words[at] not in ("a", "an"):
        total, length = first * following, 2
    elif following is not None and 20 <= first < 100 and first % 10 == 0 and 0 < following < 10:
        total, length = first + following, 2
    return None if length == 1 and not words[at][0].isdigit() and total <= 12 and words[at] != "dozen" else (total, length)


def _value(word: str) -> int | None:
    digits = word.replace(",", "").replace(" ", "")
    if digits.isascii() and digits.isdigit():
        return int(digits[:9])
    if "-" in word:
        tens, _, unit = word.partition("-")
        ten, one = _value(tens), _value(unit)
        return ten + one if ten and one and ten in range(20, 100, 10) and one < 10 else None
    count = lexicon.COUNTS.get(word)
    if count is None or word in ("a", "an", "one", "another", "both", "this", "single", "every", "each", "lone"):
        return 1 if word == "one" else None
    low, _, high = count.partition("-")
    return int(low) if low == high and low != "0" else None


def _fixed(words: list[str], at: int, found: list[Token]) -> tuple[str, str, int] | None:
    """The longest word group of the tables that begins here."""
    for group, kind, value in lexicon.PHRASES.get(words[at], ()):
        length = len(group)
        if tuple(words[at : at + length]) != group or not _fits(words, at, group, kind, found):
            continue
        if length == 1 and at + 1 < len(words) and _compound(words, at):
            return None
        if kind.startswith("BESIDE"):
            return "BESIDE", "left of" if kind.endswith("LEFT") else "right of", length
        return kind, value, length
    return None


def _fits(words: list[str], at: int, group: tuple[str, ...], kind: str, found: list[Token]) -> bool:
    following = words[at + len(group)] if at + len(group) < len(words) else ""
    if kind == "FRAME" and group[-1] in ("of", "with", "shows", "is") and len(group) > 1 and group[0] not in ("there", "here"):
        return not found or found[-1].type in ("STOP", "FRAME")
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


def _kinds(token: Token) -> str:
    """What an open token can be, "?" for what no table has; "" for one that has its class."""
    if token.type:
        return "N" if token.type in ("NOUN", "GENITIVE") else "A" if token.type == "ADJ" else ""
    text = token.text
    if text.endswith("'s") or text.endswith("s'"):
        return "N"
    return lexicon.kinds_of(text) or "?"


def _nominal(found: list[Token], at: int) -> bool:
    """Whether the token at `at` can go on a noun phrase."""
    if at >= len(found):
        return False
    kinds = _kinds(found[at])
    if "N" in kinds or "?" in kinds:
        return True
    return "A" in kinds and kinds != "AR" and _phrase_goes_on(found, at)


def _phrase_goes_on(found: list[Token], at: int) -> bool:
    """Whether a noun follows the adjective at `at`, over at most a few more adjectives."""
    for token in found[at + 1 : at + 6]:
        kinds = _kinds(token)
        if "N" in kinds or "?" in kinds:
            return True
        if "A" not in kinds and token.type not in ("AND", "COMMA"):
            return False
    return False


def _resolve(found: list[Token], at: int) -> None:
    """Give the open word at `at` its class, knowing those before it and what those after it can be."""
    token = found[at]
    before = at - 1
    while before >= 0 and found[before].type == "ADVERB":
        before -= 1
    last = found[before] if before >= 0 else None
    previous = last.type if last else "STOP"
    text = token.text
    if text.endswith(("'s", "s'")):
        _genitive(found, at)
        return
    kinds = lexicon.kinds_of(text)
    if kinds in ("X", "R"):
        token.type = "BE" if kinds == "X" else "ADVERB"
    elif kinds == "AR":
        token.type = "ADJ" if previous in _MODS and _nominal(found, at + 1) else "ADVERB"
    elif kinds in ("N", ""):
        token.type, token.known = "NOUN", kinds == "N"
    elif "A" in kinds and "N" in kinds:
        token.type = _colour_or_noun(found, at, previous)
    elif "A" in kinds:
        verbal = kinds != "A" and previous in ("NOUN", "IT", "THAT") and not _after_compound(found, at)
        if previous == "BE" and "P" in kinds and at + 1 < len(found):  # "is mounted on ..."
            verbal = found[at + 1].type in ("RELATION", "PREP") or found[at + 1].text == "with"
        token.type = "VERB" if verbal else "ADJ"
    elif "N" in kinds:
        token.type = _noun_or_verb(found, at, previous, last, kinds)
    else:
        token.type = _verb_or_participle(found, at, previous, kinds)
    if token.type == "NOUN":
        _name(token)


def _name(token: Token) -> None:
    token.value = lexicon.noun_of(token.text) + ("|s" if lexicon.is_plural(token.text) else "")


def _genitive(found: list[Token], at: int) -> None:
    token = found[at]
    owner = token.text.rpartition("'")[0]
    token.value = lexicon.noun_of(owner)
    if token.text == "it's":
        token.type = "POSS"
    else:
        token.type = "GENITIVE" if _nominal(found, at + 1) else "NOUN"


def _after_compound(found: list[Token], at: int) -> bool:
    """Whether a participle after a noun only makes an adjective with it: "a snow covered street"."""
    participles = ("covered", "topped", "shaped", "colored", "coloured", "lined", "framed", "filled", "sized", "printed")
    return found[at].text in participles and _nominal(found, at + 1)


def _colour_or_noun(found: list[Token], at: int, previous: str) -> str:
    if previous == "BE" or _nominal(found, at + 1):
        ahead = found[at + 1] if at + 1 < len(found) else None
        if ahead is None or ahead.type or previous == "BE":
            return "ADJ"
        kinds = _kinds(ahead)
        return "NOUN" if set(kinds) <= set("SVGPB") else "ADJ"
    joined = at + 2 < len(found) and found[at + 1].type in ("AND", "COMMA") and "A" in _kinds(found[at + 2])
    return "ADJ" if joined and previous != "NOUN" and _phrase_goes_on(found, at + 2) else "NOUN"


def _noun_or_verb(found: list[Token], at: int, previous: str, last: Token | None, kinds: str) -> str:
    token = found[at]
    if previous in ("BE", "THAT", "IT") or (previous == "PREP" and last is not None and last.text == "to" and "B" in kinds):
        return "VERB"
    if previous in _MODS:
        return "NOUN"
    if previous != "NOUN" or last is None:
        imperative = "B" in kinds and previous == "STOP" and at + 1 < len(found) and found[at + 1].type in _ARTICLES
        return "VERB" if imperative or kinds in ("NP", "NPV", "GN") and not _nominal(found, at + 1) else "NOUN"
    plural = last.value.endswith("|s") or last.text == "people" or _joined(found, at)
    agrees = ("B" in kinds and plural) or ("S" in kinds and not plural and not _counted(found, at))
    if "G" in kinds or "P" in kinds or "V" in kinds:
        return "VERB" if not agrees or lexicon.is_verbish(token.text) else "NOUN"
    ahead = found[at + 1].type if at + 1 < len(found) else "STOP"
    return "VERB" if agrees and lexicon.is_verbish(token.text) and ahead not in ("BE", "VERB") else "NOUN"


def _joined(found: list[Token], at: int) -> bool:
    """Whether the phrase before `at` is the last of several: "a dog and a cat (stand)"."""
    for before in range(at - 1, max(0, at - 7), -1):
        kind = found[before].type
        if kind == "AND":
            return found[before - 1].type == "NOUN"
        if kind not in _MODS and kind != "NOUN":
            return False
    return False


def _counted(found: list[Token], at: int) -> bool:
    """Whether the phrase before `at` is counted as several: "two coffee cups"."""
    for token in reversed(found[max(0, at - 6) : at]):
        if token.type == "COUNT":
            return token.value != "1-1"
        if token.type not in _MODS and token.type != "NOUN":
            return False
    return False


def _verb_or_participle(found: list[Token], at: int, previous: str, kinds: str) -> str:
    if not set(kinds) & {"G", "P"}:
        return "NOUN" if previous in _MODS and previous != "GLUE" else "VERB"
    if _after_compound(found, at) and previous == "NOUN":
        return "ADJ"
    follows = _nominal(found, at + 1)
    if previous in _MODS:
        joined = at + 1 < len(found) and found[at + 1].type in ("AND", "COMMA") and _phrase_goes_on(found, at + 1)
        return "ADJ" if follows or joined else "NOUN" if kinds == "G" and previous in _ARTICLES else "VERB"
    if previous in ("COMMA", "AND"):
        return "ADJ" if follows and at >= 2 and found[at - 2].type == "ADJ" or (follows and "P" in kinds) else "VERB"
    return "ADJ" if previous in _OPENING and follows else "VERB"


def _connect(found: list[Token]) -> None:
    """Right to left: what joins adjectives, noun phrases or articles gets a class of its own, and "of" too."""
    goes_on = False  # whether a noun phrase begins, or goes on, at the token after this one
    for at in range(len(found) - 1, -1, -1):
        token = found[at]
        kind = token.type
        previous = found[at - 1].type if at else ""
        after = found[at + 1].type if at + 1 < len(found) else ""
        if kind == "ADVERB" and after in ("ADJ", "DEGREE") and goes_on:
            kind = token.type = "DEGREE"
        elif kind in ("AND", "COMMA") and goes_on:
            if previous == "ADJ" and after == "ADJ":
                kind = token.type = "GLUE"
            elif previous == "ADJ" and after in _ARTICLES and _opened(found, at - 1) and _described(found, at + 1):
                token.type = "SHARE"
            elif previous == "NOUN":
                token.type = "LIST"
        elif kind == "PREP" and token.text == "of" and goes_on and previous == "NOUN":
            token.type = "OF"
        elif kind == "ADJ" and previous in ("NOUN",) and goes_on and after != "GLUE":
            pass
        goes_on = kind == "NOUN" or (kind in _MODS and goes_on)


def _opened(found: list[Token], at: int) -> bool:
    """Whether the adjectives before and at `at` belong to an article: "a red (and a blue car)"."""
    for token in reversed(found[max(0, at - 8) : at + 1]):
        if token.type in _ARTICLES:
            return True
        if token.type not in _MODS:
            return False
    return False


def _described(found: list[Token], at: int) -> bool:
    """Whether an adjective follows the article at `at`."""
    return any(token.type == "ADJ" for token in found[at + 1 : at + 3])


def capped(count: str) -> tuple[int, int | None]:
    """(least, most) of a count's ends, as many as a layout may hold."""
    low, _, high = count.partition("-")
    least = min(int(low), MAX_INSTANCES)
    return least, max(least, min(int(high), MAX_INSTANCES)) if high else None

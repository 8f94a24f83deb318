"""What a word is in its place: noun, adjective or verb by its neighbours, and what a comma or an "and" joins."""

from __future__ import annotations

from scenograph.planning.grammar import lexicon
from scenograph.planning.grammar.tokens import Token, split

__all__ = ["tokenise"]

# Nothing but these and adjectives stands between an article and its noun.
_MODS = frozenset("COUNT DET POSS DEGREE ADJ GLUE GENITIVE EQUAL TWICE MORE FEWER".split())
_ARTICLES = frozenset("COUNT DET POSS EQUAL TWICE MORE FEWER".split())
_OPENING = frozenset(
    "RELATION PREP HAVE FRAME STOP COMMA AND OF WHILE WITHOUT MATERIAL NUMBER_OF THAN MORE_THAN".split()
)


def tokenise(prompt: str) -> list[Token]:
    """The tokens of a prompt, in order; every word is in one of them."""
    found = split(prompt)
    for index, token in enumerate(found):
        if token.type == "":
            _resolve(found, index)
    _connect(found)
    return found


def _kinds(token: Token) -> str:
    """What an open token can be, "?" for what no table has; "" for one that has its class."""
    if token.type:
        return "N" if token.type in ("NOUN", "GENITIVE") else "A" if token.type == "ADJ" else ""
    text = token.text
    if text.endswith("'s") or text.endswith("s'"):
        return "N"
    return lexicon.kinds_of(text) or "?"


def _ahead(found: list[Token], at: int) -> str:
    return _kinds(found[at]) if at < len(found) else ""


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
        token.type = "BE" if kinds == "X" else "NOUN" if _partitive(found, at) else "ADVERB"
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


def _partitive(found: list[Token], at: int) -> bool:
    """ "the back of a car": a part, not a direction."""
    between = 0 < at < len(found) - 1 and found[at - 1].text == "the" and found[at + 1].text == "of"
    return between and lexicon.known_noun(found[at].text)


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
    participles = (
        "covered",
        "topped",
        "shaped",
        "colored",
        "coloured",
        "lined",
        "framed",
        "filled",
        "sized",
        "printed",
    )
    return found[at].text in participles and _nominal(found, at + 1)


def _colour_or_noun(found: list[Token], at: int, previous: str) -> str:
    if previous == "BE" or _nominal(found, at + 1) or (previous in _MODS and "G" in _ahead(found, at + 1)):
        ahead = found[at + 1] if at + 1 < len(found) else None
        if ahead is None or ahead.type or previous == "BE":
            return "ADJ"
        verbal = set(_kinds(ahead)) <= set("SVGP" if previous in _MODS else "SVGPB")
        return "NOUN" if verbal and not (previous in _MODS and _nominal(found, at + 2)) else "ADJ"
    joined = at + 2 < len(found) and found[at + 1].type in ("AND", "COMMA") and "A" in _kinds(found[at + 2])
    return "ADJ" if joined and previous != "NOUN" and _phrase_goes_on(found, at + 2) else "NOUN"


def _noun_or_verb(found: list[Token], at: int, previous: str, last: Token | None, kinds: str) -> str:
    token = found[at]
    if previous in ("BE", "THAT", "IT") or (
        previous == "PREP" and last is not None and last.text == "to" and "B" in kinds
    ):
        return "VERB"
    if previous in _MODS:
        return "NOUN"
    if previous != "NOUN" or last is None:
        imperative = "B" in kinds and previous == "STOP" and at + 1 < len(found) and found[at + 1].type in _ARTICLES
        return "VERB" if imperative or (kinds in ("NP", "NPV", "GN") and not _nominal(found, at + 1)) else "NOUN"
    if _ahead(found, at + 1) and set(_ahead(found, at + 1)) <= set("VSB"):
        return "NOUN"  # "a metal music stand sits ...": the verb comes after it
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
        follows = follows or "B" in _ahead(found, at + 1)  # "the peeling paint"
        joined = at + 1 < len(found) and found[at + 1].type in ("AND", "COMMA") and _phrase_goes_on(found, at + 1)
        return "ADJ" if follows or joined else "NOUN" if kinds == "G" and previous in _ARTICLES else "VERB"
    if previous in ("COMMA", "AND"):
        return "ADJ" if (follows and at >= 2 and found[at - 2].type == "ADJ") or (follows and "P" in kinds) else "VERB"
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

"""Tokens → phrases: the LALR parser over grammar.lark, and what a noun phrase names, how often, and how it looks."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from functools import cache
from importlib.resources import files
from typing import Any

from lark import Lark, Transformer
from lark.lexer import Lexer

from scenograph.layout import MAX_INSTANCES
from scenograph.layout.words import INVARIANT
from scenograph.planning.grammar.lexicon import KINDS, MEASURES, NOTHING, kinds_of_noun
from scenograph.planning.grammar.numbers import capped
from scenograph.planning.grammar.tokens import Token

__all__ = ["Group", "Item", "Loose", "Phrase", "parse"]


@dataclass(kw_only=True)
class Phrase:
    """One noun phrase: `least` to `most` of `noun`; `kinds` are those of words/kinds.txt.

    [start, end) is its whole span in the prompt, `named` where the part without article and number begins.
    """

    noun: str
    least: int = 1
    most: int | None = 1
    attributes: tuple[str, ...] = ()
    kinds: frozenset[str] = NOTHING
    start: int = 0
    named: int = 0
    end: int = 0
    plural: bool = False
    counted: bool = False  # a number or article stands before it
    open: bool = False  # "a few": a comparison may want just one
    definite: bool = False
    owned: bool = False  # "its ..."
    absent: bool = False
    compared: str = ""  # EQUAL, TWICE, MORE or FEWER stands before it
    known: bool = True
    excess: Token | None = None  # a number beyond what a layout may hold
    contents: list[Phrase] = field(default_factory=list)


@dataclass(kw_only=True)
class Group:
    """Noun phrases joined by commas and "and"; `links[i]` stands between phrase i and i + 1."""

    phrases: list[Phrase]
    links: list[str]


@dataclass(kw_only=True)
class Loose:
    """Adjectives, articles or numbers without a noun."""

    tokens: list[Token]


_NO_WHOLES = {"part", "abstract", "place", "mass"}
Item = Group | Loose | Token


def parse(tokens: list[Token]) -> list[Item]:
    """The phrases and the words between them, in order."""
    items: list[Item] = _parser().parse(tokens)  # type: ignore[arg-type, assignment]
    return items


class _Given(Lexer):
    """Lark's lexer interface over tokens that are ready."""

    def __init__(self, lexer_conf: Any) -> None:
        pass

    def lex(self, data: Any) -> Iterator[Any]:  # type: ignore[override]
        return iter(data)


class _Build(Transformer):  # type: ignore[type-arg]
    def start(self, children: list[Item]) -> list[Item]:
        return children

    def mods(self, children: list[Token]) -> list[Token]:
        return children

    def loose(self, children: list[list[Token]]) -> Loose:
        return Loose(tokens=children[0])

    def nominal(self, children: list[Any]) -> list[Phrase]:
        mods = children[0] if isinstance(children[0], list) else []
        return [_nominal(mods, children[1:] if isinstance(children[0], list) else children)]

    def shared(self, children: list[Any]) -> list[Phrase]:
        nouns = [c for c in children if isinstance(c, Token) and c.type == "NOUN"]
        return [_nominal(mods, nouns) for mods in children if isinstance(mods, list)]

    def np(self, children: list[Any]) -> list[Phrase]:
        phrases: list[list[Phrase]] = [c for c in children if isinstance(c, list)]
        whole = phrases.pop()
        while phrases:
            left = phrases.pop()
            single = len(whole) == 1  # "a red and a blue cup of tea"
            whole = [_of(each, whole[0]) for each in left] if single else [*left[:-1], _of(left[-1], whole[0])]
        return whole

    def group(self, children: list[Any]) -> Group:
        phrases: list[Phrase] = []
        links: list[str] = []
        for child in children:
            if isinstance(child, list):
                links += ["and"] * (len(child) - 1)
                phrases += child
            else:
                links.append(child.text)
        return Group(phrases=phrases, links=links)


@cache
def _parser() -> Lark:
    grammar = (files(__package__) / "grammar.lark").read_text(encoding="utf-8")
    return Lark(grammar, parser="lalr", lexer=_Given, transformer=_Build())


def _nominal(mods: list[Token], nouns: list[Token]) -> Phrase:
    head, earlier = _head(mods, nouns)
    noun, _, s = head.value.partition("|")
    plural = bool(s)
    kinds = (kinds_of_noun(noun) if not earlier else KINDS.get(noun, NOTHING)) | KINDS.get(head.text, NOTHING)
    attributes = [m.text for m in mods if m.type in ("ADJ", "GENITIVE") and m is not head]
    attributes += [n.text for n in earlier]
    counts = [m for m in mods if m.type == "COUNT"]
    least, most = _count(counts, plural, noun, kinds)
    types = {m.type for m in mods}
    named = next((m.start for m in mods if m.type in ("ADJ", "GENITIVE")), nouns[0].start)
    return Phrase(
        noun=noun,
        least=least,
        most=most,
        attributes=tuple(attributes),
        kinds=kinds,
        start=mods[0].start if mods else nouns[0].start,
        named=named,
        end=nouns[-1].end,
        plural=plural or most != 1,
        counted=bool(counts) or "DET" in types,
        open=most is None,
        definite="DET" in types,
        owned="POSS" in types,
        absent=any(c.value == "0-0" for c in counts),
        compared=next((m.type for m in mods if m.type in ("EQUAL", "TWICE", "MORE", "FEWER")), ""),
        excess=next((c for c in counts if int(c.value.partition("-")[0]) > MAX_INSTANCES), None),
        known=bool(mods) or any(n.known for n in nouns),
    )


def _head(mods: list[Token], nouns: list[Token]) -> tuple[Token, list[Token]]:
    """The noun that names the thing, and the nouns that only describe it. A part stands for the whole."""
    head = nouns[-1]
    owners = [*(m for m in mods if m.type == "GENITIVE"), *nouns[:-1]]
    owners = [o for o in owners if not _is(o, "part") or len(owners) == 1]
    if len(nouns) > 1 and _is(nouns[-1], "mass") and _is(nouns[-2], "container"):
        return nouns[-2], [*nouns[:-2], nouns[-1]]  # "a cup coffee"
    if owners and KINDS.get(head.value.partition("|")[0], NOTHING) & {"part", "fitting"}:
        wholes = [o for o in owners if not KINDS.get(o.value.partition("|")[0], NOTHING) & _NO_WHOLES]
        wholes = [o for o in wholes if o.known and o.value.partition("|")[0] not in ("computer", "snow")]
        if wholes and wholes[-1] is owners[-1]:
            head = wholes[-1]
            return head, [n for n in nouns[: nouns.index(head)]] if head in nouns else []
    return head, nouns[:-1]


def _is(noun: Token, kind: str) -> bool:
    return kind in KINDS.get(noun.value.partition("|")[0], NOTHING)


def _count(counts: list[Token], plural: bool, noun: str, kinds: frozenset[str]) -> tuple[int, int | None]:
    many = plural and not kinds & {"pair", "mass"}
    if not counts:
        return (2, None) if many else (1, 1)
    exact = [c.value for c in counts if c.value[-1] != "-" and c.value != "1-1"]
    value = exact[-1] if exact else counts[-1].value
    if value == "0-0":
        return 0, 0
    least, most = capped(value)
    if most is None and not exact and not many and not (noun in INVARIANT and not kinds & {"pair", "mass"}):
        return 1, 1
    return least, most


def _of(left: Phrase, right: Phrase) -> Phrase:
    """What "left of right" names: the right one where the left only measures or is a part of it."""
    measure = MEASURES.get(left.noun)
    span: dict[str, Any] = {"start": left.start, "named": left.named, "end": right.end}
    if measure and not (right.kinds & {"abstract"}):
        return _measured(left, right, measure, span)
    if left.kinds & {"part", "element", "abstract"} or (right.kinds & {"abstract"} and left.kinds & {"mass"}):
        attributes = (
            right.attributes
            if left.kinds & {"part"} and not left.kinds & {"element"}
            else (*left.attributes, *right.attributes)
        )
        return replace(right, **span, attributes=attributes, absent=left.absent or right.absent)
    if "place" in left.kinds:
        return replace(left, end=right.end)
    if "container" in left.kinds and right.most != 1 and right.counted and right.least > 1:
        return replace(left, end=left.end, contents=[right])
    number = [str(right.least)] if right.least == right.most and right.least > 1 else []
    words = " ".join((*number, *right.attributes, right.noun))
    described = (*left.attributes, f"of {words}")
    return replace(left, end=right.end, attributes=described, excess=left.excess or right.excess)


def _measured(left: Phrase, right: Phrase, measure: str, span: dict[str, Any]) -> Phrase:
    mass = bool(right.kinds & {"mass", "place"})
    exact = right.counted and right.least == right.most and right.most != 1
    several = {"two": 2, "three": 3, "four": 4}.get(measure)
    least, most = left.least, left.most
    if measure == "some" or several or exact:
        if exact or mass:
            least, most = right.least, right.most
        elif several and not (several == 2 and right.kinds & {"pair"}):
            least, most = several * left.least, None if left.most is None else several * left.most
        elif not several:
            least, most = 2, None
    attributes = (*left.attributes, *right.attributes)
    if measure == "some":
        attributes = right.attributes
    if measure == "depicted":
        attributes = (*attributes, left.noun)
    return replace(
        right,
        **span,
        known=left.counted or right.known,
        least=least,
        most=most,
        attributes=attributes,
        plural=most != 1,
        counted=left.counted,
        open=most is None,
        absent=left.absent,
        compared=left.compared,
    )

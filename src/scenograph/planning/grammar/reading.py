"""Phrases → Statement: one pass from left to right, with one method for each kind of word between the noun phrases."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

from scenograph.judging.statement import Statement
from scenograph.planning.grammar.canvas import SIDE, without_places
from scenograph.planning.grammar.clause import Clause, Open
from scenograph.planning.grammar.phrases import Group, Loose, parse
from scenograph.planning.grammar.senses import tokenise
from scenograph.planning.grammar.tokens import Token

__all__ = ["Reading", "read"]


@dataclass(frozen=True)
class Reading:
    """What a prompt states, and the spans of it that were not understood, in order."""

    statement: Statement
    unparsed: tuple[str, ...]


def read(prompt: str) -> Reading:
    """The statement of a prompt: any text, in linear time; what is no regular English comes back in `unparsed`."""
    prompt, places = without_places(prompt)
    tokens = tokenise(prompt)
    reader = _Reader(prompt, parse(tokens))
    reader.run()
    reader.lose_unsaid(tokens)
    statement = reader.statement()
    if not statement.relations:
        places += tuple(found[0] for found in SIDE.finditer(prompt))
    return Reading(statement=statement, unparsed=reader.left_over() + places)


class _Reader(Clause):
    def run(self) -> None:
        """Take every item; each kind of item has its method."""
        for at, item in enumerate(self.items):
            self.at = at
            if isinstance(item, Group):
                self.take_group(item)
            elif isinstance(item, Loose):
                self.take_loose(item)
            else:
                take = _TAKE.get(item.type)
                if take is not None:
                    take(self, item)
        self.end()

    def end(self) -> None:
        """The end of a sentence: a relation without object may look back ("a bowl with bananas inside")."""
        self.close_open()
        if len(self.sides) == 2:
            left, right = self.sides["left of"], self.sides["right of"]
            self.relate("left of", left, right)
        elif self.sides and self.subject:
            for name, ids in self.sides.items():
                rest = [i for i in (self.subject or range(len(self.things))) if i not in ids]
                self.relate(name, ids, rest or [i for i in range(len(self.things)) if i not in ids][:1])
        self.sides = {}

    def close_open(self) -> None:
        pending, self.open = self.open, None
        if pending is None or pending.token.type != "RELATION":
            return
        if self.placed:
            return
        whole = self.owner or self.holder or (self.subject if self.subject != self.near else [])
        if whole and self.near and not set(whole) & set(self.near) and pending.token.text not in ("up", "on", "in"):
            self.relate(pending.name, self.near, whole, inverse=pending.inverse)
        elif not pending.place and pending.name not in ("between", "around"):
            self.lose(pending.token)

    def take_loose(self, loose: Loose) -> None:
        """Adjectives alone say how the subject is; with an article or a number they miss their noun."""
        if any(t.type not in ("ADJ", "DEGREE", "GLUE", "GENITIVE") for t in loose.tokens):
            self.take_headless(loose)
            return
        adjectives = [t.text for t in loose.tokens if t.type == "ADJ"]
        object_before = self.at > 0 and isinstance(self.items[self.at - 1], Group)  # "kept the food fresh"
        whose = self.near if object_before or self.verb in ("", "with") else self.subject
        if not self.negative and not (self.placed and self.verb not in ("is", "are", "was", "were")):
            self.describe(whose, *adjectives)
        for token in loose.tokens:
            if token.type == "GENITIVE" or (token.type == "ADJ" and not whose):
                self.lose(token)
        self.negative = False

    def take_headless(self, loose: Loose) -> None:
        """ "a red", "the other", "a frobbed and green": whatever it is about was not understood."""
        for token in loose.tokens:
            if token.type not in ("DET", "POSS") and token.text not in ("a", "an"):
                self.lose(token)
        verb = self.word(+1)
        if not any(t.type == "ADJ" for t in loose.tokens) and verb is not None and verb.type == "VERB":
            self.lose(verb)
            after = self.items[self.at + 2] if self.at + 2 < len(self.items) else None
            if isinstance(after, Loose):
                for token in after.tokens:
                    self.lose(token)
                self.items[self.at + 2] = Loose(tokens=[])

    def take_relation(self, token: Token) -> None:
        """A relation opens and waits for its object."""
        self.close_open()
        name = token.value
        inverse, place = name.startswith("~"), name.endswith("?")
        self.open = Open(name.strip("~?"), token, inverse, place)
        if self.negative:
            self.lose(token)
            self.open = Open("", token)
            self.negative = False

    def take_relation_it(self, token: Token) -> None:
        """ "on its left": the wording names its object itself."""
        target = self.it_for(token.value)
        self.relate(token.value, self.near, target)
        if self.near != target and target:
            self.near = target

    def take_it(self, token: Token) -> None:
        """A pronoun: the object of an open relation, or the subject again."""
        pending, self.open = self.open, None
        if pending is None or pending.token.type != "RELATION":
            if not self.near:
                return
            self.verb = "it"
            return
        target = [] if self.held_by_place and pending.name in ("on", "above", "inside") else self.it_for(pending.name)
        self.relate(pending.name, self.near, target, inverse=pending.inverse)
        self.related = self.near
        self.near = target or self.near

    def it_for(self, name: str) -> list[int]:
        """Whom "it" means: what the clause is about; on or in it, what was named before the new thing."""
        owner = self.owner or self.holder or self.subject
        return [i for i in owner if i not in self.near] or [i for i in self.before if i not in self.near]

    def take_verb(self, token: Token) -> None:
        """From here on relations belong to the subject: of the clause, or what "with" brought in."""
        finite = not token.text.endswith("ing")
        after_noun = self.at > 0 and isinstance(self.items[self.at - 1], Group)
        if after_noun and self.owner and not finite:
            self.subject, self.owner = self.near, []
        elif not self.subject:
            self.subject = self.near
        if not after_noun:
            self.close_open()
        self.verb = token.text
        if finite:
            self.owner = []
        self.fresh = False

    def take_be(self, token: Token) -> None:
        """ "is": what follows describes the subject."""
        if self.fronted is None and token.text not in ("s", "t"):
            self.verb = self.verb or token.text
            self.owner = []
            self.fresh = not self.subject

    def take_have(self, token: Token) -> None:
        """ "has" speaks of the subject, "with" of the nearest noun: what follows is theirs."""
        self.close_open()
        following = self.word(+1)
        if following is not None and following.type in ("VERB", "BE") and token.text in ("has", "have", "had"):
            return  # "someone has placed"
        before = self.word(-1)
        if token.text == "with" and before is not None and before.type == "VERB":
            self.open = Open("", token)  # "played with", "contrasted with": no owner
            return
        main = token.text in ("has", "have", "had") and bool(self.subject)
        self.owner = self.subject if main else self.near
        if self.verb and not main and self.subject and self.nearby_it():
            self.owner = self.subject
        self.holder, self.held_by_place = self.owner, self.placed and not main
        self.verb = "has" if main else "with"
        self.fresh = not (self.subject or self.near)

    def nearby_it(self) -> bool:
        """Whether "next to it" and the like come soon: then the clause's subject is meant."""
        for before, item in pairwise(self.items[self.at : self.at + 6]):
            if isinstance(before, Token) and isinstance(item, Token) and item.type == "IT":
                return before.value.strip("~?") not in ("on", "inside")
        return False

    def take_that(self, token: Token) -> None:
        """ "which ...": about the nearest noun."""
        if self.near:
            self.subject, self.owner, self.verb = self.near, [], ""
            self.holder = []

    def take_while(self, token: Token) -> None:
        """ "while ...": a new subject follows."""
        if self.order and token.text == "as":
            return
        self.close_open()
        self.before = self.near or self.subject
        self.fresh, self.verb, self.owner, self.holder = True, "", [], []

    def take_reciprocal(self, token: Token) -> None:
        """ "next to each other": the members of the subject, one by one."""
        pending, self.open = self.open, None
        group = self.subject if len(self.subject) > 1 else self.near
        name = pending.name if pending is not None and pending.name else "next to"
        if pending is not None:
            for one, two in pairwise(group):
                self.relate(name, [one], [two])

    def take_beside(self, token: Token) -> None:
        """ "on the left" without "of": of the rest, or of what is on the right."""
        self.sides[token.value] = self.subject if self.verb and not self.owner else self.near

    def take_without(self, token: Token) -> None:
        """What follows is not there."""
        self.open = Open("without", token)

    def take_not(self, token: Token) -> None:
        """Reported: a statement has no place for "not on the table"."""
        self.negative = True
        self.lose(token)

    def take_prep(self, token: Token) -> None:
        """Any other preposition: a place may follow."""
        if token.text == "than" or self.order:
            return
        self.open = Open("", token, place=True)

    def take_material(self, token: Token) -> None:
        """ "made of wood", "covered in snow": says how it looks."""
        whose = (self.subject if self.verb else self.near) or self.near
        if token.value == "clad":
            self.describe(self.near, token.text)
            return
        following = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        if not isinstance(following, Group) or not whose:
            return
        number = next((i for i, p in enumerate(following.phrases) if i and p.counted), len(following.phrases))
        material, rest = following.phrases[:number], following.phrases[number:]
        words = self.prompt[material[0].named : material[-1].end].lower()
        self.describe(whose, f"{token.text} {words}")
        self.items[self.at + 1] = Group(phrases=rest, links=following.links[number:])

    def take_stop(self, token: Token) -> None:
        """The end of a sentence."""
        self.end()
        self.clause()

    def take_comma(self, token: Token) -> None:
        """A comma closes what waited for an object."""
        self.close_open()

    def take_number_of(self, token: Token) -> None:
        """ "the number of ...": a side of a comparison follows."""
        self.close_open()
        self.counting = True

    def take_order(self, token: Token) -> None:
        """ "... is more than that of ..."."""
        self.order = token.type


_TAKE = {
    "RELATION": _Reader.take_relation,
    "RELATION_IT": _Reader.take_relation_it,
    "IT": _Reader.take_it,
    "VERB": _Reader.take_verb,
    "BE": _Reader.take_be,
    "HAVE": _Reader.take_have,
    "THAT": _Reader.take_that,
    "WHILE": _Reader.take_while,
    "RECIPROCAL": _Reader.take_reciprocal,
    "BESIDE": _Reader.take_beside,
    "WITHOUT": _Reader.take_without,
    "NOT": _Reader.take_not,
    "PREP": _Reader.take_prep,
    "MATERIAL": _Reader.take_material,
    "STOP": _Reader.take_stop,
    "COMMA": _Reader.take_comma,
    "NUMBER_OF": _Reader.take_number_of,
    "MORE_THAN": _Reader.take_order,
    "LESS_THAN": _Reader.take_order,
    "SAME_AS": _Reader.take_order,
    "JUNK": _Reader.lose,
}

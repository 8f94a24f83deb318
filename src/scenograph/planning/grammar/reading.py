"""Phrases → Statement: which noun a relation belongs to, what is a place, and what was left over.

One pass from left to right. A relation belongs to the nearest noun on its left, unless a verb shows that the subject of
the clause has it ("a cat on a chair next to a table", but "a cat sits on a chair next to a table"). Adjectives are not
handed on: in "red apples and pears" only the apples are red, as in "a red car and a dog" only the car is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scenograph.judging.statement import Comparison, Relation, RelationName, Statement, Thing
from scenograph.planning.grammar.lexicon import noun_of
from scenograph.planning.grammar.phrases import Group, Item, Loose, Phrase, parse
from scenograph.planning.grammar.tokens import Token, tokenise

__all__ = ["Reading", "read"]

_ORDER = {"MORE_THAN": "more", "LESS_THAN": "fewer", "SAME_AS": "equal", "MORE": "more", "FEWER": "fewer", "EQUAL": "equal"}
_ORDER["TWICE"] = "more"
# "placed a chair next to …": the chair is. Other verbs leave the relation to their subject.
_SHIFTING = frozenset(
    """
    placed put puts placing putting set sets parked parks hung hangs hanging served watching watches watched viewing
    observing photographing chasing chases chased watch
    """.split()
)
_RIDING = frozenset("riding rides ride rode ridden".split())
_VESSELS = frozenset("vase bowl cup basket pot glass bottle jar mug plate bucket pan wine_glass".split())
_HELD = ("wearing", "wears", "holding", "holds", "carrying", "carries", "wore", "wear", "hold", "carry", "with")


@dataclass(frozen=True)
class Reading:
    """What a prompt states, and the spans of it that were not understood, in order."""

    statement: Statement
    unparsed: tuple[str, ...]


def read(prompt: str) -> Reading:
    """The statement of a prompt: any text, in linear time; what is no regular English comes back in `unparsed`."""
    tokens = tokenise(prompt)
    scene = _Scene(prompt, parse(tokens))
    scene.run()
    return Reading(statement=scene.statement(), unparsed=scene.left_over())


@dataclass
class _Open:
    """A relation, preposition or "without" that waits for its object."""

    name: str
    token: Token
    inverse: bool = False
    place: bool = False  # the wording may also lead to a place


class _Scene:
    """The state of the pass: what there is, who the clause is about (`subject`) and what was named last (`near`)."""

    def __init__(self, prompt: str, items: list[Item]) -> None:
        self.prompt = prompt
        self.items = items
        self.at = 0
        self.things: list[Thing] = []
        self.phrases: list[Phrase] = []
        self.relations: dict[tuple[str, int, tuple[int, ...]], None] = {}
        self.comparisons: dict[tuple[str, int, int], None] = {}
        self.absent: list[str] = []
        self.settings: list[str] = []
        self.lost: list[tuple[int, int]] = []
        self.sides: dict[str, list[int]] = {}
        self.named: dict[str, int] = {}
        self.clause()

    def clause(self) -> None:
        """A new sentence: nothing is waiting and nobody is meant by "it"."""
        self.subject: list[int] = []
        self.near: list[int] = []
        self.owner: list[int] = []
        self.holder: list[int] = []
        self.related: list[int] = []
        self.before: list[int] = []
        self.fronted: tuple[_Open, list[int]] | None = None
        self.open: _Open | None = None
        self.verb = ""
        self.negative = False
        self.counting = False
        self.order = ""
        self.placed = False  # the last noun phrase was a place: "the city below" loses nothing
        self.fresh = True  # a noun phrase would be a new subject

    def run(self) -> None:
        """Take every item; each kind of item has its method."""
        for self.at, item in enumerate(self.items):
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
        if pending is None or pending.token.type not in ("RELATION",):
            return
        whole = self.owner or self.holder or (self.subject if self.subject != self.near else [])
        if whole and self.near and not set(whole) & set(self.near) and pending.token.text not in ("up", "on", "in"):
            self.relate(pending.name, self.near, whole, inverse=pending.inverse)
        elif self.near and not pending.place and pending.name != "between" and not self.placed:
            self.lose(pending.token)

    def lose(self, what: Token | Phrase) -> None:
        """What was not understood."""
        self.lost.append((what.start, what.end))

    # --- noun phrases

    def take_group(self, group: Group) -> None:
        phrases, links = group.phrases, group.links
        if self.open is None and self.subject and self.clause_begins():
            self.restart()
        if self.counting or self.order:
            self.compare(phrases[0])
            phrases, links = phrases[1:], links[1:]
            if not phrases:
                return
        last = self.split(phrases, links)
        self.place(phrases[:last])
        if last < len(phrases):
            self.restart()
            self.place(phrases[last:])

    def clause_begins(self) -> bool:
        """Whether a noun phrase after "and" has its own verb: "… on the left and a cat | is …"."""
        before = self.items[self.at - 1] if self.at else None
        after = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        joined = isinstance(before, Token) and before.type in ("AND", "COMMA")
        return joined and isinstance(after, Token) and after.type in ("VERB", "BE", "BESIDE", "RELATION")

    def restart(self) -> None:
        """A new clause of the same sentence: "it" may still mean what was named last."""
        self.before = self.near or self.subject
        self.open, self.verb, self.owner, self.holder, self.fresh = None, "", [], [], True
        self.subject = self.near = []

    def split(self, phrases: list[Phrase], links: list[str]) -> int:
        """Where a new clause begins inside a list: "on a chair and a dog | sits …", "in the park, | a dog …"."""
        number = len(phrases)
        following = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        kind = following.type if isinstance(following, Token) else ""
        if number == 1 or self.open is None and not self.verb:
            return number
        if not self.subject and not self.near and self.open is not None:  # a fronted place or relation
            return 1 if links and links[0] == "," and self.open.name != "between" else number
        inverse = self.open is not None and self.open.inverse
        goes_on = kind in ("VERB", "BE", "HAVE") or (kind in ("RELATION", "BESIDE") and number == 2 and not inverse)
        if kind == "HAVE" and isinstance(following, Token) and following.text not in ("has", "have", "had"):
            goes_on = number == 2 and self.open is not None
        goes_on = goes_on and (phrases[-1].counted or phrases[-1].owned)
        between = self.open is not None and self.open.name == "between"
        return number - 1 if goes_on and not (between and number == 2) else number

    def place(self, phrases: list[Phrase]) -> None:
        """Noun phrases in a row, as objects of what is open, or as new things."""
        pending, self.open = self.open, None
        if self.negative or (pending is not None and pending.name == "without"):
            self.absent += [" ".join((*p.attributes, p.noun)) for p in phrases]
            self.negative = False
            return
        settings = len(self.settings)
        ids = [i for p in phrases for i in self.ids_of(p, pending)]
        self.placed = len(self.settings) > settings
        if pending is None:
            self.introduce(ids, phrases)
        elif pending.name == "inside" and ids and all("worn" in self.phrases[i].kinds for i in ids):
            self.related = self.near  # "a man in a red shirt": worn, not in it
        elif pending.name and ids:
            self.attach(pending, ids)
        elif ids and not (self.subject or self.near):
            self.subject = self.near = ids
        elif ids and pending.token.type == "PREP":
            self.related = self.near
            self.near = ids if not self.verb else self.near
        elif not ids and not (self.subject or self.near):
            self.fresh = True

    def introduce(self, ids: list[int], phrases: list[Phrase]) -> None:
        if not ids:
            return
        if self.fronted is not None:
            pending, objects = self.fronted
            self.fronted = None
            self.relate(pending.name, ids, objects, inverse=pending.inverse)
            self.subject = self.near = ids
        elif self.fresh or not self.subject:
            self.subject = self.near = ids
            self.fresh = False
        else:
            before = self.items[self.at - 1]
            if self.verb in _RIDING and isinstance(before, Token) and before.type == "VERB":
                self.relate("on", self.subject, ids)
            self.near = ids
            if self.verb in _SHIFTING:
                self.subject = ids

    def attach(self, pending: _Open, objects: list[int]) -> None:
        subjects = self.subject if self.verb and not self.owner else self.near
        if self.owner and self.near != self.owner and all(self.things[i].noun in _VESSELS for i in self.owner):
            if pending.name not in ("inside", "on"):  # "a vase with flowers next to a clock"
                subjects = self.owner
        subjects = subjects or self.near or self.subject
        if not subjects:
            self.fronted = (pending, objects)
            return
        if self.continued():
            subjects = self.related or subjects
        subjects = [i for i in subjects if i not in objects]
        self.relate(pending.name, subjects, objects, inverse=pending.inverse)
        self.related = subjects
        self.near = subjects if pending.inverse and pending.name == "inside" else objects

    def continued(self) -> bool:
        """Whether the relation just taken follows an "and": "left of a dog and above a cat"."""
        before = self.items[self.at - 2] if self.at >= 2 else None
        return isinstance(before, Token) and before.type in ("AND", "COMMA")

    def ids_of(self, phrase: Phrase, pending: _Open | None) -> list[int]:
        """The thing that a phrase names, new or named before; none for places, parts and what cannot be drawn."""
        if phrase.absent:
            self.absent.append(" ".join((*phrase.attributes, phrase.noun)))
            return []
        if not phrase.known and pending is None and not self.things:
            self.lose(phrase)
            return []
        if phrase.compared:
            return self.compared_thing(phrase)
        if self.is_place(phrase, pending):
            self.settings.append(self.prompt[phrase.named : phrase.end].lower())
            return []
        if phrase.kinds & {"part"} and not phrase.kinds & {"worn"}:
            return self.part(phrase, pending)
        if phrase.kinds & {"abstract"}:
            self.lose(phrase)
            return []
        known = self.named.get(phrase.noun)
        if phrase.definite and known is not None and set(phrase.attributes) <= set(self.things[known].attributes):
            return [known]
        return [self.add(phrase)]

    def is_place(self, phrase: Phrase, pending: _Open | None) -> bool:
        if "place" not in phrase.kinds:
            return False
        if pending is not None:
            beside = pending.name == "next to" and not phrase.attributes and "bounded" not in phrase.kinds
            return pending.place or pending.name == "" or beside
        following = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        if self.verb in ("with", "has"):
            return False
        has = isinstance(following, Token) and following.type in ("HAVE", "MATERIAL")
        group = self.items[self.at]
        alone = isinstance(group, Group) and len(group.phrases) == 1
        told = isinstance(following, Token) and following.type in ("VERB", "BE", "RELATION")
        return alone and (has or not told) and phrase.most == 1

    def part(self, phrase: Phrase, pending: _Open | None) -> list[int]:
        """Parts are no things: they describe their owner ("a cat with green eyes") or mean it ("its paw")."""
        owner = (self.near or self.subject)[-1:]
        if pending is not None and pending.name == "":
            return []
        if not phrase.owned and (not owner or self.verb not in ("with", "has") or pending is not None):
            return [self.add(phrase)]
        if not phrase.owned and phrase.attributes:
            article = "" if phrase.plural else "an " if phrase.attributes[0][0] in "aeiou" else "a "
            self.describe(owner, f"with {article}{self.prompt[phrase.named : phrase.end].lower()}")
        return []

    def describe(self, ids: list[int], *attributes: str) -> None:
        """More about things that are there already."""
        for i in ids:
            thing = self.things[i]
            new = tuple(a for a in attributes if a not in thing.attributes)
            self.things[i] = replace(thing, attributes=(*thing.attributes, *new))

    def add(self, phrase: Phrase) -> int:
        self.things.append(
            Thing(
                noun=phrase.noun,
                least=phrase.least,
                most=phrase.most,
                attributes=phrase.attributes,
                phrase=self.prompt[phrase.named : phrase.end],
            )
        )
        self.phrases.append(phrase)
        index = len(self.things) - 1
        self.named[phrase.noun] = index
        for content in phrase.contents:
            self.relate("inside", [self.add(content)], [index])
        return index

    # --- comparisons

    def compared_thing(self, phrase: Phrase) -> list[int]:
        """ "together with the equal number of chair"; "more cats than dogs" waits for its second half."""
        others = self.subject or self.near
        index = self.add(replace(phrase, least=1, most=None))
        if phrase.compared == "EQUAL" and others and not self.than_ahead():
            first = self.things[others[-1]]
            self.things[index] = replace(self.things[index], least=first.least, most=first.most)
            self.comparisons[("equal", others[-1], index)] = None
        else:
            self.order = phrase.compared
            self.subject = [index]
        return [index]

    def than_ahead(self) -> bool:
        following = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        return isinstance(following, Token) and following.text in ("as", "than")

    def compare(self, phrase: Phrase) -> None:
        """The first or second side of "the number of cats is more than that of dogs"."""
        index = self.named.get(phrase.noun)
        if index is None or not (self.counting or phrase.noun in self.named):
            index = self.add(phrase)
        if self.counting:
            self.counting, self.subject = False, [index]
            return
        first = self.subject[-1] if self.subject else index
        if first != index:
            second = self.things[index]
            if self.order == "TWICE" and second.least == second.most:
                self.things[first] = replace(self.things[first], least=2 * second.least, most=2 * second.least)
            self.comparisons[(_ORDER[self.order], first, index)] = None
            for i in (first, index):
                if self.phrases[i].open and self.things[i].least > 1:
                    self.things[i] = replace(self.things[i], least=1)
        self.order = ""
        self.near = [index]

    # --- single words

    def take_loose(self, loose: Loose) -> None:
        """Adjectives alone say how the subject is; a number alone says nothing that could be kept."""
        adjectives = [t.text for t in loose.tokens if t.type == "ADJ"]
        whose = self.near if self.verb in ("", "with") else self.subject
        if not self.negative:
            self.describe(whose, *adjectives)
        for token in loose.tokens:
            if token.type == "GENITIVE" or (token.type == "ADJ" and not whose):
                self.lose(token)
            elif token.type == "COUNT" and token.text.isdigit():
                self.lose(token)
        self.negative = False

    def take_relation(self, token: Token) -> None:
        self.close_open() if self.open is not None and self.open.token.type == "RELATION" else None
        name = token.value
        inverse, place = name.startswith("~"), name.endswith("?")
        self.open = _Open(name.strip("~?"), token, inverse, place)
        if self.negative:
            self.lose(token)
            self.open = _Open("", token)
            self.negative = False

    def take_relation_it(self, token: Token) -> None:
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
        target = self.it_for(pending.name)
        self.relate(pending.name, self.near, target, inverse=pending.inverse)
        self.related = self.near
        self.near = target or self.near

    def it_for(self, name: str) -> list[int]:
        """Whom "it" means: what the clause is about; on or in it, what was named before the new thing."""
        owner = self.owner or self.holder or self.subject
        return [i for i in owner if i not in self.near] or [i for i in self.before if i not in self.near]

    def take_verb(self, token: Token) -> None:
        finite = not token.text.endswith("ing")
        before = self.items[self.at - 1] if self.at else None
        after_noun = isinstance(before, Group)
        if after_noun and self.owner and not finite:
            self.subject, self.owner = self.near, []
        elif not self.subject:
            self.subject = self.near
        if self.open is not None and self.open.token.type == "RELATION" and not after_noun:
            self.close_open()
        self.verb = token.text
        if finite:
            self.owner = []
        self.fresh = False

    def take_be(self, token: Token) -> None:
        if self.fronted is None and token.text not in ("s", "t"):
            self.verb = self.verb or token.text
            self.owner = []
            self.fresh = not self.subject

    def take_have(self, token: Token) -> None:
        self.close_open()
        following = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        if isinstance(following, Token) and following.type in ("VERB", "BE") and token.text in ("has", "have", "had"):
            return  # "someone has placed"
        main = token.text in ("has", "have", "had") and bool(self.subject)
        self.owner = self.subject if main or self.verb and self.verb not in _HELD and len(self.near) == 0 else self.near
        if self.verb and not main and self.subject and self.nearby_it():
            self.owner = self.subject
        self.holder = self.owner
        self.verb = "has" if main else "with"
        self.fresh = not (self.subject or self.near)

    def nearby_it(self) -> bool:
        """Whether "next to it" and the like come soon: then the clause's subject is meant."""
        for before, item in zip(self.items[self.at :], self.items[self.at + 1 : self.at + 6], strict=False):
            if isinstance(item, Token) and item.type == "IT" and isinstance(before, Token):
                return before.value.strip("~?") not in ("on", "inside")
        return False

    def take_that(self, token: Token) -> None:
        if self.near:
            self.subject, self.owner, self.verb = self.near, [], ""
            self.holder = []

    def take_while(self, token: Token) -> None:
        if self.order and token.text == "as":
            return
        self.close_open()
        self.before = self.near or self.subject
        self.fresh, self.verb, self.owner, self.holder = True, "", [], []

    def take_than(self, token: Token) -> None:
        pass

    def take_reciprocal(self, token: Token) -> None:
        pending, self.open = self.open, None
        group = self.subject if len(self.subject) > 1 else self.near
        name = pending.name if pending is not None and pending.name else "next to"
        if pending is not None:
            for one, two in zip(group, group[1:], strict=False):
                self.relate(name, [one], [two])

    def take_beside(self, token: Token) -> None:
        """ "on the left" without "of": of the rest, or of what is on the right."""
        self.sides[token.value] = self.subject if self.verb and not self.owner else self.near

    def take_without(self, token: Token) -> None:
        self.open = _Open("without", token)

    def take_not(self, token: Token) -> None:
        self.negative = True
        self.lose(token)

    def take_prep(self, token: Token) -> None:
        if token.text == "than" or self.order:
            return
        self.open = _Open("", token, place=True)

    def take_material(self, token: Token) -> None:
        """ "made of wood", "covered in snow": says how it looks."""
        whose = (self.subject if self.verb else self.near) or self.near
        if token.value == "clad":
            self.describe(self.near, token.text)
            return
        following = self.items[self.at + 1] if self.at + 1 < len(self.items) else None
        if isinstance(following, Group) and whose:
            phrase = following.phrases[0]
            self.describe(whose, f"{token.text} {self.prompt[phrase.named : phrase.end].lower()}")
            self.items[self.at + 1] = replace(following, phrases=following.phrases[1:], links=following.links[1:])
            if not following.phrases[1:]:
                self.items[self.at + 1] = Token("COVERED", "", phrase.start, phrase.end)

    def take_stop(self, token: Token) -> None:
        self.end()
        self.clause()

    def take_comma(self, token: Token) -> None:
        if self.open is not None and self.open.token.type == "RELATION":
            self.close_open()

    def take_number_of(self, token: Token) -> None:
        self.close_open()
        self.counting = True

    def take_order(self, token: Token) -> None:
        self.order = token.type

    # --- the outcome

    def relate(self, name: str, subjects: list[int], objects: list[int], *, inverse: bool = False) -> None:
        """State a relation of every subject to every object; "between" takes two objects at once."""
        if inverse:
            subjects, objects = objects, subjects
        if name == "between" and len(objects) >= 2:
            pairs = [(s, tuple(objects[:2])) for s in subjects]
        else:
            pairs = [(s, (o,)) for s in subjects for o in objects]
        for subject, others in pairs:
            if subject not in others and len(self.relations) < 1000:
                self.relations[(name, subject, others)] = None

    def statement(self) -> Statement:
        """Everything that was understood."""
        return Statement(
            things=tuple(self.things),
            relations=tuple(Relation(name=_checked(n), subject=s, objects=o) for n, s, o in self.relations),
            comparisons=tuple(Comparison(name=n, first=a, second=b) for n, a, b in self.comparisons),  # type: ignore
            absent=tuple(dict.fromkeys(self.absent)),
            settings=tuple(dict.fromkeys(self.settings)),
        )

    def left_over(self) -> tuple[str, ...]:
        """The spans that were lost; those with nothing but space between them as one."""
        spans = sorted(set(self.lost))
        merged: list[list[int]] = []
        for start, end in spans:
            if merged and not self.prompt[merged[-1][1] : start].strip():
                merged[-1][1] = max(end, merged[-1][1])
            else:
                merged.append([start, end])
        return tuple(self.prompt[start:end] for start, end in merged)


def _checked(name: str) -> RelationName:
    return name  # type: ignore[return-value]


_TAKE = {
    "RELATION": _Scene.take_relation,
    "RELATION_IT": _Scene.take_relation_it,
    "IT": _Scene.take_it,
    "VERB": _Scene.take_verb,
    "BE": _Scene.take_be,
    "HAVE": _Scene.take_have,
    "THAT": _Scene.take_that,
    "WHILE": _Scene.take_while,
    "THAN": _Scene.take_than,
    "RECIPROCAL": _Scene.take_reciprocal,
    "BESIDE": _Scene.take_beside,
    "WITHOUT": _Scene.take_without,
    "NOT": _Scene.take_not,
    "PREP": _Scene.take_prep,
    "MATERIAL": _Scene.take_material,
    "STOP": _Scene.take_stop,
    "COMMA": _Scene.take_comma,
    "NUMBER_OF": _Scene.take_number_of,
    "MORE_THAN": _Scene.take_order,
    "LESS_THAN": _Scene.take_order,
    "SAME_AS": _Scene.take_order,
    "JUNK": _Scene.lose,
}

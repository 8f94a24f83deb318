"""What the noun phrases of a clause are: subject, object of a relation, place, part of something, side of a comparison.

A relation belongs to the nearest noun on its left, unless a verb shows that the subject of the clause has it ("a cat on
a chair next to a table", but "a cat sits on a chair next to a table"). Adjectives are not handed on: in "red apples and
pears" only the apples are red, as in "a red car and a dog" only the car is.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

from scenograph.planning.grammar.phrases import Group, Item, Phrase
from scenograph.planning.grammar.scene import Scene
from scenograph.planning.grammar.tokens import Token

__all__ = ["Clause", "Open"]

_ORDER = {
    "MORE_THAN": "more", "LESS_THAN": "fewer", "SAME_AS": "equal",
    "MORE": "more", "FEWER": "fewer", "EQUAL": "equal", "TWICE": "more",
}  # fmt: skip
# "placed a chair next to …": the chair is. Other verbs leave the relation to their subject.
_SHIFTING = frozenset(
    """
    placed put puts placing putting set sets parked parks hung hangs hanging served watching watches watched viewing
    observing photographing cast casts casting chasing chases chased watch
    """.split()
)
_GAZING = frozenset(
    "staring stared stares stare looking looked looks look gazing gazed gazes pointing pointed barking barked".split()
)
_RIDING = frozenset("riding rides ride rode ridden".split())
_HOLDING = frozenset("holding holds hold held carrying carries".split())
# These say where, but none of a statement's relations is what they say.
_SPATIAL = frozenset(
    "outside, outside of, beyond, past, off, off of, out of, away from, through, across, along, out across".split(", ")
)
_VESSELS = frozenset("vase bowl cup basket pot glass bottle jar mug plate bucket pan box bag tray crate".split())


@dataclass
class Open:
    """A relation, preposition or "without" that waits for its object."""

    name: str
    token: Token
    inverse: bool = False
    place: bool = False  # the wording may also lead to a place


class Clause(Scene):
    """The state of the clause: whom it is about (`subject`), what was named last (`near`), what waits (`open`)."""

    def __init__(self, prompt: str, items: list[Item]) -> None:
        super().__init__(prompt)
        self.items = items
        self.at = 0
        self.sides: dict[str, list[int]] = {}
        self.clause()

    def clause(self) -> None:
        """A new sentence: nothing is waiting and nobody is meant by "it"."""
        self.subject: list[int] = []
        self.near: list[int] = []
        self.owner: list[int] = []
        self.holder: list[int] = []
        self.related: list[int] = []
        self.before: list[int] = []
        self.fronted: tuple[Open, list[int]] | None = None
        self.open: Open | None = None
        self.verb = ""
        self.negative = False
        self.counting = False
        self.order = ""
        self.placed = False  # the last noun phrase was a place: "the city below" loses nothing
        self.held_by_place = False
        self.fresh = True  # a noun phrase would be a new subject

    def word(self, offset: int) -> Token | None:
        """The single word so far from the item at hand; None for a noun phrase or beyond the ends."""
        at = self.at + offset
        item = self.items[at] if 0 <= at < len(self.items) else None
        return item if isinstance(item, Token) else None

    def vessels(self, ids: list[int]) -> bool:
        """Whether all of these are made to hold something."""
        return all(self.things[i].noun in _VESSELS for i in ids)

    def take_group(self, group: Group) -> None:
        """Noun phrases; the last of a list may begin a new clause."""
        phrases, links = group.phrases, group.links
        if not phrases:  # taken already, by "made of ..."
            return
        if self.open is None and self.subject and self.clause_begins():
            self.restart()
        if self.counting or self.order:
            self.compare(phrases[0])
            phrases, links = phrases[1:], links[1:]
            if not phrases:
                return
        if self.open is not None and self.verb and self.subject and self.apposed(phrases, links):
            for phrase in phrases[1:]:
                self.lose(phrase)
            phrases, links = phrases[:1], []
        last = self.split(phrases, links)
        self.place(phrases[:last])
        if last < len(phrases):
            self.restart()
            self.place(phrases[last:])

    def clause_begins(self) -> bool:
        """Whether a noun phrase after "and" has its own verb: "… on the left and a cat | is …"."""
        before = self.word(-1)
        after = self.word(+1)
        joined = before is not None and before.type in ("AND", "COMMA")
        return joined and after is not None and after.type in ("VERB", "BE", "BESIDE", "RELATION")

    def apposed(self, phrases: list[Phrase], links: list[str]) -> bool:
        """Whether what follows the comma only says the same again: "… in the sun, a symbol of beauty"."""
        following = self.word(+1)
        ends = following is None or following.type == "STOP"
        rest = phrases[1:]
        return ends and bool(rest) and links[0] == "," and (len(rest) == 1 or any(p.kinds & {"abstract"} for p in rest))

    def restart(self) -> None:
        """A new clause of the same sentence: "it" may still mean what was named last."""
        self.before = self.near or self.subject
        self.open, self.verb, self.owner, self.holder, self.fresh = None, "", [], [], True
        self.subject = self.near = []

    def split(self, phrases: list[Phrase], links: list[str]) -> int:
        """Where a new clause begins inside a list: "on a chair and a dog | sits …", "in the park, | a dog …"."""
        number = len(phrases)
        following = self.word(+1)
        kind = following.type if following is not None else ""
        if number == 1 or (self.open is None and not self.verb):
            return number
        if not self.subject and not self.near and self.open is not None:  # a fronted place or relation
            return 1 if links and links[0] == "," and self.open.name != "between" else number
        inverse = self.open is not None and self.open.inverse
        goes_on = kind in ("VERB", "BE", "HAVE") or (kind in ("RELATION", "BESIDE") and number == 2 and not inverse)
        if kind == "HAVE" and following is not None and following.text not in ("has", "have", "had"):
            goes_on = number == 2 and self.open is not None
        if kind == "RELATION" and self.verb in ("with", "has") and self.looks_back():
            return number
        goes_on = goes_on and (phrases[-1].counted or phrases[-1].owned)
        between = self.open is not None and self.open.name == "between"
        return number - 1 if goes_on and not (between and number == 2) else number

    def looks_back(self) -> bool:
        """Whether the relation after the noun phrases is about their owner: "… inside.", "… inside it"."""
        following = self.items[self.at + 2] if self.at + 2 < len(self.items) else None
        return following is None or (isinstance(following, Token) and following.type in ("IT", "STOP", "COMMA"))

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
            self.introduce(ids)
        elif pending.name == "inside" and ids and all("worn" in self.phrases[i].kinds for i in ids):
            self.related = self.near  # "a man in a red shirt": worn, not in it
        elif pending.name and ids:
            self.attach(pending, ids)
        elif ids and not (self.subject or self.near):
            self.subject = self.near = ids
        elif ids and pending.token.type == "PREP":
            if pending.token.text in _SPATIAL:
                self.lose(pending.token)
            self.related = self.near
            self.near = ids if not self.verb or self.verb in _GAZING else self.near
            if self.verb in _GAZING and pending.token.text == "at":
                self.subject = ids  # "stares at three plates on the table"
        elif not ids and not (self.subject or self.near):
            self.fresh = True

    def introduce(self, ids: list[int]) -> None:
        """Things that no relation leads to: the subject, or the object of a verb."""
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
            before = self.word(-1)
            direct = before is not None and before.type == "VERB"
            held = self.verb in _HOLDING and self.vessels(self.subject)
            if held and direct:
                self.relate("inside", ids, self.subject)
            elif self.verb in _RIDING and direct:
                self.relate("on", self.subject, ids)
            self.near = ids
            if self.verb in _SHIFTING:
                self.subject = ids

    def attach(self, pending: Open, objects: list[int]) -> None:
        """The open relation has found its objects."""
        subjects = self.subject if self.verb and not self.owner else self.near
        if self.owner and self.near != self.owner and self.vessels(self.owner) and pending.name != "inside":
            subjects = self.owner  # "a vase with flowers next to a clock"
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
        before = self.word(-2)
        return before is not None and before.type in ("AND", "COMMA")

    def ids_of(self, phrase: Phrase, pending: Open | None) -> list[int]:
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
        if phrase.kinds & {"game"} and self.verb.startswith("play"):
            return []
        if phrase.kinds & {"abstract"}:
            self.lose(phrase)
            return []
        if phrase.excess is not None:
            self.lose(phrase.excess)
        known = self.named.get(phrase.noun)
        if phrase.definite and known is not None and set(phrase.attributes) <= set(self.things[known].attributes):
            return [known]
        return [self.add(phrase)]

    def is_place(self, phrase: Phrase, pending: Open | None) -> bool:
        """Whether the phrase says where it happens, so that it gets no box."""
        if "place" not in phrase.kinds:
            return False
        if pending is not None:
            if pending.token.text == "with":  # "contrasted with the white wall"
                return False
            beside = pending.name == "next to" and not phrase.attributes and "bounded" not in phrase.kinds
            beneath = pending.name == "below" and "overhead" in phrase.kinds
            return pending.place or pending.name == "" or beside or beneath
        following = self.word(+1)
        if self.verb in ("with", "has"):
            return False
        has = following is not None and following.type in ("HAVE", "MATERIAL")
        group = self.items[self.at]
        alone = isinstance(group, Group) and len(group.phrases) == 1
        told = following is not None and following.type in ("VERB", "BE", "RELATION")
        return alone and (has or not told) and phrase.most == 1

    def part(self, phrase: Phrase, pending: Open | None) -> list[int]:
        """Parts are no things: they describe their owner ("a cat with green eyes") or mean it ("its paw")."""
        owner = (self.near or self.subject)[-1:]
        if pending is not None and pending.name == "" and pending.token.text != "with":
            return []
        if phrase.owned and pending is not None and pending.name not in ("inside", "on") and self.near != self.subject:
            self.relate(pending.name, self.near, self.subject)  # "holding a bird under its paw"
        if not phrase.owned and (not owner or self.verb not in ("with", "has") or pending is not None):
            return [self.add(phrase)]
        if phrase.attributes and pending is None and self.verb in ("with", "has"):
            article = "" if phrase.plural else "an " if phrase.attributes[0][0] in "aeiou" else "a "
            self.describe(owner, f"with {article}{self.prompt[phrase.named : phrase.end].lower()}")
        return []

    def compared_thing(self, phrase: Phrase) -> list[int]:
        """ "together with the equal number of chair"; "more cats than dogs" waits for its second half."""
        others = self.subject or self.near or [*range(len(self.things))]
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
        """Whether the second half of a comparison follows."""
        following = self.word(+1)
        return following is not None and following.text in ("as", "than")

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
                if self.phrases[i].open and self.things[i].most is None and self.things[i].least > 1:
                    self.things[i] = replace(self.things[i], least=1)
        self.order = ""
        self.near = [index]

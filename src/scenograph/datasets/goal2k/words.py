"""What the templates talk about: objects, and the colours, shapes, materials and deeds that suit them.

`COCO` are COCO's classes with what one can plausibly photograph of them; `WORLD` is the small world's vocabulary
without the combinations that its split keeps from every painter. Only plausible words stand here, because a picture
that no painter can paint teaches nothing.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from itertools import chain
from types import MappingProxyType

from scenograph.errors import DatasetError
from scenograph.world.split import combination_held_out
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, TEXTURES

__all__ = ["COCO", "WORDS", "WORLD", "Words", "words_called"]

Table = Mapping[str, tuple[str, ...]]


@dataclass(frozen=True, kw_only=True)
class Words:
    """Nouns, and for each what it may be.

    Attributes:
        name: what it is called on the command line and in provenance.
        colours, shapes, textures: noun → words.
        beside: nouns that can stand anywhere beside others.
        small, supports: what lies on what.
        deeds: (who, does what, to what), the words between a subject and an object.
        places: said at the end of most prompts.
        held_out: whether a noun with a colour and a texture (None: not stated) must not be asked for.
    """

    name: str
    colours: Table
    shapes: Table
    textures: Table
    beside: tuple[str, ...]
    small: tuple[str, ...]
    supports: tuple[str, ...]
    deeds: tuple[tuple[str, str, tuple[str, ...]], ...] = ()
    places: tuple[str, ...] = ()
    held_out: Callable[[str, str | None, str | None], bool] = lambda noun, colour, texture: False

    @property
    def nouns(self) -> frozenset[str]:
        """Every noun a prompt can name."""
        told = chain.from_iterable([one, *others] for one, _, others in self.deeds)
        return frozenset(
            {*self.colours, *self.shapes, *self.textures, *self.beside, *self.small, *self.supports, *told}
        )


def _table(text: str) -> Table:
    """ "noun noun: word word" lines; an underscore is a space."""
    table: dict[str, tuple[str, ...]] = {}
    for line in text.strip().splitlines():
        nouns, words = (part.split() for part in line.split(":"))
        for noun in nouns:
            key = noun.replace("_", " ")
            table[key] = (*table.get(key, ()), *(word.replace("_", " ") for word in words))
    return MappingProxyType(table)


def _nouns(text: str) -> tuple[str, ...]:
    return tuple(noun.replace("_", " ") for noun in text.split())


_COLOURS = _table("""
    car truck bus bicycle motorcycle boat chair couch bench umbrella handbag backpack suitcase: red blue green yellow
    car truck bus motorcycle boat couch handbag backpack suitcase umbrella: black white orange
    bench chair bicycle: black white brown
    cup bowl vase bottle book kite toothbrush frisbee surfboard skateboard: red blue green yellow purple white
    teddy_bear: brown white pink blue
    train airplane tie: red blue yellow green
    cat: black white orange gray
    dog: black white brown
    horse cow: brown black white
    bird: red blue yellow white black
    apple: red green yellow
    banana: yellow green
    clock cell_phone laptop keyboard: black white red
    refrigerator oven toaster: white red black
    bed: blue white red
    wine_glass: blue green
    fire_hydrant: red yellow
""")
_SHAPES = _table("""
    clock: round square oval hexagonal
    pizza cake sandwich: round square triangular
    dining_table: round square rectangular oval
    vase: round cylindrical square
    bowl: round oval square
    handbag: round square rectangular
    suitcase tv book microwave: rectangular square
    bottle cup: cylindrical square
    sink: round oval rectangular
    sports_ball: round oval
    kite: triangular diamond square
    stop_sign: octagonal
    frisbee: round
    donut: round square
    bed: round rectangular
    couch bench: curved rectangular
    chair: round square
""")
_TEXTURES = _table("""
    chair: wooden metal plastic leather
    bench: wooden metal stone
    couch: leather fabric velvet
    dining_table: wooden glass metal marble
    bowl: wooden glass ceramic metal plastic
    cup: ceramic glass metal plastic
    vase: glass ceramic stone metal
    bottle: glass plastic metal
    spoon fork: wooden metal plastic
    knife: metal plastic
    handbag backpack: leather fabric
    suitcase: leather metal plastic
    teddy_bear: fluffy knitted
    clock bed: wooden metal
    boat: wooden rubber metal
    book tie: leather
    tie: silk knitted
    umbrella kite: fabric plastic paper
    sports_ball: rubber leather plastic
    cat dog: fluffy spotted
    cat: striped
    sheep: woolly fluffy
    bird: feathered fluffy
    toilet: ceramic
    sink: metal ceramic stone
    keyboard toothbrush frisbee: plastic
    skateboard: wooden plastic
    surfboard: wooden
""")
_DEEDS = tuple(
    (who.replace("_", " "), does, _nouns(what))
    for who, does, what in (line.split("|") for line in """
person|riding|bicycle motorcycle horse skateboard surfboard elephant
person|holding|umbrella cup bottle book cell_phone kite teddy_bear wine_glass remote
person|eating|apple banana sandwich pizza donut hot_dog cake carrot
person|looking at|book tv laptop clock bird
person|using|laptop cell_phone
person|sitting on|bench chair couch bed
person|walking with|dog horse elephant
person|throwing|frisbee sports_ball
person|carrying|backpack handbag suitcase surfboard
person|flying|kite
person|feeding|horse sheep cow elephant giraffe bird cat
person|washing|car dog bus
person|cutting|pizza cake sandwich orange
person|pushing|bicycle motorcycle car
dog|catching|frisbee sports_ball
dog|chasing|cat bird sheep sports_ball
dog|sleeping on|couch bed
dog|riding in|car boat truck
cat|watching|bird dog mouse tv
cat|sleeping on|bed couch laptop chair
cat|playing with|mouse sports_ball teddy_bear
cat|sitting in|suitcase bowl sink
bird|sitting on|bench boat elephant umbrella
bird|eating|apple banana sandwich
bird|flying over|boat car train bench
giraffe|looking at|bird person car
elephant|carrying|person
cow|watching|train car
sheep|following|dog person
bear|climbing on|car bench
""".strip().splitlines())
)  # fmt: skip

COCO = Words(
    name="coco",
    colours=_COLOURS,
    shapes=_SHAPES,
    textures=_TEXTURES,
    beside=_nouns(
        """
        person bicycle car motorcycle bus train truck boat bench bird cat dog horse sheep cow elephant bear zebra
        giraffe backpack umbrella handbag suitcase skateboard surfboard bottle cup bowl banana apple sandwich orange
        pizza donut cake chair couch bed toilet tv laptop keyboard cell_phone microwave oven refrigerator book clock
        vase teddy_bear fire_hydrant stop_sign potted_plant
        """
    ),
    small=_nouns("cat book cup bowl vase bottle laptop apple banana pizza cake donut teddy_bear clock handbag remote"),
    supports=_nouns("dining_table bench bed couch chair suitcase refrigerator oven"),
    deeds=_DEEDS,
)


def _withheld(noun: str, colour: str | None, texture: str | None) -> bool:
    """What no painter of the small world may learn; a texture that is not stated is plain, as in its captions."""
    return colour is not None and combination_held_out(noun, colour, texture or "plain")


WORLD = Words(
    name="world",
    colours=MappingProxyType(dict.fromkeys(NOUNS, tuple(COLOURS))),
    shapes=MappingProxyType(dict.fromkeys(SHAPED_NOUNS, SHAPES)),
    textures=MappingProxyType(dict.fromkeys(NOUNS, TEXTURES[1:])),
    beside=tuple(NOUNS),
    small=tuple(NOUNS),
    supports=tuple(NOUNS),
    # Its painters saw few pictures without a background; the dark and the sky would be read as things.
    places=tuple(
        way for ways in BACKGROUNDS.values() for way in ways if way not in ("in the dark", "under a night sky")
    ),
    held_out=_withheld,
)

WORDS: Mapping[str, Words] = MappingProxyType({one.name: one for one in (COCO, WORLD)})


def words_called(name: str) -> Words:
    """The words of that name. Raises DatasetError."""
    if name not in WORDS:
        raise DatasetError(f"no words {name!r}; expected one of: {', '.join(WORDS)}")
    return WORDS[name]

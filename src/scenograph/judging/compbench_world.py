"""T2I-CompBench's categories in the small world: prompts of things that no painter has been trained on.

Every thing asked for has a combination of noun, colour and texture that `world.split` keeps from all painters, stands
in an arrangement that it keeps from them too, and is told in the world's own captions. The six columns are colour,
shape, texture, spatial, numeracy (in the place of non-spatial, which asks for actions, and nothing acts here) and
complex: two or three things with all they look like, a relation, a place. Relations that need depth are left out:
nothing here sees it (`compbench_images`).

An item has the prompt's question in T2I-CompBench's form, its truth as a `Statement` without boxes, and a scene that
keeps it, for painters that want a layout and, drawn, for the ceiling. A combination is only asked for when its colour
is said, so shape and texture prompts say it; their questions leave it out ("a round clock?" of "a round green clock"),
so that each column is about its own attribute, in which the two things differ.

Items are a function of (category, seed), and the first of many are the few: nothing is stored. Two seeds share things,
not arrangements; what is chosen on one may be reported on another.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cache
from itertools import combinations
from random import Random
from typing import Literal, get_args

from scenograph.errors import ResultError
from scenograph.judging.clip import ClipScorer
from scenograph.judging.compbench import Asked, spatial_score
from scenograph.judging.compbench_images import Evaluators
from scenograph.judging.compbench_prompts import CompPrompt
from scenograph.judging.detection import MATCH_SCORE, Detector
from scenograph.judging.statement import Relation, RelationName, Statement, Thing, check
from scenograph.judging.world_vqa import ProbabilityReader, WorldVQA
from scenograph.layout import Box, Layout
from scenograph.world.captions import Described, Stated, describe, tell
from scenograph.world.placement import covered, place
from scenograph.world.scenes import CANVAS, Scene, SceneObject, relations
from scenograph.world.split import combination_held_out, layout_held_out
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, SYNONYMS, TEXTURES

__all__ = ["CATEGORIES", "Category", "WorldItem", "world_compbench", "world_evaluators"]

Category = Literal["colour", "shape", "texture", "spatial", "numeracy", "complex"]
CATEGORIES: tuple[Category, ...] = get_args(Category)
_LOCALITIES: dict[str, tuple[str, RelationName]] = {
    "left": ("on the left of", "left of"),
    "right": ("on the right of", "right of"),
    "above": ("on the top of", "above"),
    "below": ("on the bottom of", "below"),
    "next to": ("next to", "next to"),
}
"""The world's relations → T2I-CompBench's wording, and the statement's."""
_NUMBERS = ((1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2))  # of two kinds
_MOST_COVERED = 0.1
_SMALLEST = 24 / CANVAS  # of a side, except in packs: on less, neither painters nor judges can tell textures
_TRIES = 400  # arrangements of one item; a tenth of all is held out
_FRUITLESS = 200  # items drawn in a row that there were before


@dataclass(frozen=True, kw_only=True)
class WorldItem:
    """One prompt, what it asks (`asked`, for `compbench_images`), what is true of it, and a scene of which it is."""

    asked: CompPrompt
    statement: Statement
    scene: Scene

    @property
    def prompt(self) -> str:
        """The text for a painter."""
        return self.asked.prompt

    @property
    def layout(self) -> Layout:
        """The scene's layout; its caption is the prompt."""
        return self.scene.layout


@dataclass(frozen=True, kw_only=True)
class _Kind:
    """`count` things that look alike."""

    noun: str
    colour: str
    texture: str
    shape: str | None
    count: int = 1


def world_compbench(category: Category, n: int = 150, seed: int = 0) -> tuple[WorldItem, ...]:
    """The first `n` items of a category: no prompt twice, and nothing asked for twice in other words.

    Raises ResultError for an unknown category, and when it does not have that many.
    """
    if category not in CATEGORIES:
        raise ResultError(f"no category {category!r} in the small world; there are: {', '.join(CATEGORIES)}")
    items: list[WorldItem] = []
    known: set[object] = set()
    number = last = 0
    while len(items) < n:
        item = _item(category, len(items), Random(f"{seed}/{category}/{number}"))
        number += 1
        if item is not None and not known & {item.prompt, _asked_for(item)}:
            known |= {item.prompt, _asked_for(item)}
            items.append(item)
            last = number
        if number - last > _FRUITLESS:
            raise ResultError(f"the small world has {len(items)} {category} prompts (seed {seed}); ask for fewer")
    return tuple(items)


def world_evaluators(detector: Detector, reader: ProbabilityReader, clip: ClipScorer | None = None) -> Evaluators:
    """The embedded judges for `compbench_images`: they know the world's own nouns, and detect each thing once."""
    vqa = WorldVQA(detector, reader)
    return Evaluators(vqa=vqa, detector=detector, clip=clip, confidence=MATCH_SCORE, suppression=None, renamed=False)


def _asked_for(item: WorldItem) -> object:
    """What two items have in common when they ask for the same in other words."""
    things = [(t.noun, frozenset(t.attributes), t.least) for t in item.statement.things]
    if not item.statement.relations:
        return frozenset(things)
    return tuple(things[:2]), frozenset(things[2:]), item.statement.relations[0].name


def _item(category: Category, place_in_turn: int, rng: Random) -> WorldItem | None:
    """One item; None when no arrangement was found. Relations take turns, so that each is asked for equally often."""
    kinds = _kinds(category, rng)
    if category in ("colour", "shape", "texture") and getattr(kinds[0], category) == getattr(kinds[1], category):
        return None  # which has which could not be mistaken
    name = tuple(_LOCALITIES)[place_in_turn % len(_LOCALITIES)] if category in ("spatial", "complex") else None
    said = [_stated(kind, category, rng) for kind in kinds]
    statement = _statement(kinds, said, name)
    alike = [(kind, stated) for kind, stated in zip(kinds, said, strict=True) for _ in range(kind.count)]
    objects = _arranged([kind for kind, _ in alike], name, grid=category == "numeracy", rng=rng)
    if objects is None:
        return None
    background = rng.choice(tuple(BACKGROUNDS))
    spoken = background if category == "complex" or rng.random() < 0.6 else None
    described = tell([stated for _, stated in alike], rng, background=spoken, relation=(0, name, 1) if name else None)
    scene = Scene(objects=objects, background=background, variant=rng.randrange(16), described=described)
    asked = _question(category, kinds, said, described, name)
    phrased = [described.phrases[sum(k.count for k in kinds[:i])] for i in range(len(kinds))]
    things = tuple(replace(t, phrase=p) for t, p in zip(statement.things, phrased, strict=True))
    told = replace(statement, things=things, settings=(spoken,) if spoken else ())
    return WorldItem(asked=asked, statement=told, scene=scene) if _kept(told, asked, scene.layout) else None


def _kinds(category: Category, rng: Random) -> list[_Kind]:
    """What is asked for: things of different nouns, all of held-out combinations."""
    known = _held_out(category)
    count = {"complex": rng.choice((2, 3)), "numeracy": rng.choice((1, 2))}.get(category, 2)
    nouns = rng.sample(sorted({noun for noun, _, _ in known}), count)
    kinds = []
    for noun in nouns:
        _, colour, texture = rng.choice([one for one in known if one[0] == noun])
        shape = rng.choice(SHAPES) if noun in SHAPED_NOUNS else None
        kinds.append(_Kind(noun=noun, colour=colour, texture=texture, shape=shape))
    if category != "numeracy":
        return kinds
    numbers = (
        [rng.randint(2, 6)] if count == 1 else rng.choice([(1, 2), (2, 1), (2, 2), (1, 3), (3, 1), (2, 3), (3, 2)])
    )
    return [replace(kind, count=number) for kind, number in zip(kinds, numbers, strict=True)]


@cache
def _held_out(category: Category) -> tuple[tuple[str, str, str], ...]:
    """The combinations a category asks for: of plain things for colour, of others for texture, of shaped for shape."""
    nouns = SHAPED_NOUNS if category == "shape" else tuple(NOUNS)
    textures = {"colour": TEXTURES[:1], "texture": TEXTURES[1:]}.get(category, TEXTURES)
    every = ((noun, colour, texture) for noun in nouns for colour in COLOURS for texture in textures)
    return tuple(one for one in every if combination_held_out(*one))


def _stated(kind: _Kind, category: Category, rng: Random) -> Stated:
    return Stated(
        noun=kind.noun,
        word=rng.choice(SYNONYMS.get(kind.noun, (kind.noun,))) if rng.random() < 0.3 else kind.noun,
        colour=kind.colour,
        texture=None if kind.texture == "plain" else kind.texture,
        shape=kind.shape if category in ("shape", "complex") else None,
    )


def _statement(kinds: Sequence[_Kind], said: Sequence[Stated], name: str | None) -> Statement:
    things = []
    for kind, stated in zip(kinds, said, strict=True):
        attributes = tuple(word for word in (stated.colour, stated.texture, stated.shape) if word)
        things.append(Thing(noun=kind.noun, least=kind.count, most=kind.count, attributes=attributes))
    relations = (Relation(name=_LOCALITIES[name][1], subject=0, objects=(1,)),) if name else ()
    return Statement(things=tuple(things), relations=relations)


def _arranged(kinds: Sequence[_Kind], name: str | None, *, grid: bool, rng: Random) -> tuple[SceneObject, ...] | None:
    """The things on the canvas: held out, hardly covering one another, the first in its relation to the second."""
    for _ in range(_TRIES):
        boxes = place([kind.noun for kind in kinds], rng, canvas=CANVAS, grid=grid)
        if not layout_held_out((kind.noun, box) for kind, box in zip(kinds, boxes, strict=True)):
            continue
        if any(covered(a, b) > _MOST_COVERED for a, b in combinations(boxes, 2)):
            continue
        if not grid and any(min(box.width, box.height) < _SMALLEST for box in boxes):
            continue
        objects = tuple(_object(kind, box, rng) for kind, box in zip(kinds, boxes, strict=True))
        if name is None or (0, name, 1) in relations(objects):
            return objects
    return None


def _object(kind: _Kind, box: Box, rng: Random) -> SceneObject:
    return SceneObject(
        noun=kind.noun,
        colour=kind.colour,
        texture=kind.texture,
        shape=kind.shape,
        box=box,
        flip=rng.random() < 0.5,
        variant=rng.randrange(8),
    )


def _question(
    category: Category, kinds: Sequence[_Kind], said: Sequence[Stated], described: Described, name: str | None
) -> CompPrompt:
    relation = Asked(first=kinds[0].noun, second=kinds[1].noun, locality=_LOCALITIES[name][0]) if name else None
    counts = tuple((kind.noun, kind.count) for kind in kinds) if category == "numeracy" else ()
    return CompPrompt(
        prompt=described.caption,
        category=category,
        chunks=tuple(_chunk(category, kind, stated) for kind, stated in zip(kinds, said, strict=True)),
        relation=relation,
        counts=counts,
    )


def _chunk(category: Category, kind: _Kind, stated: Stated) -> str:
    """What is asked about one kind of thing: everything stated, or the category's own attribute."""
    if category == "shape":
        stated = replace(stated, colour=None, texture=None)
    elif category == "texture":
        stated = replace(stated, colour=None, shape=None)
    return describe(stated, Random(0), count=kind.count)


def _kept(statement: Statement, asked: CompPrompt, layout: Layout) -> bool:
    """Whether the layout is worth the full score of everything that is asked, so that the ceiling can be reached."""
    if asked.relation and spatial_score(layout, asked.relation, aliases={}) < 1:
        return False
    return check(statement, layout).strict

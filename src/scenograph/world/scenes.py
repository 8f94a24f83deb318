"""Scenes with exact truth: what stands where, in which depth order, and what the caption says of it.

`sample_scene` draws from a split (see `split`): "train" never shows a held-out combination or layout, "test" shows only
held-out layouts, "all" is for judges. Boxes are whole pixels of a 128 px canvas, so truth at that size is exact.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field, replace
from random import Random
from typing import Any, Literal

import numpy as np
from PIL import Image

from scenograph.errors import WorldError
from scenograph.layout import Box, Instance, Layout
from scenograph.world.captions import Described, Stated, attributes_of, background_of, noun_of, tell
from scenograph.world.placement import covered, place
from scenograph.world.split import combination_held_out, layout_held_out
from scenograph.world.sprites import draw_background, draw_sprite
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPED_NOUNS, SHAPES, SYNONYMS, TEXTURES

__all__ = [
    "CANVAS",
    "Scene",
    "SceneObject",
    "Split",
    "Truth",
    "relations",
    "retell",
    "sample_scene",
    "scene_at",
    "scene_of_layout",
    "twin_captions",
]

CANVAS = 128
Split = Literal["train", "test", "all"]
_TEXTURE_WEIGHTS = (0.52, 0.16, 0.16, 0.16)
_COUNT_WEIGHTS = (0.34, 0.26, 0.18, 0.12)  # 1..4 objects; the rest is a scene of 2..10 alike


@dataclass(frozen=True, kw_only=True)
class SceneObject:
    """One sprite of a scene: all its attributes, said or not, and its full box."""

    noun: str
    colour: str
    texture: str
    shape: str | None
    box: Box
    flip: bool = False
    variant: int = 0


@dataclass(frozen=True, kw_only=True)
class Truth:
    """What a drawing shows: `owner_HW` is the index of the object seen at each pixel (-1: background)."""

    owner_HW: np.ndarray
    visible: tuple[Box | None, ...]
    visible_share: tuple[float, ...]


@dataclass(frozen=True, kw_only=True)
class Scene:
    """Objects from back to front over a background, and the words for them."""

    objects: tuple[SceneObject, ...]
    background: str
    variant: int = 0
    described: Described = field(compare=False)

    @property
    def layout(self) -> Layout:
        """The scene as a layout: full boxes, one-object captions, phrases of the scene's caption."""
        instances = tuple(
            Instance(caption=caption, label=o.noun, phrase=phrase, box=o.box)
            for o, caption, phrase in zip(self.objects, self.described.captions, self.described.phrases, strict=True)
        )
        return Layout(caption=self.described.caption, instances=instances, size=(CANVAS, CANVAS))

    def draw(self, size: int = CANVAS) -> Image.Image:
        """The picture, RGB, `size` x `size` pixels."""
        image = draw_background(self.background, (size, size), variant=self.variant).copy()
        for sprite, corner in self._sprites(size):
            image.paste(sprite, corner, sprite)
        return image

    def truth(self, size: int = CANVAS) -> Truth:
        """Masks and visible boxes at `size` pixels, by the alpha of the sprites in depth order."""
        owner_HW = np.full((size, size), -1, dtype=np.int16)
        areas = []
        for index, (sprite, (x, y)) in enumerate(self._sprites(size)):
            solid = np.asarray(sprite)[:, :, 3] > 127
            areas.append(max(int(solid.sum()), 1))
            owner_HW[y : y + solid.shape[0], x : x + solid.shape[1]][solid] = index
        seen = [owner_HW == i for i in range(len(self.objects))]
        visible = tuple(_mask_box(mask) for mask in seen)
        shares = tuple(float(m.sum() / a) for m, a in zip(seen, areas, strict=True))
        return Truth(owner_HW=owner_HW, visible=visible, visible_share=shares)

    def _sprites(self, size: int) -> list[tuple[Image.Image, tuple[int, int]]]:
        placed = []
        for o in self.objects:
            x0, y0, x1, y1 = (round(v) for v in o.box.to_pixels((size, size)))
            wh = (max(x1 - x0, 1), max(y1 - y0, 1))
            sprite = draw_sprite(
                o.noun, wh, colour=o.colour, texture=o.texture, shape=o.shape, flip=o.flip, variant=o.variant
            )
            placed.append((sprite, (min(x0, size - 1), min(y0, size - 1))))
        return placed


def _mask_box(mask_HW: np.ndarray) -> Box | None:
    if not mask_HW.any():
        return None
    ys, xs = np.flatnonzero(mask_HW.any(1)), np.flatnonzero(mask_HW.any(0))
    height, width = mask_HW.shape
    return Box.from_pixels(int(xs[0]), int(ys[0]), int(xs[-1]) + 1, int(ys[-1]) + 1, size=(width, height))


def relations(objects: Sequence[SceneObject]) -> list[tuple[int, str, int]]:
    """Every relation that plainly holds: (subject, name, object); depth relations need an overlap."""
    found = []
    for i, a in enumerate(objects):
        for j, b in enumerate(objects):
            if i != j:
                found += [(i, name, j) for name in _pair_relations(a.box, b.box, a_in_front=i > j)]
    return found


def _pair_relations(a: Box, b: Box, *, a_in_front: bool) -> list[str]:
    (ax, ay), (bx, by) = a.center, b.center
    dx, dy = ax - bx, ay - by
    names = []
    if covered(a, b) > 0.08:
        return ["in front of" if a_in_front else "behind"]
    if abs(dx) > 1.3 * abs(dy):
        names.append("left" if dx < 0 else "right")
        if abs(dx) < 0.75 * (a.width + b.width):
            names.append("next to")
    elif abs(dy) > 1.3 * abs(dx):
        names.append("above" if dy < 0 else "below")
    return names


def _stated(o: SceneObject, rng: Random) -> Stated:
    return Stated(
        noun=o.noun,
        word=rng.choice(SYNONYMS.get(o.noun, (o.noun,))) if rng.random() < 0.3 else o.noun,
        colour=o.colour if rng.random() < 0.8 else None,
        texture=o.texture if o.texture != "plain" and rng.random() < 0.8 else None,
        shape=o.shape if o.shape and rng.random() < 0.8 else None,
    )


def _look(noun: str, rng: Random, split: Split) -> dict[str, Any]:
    """Colour, texture and shape of one object, redrawn while the split forbids the combination."""
    while True:
        colour = rng.choice(tuple(COLOURS))
        texture = rng.choices(TEXTURES, _TEXTURE_WEIGHTS)[0]
        if split != "train" or not combination_held_out(noun, colour, texture):
            break
    shape = rng.choice(SHAPES) if noun in SHAPED_NOUNS else None
    return {"noun": noun, "colour": colour, "texture": texture, "shape": shape}


def _objects(rng: Random, split: Split, count: int | None) -> tuple[SceneObject, ...]:
    nouns = tuple(NOUNS)
    alike = count is None and rng.random() > sum(_COUNT_WEIGHTS)
    if alike:
        looks = [_look(rng.choice(nouns), rng, split)] * rng.randint(2, 10)
    else:
        n = count or rng.choices((1, 2, 3, 4), _COUNT_WEIGHTS)[0]
        first = rng.choice(nouns)
        looks = [_look(first if i and rng.random() < 0.08 else rng.choice(nouns), rng, split) for i in range(n)]
    boxes = place([look["noun"] for look in looks], rng, canvas=CANVAS, grid=alike)
    return tuple(
        SceneObject(box=box, flip=rng.random() < 0.5, variant=rng.randrange(8), **look)
        for look, box in zip(looks, boxes, strict=True)
    )


def _in_split(objects: Sequence[SceneObject], split: Split) -> bool:
    return split == "all" or layout_held_out((o.noun, o.box) for o in objects) == (split == "test")


def sample_scene(rng: Random, split: Split = "train", *, count: int | None = None) -> Scene:
    """A random scene of the split; `count` fixes the number of (not necessarily alike) objects.

    Raises WorldError on an unknown split.
    """
    if split not in ("train", "test", "all"):
        raise WorldError(f"unknown split {split!r}; use one of: train, test, all")
    objects = _objects(rng, split, count)
    while not _in_split(objects, split):
        objects = _objects(rng, split, count)
    return _tell_scene(objects, rng.choice(tuple(BACKGROUNDS)), rng)


def _said(objects: Sequence[SceneObject], rng: Random) -> list[Stated]:
    """What a caption states of each object; objects that look alike are spoken of alike, so that they are counted."""
    said: dict[tuple[str, str, str, str | None], Stated] = {}
    return [said.setdefault((o.noun, o.colour, o.texture, o.shape), _stated(o, rng)) for o in objects]


def _relation(objects: Sequence[SceneObject], rng: Random) -> tuple[int, str, int] | None:
    pairs = relations(objects) if len(objects) <= 4 else []
    return rng.choice(pairs) if pairs and rng.random() < 0.6 else None


def retell(scene: Scene, rng: Random) -> Described:
    """Another true caption of the same scene, with its phrases."""
    spoken = scene.background if rng.random() < 0.6 else None
    return tell(_said(scene.objects, rng), rng, background=spoken, relation=_relation(scene.objects, rng))


def twin_captions(scene: Scene, rng: Random) -> tuple[Described, str]:
    """A true telling and the caption of its twin: the same words with the attributes of two objects exchanged.

    Where an exchange would change nothing (one object, or alike ones) a stated colour or noun is replaced by a wrong
    one.
    """
    objects = scene.objects
    said = [_with_colour(s, o) for s, o in zip(_said(objects, rng), objects, strict=True)]
    false = list(said)
    pairs = [(i, j) for i in range(len(said)) for j in range(i) if _exchangeable(objects[i], objects[j])]
    if pairs:
        i, j = rng.choice(pairs)
        false[i], false[j] = replace(said[i], colour=said[j].colour), replace(said[j], colour=said[i].colour)
    else:
        k = rng.randrange(len(said))
        wrong = _wrong(said[k], objects[k], rng)
        false = [wrong if s == said[k] else s for s in said]
    spoken = scene.background if rng.random() < 0.6 else None
    relation, words = _relation(scene.objects, rng), rng.random()
    true, untrue = (tell(s, Random(words), background=spoken, relation=relation) for s in (said, false))
    return true, untrue.caption


def _with_colour(stated: Stated, o: SceneObject) -> Stated:
    return replace(stated, colour=o.colour)


def _exchangeable(a: SceneObject, b: SceneObject) -> bool:
    """Whether exchanging their colours makes a false caption that names no held-out combination."""
    held_out = combination_held_out(a.noun, b.colour, a.texture) or combination_held_out(b.noun, a.colour, b.texture)
    return a.noun != b.noun and a.colour != b.colour and not held_out


def _wrong(stated: Stated, o: SceneObject, rng: Random) -> Stated:
    """A wrong colour or noun, never a held-out combination: even a negative would tell something of those."""
    colours = [c for c in COLOURS if c != o.colour and not combination_held_out(o.noun, c, o.texture)]
    if rng.random() < 0.6:
        return replace(stated, colour=rng.choice(colours))
    noun = rng.choice([n for n in NOUNS if n != o.noun and not combination_held_out(n, o.colour, o.texture)])
    return replace(stated, noun=noun, word=noun, shape=stated.shape if noun in SHAPED_NOUNS else None)


def _tell_scene(objects: tuple[SceneObject, ...], background: str, rng: Random) -> Scene:
    untold = Described(caption="", phrases=(), captions=())
    scene = Scene(objects=objects, background=background, variant=rng.randrange(16), described=untold)
    return replace(scene, described=retell(scene, rng))


def scene_at(index: int, *, seed: int = 0, split: Split = "train", count: int | None = None) -> Scene:
    """The scene number `index` of the endless sequence (seed, split): the same on every machine, in any order."""
    return sample_scene(Random(f"{seed}/{split}/{index}"), split, count=count)


def scene_of_layout(layout: Layout, rng: Random) -> Scene:
    """Draws a given layout: stated attributes as asked, the others at random. The ceiling of every score.

    Labels must be nouns of the world. Larger boxes go to the back, as a painter would.
    """
    order = sorted(layout.instances, key=lambda i: -i.box.area)
    objects, phrases = [], []
    for instance in order:
        asked = attributes_of(instance.caption)
        noun = instance.label if instance.label in NOUNS else noun_of(instance.label)
        if noun is None:
            raise WorldError(f"{instance.label!r} is not a noun of the small world; it has: {', '.join(NOUNS)}")
        look = _look(noun, rng, "all") | {k: v for k, v in asked.items() if k != "noun"}
        if noun not in SHAPED_NOUNS:
            look["shape"] = None
        if "texture" not in asked:
            look["texture"] = "plain"
        objects.append(SceneObject(box=instance.box, flip=rng.random() < 0.5, variant=rng.randrange(8), **look))
        phrases.append(instance.phrase or instance.caption)
    background = background_of(layout.caption) or rng.choice(tuple(BACKGROUNDS))
    described = Described(caption=layout.caption, phrases=tuple(phrases), captions=tuple(i.caption for i in order))
    return Scene(objects=tuple(objects), background=background, variant=rng.randrange(16), described=described)

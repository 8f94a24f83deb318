"""The layouts that guidance methods are compared on, each with the scene that draws it.

    drawn          held-out arrangements of 1–4 objects with their attributes: reported
    development    other such arrangements, for choosing options: never reported
    coco           real COCO boxes of the world's nouns, `benchmarks/coco_world.jsonl` (made by `coco_world`)
    FILE           anybody's layouts of the world's nouns

The ceiling must keep what the caption says. So a drawn layout's ceiling is the very scene it was told from, with its
depth order, relations and looks; for other layouts `scene_of_layout` makes one (larger boxes behind). References, for
the distances, are the same scenes with other looks wherever the caption says nothing of them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random

from PIL.Image import Image

from scenograph.errors import LayoutError
from scenograph.layout import Layout, load_layouts
from scenograph.world.captions import attributes_of, background_of
from scenograph.world.scenes import Scene, SceneObject, scene_at, scene_of_layout
from scenograph.world.split import layout_key
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, SHAPES, TEXTURES

__all__ = [
    "COCO_FILE",
    "LayoutSet",
    "development_set",
    "drawn_set",
    "layout_set",
    "other_look",
    "set_of_layouts",
]

COCO_FILE = Path(__file__).resolve().parents[3] / "benchmarks" / "coco_world.jsonl"
REPORTED = 300
"""Drawn layouts that results are reported on; development keeps clear of them."""

_DRAWN_SEED, _DEVELOPMENT_SEED = 2025, 2026  # of no training, no card and no other measurement
_REFERENCES = 4
_UNSAID_TEXTURES = (16, 1, 1, 1)  # about the world's own odds of a texture that its caption does not state


@dataclass(frozen=True, kw_only=True)
class LayoutSet:
    """Layouts under a short name, and for each a scene in which its caption is true."""

    name: str
    layouts: tuple[Layout, ...]
    scenes: tuple[Scene, ...]

    def ceiling(self) -> list[Image]:
        """The scenes, drawn."""
        return [scene.draw() for scene in self.scenes]

    def references(self) -> list[Image]:
        """Drawn pictures of the same scenes in other looks, several of each."""
        numbered = [(index, number) for number in range(_REFERENCES) for index in range(len(self.scenes))]
        return [other_look(self.scenes[i], Random(f"reference/{i}/{number}")).draw() for i, number in numbered]


def drawn_set(count: int) -> LayoutSet:
    """Held-out arrangements of 1, 2, 3 and 4 objects in turn: the same on every machine."""
    return _told("drawn", [_scene(index, _DRAWN_SEED) for index in range(count)])


def development_set(count: int, *, reported: int = 0) -> LayoutSet:
    """As `drawn_set`, from another sequence, without the arrangements of the reported set or its first `reported`."""
    known = {_key(_scene(index, _DRAWN_SEED)) for index in range(max(count, reported, REPORTED))}
    scenes: list[Scene] = []
    index = 0
    while len(scenes) < count:
        scene = _scene(index, _DEVELOPMENT_SEED)
        index += 1
        if _key(scene) not in known:
            scenes.append(scene)
    return _told("development", scenes)


def set_of_layouts(name: str, layouts: Sequence[Layout]) -> LayoutSet:
    """Layouts of the world's nouns with scenes made for them. Raises WorldError for other nouns."""
    scenes = []
    for index, layout in enumerate(layouts):
        rng = Random(f"bench/{index}")
        scenes.append(other_look(scene_of_layout(layout, rng), rng))
    return LayoutSet(name=name, layouts=tuple(layouts), scenes=tuple(scenes))


def layout_set(name: str, count: int) -> LayoutSet:
    """The first `count` layouts of "drawn", "development", "coco" or a layout file. Raises LayoutError, WorldError."""
    if name == "drawn":
        return drawn_set(count)
    if name == "development":
        return development_set(count)
    if name != "coco":
        return set_of_layouts(Path(name).stem, load_layouts(name)[:count])
    if not COCO_FILE.exists():
        raise LayoutError(f"no {COCO_FILE}; the COCO layouts are in a checkout of the repository: run it from there")
    return set_of_layouts("coco", load_layouts(COCO_FILE)[:count])


def other_look(scene: Scene, rng: Random) -> Scene:
    """The scene with another background, colour, texture and shape wherever its captions leave them open.

    Boxes and depth order stay, so relations do; objects that look alike go on looking alike.
    """
    looks: dict[tuple[str, ...], dict[str, str | None]] = {}
    objects = []
    for one, caption in zip(scene.objects, scene.described.captions, strict=True):
        alike = (one.noun, one.colour, one.texture, str(one.shape), caption)
        look = looks.setdefault(alike, _look(one, attributes_of(caption), rng))
        changed = replace(one, colour=str(look["colour"]), texture=str(look["texture"]), shape=look["shape"])
        objects.append(replace(changed, flip=rng.random() < 0.5, variant=rng.randrange(8)))
    background = background_of(scene.described.caption) or rng.choice(tuple(BACKGROUNDS))
    return replace(scene, objects=tuple(objects), background=background, variant=rng.randrange(16))


def _look(one: SceneObject, said: dict[str, str], rng: Random) -> dict[str, str | None]:
    return {
        "colour": said.get("colour") or rng.choice(tuple(COLOURS)),
        "texture": said.get("texture") or rng.choices(TEXTURES, _UNSAID_TEXTURES)[0],
        "shape": None if one.shape is None else said.get("shape") or rng.choice(SHAPES),
    }


def _scene(index: int, seed: int) -> Scene:
    return scene_at(index, seed=seed, split="test", count=1 + index % 4)


def _key(scene: Scene) -> str:
    return layout_key((one.noun, one.box) for one in scene.objects)


def _told(name: str, scenes: Sequence[Scene]) -> LayoutSet:
    return LayoutSet(name=name, layouts=tuple(scene.layout for scene in scenes), scenes=tuple(scenes))

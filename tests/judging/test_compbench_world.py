"""The world edition: held out, true, told in the world's words, without repetition; and what its ceiling is."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence

import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging import compbench_world
from scenograph.judging.attributes import crop
from scenograph.judging.combinations import is_held_out
from scenograph.judging.compbench import numeracy_score, spatial_score
from scenograph.judging.compbench_images import compbench_tallies
from scenograph.judging.compbench_world import CATEGORIES, WorldItem, world_compbench, world_evaluators
from scenograph.judging.statement import check
from scenograph.layout import Layout
from scenograph.world.captions import attributes_of, background_of
from scenograph.world.scenes import Scene
from scenograph.world.split import combination_held_out, layout_held_out

COUNT = 150


@pytest.fixture(scope="module")
def items() -> dict[str, tuple[WorldItem, ...]]:
    return {category: world_compbench(category, COUNT) for category in CATEGORIES}


def test_there_are_enough_and_no_two_are_alike(items: dict[str, tuple[WorldItem, ...]]) -> None:
    for category, those in items.items():
        assert len(those) == COUNT
        assert len({one.prompt for one in those}) == COUNT
        assert all(one.asked.category == category for one in those)
    for category in ("colour", "shape", "texture", "numeracy"):
        asked = {
            frozenset((t.noun, *sorted(t.attributes), t.least) for t in i.statement.things) for i in items[category]
        }
        assert len(asked) == COUNT


def test_everything_asked_for_is_held_out(items: dict[str, tuple[WorldItem, ...]]) -> None:
    for those in items.values():
        for item in those:
            assert all(combination_held_out(o.noun, o.colour, o.texture) for o in item.scene.objects)
            assert all(is_held_out(instance) for instance in item.layout.instances)
            assert layout_held_out((o.noun, o.box) for o in item.scene.objects)


def test_layouts_keep_what_prompts_state(items: dict[str, tuple[WorldItem, ...]]) -> None:
    for those in items.values():
        for item in those:
            assert item.layout.caption == item.prompt == item.asked.prompt
            assert check(item.statement, item.layout).strict
            for thing in item.statement.things:
                assert thing.phrase is not None
                assert thing.phrase in item.prompt
                told = attributes_of(thing.phrase)
                assert {told.pop("noun"), *told.values()} == {thing.noun, *thing.attributes}


def test_painters_find_every_thing_in_the_prompt(items: dict[str, tuple[WorldItem, ...]]) -> None:
    for those in items.values():
        for item in those[:15]:
            assert item.layout.prompt(strict=True).text == item.prompt


def test_statements_are_true_of_the_drawn_scene_only_in_their_own_order(
    items: dict[str, tuple[WorldItem, ...]],
) -> None:
    for item in items["spatial"]:
        (relation,) = item.statement.relations
        first, second = item.layout.instances
        turned = Layout(
            caption=item.prompt,
            instances=tuple(
                type(one)(caption=one.caption, label=one.label, box=box)
                for one, box in ((first, second.box), (second, first.box))
            ),
        )
        assert check(item.statement, turned).strict == (relation.name == "next to")


def test_questions_are_about_the_category(items: dict[str, tuple[WorldItem, ...]]) -> None:
    for category in ("colour", "shape", "texture"):
        for item in items[category]:
            asked = [attributes_of(chunk) for chunk in item.asked.chunks]
            assert all(set(one) == {"noun", category} for one in asked)
            assert len({one[category] for one in asked}) == len(asked) == 2
            truth = {(o.noun, getattr(o, category)) for o in item.scene.objects}
            assert {(one["noun"], one[category]) for one in asked} == truth


def test_relations_take_turns(items: dict[str, tuple[WorldItem, ...]]) -> None:
    for category in ("spatial", "complex"):
        named = Counter(item.statement.relations[0].name for item in items[category])
        assert set(named.values()) == {COUNT // 5}
        for item in items[category]:
            assert item.asked.relation is not None
            assert spatial_score(item.layout, item.asked.relation, aliases={}) == 1
    assert {len(item.scene.objects) for item in items["complex"]} == {2, 3}
    assert all(background_of(item.prompt) == item.scene.background for item in items["complex"])


def test_counts_are_the_scenes(items: dict[str, tuple[WorldItem, ...]]) -> None:
    kinds = Counter(len(item.asked.counts) for item in items["numeracy"])
    assert set(kinds) == {1, 2}
    assert min(kinds.values()) > COUNT // 4
    for item in items["numeracy"]:
        assert Counter(o.noun for o in item.scene.objects) == dict(item.asked.counts)
        assert numeracy_score(item.layout, item.asked.counts, aliases={}) == 1
        assert len(item.scene.objects) > 1


def test_items_are_a_function_of_category_and_seed() -> None:
    few, many = world_compbench("shape", 3, seed=4), world_compbench("shape", 6, seed=4)
    assert few == many[:3]
    assert [one.prompt for one in few] == [one.prompt for one in many[:3]]
    assert few[0] != world_compbench("shape", 1, seed=5)[0]
    assert world_compbench("colour", 0) == ()


def test_mistakes_are_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compbench_world, "_FRUITLESS", 10)
    with pytest.raises(ResultError, match="no category 'taste'"):
        world_compbench("taste")  # type: ignore[arg-type]
    with pytest.raises(ResultError, match=r"colour prompts \(seed 0\); ask for fewer"):
        world_compbench("colour", 10_000)


class Truth:
    """A detector and reader that know the drawn scenes: what the world's judges are trained to be."""

    labels: tuple[str, ...] | None = None

    def __init__(self, scenes: Sequence[Scene]) -> None:
        self.images = [scene.draw() for scene in scenes]
        self.scenes = {image.tobytes(): scene for image, scene in zip(self.images, scenes, strict=True)}
        pairs = [(image, o) for image, scene in zip(self.images, scenes, strict=True) for o in scene.objects]
        self.looks = {crop(image, o.box).tobytes(): o for image, o in pairs}

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        return [self.scenes[image.tobytes()].layout for image in images]

    def probabilities(self, crops: Sequence[Image.Image]) -> list[dict[str, dict[str, float]]]:
        found = [self.looks[one.tobytes()] for one in crops]
        return [{"colour": {o.colour: 1.0}, "texture": {o.texture: 1.0}, "shape": {o.shape or "": 1.0}} for o in found]


def test_judges_that_see_the_truth_give_full_scores_to_drawn_scenes_and_little_to_others(
    items: dict[str, tuple[WorldItem, ...]],
) -> None:
    for category in ("colour", "shape", "texture", "spatial", "numeracy"):
        some = items[category][:20]
        truth = Truth([item.scene for item in some])
        evaluators = world_evaluators(truth, truth)
        asked = [item.asked for item in some]
        own = compbench_tallies(asked, [[image] for image in truth.images], evaluators)
        assert own[category].mean() == 100
        others = compbench_tallies(asked, [[i] for i in truth.images[1:] + truth.images[:1]], evaluators)
        assert others[category].mean() < 30

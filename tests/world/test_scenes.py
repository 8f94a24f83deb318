"""Scenes: exact truth, the split kept, captions that are true."""

from random import Random

import numpy as np
import pytest

from scenograph.errors import WorldError
from scenograph.layout import Box, Instance, Layout
from scenograph.world.captions import attributes_of, background_of
from scenograph.world.scenes import CANVAS, relations, retell, sample_scene, scene_at, scene_of_layout, twin_captions
from scenograph.world.split import combination_held_out, layout_held_out

SCENES = [scene_at(i, seed=3) for i in range(300)]


def test_scene_at_is_deterministic_and_random_access() -> None:
    again = [scene_at(i, seed=3) for i in (5, 0, 299)]
    assert [s.objects for s in again] == [SCENES[i].objects for i in (5, 0, 299)]
    assert again[0].described == SCENES[5].described
    assert np.array_equal(np.asarray(again[0].draw()), np.asarray(SCENES[5].draw()))


def test_training_scenes_never_show_what_is_held_out() -> None:
    for scene in SCENES:
        assert not any(combination_held_out(o.noun, o.colour, o.texture) for o in scene.objects)
        assert not layout_held_out((o.noun, o.box) for o in scene.objects)


def test_test_scenes_show_only_held_out_layouts() -> None:
    for i in range(30):
        assert layout_held_out((o.noun, o.box) for o in scene_at(i, split="test").objects)


def test_unknown_split_says_what_there_is() -> None:
    with pytest.raises(WorldError, match="train, test, all"):
        sample_scene(Random(0), "dev")  # type: ignore[arg-type]


def test_layouts_name_every_instance_without_appending() -> None:
    for scene in SCENES:
        assert scene.layout.prompt(strict=True).appended == ()


def test_what_captions_say_is_true() -> None:
    for i, scene in enumerate(SCENES):
        described = retell(scene, Random(i))
        for o, caption, phrase in zip(scene.objects, described.captions, described.phrases, strict=True):
            assert phrase in described.caption
            for said in (attributes_of(caption), attributes_of(phrase)):
                assert said["noun"] == o.noun
                assert all(getattr(o, kind) == value for kind, value in said.items())
        assert background_of(described.caption) in (None, scene.background)
        if described.relation:
            assert described.relation in relations(scene.objects)


def test_twins_differ_and_the_first_is_true() -> None:
    for i, scene in enumerate(SCENES):
        true, false = twin_captions(scene, Random(i))
        assert true.caption != false
        for o, caption in zip(scene.objects, true.captions, strict=True):
            assert all(getattr(o, kind) == value for kind, value in attributes_of(caption).items())


def test_truth_agrees_with_the_pixels() -> None:
    for scene in SCENES[:60]:
        truth = scene.truth()
        for index, (o, seen) in enumerate(zip(scene.objects, truth.visible, strict=True)):
            if truth.visible_share[index] > 0.999 and seen is not None:
                full = o.box.to_pixels((CANVAS, CANVAS))
                assert np.allclose(seen.to_pixels((CANVAS, CANVAS)), full, atol=2)
        top = len(scene.objects) - 1
        assert truth.visible_share[top] == pytest.approx(1.0)


def test_boxes_are_whole_pixels_and_counts_reach_ten() -> None:
    for scene in SCENES:
        for o in scene.objects:
            sides = np.array(o.box.to_pixels((CANVAS, CANVAS)))
            assert np.allclose(sides, sides.round())
    assert max(len(s.objects) for s in SCENES) == 10


def test_depth_order_is_drawn() -> None:
    layout = Layout(
        caption="a red tv and a blue book",
        instances=(
            Instance(caption="a blue book", box=Box(0.25, 0.25, 0.75, 0.75)),
            Instance(caption="a red tv", box=Box(0.0, 0.0, 1.0, 1.0)),
        ),
    )
    scene = scene_of_layout(layout, Random(0))
    assert [o.noun for o in scene.objects] == ["tv", "book"]  # the larger one stands behind
    assert scene.truth().visible_share[1] == pytest.approx(1.0)
    assert scene.truth().visible_share[0] < 1
    assert {(0, "behind", 1), (1, "in front of", 0)} <= set(relations(scene.objects))


def test_a_label_outside_the_world_is_refused() -> None:
    layout = Layout(caption="a zebra", instances=(Instance(caption="a zebra", box=Box(0, 0, 1, 1)),))
    with pytest.raises(WorldError, match="zebra"):
        scene_of_layout(layout, Random(0))

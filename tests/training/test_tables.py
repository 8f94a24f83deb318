"""What captions say and pictures show of every noun, as answers, and the loss of telling it."""

from dataclasses import replace

import torch

from scenograph.training.tables import ASKED, Tables, seen_in, stated_by, table_answers, table_loss
from scenograph.world.scenes import scene_at
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPES, TEXTURES

SCENES = [scene_at(index, seed=3, split="train") for index in range(60)]
KEYS = list(ASKED)


def test_a_picture_shows_what_its_objects_are() -> None:
    answers = table_answers([seen_in(scene) for scene in SCENES])
    alone = shared = 0
    for row, scene in enumerate(SCENES):
        assert answers.background_B[row] == 1 + list(BACKGROUNDS).index(scene.background)
        for n, noun in enumerate(NOUNS):
            named = [o for o in scene.objects if o.noun == noun]
            looks = {(o.colour, o.texture, o.shape) for o in named}
            assert answers.present_BN[row, n] == bool(named)
            if len(looks) != 1:
                assert (answers.asked_BNK[row, n] == -1).all()
                shared += len(looks) > 1
                continue
            (colour, texture, shape) = looks.pop()
            got = dict(zip(KEYS, answers.asked_BNK[row, n].tolist(), strict=True))
            assert got["colour"] == 1 + list(COLOURS).index(colour) and got["texture"] == TEXTURES.index(texture)
            assert got["shape"] == (1 + SHAPES.index(shape) if shape else 0) and got["count"] == len(named)
            alone += 1
    assert alone > 60 and shared


def test_a_phrase_says_what_its_picture_shows_or_less() -> None:
    for scene in SCENES:
        kinds, _ = seen_in(scene)
        for o, caption in zip(scene.objects, scene.described.captions, strict=True):
            said = stated_by(caption, 1)
            assert any(all(said[k] in (0, kind[k]) for k in said if k != "count") for kind in kinds), (o, caption)
    assert stated_by("nothing of this world", 3) == {"noun": 0, "colour": 0, "texture": 0, "shape": 0, "count": 3}
    assert stated_by("red dogs", 40)["count"] == 10


def test_right_answers_cost_nothing_and_unasked_ones_never() -> None:
    answers = table_answers([seen_in(scene) for scene in SCENES])
    asked = {
        k: 40 * torch.nn.functional.one_hot(answers.asked_BNK[..., i].clamp_min(0), ASKED[k]).float()
        for i, k in enumerate(KEYS)
    }
    right = (
        asked,
        80 * answers.present_BN - 40,
        40 * torch.nn.functional.one_hot(answers.background_B, 1 + len(BACKGROUNDS)).float(),
    )
    assert all(part < 1e-6 for part in table_loss(right, answers).values())
    wrong = {**asked, "colour": -asked["colour"]}
    assert table_loss((wrong, *right[1:]), answers)["things"] > 5
    unasked = answers._replace(asked_BNK=torch.full_like(answers.asked_BNK, -1))
    assert table_loss((wrong, *right[1:]), unasked)["things"] < 1e-6


def test_a_vector_learns_to_tell_it() -> None:
    torch.manual_seed(0)
    scenes = SCENES[:8]
    # Two pictures that differ only in which object has which colour: a bag of words would be the same for both.
    pair = next(s for s in SCENES if len({o.noun for o in s.objects}) == 2 == len({o.colour for o in s.objects}))
    colours = {o.colour: next(p.colour for p in pair.objects if p.colour != o.colour) for o in pair.objects}
    swapped = replace(pair, objects=tuple(replace(o, colour=colours[o.colour]) for o in pair.objects))
    answers = table_answers([seen_in(s) for s in (*scenes, pair, swapped)])
    tables, vectors = Tables(32), torch.randn(10, 32, requires_grad=True)
    optimizer = torch.optim.Adam([vectors, *tables.parameters()], lr=0.05)
    for _ in range(150):
        parts = table_loss(tables(vectors), answers)
        optimizer.zero_grad()
        sum(parts.values(), start=torch.zeros(())).backward()
        optimizer.step()
    assert parts["things"] < 0.05 and parts["background"] < 0.05
    asked, _, _ = tables(vectors)
    n = list(NOUNS).index(pair.objects[0].noun)
    assert asked["colour"][-2, n].argmax() != asked["colour"][-1, n].argmax()

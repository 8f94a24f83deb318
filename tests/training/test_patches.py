"""The loss of what patches show."""

from math import log

import torch

from scenograph.training.patches import ANSWERS, CELL_ANSWERS, cell_answers, cell_loss, patch_answers, patch_loss
from scenograph.world.scenes import scene_at
from scenograph.world.vocabulary import COLOURS, NOUNS, TEXTURES


def test_an_undecided_layer_pays_for_nouns_everywhere_and_for_looks_where_things_are() -> None:
    answers = torch.tensor([[[3, 1, 0], [-1, -1, -1]]])
    looks = log(len(COLOURS)) + log(len(TEXTURES))
    assert abs(float(patch_loss(torch.zeros(1, 2, ANSWERS), answers)) - log(len(NOUNS) + 1) - looks) < 1e-5


def test_pictures_without_things_have_a_finite_loss() -> None:
    answers = torch.full((2, 4, 3), -1)
    assert abs(float(patch_loss(torch.zeros(2, 4, ANSWERS), answers)) - log(len(NOUNS) + 1)) < 1e-5


def test_a_cell_knows_its_place_in_what_it_shows() -> None:
    """By hand on a scene: the middle of every patch within the box of the object that is seen there, in sixths."""
    for index in range(5):
        scene = scene_at(index, seed=3, split="train")
        answers = cell_answers(scene, 8)
        assert torch.equal(answers[:, :3], patch_answers([scene], 8)[0])
        owner_HW = scene.truth(32).owner_HW
        for place, (row, column) in enumerate((r, c) for r in range(8) for c in range(8)):
            owner = int(owner_HW[4 * row + 2, 4 * column + 2])
            across, down = answers[place, 3:].tolist()
            if owner < 0:
                assert across == down == -1
                continue
            box = scene.objects[owner].box
            expected = (
                (column + 0.5) / 8 - box.x0,
                (row + 0.5) / 8 - box.y0,
            )
            assert across == min(max(int(6 * expected[0] / box.width), 0), 5)
            assert down == min(max(int(6 * expected[1] / box.height), 0), 5)


def test_an_undecided_layer_pays_for_parts_too() -> None:
    answers = torch.tensor([[3, 1, 0, 5, 2], [-1] * 5])
    others = log(len(COLOURS)) + log(len(TEXTURES)) + 2 * log(6)
    assert abs(float(cell_loss(torch.zeros(2, CELL_ANSWERS), answers)) - log(len(NOUNS) + 1) - others) < 1e-5

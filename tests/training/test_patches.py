"""The loss of what patches show."""

from math import log

import torch

from scenograph.training.patches import ANSWERS, patch_loss
from scenograph.world.vocabulary import COLOURS, NOUNS, TEXTURES


def test_an_undecided_layer_pays_for_nouns_everywhere_and_for_looks_where_things_are() -> None:
    answers = torch.tensor([[[3, 1, 0], [-1, -1, -1]]])
    looks = log(len(COLOURS)) + log(len(TEXTURES))
    assert abs(float(patch_loss(torch.zeros(1, 2, ANSWERS), answers)) - log(len(NOUNS) + 1) - looks) < 1e-5


def test_pictures_without_things_have_a_finite_loss() -> None:
    answers = torch.full((2, 4, 3), -1)
    assert abs(float(patch_loss(torch.zeros(2, 4, ANSWERS), answers)) - log(len(NOUNS) + 1)) < 1e-5

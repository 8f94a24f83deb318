"""What each patch of a scene shows, as a loss for whatever looks at pictures: its layer is thrown away after training.

A picture's caption is one answer; its 64 patches are 64. Networks that must learn to see from scratch (CLIP's image
tower, the UNet) learn what stands where from these long before their own losses teach it, much as diffusion models
learn faster when their features are held to those of a pretrained encoder (REPA, Yu et al. 2024).
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scenograph.world.scenes import Scene
from scenograph.world.vocabulary import COLOURS, NOUNS, TEXTURES

__all__ = ["ANSWERS", "patch_answers", "patch_loss"]

_TOLD = {"noun": tuple(NOUNS), "colour": tuple(COLOURS), "texture": TEXTURES}
_SIZES = [len(names) + (key == "noun") for key, names in _TOLD.items()]  # the background is one more noun

ANSWERS = sum(_SIZES)
"""Logits of a patch."""


def patch_answers(scenes: Sequence[Scene], grid: int) -> Tensor:
    """(B, grid·grid, 3): which noun, colour and texture is seen at the middle of each patch; -1 on the background."""
    answers = []
    for scene in scenes:
        rows = [[names.index(getattr(o, key)) for key, names in _TOLD.items()] for o in scene.objects]
        owner_HW = scene.truth(4 * grid).owner_HW[2::4, 2::4]
        answers.append(np.array([*rows, [-1] * len(_TOLD)])[owner_HW.reshape(-1)])  # owner -1 is the last row
    return torch.from_numpy(np.stack(answers))


def patch_loss(logits_BPK: Tensor, answers_BP3: Tensor) -> Tensor:
    """The three cross-entropies together; the background has neither colour nor texture."""
    noun, *looks = logits_BPK.flatten(0, 1).split(_SIZES, 1)
    told = answers_BP3.flatten(0, 1).unbind(1)
    nouns = F.cross_entropy(noun, torch.where(told[0] < 0, len(_TOLD["noun"]), told[0]))
    objects = (told[0] >= 0).sum().clamp(min=1)  # there may be none
    errors = (F.cross_entropy(a, b, ignore_index=-1, reduction="sum") for a, b in zip(looks, told[1:], strict=True))
    return nouns + sum(errors) / objects

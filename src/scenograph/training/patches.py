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

__all__ = ["ANSWERS", "CELL_ANSWERS", "cell_answers", "cell_loss", "patch_answers", "patch_loss"]

_TOLD = {"noun": tuple(NOUNS), "colour": tuple(COLOURS), "texture": TEXTURES}
_SIZES = [len(names) + (key == "noun") for key, names in _TOLD.items()]  # the background is one more noun

ANSWERS = sum(_SIZES)
"""Logits of a patch."""
_PARTS = 6
CELL_ANSWERS = ANSWERS + 2 * _PARTS
"""Logits of a patch with its place in what it shows."""


def patch_answers(scenes: Sequence[Scene], grid: int) -> Tensor:
    """(B, grid·grid, 3): which noun, colour and texture is seen at the middle of each patch; -1 on the background."""
    return torch.from_numpy(np.stack([_shown(scene, _owners(scene, grid)) for scene in scenes]))


def cell_answers(scene: Scene, grid: int) -> Tensor:
    """(grid·grid, 5): `patch_answers`, and how far across and down the box of what is seen each patch's middle lies, in
    sixths of it; -1 on the background. A thing that is told only as noun and colour would look alike in all its parts.
    """
    owner_P = _owners(scene, grid)
    boxes = np.array([*([*o.box] for o in scene.objects), [0, 0, 1, 1]])[owner_P]
    middle_P2 = (np.stack([np.arange(grid * grid) % grid, np.arange(grid * grid) // grid], axis=1) + 0.5) / grid
    within_P2 = (middle_P2 - boxes[:, :2]) / (boxes[:, 2:] - boxes[:, :2])
    parts_P2 = np.where(owner_P[:, None] < 0, -1, (within_P2 * _PARTS).clip(0, _PARTS - 1)).astype(int)
    return torch.from_numpy(np.concatenate([_shown(scene, owner_P), parts_P2], axis=1))


def _owners(scene: Scene, grid: int) -> np.ndarray:
    """(grid·grid,): the number of the object that is seen at the middle of each patch, -1 on the background."""
    owners: np.ndarray = scene.truth(4 * grid).owner_HW[2::4, 2::4].reshape(-1)
    return owners


def _shown(scene: Scene, owner_P: np.ndarray) -> np.ndarray:
    rows = [[names.index(getattr(o, key)) for key, names in _TOLD.items()] for o in scene.objects]
    return np.array([*rows, [-1] * len(_TOLD)])[owner_P]  # owner -1 is the last row


def patch_loss(logits_BPK: Tensor, answers_BP3: Tensor) -> Tensor:
    """The three cross-entropies together; the background has neither colour nor texture."""
    return _loss(logits_BPK.flatten(0, 1), answers_BP3.flatten(0, 1), _SIZES)


def cell_loss(logits_MK: Tensor, answers_M5: Tensor) -> Tensor:
    """The five cross-entropies of `cell_answers` together; the background has its noun alone."""
    return _loss(logits_MK, answers_M5, [*_SIZES, _PARTS, _PARTS])


def _loss(logits_MK: Tensor, answers_MA: Tensor, sizes: list[int]) -> Tensor:
    noun, *others = logits_MK.split(sizes, 1)
    told = answers_MA.unbind(1)
    nouns = F.cross_entropy(noun, torch.where(told[0] < 0, len(_TOLD["noun"]), told[0]))
    objects = (told[0] >= 0).sum().clamp(min=1)  # there may be none
    errors = (F.cross_entropy(a, b, ignore_index=-1, reduction="sum") for a, b in zip(others, told[1:], strict=True))
    return nouns + sum(errors) / objects

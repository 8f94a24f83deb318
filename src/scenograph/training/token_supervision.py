"""Token-level supervision of cross-attention (TokenCompose, Wang et al. 2024): words look at what they name.

The denoising loss alone hardly tells a small model which word stands where, above all at much noise. Drawn scenes know
it exactly, so every phrase's attention is held to the cells that show its objects. The model's form does not change,
nor what it is asked for when it paints: a prompt and noise.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from scenograph.painting.attention import grid_of
from scenograph.training.alignment import named
from scenograph.world.scenes import Scene

__all__ = ["phrase_cells", "token_loss"]


def phrase_cells(scenes: Sequence[Scene], tokenizer: Any, tokens: int, grid: int) -> tuple[Tensor, Tensor]:
    """For the phrases of each scene's caption, padded with empty ones: their tokens (B, N, `tokens`) and the cells
    where any part of their objects is seen (B, N, `grid`, `grid`), both of zeros and ones.
    """
    words, cells = [], []
    for scene in scenes:
        groups = named(tokenizer, scene.layout).groups
        count = max(len(groups), 1)  # an empty phrase where there is none, so that a batch of such is no special case
        words.append(np.zeros((count, tokens), bool))
        cells.append(np.zeros((count, grid, grid), bool))
        owner_HW = scene.truth(2 * grid).owner_HW
        for index, group in enumerate(groups):
            words[-1][index, list(group.tokens)] = True
            seen_HW = np.isin(owner_HW, [i for i, o in enumerate(scene.objects) if o.box in group.boxes])
            cells[-1][index] = seen_HW.reshape(grid, 2, grid, 2).any((1, 3))
    return _padded(words), _padded(cells)


def _padded(rows: Sequence[np.ndarray]) -> Tensor:
    return torch.nn.utils.rnn.pad_sequence([torch.from_numpy(one).float() for one in rows], batch_first=True)


def token_loss(
    maps: Mapping[str, Tensor], words_BNT: Tensor, cells_BNHW: Tensor, *, pixel_weight: float
) -> tuple[Tensor, Tensor]:
    """(L_token + `pixel_weight` · L_pixel, share): means over layers and over the phrases that are seen anywhere.

    L_token is the square of the share of a phrase's attention that falls outside its cells; L_pixel the binary
    cross-entropy of its attention, its tokens and heads together, against its cells, which keeps the share from being
    won by a single cell. `share` is the mean share inside, for the log.

    Args:
        maps: layer → maps_BHQT of one forward.
        words_BNT, cells_BNHW: from `phrase_cells`; cells are enlarged to a coarser layer's grid where any part is seen.
    """
    height, width = cells_BNHW.shape[2:]
    seen_BN = cells_BNHW.amax((2, 3))
    count = seen_BN.sum().clamp(min=1)
    total = inside = seen_BN.new_zeros(())
    for maps_BHQT in maps.values():
        grid = grid_of(maps_BHQT.shape[2], (height, width))
        cells_BNQ = F.adaptive_max_pool2d(cells_BNHW, grid).flatten(2)
        phrase_BNQ = torch.einsum("bqt,bnt->bnq", maps_BHQT.mean(1), words_BNT)
        share_BN = (phrase_BNQ * cells_BNQ).sum(-1) / phrase_BNQ.sum(-1).clamp(min=1e-6)
        pixel_BN = F.binary_cross_entropy(phrase_BNQ.clamp(0, 1), cells_BNQ, reduction="none").mean(-1)
        total = total + (seen_BN * ((1 - share_BN).square() + pixel_weight * pixel_BN)).sum() / count
        inside = inside + (seen_BN * share_BN).sum().detach() / count
    return total / len(maps), inside / len(maps)

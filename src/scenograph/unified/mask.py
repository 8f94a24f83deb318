"""Who may look at whom in one sequence that paints and grounds: the task-aware mask of PMTP (EchoGen, Figure 3).

    row \\ sees   START  PAINT  IMAGE  ANSWER        and never a later token, never padding
    START          ×
    PAINT          ×      ×
    IMAGE          ×      ×      ×
    ANSWER         ×             ×      ×

The answer does not see the first X_g, yet the image tokens it reads have: from the second layer on, their states carry
the layout that grounding should find, and at use that layout is not there. `Sharing` names what can be done:

    SHARED      the paper's mask as it is: painting is exact, grounding can copy through the image
    DROPPED     the first X_g is hidden from everybody in a share of the samples, which then equal stand-alone grounding
                and train the unconditional side of classifier-free guidance
    BLIND       as DROPPED, and only those samples count for grounding: no leak at all, fewer grounding samples
    TWO_PASSES  painting and grounding apart: the reference, at about twice the price

Positions count the tokens that are not hidden, so they are the stand-alone ones for painting always, and for grounding
in every sample whose first X_g is dropped; elsewhere RoPE, being relative, differs in the distance to BOS alone.
"""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum

import torch
from torch import Tensor

from scenograph.unified.sequence import Segment

__all__ = ["Sharing", "attention_mask", "drop_condition", "mask_mod", "position_ids"]

_SEES = {
    Segment.PAD: (),
    Segment.START: (Segment.START,),
    Segment.PAINT: (Segment.START, Segment.PAINT),
    Segment.IMAGE: (Segment.START, Segment.PAINT, Segment.IMAGE),
    Segment.ANSWER: (Segment.START, Segment.IMAGE, Segment.ANSWER),
}


class Sharing(Enum):
    """How painting and grounding share the image tokens in stage 1."""

    SHARED = "shared"
    DROPPED = "dropped"
    BLIND = "blind"
    TWO_PASSES = "two-passes"

    @property
    def drops(self) -> bool:
        """Whether a share of the samples loses its first X_g."""
        return self in (Sharing.DROPPED, Sharing.BLIND)


def _table(device: torch.device) -> Tensor:
    table_SS = torch.zeros(len(Segment), len(Segment), dtype=torch.bool)
    for row, seen in _SEES.items():
        table_SS[row, list(map(int, seen))] = True
    return table_SS.to(device)


def attention_mask(segments_BT: Tensor) -> Tensor:
    """The mask for SDPA, bool (batch, 1, rows, columns), True where the row may look; every token sees itself.

    That padding sees itself keeps its softmax finite; nothing else sees padding.
    """
    steps = segments_BT.shape[1]
    device = segments_BT.device
    allowed_BTT = _table(device)[segments_BT[:, :, None], segments_BT[:, None, :]]
    earlier_TT = torch.ones(steps, steps, dtype=torch.bool, device=device).tril()
    own_TT = torch.eye(steps, dtype=torch.bool, device=device)
    return ((allowed_BTT & earlier_TT) | own_TT)[:, None]


def mask_mod(segments_BT: Tensor) -> Callable[[Tensor, Tensor, Tensor, Tensor], Tensor]:
    """The same mask as FlexAttention's `mask_mod(batch, head, row, column)`, for `create_block_mask`."""
    table_SS = _table(segments_BT.device)

    def allowed(batch: Tensor, head: Tensor, row: Tensor, column: Tensor) -> Tensor:
        seen = table_SS[segments_BT[batch, row], segments_BT[batch, column]]
        return (seen & (column <= row)) | (column == row)

    return allowed


def position_ids(segments_BT: Tensor) -> Tensor:
    """The number of tokens before each token that are not padding, whichever side the padding is on."""
    return ((segments_BT != Segment.PAD).long().cumsum(dim=1) - 1).clamp(min=0)


def drop_condition(segments_BT: Tensor, dropped_B: Tensor) -> Tensor:
    """The segments with the painting prompt and the first X_g of the marked samples turned into padding."""
    gone_BT = dropped_B[:, None] & (segments_BT == Segment.PAINT)
    return segments_BT.masked_fill(gone_BT, int(Segment.PAD))

"""What helps small gated layers to find out that a grounding token's box is a place in the picture.

The denoising loss alone hardly tells them where noise is strong, which is where a layout is decided. `training.patches`
and `training.token_supervision` taught the base model what cells show and where words look; these are the forms of both
that need boxes and phrases only:

* pointing: what the middle block sees in a cell must tell which instance is there, through a layer that is thrown away;
* looking: the gated self-attention of a cell must go to the token of the instance that is there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenograph.painting.gligen import Grounding
from scenograph.training.token_supervision import token_loss

__all__ = ["Pointer", "instance_of_cells", "looking_loss", "pointing_loss"]


class Pointer(nn.Module):
    """A UNet, and what every cell of its middle block says: a vector to compare with phrases, and a logit for none."""

    def __init__(self, unet: Any) -> None:
        super().__init__()
        self.unet = unet
        self.says = nn.Linear(unet.config.block_out_channels[-1], unet.config.cross_attention_dim + 1)
        self._hook = unet.mid_block.register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, args: object, features_BCHW: Tensor) -> None:
        self._features_BCHW = features_BCHW

    def let_go(self) -> None:
        """The UNet is again as it was before."""
        self._hook.remove()

    def forward(self, *args: Any, **kwargs: Any) -> tuple[Tensor, Tensor]:
        """The UNet's sample, and what its cells say (B, H, W, D + 1)."""
        noise: Tensor = self.unet(*args, **kwargs).sample
        return noise, self.says(self._features_BCHW.permute(0, 2, 3, 1))


def instance_of_cells(grounding: Grounding, grid: tuple[int, int]) -> Tensor:
    """(B, H, W): the place of the smallest box around the middle of each cell; N, one past the last, where none is."""
    boxes_BN4, count = grounding.boxes_BN4.float(), grounding.boxes_BN4.shape[1]
    y_H, x_W = ((torch.arange(n, device=boxes_BN4.device) + 0.5) / n for n in grid)
    x0, y0, x1, y1 = boxes_BN4.unbind(-1)
    in_x_BNW = (x_W >= x0[..., None]) & (x_W < x1[..., None])
    in_y_BNH = (y_H >= y0[..., None]) & (y_H < y1[..., None])
    inside_BNHW = in_y_BNH[..., None] & in_x_BNW[..., None, :] & (grounding.masks_BN > 0)[..., None, None]
    area_BN = (x1 - x0) * (y1 - y0)
    area_BNHW = torch.where(inside_BNHW, area_BN[..., None, None], torch.inf)
    smallest_BHW, place_BHW = area_BNHW.min(1)
    return torch.where(smallest_BHW.isinf(), count, place_BHW)


def pointing_loss(says_BHWE: Tensor, grounding: Grounding) -> Tensor:
    """The mean -log p(instance | cell) over the cells of samples that have instances; 0 for a batch without any.

    An instance's logit is the product of what the cell says and its phrase; instances with one phrase share a cell.
    """
    place_BQ = instance_of_cells(grounding, (says_BHWE.shape[1], says_BHWE.shape[2])).flatten(1)
    phrases_BND, there_BN = grounding.phrases_BND.float(), grounding.masks_BN > 0
    says_BQE = says_BHWE.flatten(1, 2).float()
    logits_BQN = torch.einsum("bqd,bnd->bqn", says_BQE[..., :-1], phrases_BND) / phrases_BND.shape[-1] ** 0.5
    logits_BQN = logits_BQN.masked_fill(~there_BN[:, None], -torch.inf)
    logits_BQM = torch.cat([logits_BQN, says_BQE[..., -1:]], -1)
    # M places: N instances and none; which of them a cell may name: all that have the phrase of its own.
    same_BNN = (phrases_BND[:, :, None] == phrases_BND[:, None]).all(-1)
    named_BMM = F.pad(same_BNN & there_BN[:, None], (0, 1, 0, 1))
    named_BMM[:, -1, -1] = True
    right_BQM = named_BMM.gather(1, place_BQ[..., None].expand(-1, -1, named_BMM.shape[-1]))
    error_BQ = logits_BQM.logsumexp(-1) - logits_BQM.masked_fill(~right_BQM, -torch.inf).logsumexp(-1)
    some_B = there_BN.any(1).float()
    return (error_BQ.mean(1) * some_B).sum() / some_B.sum().clamp(min=1)


def looking_loss(
    maps: Mapping[str, Tensor], grounding: Grounding, grid: tuple[int, int], *, pixel_weight: float = 0.5
) -> tuple[Tensor, Tensor]:
    """`token_loss` of grounding tokens in place of words.

    Args:
        maps: layer → maps_BHQT of `gated_attentions`, where queries and keys are the locations, then N tokens.
        grid: of the latent, on which the cells of an instance are told.
    """
    count = grounding.boxes_BN4.shape[1]
    cells_BNHW = F.one_hot(instance_of_cells(grounding, grid), count + 1)[..., :count].permute(0, 3, 1, 2).float()
    tokens_BNT = torch.eye(count, device=cells_BNHW.device).expand(len(cells_BNHW), -1, -1)
    seen = {name: one[:, :, :-count, -count:] for name, one in maps.items()}
    return token_loss(seen, tokens_BNT, cells_BNHW, pixel_weight=pixel_weight)

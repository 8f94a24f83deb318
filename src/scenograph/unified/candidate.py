"""A candidate layout as masks over the image tokens (MIGLoRA, Stage I), an option of the unified model.

Every box of a candidate becomes a mask on the grid of the image tokens, in a channel of its own in the order of the
sub-captions, and is concatenated with the tokens' embeddings. Concatenating and projecting back to the width is adding
a projection of the masks, which begins at zero: the model is then what it was. Boxes beyond the channels have no mask.
"""

from __future__ import annotations

from collections.abc import Sequence
from math import isqrt
from typing import Any

import torch
from torch import Tensor, nn
from transformers import JanusConfig, JanusForConditionalGeneration

from scenograph.errors import CheckpointError
from scenograph.layout import Box

__all__ = ["SLOTS", "MaskedJanus", "add_candidate_mask", "box_masks", "masked", "takes_masks"]

SLOTS = 10
"""Channels: candidates of more boxes keep those of the first."""
_SETTING = "candidate_slots"


class MaskedJanus(JanusForConditionalGeneration):
    """Janus with a projection of candidate masks; its folder loads as plain Janus too, without it."""

    def __init__(self, config: JanusConfig) -> None:
        super().__init__(config)
        self.model.candidate_mask = nn.Linear(SLOTS, config.text_config.hidden_size, bias=False)
        nn.init.zeros_(self.model.candidate_mask.weight)


def add_candidate_mask(model: Any) -> MaskedJanus:
    """The same model with masks that change nothing yet."""
    config = type(model.config).from_dict({**model.config.to_dict(), _SETTING: SLOTS})
    made = MaskedJanus(config)
    made.load_state_dict(model.state_dict(), strict=False)
    made.generation_config = model.generation_config
    return made.to(device=model.device, dtype=model.dtype).train(model.training)


def takes_masks(config: Any) -> bool:
    """Whether a checkpoint's config is of a model with candidate masks."""
    return bool(getattr(config, _SETTING, 0))


def box_masks(boxes: Sequence[Box], tokens: int) -> Tensor:
    """(tokens, SLOTS): the share of every cell of the square grid that each box covers, row by row."""
    side = isqrt(tokens)
    edges = torch.arange(side + 1) / side

    def covered(low: float, high: float) -> Tensor:
        return (edges[1:].clamp(max=high) - edges[:-1].clamp(min=low)).clamp(min=0) * side

    masks_NK = torch.zeros(tokens, SLOTS)
    for slot, box in enumerate(boxes[:SLOTS]):
        masks_NK[:, slot] = (covered(box.y0, box.y1)[:, None] * covered(box.x0, box.x1)).flatten()
    return masks_NK


def masked(model: Any, embeds_BTD: Tensor, masks_BTK: Tensor) -> Tensor:
    """Embeddings with the masks concatenated and projected. Raises CheckpointError for a model that takes none."""
    project = getattr(model.model, "candidate_mask", None)
    if project is None:
        raise CheckpointError("this unified model takes no candidate masks; expected one made by `add_candidate_mask`")
    result_BTD: Tensor = embeds_BTD + project(masks_BTK.to(embeds_BTD.dtype))
    return result_BTD

"""GLIGEN conditioning (Li et al. 2023): a layout → what `position_net` of a gated UNet reads.

Every instance is a grounding token of its caption (pooled text features) and its box (Fourier features); unused places
hold the learned null token, so there are always `MOST` of them. The unconditional half of classifier-free guidance sees
null tokens alone. Scheduled sampling: grounding during the first β of the steps only; a step without it passes no
tokens, which skips the gated layers. Nothing in the UNet is switched, so nothing must be restored.
"""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch
from torch import Tensor

from scenograph.errors import GuidanceError, LayoutError, ScenographWarning
from scenograph.layout import Layout
from scenograph.models.gated import is_gated

__all__ = ["BETA", "MOST", "Grounding", "check_grounding", "checked_beta", "embed_phrases", "ground"]

MOST = 30
"""Grounding tokens of every published GLIGEN."""
BETA = 0.3
"""Share of grounded steps in the original's demo and in diffusers."""


@dataclass(frozen=True, kw_only=True)
class Grounding:
    """Grounding of a batch of B samples, each with N = `MOST` places."""

    boxes_BN4: Tensor
    phrases_BND: Tensor
    masks_BN: Tensor
    """1 where a place holds an instance, 0 for the null token."""

    def arguments(self) -> dict[str, Tensor]:
        """Keyword arguments of `position_net`."""
        return {"boxes": self.boxes_BN4, "positive_embeddings": self.phrases_BND, "masks": self.masks_BN}

    def null(self) -> Grounding:
        """The same batch with null tokens alone."""
        return replace(self, masks_BN=torch.zeros_like(self.masks_BN))

    def __add__(self, other: Grounding) -> Grounding:
        """Both batches as one."""
        return Grounding(
            boxes_BN4=torch.cat([self.boxes_BN4, other.boxes_BN4]),
            phrases_BND=torch.cat([self.phrases_BND, other.phrases_BND]),
            masks_BN=torch.cat([self.masks_BN, other.masks_BN]),
        )


def checked_beta(unet: Any, beta: float | None, steps: int) -> float:
    """The share of grounded steps for a UNet; 0 where it has no gated layers. Warns where no step is left of it.

    Raises GuidanceError for a share outside 0…1, and when one is asked of a UNet without gated layers.
    """
    if beta is None:
        beta = BETA if is_gated(unet) else 0.0
    if not 0 <= beta <= 1:
        raise GuidanceError(f"gligen_beta is {beta!r}; expected a share of the steps from 0 to 1")
    if beta and not is_gated(unet):
        raise GuidanceError("gligen_beta is given, but the model has no gated layers; name a GLIGEN checkpoint")
    if beta and not int(beta * steps):
        told = f"gligen_beta {beta:g} of {steps} steps is none: the boxes do nothing; give more of either"
        warnings.warn(told, ScenographWarning, stacklevel=3)
    return float(beta)


def check_grounding(pipeline: Any, layouts: Sequence[Layout]) -> None:
    """Raises LayoutError for more than `MOST` instances, PhraseError for a caption beyond the text encoder's window."""
    from scenograph.painting.conditioning import check_length

    for layout in layouts:
        if len(layout.instances) > MOST:
            raise LayoutError(
                f"the layout has {len(layout.instances)} instances, and GLIGEN takes at most {MOST}; leave some out"
            )
        check_length(pipeline, [one.caption for one in layout.instances], "instance caption")


@torch.no_grad()
def ground(pipeline: Any, layouts: Sequence[Layout]) -> Grounding:
    """The grounding of a batch of layouts. Raises what `check_grounding` raises."""
    check_grounding(pipeline, layouts)
    captions = [instance.caption for layout in layouts for instance in layout.instances]
    known = dict(zip(captions, embed_phrases(pipeline, captions), strict=True)) if captions else {}
    dtype, device = pipeline.text_encoder.dtype, pipeline._execution_device
    shape, width = (len(layouts), MOST), pipeline.unet.config.cross_attention_dim
    boxes_BN4 = torch.zeros(*shape, 4, dtype=dtype, device=device)
    phrases_BND = torch.zeros(*shape, width, dtype=dtype, device=device)
    masks_BN = torch.zeros(*shape, dtype=dtype, device=device)
    for row, layout in enumerate(layouts):
        for place, instance in enumerate(layout.instances):
            boxes_BN4[row, place] = torch.tensor(tuple(instance.box))
            phrases_BND[row, place] = known[instance.caption]
            masks_BN[row, place] = 1
    return Grounding(boxes_BN4=boxes_BN4, phrases_BND=phrases_BND, masks_BN=masks_BN)


def embed_phrases(pipeline: Any, phrases: Sequence[str]) -> Tensor:
    """Pooled text features of some phrases, (P, D), each within the text encoder's window."""
    # As the deprecated pipeline does it: padded to the longest, with the attention mask.
    inputs = pipeline.tokenizer(list(phrases), padding=True, return_tensors="pt").to(pipeline._execution_device)
    pooled: Tensor = pipeline.text_encoder(**inputs).pooler_output
    return pooled

"""Token sequences → tensors: padding, selecting the parts of a shared sequence, and the embeddings of every kind."""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch.nn.utils.rnn import pad_sequence

from scenograph.unified.candidate import SLOTS, box_masks, masked
from scenograph.unified.mask import attention_mask, drop_condition, position_ids
from scenograph.unified.passes import image_embeddings
from scenograph.unified.sequence import Kind, Role, Segment, TokenSequence

__all__ = ["Batch", "collate", "embed"]

Side = Literal["left", "right"]


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Sequences of different lengths as (batch, tokens) tensors of the same shape; padding has segment PAD.

    `masks_BTK` are the candidate masks of image tokens, zero elsewhere; None where there are none.
    """

    ids_BT: Tensor
    kinds_BT: Tensor
    segments_BT: Tensor
    roles_BT: Tensor
    masks_BTK: Tensor | None = None

    def _columns(self) -> dict[str, Tensor]:
        return {name: value for name, value in vars(self).items() if value is not None}

    def to(self, device: torch.device | str) -> Batch:
        """The batch on a device."""
        return Batch(**{name: value.to(device) for name, value in self._columns().items()})

    def mask(self) -> Tensor:
        """Who may look at whom, bool (batch, 1, tokens, tokens)."""
        return attention_mask(self.segments_BT)

    def positions(self) -> Tensor:
        """Position ids (batch, tokens)."""
        return position_ids(self.segments_BT)

    def dropped(self, dropped_B: Tensor) -> Batch:
        """The batch with the first X_g of the marked samples hidden from everybody."""
        return replace(self, segments_BT=drop_condition(self.segments_BT, dropped_B))

    def silenced(self, rows_B: Tensor, roles: Collection[Role]) -> Batch:
        """The batch in which the marked rows' tokens of these roles are no targets."""
        hushed_BT = rows_B[:, None] & torch.isin(self.roles_BT, self.roles_BT.new_tensor(sorted(roles)))
        return replace(self, roles_BT=self.roles_BT.masked_fill(hushed_BT, int(Role.NONE)))

    def select(self, segments: Collection[Segment]) -> Batch:
        """Each row's tokens of these segments alone, closed up and padded on the right: one of the two passes."""
        kept_BT = torch.isin(self.segments_BT, self.segments_BT.new_tensor(sorted(segments)))
        columns = {
            name: [row[kept] for row, kept in zip(value_BT, kept_BT, strict=True)]
            for name, value_BT in self._columns().items()
        }
        return Batch(**{name: pad_sequence(rows, batch_first=True) for name, rows in columns.items()})

    def rows(self, rows_B: Tensor) -> Batch:
        """The marked rows alone."""
        return Batch(**{name: value[rows_B] for name, value in self._columns().items()})

    def painting(self) -> Batch:
        """The painting pass of a shared sequence."""
        return self.select({Segment.START, Segment.PAINT, Segment.IMAGE})

    def grounding(self) -> Batch:
        """The grounding pass of a shared sequence, in which the image is no target."""
        alone = self.select({Segment.START, Segment.IMAGE, Segment.ANSWER})
        everywhere = torch.ones(len(alone.ids_BT), dtype=torch.bool, device=alone.ids_BT.device)
        return alone.silenced(everywhere, {Role.IMAGE})


def collate(
    sequences: Sequence[TokenSequence], *, side: Side = "right", device: torch.device | str = "cpu", masks: bool = False
) -> Batch:
    """Sequences padded to the longest, on the right for training, on the left for what a sampler continues.

    Candidate masks are there where a sequence has any, or with `masks` always: several processes that train need them
    in every batch.
    """
    columns = {"ids_BT": "ids", "kinds_BT": "kinds", "segments_BT": "segments", "roles_BT": "roles"}
    batch = Batch(
        **{
            name: pad_sequence(
                [torch.tensor(getattr(one, field)) for one in sequences], batch_first=True, padding_side=side
            ).to(device)
            for name, field in columns.items()
        }
    )
    if not masks and not any(one.masks for one in sequences):
        return batch
    masks_BTK = torch.zeros(*batch.ids_BT.shape, SLOTS, device=device)
    for row_TK, kinds_T, one in zip(masks_BTK, batch.kinds_BT, sequences, strict=True):
        if one.masks:
            places_T = kinds_T != Kind.TEXT
            row_TK[places_T] = box_masks(one.masks, int(places_T.sum())).to(device)
    return replace(batch, masks_BTK=masks_BTK)


def embed(model: Any, batch: Batch, *, images_BND: Tensor | None = None, features_BND: Tensor | None = None) -> Tensor:
    """The embeddings (batch, tokens, width) of every token by its kind.

    Args:
        model: JanusForConditionalGeneration.
        images_BND: embeddings that take the places of the image tokens, such as soft ones (`soft_embeddings`).
        features_BND: features of the understanding tower for the rows that have places for them, in the rows' order.
    """
    vq_BT = batch.kinds_BT == Kind.VQ
    text_BT = torch.where(batch.kinds_BT == Kind.TEXT, batch.ids_BT, 0)
    embeds_BTD: Tensor = model.get_input_embeddings()(text_BT)
    if images_BND is not None:
        embeds_BTD = _put(embeds_BTD, vq_BT, images_BND)
    elif bool(vq_BT.any()):
        embeds_BTD = _put(embeds_BTD, vq_BT, image_embeddings(model, batch.ids_BT[vq_BT]))
    if features_BND is not None:
        embeds_BTD = _put(embeds_BTD, batch.kinds_BT == Kind.VIT, features_BND)
    return embeds_BTD if batch.masks_BTK is None else masked(model, embeds_BTD, batch.masks_BTK)


def _put(embeds_BTD: Tensor, places_BT: Tensor, values: Tensor) -> Tensor:
    flat_MD = values.reshape(-1, values.shape[-1]).to(embeds_BTD.dtype)
    return embeds_BTD.masked_scatter(places_BT[..., None], flat_MD)

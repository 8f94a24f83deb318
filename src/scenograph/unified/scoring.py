"""Teacher-forced passes over given tokens, with gradients: logits, losses and the log-probs of what was drawn.

Every target is predicted from the token before it. `image_log_probs` scores drawn images under the very distribution
that they were drawn from, guidance and cuts included: scoring with the conditional model alone what guidance drew, as a
public GRPO for Janus does, makes the policy ratio wrong from the first step.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor

from scenograph.unified.batch import Batch, collate, embed
from scenograph.unified.mask import attention_mask, position_ids
from scenograph.unified.passes import hidden, image_logits, text_logits
from scenograph.unified.sampler import Sampling, guided_logits, sampling_log_probs
from scenograph.unified.sequence import Kind, Role, Segment, TokenSequence

__all__ = ["TEXT_ROLES", "forced_image_logits", "image_log_probs", "states", "states_before", "targets", "token_losses"]

_SPREAD = 1.25  # of the lengths of rows that go together
TEXT_ROLES = (Role.MARK, Role.EXPRESSION, Role.BOX)


def states(model: Any, batch: Batch, *, images_BND: Tensor | None = None, features_BND: Tensor | None = None) -> Tensor:
    """The language model's states (batch, tokens, width), of padding anything; the arguments are those of `embed`.

    Rows of about one length go through the model together, closed up: half of a batch of stage 1 is padding.
    """
    embeds_BTD = embed(model, batch, images_BND=images_BND, features_BND=features_BND)
    real_BT = batch.segments_BT != Segment.PAD
    # Where each row's tokens are, in their order, and then its padding.
    places_BT = (~real_BT).byte().argsort(dim=1, stable=True)
    found_BTD = torch.zeros_like(embeds_BTD)
    for rows, length in _alike(real_BT.sum(dim=1)):
        at = torch.tensor(rows, device=places_BT.device)[:, None], places_BT[rows, :length]
        segments_RT = batch.segments_BT[at]
        states_RTD = hidden(model, embeds_BTD[at], attention_mask(segments_RT), position_ids(segments_RT))
        found_BTD = found_BTD.index_put(at, states_RTD.to(found_BTD.dtype))
    return found_BTD


def _alike(lengths_B: Tensor) -> list[tuple[list[int], int]]:
    """Rows of about one length, with the longest; all rows together where many small passes cost more than padding."""
    lengths = lengths_B.tolist()
    order = sorted(range(len(lengths)), key=lambda row: lengths[row])
    groups: list[list[int]] = []
    for row in order:
        together = groups and (lengths_B.device.type != "cpu" or lengths[row] <= _SPREAD * lengths[groups[-1][0]])
        groups[-1].append(row) if together else groups.append([row])
    return [(rows, lengths[rows[-1]]) for rows in groups]


def targets(batch: Batch, roles: Collection[Role]) -> Tensor:
    """Which tokens have one of these roles, bool (batch, tokens)."""
    return torch.isin(batch.roles_BT, batch.roles_BT.new_tensor(sorted(roles)))


def states_before(states_BTD: Tensor, wanted_BT: Tensor) -> Tensor:
    """The states (targets, width) from which the wanted tokens are predicted."""
    return states_BTD[:, :-1][wanted_BT[:, 1:]]


def token_losses(model: Any, batch: Batch, states_BTD: Tensor, roles: Collection[Role]) -> tuple[Tensor, Tensor]:
    """The cross-entropy of every target of these roles, text or image but not both, and the targets' roles (targets,).

    Only the targets' logits are computed: a vocabulary of 100 000 for every token would not fit.
    """
    wanted_BT = targets(batch, roles)
    head = image_logits if Role.IMAGE in roles else text_logits
    logits_MV = head(model, states_before(states_BTD, wanted_BT)).float()
    return F.cross_entropy(logits_MV, batch.ids_BT[wanted_BT], reduction="none"), batch.roles_BT[wanted_BT]


def forced_image_logits(model: Any, batch: Batch, states_BTD: Tensor) -> Tensor:
    """Logits (batch, image tokens, codebook) of rows that all have one image as target."""
    before_MD = states_before(states_BTD, targets(batch, {Role.IMAGE}))
    return image_logits(model, before_MD).unflatten(0, (len(batch.ids_BT), -1))


def _with_image(prefix: TokenSequence, ids: Sequence[int]) -> TokenSequence:
    roles = [Role.IMAGE] * len(ids)
    return prefix + TokenSequence.of(ids, Segment.IMAGE, kind=Kind.VQ, roles=roles)


def image_log_probs(
    model: Any,
    prefixes: Sequence[TokenSequence],
    tokens_BN: Tensor,
    *,
    nulls: Sequence[TokenSequence] | None = None,
    sampling: Sampling,
) -> tuple[Tensor, Tensor]:
    """(log-probs (batch, tokens) of drawn image tokens, log of the whole distribution (batch, tokens, codebook)).

    The arguments are those of `sample_images`, and so is the distribution; gradients flow.
    """
    drawn = tokens_BN.tolist()
    rows = [_with_image(prefix, ids) for prefix, ids in zip(prefixes, drawn, strict=True)]
    if sampling.is_guided:
        rows += [_with_image(null, ids) for null, ids in zip(nulls or (), drawn, strict=True)]
    batch = collate(rows, device=tokens_BN.device)
    logits_BNV = forced_image_logits(model, batch, states(model, batch)).float()
    if sampling.is_guided:
        logits_BNV = guided_logits(logits_BNV, sampling.guidance)
    logs_BNV = sampling_log_probs(logits_BNV, sampling, keep=tokens_BN)
    return logs_BNV.gather(-1, tokens_BN[..., None])[..., 0], logs_BNV

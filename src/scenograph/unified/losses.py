"""What stages 1 and 2 of EchoGen minimise: PMTP's eq. 1, and DJO's eq. 2 through a straight-through Gumbel-softmax.

Cross-entropies are means over the tokens of a stream: the image tokens, and the X_g tokens that are predicted from the
image, whose expressions and boxes are also told apart. `near_loss` is no part of EchoGen's: it also tells a model with
random weights that a coordinate one pixel off is nearly right.
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor
from torch.autograd.function import FunctionCtx

from scenograph.errors import TrainingError
from scenograph.unified.batch import Batch
from scenograph.unified.mask import Sharing
from scenograph.unified.passes import soft_embeddings, text_logits
from scenograph.unified.scoring import (
    TEXT_ROLES,
    forced_image_logits,
    states,
    states_before,
    targets,
    token_losses,
)
from scenograph.unified.sequence import Kind, Role

__all__ = [
    "Annealing",
    "DjoLoss",
    "LayoutLoss",
    "PmtpLoss",
    "djo_loss",
    "near_loss",
    "pmtp_loss",
    "straight_through",
]

_SPREAD = 1.5  # deviation, in steps, of where `near_loss` would have a coordinate


@dataclass(frozen=True)
class LayoutLoss:
    """CE(X_g, Y_g) and its parts, which carry no gradient; a stream without tokens has loss 0."""

    mean: Tensor
    expression: Tensor
    box: Tensor


@dataclass(frozen=True)
class PmtpLoss:
    """Eq. 1: the sum of the two streams."""

    image: Tensor
    layout: LayoutLoss
    before_MD: Tensor
    """The states from which the image tokens are predicted, of one row after another."""
    at_MD: Tensor
    """The states of image tokens where the answer reads them, of every row that has any."""
    near: Tensor
    """`near_loss` of the answer; 0 without `locations`."""

    @property
    def total(self) -> Tensor:
        """CE(X_i, Y_i) + CE(X_g, Y_g)."""
        return self.image + self.layout.mean


def _mean(losses_M: Tensor) -> Tensor:
    return losses_M.sum() / max(len(losses_M), 1)


def _layout_loss(model: Any, batch: Batch, states_BTD: Tensor) -> LayoutLoss:
    losses_M, roles_M = token_losses(model, batch, states_BTD, TEXT_ROLES)
    parts = [_mean(losses_M.detach()[roles_M == role]) for role in (Role.EXPRESSION, Role.BOX)]
    return LayoutLoss(_mean(losses_M), *parts)


def _pmtp(
    model: Any,
    painting: Batch,
    painted_BTD: Tensor,
    grounding: Batch,
    grounded_BTD: Tensor,
    locations: tuple[int, ...],
) -> PmtpLoss:
    before_MD = states_before(painted_BTD, targets(painting, {Role.IMAGE}))
    layout = _layout_loss(model, grounding, grounded_BTD)
    at_MD = grounded_BTD[grounding.kinds_BT == Kind.VQ]
    near = near_loss(model, grounding, grounded_BTD, locations) if locations else layout.mean.new_zeros(())
    return PmtpLoss(_image_loss(model, painting, painted_BTD), layout, before_MD, at_MD, near)


def near_loss(model: Any, batch: Batch, states_BTD: Tensor, locations: tuple[int, ...]) -> Tensor:
    """The cross-entropy of the boxes' coordinates with a bell around each, among the location tokens alone, in their
    order."""
    wanted_BT = targets(batch, {Role.BOX})
    known_K = batch.ids_BT.new_tensor(locations)
    logits_MK = text_logits(model, states_before(states_BTD, wanted_BT)).float()[:, known_K]
    distance_MK = torch.searchsorted(known_K, batch.ids_BT[wanted_BT])[:, None] - torch.arange(
        len(locations), device=known_K.device
    )
    bell_MK = (-0.5 * (distance_MK / _SPREAD) ** 2).softmax(dim=-1)
    return F.cross_entropy(logits_MK, bell_MK, reduction="sum") / max(len(bell_MK), 1)


def _image_loss(model: Any, batch: Batch, states_BTD: Tensor) -> Tensor:
    return _mean(token_losses(model, batch, states_BTD, {Role.IMAGE})[0])


def pmtp_loss(
    model: Any,
    batch: Batch,
    sharing: Sharing,
    *,
    dropped_B: Tensor | None = None,
    features_BND: Tensor | None = None,
    locations: tuple[int, ...] = (),
) -> PmtpLoss:
    """Eq. 1 for a batch of shared sequences.

    Args:
        model: JanusForConditionalGeneration.
        batch: of `shared_sequence`s.
        sharing: see `mask.Sharing`.
        dropped_B: samples that paint without a condition; needed where `sharing.drops`.
        features_BND: the tower's features of the rows that have places for them.
        locations: ids of one token per coordinate, ascending, for `near_loss`.

    Raises:
        TrainingError: `sharing` drops and `dropped_B` is missing.
    """
    if dropped_B is None and sharing.drops:
        raise TrainingError(f"sharing {sharing.value!r} drops the layout of some samples; give dropped_B=")
    if dropped_B is not None:
        batch = batch.dropped(dropped_B)
        if sharing is Sharing.BLIND:
            batch = batch.silenced(~dropped_B, TEXT_ROLES)
    if sharing is Sharing.TWO_PASSES:
        painted_B = targets(batch, {Role.IMAGE}).any(dim=1)
        painting, grounding = (batch.rows(painted_B) if painted_B.any() else batch).painting(), batch.grounding()
        painted_BTD = states(model, painting)
        grounded_BTD = states(model, grounding, features_BND=features_BND)
        return _pmtp(model, painting, painted_BTD, grounding, grounded_BTD, locations)
    states_BTD = states(model, batch, features_BND=features_BND)
    return _pmtp(model, batch, states_BTD, batch, states_BTD, locations)


@dataclass(frozen=True, kw_only=True)
class Annealing:
    """DJO's temperature of update k: τ(k) = max(τ_min, τ₀ α^k). Raises TrainingError unless it falls from τ₀ to τ_min.

    The paper gives no numbers; `over` picks α so that τ_min is reached after 80 % of the updates.
    """

    start: float = 1.0
    least: float = 0.3
    alpha: float

    def __post_init__(self) -> None:
        if not (0 < self.least <= self.start and 0 < self.alpha < 1):
            raise TrainingError(
                f"annealing from {self.start!r} to {self.least!r} by {self.alpha!r}; expected 0 < least ≤ start and "
                "0 < alpha < 1"
            )

    @classmethod
    def over(cls, updates: int, *, start: float = 1.0, least: float = 0.3) -> Annealing:
        """The schedule for a run of so many updates. Raises TrainingError when it cannot fall."""
        if updates < 1 or not 0 < least < start:
            raise TrainingError(
                f"got {updates} updates from {start!r} to {least!r}; expected some, and 0 < least < start"
            )
        return cls(start=start, least=least, alpha=(least / start) ** (1 / (0.8 * updates)))

    def at(self, update: int) -> float:
        """τ of an update, counted from 0."""
        return float(max(self.least, self.start * self.alpha**update))


class _StraightThrough(torch.autograd.Function):
    """The likeliest entry, one-hot; the gradient goes to the soft weights as if they had been returned."""

    @staticmethod
    def forward(ctx: FunctionCtx, soft_V: Tensor) -> Tensor:
        return torch.zeros_like(soft_V).scatter_(-1, soft_V.argmax(dim=-1, keepdim=True), 1)

    @staticmethod
    def backward(ctx: Any, *grads_V: Tensor) -> Tensor:
        return grads_V[0]


def straight_through(logits_V: Tensor, noise_V: Tensor, tau: float) -> Tensor:
    """A sample, exactly one-hot forward, ỹ = softmax((z + γ)/τ) backward; the draw itself does not depend on τ."""
    one_hot_V: Tensor = _StraightThrough.apply(((logits_V + noise_V) / tau).softmax(dim=-1))
    return one_hot_V


@dataclass(frozen=True)
class DjoLoss:
    """Eq. 2 and its parts."""

    image: Tensor
    """L_L2I."""
    layout: LayoutLoss
    """L_loop, or what rows that are not looped train instead, over all their tokens."""
    weight: float
    """λ."""

    @property
    def total(self) -> Tensor:
        """L_L2I + λ L_loop."""
        return self.image + self.weight * self.layout.mean


def djo_loss(
    model: Any,
    painting: Batch,
    grounding: Batch,
    *,
    noise_BNV: Tensor,
    tau: float,
    weight: float = 1.0,
    closed: bool = True,
    features_BND: Tensor | None = None,
    drawn_BN: Tensor | None = None,
) -> DjoLoss:
    """Eq. 2: paint, draw the image differentiably, and recover the layout from the drawn image.

    One painting pass over the real image serves both losses: its logits and the noise are the draw. Every token is then
    drawn given the *real* tokens before it. With `drawn_BN`, tokens that were sampled freely, a second painting pass
    replays that draw (`Sampling()`, the same noise), which is unbiased and dearer.

    Args:
        model: JanusForConditionalGeneration.
        painting: `paint_sequence`s with the real images.
        grounding: `ground_sequence`s with the answers, of the same samples; VQ places get the drawn image, and rows
            with places for the understanding tower see the real picture instead: they train L_I2L, and no gradient of
            theirs reaches the painter. A row without an image (`plan_sequence`) trains its layout alone.
        noise_BNV: γ, Gumbel noise (`gumbel_noise`, or what `sample_images` kept).
        tau: τ(k).
        weight: λ.
        closed: False cuts the gradient in the drawn image: grounding learns as before, and the painter nothing of it.
        features_BND: the tower's features of the rows that have places for them.
        drawn_BN: a rollout's tokens.
    """
    states_BTD = states(model, painting)
    image = _image_loss(model, painting, states_BTD)
    source = painting
    if drawn_BN is not None:
        places_BT = painting.roles_BT == Role.IMAGE
        source = replace(painting, ids_BT=painting.ids_BT.masked_scatter(places_BT, drawn_BN))
        states_BTD = states(model, source)
    logits_BNV = forced_image_logits(model, source, states_BTD)
    looped_B = (grounding.kinds_BT == Kind.VQ).any(dim=1)
    drawn_BNV = straight_through(logits_BNV[looped_B], noise_BNV[looped_B], tau)
    drawn_BNV = drawn_BNV if closed else drawn_BNV.detach()
    recovered = states(model, grounding, images_BND=soft_embeddings(model, drawn_BNV), features_BND=features_BND)
    return DjoLoss(image, _layout_loss(model, grounding, recovered), weight)

"""Group Relative Policy Optimisation as pure functions of tensors (Shao et al. 2024; EchoGen's Cycle RL, eq. 3 and 4).

For each query a group of G outputs is drawn from π_old and rewarded. The advantage of an output is its reward against
its group's mean; every token's ratio π_θ/π_old is clipped by itself and averaged, because a product over hundreds of
image tokens is useless; and π_θ is held near a frozen π_ref.

    J = mean over outputs and tokens [ min(ρ A, clip(ρ, 1−ε, 1+ε) A) − β D_KL(π_θ ‖ π_ref) ]          (eq. 4)

The paper prints r_bbox for the reward and for the ratio; ρ here is the ratio. Rewards are maximised, so a box
discrepancy enters with a minus. All log-probs are of the distribution that the tokens were drawn from.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scenograph.errors import TrainingError

__all__ = ["GrpoLoss", "clipped_objective", "group_advantages", "grpo_loss", "kl_estimate", "kl_exact"]

_EPSILON = 1e-4  # beside a reward's deviation: a group that differs by float noise must not be blown up


def group_advantages(rewards_BG: Tensor, *, scaled: bool = False) -> Tensor:
    """A = r − mean of the group (EchoGen), divided by the group's deviation when `scaled` (Shao et al.).

    Equal rewards have advantage exactly 0, in either case. Raises TrainingError unless every group has two rewards or
    more, all finite.
    """
    if rewards_BG.ndim != 2 or rewards_BG.shape[1] < 2 or not bool(rewards_BG.isfinite().all()):
        raise TrainingError(f"got rewards {tuple(rewards_BG.shape)}; expected finite ones (groups, 2 or more)")
    centred_BG = rewards_BG - rewards_BG.mean(dim=1, keepdim=True)
    # The mean of equal floats need not be that float.
    equal_B1 = rewards_BG.amax(dim=1, keepdim=True) == rewards_BG.amin(dim=1, keepdim=True)
    centred_BG = centred_BG.masked_fill(equal_B1, 0)
    return centred_BG / (rewards_BG.std(dim=1, keepdim=True) + _EPSILON) if scaled else centred_BG


def clipped_objective(logs_NT: Tensor, old_NT: Tensor, advantages_N: Tensor, *, epsilon: float = 0.2) -> Tensor:
    """min(ρ A, clip(ρ, 1−ε, 1+ε) A) of every token, to be maximised; ρ = exp(log π_θ − log π_old)."""
    ratio_NT = (logs_NT - old_NT.detach()).exp()
    advantages_N1 = advantages_N.detach()[:, None]
    return torch.minimum(ratio_NT * advantages_N1, ratio_NT.clamp(1 - epsilon, 1 + epsilon) * advantages_N1)


def kl_estimate(logs_NT: Tensor, reference_NT: Tensor) -> Tensor:
    """D_KL(π_θ ‖ π_ref) of every token from the drawn token alone: π_ref/π_θ − log(π_ref/π_θ) − 1 (Shao et al.).

    Never negative, and unbiased for tokens drawn from π_θ.
    """
    difference_NT = reference_NT.detach() - logs_NT
    return difference_NT.exp() - difference_NT - 1


def kl_exact(logs_NTV: Tensor, reference_NTV: Tensor) -> Tensor:
    """D_KL(π_θ ‖ π_ref) of every token from the whole distributions, log-probs over the vocabulary.

    Tokens that π_θ never draws add nothing. Where it draws one that the reference never does, the divergence is
    infinite: cut neither distribution.
    """
    drawn_NTV = logs_NTV.isfinite()
    difference_NTV = logs_NTV.masked_fill(~drawn_NTV, 0) - reference_NTV.detach().masked_fill(~drawn_NTV, 0)
    return (logs_NTV.exp() * difference_NTV).sum(dim=-1)


@dataclass(frozen=True)
class GrpoLoss:
    """The loss and what to log; only `total` has a gradient."""

    total: Tensor
    kl: Tensor
    """Mean divergence from the reference."""
    clipped: Tensor
    """Share of tokens whose ratio the clip holds back."""
    ratio: Tensor
    """Mean ratio; 1 on the first update after a rollout."""


def grpo_loss(
    logs_NT: Tensor,
    old_NT: Tensor,
    reference_NT: Tensor,
    advantages_N: Tensor,
    *,
    mask_NT: Tensor | None = None,
    epsilon: float = 0.2,
    beta: float = 0.01,
    kl_NT: Tensor | None = None,
) -> GrpoLoss:
    """−J of eq. 4, a mean over each output's tokens and then over the outputs.

    Args:
        logs_NT: log π_θ of the drawn tokens, with gradient.
        old_NT: the same under the policy that drew them.
        reference_NT: the same under the frozen reference.
        advantages_N: of the outputs.
        mask_NT: True for the tokens that count; None counts all.
        epsilon: ε of the clip.
        beta: β, the weight of the divergence.
        kl_NT: the divergence of every token, such as `kl_exact`; None estimates it.

    Raises:
        TrainingError: shapes do not fit, or an output has no token that counts.
    """
    counted_NT = torch.ones_like(logs_NT, dtype=torch.bool) if mask_NT is None else mask_NT.bool()
    if not logs_NT.shape == old_NT.shape == reference_NT.shape == counted_NT.shape or len(advantages_N) != len(logs_NT):
        shapes = [tuple(x.shape) for x in (logs_NT, old_NT, reference_NT, counted_NT, advantages_N)]
        raise TrainingError(
            f"log-probs, mask and advantages have shapes {shapes}; expected (outputs, tokens) throughout"
        )
    if not bool(counted_NT.any(dim=1).all()):
        raise TrainingError("an output has no token that counts; expected at least one in each row of mask_NT")
    # Tokens that do not count may hold anything, and 0 times an infinity would be no number.
    logs_NT, old_NT, reference_NT = (x.masked_fill(~counted_NT, 0) for x in (logs_NT, old_NT, reference_NT))
    divergence_NT = kl_estimate(logs_NT, reference_NT) if kl_NT is None else kl_NT.masked_fill(~counted_NT, 0)
    objective_NT = clipped_objective(logs_NT, old_NT, advantages_N, epsilon=epsilon) - beta * divergence_NT
    total = -_mean(objective_NT, counted_NT)
    with torch.no_grad():
        ratio_NT = (logs_NT - old_NT).exp()
        up_N1 = advantages_N[:, None] > 0
        down_N1 = advantages_N[:, None] < 0
        held_NT = ((ratio_NT > 1 + epsilon) & up_N1) | ((ratio_NT < 1 - epsilon) & down_N1)
        kl, clipped, ratio = (_mean(x.to(logs_NT.dtype), counted_NT) for x in (divergence_NT, held_NT, ratio_NT))
    return GrpoLoss(total, kl, clipped, ratio)


def _mean(values_NT: Tensor, counted_NT: Tensor) -> Tensor:
    return ((values_NT * counted_NT).sum(dim=1) / counted_NT.sum(dim=1)).mean()

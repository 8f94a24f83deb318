"""Theorem 4.1 and Corollary 4.2 of WinWinLay as numbers, each with the condition under which it holds."""

from __future__ import annotations

import math
from typing import Any

import pytest
import torch
from scipy.optimize import root
from torch import Tensor


def ascend(logits: Tensor, objective_dim: int, mask: Tensor, beta: float) -> tuple[Tensor, Tensor]:
    """softmax(logits, objective_dim) before and after one gradient ascent step on Σ mask · softmax."""
    logits = logits.clone().requires_grad_()
    before = logits.softmax(objective_dim)
    (gradient,) = torch.autograd.grad((mask * before).sum(), logits)
    return before.detach(), (logits.detach() + beta * gradient).softmax(objective_dim)


@pytest.mark.parametrize("seed", range(5))
@pytest.mark.parametrize("beta", [1e-3, 1.0, 50.0])
def test_theorem_41_softmax_over_patches(seed: int, beta: float) -> None:
    """As proved: for m·q < 1 every in-box pair with q_j > q_k keeps its order and widens its ratio, for any β > 0."""
    torch.manual_seed(seed)
    mask = (torch.arange(16) < 6).double()
    before, after = ascend(torch.randn(16).double(), 0, mask, beta)
    assert (mask * before).sum() < 1
    inside = before[:6].argsort(descending=True)
    old, new = before[inside], after[inside]
    assert (new[:-1] > new[1:]).all()
    assert (new[:-1] / new[1:] > old[:-1] / old[1:]).all()


def test_theorem_41_needs_attention_outside_the_box() -> None:
    """m·q = 1: nothing outside to take from, the gradient vanishes and no ratio moves."""
    torch.manual_seed(0)
    before, after = ascend(torch.randn(6).double(), 0, torch.ones(6).double(), 50.0)
    torch.testing.assert_close(after, before, rtol=1e-12, atol=0)


def two_patches(low: float, high: float, beta: float) -> tuple[float, float]:
    """Ratio a_high / a_low before and after a step, patches softmaxed over 20 tokens with the other 19 equal."""
    probabilities = torch.full((2, 20), 0.0).double()
    probabilities[:, 1:] = torch.tensor([[(1 - low) / 19], [(1 - high) / 19]]).double()
    probabilities[:, 0] = torch.tensor([low, high]).double()
    token = torch.zeros(2, 20).double()
    token[:, 0] = 1
    before, after = ascend(probabilities.log(), 1, token, beta)
    return float(before[1, 0] / before[0, 0]), float(after[1, 0] / after[0, 0])


def rate(a: float, others: float) -> float:
    """d log a / dβ of a patch at a: (1−a) · a(1−a) + Σ_others p² a, from the softmax's Jacobian."""
    return a * (1 - a) ** 2 + others * a


@pytest.mark.parametrize(("low", "high"), [(0.01, 0.02), (0.05, 0.2), (0.2, 0.3), (0.30, 0.33)])
def test_theorem_41_softmax_over_tokens_below_a_third(low: float, high: float) -> None:
    """Real maps are softmaxed over tokens: a small step widens in-box ratios while both values are below 1/3."""
    before, after = two_patches(low, high, 1e-4)
    assert after > before


@pytest.mark.parametrize(("low", "high"), [(0.36, 0.4), (0.4, 0.8), (0.6, 0.9)])
def test_theorem_41_softmax_over_tokens_above_a_third(low: float, high: float) -> None:
    """Above 1/3 the ratio shrinks instead: attention evens out by itself."""
    before, after = two_patches(low, high, 1e-4)
    assert after < before


def test_the_turning_point_is_a_third_for_many_tokens() -> None:
    """d log a/dβ = a((1−a)² + Σ_others p²). If the others share the rest alike in both patches, Σ p² = c (1−a)² and the
    rate is (1+c) a(1−a)², which rises until a = 1/3 exactly, whatever c; above, the stronger patch gains less."""
    grid = torch.linspace(0.01, 0.99, 9801, dtype=torch.float64)
    for others in (1, 19, 76):
        rates = torch.tensor([rate(float(a), (1 - float(a)) ** 2 / others) for a in grid[::7]])
        assert abs(float(grid[::7][rates.argmax()]) - 1 / 3) < 1e-3
    for low in (0.1, 0.25, 0.5):  # the rate formula is what an infinitesimal step does
        high, beta = low + 0.05, 1e-6
        before, after = two_patches(low, high, beta)
        change = (math.log(after) - math.log(before)) / beta
        expected = rate(high, (1 - high) ** 2 / 19) - rate(low, (1 - low) ** 2 / 19)
        assert change == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("seed", range(20))
def test_the_exact_condition_over_tokens(seed: int) -> None:
    """In general a ratio widens exactly when a_j((1−a_j)² + Σ p_j²) > a_k((1−a_k)² + Σ p_k²), on either side of 1/3."""
    logits = 2 * torch.randn(2, 6, dtype=torch.float64, generator=torch.Generator().manual_seed(seed))
    token = torch.zeros(2, 6).double()
    token[:, 0] = 1
    before, after = ascend(logits, 1, token, 1e-6)
    j, k = (0, 1) if before[0, 0] > before[1, 0] else (1, 0)
    rates = [rate(float(row[0]), float((row[1:] ** 2).sum())) for row in before]
    assert bool(after[j, 0] / after[k, 0] > before[j, 0] / before[k, 0]) == (rates[j] > rates[k])


@pytest.mark.parametrize("seed", range(5))
def test_corollary_42_two_tasks(seed: int) -> None:
    """Nash bargaining: GᵀGα = 1/α with K = 2 gives α₁/α₂ = ‖g₂‖/‖g₁‖, hence ν = ‖∇log p‖ / ‖∇E‖."""
    torch.manual_seed(seed)
    gradients = torch.randn(2, 64).double() * torch.tensor([[0.05], [3.0]]).double()
    gram = (gradients @ gradients.T).numpy()
    start = 1 / gradients.norm(dim=1).numpy()
    solved = root(lambda log_alpha: gram @ _exp(log_alpha) - 1 / _exp(log_alpha), torch.tensor(start).log().numpy())
    assert solved.success
    alpha = _exp(solved.x)
    assert alpha[0] / alpha[1] == pytest.approx(float(gradients[1].norm() / gradients[0].norm()), rel=1e-8)


def _exp(values: Any) -> Any:
    return torch.as_tensor(values).exp().numpy()

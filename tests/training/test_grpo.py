"""GRPO's functions against float64 references, at their fixed points, and on a policy that can learn."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from scenograph.errors import TrainingError
from scenograph.training.grpo import clipped_objective, group_advantages, grpo_loss, kl_estimate, kl_exact


def numbers(*shape: int, seed: int = 0, scale: float = 1.0) -> Tensor:
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64) * scale


def log_probs(*shape: int, seed: int = 0) -> Tensor:
    return -numbers(*shape, seed=seed).abs() - 0.1


def test_advantages_by_hand() -> None:
    rewards_BG = torch.tensor([[1.0, 2.0, 6.0], [0.5, 0.5, 0.5]])
    assert group_advantages(rewards_BG).tolist() == [[-2, -1, 3], [0, 0, 0]]
    deviation = math.sqrt((4 + 1 + 9) / 2)
    scaled = group_advantages(rewards_BG, scaled=True)
    assert scaled[0].tolist() == pytest.approx([-2 / deviation, -1 / deviation, 3 / deviation], rel=1e-3)
    assert scaled[1].tolist() == [0, 0, 0]


@pytest.mark.parametrize("scaled", [False, True])
def test_groups_are_centred_and_scaled_apart(scaled: bool) -> None:
    rewards_BG = numbers(5, 8)
    rewards_BG[3] *= 100
    advantages_BG = group_advantages(rewards_BG, scaled=scaled)
    torch.testing.assert_close(advantages_BG.mean(dim=1), torch.zeros(5, dtype=torch.float64), atol=1e-12, rtol=0)
    torch.testing.assert_close(group_advantages(rewards_BG + 7, scaled=scaled), advantages_BG)
    for row in range(5):
        alone = group_advantages(rewards_BG[row : row + 1], scaled=scaled)[0]
        torch.testing.assert_close(alone, advantages_BG[row])
    if scaled:
        assert advantages_BG.std(dim=1).tolist() == pytest.approx([1] * 5, rel=1e-3)


@pytest.mark.parametrize("wrong", [torch.zeros(3), torch.zeros(3, 1), torch.tensor([[0.0, math.nan]])])
def test_rewards_that_are_no_groups_are_refused(wrong: Tensor) -> None:
    with pytest.raises(TrainingError, match="expected finite"):
        group_advantages(wrong)


@pytest.mark.parametrize("scaled", [False, True])
@pytest.mark.parametrize("reward", [0.0, 0.1, 1 / 3, 0.7])
def test_equal_rewards_give_no_gradient_at_all(scaled: bool, reward: float) -> None:
    logs_NT = log_probs(8, 5).float().requires_grad_()
    advantages_N = group_advantages(torch.full((1, 8), reward), scaled=scaled)[0]
    loss = grpo_loss(logs_NT, logs_NT.detach() - 0.3, logs_NT.detach(), advantages_N, beta=0.0)
    loss.total.backward()
    assert logs_NT.grad is not None and logs_NT.grad.abs().max() == 0


def test_the_first_update_has_ratio_one_and_the_plain_policy_gradient() -> None:
    logs_NT = log_probs(6, 4).requires_grad_()
    advantages_N = numbers(6, seed=1)
    loss = grpo_loss(logs_NT, logs_NT.detach(), logs_NT.detach(), advantages_N)
    assert float(loss.ratio) == 1 and float(loss.clipped) == 0 and float(loss.kl) == 0
    loss.total.backward()
    expected_NT = (-advantages_N[:, None] / (6 * 4)).expand(6, 4)
    torch.testing.assert_close(logs_NT.grad, expected_NT)


def by_hand(logs: Tensor, old: Tensor, ref: Tensor, advantages: Tensor, mask: Tensor, eps: float, beta: float) -> float:
    """Eq. 4 in plain Python floats, token by token."""
    outputs = []
    for n in range(len(logs)):
        tokens = []
        for t in range(logs.shape[1]):
            if not bool(mask[n, t]):
                continue
            rho = math.exp(float(logs[n, t]) - float(old[n, t]))
            clipped = min(max(rho, 1 - eps), 1 + eps)
            objective = min(rho * float(advantages[n]), clipped * float(advantages[n]))
            difference = float(ref[n, t]) - float(logs[n, t])
            tokens.append(objective - beta * (math.exp(difference) - difference - 1))
        outputs.append(sum(tokens) / len(tokens))
    return -sum(outputs) / len(outputs)


@pytest.mark.parametrize("epsilon", [0.1, 0.2])
@pytest.mark.parametrize("beta", [0.0, 0.01, 0.5])
def test_the_loss_is_the_reference(epsilon: float, beta: float) -> None:
    logs_NT, old_NT, ref_NT = log_probs(7, 9), log_probs(7, 9, seed=1), log_probs(7, 9, seed=2)
    advantages_N = numbers(7, seed=3)
    mask_NT = numbers(7, 9, seed=4) > -0.5
    found = grpo_loss(logs_NT, old_NT, ref_NT, advantages_N, mask_NT=mask_NT, epsilon=epsilon, beta=beta).total
    expected = by_hand(logs_NT, old_NT, ref_NT, advantages_N, mask_NT, epsilon, beta)
    assert float(found) == pytest.approx(expected, rel=1e-12)
    single = grpo_loss(*(x.float() for x in (logs_NT, old_NT, ref_NT, advantages_N)), mask_NT=mask_NT, epsilon=epsilon,
                       beta=beta).total  # fmt: skip
    assert float(single) == pytest.approx(expected, rel=1e-5)


def test_the_second_update_is_clipped() -> None:
    """One update per rollout makes the clip inert; from the second on it stops what has moved far enough."""
    old_NT = torch.full((2, 1), math.log(0.25), dtype=torch.float64)
    advantages_N = torch.tensor([1.0, -1.0], dtype=torch.float64)
    for new, held in ((0.26, 0), (0.4, 0.5), (0.1, 0.5)):
        logs_NT = torch.full((2, 1), math.log(new), dtype=torch.float64, requires_grad=True)
        loss = grpo_loss(logs_NT, old_NT, old_NT, advantages_N, beta=0.0)
        loss.total.backward()
        assert float(loss.clipped) == held and float(loss.ratio) == pytest.approx(new / 0.25)
        assert logs_NT.grad is not None
        # What went the way of its advantage too far has no gradient left; what went astray is still pulled back.
        stopped = [new > 0.3, new < 0.2]
        assert [bool(g == 0) for g in logs_NT.grad[:, 0]] == stopped


def test_the_objective_by_hand() -> None:
    logs_NT, old_NT = torch.tensor([[2.0, 0.5, 1.1]]).log(), torch.zeros(1, 3)
    up = clipped_objective(logs_NT, old_NT, torch.tensor([1.0]))
    down = clipped_objective(logs_NT, old_NT, torch.tensor([-1.0]))
    assert up[0].tolist() == pytest.approx([1.2, 0.5, 1.1])
    assert down[0].tolist() == pytest.approx([-2.0, -0.8, -1.1])


def test_the_estimate_is_the_divergence_on_average() -> None:
    """Its mean over the tokens that the policy draws, each weighted by its probability, is the exact divergence."""
    logs_V, ref_V = numbers(50).log_softmax(dim=0), numbers(50, seed=1).log_softmax(dim=0)
    exact = kl_exact(logs_V, ref_V)
    expected = torch.distributions.kl_divergence(
        torch.distributions.Categorical(logits=logs_V), torch.distributions.Categorical(logits=ref_V)
    )
    torch.testing.assert_close(exact, expected)
    estimates_V = kl_estimate(logs_V, ref_V)
    assert bool((estimates_V >= 0).all())
    torch.testing.assert_close((logs_V.exp() * estimates_V).sum(), expected)
    assert float(kl_exact(logs_V, logs_V)) == 0


def test_divergence_of_cut_distributions() -> None:
    cut_V = torch.tensor([0.5, 0.5, 0.0], dtype=torch.float64).log().requires_grad_()
    full_V = torch.tensor([0.25, 0.5, 0.25], dtype=torch.float64).log()
    found = kl_exact(cut_V, full_V)
    assert float(found) == pytest.approx(0.5 * math.log(2))
    found.backward()
    assert cut_V.grad is not None and bool(cut_V.grad[:2].isfinite().all()) and cut_V.grad[2] == 0
    assert float(kl_exact(full_V, cut_V.detach())) == math.inf


def test_the_reference_pulls_back_and_gets_no_gradient() -> None:
    logs_NT = log_probs(4, 3).requires_grad_()
    ref_NT, old_NT = (log_probs(4, 3, seed=1).requires_grad_() for _ in range(2))
    grpo_loss(logs_NT, old_NT, ref_NT, torch.zeros(4, dtype=torch.float64), beta=0.3).total.backward()
    assert ref_NT.grad is None and old_NT.grad is None and logs_NT.grad is not None
    # Likelier than under the reference is made less likely.
    assert torch.equal(logs_NT.grad > 0, logs_NT.detach() > ref_NT.detach())


def test_tokens_that_do_not_count_may_hold_anything() -> None:
    logs_NT = log_probs(3, 4)
    advantages_N = numbers(3, seed=1)
    mask_NT = torch.tensor([[True, True, False, False]] * 3)
    spoilt_NT = logs_NT.masked_fill(~mask_NT, -math.inf).requires_grad_()
    loss = grpo_loss(spoilt_NT, logs_NT, logs_NT, advantages_N, mask_NT=mask_NT)
    expected = grpo_loss(logs_NT[:, :2], logs_NT[:, :2], logs_NT[:, :2], advantages_N)
    torch.testing.assert_close(loss.total, expected.total)
    loss.total.backward()
    assert spoilt_NT.grad is not None and bool(spoilt_NT.grad.isfinite().all())
    with pytest.raises(TrainingError, match="no token"):
        grpo_loss(logs_NT, logs_NT, logs_NT, advantages_N, mask_NT=torch.zeros(3, 4, dtype=torch.bool))
    with pytest.raises(TrainingError, match="shapes"):
        grpo_loss(logs_NT, logs_NT[:, :2], logs_NT, advantages_N)


@pytest.mark.parametrize("scaled", [False, True])
def test_reward_rises_on_a_toy_policy(scaled: bool) -> None:
    """Five independent tokens of eight values; the reward counts the threes. Groups of eight, two updates a rollout."""
    torch.manual_seed(0)
    weights_TV = torch.zeros(5, 8, requires_grad=True)
    frozen_TV = weights_TV.detach().clone()
    optimizer = torch.optim.Adam([weights_TV], lr=0.05)

    def logs(tokens_NT: Tensor, table_TV: Tensor) -> Tensor:
        return table_TV.log_softmax(dim=-1)[torch.arange(5), tokens_NT]

    history = []
    for _ in range(120):
        with torch.no_grad():
            tokens_NT = torch.distributions.Categorical(logits=weights_TV).sample((8 * 4,))
            old_NT = logs(tokens_NT, weights_TV)
        rewards_N = (tokens_NT == 3).float().mean(dim=1)
        history.append(float(rewards_N.mean()))
        advantages_N = group_advantages(rewards_N.view(4, 8), scaled=scaled).flatten()
        for update in range(2):
            loss = grpo_loss(logs(tokens_NT, weights_TV), old_NT, logs(tokens_NT, frozen_TV), advantages_N)
            if update == 0:
                assert float(loss.ratio) == pytest.approx(1, abs=1e-6)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
    assert sum(history[:5]) / 5 < 0.25 and sum(history[-5:]) / 5 > 0.8


def test_a_strong_reference_holds_the_policy() -> None:
    """With β large the same rewards move the policy less."""
    reached = []
    for beta in (0.0, 1.0):
        torch.manual_seed(0)
        weights_V = torch.zeros(8, requires_grad=True)
        optimizer = torch.optim.Adam([weights_V], lr=0.05)
        for _ in range(80):
            logs_V = weights_V.log_softmax(dim=-1)
            tokens_N = torch.distributions.Categorical(logits=weights_V.detach()).sample((64,))
            advantages_N = group_advantages((tokens_N == 3).float().view(8, 8)).flatten()
            logs_NT = logs_V[tokens_N][:, None]
            reference_NT = torch.full_like(logs_NT, -math.log(8))
            loss = grpo_loss(logs_NT, logs_NT.detach(), reference_NT, advantages_N, beta=beta)
            optimizer.zero_grad()
            loss.total.backward()
            optimizer.step()
        reached.append(float(weights_V.detach().softmax(dim=-1)[3]))
    assert reached[0] > 0.8 and reached[1] < reached[0] - 0.2

"""Updates on real tiny UNets: the paper's formulas term by term, stopping rules, noise, and failures that are named."""

from __future__ import annotations

import math
from dataclasses import replace
from typing import Any

import pytest
import torch
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.painting.attention import capture, guidance_layers
from scenograph.painting.guidance import (
    AttentionEnergy,
    Backprop,
    Guidance,
    Langevin,
    NonLocalAttentionEnergy,
    Step,
    Window,
)
from scenograph.painting.guidance.energies import Energy
from scenograph.painting.guidance.updates import to_epsilon
from tests.painting.networks import FAMILIES, forward_of, latents, make_step, texts, tiny_unet, token_layout

MEAN = AttentionEnergy(reduce="mean")
DOUBLE = torch.float64


def energy_and_gradient(energy: Energy, z: Tensor, step: Step) -> tuple[Tensor, Tensor]:
    """By the full forward, sample by sample nothing shared with Landscape."""
    progress = Window().progress(step.index, step.total)
    assert progress is not None
    leaf = z.detach().requires_grad_()
    with capture(step.unet, guidance_layers(step.unet), cut=None) as recording:
        recording.run(step.forward, leaf)
    energy_B = energy(recording.maps, recording.grids, step.tokens, progress)
    return energy_B.detach(), torch.autograd.grad(energy_B.sum(), leaf)[0]


@pytest.mark.parametrize("family", FAMILIES)
def test_one_backprop_step_is_equation_3(family: str) -> None:
    unet = tiny_unet(family, DOUBLE)
    step, z = make_step(unet, [1], alpha_bar=0.2), latents([1], DOUBLE)
    _, gradient = energy_and_gradient(MEAN, z, step)
    moved = Guidance(energy=MEAN, update=Backprop(iterations=1)).guide(z, step)
    torch.testing.assert_close(moved, z - 30 * (1 - 0.2) * gradient, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("energy", [MEAN, AttentionEnergy(), NonLocalAttentionEnergy()])
def test_backprop_lowers_the_energy_on_a_real_network(energy: Energy) -> None:
    unet = tiny_unet("sd")
    step, z = make_step(unet, [0, 1, 2, 3]), latents([0, 1, 2, 3])
    guidance = Guidance(energy=energy, update=Backprop(eta=30, iterations=5, threshold=None))
    before, _ = energy_and_gradient(energy, z, step)
    after, _ = energy_and_gradient(energy, guidance.guide(z, step), step)
    assert (after < before).all()


def test_backprop_stops_each_sample_by_itself() -> None:
    """The iteration that finds E below the threshold still moves the sample; later ones do not."""
    unet = tiny_unet("sd", DOUBLE)
    step, z = make_step(unet, [0, 1]), latents([0, 1], DOUBLE)
    first, _ = energy_and_gradient(MEAN, z, step)
    between = float(first.mean())
    low, high = int(first.argmin()), int(first.argmax())
    guidance = Guidance(energy=MEAN, update=Backprop(iterations=4, threshold=between))
    moved = guidance.guide(z, step)
    once = Guidance(energy=MEAN, update=Backprop(iterations=1)).guide(z, step)
    assert torch.allclose(moved[low], once[low], rtol=0, atol=1e-13)
    assert not torch.allclose(moved[high], once[high], rtol=0, atol=1e-13)
    energies = guidance.log.steps[0].energy
    assert energies[0][low] == pytest.approx(float(first[low])) and all(row[low] is None for row in energies[1:])
    assert energies[1][high] is not None


def test_reset_stop() -> None:
    """False, the public code's way: after one success the sample's guidance is over, until a new run begins."""
    unet = tiny_unet("sd")
    z = latents([0])
    for reset, expected in ((True, [0, 1, 2]), (False, [0])):
        guidance = Guidance(energy=MEAN, update=Backprop(threshold=2.0, reset_stop=reset))
        moved = [guidance.guide(z, make_step(unet, [0], index=index)) is not z for index in range(3)]
        assert [index for index, changed in enumerate(moved) if changed] == expected
        assert [entry.index for entry in guidance.log.steps] == expected
        assert guidance.guide(z, make_step(unet, [0], index=0)) is not z
        assert len(guidance.log.steps) == 1


def test_the_matched_control_steps_as_far_as_aef_in_the_other_direction() -> None:
    unet = tiny_unet("sd", DOUBLE)
    naef = NonLocalAttentionEnergy(reduce="mean")
    step, z = make_step(unet, [0, 1, 2, 3]), latents([0, 1, 2, 3], DOUBLE)
    _, of_aef = energy_and_gradient(MEAN, z, step)
    _, of_naef = energy_and_gradient(naef, z, step)
    move = Guidance(energy=naef, update=Backprop(iterations=1, step_length_of=MEAN)).guide(z, step) - z
    for sample in range(4):
        assert move[sample].norm() == pytest.approx(float(30 * 0.7 * of_aef[sample].norm()), rel=1e-9)
        cosine = torch.nn.functional.cosine_similarity(move[sample].flatten(), -of_naef[sample].flatten(), dim=0)
        assert cosine == pytest.approx(1.0)
    own = (Guidance(energy=naef, update=Backprop(iterations=1)).guide(z, step) - z).flatten(1).norm(dim=1)
    assert (own > 1.5 * move.flatten(1).norm(dim=1)).all()  # what the control is for


def test_the_matched_control_stops_when_aef_would() -> None:
    unet = tiny_unet("sd", DOUBLE)
    step, z = make_step(unet, [0]), latents([0], DOUBLE)
    naef = NonLocalAttentionEnergy(reduce="mean")
    (of_aef,), (of_naef,) = (energy_and_gradient(energy, z, step)[0].tolist() for energy in (MEAN, naef))
    assert of_aef < of_naef
    guidance = Guidance(energy=naef, update=Backprop(threshold=(of_aef + of_naef) / 2, step_length_of=MEAN))
    guidance.guide(z, step)
    assert len(guidance.log.steps[0].energy) == 1


def langevin_by_hand(
    z: Tensor, step: Step, energy: Energy, epsilon: Tensor, r: float = 0.06, nu: float = 1.0
) -> Tensor:
    """Equations 15, 16 and 20 for a batch of one."""
    _, gradient = energy_and_gradient(energy, z, step)
    noise = torch.randn(z.shape[1:], generator=torch.Generator().manual_seed(step.generators[0].initial_seed()))
    score = -epsilon / math.sqrt(1 - step.alpha_bar)
    joint = score - nu * score.norm() / gradient.norm() * gradient
    xi = 2 * (r * noise.to(z).norm() / max(joint.norm(), score.norm())) ** 2
    return z + xi * joint + (2 * xi).sqrt() * noise.to(z)


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("nu", [1.0, 4.0])
def test_one_langevin_step_is_equations_15_16_20(family: str, nu: float) -> None:
    unet = tiny_unet(family, DOUBLE)
    energy = NonLocalAttentionEnergy()
    step, z = make_step(unet, [1]), latents([1], DOUBLE)
    by_hand = langevin_by_hand(z, step, energy, step.forward(z), nu=nu)
    moved = Guidance(energy=energy, update=Langevin(iterations=1, nu=nu)).guide(z, step)
    torch.testing.assert_close(moved, by_hand, rtol=1e-9, atol=1e-12)


@pytest.mark.parametrize("score", ["conditional", "unconditional", "cfg"])
def test_which_epsilon_is_the_score(score: Any) -> None:
    unet = tiny_unet("sd", DOUBLE)
    step, z = make_step(unet, [2]), latents([2], DOUBLE)
    conditional, unconditional = step.forward(z), step.forward_uncond(z)
    epsilon = {
        "conditional": conditional,
        "unconditional": unconditional,
        "cfg": unconditional + 7.5 * (conditional - unconditional),
    }[score]
    moved = Guidance(energy=AttentionEnergy(), update=Langevin(iterations=1, score=score)).guide(z, step)
    expected = langevin_by_hand(z, step, AttentionEnergy(), epsilon)
    torch.testing.assert_close(moved, expected, rtol=1e-9, atol=1e-12)


def test_v_prediction_gives_the_same_score() -> None:
    """A network that predicts v for the same ε must be guided the same: v = √ᾱ ε − √(1−ᾱ) x₀."""
    unet = tiny_unet("sd", DOUBLE)
    step, z = make_step(unet, [1], alpha_bar=0.35), latents([1], DOUBLE)
    root, noise = math.sqrt(0.35), math.sqrt(0.65)

    def as_v(latents_BCHW: Tensor) -> Tensor:
        epsilon = step.forward(latents_BCHW)
        return root * epsilon - noise * (latents_BCHW - noise * epsilon) / root

    epsilon = step.forward(z)
    torch.testing.assert_close(to_epsilon(as_v(z), z, 0.35, "v_prediction"), epsilon, rtol=1e-10, atol=1e-12)
    guidance = Guidance(energy=AttentionEnergy(), update=Langevin())
    wanted = guidance.guide(z, step)
    again = make_step(unet, [1], alpha_bar=0.35, prediction_type="v_prediction")
    torch.testing.assert_close(guidance.guide(z, replace(again, forward=as_v)), wanted, rtol=1e-9, atol=1e-11)
    with pytest.raises(GuidanceError, match="epsilon or v_prediction; got 'sample'"):
        guidance.guide(z, make_step(unet, [1], prediction_type="sample"))


def test_opposed_score_and_layout_do_not_explode() -> None:
    """Score along +∇E: the joint score vanishes, and with it ξ's denominator; the floor keeps the step bounded."""
    unet = tiny_unet("sd", DOUBLE)
    step, z = make_step(unet, [0]), latents([0], DOUBLE)
    _, gradient = energy_and_gradient(AttentionEnergy(), z, step)
    plain = step.forward

    def opposing(latents_BCHW: Tensor) -> Tensor:
        plain(latents_BCHW)  # the maps come from here
        return -gradient / gradient.norm() * 50

    guidance = Guidance(energy=AttentionEnergy(), update=Langevin(iterations=1))
    moved = guidance.guide(z, replace(step, forward=opposing))
    entry = guidance.log.steps[0]
    assert entry.cosine[0][0] == pytest.approx(-1.0)
    xi_bound = 2 * (0.06 * 32 * 1.2 / (50 / math.sqrt(0.7))) ** 2
    assert (moved - z).norm() < math.sqrt(2 * xi_bound) * 32 * 1.2


def test_no_gradient_no_layout_term() -> None:
    """A box as large as the canvas asks for nothing: the update is Langevin on the model's own score."""

    def nothing(maps: Any, grids: Any, tokens: Any, progress: Any) -> Tensor:
        return AttentionEnergy()(maps, grids, tokens, progress) * 0

    unet = tiny_unet("sd", DOUBLE)
    step, z = make_step(unet, [0]), latents([0], DOUBLE)
    moved = Guidance(energy=nothing, update=Langevin(iterations=1)).guide(z, step)
    score = -step.forward(z) / math.sqrt(0.7)
    noise = torch.randn((4, 16, 16), generator=torch.Generator().manual_seed(500)).to(z)
    xi = 2 * (0.06 * noise.norm() / score.norm()) ** 2
    torch.testing.assert_close(moved, z + xi * score + (2 * xi).sqrt() * noise, rtol=1e-9, atol=1e-12)


def test_langevin_log() -> None:
    unet = tiny_unet("sd")
    guidance = Guidance(energy=NonLocalAttentionEnergy(), update=Langevin(iterations=3))
    step, z = make_step(unet, [0, 1]), latents([0, 1])
    guidance.guide(z, step)
    (entry,) = guidance.log.steps
    for series in (entry.energy, entry.gradient_norm, entry.score_norm, entry.cosine, entry.moved):
        assert len(series) == 3 and all(len(row) == 2 and all(type(value) is float for value in row) for row in series)
    energy_B, gradient = energy_and_gradient(NonLocalAttentionEnergy(), z, step)
    score = -step.forward(z) / math.sqrt(0.7)
    cosine = torch.nn.functional.cosine_similarity(score.flatten(1), -gradient.flatten(1))
    assert entry.energy[0] == pytest.approx(energy_B.tolist(), rel=1e-4)
    assert entry.cosine[0] == pytest.approx(cosine.tolist(), abs=1e-4)
    assert len(entry.above_third) == 2


@pytest.mark.parametrize("update", [Backprop(), Langevin()])
def test_nan_is_named(update: Any) -> None:
    unet = tiny_unet("sd")
    name = guidance_layers(unet)[0]
    unet.get_submodule(name).to_q.weight[0, 0] = float("nan")
    guidance = Guidance(energy=MEAN, update=update)
    with pytest.raises(GuidanceError, match=rf"step 3, inner step 0: the attention of {name} is not finite"):
        guidance.guide(latents([0]), make_step(unet, [0], index=3))


def test_a_nan_prediction_is_named() -> None:
    unet = tiny_unet("sd")
    step = make_step(unet, [0])
    broken = replace(step, forward=lambda z: forward_of(unet, texts(unet, [0]))(z) * float("nan"))
    with pytest.raises(GuidanceError, match="the network's prediction is not finite"):
        Guidance(energy=MEAN, update=Langevin()).guide(latents([0]), broken)


def casting(step: Step) -> Step:
    """As the sampler does it: float32 latents outside, the network's own type inside."""
    inner, dtype = step.forward, next(step.unet.parameters()).dtype
    return replace(step, forward=lambda z: inner(z.to(dtype)).to(z.dtype))


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("update", [Backprop(iterations=1), Langevin(iterations=1)])
def test_half_networks_move_like_float32(dtype: torch.dtype, update: Any) -> None:
    """Compared without Langevin's noise, which is 16 times as long as the drift and the same in both."""
    exact, half = tiny_unet("sd"), tiny_unet("sd", dtype)
    moves = []
    for unet in (exact, half):
        z, step = latents([1]), casting(make_step(unet, [1]))
        noise = torch.randn(z.shape[1:], generator=torch.Generator().manual_seed(step.generators[0].initial_seed()))
        move = (Guidance(energy=MEAN, update=update).guide(z, step) - z)[0]
        moves.append(move - (move * noise).sum() / noise.square().sum() * noise)
    cosine = torch.nn.functional.cosine_similarity(moves[0].flatten(), moves[1].flatten(), dim=0)
    assert cosine > 0.97


def test_empty_layouts_in_a_batch_keep_latent_and_generator() -> None:
    unet = tiny_unet("sd")
    for update in (Backprop(), Langevin()):
        step = make_step(unet, [0, 1], [token_layout(), make_step(unet, [1]).tokens[0]])
        state, z = step.generators[0].get_state(), latents([0, 1])
        moved = Guidance(energy=MEAN, update=update).guide(z, step)
        assert torch.equal(moved[0], z[0]) and not torch.equal(moved[1], z[1])
        assert torch.equal(step.generators[0].get_state(), state)

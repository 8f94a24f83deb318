"""Guidance as a whole: every method by name, batches equal singles, scale 0 is nothing, windows open and close."""

from __future__ import annotations

from dataclasses import replace

import pytest
import torch

from scenograph.errors import GuidanceError
from scenograph.painting.guidance import (
    METHODS,
    AttentionEnergy,
    Backprop,
    Guidance,
    Langevin,
    NonLocalAttentionEnergy,
    Window,
    method,
)
from tests.painting.networks import latents, make_step, tiny_unet, token_layout

NAMES = [name for name in METHODS if name != "plain"]
SYNONYMS = ("aef+backprop", "naef+adaptive")
SEEDS = [0, 1, 2, 3]


def made(name: str, **options: object) -> Guidance:
    guidance = method(name, **options)
    assert guidance is not None
    return guidance


def run(guidance: Guidance, unet: torch.nn.Module, seeds: list[int]) -> torch.Tensor:
    """Two guided steps on one trajectory, generators and log carried along."""
    z, step = latents(seeds, torch.float64), make_step(unet, seeds)
    for index, alpha_bar in enumerate((0.1, 0.2)):
        z = guidance.guide(z, replace(step, index=index, alpha_bar=alpha_bar))
    return z


@pytest.mark.parametrize(
    ("name", "family"),
    [*((name, "sd") for name in NAMES if name not in SYNONYMS), ("winwinlay", "sdxl"), ("layout-control", "sdxl")],
)
def test_a_batch_of_four_layouts_equals_its_singles(name: str, family: str) -> None:
    unet = tiny_unet(family, torch.float64)
    together = run(made(name), unet, SEEDS)
    for seed in SEEDS:
        alone = run(made(name), unet, [seed])
        assert not torch.equal(alone[0], latents([seed], torch.float64)[0])
        torch.testing.assert_close(together[seed], alone[0], rtol=0, atol=1e-8)


@pytest.mark.parametrize("name", NAMES)
def test_scale_zero_is_plain(name: str) -> None:
    unet = tiny_unet("sd")
    step, z = make_step(unet, [0]), latents([0])
    state = step.generators[0].get_state()
    assert made(name, scale=0.0).guide(z, step) is z
    assert torch.equal(step.generators[0].get_state(), state)
    assert made(name).guide(z, step) is not z


@pytest.mark.parametrize("update", [Backprop(iterations=1, threshold=None), Langevin(iterations=1)])
def test_scale_pushes_harder(update: Backprop | Langevin) -> None:
    unet = tiny_unet("sd", torch.float64)
    z, moves = latents([0], torch.float64), []
    for scale in (1.0, 2.0):
        guidance = Guidance(energy=AttentionEnergy(), update=update, scale=scale)
        moves.append(guidance.guide(z, make_step(unet, [0])) - z)
    if isinstance(update, Backprop):
        torch.testing.assert_close(moves[1], 2 * moves[0])
    else:
        by_nu = Guidance(energy=AttentionEnergy(), update=replace(update, nu=2.0)).guide(z, make_step(unet, [0])) - z
        torch.testing.assert_close(moves[1], by_nu)
        assert not torch.allclose(moves[1], moves[0])


@pytest.mark.parametrize(
    ("update", "whole"),
    [(Backprop(threshold=None), 0), (Langevin(score="unconditional"), 0), (Langevin(), 4), (Langevin(score="cfg"), 4)],
)
def test_the_forward_ends_early_unless_its_prediction_is_needed(update: Backprop | Langevin, whole: int) -> None:
    unet = tiny_unet("sd")
    step, seen = make_step(unet, [0]), []
    step = replace(step, forward_uncond=lambda z: torch.ones_like(z))
    unet.conv_out.register_forward_hook(lambda *_: seen.append(torch.is_grad_enabled()))
    Guidance(energy=AttentionEnergy(), update=update).guide(latents([0]), step)
    assert seen == [False] * whole


def test_only_the_window_is_guided() -> None:
    unet, z = tiny_unet("sd"), latents([0])
    guidance = made("layout-control-reset", window=Window(steps=2, start=1))
    moved = [guidance.guide(z, make_step(unet, [0], index=index, total=5)) is not z for index in range(5)]
    assert moved == [False, True, True, False, False]
    assert [entry.index for entry in guidance.log.steps] == [1, 2]


@pytest.mark.parametrize(
    ("window", "total", "guided"),
    [
        (Window(), 50, range(10)),
        (Window(), 6, range(6)),
        (Window(fraction=0.2), 25, range(5)),
        (Window(fraction=0.01), 10, range(1)),
        (Window(steps=3, start=2), 4, range(2, 4)),
    ],
)
def test_windows(window: Window, total: int, guided: range) -> None:
    progress = [window.progress(index, total) for index in range(total)]
    assert [index for index, at in enumerate(progress) if at is not None] == list(guided)
    assert [at.guided_index for at in progress if at is not None] == list(range(len(guided)))
    assert all(at.guided_total == len(guided) for at in progress if at is not None)


def test_a_window_after_the_last_step_is_refused() -> None:
    with pytest.raises(GuidanceError, match="begins after 4 steps, and there are 4"):
        Window(start=4).progress(0, 4)


def test_layouts_without_instances_change_nothing() -> None:
    z = latents([0])
    assert made("winwinlay").guide(z, make_step(tiny_unet("sd"), [0], [token_layout()])) is z


def test_the_methods_are_the_papers_two_by_two() -> None:
    parts = {name: (type(made(name).energy), type(made(name).update)) for name in NAMES}
    assert parts["aef+backprop"] == parts["layout-control"] == (AttentionEnergy, Backprop)
    assert parts["naef+backprop"] == parts["naef+backprop-matched"] == (NonLocalAttentionEnergy, Backprop)
    assert parts["aef+adaptive"] == (AttentionEnergy, Langevin)
    assert parts["naef+adaptive"] == parts["winwinlay"] == (NonLocalAttentionEnergy, Langevin)
    assert method("plain") is None
    with pytest.raises(GuidanceError, match="unknown method 'winlay'; known: plain, winwinlay"):
        method("winlay")


def test_runs_beside_each_other_have_their_own_logs() -> None:
    guidance = made("winwinlay", layers=lambda name: name.startswith("mid_block"))
    other = guidance.fresh()
    other.guide(latents([0]), make_step(tiny_unet("sd"), [0]))
    assert len(other.log.steps) == 1 and not guidance.log.steps
    assert other == guidance


def test_a_step_that_does_not_fit() -> None:
    unet, guidance = tiny_unet("sd"), made("winwinlay")
    with pytest.raises(GuidanceError, match="2 latents, 1 token layouts"):
        guidance.guide(latents([0, 1]), make_step(unet, [0]))
    with pytest.raises(GuidanceError, match=r"latents of \(8, 16\) cells"):
        guidance.guide(latents([0], grid=(8, 16)), make_step(unet, [0]))
    with pytest.raises(GuidanceError, match="alpha_bar"):
        guidance.guide(latents([0]), make_step(unet, [0], alpha_bar=1.0))
    with pytest.raises(GuidanceError, match="fraction"):
        Window(fraction=1.5)
    with pytest.raises(GuidanceError, match="steps >= 1"):
        Window(steps=0)

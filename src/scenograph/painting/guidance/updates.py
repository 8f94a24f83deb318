"""How to push: move the latents down an energy.

`Backprop`  z ← z − η (1−ᾱ) ∇E                                            Chen et al. 2024; WinWinLay eq. 3
`Langevin`  z ← z + ξ ∇log p(z|m) + √(2ξ) ε_k,  k = 0 … O−1               WinWinLay eq. 14-16, 20
            ∇log p(z|m) = ∇log p(z) − ν ∇E,   ν = ‖∇log p(z)‖ / ‖∇E‖      Corollary 4.2
            ξ = 2 (r ‖ε_k‖ / ‖∇log p(z|m)‖)²,  ∇log p(z) = −ε_θ / √(1−ᾱ)

Everything is per sample: norms run over C, H, W, noise comes from the sample's own generator, a sample that has
nothing to do keeps its latent bit for bit. So a batch of different layouts equals its singles.

Not here: what the energy is, which steps are guided.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.painting.guidance.energies import Energy, check_range
from scenograph.painting.guidance.landscape import Landscape

NEGLIGIBLE = 1e-10
"""A gradient this short has no direction worth following: no layout term in that iteration."""


class Update(Protocol):
    """Latents in, moved latents out, walking on a landscape."""

    @property
    def needs_prediction(self) -> bool:
        """Whether the network's prediction of the same latent is needed (the forward then runs to its end)."""
        ...

    def __call__(self, latents_BCHW: Tensor, landscape: Landscape, *, scale: float) -> Tensor:
        """latents_BCHW (at least float32, VP form) → the same after this step's inner iterations."""
        ...


@dataclass(frozen=True, kw_only=True)
class Backprop:
    """Gradient descent with layout-control's stopping rule.

    Up to `iterations` per sampling step; after the iteration that found E < `threshold` a sample stops (that iteration
    still moves it, as in the public code). With `reset_stop` the sample starts afresh at the next sampling step;
    without, its guidance is over for the whole run, which is what the public layout-control code does.

    step_length_of: a norm-matched control. The latent moves along −∇E, but as far as η (1−ᾱ) ∇E' of this other
    energy would have moved it at the same latent, and E' decides when to stop. It tells a better direction from a
    longer step: ρ enlarges ∇E_naef, so naef + backprop also steps further.
    """

    eta: float = 30.0
    iterations: int = 5
    threshold: float | None = 0.2
    reset_stop: bool = True
    step_length_of: Energy | None = None

    def __post_init__(self) -> None:
        check_range("eta", self.eta, 0)
        check_range("iterations", self.iterations, 1)

    @property
    def needs_prediction(self) -> bool:
        """Never: the forward stops at the last map."""
        return False

    def __call__(self, latents_BCHW: Tensor, landscape: Landscape, *, scale: float) -> Tensor:
        active_B = landscape.guided_B
        rate = scale * self.eta * (1 - landscape.step.alpha_bar)
        for _ in range(self.iterations):
            point = landscape(latents_BCHW, reference=self.step_length_of)
            move_BCHW = -rate * point.gradient_BCHW
            judged_B = point.energy_B
            if point.reference_gradient_BCHW is not None and point.reference_energy_B is not None:
                length_B = rate * norms(point.reference_gradient_BCHW)
                move_BCHW = -along(_direction(point.gradient_BCHW), length_B)
                judged_B = point.reference_energy_B
            move_BCHW = move_BCHW * _column(active_B, move_BCHW)
            latents_BCHW = latents_BCHW + move_BCHW
            gradient_norm_B, moved_B = norms(point.gradient_BCHW), norms(move_BCHW)
            landscape.trace.add(active_B, energy=point.energy_B, gradient_norm=gradient_norm_B, moved=moved_B)
            if self.threshold is not None:
                active_B = active_B & (judged_B >= self.threshold)
                if not bool(active_B.any()):
                    break
        if not self.reset_stop:
            landscape.ended.update(torch.nonzero(~active_B).flatten().tolist())
        return latents_BCHW


@dataclass(frozen=True, kw_only=True)
class Langevin:
    """WinWinLay's adaptive update: Langevin dynamics between the model's own score and the layout.

    iterations: O. ratio: r, noise to signal. nu: multiplier of the adaptive ν (the paper's Figure 7).
    score: which ε gives ∇log p(z): the "conditional" prediction of the forward that gave the maps (one network pass
    per iteration), the "unconditional" one, or their "cfg" combination (one more pass each, without graph).

    When score and −∇E oppose, ‖∇log p(z|m)‖ goes to 0 and ξ to infinity; inside ξ it is floored at ‖∇log p(z)‖.
    """

    iterations: int = 4
    ratio: float = 0.06
    nu: float = 1.0
    score: Literal["conditional", "unconditional", "cfg"] = "conditional"

    def __post_init__(self) -> None:
        if self.score not in ("conditional", "unconditional", "cfg"):
            raise GuidanceError(f"score is one of conditional, unconditional, cfg; got {self.score!r}")
        check_range("iterations", self.iterations, 1)
        check_range("ratio", self.ratio, 0)
        check_range("nu", self.nu, 0)

    @property
    def needs_prediction(self) -> bool:
        """Unless the score comes from the unconditional pass alone."""
        return self.score != "unconditional"

    def __call__(self, latents_BCHW: Tensor, landscape: Landscape, *, scale: float) -> Tensor:
        guided_B = landscape.guided_B
        for _ in range(self.iterations):
            point = landscape(latents_BCHW)
            score_BCHW = self._score(latents_BCHW, point.prediction_BCHW, landscape)
            gradient_norm_B, score_norm_B = norms(point.gradient_BCHW), norms(score_BCHW)
            layout_BCHW = -along(_direction(point.gradient_BCHW), scale * self.nu * score_norm_B)
            drift_BCHW = score_BCHW + layout_BCHW
            noise_BCHW = draw_noise(latents_BCHW, landscape.step.generators, landscape.guided)
            length_B = torch.maximum(norms(drift_BCHW), score_norm_B).clamp_min(NEGLIGIBLE)
            xi_B = 2 * (self.ratio * norms(noise_BCHW) / length_B) ** 2
            move_BCHW = along(drift_BCHW, xi_B) + along(noise_BCHW, (2 * xi_B).sqrt())
            move_BCHW = move_BCHW * _column(guided_B, move_BCHW)
            latents_BCHW = latents_BCHW + move_BCHW
            landscape.trace.add(
                guided_B,
                energy=point.energy_B,
                gradient_norm=gradient_norm_B,
                moved=norms(move_BCHW),
                score_norm=score_norm_B,
                cosine=-(_direction(score_BCHW) * _direction(point.gradient_BCHW)).flatten(1).sum(1),
            )
        return latents_BCHW

    def _score(self, latents_BCHW: Tensor, conditional_BCHW: Tensor | None, landscape: Landscape) -> Tensor:
        """∇log p(z) = −ε / √(1−ᾱ)."""
        step, prediction_BCHW = landscape.step, conditional_BCHW
        if self.score != "conditional":
            prediction_BCHW = landscape.unconditional(latents_BCHW)
            if conditional_BCHW is not None:
                prediction_BCHW = prediction_BCHW + step.cfg * (conditional_BCHW - prediction_BCHW)
        assert prediction_BCHW is not None
        epsilon_BCHW = to_epsilon(prediction_BCHW, latents_BCHW, step.alpha_bar, step.prediction_type)
        return -epsilon_BCHW / math.sqrt(1 - step.alpha_bar)


def to_epsilon(prediction_BCHW: Tensor, latents_BCHW: Tensor, alpha_bar: float, prediction_type: str) -> Tensor:
    """A raw prediction → ε, for VP latents: v = √ᾱ ε − √(1−ᾱ) x₀ gives ε = √ᾱ v + √(1−ᾱ) z."""
    if prediction_type == "epsilon":
        return prediction_BCHW
    if prediction_type == "v_prediction":
        return math.sqrt(alpha_bar) * prediction_BCHW + math.sqrt(1 - alpha_bar) * latents_BCHW
    raise GuidanceError(f"prediction_type is epsilon or v_prediction; got {prediction_type!r}")


def norms(tensor_BCHW: Tensor) -> Tensor:
    """Euclidean norm of each sample → norm_B."""
    return torch.linalg.vector_norm(tensor_BCHW.flatten(1), dim=1)


def along(direction_BCHW: Tensor, length_B: Tensor) -> Tensor:
    """Each sample times its own number."""
    return direction_BCHW * _column(length_B, direction_BCHW)


def draw_noise(like_BCHW: Tensor, generators: tuple[torch.Generator, ...], wanted: tuple[bool, ...]) -> Tensor:
    """Standard normal noise, each sample from its own generator; zeros, and no draw, for unwanted samples."""
    noise_BCHW = torch.zeros_like(like_BCHW)
    for sample, generator in enumerate(generators):
        if wanted[sample]:
            drawn = torch.randn(like_BCHW.shape[1:], generator=generator, device=generator.device)
            noise_BCHW[sample] = drawn.to(like_BCHW)
    return noise_BCHW


def _direction(tensor_BCHW: Tensor) -> Tensor:
    """Unit vectors; zero where there is nothing to follow."""
    norm_B = norms(tensor_BCHW)
    return along(tensor_BCHW, torch.where(norm_B > NEGLIGIBLE, 1 / norm_B.clamp_min(NEGLIGIBLE), 0.0))


def _column(values_B: Tensor, like_BCHW: Tensor) -> Tensor:
    return values_B.to(like_BCHW.dtype).view(-1, *[1] * (like_BCHW.ndim - 1))

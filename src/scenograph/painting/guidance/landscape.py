"""The energy as a function of the latent: one forward, one backward, at one sampling step.

`Landscape` is what an update walks on. It runs the network through the attention capture, sums the per-sample energies
(samples do not see each other, so one backward gives every sample its own gradient), and remembers whether anything was
not finite. Gradients are at least float32; a float16 network back-propagates a scaled energy so that small gradients
survive.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.painting.attention import Recording
from scenograph.painting.guidance.energies import Energy, above_third
from scenograph.painting.guidance.log import Trace
from scenograph.painting.guidance.step import Step
from scenograph.painting.guidance.window import Progress

HALF_SCALE = 256.0
"""Energies are multiplied by this before a float16 backward, and gradients divided by it."""


@dataclass(frozen=True, kw_only=True)
class Point:
    """The landscape at one latent."""

    energy_B: Tensor
    gradient_BCHW: Tensor
    prediction_BCHW: Tensor | None
    """The network's raw conditional prediction, without graph; None when the pass was stopped at the last map."""
    reference_energy_B: Tensor | None = None
    reference_gradient_BCHW: Tensor | None = None


class Landscape:
    """E(z) of a batch at one step. `step`, `guided`, `ended` and `trace` are there for the update to use."""

    def __init__(
        self, recording: Recording, energy: Energy, step: Step, progress: Progress, *, like: Tensor, ended: set[int]
    ) -> None:
        self.step = step
        self.progress = progress
        self.trace = Trace()
        self.ended = ended
        self._recording = recording
        self._energy = energy
        self._dtype = like.dtype
        self._half = any(weight.dtype == torch.float16 for weight in step.unet.parameters())
        self._finite: list[tuple[list[str], Tensor]] = []
        self.guided = tuple(bool(layout.groups) and sample not in ended for sample, layout in enumerate(step.tokens))
        """False for samples without instances and for samples whose guidance has ended: they must not move."""
        self.guided_B = torch.tensor(self.guided, device=like.device)

    def __call__(self, latents_BCHW: Tensor, *, reference: Energy | None = None) -> Point:
        """Energy and ∇E at a latent; with `reference`, a second energy's too, from the same forward."""
        leaf_BCHW = latents_BCHW.detach().requires_grad_()
        prediction = self._recording.run(lambda z: self.step.forward(z.to(self._dtype)), leaf_BCHW)
        maps, grids = self._recording.maps, self._recording.grids
        if self.trace.above_third_B is None:
            with torch.no_grad():
                self.trace.above_third_B = above_third(maps, grids, self.step.tokens)
        with torch.enable_grad():
            energy_B = self._energy(maps, grids, self.step.tokens, self.progress)
            second_B = reference(maps, grids, self.step.tokens, self.progress) if reference is not None else None
        gradient_BCHW = self._gradient(energy_B, leaf_BCHW, keep=second_B is not None)
        second_BCHW = self._gradient(second_B, leaf_BCHW, keep=False) if second_B is not None else None
        gradients = (gradient_BCHW,) if second_BCHW is None else (gradient_BCHW, second_BCHW)
        self._remember_finite(maps, energy_B, gradients, prediction)
        self._recording.maps = {}  # drops the graph
        return Point(
            energy_B=energy_B.detach(),
            gradient_BCHW=gradient_BCHW,
            prediction_BCHW=None if prediction is None else prediction.detach().to(latents_BCHW.dtype),
            reference_energy_B=None if second_B is None else second_B.detach(),
            reference_gradient_BCHW=second_BCHW,
        )

    def unconditional(self, latents_BCHW: Tensor) -> Tensor:
        """The raw prediction with the negative prompt, without graph."""
        with torch.no_grad():
            return self.step.forward_uncond(latents_BCHW.to(self._dtype)).to(latents_BCHW.dtype)

    def check(self) -> None:
        """Raise GuidanceError naming step and layer if anything since the start was not finite. One device sync."""
        if not self._finite or bool(torch.cat([flags for _, flags in self._finite]).all()):
            return
        for iteration, (names, flags) in enumerate(self._finite):
            if not bool(flags.all()):
                culprit = names[flags.tolist().index(False)]
                raise GuidanceError(
                    f"step {self.step.index}, inner step {iteration}: {culprit} is not finite; "
                    "use float32 or bfloat16 weights, or a smaller step"
                )
        raise AssertionError("unreachable: one of the flags was False")

    def _gradient(self, energy_B: Tensor, leaf_BCHW: Tensor, *, keep: bool) -> Tensor:
        scale = HALF_SCALE if self._half else 1.0
        (gradient_BCHW,) = torch.autograd.grad(energy_B.sum() * scale, leaf_BCHW, retain_graph=keep)
        return gradient_BCHW / scale

    def _remember_finite(
        self, maps: dict[str, Tensor], energy_B: Tensor, gradients: tuple[Tensor, ...], prediction: Tensor | None
    ) -> None:
        named = {f"the attention of {layer}": maps_BHQT for layer, maps_BHQT in maps.items()}
        named["the energy"] = energy_B
        named[f"the gradient through {', '.join(maps)}"] = torch.stack(gradients)
        if prediction is not None:
            named["the network's prediction"] = prediction
        flags = torch.stack([value.detach().isfinite().all() for value in named.values()])
        self._finite.append((list(named), flags))

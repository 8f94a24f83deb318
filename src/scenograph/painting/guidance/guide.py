"""Guidance = Energy × Update × Window: where to push, how to push, in which sampling steps.

The sampler calls `Guidance.guide` once per sampling step with VP latents and a `Step`; a method of a paper is nothing
but a choice of the three parts (`winwinlay.py`, `layout_control.py`).
"""

from __future__ import annotations

from dataclasses import dataclass, field, replace

import torch
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.painting.attention import Layers, capture, guidance_layers
from scenograph.painting.guidance.energies import Energy
from scenograph.painting.guidance.landscape import Landscape
from scenograph.painting.guidance.log import GuidanceLog
from scenograph.painting.guidance.step import Step
from scenograph.painting.guidance.updates import Update
from scenograph.painting.guidance.window import Window


@dataclass(frozen=True, kw_only=True)
class Guidance:
    """One training-free layout guidance.

    layers: names of cross-attention layers or blocks, or a predicate over names; None is the middle block and the first
    up block with cross-attention. scale: multiplies the layout's push (Backprop: the step; Langevin: ν); 0 changes
    nothing at all, not even by noise. log: what the latest sampling run did. spelling: the name that `method` made it
    from.
    """

    energy: Energy
    update: Update
    window: Window = field(default_factory=Window)
    layers: Layers | None = None
    scale: float = 1.0
    log: GuidanceLog = field(default_factory=GuidanceLog, compare=False, repr=False)
    spelling: str = field(default="", compare=False, repr=False)

    def fresh(self) -> Guidance:
        """The same guidance with a log of its own, for a run beside others."""
        return replace(self, log=GuidanceLog())

    def guide(self, latents_BCHW: Tensor, step: Step) -> Tensor:
        """VP latents before a sampling step → guided VP latents of the same shape, dtype and device.

        The very same object comes back when there is nothing to do: window closed, scale 0, no instances, all samples
        ended. Raises GuidanceError when the step does not fit the latents or anything becomes non-finite.
        """
        _check(latents_BCHW, step)
        self.log.begin(step.index)
        progress = self.window.progress(step.index, step.total)
        wanted = any(layout.groups and i not in self.log.ended for i, layout in enumerate(step.tokens))
        if progress is None or self.scale == 0 or not wanted:
            return latents_BCHW
        layers = self.layers if self.layers is not None else guidance_layers(step.unet)
        half = latents_BCHW.dtype in (torch.float16, torch.bfloat16)
        moving_BCHW = latents_BCHW.detach().float() if half else latents_BCHW.detach()
        with capture(step.unet, layers, cut="detach" if self.update.needs_prediction else "stop") as recording:
            landscape = Landscape(recording, self.energy, step, progress, like=latents_BCHW, ended=self.log.ended)
            moving_BCHW = self.update(moving_BCHW, landscape, scale=self.scale)
        landscape.check()
        self.log.steps.append(landscape.trace.finish(step.index))
        return moving_BCHW.to(latents_BCHW.dtype)


def _check(latents_BCHW: Tensor, step: Step) -> None:
    batch = latents_BCHW.shape[0]
    if len(step.tokens) != batch or len(step.generators) != batch:
        raise GuidanceError(
            f"got {batch} latents, {len(step.tokens)} token layouts and {len(step.generators)} generators; "
            "every sample needs one of each"
        )
    if tuple(latents_BCHW.shape[-2:]) != tuple(step.grid):
        raise GuidanceError(f"got latents of {tuple(latents_BCHW.shape[-2:])} cells for a step of {tuple(step.grid)}")
    if not 0 <= step.alpha_bar < 1:
        raise GuidanceError(f"a guided step needs noise, 0 <= alpha_bar < 1; got {step.alpha_bar}")

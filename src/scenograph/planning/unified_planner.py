"""The unified model as a planner: Janus-driven prompt parsing (MIGLoRA, Stage I).

Draft generation writes a layout for the prompt, inside the layout's grammar. With `regenerate`, the model then paints
its draft, understands the painting with the draft as candidate, and goes on with what it saw: generate, understand,
regenerate.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path

import torch
from PIL.Image import Image

from scenograph.errors import PlanError
from scenograph.layout import Layout
from scenograph.planning.plan import Plan
from scenograph.unified.grammar import LayoutGrammar
from scenograph.unified.letterbox import Letterbox
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.pictures import image_tokens, pixels
from scenograph.unified.sampler import PAINTING, Sampling, sample_images, sample_text
from scenograph.unified.sequence import TokenSequence, paint_sequence, plan_sequence, understand_sequence

__all__ = ["UnifiedPlanner"]


@dataclass
class UnifiedPlanner:
    """Plans with a unified model.

    Attributes:
        model: embedded name, folder or hub id, or a loaded model.
        temperature: of drafts; 0 takes the likeliest tokens, and every seed gives the same layout. What is seen in a
            picture is always the likeliest.
        regenerate: how often the draft is painted, understood and replaced.
        max_instances: no layout gets more.
    """

    model: str | Path | Unified = "tiny-janus"
    temperature: float = 0.7
    regenerate: int = 0
    max_instances: int = 12
    device: torch.device | str | None = None
    _loaded: Unified | None = field(default=None, init=False, repr=False)

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        """The plan of one prompt, the same for the same seed.

        Raises:
            PlanError: the prompt is empty, or the seed cannot be one.
            CheckpointError: the model cannot be loaded.
        """
        if not prompt.strip():
            raise PlanError("the prompt is empty; expected a sentence such as 'three cats to the left of a dog'")
        if not 0 <= seed < 1 << 63:
            raise PlanError(f"seed {seed} is not usable; expected a whole number from 0 to 2^63 - 1")
        codec = self._unified.codec
        layout = self._written(plan_sequence(codec, prompt), prompt, seed, self.temperature)
        changes = []
        for number in range(self.regenerate):
            seen = self._understood(layout, prompt, seed + number)
            if seen.instances and seen != layout:
                changes.append(f"round {number + 1}: replaced the draft by what was seen in its painting")
                layout = seen
        return Plan(layout=Layout(caption=prompt, instances=layout.instances, size=size), changes=tuple(changes))

    def corrected(self, image: Image, candidate: Layout) -> Layout:
        """What the model sees in a picture when it is given an earlier layout; an empty one tells it nothing.

        Raises CheckpointError when the model cannot be loaded.
        """
        unified = self._unified
        box = Letterbox(image.size, unified.side)
        tokens = image_tokens(unified.model, pixels([image], unified.side).to(unified.model.device))[0].tolist()
        seen = self._written(self._asked(tokens, box.layout(candidate)), candidate.caption)
        return box.layout_back(seen)

    @property
    def _unified(self) -> Unified:
        if self._loaded is None:
            given = self.model
            self._loaded = given if isinstance(given, Unified) else load_unified(given, device=self.device)
        return self._loaded

    def _written(self, prefix: TokenSequence, prompt: str, seed: int = 0, temperature: float = 0.0) -> Layout:
        unified = self._unified
        grammar = LayoutGrammar(unified.codec, least=1, most=self.max_instances)
        sampling = Sampling(temperature=temperature)
        drawn = sample_text(unified.model, [prefix], grammars=[grammar], sampling=sampling, seeds=[seed])
        return unified.codec.read(drawn.tokens_BN[0].tolist(), caption=prompt)

    def _understood(self, layout: Layout, prompt: str, seed: int) -> Layout:
        """What the model sees in its own painting of a layout."""
        unified = self._unified
        prefix = paint_sequence(unified.codec, layout)
        painted = sample_images(
            unified.model,
            [prefix],
            nulls=[unified.null(prefix)],
            sampling=Sampling(guidance=PAINTING),
            seeds=[seed],
        )
        return self._written(self._asked(painted.tokens_BN[0].tolist(), layout), prompt)

    def _asked(self, tokens: list[int], given: Layout) -> TokenSequence:
        """An image and a candidate, in words or as masks."""
        codec, boxes = self._unified.codec, [one.box for one in given.instances]
        if self._unified.takes_masks:
            return understand_sequence(codec, tokens, given.instances, boxes=False, masks=boxes)
        return understand_sequence(codec, tokens, given.instances)

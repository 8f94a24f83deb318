"""Stage 2 of EchoGen, dual joint optimisation: the layout is recovered from the image that was drawn from it (eq. 2).

The image is drawn through straight-through Gumbel-softmax, so that the loss of grounding it reaches the painter. Half
of the rows ground the real picture through the understanding tower instead, which keeps that path alive; some parse
prompts.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenograph.training.loop import Plan, Run
from scenograph.training.paired import Paired, Stage
from scenograph.training.pmtp import candidate, shuffled
from scenograph.unified.batch import Batch, collate
from scenograph.unified.losses import Annealing, djo_loss
from scenograph.unified.model import Unified, freeze_encoders
from scenograph.unified.passes import tower_features
from scenograph.unified.sampler import Sampling, gumbel_noise, sample_images
from scenograph.unified.sequence import (
    TokenSequence,
    ground_sequence,
    paint_sequence,
    plan_sequence,
    understand_sequence,
)

__all__ = ["DjoRecipe", "train_djo"]


@dataclass(frozen=True, kw_only=True)
class DjoRecipe:
    """Plan of stage 2.

    Attributes:
        weight: λ.
        closed: False is the control: all the same, but that what is recovered teaches the painter nothing.
        start, least: τ₀ and τ_min.
        tower: share of rows that see the real picture through the understanding tower.
        plan_rows: share of rows that parse prompts instead of grounding, or that would be forgotten: half of them plan
            (caption → layout), half correct a candidate layout, looped as grounding is.
        drop: share of these two kinds that are painted without a condition, or guidance would forget its other side.
            The drawn image of a row that nothing was asked of could not be grounded.
        rollout: draw the image freely and replay the draw, instead of drawing every token after the real ones.
    """

    name: str
    plan: Plan
    weight: float = 1.0
    closed: bool = True
    start: float = 1.0
    least: float = 0.3
    tower: float = 0.5
    plan_rows: float = 0.1
    drop: float = 0.3
    rollout: bool = False


def train_djo(recipe: DjoRecipe, data: Paired, unified: Unified, folder: str | Path) -> Unified:
    """Trains (or goes on training) the model in place and returns it with averaged weights, frozen."""
    freeze_encoders(unified.model)
    run = Run(folder, recipe.plan, Stage(unified.model, _loss), what=recipe.name, idle=True)
    annealing = Annealing.over(recipe.plan.steps, start=recipe.start, least=recipe.least)
    places = unified.image_length

    def make(step: int, _: np.random.Generator) -> tuple[Batch, Batch, list[TokenSequence], Tensor, list[int]]:
        paint, ground, asked, seen, seeds, dropped = [], [], [], [], [], []
        for rng in run.sample_rngs(step):
            index = int(rng.integers(len(data.tokens_KN)))
            layout, tokens = data.layout(index, rng), data.tokens_KN[index].tolist()
            paint.append(paint_sequence(unified.codec, layout, tokens))
            asked.append(paint_sequence(unified.codec, layout))
            turn = rng.random()
            real, looped = turn < recipe.tower, turn >= recipe.tower + recipe.plan_rows
            if real or looped:
                ground.append(ground_sequence(unified.codec, places if real else tokens, shuffled(layout, rng)))
            elif rng.random() < 0.5:
                ground.append(plan_sequence(unified.codec, layout.caption, layout.instances))
            else:
                given, looped = candidate(layout, rng), True
                ground.append(understand_sequence(unified.codec, tokens, given, shuffled(layout, rng)))
            if real:
                seen.append(data.pixels(index))
            dropped.append(bool(not looped and rng.random() < recipe.drop))
            seeds.append(int(rng.integers(1 << 62)))
        pixels = torch.stack(seen) if seen else torch.zeros(0, 3, unified.side, unified.side)
        return collate(paint).dropped(torch.tensor(dropped)), collate(ground), asked, pixels, seeds

    unified.model.train()
    for step, (painting, grounding, asked, pixels, seeds) in run.batches(make):
        noise, drawn = _noise(recipe, unified, painting, asked, seeds)
        options = {"noise_BNV": noise, "drawn_BN": drawn, "tau": annealing.at(step)}
        options |= {"weight": recipe.weight, "closed": recipe.closed}
        loss, parts = run.model(painting, grounding, pixels, **options)
        run.update(loss, **parts)
    run.finish()
    unified.model.config.scenograph_stage = recipe.name
    unified.model.requires_grad_(False).eval()
    return unified


def _noise(
    recipe: DjoRecipe, unified: Unified, painting: Batch, asked: list[TokenSequence], seeds: list[int]
) -> tuple[Tensor, Tensor | None]:
    """The Gumbel noise of the draw, and with a rollout the tokens that it drew."""
    model = unified.model
    if recipe.rollout:
        model.eval()
        drawn = sample_images(model, asked, sampling=Sampling(), seeds=seeds, keep_noise=True)
        model.train()
        assert drawn.noise_BNV is not None
        return drawn.noise_BNV, drawn.tokens_BN
    device = painting.ids_BT.device
    shape = (len(seeds), unified.image_length, int(model.config.vq_config.num_embeddings))
    generators = [torch.Generator(device).manual_seed(seed) for seed in seeds]
    return gumbel_noise(shape, generators, torch.empty(0, device=device)), None


def _loss(
    model: Any, painting: Batch, grounding: Batch, pixels_BCHW: Tensor, **options: Any
) -> tuple[Tensor, dict[str, Tensor]]:
    # The tower is frozen; what aligns its features to the language model is not, and learns here.
    features = tower_features(model, pixels_BCHW) if len(pixels_BCHW) else None
    loss = djo_loss(model, painting, grounding, features_BND=features, **options)
    parts = {"image": loss.image, "expression": loss.layout.expression, "box": loss.layout.box}
    return loss.total, parts

"""Stage 3 of EchoGen, cycle RL: layouts alone; the model grounds what it painted, and its own echo is the reward.

For each layout a group of G images is drawn; every expression is grounded on each; the reward is how well the boxes
come back, and `grpo` moves the painter. The actions are image tokens alone: boxes are decoded greedily and without a
gradient. Painter and grounder share weights and can collude, so the reward is no measure: an outside detector's AP is.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from copy import deepcopy
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import torch
from torch import Tensor

from scenograph.judging.reward import Reward, layout_reward
from scenograph.layout import Box, Layout
from scenograph.training.grpo import GrpoLoss, group_advantages, grpo_loss
from scenograph.training.loop import Plan, Run
from scenograph.training.paired import Stage
from scenograph.unified.grammar import LayoutGrammar
from scenograph.unified.model import Unified, freeze_encoders
from scenograph.unified.sampler import Sampling, sample_images, sample_text
from scenograph.unified.scoring import image_log_probs
from scenograph.unified.sequence import TokenSequence, ground_sequence, paint_sequence

__all__ = ["CycleRecipe", "grounded_boxes", "train_cycle"]

Layouts = Callable[[np.random.Generator], Layout]


@dataclass(frozen=True, kw_only=True)
class CycleRecipe:
    """Plan of stage 3; `plan.batch` is layouts a rollout.

    Attributes:
        group: G, images of one layout.
        reward: of a box that came back: IoU, 1 − ℓ1, or their mean.
        scaled: divide advantages by their group's deviation (Shao et al.); the paper does not.
        updates: gradient steps on one rollout; with one the ratio is 1 and the clip does nothing.
        epsilon, beta: ε of the clip, β of the divergence from the reference.
        sampling: how images are drawn, and scored.
        frozen_grounder: ground with the model as it was when the stage began.
    """

    name: str
    plan: Plan
    group: int = 8
    reward: Reward = "iou"
    scaled: bool = False
    updates: int = 1
    epsilon: float = 0.2
    beta: float = 0.01
    sampling: Sampling = field(default_factory=Sampling)
    frozen_grounder: bool = False


def grounded_boxes(unified: Unified, tokens_BN: Tensor, phrases: Sequence[Sequence[str]]) -> list[list[Box]]:
    """Where the model sees each phrase in each image of tokens, greedily; one box for every phrase."""
    prefixes = [ground_sequence(unified.codec, row) for row in tokens_BN.tolist()]
    grammars = [LayoutGrammar(unified.codec, phrases=those) for those in phrases]
    drawn = sample_text(
        unified.model, prefixes, grammars=grammars, sampling=Sampling(temperature=0), seeds=[0] * len(prefixes)
    )
    return [[one.box for one in unified.codec.read(row).instances] for row in drawn.tokens_BN.tolist()]


def train_cycle(recipe: CycleRecipe, layouts: Layouts, unified: Unified, folder: str | Path) -> Unified:
    """Trains (or goes on training) the model in place and returns it with averaged weights, frozen.

    A run that was stopped between two updates of one rollout draws that rollout anew.

    Args:
        layouts: draws a layout with at least one instance.
    """
    reference = Unified(deepcopy(unified.model).requires_grad_(False).eval(), unified.codec)
    freeze_encoders(unified.model)
    run = Run(folder, recipe.plan, Stage(unified.model, _loss), what=recipe.name, idle=True)
    reference.model.to(run.device)
    rollout: _Rollout | None = None

    def make(step: int, _: np.random.Generator) -> tuple[list[Layout], list[int]]:
        drawn = [(layouts(rng), rng) for rng in run.sample_rngs(step - step % recipe.updates)]
        return [layout for layout, _ in drawn], [
            int(r.integers(1 << 62)) for _, r in drawn for _ in range(recipe.group)
        ]

    for step, (asked, seeds) in run.batches(make):
        if rollout is None or step % recipe.updates == 0:
            with run.accelerator.autocast():  # as the loss is computed, or the first ratio would not be 1
                rollout = _roll(recipe, unified, reference, asked, seeds)
        loss, parts = run.model(rollout, recipe)
        run.update(loss, reward=rollout.rewards_BG.mean(), **parts)
    run.finish()
    unified.model.config.scenograph_stage = recipe.name
    unified.model.requires_grad_(False).eval()
    return unified


@dataclass(frozen=True)
class _Rollout:
    """Images drawn from some layouts, G of each, with what they earned."""

    prefixes: list[TokenSequence]
    nulls: list[TokenSequence] | None
    tokens_BN: Tensor
    old_BN: Tensor | None
    """None for a single update, whose own log-probs they are."""
    reference_BN: Tensor
    rewards_BG: Tensor


@torch.no_grad()
def _roll(
    recipe: CycleRecipe, unified: Unified, reference: Unified, asked: Sequence[Layout], seeds: Sequence[int]
) -> _Rollout:
    unified.model.eval()
    repeated = [layout for layout in asked for _ in range(recipe.group)]
    prefixes = [paint_sequence(unified.codec, layout) for layout in repeated]
    nulls = [unified.null(one) for one in prefixes] if recipe.sampling.is_guided else None
    drawn = sample_images(unified.model, prefixes, nulls=nulls, sampling=recipe.sampling, seeds=seeds)
    sees = reference if recipe.frozen_grounder else unified
    found = grounded_boxes(sees, drawn.tokens_BN, [[i.caption for i in layout.instances] for layout in repeated])
    rewards = [layout_reward(layout, boxes, recipe.reward) for layout, boxes in zip(repeated, found, strict=True)]
    # Under the very pass that is differentiated later, so that the first ratio is 1 to the last bit.
    old = _logs(unified.model, prefixes, drawn.tokens_BN, nulls, recipe.sampling) if recipe.updates > 1 else None
    kept = _logs(reference.model, prefixes, drawn.tokens_BN, nulls, recipe.sampling)
    rewards_BG = torch.tensor(rewards, device=kept.device).view(len(asked), recipe.group)
    return _Rollout(prefixes, nulls, drawn.tokens_BN, old, kept, rewards_BG)


def _logs(
    model: Any, prefixes: list[TokenSequence], tokens_BN: Tensor, nulls: list[TokenSequence] | None, sampling: Sampling
) -> Tensor:
    return image_log_probs(model, prefixes, tokens_BN, nulls=nulls, sampling=sampling)[0]


def _loss(model: Any, rollout: _Rollout, recipe: CycleRecipe) -> tuple[Tensor, dict[str, Tensor]]:
    logs = _logs(model, rollout.prefixes, rollout.tokens_BN, rollout.nulls, recipe.sampling)
    advantages = group_advantages(rollout.rewards_BG, scaled=recipe.scaled).flatten()
    old = logs.detach() if rollout.old_BN is None else rollout.old_BN
    loss: GrpoLoss = grpo_loss(logs, old, rollout.reference_BN, advantages, epsilon=recipe.epsilon, beta=recipe.beta)
    return loss.total, {"kl": loss.kl, "clipped": loss.clipped, "ratio": loss.ratio}

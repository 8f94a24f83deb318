"""Stage 1 of EchoGen, parallel multi-task pre-training: painting and grounding in one sequence (eq. 1).

Each sample is [X_g, X_i, X_g] over shared image tokens, with the second X_g's instances in an order of their own. How
the leak through the image tokens is met is `sharing` (`unified.mask`); a share of samples is painted without a
condition, which trains classifier-free guidance. Some rows are prompt parsing instead (MIGLoRA, Stage I): caption →
layout, and image with a candidate layout → layout, so that one model plans, paints and grounds. A model that begins
with random weights must also learn to see through its tower, which stage 2 keeps alive in a pretrained one.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenograph.errors import TrainingError
from scenograph.layout import Box, Instance, Layout
from scenograph.training.loop import Plan, Run
from scenograph.training.paired import Paired, Stage
from scenograph.training.patches import CELL_ANSWERS, cell_loss
from scenograph.unified.batch import Batch, collate
from scenograph.unified.losses import pmtp_loss
from scenograph.unified.mask import Sharing
from scenograph.unified.model import Unified, freeze_encoders
from scenograph.unified.passes import tower_features
from scenograph.unified.sequence import (
    Kind,
    Role,
    TokenSequence,
    ground_sequence,
    plan_sequence,
    shared_sequence,
    understand_sequence,
)
from scenograph.unified.tokens import Codec

__all__ = ["PmtpRecipe", "candidate", "shuffled", "train_pmtp"]


@dataclass(frozen=True, kw_only=True)
class PmtpRecipe:
    """Plan of stage 1.

    Attributes:
        sharing: how painting and grounding share the image tokens; two passes ground best at equal images.
        drop: share of samples without the first X_g; see `Sharing`.
        parse: share of rows that are prompt parsing, half of them drafts, half understanding.
        tower: share of rows that ground the picture through the understanding tower.
        masks: understanding has the sub-captions in words and the candidate's boxes as masks over the image, as the
            paper does; the model must take them (`unified.candidate`). Otherwise the whole candidate is in words.
        cells: the weight of what the place of every image token shows (`patches`), told before the token is drawn, and
            told with that place itself where the answer reads the token: a model that begins with random weights learns
            late from its tokens alone what boxes have to do with them. No part of EchoGen's, and for data that knows.
        near: the weight of `near_loss`, for a codec with one token per coordinate.
    """

    name: str
    plan: Plan
    sharing: Sharing = Sharing.TWO_PASSES
    drop: float = 0.3
    parse: float = 0.2
    tower: float = 0.0
    masks: bool = False
    cells: float = 0.0
    near: float = 0.0


class _Telling(Stage):
    """The loss of a batch, and of what cells show, through layers that are thrown away."""

    def __init__(self, recipe: PmtpRecipe, unified: Unified) -> None:
        coordinates = unified.codec.coordinates
        super().__init__(unified.model, partial(_loss, recipe, coordinates.digits if recipe.near else ()))
        self.weight, self.places = recipe.cells, unified.image_length
        width = unified.model.config.text_config.hidden_size
        self.tells = nn.Linear(width, CELL_ANSWERS) if recipe.cells else None
        self.knows = nn.Linear(width, CELL_ANSWERS + self.places) if recipe.cells else None

    def forward(self, batch: Batch, answers_MK: Tensor, *given: Any) -> tuple[Tensor, dict[str, Tensor]]:
        """`answers_MK` are of the image tokens of every row that has any."""
        loss, parts, before_MD, at_MD = super().forward(batch, *given)
        if self.tells is None or self.knows is None or not len(answers_MK):
            return loss, parts
        painted_M = batch.roles_BT[batch.kinds_BT == Kind.VQ] == Role.IMAGE
        own_MK, place_MN = self.knows(at_MD).split([CELL_ANSWERS, self.places], dim=-1)
        places_M = torch.arange(self.places, device=at_MD.device).repeat(len(at_MD) // self.places)
        found = {"own": cell_loss(own_MK, answers_MK), "place": F.cross_entropy(place_MN, places_M)}
        if len(before_MD):
            found["cells"] = cell_loss(self.tells(before_MD), answers_MK[painted_M])
        return loss + self.weight * sum(found.values()), parts | found


def train_pmtp(recipe: PmtpRecipe, data: Paired, unified: Unified, folder: str | Path) -> Unified:
    """Trains (or goes on training) the model in place and returns it with averaged weights, frozen.

    Raises TrainingError for `cells` where the data does not know them, and for `near` with text coordinates.
    """
    if recipe.cells and data.cells is None:
        raise TrainingError("this data does not know what cells show; set cells to 0")
    if recipe.near and unified.codec.coordinates.places > 1:
        raise TrainingError("this model writes coordinates digit by digit, which are near to nothing; set near to 0")
    freeze_encoders(unified.model)
    run = Run(folder, recipe.plan, _Telling(recipe, unified), what=recipe.name, idle=True)

    def make(step: int, _: np.random.Generator) -> tuple[Batch, Tensor, Tensor, Tensor]:
        drawn = [_sample(recipe, data, unified.codec, rng) for rng in run.sample_rngs(step)]
        batch = collate([one.sequence for one in drawn], masks=recipe.masks)
        seen = [data.pixels(one.seen) for one in drawn if one.seen is not None]
        pixels = torch.stack(seen) if seen else torch.zeros(0, 3, unified.side, unified.side)
        shown = [one.shown for one in drawn if one.shown is not None]
        told = [data.cells(index) for index in shown] if data.cells and recipe.cells else []
        answers = torch.cat(told) if told else torch.zeros(0, 5, dtype=torch.long)
        return batch, answers, torch.tensor([one.dropped for one in drawn]), pixels

    unified.model.train()
    for _, (batch, answers_MK, dropped_B, pixels_BCHW) in run.batches(make):
        loss, parts = run.model(batch, answers_MK, dropped_B, pixels_BCHW)
        run.update(loss, **parts)
    run.finish()
    unified.model.config.scenograph_stage = recipe.name
    unified.model.requires_grad_(False).eval()
    return unified


def _loss(
    recipe: PmtpRecipe, locations: tuple[int, ...], model: Any, batch: Batch, dropped_B: Tensor, pixels_BCHW: Tensor
) -> tuple[Tensor, dict[str, Tensor], Tensor, Tensor]:
    features = tower_features(model, pixels_BCHW) if len(pixels_BCHW) else None
    options: dict[str, Any] = {"dropped_B": dropped_B, "features_BND": features, "locations": locations}
    loss = pmtp_loss(model, batch, recipe.sharing, **options)
    parts = {"image": loss.image, "expression": loss.layout.expression, "box": loss.layout.box}
    if locations:
        parts["near"] = loss.near
    return loss.total + recipe.near * loss.near, parts, loss.before_MD, loss.at_MD


class _Sample(NamedTuple):
    """A sequence, whether it counts as one without the first X_g, the picture that is seen through the tower, and the
    one whose tokens stand in it."""

    sequence: TokenSequence
    dropped: bool = True
    seen: int | None = None
    shown: int | None = None


def _sample(recipe: PmtpRecipe, data: Paired, codec: Codec, rng: np.random.Generator) -> _Sample:
    index = int(rng.integers(len(data.tokens_KN)))
    layout, tokens = data.layout(index, rng), data.tokens_KN[index].tolist()
    turn = rng.random()
    if turn < recipe.parse / 2:
        return _Sample(plan_sequence(codec, layout.caption, layout.instances))
    if turn < recipe.parse:
        given = candidate(layout, rng)
        if recipe.masks:
            said, boxes = given or layout.instances, [one.box for one in given]
            told = shuffled(layout, rng)
            asked = understand_sequence(codec, tokens, said, told, boxes=False, masks=boxes)
        else:
            asked = understand_sequence(codec, tokens, given, shuffled(layout, rng))
        return _Sample(asked, shown=index)
    if turn < recipe.parse + recipe.tower:
        return _Sample(ground_sequence(codec, len(tokens), shuffled(layout, rng)), seen=index)
    # Two passes ground without the first X_g anyway; a painting without condition is drawn for all alike.
    sequence = shared_sequence(codec, layout, tokens, shuffled(layout, rng))
    return _Sample(sequence, dropped=bool(rng.random() < recipe.drop), shown=index)


def shuffled(layout: Layout, rng: np.random.Generator) -> Sequence[Instance]:
    """The instances in any order, those of one caption as one reads: nobody could tell which of them comes next."""
    captions = [layout.instances[i].caption for i in rng.permutation(len(layout.instances))]
    reading = sorted(layout.instances, key=lambda one: (one.box.y0, one.box.x0))
    alike = {caption: iter([one for one in reading if one.caption == caption]) for caption in captions}
    return [next(alike[caption]) for caption in captions]


def candidate(layout: Layout, rng: np.random.Generator) -> Sequence[Instance]:
    """An earlier layout to be corrected: empty half of the time, else with jittered, swapped, misplaced, doubled or
    missing boxes."""
    if rng.random() < 0.5:
        return []
    kept = [replace(one, box=_jittered(one.box, rng)) for one in layout.instances if rng.random() < 0.9]
    if len(kept) > 1 and rng.random() < 0.3:
        first, second = rng.choice(len(kept), 2, replace=False)
        a, b = kept[first], kept[second]
        kept[first], kept[second] = replace(a, box=b.box), replace(b, box=a.box)
    if kept and rng.random() < 0.2:
        place = int(rng.integers(len(kept)))
        kept[place] = replace(kept[place], box=_elsewhere(kept[place].box, rng))
    if kept and rng.random() < 0.1:
        twice = kept[int(rng.integers(len(kept)))]
        kept.append(replace(twice, box=_elsewhere(twice.box, rng)))
    return kept


def _elsewhere(box: Box, rng: np.random.Generator) -> Box:
    """A box of the same size anywhere on the canvas."""
    x, y = rng.uniform(0, 1 - box.width), rng.uniform(0, 1 - box.height)
    return Box(float(x), float(y), min(float(x + box.width), 1.0), min(float(y + box.height), 1.0))


def _jittered(box: Box, rng: np.random.Generator) -> Box:
    """The box moved and scaled by up to a quarter of itself, cut at the canvas."""
    dx, dy, sx, sy = rng.uniform(-0.25, 0.25, 4)
    (x, y), w, h = box.center, box.width * (1 + sx), box.height * (1 + sy)
    x, y = x + dx * box.width, y + dy * box.height
    sides = np.clip([x - w / 2, y - h / 2, x + w / 2, y + h / 2], 0, 1).tolist()
    if sides[2] - sides[0] < 0.01 or sides[3] - sides[1] < 0.01:
        return box
    return Box(*sides)

"""The rows of GOAL's tables as trainings of equal length from one checkpoint, tiny-gligen.

    main      L_LDM alone (the control) and GOAL, several training seeds
    table 5   which losses: L_LDM, + MAAlign, + DSAlign, both
    table 6   DSAlign's halves: local, global, both
    table 7   where MAAlign reads: mid 8 x 8, down 16 x 16, up 16 x 16

L_LDM alone is in every table. Rows that are the same training, of any table, are trained once. A row's delta lies in
`RUN/goal/NAME/model`; GOAL with the first seed is tiny-goal itself, in `RUN/tiny-goal`, whoever trained it first.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch

from scenograph.datasets.drawn import DrawnScenes
from scenograph.errors import TrainingError
from scenograph.judging.clip import TransformersClip
from scenograph.models.gated import DELTA, save_delta
from scenograph.models.loading import load_pipeline
from scenograph.painting.attention import cross_attentions
from scenograph.recipes import world as recipes
from scenograph.recipes.fingerprints import check_base, networks
from scenograph.training.diffusion import cache_latents
from scenograph.training.goal import GoalRecipe, train_goal
from scenograph.training.grounded import of_scenes
from scenograph.training.loop import facts_of

__all__ = ["TABLES", "Row", "losses_of", "rows_of", "train_row"]

_LAYERS = {"mid 8 x 8": "mid_block.", "down 16 x 16": "down_blocks.0.", "up 16 x 16": "up_blocks.1."}
_GOAL = recipes.tiny_goal()
_LDM = replace(_GOAL, name="ldm-0", alpha=0.0, beta=0.0)
_MAA = replace(_GOAL, name="maa", alpha=0.0)
_DSA = replace(_GOAL, name="dsa", beta=0.0)


@dataclass(frozen=True, kw_only=True)
class Row:
    """A row of a table: what readers see, and the training behind it (None: tiny-gligen as it is).

    `family` is what several trainings of one recipe are called together.
    """

    name: str
    recipe: GoalRecipe | None
    family: str = ""


TABLES: Mapping[str, tuple[Row, ...]] = {
    "5": (
        Row(name="frozen", recipe=None),
        Row(name="L_LDM", recipe=_LDM),
        Row(name="+ MAAlign", recipe=_MAA),
        Row(name="+ DSAlign", recipe=_DSA),
        Row(name="GOAL", recipe=_GOAL),
    ),
    "6": (
        Row(name="L_LDM", recipe=_LDM),
        Row(name="local", recipe=replace(_GOAL, name="local", global_weight=0.0)),
        Row(name="global", recipe=replace(_GOAL, name="global", local_weight=0.0)),
        Row(name="local + global", recipe=_GOAL),
    ),
    "7": (
        Row(name="L_LDM", recipe=_LDM),
        *(
            Row(name=place, recipe=_GOAL if place.startswith("up") else replace(_GOAL, name=place.replace(" ", "")))
            for place in _LAYERS
        ),
    ),
}


def rows_of(table: str | None, seeds: int) -> list[Row]:
    """The rows of a table, or of the main one (None), with their seeds.

    Raises TrainingError for a table that there is not.
    """
    if table is not None:
        if table not in TABLES:
            raise TrainingError(f"no table {table!r}; expected one of: {', '.join(TABLES)}")
        return [*TABLES[table]]
    rows = [Row(name="tiny-gligen", recipe=None)]
    for seed in range(seeds):
        for family, first in (("ldm", _LDM), ("goal", _GOAL)):
            name = f"{family}-{seed}" if seed else first.name
            recipe = replace(first, name=name, plan=replace(first.plan, seed=first.plan.seed + seed))
            rows.append(Row(name=f"{family} {seed + 1}", recipe=recipe, family=family))
    return rows


def train_row(row: Row, drawn: DrawnScenes, run: Path) -> str | Path:
    """The checkpoint of a row: trained, or gone on with, where it is not there.

    Raises TrainingError when it was trained from another tiny-gligen than there is now.
    """
    if row.recipe is None:
        return "tiny-gligen"
    folder = run / row.recipe.name if row.recipe.name == _GOAL.name else run / "goal" / row.recipe.name
    out = folder / "model"
    _, pipeline = load_pipeline("tiny-gligen", device="cpu", dtype=torch.float32)
    check_base(folder, networks(pipeline), losses_of(row.recipe))
    steps, planned = facts_of(folder).get("steps", row.recipe.plan.steps), row.recipe.plan.steps
    if steps > planned:
        raise TrainingError(
            f"{folder} is trained for {steps} steps, and rows that are compared for {planned}; name another run"
        )
    if (out / DELTA).exists() and steps == planned:
        return out
    _, plain = load_pipeline("tiny-sd", device="cpu", dtype=torch.float32)
    latents = cache_latents(pipeline.vae, drawn, run / "latents.npy", count=recipes.tiny_sd().scenes)
    recipe = replace(row.recipe, layers=_layers(row.name, pipeline.unet))
    clip = TransformersClip.from_pretrained("clip-b") if recipe.alpha else None
    unet = train_goal(recipe, of_scenes(drawn, latents), pipeline, clip, folder)
    partial = out.with_name("model.partial")
    shutil.rmtree(partial, ignore_errors=True)
    save_delta(unet, plain.unet.state_dict(), partial, name="tiny-sd")
    shutil.rmtree(out, ignore_errors=True)
    partial.rename(out)
    return out


def losses_of(recipe: GoalRecipe) -> str:
    """What a training learns by: all of its recipe but the name and the plan."""
    told = {k: v for k, v in vars(recipe).items() if k not in ("name", "plan", "layers")}
    return ", ".join(f"{name} {value}" for name, value in told.items())


def _layers(name: str, unet: Any) -> tuple[str, ...] | None:
    """The layers of a row of table 7; None is GOAL's own."""
    prefix = _LAYERS.get(name)
    return None if prefix is None else tuple(n for n in cross_attentions(unet) if n.startswith(prefix))

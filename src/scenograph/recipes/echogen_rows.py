"""The rows of EchoGen's tables as trainings beside tiny-janus' own, which are `recipes.embedded`'s.

    main     stages 1, 1+2, 1+3 and 1+2+3 (Table 4): 1+3 is `janus-cycle`; `janus-unlooped` is stage 2 with its loop cut
             (no gradient through the drawn image), which tells what the loop gives from what more steps give
    layouts  stage 3 on real, random and planned layouts (Table 5): `janus-random`, `janus-planned`
    entry    stages 2 and 3 entered early (Figure 5): `entry-1000` is stage 1 after so few steps, `-djo` and `-cycle`
             are short stages after it; `entry-all-…` are those after the whole stage 1
    masks    `janus-masks` is stage 1 with candidate layouts as masks over the image, not in words (`unified.candidate`)
    leak     stage 1, short, for every way to share the image tokens and several seeds (`leak_training`)

`scenograph train NAME` trains one, and first what it goes on from; a row's model lies in `RUN/NAME/model`. Stages that
are compared have one plan and one seed.
"""

from __future__ import annotations

import math
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path

import torch

from scenograph.datasets.drawn import draw_scenes
from scenograph.errors import TrainingError
from scenograph.files import exchange
from scenograph.recipes import janus
from scenograph.recipes import world as recipes
from scenograph.recipes.embedded import ORDER, processes, train_embedded
from scenograph.training.cycle import CycleRecipe, train_cycle
from scenograph.training.djo import DjoRecipe, train_djo
from scenograph.training.loop import Plan, facts_of
from scenograph.training.paired import Paired, cache_tokens, paired_scenes
from scenograph.training.pmtp import PmtpRecipe, train_pmtp
from scenograph.unified.candidate import add_candidate_mask
from scenograph.unified.mask import Sharing
from scenograph.unified.model import Unified

__all__ = ["ABLATIONS", "TABLES", "Training", "leak_training", "train_ablation", "train_row"]

_SCENES = 100_000
_EARLY = (1000, 4000)
_SHORT = {"djo": 1000, "cycle": 300}


@dataclass(frozen=True, kw_only=True)
class Training:
    """A stage of the unified model: its recipe, the training it goes on from (None: fresh), stage 3's layouts."""

    recipe: PmtpRecipe | DjoRecipe | CycleRecipe
    after: str | None = None
    layouts: str = "real"


def _shortened(plan: Plan, steps: int) -> Plan:
    return replace(plan, steps=steps, warmup=min(plan.warmup, steps // 10))


def _ablations() -> dict[str, Training]:
    cycle, djo, pmtp = recipes.tiny_janus(), recipes.janus_djo(), recipes.janus_pmtp()
    unlooped = replace(djo, name="janus-unlooped", closed=False)
    found = {"janus-unlooped": Training(recipe=unlooped, after="janus-pmtp")}
    found["janus-cycle"] = Training(recipe=replace(cycle, name="janus-cycle"), after="janus-pmtp")
    for layouts in ("random", "planned"):
        name = f"janus-{layouts}"
        found[name] = Training(recipe=replace(cycle, name=name), after="janus-djo", layouts=layouts)
    found["janus-masks"] = Training(recipe=replace(pmtp, name="janus-masks", masks=True))
    for steps in (*_EARLY, None):
        start = "entry-all" if steps is None else f"entry-{steps}"
        if steps is not None:
            found[start] = Training(recipe=replace(pmtp, name=start, plan=_shortened(pmtp.plan, steps)))
        for stage, whole in (("djo", djo), ("cycle", cycle)):
            name, plan = f"{start}-{stage}", _shortened(whole.plan, _SHORT[stage])
            after = "janus-pmtp" if steps is None else start
            found[name] = Training(recipe=replace(whole, name=name, plan=plan), after=after)
    return found


ABLATIONS: Mapping[str, Training] = _ablations()
"""Name → training, besides those of `recipes.embedded.ORDER`."""


def _entry_rows() -> dict[str, str]:
    rows: dict[str, str] = {}
    for start, first in [*((f"entry-{n}", f"entry-{n}") for n in _EARLY), ("entry-all", "janus-pmtp")]:
        words = f"1 ({start.removeprefix('entry-')})"
        rows |= {words: first, f"{words}+2": f"{start}-djo", f"{words}+3": f"{start}-cycle"}
    return rows


TABLES: Mapping[str, Mapping[str, str]] = {
    "main": {
        "1": "janus-pmtp",
        "1+2 unlooped": "janus-unlooped",
        "1+2": "janus-djo",
        "1+3": "janus-cycle",
        "1+2+3": "tiny-janus",
    },
    "layouts": {"1+2": "janus-djo", "real": "tiny-janus", "random": "janus-random", "planned": "janus-planned"},
    "entry": _entry_rows(),
}
"""Table → row → the training whose model it shows."""


def leak_training(sharing: Sharing, seed: int, steps: int) -> Training:
    """Stage 1 alone, short, without prompt parsing; equal in everything but how the image tokens are shared.

    SHARED never drops the first X_g: dropping it in a share of the samples is what DROPPED is.
    """
    whole = recipes.janus_pmtp()
    plan = replace(_shortened(whole.plan, steps), seed=whole.plan.seed + seed)
    drop = 0.0 if sharing is Sharing.SHARED else PmtpRecipe.drop
    name = f"leak-{sharing.value}-{plan.steps}-{seed}"
    # Without what the whole training is told besides, so short a one grounds nothing.
    recipe = PmtpRecipe(name=name, plan=plan, sharing=sharing, drop=drop, parse=0.0, cells=whole.cells, near=whole.near)
    return Training(recipe=recipe)


def train_ablation(name: str, run: str | Path, *, steps: int | None = None, threads: int | None = None) -> Path:
    """The model of one of `ABLATIONS`: trained, or gone on with, where it is not there; also what it stands on.

    Raises TrainingError for names that are not in ABLATIONS.
    """
    if name not in ABLATIONS:
        raise TrainingError(f"no training {name!r}; expected one of: {', '.join(ABLATIONS)}")
    if threads:
        torch.set_num_threads(threads)
    one = ABLATIONS[name]
    if steps is not None:
        one = replace(one, recipe=replace(one.recipe, plan=_shortened(one.recipe.plan, steps)))
    return train_row(one, Path(run))


def train_row(one: Training, run: Path) -> Path:
    """The model of a training: trained, or gone on with, where it is not there or not at its plan's end."""
    folder, process = run / one.recipe.name, processes()
    out = folder / "model"
    facts = facts_of(folder)
    done = out.exists() and (not facts or facts["steps"] >= one.recipe.plan.steps)
    process.wait_for_everyone()  # the first to be done must not change what another one finds
    if done:
        return out
    unified = _begun(one, run)
    _trained(one, unified, run)
    if process.is_main_process:  # every process has made the same model
        partial = out.with_name("model.partial")
        shutil.rmtree(partial, ignore_errors=True)
        janus.save_janus(unified, partial)
        exchange(partial, out)
    process.wait_for_everyone()
    return out


def _begun(one: Training, run: Path) -> Unified:
    """The model that a training goes on from; an earlier entry than the paper advises is said once, as it begins."""
    if one.after is None:
        codec = janus.tiny_codec(_model("tokenizer", run))
        fresh = janus.fresh_janus(codec, _model("vq", run), seed=one.recipe.plan.seed)
        masks = isinstance(one.recipe, PmtpRecipe) and one.recipe.masks
        return Unified(add_candidate_mask(fresh.model), codec) if masks else fresh
    stage = "djo" if isinstance(one.recipe, DjoRecipe) else "cycle"
    return janus.go_on(_model(one.after, run), run / one.recipe.name, stage)


def _model(name: str, run: Path) -> Path:
    if name not in ORDER:
        return train_ablation(name, run)
    path = run / name / "model"
    if not path.exists() or facts_of(run / name).get("steps", math.inf) < _steps(name):
        train_embedded(name, run)
    return path


def _steps(name: str) -> float:
    """Of the whole training; parts without a plan, such as the tokenizer, have none."""
    recipe = getattr(recipes, name.replace("-", "_"), None)
    return recipe().plan.steps if name.startswith("janus-") and recipe else 0


def _trained(one: Training, unified: Unified, run: Path) -> None:
    folder = run / one.recipe.name
    if isinstance(one.recipe, CycleRecipe):
        train_cycle(one.recipe, janus.layouts_of(one.layouts), unified, folder)
    elif isinstance(one.recipe, DjoRecipe):
        train_djo(one.recipe, _paired(unified, run, one.recipe.plan), unified, folder)
    else:
        train_pmtp(one.recipe, _paired(unified, run, one.recipe.plan), unified, folder)


def _paired(unified: Unified, run: Path, plan: Plan) -> Paired:
    """What tiny-janus learns from."""
    with processes().main_process_first():
        drawn = draw_scenes(run / "scenes-train", _SCENES, seed=0, split="train")
        return paired_scenes(drawn, cache_tokens(unified, drawn, run / "tokens.npy", count=janus.pairs_of(plan)))

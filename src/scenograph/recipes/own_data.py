"""GLIGEN and GOAL on pictures of one's own: any SD checkpoint, any COCO-style data set.

    scenograph train gligen --data coco:boxes.json --images DIR --model CompVis/stable-diffusion-v1-4 --out my-gligen
    scenograph train goal --data coco:boxes.json --images DIR --model my-gligen --out my-goal

Latents are encoded once into the run folder, by the first process where there are several. The result is a diffusers
folder that any program of the field loads, or with --delta the trained tensors alone.
"""

from __future__ import annotations

import shutil
from dataclasses import replace
from datetime import timedelta
from pathlib import Path
from typing import Any, Literal

import torch
from accelerate import Accelerator
from accelerate.utils import InitProcessGroupKwargs

from scenograph.datasets.sources import read_training_data
from scenograph.errors import TrainingError
from scenograph.judging.clip import TransformersClip
from scenograph.models.families import default_size
from scenograph.models.gated import save_delta
from scenograph.models.loading import load_pipeline
from scenograph.painting.conditioning import check_length
from scenograph.recipes.fingerprints import check_base, networks
from scenograph.training.gligen import GligenRecipe, train_gligen
from scenograph.training.goal import GoalRecipe, train_goal
from scenograph.training.grounded import Grounded, encode_pictures
from scenograph.training.loop import Plan

__all__ = ["CLIP", "train_on_data"]

CLIP = "openai/clip-vit-large-patch14"  # the paper's


def train_on_data(
    kind: str,
    *,
    data: str,
    model: str,
    out: Path,
    run: Path,
    images: Path | None = None,
    captions: Path | None = None,
    delta: bool = False,
    resolution: int | None = None,
    fit: Literal["crop", "letterbox"] = "crop",
    mirror: bool = False,
    threads: int | None = None,
    steps: int = 14_000,
    batch: int = 4,
    lr: float = 5e-5,
    accumulate: int = 1,
    mixed_precision: str = "no",
    checkpointing: bool = False,
    seed: int = 0,
    alpha: float = 1e-2,
    beta: float = 1e-3,
    grounded: float = 1.0,
    clip: str = CLIP,
    hints: float = 0.0,
) -> Path:
    """Train `kind` ("gligen" or "goal") and return `out`, which appears only when it is whole.

    The defaults are GOAL's (AdamW, constant 5e-5, 14 000 steps); batches are larger than its 1. For gligen `hints` is
    the weight of `training.pointing`, with which new gates begin ajar; 0 as published. `grounded`: see `GoalRecipe`.

    Raises TrainingError, CheckpointError, DatasetError or PhraseError for what cannot be trained.
    """
    if threads:
        torch.set_num_threads(threads)
    plan = _plan(steps, batch, lr, accumulate, mixed_precision, seed)
    pipeline = _loaded(kind, model)
    size = _checked(resolution or min(default_size(pipeline)), pipeline)
    pictures = read_training_data(data, images=images, captions=captions, size=size, fit=fit, mirror=mirror)
    named = {one.caption for index in range(len(pictures)) for one in pictures.layout(index).instances}
    check_length(pipeline, sorted(named), "instance caption")  # now, not after hours
    base = {name: tensor.clone() for name, tensor in pipeline.unet.state_dict().items()} if delta else {}
    folder = run / kind
    losses = {"gligen": f"hints {hints}", "goal": f"alpha {alpha}, beta {beta}, grounded {grounded}, clip {clip}"}[kind]
    how = f"{losses}, lr {lr}, accumulate {accumulate}, {size} px, {fit}, mirror {mirror}"
    reader = TransformersClip.from_pretrained(clip) if kind == "goal" and alpha else None
    patience = InitProcessGroupKwargs(timeout=timedelta(days=2))  # one process encodes, for hours, and the others wait
    several = Accelerator(mixed_precision=mixed_precision, kwargs_handlers=[patience])
    with several.main_process_first():
        check_base(folder, networks(pipeline), how)
        encoded = encode_pictures(pictures, pipeline.vae.to(several.device), folder / "latents.npy")
    recipe: GligenRecipe | GoalRecipe = GligenRecipe(name=kind, plan=plan, ajar=hints > 0, hints=hints)
    if kind == "goal":
        recipe = GoalRecipe(name=kind, plan=plan, alpha=alpha, beta=beta, grounded=grounded)
    unet = _trained(replace(recipe, checkpointing=checkpointing), encoded, pipeline, folder, reader)
    if several.is_main_process:
        _save(pipeline, unet, base, out, model)
    several.wait_for_everyone()
    return out


def _loaded(kind: str, model: str) -> Any:
    """The pipeline of `model`. Raises TrainingError where `kind` cannot train it."""
    family, pipeline = load_pipeline(model, dtype=torch.float32, device="cpu")
    if family.name != "sd":
        raise TrainingError(
            f"{model!r} is of the family {family.name}; GLIGEN and GOAL train SD 1.x and 2.x checkpoints"
        )
    if not hasattr(pipeline.unet, "position_net") and kind == "goal":
        raise TrainingError(f"GOAL fine-tunes a GLIGEN, and {model!r} has no gated layers; train gligen first")
    return pipeline


def _checked(size: int, pipeline: Any) -> int:
    if size % pipeline.vae_scale_factor:
        raise TrainingError(f"the resolution is {size}; expected a multiple of {pipeline.vae_scale_factor} pixels")
    return size


def _trained(recipe: GligenRecipe | GoalRecipe, data: Grounded, pipeline: Any, folder: Path, reader: Any) -> Any:
    if isinstance(recipe, GligenRecipe):
        return train_gligen(recipe, data, pipeline, folder)
    return train_goal(recipe, data, pipeline, reader, folder)


def _plan(steps: int, batch: int, lr: float, accumulate: int, mixed_precision: str, seed: int) -> Plan:
    # A constant rate after the warm-up, as GOAL has it.
    plan = Plan(steps=steps, batch=batch, lr=lr, final_lr=1.0, warmup=min(500, steps // 10), ema=0.9999, seed=seed)
    return replace(plan, accumulate=accumulate, mixed_precision=mixed_precision)


def _save(pipeline: Any, unet: Any, base: dict[str, torch.Tensor], out: Path, model: str) -> None:
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    if base:
        # A folder by its whole path: the delta is loaded from elsewhere.
        save_delta(unet, base, partial, name=str(Path(model).resolve()) if Path(model).exists() else model)
    else:
        pipeline.register_modules(unet=unet)
        pipeline.to("cpu").save_pretrained(partial)
    partial.rename(out)

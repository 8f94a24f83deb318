"""Trains the embedded models, one name at a time, and publishes them: float16 weights with a measured card.

Every training lives in `RUN/NAME` (checkpoint, log, curve, finished `model`), trains the parts it stands on first where
they are missing, and goes on where it stopped. Publishing replaces a folder in `scenograph/weights` whole, never half.
Run: `scenograph train NAME --run RUN`, or `all`. Most of the time goes to tiny-sd; the cards say how long each took.
"""

from __future__ import annotations

import json
import os
import shutil
import warnings
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
import torch
from accelerate import PartialState
from accelerate.utils import parse_flag_from_env
from diffusers import AutoencoderKL
from transformers import CLIPTextModel, CLIPTokenizer, VisionTextDualEncoderModel

from scenograph.datasets.drawn import DrawnScenes, draw_scenes
from scenograph.errors import ScenographWarning, TrainingError
from scenograph.files import exchange, write_whole
from scenograph.grounding.detector import load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.clip import TransformersClip
from scenograph.models.cards import write_card
from scenograph.models.embedded import EMBEDDED, PREFERRED, WEIGHTS, embedded_path
from scenograph.models.gated import save_delta
from scenograph.models.loading import load_pipeline
from scenograph.painting.painter import Painter
from scenograph.recipes import janus
from scenograph.recipes import world as recipes
from scenograph.recipes.fingerprints import check_base, networks
from scenograph.recipes.goal_rows import losses_of
from scenograph.training import scores
from scenograph.training.clip import train_clip
from scenograph.training.cycle import train_cycle
from scenograph.training.detector import image_processor, train_detector
from scenograph.training.diffusion import cache_latents, stable_diffusion, train_diffusion
from scenograph.training.djo import train_djo
from scenograph.training.gligen import train_gligen
from scenograph.training.goal import train_goal
from scenograph.training.grounded import Grounded, of_scenes
from scenograph.training.loop import Plan, facts_of
from scenograph.training.paired import Paired, cache_tokens, paired_scenes
from scenograph.training.pmtp import train_pmtp
from scenograph.training.reader import reader_processor, train_reader
from scenograph.training.text import train_text_tower
from scenograph.training.tokenizer import train_tokenizer
from scenograph.training.vae import train_vae
from scenograph.training.vq import train_vq
from scenograph.unified.model import Unified, load_unified
from scenograph.world.scenes import Split

__all__ = ["ORDER", "processes", "publish", "train_embedded"]

# Painters and judge B see the training split only; judge A, which reports, sees everything.
_SCENES: dict[Split, tuple[int, int]] = {"train": (100_000, 0), "all": (40_000, 1)}


# Where parts that are no models of their own are published.
_PARTS = {
    "tokenizer": "tiny-sd/tokenizer",
    "text-b": "tiny-sd/text_encoder",
    "vae": "tiny-sd/vae",
    "tiny-sd": "tiny-sd/unet",
    "vq": "tiny-janus",
    "janus-pmtp": "tiny-janus",
    "janus-djo": "tiny-janus",
}

# The stages of tiny-janus. Users get the furthest that is trained.
_STAGES = ("janus-pmtp", "janus-djo", "tiny-janus")
# Trainings that begin anew, or with what they stand on, whatever is published.
_COLD = ("tokenizer", "text-a", "text-b", "tiny-goal")


def processes() -> PartialState:
    """The processes of this training, as `Accelerator` would make them: it alone reads this variable."""
    return PartialState(cpu=parse_flag_from_env("ACCELERATE_USE_CPU"))


@dataclass(frozen=True, kw_only=True)
class _Site:
    """Where a training takes place."""

    run: Path
    steps: int | None
    workers: int
    warm: bool

    def folder(self, name: str) -> Path:
        return self.run / name

    def model(self, name: str) -> Path:
        """The finished model of another training, trained now if it is not there."""
        path = self.run / name / "model"
        if path.exists() and not (name in _STAGES and _unfinished(replace(self, steps=None), name)):
            return path
        if name in _PARTS and (published := self.start(name)):
            return published
        train_embedded(name, self.run, warm=self.warm)
        return path

    def start(self, name: str) -> Path | None:
        """The published weights to begin with, when asked for and there; of tiny-janus' stages the package has one."""
        path = WEIGHTS / (_PARTS.get(name) or EMBEDDED[name])
        return path if self.warm and path.exists() and (name not in _STAGES or _is_shipped(name)) else None

    def drawn(self, split: Split) -> DrawnScenes:
        count, seed = _SCENES[split]
        with processes().main_process_first():  # the other processes of a training find them drawn
            return draw_scenes(self.run / f"scenes-{split}", count, seed=seed, split=split, workers=self.workers)

    def latents(self, vae: AutoencoderKL, drawn: DrawnScenes) -> np.ndarray:
        """What the diffusion models learn from."""
        count = self.recipe("tiny-sd").scenes
        with processes().main_process_first():
            return cache_latents(vae, drawn, self.run / "latents.npy", count=count)

    def recipe(self, name: str) -> Any:
        """The recipe with the asked number of steps."""
        recipe = getattr(recipes, name.replace("-", "_"))()
        return recipe if self.steps is None else replace(recipe, plan=replace(recipe.plan, steps=self.steps))

    def tokenizer(self) -> CLIPTokenizer:
        return CLIPTokenizer.from_pretrained(self.model("tokenizer"))


def _tokenizer(site: _Site, name: str, out: Path) -> None:
    train_tokenizer().save_pretrained(out)


def _text(site: _Site, name: str, out: Path) -> None:
    train_text_tower(site.recipe(name), site.tokenizer(), site.folder(name)).save_pretrained(out)


def _vae(site: _Site, name: str, out: Path) -> None:
    train_vae(site.recipe(name), site.drawn("train"), site.folder(name), start=site.start(name)).save_pretrained(out)


def _clip(site: _Site, name: str, out: Path) -> None:
    recipe, tokenizer = site.recipe(name), site.tokenizer()
    where, drawn, start = site.folder(name), site.drawn(_split(name)), site.start(name)
    if start and not (site.folder(recipe.text) / "model").exists():
        tower = VisionTextDualEncoderModel.from_pretrained(start).text_model  # the only place where text-a is published
    else:
        tower = CLIPTextModel.from_pretrained(site.model(recipe.text))
    train_clip(recipe, drawn, tokenizer, tower, where, start=start).save_pretrained(out)
    tokenizer.save_pretrained(out)


def _detector(site: _Site, name: str, out: Path) -> None:
    where, drawn = site.folder(name), site.drawn(_split(name))
    train_detector(site.recipe(name), drawn, where, start=site.start(name)).save_pretrained(out)
    image_processor().save_pretrained(out)


def _reader(site: _Site, name: str, out: Path) -> None:
    where, drawn = site.folder(name), site.drawn(_split(name))
    train_reader(site.recipe(name), drawn, where, start=site.start(name)).save_pretrained(out)
    reader_processor().save_pretrained(out)


def _painter(site: _Site, name: str, out: Path) -> None:
    drawn, tokenizer = site.drawn("train"), site.tokenizer()
    vae = AutoencoderKL.from_pretrained(site.model("vae")).eval()
    tower = CLIPTextModel.from_pretrained(site.model("text-b"))
    recipe, where, start = site.recipe(name), site.folder(name), site.start(name)
    latents = site.latents(vae, drawn)
    unet = train_diffusion(recipe, drawn, latents, tokenizer, tower, where, start=start)
    stable_diffusion(unet, vae, tokenizer, tower).save_pretrained(out)


def _grounded(site: _Site, base: str, name: str) -> tuple[Any, Grounded]:
    """The pipeline of a published model, and drawn scenes with the latents that tiny-sd learnt from."""
    _, pipeline = load_pipeline(base, device="cpu", dtype=torch.float32)
    check_base(site.folder(name), networks(pipeline), losses_of(site.recipe(name)) if name == "tiny-goal" else "")
    drawn = site.drawn("train")
    return pipeline, of_scenes(drawn, site.latents(pipeline.vae, drawn))


def _gligen(site: _Site, name: str, out: Path) -> None:
    pipeline, data = _grounded(site, "tiny-sd", name)
    base = {key: tensor.clone() for key, tensor in pipeline.unet.state_dict().items()}
    if site.start(name):
        _, pipeline = load_pipeline(name, device="cpu", dtype=torch.float32)
    save_delta(train_gligen(site.recipe(name), data, pipeline, site.folder(name)), base, out, name="tiny-sd")


def _goal(site: _Site, name: str, out: Path) -> None:
    pipeline, data = _grounded(site, "tiny-gligen", name)
    _, plain = load_pipeline("tiny-sd", device="cpu", dtype=torch.float32)
    clip = TransformersClip.from_pretrained("clip-b")
    unet = train_goal(site.recipe(name), data, pipeline, clip, site.folder(name))
    save_delta(unet, plain.unet.state_dict(), out, name="tiny-sd")


def _vq(site: _Site, name: str, out: Path) -> None:
    codec = janus.tiny_codec(site.model("tokenizer"))
    recipe = site.recipe(name)
    if start := site.start(name):
        vq = load_unified(start, device="cpu").model.model.vqmodel
    else:
        vq = janus.fresh_vq(codec, seed=recipe.plan.seed)
    tower = VisionTextDualEncoderModel.from_pretrained(embedded_path("clip-b")).vision_model
    where, drawn = site.folder(name), site.drawn("train")
    vq = train_vq(recipe, vq, drawn, where, tower=tower, frozen=start is not None)
    vq.save_pretrained(out)
    # What its tokens lose no later stage can win back, so look before those are trained.
    found = scores.vq_scores(vq, load_detector("detector-a"))
    write_whole(site.folder(name) / "scores.json", json.dumps(found, indent=1) + "\n")


def _paired(site: _Site, unified: Unified, plan: Plan) -> Paired:
    drawn = site.drawn("train")
    with processes().main_process_first():
        tokens = cache_tokens(unified, drawn, site.run / "tokens.npy", count=janus.pairs_of(plan))
    return paired_scenes(drawn, tokens)


def _janus_pmtp(site: _Site, name: str, out: Path) -> None:
    recipe, start = site.recipe(name), site.start(name)
    if start:
        unified = load_unified(start, device="cpu")
    else:
        codec = janus.tiny_codec(site.model("tokenizer"))
        unified = janus.fresh_janus(codec, site.model("vq"), seed=recipe.plan.seed)
    janus.save_janus(train_pmtp(recipe, _paired(site, unified, recipe.plan), unified, site.folder(name)), out)


def _goes_on(site: _Site, name: str, after: str, stage: str) -> Unified:
    start = site.start(name)
    return janus.go_on(start or site.model(after), site.folder(name), None if start else stage)


def _janus_djo(site: _Site, name: str, out: Path) -> None:
    recipe, unified = site.recipe(name), _goes_on(site, name, "janus-pmtp", "djo")
    janus.save_janus(train_djo(recipe, _paired(site, unified, recipe.plan), unified, site.folder(name)), out)


def _janus(site: _Site, name: str, out: Path) -> None:
    unified = _goes_on(site, name, "janus-djo", "cycle")
    janus.save_janus(train_cycle(site.recipe(name), janus.layouts_of("real"), unified, site.folder(name)), out)


def _split(name: str) -> Split:
    return "all" if name.endswith("-a") else "train"


def _no_scores(path: Path) -> dict[str, float]:
    return {}


def _painter_scores(path: Path) -> dict[str, float]:
    judges = load_detector("detector-a"), AttributeReader.from_pretrained("reader-a")
    painter = Painter.from_pretrained(str(path))
    return {**scores.vae_scores(painter.pipeline.vae), **scores.painter_scores(painter, *judges)}


def _gligen_scores(path: Path) -> dict[str, float]:
    painter, detector = Painter.from_pretrained(str(path)), load_detector("detector-a")
    return {**_painter_scores(path), **scores.grounded_scores(painter, detector, **PREFERRED["tiny-gligen"])}


_JANUS = "One autoregressive model that plans, paints and grounds (EchoGen), in transformers' Janus format."

# In the order of training: name -> (story, scores, what the card says).
_STORIES: Mapping[str, tuple[Callable[[_Site, str, Path], None], Callable[[Path], dict[str, float]], str]] = {
    "tokenizer": (_tokenizer, _no_scores, "Byte-level BPE of the small world's captions, in CLIP's format."),
    "text-b": (_text, _no_scores, "Frozen CLIP text tower of the embedded painters."),
    "vae": (_vae, lambda p: scores.vae_scores(AutoencoderKL.from_pretrained(p)), "AutoencoderKL, f = 8."),
    "text-a": (_text, _no_scores, "Frozen CLIP text tower of judge A."),
    "reader-a": (
        _reader,
        lambda p: scores.reader_scores(AttributeReader.from_pretrained(p)),
        "Judge A's attribute reader: noun, colour, texture and shape of a cut-out box. Reports only.",
    ),
    "detector-a": (
        _detector,
        lambda p: scores.detector_scores(load_detector(p)),
        "Judge A's detector: RT-DETR over the nouns of the small world. Reports only; never selects or trains.",
    ),
    "clip-a": (
        _clip,
        lambda p: scores.clip_scores(TransformersClip.from_pretrained(p)),
        "CLIP of judge A: SigLIP image tower and CLIP text tower as a VisionTextDualEncoderModel. Reports only.",
    ),
    "tiny-sd": (
        _painter,
        _painter_scores,
        "A Stable Diffusion 1.x folder for the small world, 128 px; stock `StableDiffusionPipeline` loads and runs it. "
        "Besides its pictures it was taught by what each patch shows (from step 12 000 on) and by which pixels each "
        "phrase means (token supervision, from step 24 000 on).",
    ),
    "clip-b": (
        _clip,
        lambda p: scores.clip_scores(TransformersClip.from_pretrained(p)),
        "CLIP of judge B, on tiny-sd's own text tower: may select, reward and train.",
    ),
    "reader-b": (
        _reader,
        lambda p: scores.reader_scores(AttributeReader.from_pretrained(p)),
        "Judge B's attribute reader: ConvNeXt V2. May select, reward and train.",
    ),
    "detector-b": (
        _detector,
        lambda p: scores.detector_scores(load_detector(p)),
        "Judge B's detector: D-FINE. May select, reward and train.",
    ),
    "tiny-gligen": (_gligen, _gligen_scores, "tiny-sd with GLIGEN's gated layers, as a delta: boxes are learned."),
    "tiny-goal": (_goal, _gligen_scores, "tiny-gligen aligned by region (GOAL), as a delta of tiny-sd."),
    "vq": (_vq, _no_scores, "Image tokens of tiny-janus."),
    "janus-pmtp": (_janus_pmtp, janus.stage_scores, f"{_JANUS} After stage 1."),
    "janus-djo": (_janus_djo, janus.stage_scores, f"{_JANUS} After stages 1 and 2."),
    "tiny-janus": (_janus, janus.stage_scores, f"{_JANUS} After all three stages."),
}
ORDER = tuple(_STORIES)


def train_embedded(
    name: str, run: str | Path, *, steps: int | None = None, threads: int | None = None, warm: bool = False
) -> Path:
    """Trains one embedded model in `run` (or goes on, or only publishes a finished one) and returns where it is.

    `warm` begins with the published weights where `run` holds no checkpoint: for going on after a run folder is lost.

    Raises TrainingError for names that are not in ORDER.
    """
    if name not in _STORIES:
        raise TrainingError(f"no training {name!r}; there are: {', '.join(ORDER)}")
    if threads:
        torch.set_num_threads(threads)
    site = _Site(run=Path(run), steps=steps, workers=threads or os.cpu_count() or 1, warm=warm)
    if warm and not facts_of(site.folder(name)) and (name in _COLD or not site.start(name)):
        warnings.warn(f"the package has no weights for {name!r} to begin with: it begins anew", ScenographWarning, 2)
    story, _, _ = _STORIES[name]
    path, process = site.folder(name) / "model", processes()
    wanted = not path.exists() or _unfinished(site, name)
    process.wait_for_everyone()  # the first to be done must not change what another one finds
    if wanted:
        fresh = path.with_name(f"model.partial-{process.process_index}")
        shutil.rmtree(fresh, ignore_errors=True)
        story(site, name, fresh)
        if process.is_main_process:
            exchange(fresh, path)
        shutil.rmtree(fresh, ignore_errors=True)  # every process has made the same model
        process.wait_for_everyone()
    later = _STAGES[_STAGES.index(name) + 1 :] if name in _STAGES else ()
    further = any(site.folder(one).exists() or _is_shipped(one) for one in later)
    if _shipped(name) not in EMBEDDED or not process.is_main_process or further:
        return path
    if steps is not None and steps != getattr(recipes, name.replace("-", "_"))().plan.steps:
        return path  # a try-out: only the recipe's own plan replaces the weights that users get
    return publish(name, Path(run))


def _unfinished(site: _Site, name: str) -> bool:
    facts = facts_of(site.folder(name))
    return bool(facts) and name != "tokenizer" and facts["steps"] < site.recipe(name).plan.steps


def _shipped(name: str) -> str:
    """What users call it: every stage of tiny-janus is shipped as tiny-janus, until a later one is trained."""
    return _STAGES[-1] if name in _STAGES else name


def _is_shipped(stage: str) -> bool:
    """Whether the package's tiny-janus is of this stage."""
    return janus.stage_of(WEIGHTS / EMBEDDED[_STAGES[-1]]) == stage


def publish(name: str, run: Path) -> Path:
    """Copies a finished model into the package in float16, scores that copy and writes its card."""
    _, score, what = _STORIES[name]
    source, target = run / name / "model", WEIGHTS / EMBEDDED[_shipped(name)]
    fresh = target.with_name(target.name + ".partial")
    shutil.rmtree(fresh, ignore_errors=True)
    shutil.copytree(source, fresh)
    for weights in fresh.rglob("*.safetensors"):
        _halve(weights)
    if (run / name / "loss.png").exists():
        shutil.copy(run / name / "loss.png", fresh / "loss.png")
    facts = {"recipe": f"`scenograph train {name}`", **facts_of(run / name)}
    write_card(fresh, name=_shipped(name), what=what, facts=facts, scores=score(fresh))
    exchange(fresh, target)
    return target


def _halve(path: Path) -> None:
    from safetensors.torch import load_file, save_file

    tensors = {k: v.half() if v.is_floating_point() else v for k, v in load_file(path).items()}
    save_file({k: v.contiguous() for k, v in tensors.items()}, path, metadata={"format": "pt"})

"""tiny-janus, stage by stage: image tokens, parallel pre-training, dual optimisation, cycle RL.

    vq → janus-pmtp (1) → janus-djo (1+2) → tiny-janus (1+2+3)

The model begins with random weights except for its eyes: the understanding tower is CLIP B's image tower, frozen, and
the VQ model is trained first and frozen. Before a stage begins its entry is measured: the paper's Figure 5 warns that
stage 2 below AP 20 and stage 3 below AP 40 hurt; here that is a share of what judge B's detector gets on drawn scenes.
"""

from __future__ import annotations

import json
import warnings
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate import PartialState
from PIL import Image
from transformers import CLIPTokenizer, JanusForConditionalGeneration, VisionTextDualEncoderModel
from transformers.models.janus.modeling_janus import JanusVQVAE

from scenograph.errors import CheckpointError, ScenographWarning
from scenograph.grounding.detector import load_detector
from scenograph.grounding.unified import UnifiedGrounder
from scenograph.judging.detection import Coco, canonical, mean_iou
from scenograph.layout import Box, Layout
from scenograph.models.embedded import embedded_path
from scenograph.painting.unified import UnifiedPainter
from scenograph.recipes.echogen_readings import grounding_tallies
from scenograph.recipes.fingerprints import check_base
from scenograph.training.loop import Plan, facts_of
from scenograph.training.scores import held_out, vq_scores
from scenograph.unified.model import Unified, copy_tower, load_unified, tiny_config
from scenograph.unified.tokens import Codec, add_tokens
from scenograph.world.captions import noun_of
from scenograph.world.scenes import Scene, sample_scene
from scenograph.world.split import layout_held_out
from scenograph.world.vocabulary import NOUNS

__all__ = [
    "LAYOUTS",
    "entry_share",
    "fresh_janus",
    "fresh_vq",
    "go_on",
    "layouts_of",
    "pairs_of",
    "save_janus",
    "stage_of",
    "stage_scores",
    "tiny_codec",
    "warn_early",
]

_LOCATIONS = 129  # 0 … 128: whole pixels of a scene
_ENTRY = {"djo": 0.2, "cycle": 0.4}  # shares of the AP of drawn scenes
_PAIRS = 48_000
LAYOUTS = ("real", "random", "planned")
"""Where stage 3's layouts come from: training scenes, random boxes for their captions, the grammar planner."""


def pairs_of(plan: Plan) -> int:
    """Drawn scenes for stages 1 and 2; a short one needs no more than it draws, as each has to be encoded first."""
    return min(_PAIRS, plan.steps * plan.batch)


def tiny_codec(tokenizer: str | Path) -> Codec:
    """The world's tokenizer with location and task tokens."""
    return Codec(add_tokens(CLIPTokenizer.from_pretrained(tokenizer), locations=_LOCATIONS))


def fresh_vq(codec: Codec, *, seed: int) -> Any:
    """A random VQ model of tiny-janus' size."""
    torch.manual_seed(seed)
    return JanusVQVAE(tiny_config(codec).vq_config)


def fresh_janus(codec: Codec, vq: str | Path, *, seed: int) -> Unified:
    """tiny-janus before stage 1. Raises CheckpointError while CLIP B is not trained."""
    torch.manual_seed(seed)
    model = JanusForConditionalGeneration(tiny_config(codec))
    model.model.vqmodel.load_state_dict(JanusVQVAE.from_pretrained(vq).state_dict())
    # Image tokens begin as what they stand for. Random ones are a hundredth of the words' size after two layers of
    # random weights, and say nothing about which look alike.
    codebook_VC = model.model.vqmodel.quantize.embedding.weight
    model.model.generation_embeddings.load_state_dict({"weight": F.normalize(codebook_VC, dim=-1)})
    # And the places of a coordinate as neighbours of each other; random ones would be strangers.
    _order_locations(model, codec)
    copy_tower(model, VisionTextDualEncoderModel.from_pretrained(embedded_path("clip-b")).vision_model)
    return Unified(model, codec)


@torch.no_grad()
def _order_locations(model: Any, codec: Codec) -> None:
    """Fourier features of k / bins, as large as the other words' random rows."""
    weight_VD, ids = model.get_input_embeddings().weight, list(codec.coordinates.digits)
    place_K1 = torch.arange(len(ids))[:, None] / len(ids)
    turns_KF = 2 * torch.pi * place_K1 * 2 ** torch.linspace(-1, 5, weight_VD.shape[1] // 2)
    features_KD = torch.cat([turns_KF.sin(), turns_KF.cos()], dim=1)
    weight_VD[ids] = features_KD / features_KD.std() * weight_VD.std()


def save_janus(unified: Unified, out: Path) -> None:
    """A folder that `load_unified` and transformers load."""
    unified.model.save_pretrained(out)
    unified.codec.tokenizer.save_pretrained(out)


def stage_of(folder: Path) -> str | None:
    """The training that a folder's model comes from; None where it does not say."""
    path = folder / "config.json"
    return json.loads(path.read_text(encoding="utf-8")).get("scenograph_stage") if path.is_file() else None


def entry_share(path: Path, *, count: int = 100) -> float | None:
    """AP of a stage's model over that of the drawn scenes, by judge B's detector; None while that is not trained."""
    try:
        detector = load_detector("detector-b")
    except CheckpointError:
        return None
    scenes, unified = held_out(count), load_unified(path)
    asked = canonical([scene.layout for scene in scenes], detector.labels)
    found = Coco(asked, detector.detect(_painted(unified, scenes), tuple(NOUNS))).scores["ap"]
    ceiling = Coco(asked, detector.detect([scene.draw() for scene in scenes], tuple(NOUNS))).scores["ap"]
    return found / ceiling if ceiling else 0.0


def stage_scores(path: Path, *, count: int = 200) -> dict[str, float]:
    """What a stage's card says, by judge A: what its image tokens allow, its painting, and its grounding alone."""
    unified, detector = load_unified(path), load_detector("detector-a")
    scenes = held_out(count)
    asked = canonical([scene.layout for scene in scenes], detector.labels)
    seen = detector.detect(_painted(unified, scenes), tuple(NOUNS))
    coco, once = Coco(asked, seen).scores, np.ones((1, count), np.int64)
    grounded = grounding_tallies(scenes, [scene.draw() for scene in scenes], UnifiedGrounder(unified))
    return {
        **vq_scores(unified.model.model.vqmodel, detector, count=count),
        "layouts": float(count),
        "painted: AP": coco["ap"],
        "painted: AP50": coco["ap50"],
        "painted: mean IoU": mean_iou(asked, seen),
        "grounded: Acc@0.5 (%)": float(grounded["acc50"].estimate(once).value),
        "grounded: mAcc (%)": float(grounded["macc"].estimate(once).value),
    }


def _painted(unified: Unified, scenes: Sequence[Scene]) -> list[Image.Image]:
    layouts, seeds = [scene.layout for scene in scenes], list(range(len(scenes)))
    painter = UnifiedPainter(unified, name="tiny-janus")  # as users paint
    return [one.image for one in painter.paint(layouts, seeds=seeds, progress=False)]


def go_on(before: Path, folder: Path, stage: str | None) -> Unified:
    """The model of `before`, for the training in `folder` to begin with; a stage that begins too early is said once.

    Raises TrainingError when what is in the folder began with another model.
    """
    unified = load_unified(before, device="cpu")
    check_base(folder, [unified.model])
    if stage and PartialState().is_main_process and not facts_of(folder):
        warn_early(stage, entry_share(before))
    return unified


def warn_early(stage: str, share: float | None) -> None:
    """Say it clearly when a stage begins too early, or when that could not be measured."""
    least = _ENTRY[stage]
    if share is None:
        told = f"stage {stage}: judge B's detector is not trained, so the entry is not measured"
        warnings.warn(told, ScenographWarning, stacklevel=2)
    elif share < least:
        warnings.warn(
            f"stage {stage} begins at {100 * share:.0f} % of the AP of drawn scenes, below {100 * least:.0f} %: the "
            "paper's Figure 5 finds that it then hurts; train the stage before it longer",
            ScenographWarning,
            stacklevel=2,
        )


def layouts_of(kind: str) -> Callable[[np.random.Generator], Layout]:
    """Layouts for stage 3, each from its generator alone, none of the test split's.

    Raises CheckpointError for an unknown kind.
    """
    if kind not in LAYOUTS:
        raise CheckpointError(f"no layouts {kind!r} for stage 3; expected one of: {', '.join(LAYOUTS)}")

    def scene(rng: np.random.Generator) -> Scene:
        return sample_scene(Random(int(rng.integers(1 << 62))), split="train")

    def real(rng: np.random.Generator) -> Layout:
        return scene(rng).layout

    def random(rng: np.random.Generator) -> Layout:
        layout = scene(rng).layout
        while True:
            moved = tuple(replace(one, box=_random_box(rng)) for one in layout.instances)
            if _is_seen(found := replace(layout, instances=moved)):
                return found

    def planned(rng: np.random.Generator) -> Layout:
        from scenograph.planning.grammar_planner import GrammarPlanner

        while True:
            layout = GrammarPlanner().plan(scene(rng).layout.caption, seed=int(rng.integers(1 << 31))).layout
            if layout.instances and _is_seen(layout):
                return layout

    return {"real": real, "random": random, "planned": planned}[kind]


def _is_seen(layout: Layout) -> bool:
    """Whether training may show this arrangement."""
    nouns = (noun_of(one.label) or noun_of(one.caption) or one.label for one in layout.instances)
    return not layout_held_out(zip(nouns, (one.box for one in layout.instances), strict=True))


def _random_box(rng: np.random.Generator, least: float = 0.15) -> Box:
    w, h = rng.uniform(least, 0.6, 2)
    x, y = rng.uniform(0, 1 - w), rng.uniform(0, 1 - h)
    return Box(float(x), float(y), float(x + w), float(y + h))

"""The text towers: CLIP's text model, taught on captions alone what every word of the world means, then frozen.

A frozen tower can only give a UNet what its tokens know, so they are made to know everything a caption says: the
last token of each phrase must tell noun, colour, texture, shape, number and the relation in which it stands; the end
of the caption must tell all of that again for every noun, and the background. Learned without pictures this takes
minutes instead of hours; the image tower then learns contrastively against it (`training.clip`; locked tuning as in
Zhai et al. 2022, with the other side locked).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scenograph.training.loop import Plan, Run
from scenograph.training.tables import ASKED, Tables, stated_by, table_answers, table_loss
from scenograph.training.tokenizer import MAX_TOKENS
from scenograph.world.captions import RELATIONS, Described, background_of
from scenograph.world.scenes import Scene, Split, scene_at
from scenograph.world.vocabulary import NOUNS

__all__ = ["TextRecipe", "build_text_tower", "train_text_tower"]

# What the end of a phrase tells; answer 0 is "not stated".
_PHRASE = {"noun": len(NOUNS) + 1, **ASKED, "relation": len(RELATIONS) + 1, "partner": len(NOUNS) + 1}


@dataclass(frozen=True, kw_only=True)
class TextRecipe:
    """Sizes and plan of one text tower."""

    name: str
    plan: Plan
    width: int = 128
    layers: int = 4
    split: Split = "train"


def build_text_tower(recipe: TextRecipe, tokenizer: CLIPTokenizer) -> CLIPTextModel:
    """Random weights of CLIP's own class, about 0.9 M parameters."""
    torch.manual_seed(recipe.plan.seed)
    config = CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=recipe.width,
        intermediate_size=4 * recipe.width,
        num_hidden_layers=recipe.layers,
        num_attention_heads=recipe.width // 32,
        max_position_embeddings=MAX_TOKENS,
        projection_dim=recipe.width,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )
    return CLIPTextModel(config)


class _Pupil(nn.Module):
    """The tower with the heads that exist only while it learns."""

    def __init__(self, tower: CLIPTextModel, width: int) -> None:
        super().__init__()
        self.tower = tower
        self.phrase = nn.ModuleDict({k: nn.Linear(width, n) for k, n in _PHRASE.items()})
        self.tables = Tables(width)

    def forward(self, ids_BT: Tensor, mask_BT: Tensor) -> tuple[Tensor, Tensor]:
        seen = self.tower(input_ids=ids_BT, attention_mask=mask_BT)
        return seen.last_hidden_state, seen.pooler_output


def _phrases(described: Described) -> dict[str, dict[str, int]]:
    """Phrase -> what its last token must tell; the later phrase of a related pair also tells relation and partner."""
    told = {
        p: {**stated_by(p, described.phrases.count(p)), "relation": 0, "partner": 0}
        for p in dict.fromkeys(described.phrases)
    }
    if described.relation:
        subject, name, target = described.relation
        late = told[described.phrases[target]]
        late["relation"] = 1 + list(RELATIONS).index(name)
        late["partner"] = told[described.phrases[subject]]["noun"]
    return told


def _ends(offsets_BT2: np.ndarray, told: Sequence[Described]) -> tuple[Tensor, dict[str, Tensor]]:
    at, rows = [], []
    for row, described in enumerate(told):
        for phrase, facts in _phrases(described).items():
            end = described.caption.find(phrase) + len(phrase)
            hits = np.flatnonzero((offsets_BT2[row, :, 0] < end) & (offsets_BT2[row, :, 1] >= end))
            if len(hits):
                at.append((row, int(hits[0])))
                rows.append(facts)
    return torch.tensor(at), {k: torch.tensor([r[k] for r in rows]) for k in _PHRASE}


def _loss(pupil: _Pupil, tokenizer: CLIPTokenizer, told: Sequence[Described], model: nn.Module) -> dict[str, Tensor]:
    enc = tokenizer(
        [d.caption for d in told], padding=True, truncation=True, return_offsets_mapping=True, return_tensors="pt"
    )
    hidden, pooled = model(enc["input_ids"], enc["attention_mask"])
    at, facts = _ends(enc["offset_mapping"].numpy(), told)
    ends = hidden[at[:, 0], at[:, 1]]
    phrase = torch.stack([F.cross_entropy(pupil.phrase[k](ends), v) for k, v in facts.items()]).sum()
    said = [(list(_phrases(d).values()), background_of(d.caption)) for d in told]
    caption = table_loss(pupil.tables(pooled), table_answers(said))
    return {"phrase": phrase, "caption": caption["things"], "background": caption["background"]}


def _scenes(recipe: TextRecipe, rng: np.random.Generator) -> list[Scene]:
    first = Random(int(rng.integers(1 << 62))).randrange(1 << 40)
    return [scene_at(first + i, seed=recipe.plan.seed, split=recipe.split) for i in range(recipe.plan.batch)]


def train_text_tower(recipe: TextRecipe, tokenizer: CLIPTokenizer, folder: str | Path) -> CLIPTextModel:
    """Trains (or goes on training) in `folder` and returns the tower with averaged weights."""
    pupil = _Pupil(build_text_tower(recipe, tokenizer), recipe.width)
    run = Run(folder, recipe.plan, pupil, what=recipe.name)

    def make(step: int, rng: np.random.Generator) -> list[Described]:
        return [s.described for s in _scenes(recipe, rng)]

    for _, told in run.batches(make):
        parts = _loss(pupil, tokenizer, told, run.model)
        run.update(torch.stack(list(parts.values())).sum(), **parts)
    run.finish()
    return pupil.tower.eval()

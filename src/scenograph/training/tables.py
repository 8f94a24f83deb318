"""What a whole caption says, or a whole picture shows, as a loss for the one vector that stands for it; its layers are
thrown away after training.

For every noun: is it there, and in which colour, texture, shape and number? A vector from which linear layers read this
holds which attribute belongs to which noun, which the contrast of captions and pictures alone teaches last, if at all
("bags of words", Yuksekgonul et al. 2023).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping, Sequence
from typing import NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor, nn

from scenograph.world.captions import attributes_of
from scenograph.world.scenes import Scene
from scenograph.world.vocabulary import BACKGROUNDS, COLOURS, NOUNS, SHAPES, TEXTURES

__all__ = ["ASKED", "Answers", "Tables", "Telling", "seen_in", "stated_by", "table_answers", "table_loss"]

_MOST = 10
# Answer 0 is "not stated"; of textures it is the plain one, of which captions say nothing.
_NAMES = {"noun": tuple(NOUNS), "colour": tuple(COLOURS), "texture": TEXTURES[1:], "shape": SHAPES}
ASKED = {k: len(names) + 1 for k, names in _NAMES.items() if k != "noun"} | {"count": _MOST + 1}
"""What is asked of every noun that is there: the number of answers."""
_UNKNOWN = -1

Telling = tuple[Sequence[Mapping[str, int]], str | None]
"""Noun, colour, texture, shape and count of every kind of thing, as numbers of answers, and the background's name."""


class Answers(NamedTuple):
    """Of B tellings and N nouns: whether the noun is there, what it is like (-1: no single answer), the background."""

    present_BN: Tensor
    asked_BNK: Tensor
    background_B: Tensor


def stated_by(phrase: str, count: int) -> dict[str, int]:
    """What a phrase says of `count` things."""
    stated = attributes_of(phrase)
    facts = {k: 1 + names.index(stated[k]) if k in stated else 0 for k, names in _NAMES.items()}
    return {**facts, "count": min(count, _MOST)}


def seen_in(scene: Scene) -> Telling:
    """What a scene shows, said or not."""
    looks = [
        tuple(1 + names.index(look) if (look := getattr(o, k)) in names else 0 for k, names in _NAMES.items())
        for o in scene.objects
    ]
    kinds = [dict(zip(_NAMES, look, strict=True)) | {"count": min(n, _MOST)} for look, n in Counter(looks).items()]
    return kinds, scene.background


def table_answers(told: Sequence[Telling]) -> Answers:
    """The answers of a batch; what two kinds of one noun are like is not asked."""
    present_BN = torch.zeros(len(told), len(NOUNS))
    asked_BNK = torch.full((len(told), len(NOUNS), len(ASKED)), _UNKNOWN)
    for row, (kinds, _) in enumerate(told):
        often = Counter(kind["noun"] for kind in kinds)
        for kind in kinds:
            if kind["noun"]:
                present_BN[row, kind["noun"] - 1] = 1
                if often[kind["noun"]] == 1:
                    asked_BNK[row, kind["noun"] - 1] = torch.tensor([kind[k] for k in ASKED])
    places = [0 if name is None else 1 + list(BACKGROUNDS).index(name) for _, name in told]
    return Answers(present_BN, asked_BNK, torch.tensor(places))


class Tables(nn.Module):
    """The linear layers that read vectors of `width` numbers."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.asked = nn.ModuleDict({k: nn.Linear(width, n * len(NOUNS)) for k, n in ASKED.items()})
        self.present = nn.Linear(width, len(NOUNS))
        self.background = nn.Linear(width, len(BACKGROUNDS) + 1)

    def forward(self, pooled_BD: Tensor) -> tuple[dict[str, Tensor], Tensor, Tensor]:
        """Logits of what is asked of each noun (B, N, answers), of presence (B, N) and of backgrounds."""
        asked = {k: head(pooled_BD).unflatten(1, (len(NOUNS), -1)) for k, head in self.asked.items()}
        return asked, self.present(pooled_BD), self.background(pooled_BD)


def table_loss(read: tuple[dict[str, Tensor], Tensor, Tensor], answers: Answers) -> dict[str, Tensor]:
    """The errors about things and about backgrounds."""
    asked, present_BN, background_BK = read
    things = 4 * F.binary_cross_entropy_with_logits(present_BN, answers.present_BN)
    if bool((answers.asked_BNK != _UNKNOWN).any()):
        for logits_BNK, answer_BN in zip(asked.values(), answers.asked_BNK.unbind(2), strict=True):
            flat = logits_BNK.flatten(0, 1), answer_BN.flatten()
            things = things + F.cross_entropy(*flat, ignore_index=_UNKNOWN)
    return {"things": things, "background": F.cross_entropy(background_BK, answers.background_B)}

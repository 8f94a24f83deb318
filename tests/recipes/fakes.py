"""Judges without a trained model."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import torch
from PIL import Image

from scenograph.grounding.detector import load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.clip import TransformersClip
from scenograph.judging.guidance_protocol import Judges
from scenograph.layout import Box, Instance, Layout
from scenograph.world.vocabulary import COLOURS, NOUNS, SHAPES, TEXTURES
from tests.judging.checkpoints import rt_detr, save_detector, save_dual_encoder, save_reader


class DogJudge:
    """Sees a dog everywhere, has every attribute by halves, finds every text equally fit."""

    labels = tuple(NOUNS)

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        dog = Instance(caption="dog", label="dog", box=Box(0.1, 0.1, 0.6, 0.6), score=0.9)
        return [Layout(caption="dog", instances=(dog,), size=image.size) for image in images]

    def probabilities(self, crops: Sequence[Image.Image]) -> list[dict[str, dict[str, float]]]:
        groups = {"noun": NOUNS, "colour": COLOURS, "texture": TEXTURES, "shape": SHAPES}
        return [{group: dict.fromkeys(names, 0.5) for group, names in groups.items()} for _ in crops]

    def image_features(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.nn.functional.normalize(torch.ones(len(images), 4), dim=-1)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        return self.image_features(texts)  # type: ignore[arg-type]


def random_judges(folder: Path) -> Judges:
    """Tiny random models of the real classes, saved and loaded again."""
    save_detector(rt_detr(), folder / "detector")
    return Judges(
        detector=load_detector(folder / "detector", device="cpu"),
        reader=AttributeReader.from_pretrained(save_reader(folder / "reader"), device="cpu"),
        clip=TransformersClip.from_pretrained(save_dual_encoder(folder / "clip"), device="cpu"),
    )

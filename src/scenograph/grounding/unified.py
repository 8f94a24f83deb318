"""The unified model as a grounder: every phrase gets the box where the model sees it (EchoGen, image → layout).

Boxes are decoded greedily inside the layout's grammar, so they always parse. The model says where, not how surely:
there are no scores, one box for each phrase. Pictures of any proportions are letterboxed as in training, and the boxes
brought back. Pictures are seen through the understanding tower, as Janus sees; image tokens, which the loop and the
reward of training ground because the painter writes them, tell less of a picture that is there.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import Literal

import torch
from PIL import Image

from scenograph.layout import Layout
from scenograph.unified.grammar import LayoutGrammar
from scenograph.unified.letterbox import Letterbox
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.passes import tower_features
from scenograph.unified.pictures import image_tokens, pixels
from scenograph.unified.sampler import Sampling, sample_text
from scenograph.unified.sequence import ground_sequence

__all__ = ["UnifiedGrounder"]


class UnifiedGrounder:
    """A loaded unified model that grounds phrases; its vocabulary is open.

    Attributes:
        through: what the language model sees of a picture: features of the understanding tower, or image tokens.
    """

    labels: tuple[str, ...] | None = None

    def __init__(
        self, unified: Unified, *, batch_size: int = 16, through: Literal["tower", "tokens"] = "tower"
    ) -> None:
        self.unified, self.batch_size, self.through = unified, batch_size, through

    @classmethod
    def load(cls, name: str | Path, *, device: torch.device | str | None = None) -> UnifiedGrounder:
        """By embedded name, folder or hub id. Raises CheckpointError."""
        return cls(load_unified(name, device=device))

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        """One layout per image, an instance for every phrase of the vocabulary that it could place on the canvas."""
        return self.ground(images, [vocabulary] * len(images))

    def ground(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[Layout]:
        """One layout per image, for the image's own phrases, in their order."""
        found: list[Layout] = []
        for start in range(0, len(images), self.batch_size):
            part = slice(start, start + self.batch_size)
            found += self._batch(images[part], phrases[part])
        return found

    @torch.no_grad()
    def _batch(self, images: Sequence[Image.Image], phrases: Sequence[Sequence[str]]) -> list[Layout]:
        codec, model = self.unified.codec, self.unified.model
        # A picture that is asked about several times is encoded once: that costs more than an answer.
        once = list({id(image): image for image in images}.values())
        place = {id(image): index for index, image in enumerate(once)}
        seen = torch.tensor([place[id(image)] for image in images], device=model.device)
        pixels_BCHW = pixels(once, self.unified.side).to(model.device)
        features_BND = None
        if self.through == "tower":
            features_BND = tower_features(model, pixels_BCHW)[seen]
            prefixes = [ground_sequence(codec, self.unified.image_length)] * len(images)
        else:
            prefixes = [ground_sequence(codec, row) for row in image_tokens(model, pixels_BCHW)[seen].tolist()]
        grammars = [LayoutGrammar(codec, phrases=those) for those in phrases]
        greedy = Sampling(temperature=0)
        seeds = [0] * len(images)
        drawn = sample_text(model, prefixes, grammars=grammars, sampling=greedy, seeds=seeds, features_BND=features_BND)
        layouts = []
        for row, image, those in zip(drawn.tokens_BN.tolist(), images, phrases, strict=True):
            square = codec.read(row, caption=", ".join(those) or None)
            # The tokenizer may have changed the words; what was asked for is what was found.
            named = [replace(one, caption=said) for one, said in zip(square.instances, those, strict=True)]
            box = Letterbox(image.size, self.unified.side)
            layouts.append(box.layout_back(replace(square, instances=tuple(named))))
        return layouts

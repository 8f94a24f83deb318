"""Pictures as image tokens with their layouts: what the stages of the unified model learn from.

Tokens are made once by the frozen VQ model and kept; layouts are told anew each time. `Stage` is a loss over a model as
one module, so that gradients of several processes meet in its forward.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import isqrt
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
from torch import nn
from tqdm import tqdm

from scenograph.datasets.drawn import DrawnScenes
from scenograph.errors import TrainingError
from scenograph.layout import Layout
from scenograph.training.patches import cell_answers
from scenograph.unified.model import Unified
from scenograph.unified.pictures import image_tokens
from scenograph.world.scenes import retell

__all__ = ["Paired", "Stage", "cache_tokens", "paired_scenes", "scene_pixels"]

_PIECE = 2048
_SAME = 0.9  # of tokens: another VQ model agrees in hardly any


@dataclass(frozen=True, kw_only=True)
class Paired:
    """Image tokens (K, N) of K pictures, what to say of picture `index` this time, and its pixels in -1 … 1.

    `cells` are the answers (N, 5) of `patches.cell_answers` for the places of its tokens, where they are known.
    """

    tokens_KN: np.ndarray
    layout: Callable[[int, np.random.Generator], Layout]
    pixels: Callable[[int], torch.Tensor]
    cells: Callable[[int], torch.Tensor] | None = None


class Stage(nn.Module):
    """A loss of a model; calling it is one forward pass."""

    def __init__(self, model: Any, loss: Callable[..., Any]) -> None:
        super().__init__()
        self.model = model
        self.loss = loss

    def forward(self, *args: Any, **options: Any) -> Any:
        """The loss of a batch."""
        return self.loss(self.model, *args, **options)


def paired_scenes(drawn: DrawnScenes, tokens_KN: np.ndarray) -> Paired:
    """Drawn scenes with their tokens; most captions are told anew."""
    images, side = drawn.images_NHWC, isqrt(tokens_KN.shape[1])

    def layout(index: int, rng: np.random.Generator) -> Layout:
        scene = drawn.scene(index)
        if rng.random() < 0.3:
            return scene.layout
        return replace(scene, described=retell(scene, Random(int(rng.integers(1 << 62))))).layout

    return Paired(
        tokens_KN=tokens_KN,
        layout=layout,
        pixels=lambda index: scene_pixels(images[index : index + 1])[0],
        cells=lambda index: cell_answers(drawn.scene(index), side),
    )


def scene_pixels(images_NHWC: np.ndarray) -> torch.Tensor:
    """Drawn pictures as float (N, 3, H, W) in -1 … 1; they are square, so nothing is letterboxed."""
    return torch.from_numpy(np.array(images_NHWC)).permute(0, 3, 1, 2).float() / 127.5 - 1


def cache_tokens(unified: Unified, drawn: DrawnScenes, path: str | Path, *, count: int) -> np.ndarray:
    """Image tokens of the first `count` drawn scenes, uint16 (count, N), kept in `path`; what is missing is added.

    Raises TrainingError when `path` holds the tokens of another VQ model.
    """
    path, images = Path(path), drawn.images_NHWC
    tokens = np.load(path) if path.exists() else np.zeros((0, unified.image_length), np.uint16)
    # Float noise of another batch or machine may move a latent across the border between two entries.
    if len(tokens) and np.mean(tokens[:4] == _tokens(unified, images[:4])) < _SAME:
        raise TrainingError(f"{path} holds image tokens of another VQ model; delete it and encode again")
    for start in tqdm(range(len(tokens), count, _PIECE), desc="tokens", mininterval=5):
        tokens = np.concatenate([tokens, _tokens(unified, images[start : min(start + _PIECE, count)])])
        partial = path.with_suffix(".partial.npy")
        np.save(partial, tokens)
        partial.rename(path)
    return tokens[:count]


def _tokens(unified: Unified, images_NHWC: np.ndarray) -> np.ndarray:
    batch = 4 if unified.model.device.type == "cpu" else 64  # a CPU takes twice as long for more than its cache holds
    parts = [
        image_tokens(unified.model, scene_pixels(images_NHWC[i : i + batch])) for i in range(0, len(images_NHWC), batch)
    ]
    return torch.cat(parts).numpy().astype(np.uint16)

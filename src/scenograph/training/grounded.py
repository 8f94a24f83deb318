"""Pictures with layouts for training gated UNets: latents encoded once, captions and boxes drawn anew each time.

GLIGEN and GOAL train on the same batches: of every sample a picture's latent, its caption (empty for some), its
instances (none for some), noise and a timestep.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any, NamedTuple, Protocol

import numpy as np
import torch
from PIL import Image
from torch import Tensor
from tqdm import tqdm

from scenograph.datasets.drawn import DrawnScenes
from scenograph.errors import TrainingError
from scenograph.files import write_whole
from scenograph.layout import Layout
from scenograph.painting.gligen import MOST
from scenograph.world.scenes import retell

__all__ = ["Batch", "Grounded", "Pictures", "draw_batch", "encode_pictures", "of_scenes"]

_BOTH = 0.5  # of the samples without a caption


class Pictures(Protocol):
    """A data set of pictures with layouts (`datasets.coco`, `datasets.goal2k`)."""

    def __len__(self) -> int: ...

    def __getitem__(self, index: int) -> tuple[Image.Image, Layout]: ...

    def layout(self, index: int) -> Layout:
        """The layout alone, without reading pixels."""
        ...

    def source(self, index: int) -> str:
        """What tells picture `index` from others, without reading its pixels: its file as it is, and how it is cut."""
        ...


@dataclass(frozen=True, kw_only=True)
class Grounded:
    """Scaled latents of N pictures, float16 (N, C, H, W), and what to say of picture `index` this time."""

    latents_NCHW: np.ndarray
    layout: Callable[[int, np.random.Generator], Layout]


class Batch(NamedTuple):
    """B samples; `told` where the caption was not dropped. `gated` is whether the gated layers are there at all."""

    latents_BCHW: Tensor
    noise_BCHW: Tensor
    t_B: Tensor
    ids_BT: Tensor
    layouts: list[Layout]
    told: list[bool]
    gated: bool = True


def of_scenes(drawn: DrawnScenes, latents_NCHW: np.ndarray) -> Grounded:
    """Drawn scenes; most captions are told anew."""

    def layout(index: int, rng: np.random.Generator) -> Layout:
        scene = drawn.scene(index)
        if rng.random() < 0.3:
            return scene.layout
        return replace(scene, described=retell(scene, Random(int(rng.integers(1 << 62))))).layout

    return Grounded(latents_NCHW=latents_NCHW, layout=layout)


@torch.no_grad()
def encode_pictures(pictures: Pictures, vae: Any, path: str | Path, *, batch: int = 8) -> Grounded:
    """Latents of a data set by the VAE's mean, kept in `path` (.npy): a second training reads them.

    Raises TrainingError when the set is empty, or `path` holds the latents of another set or VAE.
    """
    path, count = Path(path), len(pictures)
    if not count:
        raise TrainingError("the data set holds no picture with boxes; expected at least one")
    key, note = hashlib.sha256("\n".join(map(pictures.source, range(count))).encode()), path.with_suffix(".sha256")
    if path.exists():
        latents_NCHW = np.load(path, mmap_mode="r")
        same = note.exists() and note.read_text(encoding="utf-8").strip() == key.hexdigest()
        if not same or not np.allclose(latents_NCHW[0], _encoded(vae, [pictures[0][0]])[0], atol=0.05):
            raise TrainingError(f"{path} holds latents of another data set or autoencoder; name another run folder")
    else:
        parts = []
        for start in tqdm(range(0, count, batch), desc="encoding", unit="batch", mininterval=2):
            parts.append(_encoded(vae, [pictures[i][0] for i in range(start, min(start + batch, count))]))
        path.parent.mkdir(parents=True, exist_ok=True)
        write_whole(note, key.hexdigest() + "\n")
        partial = path.with_suffix(".partial.npy")
        np.save(partial, np.concatenate(parts))
        partial.rename(path)
        latents_NCHW = np.load(path, mmap_mode="r")
    return Grounded(latents_NCHW=latents_NCHW, layout=lambda index, rng: pictures.layout(index))


def _encoded(vae: Any, images: Sequence[Image.Image]) -> np.ndarray:
    pixels_BHWC = torch.from_numpy(np.stack([np.asarray(image.convert("RGB")) for image in images]))
    pixels_BCHW = (pixels_BHWC.permute(0, 3, 1, 2).float() / 127.5 - 1).to(vae.device, vae.dtype)
    latents: np.ndarray = (vae.encode(pixels_BCHW).latent_dist.mean * vae.config.scaling_factor).float().cpu().numpy()
    return latents.astype(np.float16)


def draw_batch(
    data: Grounded,
    rngs: Sequence[np.random.Generator],
    tokenizer: Any,
    *,
    timesteps: int,
    drop_caption: float,
    drop_grounding: float,
) -> Batch:
    """One sample for each generator, which alone decides it; instances beyond 30 are left out, the smallest first.

    Half of those that lose their caption lose their grounding too: the unconditional half of classifier-free guidance
    is the empty prompt with null grounding, which two independent draws would hardly ever show.
    """
    picked, noises, times, captions, layouts, told = [], [], [], [], [], []
    for rng in rngs:
        index = int(rng.integers(len(data.latents_NCHW)))
        layout = data.layout(index, rng)
        told.append(bool(rng.random() >= drop_caption))
        if rng.random() < (drop_grounding if told[-1] else max(drop_grounding, _BOTH)):
            layout = replace(layout, instances=())
        elif len(layout.instances) > MOST:
            layout = replace(layout, instances=_largest(layout))
        picked.append(np.asarray(data.latents_NCHW[index], np.float32))
        noises.append(rng.standard_normal(picked[-1].shape, dtype=np.float32))
        times.append(int(rng.integers(timesteps)))
        captions.append(layout.caption if told[-1] else "")
        layouts.append(layout)
    ids_BT = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
    latents_BCHW = torch.from_numpy(np.stack(picked)).contiguous(memory_format=torch.channels_last)
    return Batch(latents_BCHW, torch.from_numpy(np.stack(noises)), torch.tensor(times), ids_BT, layouts, told)


def _largest(layout: Layout) -> tuple[Any, ...]:
    order = sorted(range(len(layout.instances)), key=lambda i: -layout.instances[i].box.area)[:MOST]
    return tuple(layout.instances[i] for i in sorted(order))

"""What GOAL's losses change, as its Figure 4: one-step estimates and attention maps of a few held-out scenes.

A row per checkpoint; for every scene the estimate of the clean picture from one noisy latent, and where the 16 x 16
decoder layers attend for the words of its first two instances, under their boxes.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import DDPMScheduler
from PIL import Image
from torch import Tensor

from scenograph.drawing import contact_sheet, draw_layout
from scenograph.layout import Layout
from scenograph.models.loading import load_pipeline
from scenograph.painting.attention import observe
from scenograph.painting.tokens import locate
from scenograph.training.alignment import decoded, decoder_layers, one_step_estimate
from scenograph.training.gligen import conditioned
from scenograph.training.grounded import Batch
from scenograph.world.scenes import Scene, scene_at

__all__ = ["goal_sheet"]

_SIDE = 160


@torch.no_grad()
def goal_sheet(models: Mapping[str, str | Path], *, seed: int = 0, scenes: int = 3, timestep: int = 400) -> Image.Image:
    """The sheet; `models` are row labels with their checkpoints, all gated."""
    chosen = [s for s in (scene_at(i, seed=seed, split="test", count=2) for i in range(99)) if s.described.captions][
        :scenes
    ]
    rows: list[list[Image.Image | None]] = []
    for name in models.values():
        _, pipeline = load_pipeline(name, device="cpu", dtype=torch.float32)
        rows.append(
            [picture for i, scene in enumerate(chosen) for picture in _seen(pipeline, scene, timestep, seed + i)]
        )
    labels = [label for s in chosen for label in (s.layout.caption, *(f"“{i.phrase}”" for i in s.layout.instances[:2]))]
    return contact_sheet(rows, row_labels=list(models), column_labels=labels, gap=4)


def _seen(pipeline: Any, scene: Scene, timestep: int, seed: int) -> list[Image.Image | None]:
    """The estimate with its boxes, and a map for each of the first two instances."""
    layout = scene.layout
    batch = _batch(pipeline, scene, timestep, seed)
    schedule = DDPMScheduler.from_config(pipeline.scheduler.config)
    noisy = schedule.add_noise(batch.latents_BCHW, batch.noise_BCHW, batch.t_B)
    layers = decoder_layers(pipeline.unet)
    with observe(pipeline.unet, layers) as observed:
        noise = pipeline.unet(noisy, batch.t_B, **conditioned(pipeline, batch)).sample
        maps_Q_T = torch.stack([one.mean(1)[0] for one in observed.maps().values()]).mean(0)
    pixels = decoded(pipeline.vae, one_step_estimate(noisy, noise, schedule.alphas_cumprod[batch.t_B]))
    pictures: list[Image.Image | None] = [draw_layout(layout, _picture(pixels[0]), size=(_SIDE, _SIDE))]
    for instance in layout.instances[:2]:
        alone = Layout(caption=layout.caption, instances=(instance,))
        tokens = locate(pipeline.tokenizer, alone.prompt(), alone).groups[0].tokens
        pictures.append(draw_layout(alone, _heat(maps_Q_T[:, list(tokens)].mean(-1)), size=(_SIDE, _SIDE)))
    return pictures


def _batch(pipeline: Any, scene: Scene, timestep: int, seed: int) -> Batch:
    x = torch.from_numpy(np.array(scene.draw())).permute(2, 0, 1)[None].float() / 127.5 - 1
    latents = pipeline.vae.encode(x).latent_dist.mean * pipeline.vae.config.scaling_factor
    noise = torch.randn(latents.shape, generator=torch.Generator().manual_seed(seed))
    ids = pipeline.tokenizer(
        [scene.layout.caption], padding="max_length", truncation=True, return_tensors="pt"
    ).input_ids
    return Batch(latents, noise, torch.tensor([timestep]), ids, [scene.layout], [True])


def _picture(pixels_CHW: Tensor) -> Image.Image:
    return Image.fromarray((pixels_CHW.permute(1, 2, 0) * 255).round().byte().numpy())


def _heat(map_Q: Tensor) -> Image.Image:
    """A square map in colours, brightest at its maximum."""
    from matplotlib import colormaps

    side = round(len(map_Q) ** 0.5)
    values = (map_Q / map_Q.max()).reshape(side, side).numpy()
    colours: Sequence[Any] = colormaps["magma"](values)[..., :3]
    small = Image.fromarray((np.asarray(colours) * 255).astype(np.uint8))
    return small.resize((_SIDE, _SIDE), Image.Resampling.BILINEAR)

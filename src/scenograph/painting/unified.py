"""The unified model as a painter: a layout's tokens in, image tokens out, one after the other (EchoGen).

It answers to `Painter`'s call where that makes sense: there are no steps, schedulers or guidance methods. The model
paints its own square; a layout of another shape is letterboxed into it, as in training, and the picture is cut out.
Classifier-free guidance and the cuts of the sampling distribution are its settings.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from tqdm import tqdm

from scenograph.errors import GuidanceError
from scenograph.layout import Layout
from scenograph.models.embedded import PREFERRED
from scenograph.models.loading import pick_device, pick_dtype
from scenograph.painting.jobs import jobs_of
from scenograph.painting.painter import Painting
from scenograph.unified.letterbox import Letterbox
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.pictures import paint_tokens, pictures
from scenograph.unified.sampler import PAINTING, Sampling, sample_images
from scenograph.unified.sequence import paint_sequence

__all__ = ["UnifiedPainter"]


class UnifiedPainter:
    """A loaded unified model that paints layouts.

    Attributes:
        name: what the checkpoint was called.
        unified: model and tokens.
        defaults: method, guidance scale and temperature where none are asked for.
    """

    def __init__(self, unified: Unified, *, name: str) -> None:
        self.unified, self.name = unified, name
        self.defaults: dict[str, Any] = {"method": "plain", "cfg": PAINTING, "temperature": 1.0}
        self.defaults |= PREFERRED.get(name, {})

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, device: torch.device | str | None = None, dtype: torch.dtype | str | None = None
    ) -> UnifiedPainter:
        """Load an embedded name, a folder or a hub id in transformers' format, in float32 unless asked otherwise.

        Raises CheckpointError.
        """
        chosen = pick_dtype(dtype or torch.float32, pick_device(device))
        return cls(load_unified(name, device=device, dtype=chosen), name=str(name))

    def paint(
        self,
        layouts: Layout | Sequence[Layout],
        *,
        seeds: int | Sequence[int] = 0,
        cfg: float | None = None,
        temperature: float | None = None,
        top_k: int = 0,
        top_p: float = 1.0,
        batch_size: int = 16,
        progress: bool = True,
    ) -> list[Painting]:
        """Paint layouts, different ones at once; a seed gives the same picture alone and in any batch.

        Args:
            seeds: one for all, or one per layout; one layout with many seeds is painted once per seed.
            cfg: classifier-free guidance scale; exactly 1 computes no unconditional side.
            temperature, top_k, top_p: of the sampling distribution; temperature 0 takes the likeliest tokens. What is
                None is taken from `defaults`.

        Raises LayoutError or GuidanceError for input that cannot be painted.
        """
        jobs = [(job.layout, job.seed) for job in jobs_of(layouts, seeds)]
        if batch_size < 1:
            raise GuidanceError(f"batch_size is {batch_size!r}; expected a whole number from 1")
        asked = {"cfg": cfg, "temperature": temperature}
        chosen = {**self.defaults, **{name: value for name, value in asked.items() if value is not None}}
        sampling = Sampling(guidance=chosen["cfg"], temperature=chosen["temperature"], top_k=top_k, top_p=top_p)
        painted: list[Painting] = []
        bar = tqdm(total=len(jobs), desc="painting", disable=None if progress else True)
        for start in range(0, len(jobs), batch_size):
            batch = jobs[start : start + batch_size]
            painted += self._paint_batch(batch, sampling)
            bar.update(len(batch))
        bar.close()
        return painted

    @torch.no_grad()
    def _paint_batch(self, batch: Sequence[tuple[Layout, int]], sampling: Sampling) -> list[Painting]:
        codec, model = self.unified.codec, self.unified.model
        squares = [Letterbox(layout.size, self.unified.side) for layout, _ in batch]
        prefixes = [paint_sequence(codec, box.layout(layout)) for box, (layout, _) in zip(squares, batch, strict=True)]
        nulls = [self.unified.null(one) for one in prefixes] if sampling.is_guided else None
        drawn = sample_images(model, prefixes, nulls=nulls, sampling=sampling, seeds=[seed for _, seed in batch])
        painted = pictures(paint_tokens(model, drawn.tokens_BN))
        images = [box.crop(image) for box, image in zip(squares, painted, strict=True)]
        return [
            Painting(
                image=image,
                layout=layout,
                prompt=layout.caption,
                appended=(),
                seed=seed,
                method="plain",
                settings=self._settings(sampling, image.size),
            )
            for (layout, seed), image in zip(batch, images, strict=True)
        ]

    def _settings(self, sampling: Sampling, size: tuple[int, int]) -> dict[str, Any]:
        """What a recipe holds; the keys that only diffusion has say what is true here."""
        return {
            "model": self.name,
            "cfg": sampling.guidance,
            "temperature": sampling.temperature,
            "top_k": sampling.top_k,
            "top_p": sampling.top_p,
            "steps": self.unified.image_length,
            "scheduler": None,
            "negative_prompt": "",
            "template": "{}",
            "strict": False,
            "width": size[0],
            "height": size[1],
            "dtype": str(self.unified.model.dtype).removeprefix("torch."),
        }

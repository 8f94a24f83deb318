"""How near things are in a picture: nearness maps from depth models of transformers.

T2I-CompBench's 3D scores want a map that is larger where things are nearer. Relative models (DPT trained as MiDaS, as
in the paper; Depth Anything) give inverse depth, which is one; metric models (ZoeDepth, GLPN, Depth Pro, the metric
Depth Anything) give metres, which are turned round here. The official script scales each map to 0..1 and stores it in
8 bits; scaled it is here too, stored it is not.
"""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from scenograph.judging.checkpoints import checkpoint

__all__ = ["DepthEstimator", "NearnessMap", "TransformersDepth"]

NearnessMap = NDArray[np.float32]
"""(H, W), 0 (farthest) to 1 (nearest)."""
_METRIC = ("zoedepth", "glpn", "depth_pro", "prompt_depth_anything")


class DepthEstimator(Protocol):
    """Pictures to nearness maps."""

    def nearness(self, images: Sequence[Image.Image]) -> list[NearnessMap]:
        """A map of each image's height and width, 0 where it is farthest, 1 where nearest."""


class TransformersDepth:
    """`AutoModelForDepthEstimation` with its image processor.

    Args:
        metric: whether it gives distances, not inverse ones; None asks the config. Checkpoints of "dpt" that were
            tuned to metres (NYU, KITTI) do not say so there: give True.
    """

    def __init__(self, model: Any, processor: Any, *, metric: bool | None = None) -> None:
        self.model, self.processor = model.eval(), processor
        config = model.config
        told = config.model_type in _METRIC or getattr(config, "depth_estimation_type", "relative") == "metric"
        self.metric = told if metric is None else metric

    @classmethod
    def from_pretrained(
        cls, name: str | Path, *, metric: bool | None = None, device: str | None = None
    ) -> TransformersDepth:
        """Load a folder or a hub id, e.g. "Intel/dpt-large". Raises CheckpointError when that fails."""
        from transformers import AutoImageProcessor, AutoModelForDepthEstimation

        source = checkpoint(name, "depth model")
        model = source.model(AutoModelForDepthEstimation, device)
        return cls(model, source.part(AutoImageProcessor), metric=metric)

    @torch.inference_mode()
    def nearness(self, images: Sequence[Image.Image]) -> list[NearnessMap]:
        """A map of each image's height and width; all 0 where the model sees no depth at all."""
        return [self._one(image.convert("RGB")) for image in images]

    def _one(self, image: Image.Image) -> NearnessMap:
        """Images go alone: processors keep proportions, so that those of a batch may differ in size."""
        inputs = self.processor(images=image, return_tensors="pt").to(self.model.device)
        depth_HW = self.model(**inputs).predicted_depth.float()[0]
        size = (image.height, image.width)
        resized_11HW = torch.nn.functional.interpolate(depth_HW[None, None], size=size, mode="bicubic")
        map_HW: NearnessMap = resized_11HW[0, 0].cpu().numpy()
        if self.metric:
            map_HW = -map_HW
        span = float(map_HW.max() - map_HW.min())
        return (map_HW - map_HW.min()) / span if span else np.zeros_like(map_HW)

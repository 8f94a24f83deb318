"""Pictures ↔ pixels ↔ image tokens of a Janus model.

The published VQ model normalises z and its codebook before it looks for the nearest entry; transformers' `encode` does
not, and finds other tokens wherever the codebook's rows differ in length. `image_tokens` normalises, as decoding does.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import torch
import torch.nn.functional as F
from torch import Tensor

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = ["image_tokens", "nearest_entries", "paint_tokens", "pictures", "pixels"]


def pixels(images: Sequence[Image], side: int) -> Tensor:
    """Pictures as float (batch, 3, side, side) in -1 … 1, letterboxed by Janus' own image processor.

    The range is Janus-Pro's (`preprocessor_config.json`: mean and deviation 0.5), for its tower and its VQ model.
    """
    from transformers.models.janus.image_processing_pil_janus import JanusImageProcessorPil

    half = [0.5, 0.5, 0.5]
    processor = JanusImageProcessorPil(size={"height": side, "width": side}, image_mean=half, image_std=half)
    rgb = [image.convert("RGB") for image in images]
    pixels_BCHW: Tensor = processor(rgb, return_tensors="pt")["pixel_values"]
    return pixels_BCHW


def pictures(pixels_BCHW: Tensor) -> list[Image]:
    """Pixels in -1 … 1 as RGB pictures; what lies beyond is cut."""
    from PIL import Image

    bytes_BHWC = ((pixels_BCHW.float().clamp(-1, 1) + 1) * 127.5).round().byte().permute(0, 2, 3, 1).cpu().numpy()
    return [Image.fromarray(picture) for picture in bytes_BHWC]


@torch.no_grad()
def image_tokens(model: Any, pixels_BCHW: Tensor) -> Tensor:
    """The image tokens (batch, tokens) of pixels in -1 … 1."""
    return nearest_entries(model.model.vqmodel, pixels_BCHW)


@torch.no_grad()
def nearest_entries(vq: Any, pixels_BCHW: Tensor) -> Tensor:
    """Image tokens by the VQ model alone: per place the codebook entry of the nearest direction."""
    z_BCHW = vq.quant_conv(vq.encoder(pixels_BCHW.to(vq.dtype)))
    z_BNC = F.normalize(z_BCHW.float().flatten(2).transpose(1, 2), dim=-1)
    codebook_VC = F.normalize(vq.quantize.embedding.weight.float(), dim=-1)
    ids_BN: Tensor = (z_BNC @ codebook_VC.T).argmax(dim=-1)
    return ids_BN


@torch.no_grad()
def paint_tokens(model: Any, ids_BN: Tensor) -> Tensor:
    """The pixels (batch, 3, side, side), about -1 … 1, that image tokens stand for."""
    pixels_BCHW: Tensor = model.model.vqmodel.decode(ids_BN)
    return pixels_BCHW

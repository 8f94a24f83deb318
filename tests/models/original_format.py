"""Writes a tiny SD folder as one .safetensors file in the original (LDM) layout, the way single-file checkpoints come.

The inverse of what diffusers does when it reads one, for the shapes of `tests.tiny.tiny_sd` only: two UNet levels with
one layer each, four VAE levels with one layer each.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import StableDiffusionPipeline
from safetensors.torch import save_file

RESNET = {
    "norm1.": "in_layers.0.",
    "conv1.": "in_layers.2.",
    "norm2.": "out_layers.0.",
    "conv2.": "out_layers.3.",
    "time_emb_proj.": "emb_layers.1.",
    "conv_shortcut.": "skip_connection.",
}
UNET = {
    "conv_in.": "input_blocks.0.0.",
    "time_embedding.linear_1.": "time_embed.0.",
    "time_embedding.linear_2.": "time_embed.2.",
    "conv_norm_out.": "out.0.",
    "conv_out.": "out.2.",
    "down_blocks.0.resnets.0.": "input_blocks.1.0.",
    "down_blocks.0.attentions.0.": "input_blocks.1.1.",
    "down_blocks.0.downsamplers.0.conv.": "input_blocks.2.0.op.",
    "down_blocks.1.resnets.0.": "input_blocks.3.0.",
    "mid_block.resnets.0.": "middle_block.0.",
    "mid_block.attentions.0.": "middle_block.1.",
    "mid_block.resnets.1.": "middle_block.2.",
    "up_blocks.0.resnets.0.": "output_blocks.0.0.",
    "up_blocks.0.resnets.1.": "output_blocks.1.0.",
    "up_blocks.0.upsamplers.0.": "output_blocks.1.1.",
    "up_blocks.1.resnets.0.": "output_blocks.2.0.",
    "up_blocks.1.attentions.0.": "output_blocks.2.1.",
    "up_blocks.1.resnets.1.": "output_blocks.3.0.",
    "up_blocks.1.attentions.1.": "output_blocks.3.1.",
}
VAE = {
    "mid_block.resnets.0.": "mid.block_1.",
    "mid_block.resnets.1.": "mid.block_2.",
    "mid_block.attentions.0.group_norm.": "mid.attn_1.norm.",
    "mid_block.attentions.0.to_q.": "mid.attn_1.q.",
    "mid_block.attentions.0.to_k.": "mid.attn_1.k.",
    "mid_block.attentions.0.to_v.": "mid.attn_1.v.",
    "mid_block.attentions.0.to_out.0.": "mid.attn_1.proj_out.",
    "conv_norm_out.": "norm_out.",
    "conv_shortcut.": "nin_shortcut.",
    ".downsamplers.0.": ".downsample.",
    ".upsamplers.0.": ".upsample.",
}


def _unet_name(name: str) -> str:
    prefix = max((prefix for prefix in UNET if name.startswith(prefix)), key=len)
    rest = name.removeprefix(prefix)
    if "resnets" in prefix:
        part = next(part for part in RESNET if rest.startswith(part))
        rest = RESNET[part] + rest.removeprefix(part)
    return "model.diffusion_model." + UNET[prefix] + rest


def _vae_name(name: str) -> str:
    for level in range(4):
        name = name.replace(f"encoder.down_blocks.{level}.", f"encoder.down.{level}.")
        name = name.replace(f"decoder.up_blocks.{level}.", f"decoder.up.{3 - level}.")
    for ours, theirs in VAE.items():
        name = name.replace(ours, theirs)
    return "first_stage_model." + name.replace(".resnets.", ".block.")


def _vae_value(name: str, value: torch.Tensor) -> torch.Tensor:
    """The original VAE writes its attention as 1×1 convolutions."""
    linear = ".attentions.0.to_" in name and value.ndim == 2
    return value[:, :, None, None] if linear else value


def write_original(folder: Path, file: Path) -> Path:
    """Write the diffusers folder `folder` as the single file `file`."""
    pipeline: Any = StableDiffusionPipeline.from_pretrained(folder)
    tensors = {_unet_name(name): value for name, value in pipeline.unet.state_dict().items()}
    tensors |= {_vae_name(name): _vae_value(name, value) for name, value in pipeline.vae.state_dict().items()}
    tensors |= {
        "cond_stage_model.transformer.text_model." + name.removeprefix("text_model."): value
        for name, value in pipeline.text_encoder.state_dict().items()
    }
    save_file({name: value.contiguous().clone() for name, value in tensors.items()}, file)
    return file

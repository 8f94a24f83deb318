"""The original GLIGEN release → a diffusers folder.

The release is one pickle of several state dicts: "model" (UNet and position net, in latent diffusion's names),
"autoencoder", "text_encoder", "diffusion" and the training's own "config_dict". diffusers knows how to rename the first
three, which is the same for every SD 1.x checkpoint; gated layers keep their names inside their block, and the position
net keeps its own. Tokenizer, scheduler and the sizes of the parts come from the base checkpoint, SD 1.4 for the
published ones.
"""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch

from scenograph.errors import CheckpointError
from scenograph.models.convert import open_pickle
from scenograph.models.families import check_channels
from scenograph.models.loading import load_pipeline, one_line

__all__ = ["BASE", "convert_gligen", "is_gligen", "unet_state"]

BASE = "CompVis/stable-diffusion-v1-4"
_SECTIONS = ("model", "autoencoder", "text_encoder")


def is_gligen(loaded: Any) -> bool:
    """Whether what a pickle holds is a GLIGEN release."""
    whole = isinstance(loaded, Mapping) and all(isinstance(loaded.get(part), Mapping) for part in _SECTIONS)
    return whole and any(str(name).startswith("position_net.") for name in loaded["model"])


def convert_gligen(path: str | Path, out: str | Path, *, base: str | Path = BASE) -> Path:
    """Write a GLIGEN release as a diffusers folder `out` and return it; it appears only when it is whole.

    Args:
        base: the checkpoint that the release was trained on, for tokenizer, scheduler and configs.

    Raises CheckpointError when the file is damaged, no text-box GLIGEN, or does not fit the base.
    """
    path, out = Path(path), Path(out)
    if out.exists():
        raise CheckpointError(f"cannot convert to {str(out)!r}: it exists; name a new folder")
    loaded = open_pickle(path)
    if not is_gligen(loaded):
        raise CheckpointError(
            f"{str(path)!r} is no GLIGEN release; expected {', '.join(_SECTIONS)} with a position_net: name a "
            ".safetensors to convert other pickles to"
        )
    _, pipeline = load_pipeline(base, device="cpu", dtype=torch.float32)
    with one_line(str(path), advice=f"it was trained on another base than {str(base)!r}: name its own with --base"):
        _fill(pipeline, loaded, str(path))
    partial = out.with_name(f".{out.name}.partial")
    shutil.rmtree(partial, ignore_errors=True)
    pipeline.save_pretrained(partial)
    partial.rename(out)
    return out


def _fill(pipeline: Any, loaded: Mapping[str, Any], path: str) -> None:
    """Put the release's tensors into the parts of its base; every tensor must find its place."""
    from diffusers.loaders.single_file_utils import convert_ldm_vae_checkpoint

    check_channels(loaded["model"]["input_blocks.0.0.weight"].shape[1], path)
    unet = type(pipeline.unet).from_config(pipeline.unet.config, attention_type="gated")
    unet.load_state_dict(unet_state(loaded["model"], unet.config))
    vae = {f"first_stage_model.{name}": value for name, value in loaded["autoencoder"].items()}
    pipeline.vae.load_state_dict(convert_ldm_vae_checkpoint(vae, pipeline.vae.config))
    known = pipeline.text_encoder.state_dict().keys()
    nested = any(name.startswith("text_model.") for name in known)  # transformers 5 dropped the prefix
    text = {}
    for name, value in loaded["text_encoder"].items():
        name = name.removeprefix("transformer.")
        text[name if nested else name.removeprefix("text_model.")] = value
    text = {name: value for name, value in text.items() if not name.endswith("position_ids")}
    pipeline.text_encoder.load_state_dict(text)
    pipeline.register_modules(unet=unet.eval())


def unet_state(model: Mapping[str, Any], config: Any) -> dict[str, Any]:
    """The release's "model" under diffusers' names."""
    from diffusers.loaders.single_file_utils import convert_ldm_unet_checkpoint

    position = {name: value for name, value in model.items() if name.startswith("position_net.")}
    rest = {f"model.diffusion_model.{name}": value for name, value in model.items() if name not in position}
    return {**convert_ldm_unet_checkpoint(rest, config), **position}

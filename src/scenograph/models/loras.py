"""LoRAs on a pipeline, in the three safetensors formats people have: diffusers, kohya and peft.

diffusers reads its own and kohya's. What peft writes names the UNet's layers alone ("base_model.model.down_blocks.…" or
"down_blocks.…") and keeps its strength in `adapter_config.json` beside the weights; it is renamed and scaled here.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file
from torch import Tensor

from scenograph.errors import CheckpointError
from scenograph.models.loading import PICKLES, freeze, hub_reachable, one_line

_PEFT = "base_model.model."
_UNET_PARTS = ("down_blocks.", "mid_block.", "up_blocks.", "conv_in.", "conv_out.", "time_embedding.", "add_embedding.")
_FILES = ("pytorch_lora_weights.safetensors", "adapter_model.safetensors")


@torch.inference_mode(False)
def add_lora(pipeline: Any, source: str | Path, scales: Sequence[float], scale: float) -> None:
    """Put a LoRA (diffusers, peft or kohya safetensors) on a pipeline that has LoRAs of `scales` already.

    Raises CheckpointError when it is missing, a pickle, or does not fit the pipeline.
    """
    path = Path(source).expanduser()
    if path.suffix in PICKLES:
        raise CheckpointError(f"{str(source)!r} is a pickle; run `scenograph convert` on it and name the result")
    if not path.exists() and str(source).count("/") != 1:
        raise CheckpointError(f"no LoRA at {str(source)!r}; expected a .safetensors file, a folder or a hub id")
    adapters = [f"lora{number}" for number in range(len(scales) + 1)]
    advice = f"expected a LoRA made for a checkpoint like this {type(pipeline).__name__}"
    with one_line(str(source), advice=advice):
        try:
            weights, place = _read(path, str(source))
            pipeline.load_lora_weights(weights, adapter_name=adapters[-1], **place)
            pipeline.set_adapters(adapters, [*scales, scale])
        except Exception:
            pipeline.delete_adapters(adapters[-1])  # half of it may be on
            raise
    freeze(pipeline)


def _read(path: Path, source: str) -> tuple[Any, dict[str, Any]]:
    """(weights by name, folder or hub id; what diffusers must know to read it)"""
    file = path if path.is_file() else next((path / name for name in _FILES if (path / name).is_file()), None)
    if file is not None:
        weights = load_file(file)
        if any(name.startswith((_PEFT, *_UNET_PARTS)) for name in weights):
            return _from_peft(weights, file.with_name("adapter_config.json")), {}
        return str(file.parent), {"weight_name": file.name, "use_safetensors": True, "local_files_only": True}
    local = path.exists() or not hub_reachable()
    return str(path if path.exists() else source), {"use_safetensors": True, "local_files_only": local}


def _from_peft(weights: dict[str, Tensor], config_file: Path) -> dict[str, Tensor]:
    """peft's names and strength → diffusers' names, with the strength (alpha / rank) inside the weights."""
    config = json.loads(config_file.read_text(encoding="utf-8")) if config_file.is_file() else {}
    unusual = [key for key in ("alpha_pattern", "rank_pattern", "use_dora", "use_rslora") if config.get(key)]
    if unusual:
        raise ValueError(f"its adapter_config.json has {', '.join(unusual)}, which is not read here")
    strength = config["lora_alpha"] / config["r"] if config else 1.0
    renamed = {}
    for name, weight in weights.items():
        scaled = weight * strength if ".lora_B." in name else weight
        renamed["unet." + name.removeprefix(_PEFT)] = scaled
    return renamed

"""GLIGEN's layers on a stock UNet, and deltas: the weights in which a model differs from its base.

A gated UNet is `UNet2DConditionModel(attention_type="gated")`: gated self-attention in every transformer block
(`….fuser`) and the projection of phrases and boxes to grounding tokens (`position_net`). With its gates at zero, as
`add_gates` makes it, it is the UNet it came from (Li et al. 2023, eq. 8: v + tanh(γ)·SelfAttn([v, h]), γ = 0).

A delta is a folder with `delta.safetensors` (tensors that differ from the base UNet, under their diffusers names) and
`delta.json` ({"base": name, "attention_type": …}); it loads wherever a checkpoint's name is expected.
"""

from __future__ import annotations

import json
from collections.abc import Collection, Mapping
from pathlib import Path
from typing import Any

import torch
from diffusers.models.attention import GatedSelfAttentionDense
from safetensors import SafetensorError
from safetensors.torch import load_file, save_file

from scenograph.errors import CheckpointError
from scenograph.files import write_whole

__all__ = ["DELTA", "add_gates", "apply_delta", "base_of", "is_gate", "is_gated", "save_delta"]

DELTA = "delta.json"
_TENSORS = "delta.safetensors"


def is_gated(unet: Any) -> bool:
    """Whether a UNet takes grounding tokens of phrases and boxes."""
    return getattr(unet.config, "attention_type", "default") == "gated"


def is_gate(parameter: str) -> bool:
    """Whether a parameter of a gated UNet is one that GLIGEN added, by its name."""
    return parameter.startswith("position_net.") or ".fuser." in parameter


def add_gates(unet: Any, *, seed: int = 0, ajar: bool = False) -> Any:
    """A gated UNet that computes what `unet` does: its weights copied, new layers seeded, gates closed.

    Returns `unet` itself when it is gated already.

    Args:
        ajar: γ = 1 and the layers' last weights zero instead of γ = 0, as ControlNet begins (Zhang et al. 2023). At
            γ = 0 the layers behind a gate get no gradient until the gate has opened for what they are at random; this
            way they learn from the first.
    """
    if is_gated(unet):
        return unet
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        gated = type(unet).from_config(unet.config, attention_type="gated")
    state = {name: tensor for name, tensor in gated.state_dict().items() if is_gate(name)} | dict(unet.state_dict())
    gated.load_state_dict(state)
    if ajar:
        _set_ajar(gated)
    # Module.to: diffusers' own warns at every change of precision.
    torch.nn.Module.to(gated, device=unet.device, dtype=unet.dtype)
    return gated.train(unet.training)


def _set_ajar(unet: Any) -> None:
    for layer in unet.modules():
        if isinstance(layer, GatedSelfAttentionDense):
            for gate in (layer.alpha_attn, layer.alpha_dense):
                torch.nn.init.ones_(gate)
            for last in (layer.attn.to_out[0], layer.ff.net[-1]):
                torch.nn.init.zeros_(last.weight)
                torch.nn.init.zeros_(last.bias)


def save_delta(unet: Any, base: Mapping[str, torch.Tensor], folder: str | Path, *, name: str) -> Path:
    """Write what distinguishes `unet` from `base`, the state of the UNet of the checkpoint called `name`; float16.

    A tensor is left out when it equals the base's in float16.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    changed = {
        key: tensor.half().cpu().contiguous()
        for key, tensor in unet.state_dict().items()
        if key not in base or not torch.equal(tensor.half().cpu(), base[key].half().cpu())
    }
    partial = folder / f".{_TENSORS}.partial"
    save_file(changed, partial, metadata={"format": "pt"})
    partial.replace(folder / _TENSORS)
    facts = {"base": name, "attention_type": unet.config.attention_type}
    write_whole(folder / DELTA, json.dumps(facts) + "\n")
    return folder


def base_of(folder: Path) -> str:
    """The name of the checkpoint that a delta stands on. Raises CheckpointError when its facts are damaged."""
    return str(_facts(folder)["base"])


def apply_delta(unet: Any, folder: Path) -> Any:
    """The UNet with a delta's weights: gated where the delta is. Raises CheckpointError when it does not fit."""
    facts = _facts(folder)
    changed = add_gates(unet) if facts["attention_type"] == "gated" else unet
    try:
        tensors = load_file(folder / _TENSORS)
        state = changed.state_dict()
        _check_names(tensors.keys(), state.keys(), folder)
        changed.load_state_dict(state | {k: v.to(state[k].dtype) for k, v in tensors.items()})
    except (OSError, SafetensorError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0]
        raise CheckpointError(f"the delta {str(folder)!r} does not fit {facts['base']!r}: {reason:.160}") from error
    return changed


def _check_names(found: Collection[str], known: Collection[str], folder: Path) -> None:
    strange = [name for name in found if name not in known]
    if strange:
        raise CheckpointError(f"the delta {str(folder)!r} has {strange[0]!r}, which its base lacks; name its own")


def _facts(folder: Path) -> dict[str, Any]:
    try:
        facts = json.loads((folder / DELTA).read_text(encoding="utf-8"))
        return {"base": facts["base"], "attention_type": facts["attention_type"]}
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"{str(folder / DELTA)!r} is damaged ({type(error).__name__}); expected base and attention_type"
        ) from error

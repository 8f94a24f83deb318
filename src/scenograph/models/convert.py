"""Pickle checkpoints (.ckpt, .pt, .pth, .bin) → safetensors: the only door through which foreign pickles come in.

A pickle can run code when it is opened. `torch.load(weights_only=True)` opens the harmless subset (tensors and plain
containers) and refuses the rest; the tensors are then written as safetensors, which cannot run anything.
"""

from __future__ import annotations

import os
import pickle
import tempfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import save_file

from scenograph.errors import CheckpointError


def convert_pickle(path: str | Path, out: str | Path) -> Path:
    """Write the tensors of a pickle checkpoint to `out` (.safetensors) and return `out`.

    A nested "state_dict" (the SD 1.x habit) is unwrapped; entries that are not tensors (step counts, callbacks) are
    left behind. `out` appears only when it is whole.

    Raises CheckpointError when the file is missing, damaged, asks to run code, or holds no tensors.
    """
    path, out = Path(path), Path(out)
    if out.suffix != ".safetensors":
        raise CheckpointError(f"cannot convert to {str(out)!r}; expected a name that ends in .safetensors")
    tensors = _tensors(open_pickle(path), path)
    out.parent.mkdir(parents=True, exist_ok=True)
    handle, temporary = tempfile.mkstemp(dir=out.parent, prefix=f".{out.name}.")
    os.close(handle)
    try:
        save_file(tensors, temporary, metadata={"format": "pt"})
        os.chmod(temporary, 0o644)
        os.replace(temporary, out)
    finally:
        Path(temporary).unlink(missing_ok=True)
    return out


def open_pickle(path: Path) -> Any:
    """What a pickle holds, without running anything in it. Raises CheckpointError.

    Settings that some trainings store beside their weights (OmegaConf's classes) come out as empty shells.
    """
    try:
        with torch.serialization.safe_globals(_shells(path)):
            return torch.load(path, map_location="cpu", weights_only=True)
    except FileNotFoundError as error:
        raise CheckpointError(f"no checkpoint at {str(path)!r}; expected a .ckpt, .pt, .pth or .bin file") from error
    except pickle.UnpicklingError as error:
        raise CheckpointError(
            f"{str(path)!r} is damaged or asks to run code, so it was not opened; expected tensors only: get a "
            ".safetensors version from its author"
        ) from error
    except (OSError, RuntimeError, EOFError, ValueError, KeyError, AttributeError) as error:
        raise CheckpointError(
            f"cannot read {str(path)!r} ({type(error).__name__}); expected a file written by torch.save: fetch it again"
        ) from error


class _Shell:
    """Stands for a class that is not wanted: it takes any state and keeps none."""

    def __init__(self, *args: Any, **kwargs: Any) -> None: ...

    def __setstate__(self, state: Any) -> None: ...


def _shells(path: Path) -> list[Any]:
    names = torch.serialization.get_unsafe_globals_in_checkpoint(path)
    return [(type(name, (_Shell,), {}), name) for name in names if name.split(".")[0] in ("omegaconf", "typing")]


def _tensors(loaded: Any, path: Path) -> dict[str, torch.Tensor]:
    if isinstance(loaded, Mapping) and isinstance(loaded.get("state_dict"), Mapping):
        loaded = loaded["state_dict"]
    found = loaded.items() if isinstance(loaded, Mapping) else ()
    # clone: safetensors refuses tensors that share memory, which tied weights do
    tensors = {str(name): value.detach().contiguous().clone() for name, value in found if torch.is_tensor(value)}
    if not tensors:
        raise CheckpointError(f"{str(path)!r} holds no named tensors; expected a state dict")
    return tensors

"""A name → a stock diffusers pipeline, frozen and on its device.

A name is tried as: an existing folder (diffusers layout, or a delta of `gated.py`) or file (.safetensors in the
original layout), an embedded model, a hub id. Pickles are never opened here: they may run code, so they go through
`scenograph convert` (`convert.py`). Whatever is wrong with a checkpoint comes out as one CheckpointError line, and an
unreachable hub costs seconds, not the minutes of the client's retries.
"""

from __future__ import annotations

import contextlib
import logging
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import torch

from scenograph.errors import CheckpointError, DependencyError, ScenographWarning
from scenograph.models.families import Family, check_channels, family_of_file, family_of_folder
from scenograph.models.gated import DELTA, apply_delta, base_of

_HUB_SECONDS = 5.0  # for one look at the hub, and for the head of a file
_AGAIN = "fetch or save the checkpoint again"
_ON_HUB = (
    "fetch it again; where it has no plain safetensors, name its variant, or convert its pickles and name the folder"
)
PICKLES = (".ckpt", ".pt", ".pth", ".bin", ".pkl")
_DTYPES = {
    "float16": torch.float16,
    "fp16": torch.float16,
    "bfloat16": torch.bfloat16,
    "bf16": torch.bfloat16,
    "float32": torch.float32,
    "fp32": torch.float32,
    "float64": torch.float64,
}


@torch.inference_mode(False)  # guidance differentiates through the weights, whatever the caller does around it
def load_pipeline(
    name: str | Path,
    *,
    dtype: torch.dtype | str | None = None,
    device: torch.device | str | None = None,
    variant: str | None = None,
    config: str | Path | None = None,
) -> tuple[Family, Any]:
    """Load a checkpoint as (its family, the stock pipeline): frozen, in eval mode, without safety checker.

    Args:
        name: hub id, diffusers folder, .safetensors file or embedded name.
        dtype: default float16 on CUDA, float32 elsewhere.
        device: default the first of cuda, mps, cpu that is there.
        variant: file variant of a folder or hub id, such as "fp16".
        config: diffusers folder or hub id that describes a single file (its configs and tokenizer); by default
            diffusers picks one from the hub by the file's tensor names.

    Raises:
        CheckpointError: missing, unreachable or damaged, or not a text-to-image checkpoint of a known family.
        DependencyError: the device is not there.
    """
    device = pick_device(device)
    dtype = pick_dtype(dtype, device)
    source = _locate(name)
    if source is not None and (source / DELTA).is_file():
        family, pipeline = _load_delta(source, dtype, variant, config)
    elif source is None:
        family, pipeline = _load_from_hub(str(name), dtype, variant)
    elif source.is_file():
        family, pipeline = _load_file(source, dtype, config)
    else:
        family, pipeline = _load_folder(source, str(name), dtype, variant)
    _check(pipeline, str(name))
    with one_line(str(name), advice=f"it could not be moved to {device}: name another device, or offload"):
        return family, freeze(pipeline).to(device)


def _check(pipeline: Any, name: str) -> None:
    """What the libraries load without a word, and cannot work."""
    check_channels(pipeline.unet.config.in_channels, name, pipeline.vae.config.latent_channels)
    if pipeline.unet.config.sample_size is None:
        raise CheckpointError(f"the UNet config of {name!r} has no sample_size; expected the latent size: add it")
    for part in ("tokenizer", "tokenizer_2"):
        tokenizer = pipeline.components.get(part)
        # A tokenizer whose files are missing is built with nothing but its special tokens.
        if tokenizer is not None and len(tokenizer) <= len(tokenizer.all_special_tokens):
            raise CheckpointError(f"the {part} of {name!r} has no vocabulary; fetch or save the checkpoint again")


def freeze(pipeline: Any) -> Any:
    """Put every network into eval mode with requires_grad off: guidance differentiates in latents, never in weights."""
    for part in pipeline.components.values():
        if isinstance(part, torch.nn.Module):
            part.eval().requires_grad_(False)
    return pipeline


def pick_device(device: torch.device | str | None) -> torch.device:
    """The asked device, else cuda, mps or cpu. Raises DependencyError when it is not there."""
    available = {"cuda": torch.cuda.is_available(), "mps": torch.backends.mps.is_available(), "cpu": True}
    if device is None:
        return torch.device(next(kind for kind, there in available.items() if there))
    try:
        chosen = torch.device(device)
    except RuntimeError as error:
        raise DependencyError(f"unknown device {device!r}; expected cuda, cuda:N, mps or cpu") from error
    if not available.get(chosen.type, True):
        there = ", ".join(kind for kind, is_there in available.items() if is_there)
        raise DependencyError(f"device {device!r} is not available to this torch; expected one of: {there}")
    if chosen.type == "cuda" and (chosen.index or 0) >= torch.cuda.device_count():
        count = torch.cuda.device_count()
        raise DependencyError(f"device {device!r} is not there; expected cuda:0 to cuda:{count - 1}")
    return chosen


def pick_dtype(dtype: torch.dtype | str | None, device: torch.device) -> torch.dtype:
    """The asked dtype, else float16 on CUDA and float32 elsewhere; warns of one that the processor does not know.

    Raises CheckpointError for an unknown name.
    """
    if dtype is None:
        return torch.float16 if device.type == "cuda" else torch.float32
    if isinstance(dtype, str):
        if dtype not in _DTYPES:
            raise CheckpointError(f"unknown dtype {dtype!r}; expected one of: {', '.join(sorted(_DTYPES))}")
        dtype = _DTYPES[dtype]
    if lacks(device, dtype):
        told = f"this processor has no instructions for {dtype}: pictures take minutes; float32 is far faster here"
        warnings.warn(told, ScenographWarning, stacklevel=2)
    return dtype


def lacks(device: torch.device, dtype: torch.dtype) -> bool:
    """Whether this is a CPU without instructions for a 16-bit `dtype`, where a convolution takes some 90 times as long
    as in float32."""
    if device.type != "cpu" or not torch.backends.mkldnn.is_available():
        return False
    asks = {
        torch.bfloat16: torch.ops.mkldnn._is_mkldnn_bf16_supported,
        torch.float16: torch.ops.mkldnn._is_mkldnn_fp16_supported,
    }
    return dtype in asks and not asks[dtype]()


def _locate(name: str | Path) -> Path | None:
    """The folder or file behind a name, or None for a hub id."""
    path = Path(name).expanduser()
    if path.exists():
        return path
    from scenograph.models.embedded import EMBEDDED, embedded_path

    text = str(name)
    if text in EMBEDDED:
        return Path(embedded_path(text))
    looks_local = isinstance(name, Path) or text.startswith(("/", ".", "~")) or text.count("/") > 1
    if looks_local or path.suffix in (".safetensors", *PICKLES):
        raise CheckpointError(f"no checkpoint at {text!r}; expected a diffusers folder or a .safetensors file")
    if text.count("/") != 1:
        raise CheckpointError(
            f"unknown model {text!r}; expected a hub id (owner/name), a folder, a .safetensors file or tiny-sd"
        )
    return None


def _load_delta(folder: Path, dtype: torch.dtype, variant: str | None, config: str | Path | None) -> tuple[Family, Any]:
    """The checkpoint that a delta stands on, with the delta's UNet."""
    base = base_of(folder)
    if (Path(base) / DELTA).resolve() == (folder / DELTA).resolve():
        raise CheckpointError(f"the delta {str(folder)!r} names itself as its base; expected another checkpoint")
    family, pipeline = load_pipeline(base, dtype=dtype, device="cpu", variant=variant, config=config)
    pipeline.register_modules(unet=apply_delta(pipeline.unet, folder))
    return family, pipeline


def _load_folder(folder: Path, name: str, dtype: torch.dtype, variant: str | None) -> tuple[Family, Any]:
    index = folder / "model_index.json"
    if not index.is_file():
        raise CheckpointError(
            f"the folder {name!r} has no model_index.json; expected one written by save_pretrained, or name the "
            ".safetensors file inside it"
        )
    return _from_pretrained(family_of_folder(index, name), folder, name, dtype, variant, local_files_only=True)


def _from_pretrained(
    family: Family, source: str | Path, name: str, dtype: torch.dtype, variant: str | None, *, local_files_only: bool
) -> tuple[Family, Any]:
    unchecked = {"safety_checker": None, "requires_safety_checker": False} if family.name == "sd" else {}
    advice = _advice(source, variant) if isinstance(source, Path) else _ON_HUB
    with one_line(name, advice=advice):
        pipeline = family.pipeline_class().from_pretrained(
            source, dtype=dtype, variant=variant, use_safetensors=True, local_files_only=local_files_only, **unchecked
        )
    return family, pipeline


def _advice(folder: Path, variant: str | None) -> str:
    """What to do about a folder that cannot be loaded: look at what weights each part has."""
    for part in sorted(path for path in folder.iterdir() if path.is_dir()):
        pickles = sorted(part.glob("*.bin"))
        safe = [path.name for path in part.glob("*.safetensors")]
        if pickles and not safe:
            return f"its weights are pickles: run `scenograph convert {pickles[0]} {_safe_name(pickles[0])}`, and so on"
        if variant is None and safe and all(name.count(".") > 1 for name in safe):
            return f"the weights in {part.name} are of the variant {safe[0].split('.')[1]!r} alone: give variant="
    return _AGAIN


def _safe_name(pickle: Path) -> Path:
    """Where diffusers and transformers look for the same weights as safetensors."""
    stem = "model" if pickle.stem == "pytorch_model" else pickle.stem  # transformers' name, and diffusers' as it is
    return pickle.with_name(f"{stem}.safetensors")


def _load_file(path: Path, dtype: torch.dtype, config: str | Path | None) -> tuple[Family, Any]:
    if path.suffix in PICKLES:
        raise CheckpointError(
            f"{str(path)!r} is a pickle, which can run code when opened; run `scenograph convert {path} "
            f"{path.with_suffix('.safetensors')}` and name the result"
        )
    family = family_of_file(path)
    local = config is not None and Path(config).is_dir()
    with one_line(str(path), advice="a single file needs the configs of its family: give config=, a diffusers folder"):
        pipeline = family.pipeline_class().from_single_file(
            str(path),
            dtype=dtype,
            config=None if config is None else str(config),
            local_files_only=local or not hub_reachable(),
            safety_checker=None,
        )
    pipeline.register_to_config(**({"requires_safety_checker": False} if family.name == "sd" else {}))
    return family, pipeline


def _load_from_hub(name: str, dtype: torch.dtype, variant: str | None) -> tuple[Family, Any]:
    reachable = hub_reachable()
    family = family_of_folder(_fetch_index(name, reachable), name)
    return _from_pretrained(family, name, name, dtype, variant, local_files_only=not reachable)


def _fetch_index(name: str, reachable: bool) -> Path:
    from huggingface_hub import errors, hf_hub_download

    try:
        return Path(
            hf_hub_download(name, "model_index.json", local_files_only=not reachable, etag_timeout=_HUB_SECONDS)
        )
    except errors.HFValidationError as error:
        raise CheckpointError(f"{name!r} is not a hub id; expected owner/name or an existing folder or file") from error
    except errors.GatedRepoError as error:
        raise CheckpointError(
            f"the checkpoint {name!r} is gated; accept its terms on its hub page and run `hf auth login`"
        ) from error
    except errors.RepositoryNotFoundError as error:
        raise CheckpointError(
            f"the hub has no checkpoint {name!r} that you may read; check the spelling, or run `hf auth login` for a "
            "private one"
        ) from error
    except errors.LocalEntryNotFoundError as error:
        raise CheckpointError(
            f"cannot reach the hub for {name!r}, and it is not in the local cache; go online, or name a folder, a "
            ".safetensors file or an embedded model"
        ) from error
    except errors.EntryNotFoundError as error:
        raise CheckpointError(f"{name!r} has no model_index.json on the hub; expected a diffusers pipeline") from error
    except (OSError, RuntimeError) as error:
        raise CheckpointError(f"the hub failed for {name!r}: {_first_line(error)}; try again later") from error


def hub_reachable() -> bool:
    """One short look, so that a missing network is noticed in seconds and not after the client's retries."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except Exception:  # whichever HTTP library: any failure to get an answer means "not reachable"
        return False
    return True


@contextlib.contextmanager
def one_line(name: str, advice: str = _AGAIN) -> Iterator[None]:
    """Turn whatever the libraries raise on a bad checkpoint into one CheckpointError line, and keep them silent."""
    try:
        with _quiet():
            yield
    except Exception as error:  # the libraries' own errors have no common base
        raise CheckpointError(f"cannot load {name!r}: {_first_line(error)}; {advice}") from error


def _first_line(error: Exception) -> str:
    lines = str(error).strip().splitlines() or [type(error).__name__]
    return lines[0].strip().rstrip(".:;")[:240]


@contextlib.contextmanager
def _quiet() -> Iterator[None]:
    """Loading bars and remarks of diffusers and transformers off: the command line prints results, not progress."""
    from diffusers.utils import logging as diffusers_logging
    from transformers.utils import logging as transformers_logging

    bars = transformers_logging.is_progress_bar_enabled(), diffusers_logging.is_progress_bar_enabled()
    loggers = [logging.getLogger(name) for name in ("diffusers", "transformers")]
    levels = [logger.level for logger in loggers]
    transformers_logging.disable_progress_bar()
    diffusers_logging.disable_progress_bar()
    for logger in loggers:
        logger.setLevel(logging.CRITICAL)  # what they log as an error, they raise as well
    try:
        with warnings.catch_warnings(action="ignore"):
            yield
    finally:
        for logger, level in zip(loggers, levels, strict=True):
            logger.setLevel(level)
        if bars[0]:
            transformers_logging.enable_progress_bar()
        if bars[1]:
            diffusers_logging.enable_progress_bar()

"""The families of diffusion backbones that can be painted with, as facts in a table.

A family says which stock diffusers pipeline holds its parts and how its checkpoints are recognised. What a single
checkpoint decides (image size, prediction type, number of levels) is asked of its parts, never written down here; the
cross-attention layers that guidance reads are found by a predicate on the UNet (`painting.attention.guidance_layers`).
"""

from __future__ import annotations

import json
import struct
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenograph.errors import CheckpointError

Header = Mapping[str, Mapping[str, Any]]
"""The head of a safetensors file: tensor name → {"dtype", "shape", "data_offsets"}."""

_FIRST_CONVOLUTION = "model.diffusion_model.input_blocks.0.0.weight"
_LARGEST_HEADER = 100_000_000  # bytes; the limit of the safetensors format itself


@dataclass(frozen=True, kw_only=True)
class Family:
    """One row of FAMILIES."""

    name: str
    """Short name, as in results and model cards."""
    pipeline: str
    """Class of diffusers that holds the parts."""
    single_file_text: str
    """A tensor-name prefix of this family's text encoder in the original single-file format, and of no other's."""
    also: tuple[str, ...] = ()
    """Other pipeline classes whose folders hold the same parts."""

    def pipeline_class(self) -> Any:
        """The diffusers class, imported here: naming a family must not cost seconds."""
        import diffusers

        return getattr(diffusers, self.pipeline)


FAMILIES: dict[str, Family] = {
    "sd": Family(
        name="sd",
        pipeline="StableDiffusionPipeline",
        single_file_text="cond_stage_model.",
        also=("StableDiffusionGLIGENPipeline",),
    ),
    "sdxl": Family(name="sdxl", pipeline="StableDiffusionXLPipeline", single_file_text="conditioner.embedders.1."),
}


def is_unified(name: str | Path) -> bool:
    """Whether a name is an embedded unified model's, or a folder of one; hub ids are told by "janus" in their name.

    The owner's name does not count, nor a file's: single files are diffusion checkpoints.
    """
    folder = Path(name).expanduser()
    if folder.is_dir():
        return (folder / "config.json").is_file() and not (folder / "model_index.json").exists()
    return not folder.is_file() and folder.suffix != ".safetensors" and "janus" in folder.name.lower()


def known_pipelines() -> str:
    """The pipeline classes that can be loaded, for error messages."""
    return " or ".join(family.pipeline for family in FAMILIES.values())


def family_of_folder(index: Path, name: str) -> Family:
    """The family of a diffusers folder, from its model_index.json.

    `name` is what the user called the checkpoint. Raises CheckpointError when the index is damaged or names another
    pipeline.
    """
    try:
        found = json.loads(index.read_text(encoding="utf-8"))["_class_name"]
    except (OSError, UnicodeDecodeError, json.JSONDecodeError, KeyError, TypeError) as error:
        raise CheckpointError(
            f"the model_index.json of {name!r} is damaged ({type(error).__name__}); "
            "expected a JSON object with _class_name: fetch or save the checkpoint again"
        ) from error
    for family in FAMILIES.values():
        if found == family.pipeline or found in family.also:
            return family
    raise CheckpointError(
        f"{name!r} holds a {found}, expected a {known_pipelines()}; name a text-to-image SD 1.x, 2.x or XL checkpoint"
    )


def family_of_file(path: Path) -> Family:
    """The family of a single-file checkpoint in the original layout, from its safetensors header.

    Raises CheckpointError when the file is damaged, or is no text-to-image checkpoint of a known family.
    """
    header = read_header(path)
    for family in FAMILIES.values():
        if any(tensor.startswith(family.single_file_text) for tensor in header) and _FIRST_CONVOLUTION in header:
            check_channels(header[_FIRST_CONVOLUTION]["shape"][1], str(path))
            return family
    raise CheckpointError(
        f"{str(path)!r} is not a whole SD 1.x, 2.x or XL checkpoint ({len(header)} tensors, but no such UNet with its "
        "text encoder); a LoRA is loaded on top of a checkpoint, other parts through their diffusers folder"
    )


def check_channels(channels: int, name: str, expected: int = 4) -> None:
    """Raise CheckpointError unless the UNet reads plain latents: inpainting and editing UNets read extra channels."""
    if channels != expected:
        raise CheckpointError(
            f"the UNet of {name!r} reads {channels} channels, expected {expected}; "
            "it is an inpainting or editing checkpoint: name the text-to-image one"
        )


def read_header(path: Path) -> Header:
    """The header of a safetensors file, without its tensors. Raises CheckpointError when it is damaged."""
    try:
        with path.open("rb") as file:
            (size,) = struct.unpack("<Q", file.read(8))
            if size > _LARGEST_HEADER:
                raise ValueError("header too large")
            header = json.loads(file.read(size))
        header.pop("__metadata__", None)
        end = max((entry["data_offsets"][1] for entry in header.values()), default=0)
    except (OSError, struct.error, ValueError, AttributeError, KeyError, TypeError, IndexError) as error:
        raise CheckpointError(
            f"{str(path)!r} is not a safetensors file ({type(error).__name__}); a .ckpt or .bin pickle goes through "
            "`scenograph convert` first"
        ) from error
    if path.stat().st_size < 8 + size + end:
        raise CheckpointError(f"{str(path)!r} is cut off: {path.stat().st_size} bytes, expected {8 + size + end}")
    return dict(header)


def default_size(pipeline: Any) -> tuple[int, int]:
    """(width, height) in pixels that the checkpoint was made for: UNet sample size × VAE factor."""
    sample = pipeline.unet.config.sample_size
    height, width = (sample, sample) if isinstance(sample, int) else sample
    return width * pipeline.vae_scale_factor, height * pipeline.vae_scale_factor

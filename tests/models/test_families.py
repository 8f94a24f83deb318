"""The table of families and how a checkpoint is recognised."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file

from scenograph.errors import CheckpointError
from scenograph.models.families import FAMILIES, default_size, family_of_file, family_of_folder, read_header
from scenograph.models.loading import load_pipeline
from tests.tiny import tiny_sd

CONVOLUTION = "model.diffusion_model.input_blocks.0.0.weight"


def test_every_family_names_a_diffusers_pipeline() -> None:
    assert {name: family.pipeline_class().__name__ for name, family in FAMILIES.items()} == {
        "sd": "StableDiffusionPipeline",
        "sdxl": "StableDiffusionXLPipeline",
    }
    assert all(name == family.name for name, family in FAMILIES.items())


def test_the_default_size_is_the_checkpoints(tmp_path: Path) -> None:
    _, pipeline = load_pipeline(tiny_sd(tmp_path), device="cpu")
    assert default_size(pipeline) == (128, 128)
    pipeline.unet.register_to_config(sample_size=(8, 24))
    assert default_size(pipeline) == (192, 64)


@pytest.mark.parametrize(
    "other", ["StableDiffusion3Pipeline", "FluxPipeline", "StableDiffusionInpaintPipeline", "StableDiffusionXLImg2Img"]
)
def test_folders_of_other_pipelines_are_named_and_refused(tmp_path: Path, other: str) -> None:
    index = tmp_path / "model_index.json"
    index.write_text(json.dumps({"_class_name": other}))
    with pytest.raises(CheckpointError, match=f"holds a {other}, expected a StableDiffusionPipeline or"):
        family_of_folder(index, "x")


@pytest.mark.parametrize("content", [b"", b"{", b"[]", b"{}", b"\xff\xfe\x00", b'"text"'])
def test_a_damaged_index_is_one_line(tmp_path: Path, content: bytes) -> None:
    index = tmp_path / "model_index.json"
    index.write_bytes(content)
    with pytest.raises(CheckpointError, match="damaged") as caught:
        family_of_folder(index, "x")
    assert "\n" not in str(caught.value)


def single_file(path: Path, text: str, channels: int = 4) -> Path:
    save_file({CONVOLUTION: torch.zeros(8, channels, 3, 3), f"{text}weight": torch.zeros(1)}, path)
    return path


def test_single_files_are_recognised_by_their_text_encoder(tmp_path: Path) -> None:
    assert family_of_file(single_file(tmp_path / "a.safetensors", "cond_stage_model.transformer.")).name == "sd"
    assert family_of_file(single_file(tmp_path / "b.safetensors", "conditioner.embedders.1.model.")).name == "sdxl"


def test_other_single_files_are_refused(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="reads 9 channels, expected 4; it is an inpainting"):
        family_of_file(single_file(tmp_path / "inpaint.safetensors", "cond_stage_model.", channels=9))
    with pytest.raises(CheckpointError, match="is not a whole SD"):
        family_of_file(single_file(tmp_path / "flux.safetensors", "double_blocks.0."))
    save_file({"lora_unet_down.lora_up.weight": torch.zeros(1)}, tmp_path / "lora.safetensors")
    with pytest.raises(CheckpointError, match="a LoRA is loaded on top"):
        family_of_file(tmp_path / "lora.safetensors")


@pytest.mark.parametrize("content", [b"", b"\x01", b"PK\x03\x04" * 9, b"\xff" * 64, b"\x02\0\0\0\0\0\0\0[]"])
def test_what_is_no_safetensors_file_is_refused(tmp_path: Path, content: bytes) -> None:
    path = tmp_path / "x.safetensors"
    path.write_bytes(content)
    with pytest.raises(CheckpointError, match="is not a safetensors file"):
        read_header(path)


def test_a_cut_off_file_is_noticed_before_it_is_loaded(tmp_path: Path) -> None:
    path = single_file(tmp_path / "a.safetensors", "cond_stage_model.")
    path.write_bytes(path.read_bytes()[:-8])
    with pytest.raises(CheckpointError, match="is cut off"):
        read_header(path)

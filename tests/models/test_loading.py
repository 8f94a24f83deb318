"""Names → pipelines: folders, single files, hub ids without a hub, and everything that can be wrong with them."""

from __future__ import annotations

import json
import re
import shutil
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from scenograph.errors import CheckpointError, DependencyError, ScenographWarning
from scenograph.models import embedded, loading
from scenograph.models.convert import convert_pickle
from scenograph.models.families import is_unified
from scenograph.models.loading import lacks, load_pipeline, pick_device, pick_dtype
from tests.heard import heard
from tests.models.original_format import write_original
from tests.tiny import tiny_sd, tiny_sdxl


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_sd(tmp_path_factory.mktemp("sd") / "tiny")


def state(pipeline: Any) -> dict[str, torch.Tensor]:
    parts = ("unet", "vae", "text_encoder")
    return {f"{part}.{key}": value for part in parts for key, value in getattr(pipeline, part).state_dict().items()}


def test_a_folder_is_loaded_frozen_in_eval_mode_without_safety_checker(folder: Path) -> None:
    family, pipeline = load_pipeline(folder, device="cpu")
    assert (family.name, type(pipeline).__name__) == ("sd", "StableDiffusionPipeline")
    assert pipeline.safety_checker is None
    for part in (pipeline.unet, pipeline.vae, pipeline.text_encoder):
        assert not part.training
        assert not any(weight.requires_grad for weight in part.parameters())
        assert part.dtype == torch.float32


def test_sdxl_and_other_dtypes(tmp_path: Path) -> None:
    family, pipeline = load_pipeline(str(tiny_sdxl(tmp_path)), device="cpu", dtype="bf16")
    assert family.name == "sdxl"
    assert {pipeline.unet.dtype, pipeline.text_encoder_2.dtype} == {torch.bfloat16}


def test_a_single_file_loads_the_same_weights_as_its_folder(folder: Path, tmp_path: Path) -> None:
    file = write_original(folder, tmp_path / "model.safetensors")
    family, pipeline = load_pipeline(file, device="cpu", config=folder)
    _, expected = load_pipeline(folder, device="cpu")
    assert (family.name, type(pipeline).__name__) == ("sd", "StableDiffusionPipeline")
    assert pipeline.safety_checker is None
    assert state(pipeline).keys() == state(expected).keys()
    for name, value in state(expected).items():
        assert torch.equal(state(pipeline)[name], value), name


def test_embedded_names_load_like_folders(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embedded, "WEIGHTS", folder.parent)
    monkeypatch.setitem(embedded.EMBEDDED, "tiny-sd", folder.name)
    family, _ = load_pipeline("tiny-sd", device="cpu")
    assert family.name == "sd"


def test_an_existing_folder_wins_over_an_embedded_name(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    shutil.copytree(folder, tmp_path / "tiny-sd")
    monkeypatch.chdir(tmp_path)
    assert load_pipeline("tiny-sd", device="cpu")[0].name == "sd"


@pytest.mark.parametrize(
    ("name", "text"),
    [
        ("/nowhere/model", "no checkpoint at '/nowhere/model'"),
        ("./nowhere", "no checkpoint at"),
        ("a/b/c", "no checkpoint at"),
        ("model.safetensors", "no checkpoint at"),
        ("model.ckpt", "no checkpoint at"),
        ("tiny-sdd", r"unknown model 'tiny-sdd'; expected a hub id"),
        ("bad name/..x", "is not a hub id"),
    ],
)
def test_names_that_lead_nowhere_are_one_line(name: str, text: str) -> None:
    with pytest.raises(CheckpointError, match=text) as caught:
        load_pipeline(name, device="cpu")
    assert "\n" not in str(caught.value)


def test_without_a_hub_the_answer_comes_in_seconds(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    from huggingface_hub import constants

    # A port nobody listens on stands for a hub that cannot be reached.
    monkeypatch.setattr(constants, "ENDPOINT", "http://127.0.0.1:9")
    monkeypatch.setattr(constants, "HF_HUB_CACHE", str(tmp_path))
    start = time.monotonic()
    with pytest.raises(
        CheckpointError, match="cannot reach the hub for 'owner/name', and it is not in the local cache"
    ):
        load_pipeline("owner/name", device="cpu")
    assert time.monotonic() - start < 20


def remove(*parts: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        folder.joinpath(*parts).unlink()

    return damage


def cut(*parts: str) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder.joinpath(*parts)
        path.write_bytes(path.read_bytes()[:1000])

    return damage


def edit(*parts: str, **changes: Any) -> Callable[[Path], None]:
    def damage(folder: Path) -> None:
        path = folder.joinpath(*parts)
        path.write_text(json.dumps({**json.loads(path.read_text()), **changes}))

    return damage


DAMAGE: dict[str, tuple[Callable[[Path], None], str]] = {
    "no index": (remove("model_index.json"), "has no model_index.json"),
    "no unet": (remove("unet", "diffusion_pytorch_model.safetensors"), "cannot load"),
    "cut unet": (cut("unet", "diffusion_pytorch_model.safetensors"), "cannot load"),
    "cut text encoder": (cut("text_encoder", "model.safetensors"), "cannot load"),
    "no tokenizer": (remove("tokenizer", "tokenizer.json"), "the tokenizer of .* has no vocabulary"),
    "bad config": (cut("unet", "config.json"), "cannot load"),
    "other class": (edit("model_index.json", _class_name="FluxPipeline"), "holds a FluxPipeline"),
    "other shape": (edit("unet", "config.json", cross_attention_dim=48), "cannot load"),
}


@pytest.mark.parametrize("kind", DAMAGE)
def test_damaged_folders_are_one_line(folder: Path, tmp_path: Path, kind: str) -> None:
    broken = tmp_path / "broken"
    shutil.copytree(folder, broken)
    damage, text = DAMAGE[kind]
    damage(broken)
    with pytest.raises(CheckpointError, match=text) as caught:
        load_pipeline(broken, device="cpu")
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 600


def test_pickles_are_never_opened(tmp_path: Path) -> None:
    file = tmp_path / "model.ckpt"
    file.write_bytes(b"cos\nsystem\n(S'touch /tmp/never'\ntR.")
    with pytest.raises(CheckpointError, match=r"is a pickle.*scenograph convert .*model\.ckpt .*model\.safetensors"):
        load_pipeline(file, device="cpu")


def test_a_folder_of_pickles_is_refused(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    weights = old / "unet" / "diffusion_pytorch_model.safetensors"
    torch.save(load_file(weights), weights.with_suffix(".bin"))
    weights.unlink()
    command = f"run `scenograph convert {weights.with_suffix('.bin')} {weights}`"
    with heard() as said, pytest.raises(CheckpointError, match=re.escape(command)):
        load_pipeline(old, device="cpu")
    assert said.getvalue() == ""
    convert_pickle(weights.with_suffix(".bin"), weights)
    assert load_pipeline(old, device="cpu")[0].name == "sd"


def test_the_advised_name_is_the_one_that_is_looked_for(folder: Path, tmp_path: Path) -> None:
    old = tmp_path / "old"
    shutil.copytree(folder, old)
    encoder = old / "text_encoder"
    (encoder / "model.safetensors").rename(encoder / "pytorch_model.bin")
    with pytest.raises(CheckpointError, match=r"convert \S+/pytorch_model\.bin \S+/text_encoder/model\.safetensors`"):
        load_pipeline(old, device="cpu")


def test_a_folder_of_one_variant_asks_for_it_by_name(folder: Path, tmp_path: Path) -> None:
    _, pipeline = load_pipeline(folder, device="cpu")
    pipeline.save_pretrained(tmp_path / "half", variant="fp16")
    with pytest.raises(CheckpointError, match=r"are of the variant 'fp16' alone: give variant="):
        load_pipeline(tmp_path / "half", device="cpu")
    _, again = load_pipeline(tmp_path / "half", device="cpu", variant="fp16")
    assert all(torch.equal(state(again)[name], value) for name, value in state(pipeline).items())


def test_loading_in_half_precision_says_nothing(folder: Path) -> None:
    with heard() as said:
        load_pipeline(folder, device="cpu", dtype="fp16")
    assert said.getvalue() == ""


def test_a_dtype_that_the_processor_does_not_know_is_told(monkeypatch: pytest.MonkeyPatch) -> None:
    cpu = torch.device("cpu")
    monkeypatch.setattr(loading, "lacks", lambda device, dtype: dtype == torch.bfloat16)
    for dtype in ("bf16", torch.bfloat16):
        with pytest.warns(ScenographWarning, match="no instructions for torch.bfloat16: .* float32 is far faster"):
            assert pick_dtype(dtype, cpu) == torch.bfloat16
    with warnings.catch_warnings(action="error"):
        assert pick_dtype("float32", cpu) == torch.float32


def test_only_16_bits_on_a_cpu_may_lack_instructions() -> None:
    cpu, elsewhere = torch.device("cpu"), torch.device("cuda")
    assert not any(lacks(elsewhere, dtype) for dtype in (torch.float16, torch.bfloat16, torch.float32))
    assert not any(lacks(cpu, dtype) for dtype in (torch.float32, torch.float64))
    assert lacks(cpu, torch.bfloat16) == (not torch.ops.mkldnn._is_mkldnn_bf16_supported())


def test_devices_and_dtypes() -> None:
    assert pick_device("cpu") == torch.device("cpu")
    assert pick_device(None).type in ("cuda", "mps", "cpu")
    assert pick_dtype(None, torch.device("cpu")) == torch.float32
    assert pick_dtype(None, torch.device("cuda")) == torch.float16
    assert pick_dtype("bf16", torch.device("cuda")) == torch.bfloat16
    with pytest.raises(CheckpointError, match="unknown dtype 'int8'; expected one of: bf16"):
        pick_dtype("int8", torch.device("cpu"))
    with pytest.raises(DependencyError, match="unknown device 'gpu'"):
        pick_device("gpu")
    if not torch.cuda.is_available():
        with pytest.raises(DependencyError, match="device 'cuda' is not available"):
            pick_device("cuda")


def test_loading_leaves_the_libraries_talkative_again(folder: Path) -> None:
    from diffusers.utils import logging as diffusers_logging

    before = diffusers_logging.is_progress_bar_enabled()
    with pytest.raises(CheckpointError), loading.one_line("x"):
        assert not diffusers_logging.is_progress_bar_enabled()
        raise OSError("first line\nsecond line")
    assert diffusers_logging.is_progress_bar_enabled() == before


def test_unified_models_are_told_by_their_own_names(tmp_path: Path) -> None:
    (tmp_path / "janusz").mkdir()
    file = tmp_path / "janusz" / "sd15.safetensors"
    file.touch()
    for name in (file, "janusz/my-sd", "janusz/not-there.safetensors", "tiny-sd"):
        assert not is_unified(name), name
    for name in ("deepseek-community/Janus-Pro-1B", "tiny-janus"):
        assert is_unified(name), name

"""Pickles → safetensors, and what a pickle must not do."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from scenograph.errors import CheckpointError
from scenograph.models.convert import convert_pickle


def test_tensors_survive_and_the_rest_stays_behind(tmp_path: Path) -> None:
    shared = torch.arange(6.0).view(2, 3)
    checkpoint = {"state_dict": {"a": shared, "tied": shared, "turned": shared.T, "step": 7}, "epoch": 3}
    torch.save(checkpoint, tmp_path / "model.ckpt")
    out = convert_pickle(tmp_path / "model.ckpt", tmp_path / "deep" / "model.safetensors")
    tensors = load_file(out)
    assert tensors.keys() == {"a", "tied", "turned"}
    assert torch.equal(tensors["tied"], shared)
    assert torch.equal(tensors["turned"], shared.T)
    assert [entry.name for entry in out.parent.iterdir()] == ["model.safetensors"]


class Attack:
    def __init__(self, target: Path) -> None:
        self.target = target

    def __reduce__(self) -> tuple[object, tuple[str]]:
        return os.mkdir, (str(self.target),)


def test_code_in_a_pickle_is_refused_and_not_run(tmp_path: Path) -> None:
    torch.save({"a": torch.zeros(1), "evil": Attack(tmp_path / "ran")}, tmp_path / "model.ckpt")
    with pytest.raises(CheckpointError, match="asks to run code") as caught:
        convert_pickle(tmp_path / "model.ckpt", tmp_path / "out.safetensors")
    assert "\n" not in str(caught.value)
    assert sorted(entry.name for entry in tmp_path.iterdir()) == ["model.ckpt"]


def test_bad_input_is_one_line(tmp_path: Path) -> None:
    (tmp_path / "junk.ckpt").write_bytes(b"junk" * 100)
    (tmp_path / "empty.ckpt").write_bytes(b"")
    torch.save({"step": 1}, tmp_path / "numbers.ckpt")
    torch.save(torch.zeros(2), tmp_path / "tensor.ckpt")
    for name in ("nowhere", "junk", "empty", "numbers", "tensor"):
        with pytest.raises(CheckpointError) as caught:
            convert_pickle(tmp_path / f"{name}.ckpt", tmp_path / "out.safetensors")
        assert "\n" not in str(caught.value)
        assert not (tmp_path / "out.safetensors").exists()
    with pytest.raises(CheckpointError, match=r"ends in \.safetensors"):
        convert_pickle(tmp_path / "numbers.ckpt", tmp_path / "out.bin")

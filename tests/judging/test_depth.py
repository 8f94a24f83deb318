"""Nearness maps: the size and range of a map, inverse depth as it is, metres turned round."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import CheckpointError
from scenograph.judging.depth import TransformersDepth
from tests.judging.checkpoints import save_dpt, save_glpn


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


def test_maps_have_the_size_of_their_images_and_run_from_0_to_1(tmp_path: Path) -> None:
    model = TransformersDepth.from_pretrained(save_dpt(tmp_path), device="cpu")
    assert not model.metric
    images = [noise(40, 24), noise(64, 64, 1)]
    maps = model.nearness(images)
    assert [one.shape for one in maps] == [(24, 40), (64, 64)]
    assert all(one.min() == 0 and one.max() == 1 for one in maps)
    raw = model.model(**model.processor(images=images[1], return_tensors="pt")).predicted_depth[0].detach()
    near, far = np.unravel_index(int(raw.argmax()), raw.shape), np.unravel_index(int(raw.argmin()), raw.shape)
    scale = 64 / raw.shape[0]
    at_near, at_far = (maps[1][int((y + 0.5) * scale), int((x + 0.5) * scale)] for y, x in (near, far))
    assert at_near > at_far


def test_metres_are_turned_round(tmp_path: Path) -> None:
    path = save_glpn(tmp_path)
    metres = TransformersDepth.from_pretrained(path, device="cpu")
    assert metres.metric
    image = noise(64, 64)
    inverse = TransformersDepth.from_pretrained(path, device="cpu", metric=False)
    np.testing.assert_allclose(metres.nearness([image])[0], 1 - inverse.nearness([image])[0], atol=1e-5)


def test_configs_that_say_metric_are_believed() -> None:
    class Silent(torch.nn.Module):
        def __init__(self, kind: str) -> None:
            super().__init__()
            self.config = SimpleNamespace(model_type="depth_anything", depth_estimation_type=kind)

    assert TransformersDepth(Silent("metric"), None).metric
    assert not TransformersDepth(Silent("relative"), None).metric


def test_no_depth_at_all_is_all_far() -> None:
    class Flat(torch.nn.Module):
        config = SimpleNamespace(model_type="dpt")
        device = "cpu"

        def forward(self, pixel_values: torch.Tensor) -> SimpleNamespace:
            return SimpleNamespace(predicted_depth=torch.ones(1, 8, 8))

    class Inputs(dict[str, torch.Tensor]):
        def to(self, device: str) -> Inputs:
            return self

    model = TransformersDepth(Flat(), lambda images, return_tensors: Inputs(pixel_values=torch.zeros(1, 3, 8, 8)))
    (flat,) = model.nearness([noise(8, 8)])
    assert flat.shape == (8, 8)
    assert not flat.any()


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="depth model"):
        TransformersDepth.from_pretrained(tmp_path / "nowhere")

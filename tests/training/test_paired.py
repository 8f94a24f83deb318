"""Image tokens are made once, kept, gone on with, and refused when another VQ model made them."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from scenograph.datasets.drawn import DrawnScenes
from scenograph.errors import TrainingError
from scenograph.training.paired import cache_tokens, scene_pixels
from scenograph.unified.model import Unified
from scenograph.unified.pictures import image_tokens
from tests.unified.tiny import IMAGE_LENGTH, tiny_janus, world_codec

CODEC = world_codec()


def unified(seed: int = 0) -> Unified:
    return Unified(tiny_janus(CODEC, seed=seed), CODEC)


@pytest.fixture
def drawn(tmp_path: Path) -> DrawnScenes:
    """Noise of the tiny model's size in the place of scenes."""
    pixels = np.random.default_rng(0).integers(0, 256, (10, 64, 64, 3), dtype=np.uint8)
    np.save(tmp_path / "images.npy", pixels)
    return DrawnScenes(folder=tmp_path, count=10, seed=0, split="train")


def test_tokens_are_kept_and_gone_on_with(drawn: DrawnScenes, tmp_path: Path) -> None:
    path = tmp_path / "tokens.npy"
    first = cache_tokens(unified(), drawn, path, count=6)
    assert first.shape == (6, IMAGE_LENGTH) and first.dtype == np.uint16
    expected = image_tokens(unified().model, scene_pixels(drawn.images_NHWC[:6])).numpy()
    assert np.mean(first == expected) > 0.95 and len(np.unique(first)) > 2
    every = cache_tokens(unified(), drawn, path, count=10)
    assert every.shape == (10, IMAGE_LENGTH) and np.array_equal(every[:6], first)
    written = path.stat().st_mtime_ns
    assert np.array_equal(cache_tokens(unified(), drawn, path, count=6), first)
    assert path.stat().st_mtime_ns == written


def test_float_noise_is_no_other_model(drawn: DrawnScenes, tmp_path: Path) -> None:
    path = tmp_path / "tokens.npy"
    kept = cache_tokens(unified(), drawn, path, count=6).copy()
    kept[0, 3] = (kept[0, 3] + 1) % 24  # one latent fell on the other side of a border
    np.save(path, kept)
    assert np.array_equal(cache_tokens(unified(), drawn, path, count=6), kept)
    with pytest.raises(TrainingError, match="another VQ model"):
        cache_tokens(unified(seed=1), drawn, path, count=6)

"""Distances against formulas written down independently."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from scipy.linalg import sqrtm

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import resamples
from scenograph.judging.clip import TransformersClip
from scenograph.judging.fid import frechet_distance, frechet_estimate, kernel_distance, world_fid
from tests.judging.checkpoints import save_dual_encoder


def gaussian(rows: int, *, seed: int, shift: float = 0.0, scale: float = 1.0) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).normal(shift, scale, (rows, 6)))


def frechet_by_hand(a: torch.Tensor, b: torch.Tensor) -> float:
    x, y = a.numpy(), b.numpy()
    cov_x, cov_y = np.cov(x, rowvar=False), np.cov(y, rowvar=False)
    gap = float(((x.mean(0) - y.mean(0)) ** 2).sum())
    return gap + float(np.trace(cov_x + cov_y - 2 * np.real(sqrtm(cov_x @ cov_y))))


def test_identical_sets_are_at_zero_and_shifted_ones_are_not() -> None:
    a = gaussian(200, seed=0)
    assert frechet_distance(a, a) == pytest.approx(0, abs=1e-9)
    assert frechet_distance(a, a + 2) == pytest.approx(6 * 4, rel=1e-6)


def test_frechet_equals_the_formula() -> None:
    a, b = gaussian(80, seed=1), gaussian(120, seed=2, shift=0.5, scale=1.5)
    assert frechet_distance(a, b) == pytest.approx(frechet_by_hand(a, b), rel=1e-6)


def test_resampled_frechet_equals_the_formula() -> None:
    a, b = gaussian(50, seed=3), gaussian(60, seed=4, shift=0.3)
    weights_RN = resamples(50, count=8, seed=5)
    estimate = frechet_estimate(a, b, weights_RN)
    by_hand = np.array([frechet_by_hand(a[np.repeat(np.arange(50), w)], b) for w in weights_RN])
    assert estimate.value == pytest.approx(frechet_by_hand(a, b), rel=1e-6)
    assert estimate.samples_R == pytest.approx(by_hand, rel=1e-6)
    low, high = estimate.interval
    assert low < estimate.value < high


def test_kernel_distance_is_unbiased_and_equals_the_double_sum() -> None:
    a, b = gaussian(7, seed=6), gaussian(5, seed=7, shift=1)

    def k(x: torch.Tensor, y: torch.Tensor) -> float:
        return float((x @ y / 6 + 1) ** 3)

    within_a = np.mean([k(a[i], a[j]) for i in range(7) for j in range(7) if i != j])
    within_b = np.mean([k(b[i], b[j]) for i in range(5) for j in range(5) if i != j])
    across = np.mean([k(x, y) for x in a for y in b])
    assert kernel_distance(a, b) == pytest.approx(within_a + within_b - 2 * across)
    same = [kernel_distance(gaussian(40, seed=s), gaussian(40, seed=s + 1000)) for s in range(60)]
    assert abs(np.mean(same)) < 3 * np.std(same) / 60**0.5
    assert min(same) < 0


def test_world_fid_tells_pictures_apart(tmp_path: Path) -> None:
    clip = TransformersClip.from_pretrained(save_dual_encoder(tmp_path))

    def pictures(seed: int, low: int, high: int) -> list[Image.Image]:
        rng = np.random.default_rng(seed)
        return [Image.fromarray(rng.integers(low, high, (64, 64, 3), dtype=np.uint8)) for _ in range(40)]

    dark, darker, bright = pictures(0, 0, 100), pictures(1, 0, 100), pictures(2, 150, 256)
    assert world_fid(dark, dark, clip) == pytest.approx(0, abs=1e-3)
    assert world_fid(dark, bright, clip) > 10 * world_fid(dark, darker, clip) > 0


def test_too_few_rows_are_refused() -> None:
    with pytest.raises(ResultError, match="at least 2 rows"):
        frechet_distance(torch.zeros(1, 3), torch.zeros(5, 3))

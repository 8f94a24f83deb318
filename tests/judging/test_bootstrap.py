"""Intervals: they cover what they should, pair what they should, and are repeatable."""

from __future__ import annotations

import numpy as np
import pytest

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Estimate, Tally, difference, estimate, percentile_interval, resamples


def test_resamples_draw_every_layout_with_replacement() -> None:
    weights_RN = resamples(30, count=200, seed=3)
    assert weights_RN.shape == (200, 30)
    assert (weights_RN.sum(axis=1) == 30).all()
    assert (weights_RN == resamples(30, count=200, seed=3)).all()
    assert (weights_RN != resamples(30, count=200, seed=4)).any()


def test_interval_of_a_mean_covers_the_truth_as_often_as_it_says() -> None:
    rng, covered = np.random.default_rng(0), 0
    weights_RN = resamples(60, count=400, seed=1)
    for _ in range(300):
        low, high = estimate(rng.normal(5, 2, 60), weights_RN).interval
        covered += low <= 5 <= high
    assert 0.90 <= covered / 300 <= 0.98


def test_interval_width_is_that_of_the_standard_error() -> None:
    values_N = np.random.default_rng(0).normal(0, 1, 400)
    low, high = estimate(values_N, resamples(400, count=4000)).interval
    assert high - low == pytest.approx(2 * 1.96 * values_N.std() / 20, rel=0.06)


def test_tally_is_a_ratio_of_sums_and_layouts_without_values_count_nothing() -> None:
    tally = Tally.of([[1.0, 0.0, 0.0], [], [1.0]])
    assert tally.mean() == 0.5
    samples_R = tally.estimate(np.array([[1, 1, 1], [3, 0, 0], [0, 0, 3], [0, 3, 0]])).samples_R
    assert samples_R[:3] == pytest.approx([0.5, 1 / 3, 1])
    assert np.isnan(samples_R[3])
    assert np.isnan(Tally.of([[], []]).mean())


def test_intervals_are_centred_on_the_value() -> None:
    inflated = Estimate(value=10.0, samples_R=np.linspace(12, 16, 401))
    assert inflated.interval == pytest.approx((10 - 1.9, 10 + 1.9))
    assert np.isnan(Estimate(value=10.0, samples_R=np.array([np.nan])).interval).all()


def test_undefined_resamples_are_left_out() -> None:
    assert percentile_interval(np.array([np.nan, 1.0, 1.0])) == (1.0, 1.0)
    assert np.isnan(percentile_interval(np.array([np.nan]))).all()


def test_paired_differences_are_narrower_than_unpaired_ones() -> None:
    rng = np.random.default_rng(0)
    hard = rng.normal(0, 5, 100)  # how hard each layout is, for both methods
    first, second = hard + 1 + rng.normal(0, 0.5, 100), hard + rng.normal(0, 0.5, 100)
    weights_RN = resamples(100, count=1000)
    gap = difference(estimate(first, weights_RN), estimate(second, weights_RN))
    assert gap.value == pytest.approx(float(np.mean(first - second)))
    low, high = gap.interval
    assert 0 < low < 1 < high
    loose = difference(estimate(first, weights_RN), estimate(second, resamples(100, count=1000, seed=9)))
    assert np.ptp(loose.interval) > 3 * (high - low)


def test_mistakes_are_named() -> None:
    with pytest.raises(ResultError, match="cannot resample 0 layouts"):
        resamples(0)
    with pytest.raises(ResultError, match="got 5 and 6 resamples"):
        difference(estimate([1.0, 2.0], resamples(2, count=5)), estimate([1.0, 2.0], resamples(2, count=6)))

"""Intervals by resampling layouts: centred percentile intervals and paired differences.

After Efron & Tibshirani 1993, chapters 13 and 15.

The unit that is resampled is the layout, because the instances of one picture are not independent. A resample is
written as how often each layout was drawn, so every metric computes all resamples at once, and methods judged with
the same weights are compared pairwise on the same layouts. Not here: tests of significance; an interval of a
difference that excludes 0 is what is said.

Shapes: R resamples, N layouts.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from scenograph.errors import ResultError

__all__ = ["Estimate", "Tally", "difference", "estimate", "percentile_interval", "resamples"]

Floats = NDArray[np.float64]


@dataclass(frozen=True, kw_only=True)
class Estimate:
    """A metric's value on all layouts and its values on the resamples (R,)."""

    value: float
    samples_R: Floats

    @property
    def interval(self) -> tuple[float, float]:
        """The 95 % percentile interval of the samples, shifted so that their mean is the value.

        Means stay where they are. AP and FID of a resample are higher than of the layouts it was drawn from,
        because repeats flatter interpolated precision and shrink covariances; unshifted, their intervals can miss
        the value itself.
        """
        if not np.isfinite(self.samples_R).any():
            return float("nan"), float("nan")
        return percentile_interval(self.samples_R - np.nanmean(self.samples_R) + self.value)


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Per-layout sums and counts of one metric; its mean is the ratio of the sums over layouts."""

    total_N: Floats
    count_N: Floats

    @classmethod
    def of(cls, per_layout: Iterable[Iterable[float]]) -> Tally:
        """From the values of every layout; a layout without values counts nothing."""
        lists = [list(values) for values in per_layout]
        return cls(
            total_N=np.array([sum(values) for values in lists], dtype=np.float64),
            count_N=np.array([len(values) for values in lists], dtype=np.float64),
        )

    def mean(self) -> float:
        """The mean over everything counted; NaN when nothing was."""
        count = float(self.count_N.sum())
        return float(self.total_N.sum()) / count if count else float("nan")

    def estimate(self, weights_RN: NDArray[np.int64]) -> Estimate:
        """The mean and its resamples; a resample that counts nothing is NaN."""
        with np.errstate(invalid="ignore"):
            samples_R = (weights_RN @ self.total_N) / (weights_RN @ self.count_N)
        return Estimate(value=self.mean(), samples_R=samples_R)


def resamples(layouts: int, *, count: int = 1000, seed: int = 0) -> NDArray[np.int64]:
    """How often each layout is drawn in each of `count` resamples: (R, N), every row sums to N."""
    if layouts < 1 or count < 1:
        raise ResultError(f"cannot resample {layouts} layouts {count} times; both must be at least 1")
    rng = np.random.default_rng(seed)
    return rng.multinomial(layouts, np.full(layouts, 1 / layouts), size=count)


def percentile_interval(samples_R: Floats, *, level: float = 0.95) -> tuple[float, float]:
    """The central `level` of the samples; undefined resamples (NaN) are left out. (NaN, NaN) when none is left."""
    kept = samples_R[np.isfinite(samples_R)]
    if not len(kept):
        return float("nan"), float("nan")
    low, high = np.quantile(kept, [(1 - level) / 2, (1 + level) / 2])
    return float(low), float(high)


def difference(first: Estimate, second: Estimate) -> Estimate:
    """first − second, resample by resample. Both must come from the same weights: that makes it paired."""
    if first.samples_R.shape != second.samples_R.shape:
        got = f"{len(first.samples_R)} and {len(second.samples_R)} resamples"
        raise ResultError(f"a paired difference needs the same resamples for both methods, got {got}")
    return Estimate(value=first.value - second.value, samples_R=first.samples_R - second.samples_R)


def estimate(values_N: Iterable[float], weights_RN: NDArray[np.int64]) -> Estimate:
    """The mean of one value per layout, with its resamples."""
    return Tally.of([value] for value in values_N).estimate(weights_RN)

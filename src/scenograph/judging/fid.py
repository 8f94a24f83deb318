"""Fréchet and kernel distances between sets of images, in the feature space of a given CLIP ("world-FID").

FID (Heusel et al. 2017) = |μ₁ − μ₂|² + tr(Σ₁ + Σ₂ − 2 (Σ₁Σ₂)^½), computed by torchmetrics from features made once.
The features are the embedded CLIP's (unit-length rows, so values are small; ×1000 for reading), not Inception's:
numbers compare methods here and mean nothing next to published FIDs. A CLIP trained to see through blur and noise would
give blurred pictures the features of sharp ones, and the distance would forgive them: judge A's CLIP is to be trained
without such augmentation.

Small samples: FID is biased upwards by roughly a constant over the number of images, and a covariance of D features
from fewer than D images is singular. So compare only sets of equal size against the same reference, beside the
drawn scenes' own distance (the floor). Resampling repeats images and adds the same bias once more; intervals are
therefore centred on the value. KID (Bińkowski et al. 2018) is unbiased and printed beside it.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor, nn

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Estimate
from scenograph.judging.clip import ClipScorer

__all__ = ["SCALE", "frechet_distance", "frechet_estimate", "kernel_distance", "world_fid"]

SCALE = 1000.0


class _Given(nn.Module):
    """torchmetrics' `feature` module for rows that are features already: a CLIP runs once, not once per comparison."""

    def __init__(self, num_features: int) -> None:
        super().__init__()
        self.num_features = num_features

    def forward(self, features_ND: Tensor) -> Tensor:
        """The rows themselves."""
        return features_ND


def frechet_distance(features_ND: Tensor, reference_MD: Tensor) -> float:
    """The Fréchet distance of two feature sets through torchmetrics, in float64. Raises ResultError below two rows."""
    from torchmetrics.image.fid import FrechetInceptionDistance

    _check(features_ND, reference_MD)
    metric = FrechetInceptionDistance(feature=_Given(features_ND.shape[1]))
    metric.update(reference_MD.double(), real=True)
    metric.update(features_ND.double(), real=False)
    return max(0.0, float(metric.compute()))


def frechet_estimate(features_ND: Tensor, reference_MD: Tensor, weights_RN: NDArray[np.int64]) -> Estimate:
    """The Fréchet distance with resamples of the first set; the reference stays.

    Uses tr (Σ₁Σ₂)^½ = Σ eigenvalues^½ of Σ₂^½ Σ₁ Σ₂^½, symmetric, with Σ₂^½ made once.
    """
    x_ND, y_MD = features_ND.double(), reference_MD.double()
    mean_D, cov_DD = y_MD.mean(dim=0), torch.cov(y_MD.T)
    eigenvalues_D, vectors_DD = torch.linalg.eigh(cov_DD)
    root_DD = vectors_DD * eigenvalues_D.clamp(min=0).sqrt() @ vectors_DD.T
    samples = []
    for weights_N in torch.from_numpy(np.ascontiguousarray(weights_RN)):
        resampled_DD = torch.cov(x_ND.T, fweights=weights_N)
        mu_D = (weights_N.double() @ x_ND) / weights_N.sum()
        cross = torch.linalg.eigvalsh(root_DD @ resampled_DD @ root_DD).clamp(min=0).sqrt().sum()
        samples.append((mu_D - mean_D).square().sum() + resampled_DD.trace() + cov_DD.trace() - 2 * cross)
    value = frechet_distance(features_ND, reference_MD)
    return Estimate(value=value, samples_R=torch.stack(samples).numpy())


def kernel_distance(features_ND: Tensor, reference_MD: Tensor) -> float:
    """KID: the unbiased squared MMD with the kernel (x·y / D + 1)³, over all images at once. May be slightly
    negative.
    """
    _check(features_ND, reference_MD)
    x_ND, y_MD = features_ND.double(), reference_MD.double()
    n, m = len(x_ND), len(y_MD)

    def kernel(a: Tensor, b: Tensor) -> Tensor:
        return (a @ b.T / a.shape[1] + 1) ** 3

    xx, yy, xy = kernel(x_ND, x_ND), kernel(y_MD, y_MD), kernel(x_ND, y_MD)
    within = (xx.sum() - xx.trace()) / (n * (n - 1)) + (yy.sum() - yy.trace()) / (m * (m - 1))
    return float(within - 2 * xy.mean())


def world_fid(images: Sequence[Image.Image], reference: Sequence[Image.Image], clip: ClipScorer) -> float:
    """FID × `SCALE` of images against reference images in a CLIP's space."""
    return SCALE * frechet_distance(clip.image_features(images), clip.image_features(reference))


def _check(features_ND: Tensor, reference_MD: Tensor) -> None:
    if min(len(features_ND), len(reference_MD)) < 2 or features_ND.shape[1] != reference_MD.shape[1]:
        got = f"{tuple(features_ND.shape)} and {tuple(reference_MD.shape)}"
        raise ResultError(f"a distance of feature sets needs two sets of at least 2 rows and equal width, got {got}")

"""EchoGen's COCO protocol: AP, AP50 and AP75 of what GroundingDINO finds in generated pictures, CLIP, and FID.

The paper's detector is Grounding-SAM with a box threshold of 0.3, a text threshold of 0.25 and no non-maximum
suppression; its boxes are GroundingDINO's: `load_detector(name, threshold=0.3, text_threshold=0.25)`. The vocabulary is
not given there. Here an open-vocabulary detector is asked for a picture's own labels (COCO's 80 do not fit its window
at once), so it cannot see what the picture was not asked for, and a detector with labels of its own for all it knows.

CLIP is 100 times the cosine of picture and caption. FID is the Fréchet distance in the space of `features`: published
values take Inception's 2048 (torch-fidelity's, which needs torchvision), and any other space has its own scale.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image
from torch import Tensor

from scenograph.judging.bootstrap import Estimate
from scenograph.judging.clip import ClipScorer, clip_tally
from scenograph.judging.detection import Coco, Detector, canonical, detect_asked
from scenograph.judging.fid import frechet_estimate
from scenograph.layout import Layout

__all__ = ["BOX_THRESHOLD", "TEXT_THRESHOLD", "echogen_coco"]

BOX_THRESHOLD, TEXT_THRESHOLD = 0.3, 0.25
_FID_RESAMPLES = 200  # an eigendecomposition each


def echogen_coco(
    images: Sequence[Image.Image],
    asked: Sequence[Layout],
    detector: Detector,
    weights_RN: NDArray[np.int64],
    *,
    clip: ClipScorer | None = None,
    features: Callable[[Sequence[Image.Image]], Tensor] | None = None,
    reference: Sequence[Image.Image] = (),
) -> dict[str, Estimate]:
    """ "ap", "ap50", "ap75", with a CLIP "clip", with `features` of images (N, D) and a reference "fid".

    Raises ResultError: unequal lists, nothing asked, or a reference of fewer than two images.
    """
    named = canonical(asked, detector.labels)
    scores = Coco(named, detect_asked(images, named, detector)).estimates(weights_RN)
    estimates = {metric: scores[metric] for metric in ("ap", "ap50", "ap75")}
    if clip is not None:
        cosine = clip_tally(images, asked, clip).estimate(weights_RN)
        estimates["clip"] = Estimate(value=100 * cosine.value, samples_R=100 * cosine.samples_R)
    if features is not None:
        estimates["fid"] = frechet_estimate(features(images), features(reference), weights_RN[:_FID_RESAMPLES])
    return estimates

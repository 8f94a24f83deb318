"""EchoGen's COCO protocol: who is asked for what, known answers, and a tiny GroundingDINO and CLIP end to end."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.grounding.detector import load_detector
from scenograph.judging.bootstrap import resamples
from scenograph.judging.clip import TransformersClip
from scenograph.judging.detection import detect_asked
from scenograph.judging.echogen_coco import BOX_THRESHOLD, TEXT_THRESHOLD, echogen_coco
from scenograph.layout import Box, Instance, Layout
from tests.judging.checkpoints import save_clip, save_grounding_dino

LEFT, RIGHT = Box(0, 0, 0.4, 1), Box(0.5, 0, 1, 1)


def layout(*things: tuple[str, Box]) -> Layout:
    return Layout(caption="a scene", instances=tuple(Instance(caption=n, label=n, box=b) for n, b in things))


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (64, 64, 3), dtype=np.uint8))


class Finds:
    """Everything it is asked for, in one place."""

    def __init__(self, labels: tuple[str, ...] | None = None) -> None:
        self.labels, self.asked = labels, list[tuple[int, tuple[str, ...]]]()

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.asked.append((len(images), tuple(vocabulary)))
        ones = tuple(Instance(caption=word, label=word, box=LEFT, score=0.9) for word in vocabulary)
        return [Layout(caption="seen", instances=ones) for _ in images]


ASKED = [layout(("dog", LEFT), ("cat", RIGHT), ("dog", RIGHT)), layout(("cup", LEFT))]


def test_an_open_vocabulary_is_asked_for_each_pictures_own_labels() -> None:
    detector = Finds()
    detect_asked([noise(0), noise(1)], ASKED, detector)
    assert detector.asked == [(1, ("dog", "cat")), (1, ("cup",))]
    closed = Finds(("cat", "cup", "dog"))
    detect_asked([noise(0), noise(1)], ASKED, closed)
    assert closed.asked == [(2, ("cat", "cup", "dog"))]
    with pytest.raises(ResultError, match="got 1 images for 2"):
        detect_asked([noise(0)], ASKED, detector)
    assert detect_asked([noise(0)], [layout()], Finds())[0].instances == ()


def test_average_precision_by_hand() -> None:
    """dog: one of two found (51 of 101 recall points); cat: in the wrong place; cup: found."""
    scores = echogen_coco([noise(0), noise(1)], ASKED, Finds(), resamples(2, count=10))
    assert set(scores) == {"ap", "ap50", "ap75"}
    for estimate in scores.values():
        assert estimate.value == pytest.approx(100 * (51 / 101 + 0 + 1) / 3)


def test_clip_is_a_percentage_and_fid_compares_sets(tmp_path: Path) -> None:
    clip = TransformersClip.from_pretrained(save_clip(tmp_path), device="cpu")
    images = [noise(n) for n in range(6)]
    asked = [layout(("dog", LEFT))] * 6
    scores = echogen_coco(
        images,
        asked,
        Finds(),
        resamples(6, count=20),
        clip=clip,
        features=clip.image_features,
        reference=images,
    )
    cosines = (clip.image_features(images) * clip.text_features(["a scene"])).sum(dim=-1)
    assert scores["clip"].value == pytest.approx(100 * float(cosines.mean()), abs=1e-3)
    assert scores["fid"].value == pytest.approx(0, abs=1e-6)
    other = echogen_coco(
        images,
        asked,
        Finds(),
        resamples(6, count=20),
        features=lambda ones: clip.image_features(ones) + len(ones),
        reference=images[:5],
    )
    assert "clip" not in other and other["fid"].value > 1
    assert scores["ap"].samples_R.shape == (20,)


def test_grounding_dino_with_the_papers_thresholds(tmp_path: Path) -> None:
    detector = load_detector(save_grounding_dino(tmp_path), threshold=BOX_THRESHOLD, text_threshold=TEXT_THRESHOLD)
    asked = [layout(("dog", LEFT), ("cat", RIGHT))] * 2
    images = [noise(0), noise(1)]
    seen = detect_asked(images, asked, detector)
    assert all((one.score or 0) >= BOX_THRESHOLD for found in seen for one in found.instances)
    scores = echogen_coco(images, asked, detector, resamples(2, count=5))
    assert all(0 <= estimate.value <= 100 for estimate in scores.values())
    perfect = [layout(("dog", found.instances[0].box)) for found in seen if found.instances]
    assert len(perfect) == 2  # the tiny model is sure of something

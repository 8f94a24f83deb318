"""CLIP scorers on tiny checkpoints of both formats; retrieval checks with known answers."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.attributes import crop
from scenograph.judging.clip import (
    TransformersClip,
    clip_floor,
    clip_tally,
    first_of,
    region_clip_floor,
    region_clip_tally,
    twin_accuracy,
)
from scenograph.layout import Box, Instance, Layout
from tests.judging.checkpoints import rt_detr, save_clip, save_detector, save_dual_encoder


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8))


@pytest.mark.parametrize("save", [save_clip, save_dual_encoder])
def test_features_are_unit_rows_and_batches_change_nothing(save: Callable[[Path], Path], tmp_path: Path) -> None:
    clip = TransformersClip.from_pretrained(save(tmp_path), batch_size=2)
    images, texts = [noise(64, 64), noise(128, 128, 1), noise(90, 40, 2)], ["a dog", "two red cats " * 40, "a"]
    image_features, text_features = clip.image_features(images), clip.text_features(texts)
    assert image_features.shape == text_features.shape == (3, clip.dimension)
    for features in (image_features, text_features):
        assert torch.allclose(features.norm(dim=1), torch.ones(3), atol=1e-5)
    assert torch.allclose(clip.text_features(texts[2:])[0], text_features[2], atol=1e-5)  # padding is not read
    assert torch.allclose(clip.image_features(images[1:2])[0], image_features[1], atol=1e-5)
    assert clip.image_features([]).shape == (0, clip.dimension)


def test_embedded_pixels_are_scaled_to_plus_minus_one(tmp_path: Path) -> None:
    clip = TransformersClip.from_pretrained(save_dual_encoder(tmp_path))
    given: list[torch.Tensor] = []
    hook = clip.model.vision_model.register_forward_pre_hook(
        lambda _m, _a, kw: given.append(kw["pixel_values"]), with_kwargs=True
    )
    image = noise(64, 64)
    clip.image_features([image])
    hook.remove()
    expected = torch.from_numpy(np.array(image)).permute(2, 0, 1) / 127.5 - 1
    assert torch.allclose(given[0][0], expected, atol=1e-6)


def test_clip_s_and_region_clip_s_are_cosines_of_the_right_pairs(tmp_path: Path) -> None:
    clip = TransformersClip.from_pretrained(save_dual_encoder(tmp_path))
    image = noise(128, 128)
    left = Instance(caption="a red dog", box=Box(0.0, 0.0, 0.5, 1.0))
    right = Instance(caption="a blue cat", box=Box(0.5, 0.0, 1.0, 1.0))
    layouts = [Layout(caption="a red dog and a blue cat", instances=(left, right)), Layout(caption="a", instances=())]
    whole = clip_tally([image, image], layouts, clip)
    expected = clip.image_features([image]) @ clip.text_features(["a red dog and a blue cat", "a"]).T
    assert whole.total_N.tolist() == pytest.approx(expected[0].tolist(), abs=1e-6)
    regions = region_clip_tally([image, image], layouts, clip)
    crops = clip.image_features([crop(image, left.box, margin=0.08), crop(image, right.box, margin=0.08)])
    cosines = (crops * clip.text_features(["a red dog", "a blue cat"])).sum(dim=1)
    assert regions.total_N.tolist() == pytest.approx([float(cosines.sum()), 0], abs=1e-6)
    assert regions.count_N.tolist() == [2, 0]


class Given:
    """Texts are "0", "1", …: rows of a table; images are told by their width."""

    def __init__(self, images: dict[int, list[float]], texts: dict[str, list[float]]) -> None:
        self.images, self.texts = images, texts

    def image_features(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.tensor([self.images[image.width] for image in images])

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.tensor([self.texts[text] for text in texts])


def test_floors_are_the_cosines_with_other_layouts_captions(tmp_path: Path) -> None:
    clip = Given({10: [1.0, 0.0], 20: [0.0, 1.0], 30: [0.6, 0.8]}, {"a": [1.0, 0.0], "b": [0.8, 0.6], "c": [0.0, 1.0]})
    images = [noise(width, 8) for width in (10, 20, 30)]
    layouts = [Layout(caption=caption, instances=()) for caption in "abc"]
    weights = np.array([[1, 1, 1], [2, 1, 0], [3, 0, 0]])
    floor = clip_floor(images, layouts, clip, weights)
    assert floor.value == pytest.approx((0.8 + 0.0 + 0.0 + 1.0 + 0.6 + 0.96) / 6)
    assert floor.samples_R[:2].tolist() == pytest.approx([floor.value, (0.8 + 0.0) / 2])
    assert np.isnan(floor.samples_R[2])  # one layout alone has no others
    real = TransformersClip.from_pretrained(save_dual_encoder(tmp_path))
    boxes = [Box(0.0, 0.0, 0.5, 1.0), Box(0.5, 0.0, 1.0, 1.0), Box(0.2, 0.2, 0.9, 0.9)]
    one, two, three = (
        Instance(caption=f"a {c} dog", box=box) for c, box in zip(("red", "blue", "black"), boxes, strict=True)
    )
    pair, single = Layout(caption="p", instances=(one, two)), Layout(caption="s", instances=(three,))
    pictures = [noise(64, 64), noise(64, 64, 1)]
    places = [(pictures[0], one), (pictures[0], two), (pictures[1], three)]
    crops = real.image_features([crop(image, i.box, margin=0.08) for image, i in places])
    cosines = crops @ real.text_features([i.caption for _, i in places]).T
    expected = (cosines[0, 2] + cosines[1, 2] + cosines[2, 0] + cosines[2, 1]) / 4
    regions = region_clip_floor(pictures, [pair, single], real, np.array([[1, 1], [1, 3]]))
    assert [regions.value, *regions.samples_R] == pytest.approx([float(expected)] * 3, abs=1e-6)


def test_twin_accuracy_and_first_of() -> None:
    eye = torch.eye(4)
    twins = torch.stack([eye[1], eye[1], eye[3], eye[2]])  # the second twin is the caption itself: a tie is a loss
    assert twin_accuracy(eye, eye, twins) == 75
    assert first_of(eye, eye, group=4) == 100
    assert first_of(eye, eye[[1, 0, 2, 3]], group=4) == 50
    assert first_of(eye, torch.ones(4, 4), group=2) == 0
    assert first_of(eye, eye[[1, 0, 2, 3]], group=2) == 50


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(ResultError, match="first of 100 needs at least 100 images"):
        first_of(torch.eye(4), torch.eye(4))
    with pytest.raises(CheckpointError, match="is a rt_detr, expected a clip or vision-text-dual-encoder"):
        TransformersClip.from_pretrained(save_detector(rt_detr(), tmp_path))

"""Detectors on tiny random checkpoints of the real classes, through the real loading path."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import CheckpointError, LayoutError
from scenograph.grounding.detector import (
    GroundingDinoDetector,
    OpenVocabularyDetector,
    Owlv2Detector,
    TransformersDetector,
    layout_of,
    load_detector,
)
from scenograph.grounding.echo import EchoGrounder
from scenograph.layout import Box, Instance, Layout
from tests.judging.checkpoints import LABELS, d_fine, rt_detr, save_detector, save_grounding_dino, save_owlv2


def noise(width: int, height: int, seed: int = 0) -> Image.Image:
    pixels = np.random.default_rng(seed).integers(0, 256, (height, width, 3), dtype=np.uint8)
    return Image.fromarray(pixels)


def scores_of(layout: Layout) -> list[float]:
    return [one.score or 0.0 for one in layout.instances]


@pytest.mark.parametrize("build", [rt_detr, d_fine])
def test_closed_detectors_train_without_torchvision(build: Callable[[], Any]) -> None:
    model = build().train()
    labels = [
        {"class_labels": torch.tensor([0, 2]), "boxes": torch.tensor([[0.5, 0.5, 0.2, 0.3], [0.3, 0.3, 0.2, 0.2]])},
        {"class_labels": torch.zeros(0, dtype=torch.long), "boxes": torch.zeros(0, 4)},
    ]
    model(pixel_values=torch.rand(2, 3, 128, 128), labels=labels).loss.backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.isfinite().all()}
    # D-FINE holds two constants as parameters; its HGNet builds a last stage that two levels do not use.
    assert not {n for n in without if "decoder.reg_scale" not in n and "decoder.up" not in n and "stages.3" not in n}


@pytest.mark.parametrize("build", [rt_detr, d_fine])
def test_closed_detectors_load_and_detect(build: Callable[[], Any], tmp_path: Path) -> None:
    model = build()
    model.half()  # as the embedded weights are stored
    detector = load_detector(save_detector(model, tmp_path), threshold=0.0, batch_size=2)
    assert isinstance(detector, TransformersDetector)
    assert detector.model.dtype == torch.float32
    assert detector.labels == LABELS
    images = [noise(128, 128, 1), noise(192, 128, 2), noise(128, 128, 3), noise(500, 333, 4)]
    seen = detector.detect(images, ["dog", "teddy bear"])
    assert [layout.size for layout in seen] == [image.size for image in images]
    assert all({one.label for one in layout.instances} <= {"dog", "teddy bear"} for layout in seen)
    assert all(layout.instances and all(one.score is not None for one in layout.instances) for layout in seen)
    for layout in seen:
        assert scores_of(layout) == sorted(scores_of(layout), reverse=True)
    # Batches mix sizes and orders without changing a result.
    for image, layout in zip(images, seen, strict=True):
        (alone,) = detector.detect([image], ["dog", "teddy bear"])
        assert scores_of(alone) == pytest.approx(scores_of(layout), abs=1e-5)


def test_world_sized_pixels_reach_the_network_untouched(tmp_path: Path) -> None:
    detector = load_detector(save_detector(rt_detr(), tmp_path), threshold=0.0)
    assert isinstance(detector, TransformersDetector)
    image = noise(128, 128)
    given: list[torch.Tensor] = []
    hook = detector.model.register_forward_pre_hook(
        lambda _m, _a, kw: given.append(kw["pixel_values"]), with_kwargs=True
    )
    detector.detect([image], ["dog"])
    hook.remove()
    assert torch.allclose(given[0][0], torch.from_numpy(np.array(image)).permute(2, 0, 1) / 255, atol=1e-7)


def test_threshold_and_unknown_words(tmp_path: Path) -> None:
    path = save_detector(rt_detr(), tmp_path)
    assert load_detector(path, threshold=0.999).detect([noise(128, 128)], ["dog"])[0].instances == ()
    with pytest.raises(CheckpointError, match="sees none of zebra; it knows dog, cat, teddy bear"):
        load_detector(path).detect([noise(128, 128)], ["zebra"])


def test_dino_prompt_follows_the_convention(tmp_path: Path) -> None:
    detector = load_detector(save_grounding_dino(tmp_path), threshold=0.0)
    assert isinstance(detector, GroundingDinoDetector)
    given: list[torch.Tensor] = []
    hook = detector.model.register_forward_pre_hook(lambda _m, _a, kw: given.append(kw["input_ids"]), with_kwargs=True)
    (layout,) = detector.detect([noise(64, 64)], ["cat", "Teddy Bear", "apple"])
    hook.remove()
    words = "[CLS] a cat . a teddy bear . an app ##le . [SEP]".split()
    assert detector.processor.tokenizer.convert_ids_to_tokens(given[0][0]) == words
    assert "Teddy Bear" in {one.label for one in layout.instances}  # the caller's spelling, not the prompt's


@pytest.mark.parametrize(("save", "kind"), [(save_grounding_dino, GroundingDinoDetector), (save_owlv2, Owlv2Detector)])
def test_open_detectors_load_and_detect(
    save: Callable[[Path], Path], kind: type[OpenVocabularyDetector], tmp_path: Path
) -> None:
    detector = load_detector(save(tmp_path), threshold=0.0)
    assert isinstance(detector, kind)
    assert detector.labels is None
    images = [noise(80, 64), noise(64, 80, 1), noise(80, 64, 2)]
    seen = detector.detect(images, ["cat", "teddy bear"])
    assert [layout.size for layout in seen] == [(80, 64), (64, 80), (80, 64)]
    assert all({one.label for one in layout.instances} <= {"cat", "teddy bear"} for layout in seen)
    assert all(layout.instances for layout in seen)
    assert detector.detect(images, [])[0].instances == ()


def test_dino_scores_are_means_over_a_words_own_tokens(tmp_path: Path) -> None:
    detector = load_detector(save_grounding_dino(tmp_path), threshold=0.0)
    assert isinstance(detector, GroundingDinoDetector)
    image = noise(80, 64)
    inputs = detector.processor(images=[image], text=["a dog . an apple ."], return_tensors="pt")
    # [CLS] a dog . an app ##le . [SEP]
    probabilities = detector.model(**inputs).logits.sigmoid()[0]
    scores, _ = detector.scored([image], ["dog", "apple"])
    assert torch.allclose(scores[0, :, 0], probabilities[:, 2], atol=1e-5)
    assert torch.allclose(scores[0, :, 1], probabilities[:, [5, 6]].mean(dim=1), atol=1e-5)
    assert not torch.allclose(scores[0, :, 0], scores[0, :, 1], atol=1e-3)


def test_dino_with_a_text_threshold_keeps_and_names_boxes_as_its_own_scripts(tmp_path: Path) -> None:
    """For one word of one token, whose label is not run together with others, transformers' decoder is that rule."""
    path = save_grounding_dino(tmp_path)
    image = noise(80, 64)
    loose = load_detector(path, threshold=0.0, text_threshold=0.0)
    assert isinstance(loose, GroundingDinoDetector)
    inputs = loose.processor(images=[image], text=["a dog . a cat ."], return_tensors="pt")
    outputs = loose.model(**inputs)  # [CLS] a dog . a cat . [SEP]
    probabilities_QL = outputs.logits[0].sigmoid()
    dog_Q, cat_Q, best_Q = probabilities_QL[:, 2], probabilities_QL[:, 5], probabilities_QL.amax(dim=-1)
    text, box = float(torch.maximum(dog_Q, cat_Q).median()), float(best_Q.median())
    detector = load_detector(path, threshold=box, text_threshold=text)
    (layout,) = detector.detect([image], ["dog", "cat"])
    expected = [
        (float(best), "dog" if dog > cat else "cat")
        for dog, cat, best in zip(dog_Q, cat_Q, best_Q, strict=True)
        if best >= box and max(dog, cat) > text
    ]
    assert 0 < len(expected) < len(dog_Q)
    expected.sort(reverse=True)
    assert [one.label for one in layout.instances] == [label for _, label in expected]
    assert scores_of(layout) == pytest.approx([score for score, _ in expected], abs=1e-5)
    (own,) = loose.processor.post_process_grounded_object_detection(outputs, threshold=box, text_threshold=text)
    assert {round(float(score), 4) for score in own["scores"]} >= {round(one.score or 0, 4) for one in layout.instances}


def test_dino_names_a_box_only_by_a_whole_word(tmp_path: Path) -> None:
    path = save_grounding_dino(tmp_path)
    image = noise(80, 64)
    loose = load_detector(path, threshold=0.0)
    assert isinstance(loose, GroundingDinoDetector)
    inputs = loose.processor(images=[image], text=["a teddy bear ."], return_tensors="pt")
    both_Q2 = loose.model(**inputs).logits[0].sigmoid()[:, 2:4]
    text = float(both_Q2.amin(dim=1).max()) + 1e-6
    assert float(both_Q2.max()) > text  # half of the word is there
    assert load_detector(path, threshold=0.0, text_threshold=text).detect([image], ["teddy bear"])[0].instances == ()
    assert len(load_detector(path, threshold=0.0, text_threshold=0.0).detect([image], ["teddy bear"])[0].instances) > 0
    with pytest.raises(CheckpointError, match="text threshold is GroundingDINO's"):
        load_detector(save_owlv2(tmp_path / "owl"), text_threshold=0.25)


def test_dino_vocabulary_beyond_the_window_is_one_line(tmp_path: Path) -> None:
    detector = load_detector(save_grounding_dino(tmp_path))
    with pytest.raises(CheckpointError, match=r"make \d+ tokens, this GroundingDINO reads 32"):
        detector.detect([noise(64, 64)], ["cat", "dog", *(f"cat {word}" for word in "bcdefghij")])


def test_owlv2_boxes_are_rescaled_from_the_padded_square(tmp_path: Path) -> None:
    """A wide image fills the upper half of its square: a box of that half is the whole image."""
    detector = load_detector(save_owlv2(tmp_path))
    assert isinstance(detector, Owlv2Detector)
    image = noise(128, 64)
    inputs = detector.processor(images=[image], text=[["a photo of a cat"]], return_tensors="pt")
    square = np.asarray(inputs["pixel_values"][0])
    assert np.ptp(square[:, 33:, :].reshape(3, -1), axis=1).max() < 1e-5  # nothing but padding below
    in_square = detector.model(**inputs).pred_boxes[0]
    _, corners = detector.scored([image], ["cat"])
    width, height = corners[0, :, 2] - corners[0, :, 0], corners[0, :, 3] - corners[0, :, 1]
    assert torch.allclose(width, in_square[:, 2], atol=1e-5)
    assert torch.allclose(height, 2 * in_square[:, 3], atol=1e-5)


def test_boxes_beyond_the_canvas_are_clipped_and_slivers_dropped() -> None:
    layout = layout_of(
        [(0.2, "dog", (-0.5, 0.1, 0.5, 1.7)), (0.9, "cat", (0.2, 0.2, 0.4, 0.4)), (0.8, "cat", (1.2, 0.1, 1.4, 0.5))],
        (100, 100),
    )
    assert [(one.label, tuple(one.box)) for one in layout.instances] == [
        ("cat", (0.2, 0.2, 0.4, 0.4)),
        ("dog", (0.0, 0.1, 0.5, 1.0)),
    ]
    assert layout.caption == "cat, dog"
    assert layout_of([(0.9, "cat", (0.5, 0.5, 0.504, 0.9))], (100, 100)).instances == ()


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("no-such-judge", "expected an embedded name, an existing folder or a hub id"),
        ("./missing", "expected an embedded name"),
        ("somebody/not-a-real-detector", "cannot load the detector 'somebody/not-a-real-detector'"),
    ],
)
def test_missing_detectors_are_one_line(name: str, message: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_OFFLINE", True)
    with pytest.raises(CheckpointError, match=message) as caught:
        load_detector(name)
    assert "\n" not in str(caught.value)


def test_broken_folders_are_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        load_detector(tmp_path)
    path = save_detector(rt_detr(), tmp_path)
    weights = path / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:1000])
    with pytest.raises(CheckpointError, match="cannot load the detector") as caught:
        load_detector(path)
    assert "\n" not in str(caught.value)


def test_echo_returns_what_it_was_given() -> None:
    layout = Layout(caption="a dog", instances=(Instance(caption="a dog", box=Box(0.1, 0.1, 0.5, 0.5)),))
    assert EchoGrounder(layout).detect([noise(8, 8)], ["dog"]) == [layout]
    with pytest.raises(LayoutError, match="holds 1 layouts but got 2 images"):
        EchoGrounder([layout]).detect([noise(8, 8)] * 2, ["dog"])

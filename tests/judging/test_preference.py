"""PickScore against CLIP's own logits, a processor of its own, and shares of choices."""

from __future__ import annotations

from math import exp
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from transformers import CLIPModel

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.preference import PickScore, preferences
from tests.judging.checkpoints import save_clip, save_dual_encoder


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


def test_scores_are_the_models_logits(tmp_path: Path) -> None:
    scorer = PickScore.from_pretrained(save_clip(tmp_path), device="cpu")
    images, prompts = [noise(0), noise(1)], ["a red dog", "two blue cats on a car"]
    scores = scorer.scores(images, prompts)
    model = CLIPModel.from_pretrained(tmp_path).eval()
    tokens = scorer.clip.tokenizer(prompts, padding=True, return_tensors="pt")
    assert scorer.clip.processor is not None
    pixels = scorer.clip.processor(images=images, return_tensors="pt")["pixel_values"]
    with torch.inference_mode():
        logits = model(input_ids=tokens["input_ids"], attention_mask=tokens["attention_mask"], pixel_values=pixels)
    assert scores == pytest.approx(logits.logits_per_image.diagonal().tolist(), abs=1e-4)
    assert scores[0] != scores[1]


def test_the_processor_may_come_from_elsewhere(tmp_path: Path) -> None:
    whole = save_clip(tmp_path / "whole")
    bare = tmp_path / "bare"
    CLIPModel.from_pretrained(whole).save_pretrained(bare)
    with pytest.raises(CheckpointError, match="PickScore"):
        PickScore.from_pretrained(bare, device="cpu")
    scorer = PickScore.from_pretrained(bare, processor=whole, device="cpu")
    assert scorer.scores([noise(0)], ["a dog"]) == PickScore.from_pretrained(whole, device="cpu").scores(
        [noise(0)], ["a dog"]
    )


def test_preferences_are_shares_of_each_image() -> None:
    shares = preferences([[20.0, 21.0], [20.0, 20.0], [21.0, 1000.0]])
    assert [sum(column) for column in zip(*shares, strict=True)] == pytest.approx([1, 1])
    assert shares[2][0] == pytest.approx(exp(1) / (2 + exp(1)))
    assert shares[0][0] == shares[1][0]
    assert shares[2][1] == pytest.approx(1)
    assert preferences([]) == []


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a vision-text-dual-encoder, expected a clip"):
        PickScore.from_pretrained(save_dual_encoder(tmp_path / "dual"))
    with pytest.raises(ResultError, match="got 0 and 1"):
        PickScore.from_pretrained(save_clip(tmp_path / "clip"), device="cpu").scores([], ["a dog"])
    with pytest.raises(ResultError, match=r"got \[1, 2\] images"):
        preferences([[1.0], [1.0, 2.0]])

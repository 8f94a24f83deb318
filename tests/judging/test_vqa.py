"""BLIP-VQA: questions, the product over chunks with its rounding and limit, and the network against `generate`."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.vqa import BlipVQA, attribute_scores, question_of
from tests.judging.checkpoints import save_blip, save_clip


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    rng = np.random.default_rng(seed)
    return Image.fromarray(rng.integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


class Told:
    """Answers with what it was told for each question, and remembers what it was asked."""

    def __init__(self, answers: dict[str, float]) -> None:
        self.answers, self.asked = answers, [""]

    def yes(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[float]:
        assert len(images) == len(questions)
        self.asked = list(questions)
        return [self.answers[question] for question in questions]


def test_question_of() -> None:
    assert question_of("a red bench") == "a red bench?"
    assert question_of('The "Red" Bench.') == "the red bench?"
    assert question_of("the artist's brush") == "the artist's brush?"


def test_scores_multiply_and_round_to_four_decimals() -> None:
    vqa = Told({"a red bench?": 0.12346, "a dog?": 0.5001, "a cat?": 1.0})
    images = [noise(0), noise(1), noise(2)]
    scores = attribute_scores(images, [("A red bench", "a dog"), ("a cat",), ()], vqa)
    assert scores == [0.0618, 1.0, 1.0]  # 0.1235 · 0.5001 = 0.06176…; a prompt without chunks is right
    assert vqa.asked == ["a red bench?", "a dog?", "a cat?"]


def test_at_most_eight_chunks_are_asked() -> None:
    vqa = Told({"a?": 0.9, "b?": 0.0})
    assert attribute_scores([noise(0)], [["a"] * 8 + ["b"]], vqa) == [round(0.9**8, 4)]
    assert len(vqa.asked) == 8


def test_every_image_needs_its_chunks() -> None:
    with pytest.raises(ResultError, match="got 1 images and 0 lists"):
        attribute_scores([noise(0)], [], Told({}))


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> BlipVQA:
    return BlipVQA.from_pretrained(save_blip(tmp_path_factory.mktemp("blip")), device="cpu", batch_size=3)


def test_the_answer_is_that_of_generate_with_the_originals_first_token(blip: BlipVQA) -> None:
    image, question = noise(3), "a red bench?"
    inputs = blip.processor(images=image, text=question, return_tensors="pt")
    with_enc = inputs["input_ids"].clone()
    with_enc[:, 0] = blip.model.config.text_config.vocab_size - 1

    def share(tokens: torch.Tensor) -> float:
        told = blip.model.generate(
            input_ids=tokens,
            pixel_values=inputs["pixel_values"],
            attention_mask=inputs["attention_mask"],
            max_new_tokens=1,
            output_scores=True,
            return_dict_in_generate=True,
        )
        yes, no = (blip.processor.tokenizer.convert_tokens_to_ids(word) for word in ("yes", "no"))
        probabilities = told.scores[0][0].softmax(dim=-1)
        return float(probabilities[yes] / (probabilities[yes] + probabilities[no]))

    (answer,) = blip.yes([image], [question])
    assert answer == pytest.approx(share(with_enc), abs=1e-5)
    assert abs(answer - share(inputs["input_ids"])) > 1e-4


def test_neither_batches_nor_padding_change_an_answer(blip: BlipVQA) -> None:
    images = [noise(4), noise(5)]
    questions = ["dog?", "a red bench?", "a blue dog a red bench?", "a dog?", "a red?"]
    asked = [images[0], images[0], images[1], images[1], images[0]]
    together = blip.yes(asked, questions)
    alone = [blip.yes([image], [question])[0] for image, question in zip(asked, questions, strict=True)]
    assert together == pytest.approx(alone, abs=1e-5)
    assert len({round(answer, 4) for answer in together}) == len(together)
    assert all(0 < answer < 1 for answer in together)
    assert blip.yes([], []) == []


def test_an_image_is_encoded_once_a_batch(blip: BlipVQA, monkeypatch: pytest.MonkeyPatch) -> None:
    sizes: list[int] = []
    encode = blip._encoded

    def counted(images: Sequence[Image.Image]) -> torch.Tensor:
        sizes.append(len(images))
        return encode(images)

    monkeypatch.setattr(blip, "_encoded", counted)
    image = noise(6)
    blip.yes([image, noise(7), image, image], ["a dog?", "a dog?", "a bench?", "dog?"])
    assert sizes == [2, 1]


def test_mistakes_are_named(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="is a clip, expected a blip"):
        BlipVQA.from_pretrained(save_clip(tmp_path / "clip"))
    with pytest.raises(CheckpointError, match="no tokens for yes and no"):
        BlipVQA.from_pretrained(save_blip(tmp_path / "mute", words=("a", "dog")))
    with pytest.raises(CheckpointError, match=r"has no config\.json"):
        BlipVQA.from_pretrained(tmp_path)

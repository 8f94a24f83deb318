"""Do attributes bind: the probability of "yes" to "a red bench?", multiplied over a prompt's noun chunks (BLIP-VQA).

The colour, shape and texture score of T2I-CompBench (Huang et al. 2023, section 4.1), as BLIPvqa_eval computes it: one
question a chunk, in lower case and without punctuation, at most eight; P(yes) / (P(yes) + P(no)) of the answer's first
token, to four decimals; the product, to four decimals; an image of a prompt without chunks scores 1.

The hub's "Salesforce/blip-vqa-base" holds the paper's weights (base, CapFilt-L) with their positions resampled for
pictures of 384 pixels, where the official script takes 480; scores agree in kind, not to the digit. What transformers
leaves to its user is done as in the original: questions begin with [ENC], not with [CLS], and no padding is looked at.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any, Protocol

import torch
from PIL import Image
from torch import Tensor

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.checkpoints import checkpoint

__all__ = ["MOST_CHUNKS", "AttributeVQA", "BlipVQA", "attribute_scores", "question_of"]

MOST_CHUNKS = 8
_WINDOW = 35  # tokens of a question


class AttributeVQA(Protocol):
    """Answers yes or no to questions about pictures."""

    def yes(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[float]:
        """The probability of yes, 0 to 1, of every question about the image at its place."""


def question_of(chunk: str) -> str:
    """The question that a noun chunk is: "A red bench." → "a red bench?"."""
    return re.sub(r"[.!\"()*#:;~]", "", chunk.lower()).strip() + "?"


def attribute_scores(images: Sequence[Image.Image], chunks: Sequence[Sequence[str]], vqa: AttributeVQA) -> list[float]:
    """The product over its chunks, 0 to 1, of every image; 1 where there are none.

    Raises ResultError when there is not one list of chunks for each image.
    """
    if len(images) != len(chunks):
        raise ResultError(f"attributes need chunks for every image, got {len(images)} images and {len(chunks)} lists")
    pairs = [(index, chunk) for index, those in enumerate(chunks) for chunk in those[:MOST_CHUNKS]]
    answers = vqa.yes([images[index] for index, _ in pairs], [question_of(chunk) for _, chunk in pairs])
    scores = [1.0] * len(images)
    for (index, _), answer in zip(pairs, answers, strict=True):
        scores[index] *= round(answer, 4)
    return [round(score, 4) for score in scores]


class BlipVQA:
    """BLIP (Li et al. 2022) for questions, `BlipForQuestionAnswering`."""

    def __init__(self, model: Any, processor: Any, *, batch_size: int = 32) -> None:
        self.model, self.processor, self.batch_size = model.eval(), processor, batch_size
        text = model.config.text_config
        self._start = int(text.bos_token_id)
        # The original adds [DEC], which is the decoder's start, and [ENC] after it; the tokenizer knows neither.
        self._enc = self._start + 1 if text.vocab_size > self._start + 1 else None
        tokenizer = processor.tokenizer
        self._answers = [int(tokenizer.convert_tokens_to_ids(word)) for word in ("yes", "no")]
        if tokenizer.unk_token_id in self._answers or max(self._answers) >= text.vocab_size:
            raise CheckpointError("this BLIP has no tokens for yes and no; expected one for questions (blip-vqa)")

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str | None = None, batch_size: int = 32) -> BlipVQA:
        """Load a folder or a hub id, e.g. "Salesforce/blip-vqa-base". Raises CheckpointError when that fails."""
        from transformers import BlipForQuestionAnswering, BlipProcessor

        source = checkpoint(name, "VQA model")
        kind = source.config().model_type
        if kind != "blip":
            raise CheckpointError(f"the checkpoint {str(name)!r} is a {kind}, expected a blip; choose another")
        return cls(source.model(BlipForQuestionAnswering, device), source.part(BlipProcessor), batch_size=batch_size)

    @torch.inference_mode()
    def yes(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[float]:
        """The probability of yes of every question about the image at its place.

        Questions of a batch have equally many tokens: BLIP's cross-attention in transformers looks at padding whatever
        the mask says. An image is encoded once a batch.
        """
        tokens = [self._tokens(question) for question in questions]
        answers = [0.0] * len(tokens)
        for indices in _equally_long(tokens, self.batch_size):
            distinct = {id(images[index]): images[index] for index in indices}
            places = {key: place for place, key in enumerate(distinct)}
            features_IPD = self._encoded(list(distinct.values()))
            features_BPD = features_IPD[[places[id(images[index])] for index in indices]]
            tokens_BT = torch.tensor([tokens[index] for index in indices], device=self.model.device)
            for index, answer in zip(indices, self._answered(features_BPD, tokens_BT), strict=True):
                answers[index] = answer
        return answers

    def _tokens(self, question: str) -> list[int]:
        tokens: list[int] = self.processor.tokenizer(question, truncation=True, max_length=_WINDOW)["input_ids"]
        return tokens if self._enc is None else [self._enc, *tokens[1:]]

    def _encoded(self, images: Sequence[Image.Image]) -> Tensor:
        rgb = [image.convert("RGB") for image in images]
        pixels_ICHW = self.processor.image_processor(images=rgb, return_tensors="pt")["pixel_values"]
        features_IPD: Tensor = self.model.vision_model(pixel_values=pixels_ICHW.to(self.model.device)).last_hidden_state
        return features_IPD

    def _answered(self, features_BPD: Tensor, tokens_BT: Tensor) -> list[float]:
        states_BTD = self.model.text_encoder(input_ids=tokens_BT, encoder_hidden_states=features_BPD).last_hidden_state
        logits_BV = self.model.text_decoder(
            input_ids=torch.full_like(tokens_BT[:, :1], self._start), encoder_hidden_states=states_BTD
        ).logits[:, 0]
        yes_B: Tensor = logits_BV[:, self._answers].float().softmax(dim=-1)[:, 0]
        return yes_B.tolist()


def _equally_long(tokens: Sequence[Sequence[int]], batch_size: int) -> Iterator[list[int]]:
    lengths: dict[int, list[int]] = {}
    for index, row in enumerate(tokens):
        lengths.setdefault(len(row), []).append(index)
    for indices in lengths.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]

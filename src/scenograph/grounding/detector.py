"""Detectors of transformers as grounders: closed-vocabulary ones (RT-DETR, D-FINE, DETR, …), GroundingDINO and OWLv2.

`load_detector` chooses by the config's model_type. All return one `Layout` per image with valid boxes: what a
detector puts beyond the canvas is clipped, what is then thinner than half a pixel is dropped. No non-maximum
suppression: these are set predictors, and average precision punishes their duplicates as it should.

Scores. Closed vocabulary: the image processor's own post-processing. GroundingDINO: mean sigmoid over a word's
tokens, as in its COCO evaluation; transformers' decoder of thresholded tokens glues words together ("dog cat") and
is not used. OWLv2: sigmoid of the query's logit. Boxes of OWLv2 are fractions of the image padded to a square at
the right and bottom.

Not here: masks, captions of regions, and `unified` grounding.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from scenograph.errors import CheckpointError
from scenograph.judging.checkpoints import Checkpoint, checkpoint
from scenograph.judging.detection import Detector
from scenograph.layout import Box, Instance, Layout

__all__ = [
    "Detector",
    "GroundingDinoDetector",
    "OpenVocabularyDetector",
    "Owlv2Detector",
    "TransformersDetector",
    "layout_of",
    "load_detector",
]

_MAX_DETECTIONS = 100
_STRIDE = 32

Scored = tuple[float, str, tuple[float, float, float, float]]


def load_detector(
    name: str | Path,
    *,
    threshold: float | None = None,
    text_threshold: float | None = None,
    device: torch.device | str | None = None,
    batch_size: int = 16,
) -> TransformersDetector | OpenVocabularyDetector:
    """A detector by embedded name ("detector-a"), folder or hub id.

    Args:
        threshold: lowest score kept; default 0.05 (closed vocabulary, OWLv2) or 0.1 (GroundingDINO). Low on
            purpose: average precision
            wants the whole ranking, and everything that needs a yes or no has its own threshold.
        text_threshold: names boxes as GroundingDINO's own scripts do (`GroundingDinoDetector`).

    Raises:
        CheckpointError: missing, unreachable, damaged, not a detector, or a text threshold for another than
            GroundingDINO.
    """
    source = checkpoint(name, "detector")
    kinds: dict[str, type[TransformersDetector | OpenVocabularyDetector]]
    kinds = {"grounding-dino": GroundingDinoDetector, "owlv2": Owlv2Detector}
    kind = kinds.get(source.config().model_type, TransformersDetector)
    given: dict[str, Any] = {} if threshold is None else {"threshold": threshold}
    if text_threshold is not None:
        if kind is not GroundingDinoDetector:
            raise CheckpointError(f"a text threshold is GroundingDINO's, {str(name)!r} is none; leave it out")
        given["text_threshold"] = text_threshold
    return kind.load(source, device=device, batch_size=batch_size, **given)


def layout_of(found: Sequence[Scored], size: tuple[int, int]) -> Layout:
    """Scored labels and corners (fractions of the canvas, possibly beyond it) as a layout, best score first."""
    instances = []
    for score, label, corners in sorted(found, key=lambda one: -one[0])[:_MAX_DETECTIONS]:
        x0, y0, x1, y1 = (min(max(side, 0.0), 1.0) for side in corners)
        if (x1 - x0) * size[0] >= 0.5 and (y1 - y0) * size[1] >= 0.5:
            instances.append(Instance(caption=label, label=label, box=Box(x0, y0, x1, y1), score=min(score, 1.0)))
    caption = ", ".join(dict.fromkeys(one.label for one in instances)) or "nothing"
    return Layout(caption=caption, instances=tuple(instances), size=size)


def _equal_sized(images: Sequence[Image.Image], batch_size: int) -> Iterator[list[int]]:
    """Indices in batches of images of one size, so that nothing is padded to its neighbour."""
    sizes: dict[tuple[int, int], list[int]] = {}
    for index, image in enumerate(images):
        sizes.setdefault(image.size, []).append(index)
    for indices in sizes.values():
        for start in range(0, len(indices), batch_size):
            yield indices[start : start + batch_size]


class TransformersDetector:
    """A closed-vocabulary detector: `AutoModelForObjectDetection` with its image processor."""

    def __init__(self, model: Any, processor: Any, *, threshold: float = 0.05, batch_size: int = 16) -> None:
        self.model, self.processor = model, processor
        self.threshold, self.batch_size = threshold, batch_size
        self._names = {int(index): str(label) for index, label in model.config.id2label.items()}

    @classmethod
    def load(
        cls,
        source: Checkpoint,
        *,
        device: torch.device | str | None = None,
        threshold: float = 0.05,
        batch_size: int = 16,
    ) -> TransformersDetector:
        """From a located checkpoint. Raises CheckpointError."""
        from transformers import AutoImageProcessor, AutoModelForObjectDetection

        model = source.model(AutoModelForObjectDetection, device)
        return cls(model, source.part(AutoImageProcessor), threshold=threshold, batch_size=batch_size)

    @property
    def labels(self) -> tuple[str, ...]:
        """Every label it can see."""
        return tuple(self._names[index] for index in sorted(self._names))

    @torch.inference_mode()
    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        """One layout per image, with the labels of `vocabulary` only. Words it does not know are never seen.

        Raises CheckpointError when it knows none of the words.
        """
        wanted = set(vocabulary)
        if wanted and not wanted & set(self.labels):
            raise CheckpointError(
                f"this detector sees none of {', '.join(sorted(wanted))}; it knows {', '.join(self.labels)}: "
                "choose an open-vocabulary detector"
            )
        layouts: dict[int, Layout] = {}
        for indices in _equal_sized(images, self.batch_size):
            batch = [self._fit(images[index].convert("RGB")) for index in indices]
            inputs = self.processor(images=batch, return_tensors="pt").to(self.model.device)
            results = self.processor.post_process_object_detection(
                self.model(**inputs), threshold=self.threshold, target_sizes=[(1, 1)] * len(batch)
            )
            for index, result in zip(indices, results, strict=True):
                names = [self._names[number] for number in result["labels"].tolist()]
                rows = zip(result["scores"].tolist(), names, map(tuple, result["boxes"].tolist()), strict=True)
                layouts[index] = layout_of([row for row in rows if row[1] in wanted], images[index].size)
        return [layouts[index] for index in range(len(images))]

    def _fit(self, image: Image.Image) -> Image.Image:
        """The image as it is when the processor resizes by itself or its size suits the network, else at the
        trained size.

        A processor with `do_resize=False` is the embedded judges': pixels go in untouched at 128 px, and at other
        canvases whose sides are multiples of the coarsest stride and at most twice the trained ones.
        """
        if getattr(self.processor, "do_resize", True):
            return image
        trained = (int(self.processor.size["width"]), int(self.processor.size["height"]))
        if all(side % _STRIDE == 0 and side <= 2 * most for side, most in zip(image.size, trained, strict=True)):
            return image
        return image.resize(trained, Image.Resampling.BICUBIC)


class OpenVocabularyDetector(ABC):
    """`AutoModelForZeroShotObjectDetection`: the vocabulary is part of the input. Subclasses know the prompt and
    the boxes.
    """

    labels: tuple[str, ...] | None = None

    def __init__(self, model: Any, processor: Any, *, threshold: float = 0.1, batch_size: int = 4) -> None:
        self.model, self.processor = model, processor
        self.threshold, self.batch_size = threshold, batch_size

    @classmethod
    def load(
        cls, source: Checkpoint, *, device: torch.device | str | None = None, **options: Any
    ) -> OpenVocabularyDetector:
        """From a located checkpoint. Raises CheckpointError."""
        from transformers import AutoModelForZeroShotObjectDetection, AutoProcessor

        return cls(source.model(AutoModelForZeroShotObjectDetection, device), source.part(AutoProcessor), **options)

    @torch.inference_mode()
    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        """One layout per image; every (box, word) pair at or above the threshold, the best 100."""
        words = list(dict.fromkeys(vocabulary))
        if not words:
            return [layout_of([], image.size) for image in images]
        layouts: dict[int, Layout] = {}
        for indices in _equal_sized(images, self.batch_size):
            batch = [images[index].convert("RGB") for index in indices]
            scores_BQV, corners_BQ4 = self.scored(batch, words)
            for index, scores_QV, corners_Q4 in zip(indices, scores_BQV, corners_BQ4, strict=True):
                kept = (scores_QV >= self.threshold).nonzero().tolist()
                found = [(float(scores_QV[q, v]), words[v], tuple(corners_Q4[q].tolist())) for q, v in kept]
                layouts[index] = layout_of(found, images[index].size)
        return [layouts[index] for index in range(len(images))]

    @abstractmethod
    def scored(self, images: Sequence[Image.Image], words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Scores (B, Q, V) and corners (B, Q, 4) in fractions of the images, for B images of one size."""


class GroundingDinoDetector(OpenVocabularyDetector):
    """GroundingDINO (Liu et al. 2024): one lower-case prompt "a cat . a dog ." for the whole vocabulary.

    With a `text_threshold` a box is scored and named as in the model's own scripts and Grounding-SAM: its score is that
    of its best token, and it has one name, the word whose tokens are all above the text threshold. Of several such
    words, which those scripts would run together ("cat dog"), the one with the highest mean.
    """

    def __init__(
        self,
        model: Any,
        processor: Any,
        *,
        threshold: float = 0.1,
        text_threshold: float | None = None,
        batch_size: int = 4,
    ) -> None:
        super().__init__(model, processor, threshold=threshold, batch_size=batch_size)
        self.text_threshold = text_threshold

    def scored(self, images: Sequence[Image.Image], words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Raises CheckpointError when the vocabulary is longer than the text tower's window."""
        prompt, spans = _dino_prompt(words)
        encoded = self.processor.tokenizer(prompt, return_offsets_mapping=True)
        window = int(self.model.config.max_text_len)
        if len(encoded["input_ids"]) > window:
            got = f"{len(words)} words make {len(encoded['input_ids'])} tokens"
            raise CheckpointError(f"{got}, this GroundingDINO reads {window}; ask for fewer words at once")
        inputs = self.processor(images=list(images), text=[prompt] * len(images), return_tensors="pt")
        outputs = self.model(**inputs.to(self.model.device))
        probabilities_BQL = outputs.logits.float().sigmoid().cpu()
        offsets = list(enumerate(encoded["offset_mapping"]))
        tokens_V = [[token for token, (a, b) in offsets if start <= a < b <= end] for start, end in spans]
        scores_BQV = torch.stack([probabilities_BQL[..., tokens].mean(dim=-1) for tokens in tokens_V], dim=-1)
        if self.text_threshold is not None:
            least_BQV = torch.stack([probabilities_BQL[..., tokens].amin(dim=-1) for tokens in tokens_V], dim=-1)
            named_BQV = scores_BQV.masked_fill(least_BQV <= self.text_threshold, -1.0)
            first_BQV = torch.nn.functional.one_hot(named_BQV.argmax(dim=-1), len(words)).bool() & (named_BQV >= 0)
            best_BQ1 = probabilities_BQL.amax(dim=-1, keepdim=True)
            scores_BQV = torch.where(first_BQV, best_BQ1, -1.0)
        return scores_BQV, _corners(outputs.pred_boxes.float().cpu())


class Owlv2Detector(OpenVocabularyDetector):
    """OWLv2 (Minderer et al. 2023): one query "a photo of a cat" per word."""

    def __init__(self, model: Any, processor: Any, *, threshold: float = 0.05, batch_size: int = 4) -> None:
        super().__init__(model, processor, threshold=threshold, batch_size=batch_size)

    def scored(self, images: Sequence[Image.Image], words: Sequence[str]) -> tuple[Tensor, Tensor]:
        """Boxes are rescaled from the padded square to the image."""
        queries = [f"a photo of {_with_article(word)}" for word in words]
        inputs = self.processor(images=list(images), text=[queries] * len(images), return_tensors="pt")
        outputs = self.model(**inputs.to(self.model.device))
        width, height = images[0].size
        square = float(max(width, height))
        scale_4 = torch.tensor([square / width, square / height] * 2)
        return outputs.logits.float().sigmoid().cpu(), _corners(outputs.pred_boxes.float().cpu()) * scale_4


def _with_article(word: str) -> str:
    """ "a cat", "an apple"."""
    return f"{'an' if word[:1].lower() in 'aeiou' else 'a'} {word}"


def _dino_prompt(words: Sequence[str]) -> tuple[str, list[tuple[int, int]]]:
    """GroundingDINO's prompt and the span of characters of each word in it (without its article)."""
    prompt, spans = "", []
    for word in words:
        prompt += _with_article(word.lower())
        spans.append((len(prompt) - len(word), len(prompt)))
        prompt += " . "
    return prompt.strip(), spans


def _corners(boxes_BQ4: Tensor) -> Tensor:
    """Centre, width, height to corners."""
    centre, extent = boxes_BQ4[..., :2], boxes_BQ4[..., 2:]
    return torch.cat([centre - extent / 2, centre + extent / 2], dim=-1)

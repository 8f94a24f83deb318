"""The embedded judges as a VQA model: "a striped red dog?" answered by the world's detector and attribute reader.

Stands where BLIP-VQA stands in T2I-CompBench's attribute score, for pictures of the small world. The answer is the
probability that a detected thing of the asked noun has every asked attribute: the reader's probabilities of them on its
crop, multiplied, of the best such thing; 0 without any. With a number ("three red apples?") it is that of the third
best, so that all of them must be there. What a question leaves unsaid is not judged.

Two differences from BLIP-VQA: the answer does not depend on how a question is worded, only on the world's words in it;
and it is 0, not merely small, where the noun was not found.
"""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from math import prod
from typing import Protocol

from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.attributes import KINDS, crop
from scenograph.judging.detection import MATCH_SCORE, Detector
from scenograph.layout import Box
from scenograph.world.captions import COUNT_WORDS, attributes_of
from scenograph.world.vocabulary import NOUNS

__all__ = ["ProbabilityReader", "WorldVQA"]


class ProbabilityReader(Protocol):
    """Crops to probabilities, as `attributes.AttributeReader` gives them."""

    def probabilities(self, crops: Sequence[Image.Image]) -> list[dict[str, dict[str, float]]]:
        """For each crop and group ("colour") the probability of every value ("red")."""


class WorldVQA:
    """A detector and a reader of the small world. Things with less than `min_score` are not there."""

    def __init__(self, detector: Detector, reader: ProbabilityReader, *, min_score: float = MATCH_SCORE) -> None:
        self.detector, self.reader, self.min_score = detector, reader, min_score

    def yes(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[float]:
        """The probability of every question about the image at its place. Each picture and thing is looked at once.

        Raises ResultError for a question without a noun of the world.
        """
        asked = [_asked(question) for question in questions]
        distinct = list({id(image): image for image in images}.values())
        vocabulary = self.detector.labels or tuple(NOUNS)
        things: dict[tuple[int, str], list[Box]] = defaultdict(list)
        for image, layout in zip(distinct, self.detector.detect(distinct, vocabulary), strict=True):
            for one in layout.instances:
                if one.score is None or one.score >= self.min_score:
                    things[id(image), one.label].append(one.box)
        wanted = dict.fromkeys((id(i), a["noun"]) for i, (_, a) in zip(images, asked, strict=True))
        pictures = {id(image): image for image in distinct}
        places = [(key, box) for key in wanted for box in things.get(key, [])]
        read: dict[tuple[int, str], list[dict[str, dict[str, float]]]] = defaultdict(list)
        crops = [crop(pictures[key[0]], box) for key, box in places]
        for (key, _), reading in zip(places, self.reader.probabilities(crops), strict=True):
            read[key].append(reading)
        return [
            _best(read[id(image), attributes["noun"]], attributes, number)
            for image, (number, attributes) in zip(images, asked, strict=True)
        ]


def _asked(question: str) -> tuple[int, dict[str, str]]:
    """How many of what: the number word, and the noun and attributes."""
    attributes = attributes_of(question)
    if "noun" not in attributes:
        raise ResultError(f"the small world has nothing that {question!r} asks for; expected one of {', '.join(NOUNS)}")
    said = [COUNT_WORDS.index(w) for w in re.findall(r"[a-z]+", question.lower()) if w in COUNT_WORDS[1:]]
    return (said[0] if said else 1), attributes


def _best(readings: Sequence[dict[str, dict[str, float]]], attributes: dict[str, str], number: int) -> float:
    values = {kind: value for kind, value in attributes.items() if kind in KINDS}
    chances = sorted((prod(r.get(k, {}).get(v, 0.0) for k, v in values.items()) for r in readings), reverse=True)
    return chances[number - 1] if number <= len(chances) else 0.0

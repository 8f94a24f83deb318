"""LayoutSAM-Eval in the small world: its detector and attribute reader answer in a vision-language model's stead.

The subject is present when a detected thing of its noun is in the box, as someone who sees the crop alone would say: of
the smaller of the two, thing or box, the other covers at least half. Its colour, texture and shape are what the reader
says of that thing's own crop (of several, of the one that fits the box best); what the description leaves unsaid is a
yes. So "spatial" is milder than an IoU: a dog too small for its box is still in it.
"""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.attributes import Reader, crop
from scenograph.judging.detection import MATCH_SCORE, Detector
from scenograph.judging.layoutsam import Question
from scenograph.layout import Box, Instance
from scenograph.world.captions import attributes_of
from scenograph.world.vocabulary import NOUNS

__all__ = ["WorldAsker"]

_SHARE = 0.5
_ROUNDING = 1e-9


class WorldAsker:
    """A detector and a reader of the small world. Things with less than `min_score` are not there."""

    def __init__(self, detector: Detector, reader: Reader, *, min_score: float = MATCH_SCORE) -> None:
        self.detector, self.reader, self.min_score = detector, reader, min_score

    def yes(self, questions: Sequence[Question]) -> list[bool]:
        """Whether the answer is yes, for every question. Each picture is looked at once, each thing read once.

        Raises ResultError for a subject that the world does not have.
        """
        seen = self._seen([one.image for one in questions])
        things = [_thing_of(one, seen[id(one.image)]) for one in questions]
        wanted = [attributes_of(one.description).get(one.about) for one in questions]
        places = {
            (id(one.image), thing.box): one.image
            for one, thing, value in zip(questions, things, wanted, strict=True)
            if thing is not None and value is not None
        }
        crops = [crop(image, box) for (_, box), image in places.items()]
        read = dict(zip(places, self.reader.read(crops), strict=True))
        return [
            thing is not None and (value is None or read[id(one.image), thing.box].get(one.about) == value)
            for one, thing, value in zip(questions, things, wanted, strict=True)
        ]

    def _seen(self, images: Sequence[Image.Image]) -> dict[int, list[Instance]]:
        distinct = {id(image): image for image in images}
        layouts = self.detector.detect(list(distinct.values()), self.detector.labels or tuple(NOUNS))
        return {
            key: [one for one in layout.instances if one.score is None or one.score >= self.min_score]
            for key, layout in zip(distinct, layouts, strict=True)
        }


def _thing_of(question: Question, seen: Sequence[Instance]) -> Instance | None:
    """The detected thing that the question is about, the one with the highest IoU of those in the box."""
    words = (question.subject, question.description)
    noun = next((noun for said in words if (noun := attributes_of(said).get("noun"))), None)
    if noun is None:
        raise ResultError(
            f"the small world has no {question.subject!r}; expected one of {', '.join(NOUNS)}, or ask a VLM"
        )
    inside = [one for one in seen if one.label == noun and _covered(one.box, question.box) >= _SHARE - _ROUNDING]
    return max(inside, key=lambda one: one.box.iou(question.box), default=None)


def _covered(first: Box, second: Box) -> float:
    """The share of the smaller box that lies in the other."""
    shared = first.intersection(second)
    return 0.0 if shared is None else shared.area / min(first.area, second.area)

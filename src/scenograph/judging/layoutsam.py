"""LayoutSAM-Eval: is every thing in its box, with the colour, texture and shape that its description gives it?

CreatiLayout (Zhang et al. 2024), score_layoutsam_benchmark.py. A vision-language model is shown the crop of each asked
box and asked, in the benchmark's own words, whether the subject is present; only if so, whether its colour, its texture
and its shape agree with the detailed description, where what the description leaves unsaid agrees. Each score is the
percentage of *all* boxes with a yes: a thing that is absent is wrong in everything.

In an asked layout an instance's label is the subject ("dog"), its caption the detailed description ("a black dog with a
collar"). Who answers is an `InstanceAsker`: `vlm.TransformersVLM`, `vlm.EndpointVLM`, or `layoutsam_world.WorldAsker`.
The paper's judge is MiniCPM-V-2.6, whose scores no other judge's can be compared with.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol

from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Tally
from scenograph.layout import Box, Layout

__all__ = ["SCORES", "InstanceAsker", "Question", "layoutsam_tallies"]

SCORES = ("spatial", "colour", "texture", "shape")
_STRICTLY = 'Strictly answer with "Yes" or "No", without any irrelevant words.'
_ENGLISH = {"colour": "color"}  # as the benchmark spells it


@dataclass(frozen=True, kw_only=True, eq=False)
class Question:
    """One of `SCORES`, about what should stand in a box of an image."""

    about: str
    image: Image.Image
    box: Box
    subject: str
    description: str

    @property
    def text(self) -> str:
        """The question in the benchmark's words."""
        subject, description = self.subject.replace("/", ""), self.description.replace("/", "")
        if self.about == "spatial":
            return f'Is the subject "{subject}" present in the image? {_STRICTLY}'
        kind = _ENGLISH.get(self.about, self.about)
        return (
            f'Is the subject in "{subject}" in the image consistent with the {kind} described in the detailed '
            f'description: "{description}"? {_STRICTLY} If the {kind} is not mentioned in the detailed description, '
            'the answer is "Yes".'
        )

    def crop(self) -> Image.Image:
        """What the question is about: the box's pixels, its sides rounded down; at least one pixel."""
        x0, y0, x1, y1 = (int(side + 1e-6) for side in self.box.to_pixels(self.image.size))
        x0, y0 = min(x0, self.image.width - 1), min(y0, self.image.height - 1)
        return self.image.convert("RGB").crop((x0, y0, max(x1, x0 + 1), max(y1, y0 + 1)))


class InstanceAsker(Protocol):
    """Answers questions about things in boxes."""

    def yes(self, questions: Sequence[Question]) -> list[bool]:
        """Whether the answer is yes, for every question."""


def layoutsam_tallies(
    images: Iterable[Image.Image], asked: Sequence[Layout], asker: InstanceAsker, *, batch_size: int = 16
) -> dict[str, Tally]:
    """Every one of `SCORES` in percent of all boxes, per picture.

    Args:
        images: pictures in the order of the layouts; taken `batch_size` at a time, so they may be read on the way.

    Raises:
        ResultError: there is not one image for each layout.
    """
    values: dict[str, list[list[float]]] = {score: [] for score in SCORES}
    pictures, done = iter(images), 0
    while batch := list(islice(pictures, batch_size)):
        layouts = asked[done : done + len(batch)]
        done += len(batch)
        if len(layouts) < len(batch):
            break
        for score, rows in _answered(batch, layouts, asker).items():
            values[score] += rows
    if done != len(asked):
        got = "more" if done > len(asked) else str(done)
        raise ResultError(f"got {got} images for {len(asked)} asked layouts; give one image for each")
    return {score: Tally.of(per_picture) for score, per_picture in values.items()}


def _answered(
    images: Sequence[Image.Image], layouts: Sequence[Layout], asker: InstanceAsker
) -> dict[str, list[list[float]]]:
    """First whether things are there, then of those that are the rest, all at once."""
    things = [(image, one) for image, layout in zip(images, layouts, strict=True) for one in layout.instances]

    def question(about: str, number: int) -> Question:
        image, one = things[number]
        return Question(about=about, image=image, box=one.box, subject=one.label, description=one.caption)

    there = asker.yes([question("spatial", number) for number in range(len(things))])
    places = [(score, number) for number, found in enumerate(there) if found for score in SCORES[1:]]
    right = {("spatial", number) for number, found in enumerate(there) if found}
    answers = asker.yes([question(score, number) for score, number in places])
    right |= {place for place, answer in zip(places, answers, strict=True) if answer}
    rows: dict[str, list[list[float]]] = {score: [] for score in SCORES}
    for score in SCORES:
        numbers = iter(range(len(things)))
        rows[score] = [[100.0 * ((score, next(numbers)) in right) for _ in layout.instances] for layout in layouts]
    return rows

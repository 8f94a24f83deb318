"""Layout ↔ text tokens: `<layout> <scap>a black dog<bbox>x0 y0 x1 y1 <scap>… </layout>` (MIGLoRA, Stage I).

Special tokens frame pairs of sub-caption and box, and a box is four coordinates in the order x0, y0, x1, y1, each a
whole number k of `bins` steps that stands for the fraction k / (bins − 1), both edges of the canvas included:

* a real checkpoint writes **text coordinates**: three digits each, a token a digit, with commas between (bins = 1000);
* tiny-janus has **one location token per coordinate** (bins = 129: the pixel edges of its 128-pixel picture).

Quantisation: a side moves by at most half a step, 1 / (2·(bins − 1)), and what rounds to nothing stays one step wide.
Only captions and boxes become tokens; label, phrase, score, negative and size do not. A caption becomes what the
tokenizer keeps of it (a byte-level BPE everything; CLIP's lower-cases and sets spaces around punctuation). Within these
limits, `Codec.normal`, the round trip is exact: layout → tokens → layout, and tokens → layout → tokens.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from functools import cached_property
from typing import Any

from scenograph.errors import CheckpointError, LayoutError
from scenograph.layout import Box, Instance, Layout

__all__ = ["BBOX", "BOI", "EOI", "IMAGE", "LAYOUT", "LAYOUT_END", "SCAP", "TASKS", "Codec", "Coordinates", "add_tokens"]

LAYOUT, LAYOUT_END, SCAP, BBOX = "<layout>", "</layout>", "<scap>", "<bbox>"
BOI, EOI, IMAGE = "<begin_of_image>", "<end_of_image>", "<image_placeholder>"
TASKS = ("paint", "ground", "plan", "understand")
_PAD = "<pad>"
_MARKS = (LAYOUT, LAYOUT_END, SCAP, BBOX)
_IMAGE_MARKS = (BOI, EOI, IMAGE)

# What stands before and after a task's condition. A pretrained Janus is asked in its own chat, in words that it knows;
# a tokenizer with task tokens needs nothing else.
_CHAT = {
    "paint": ("<|User|>: Paint this picture: ", "\n\n<|Assistant|>:"),
    "ground": ("\nName everything in this picture with its box.", "\n\n<|Assistant|>:"),
    "plan": ("<|User|>: Arrange a picture of: ", "\n\n<|Assistant|>:"),
    "understand": ("\nCorrect the boxes of these things in this picture: ", "\n\n<|Assistant|>:"),
}


def add_tokens(tokenizer: Any, *, locations: int = 0) -> Any:
    """Add what `Codec` needs and `tokenizer` lacks, in place, and return it.

    Args:
        tokenizer: a fast tokenizer of transformers.
        locations: 0 keeps text coordinates and the chat's words, for a pretrained model; else the number of location
            tokens (with them come task tokens, a padding token and the image marks).
    """
    if locations:
        if tokenizer.pad_token in (None, tokenizer.eos_token):
            tokenizer.add_special_tokens({"pad_token": _PAD})
        tasks = [f"<{task}>" for task in TASKS]
        tokenizer.add_tokens([*_IMAGE_MARKS, *tasks, *map(_location, range(locations))], special_tokens=True)
    tokenizer.add_tokens(list(_MARKS), special_tokens=True)
    return tokenizer


def _location(k: int) -> str:
    return f"<loc{k}>"


@dataclass(frozen=True)
class Coordinates:
    """How one coordinate is written: `places` digits of base len(digits), and what stands between two coordinates."""

    digits: tuple[int, ...]
    places: int
    comma: int | None

    @property
    def bins(self) -> int:
        """How many values a coordinate can take."""
        return int(len(self.digits) ** self.places)

    @cached_property
    def value_of(self) -> dict[int, int]:
        """Token id → digit."""
        return {token: digit for digit, token in enumerate(self.digits)}

    @property
    def length(self) -> int:
        """Tokens of one box."""
        return 4 * self.places + (3 if self.comma is not None else 0)

    def steps(self, box: Box) -> tuple[int, int, int, int]:
        """A box as whole steps (x0, y0, x1, y1) with x0 < x1 and y0 < y1."""
        most = self.bins - 1
        (x0, x1), (y0, y1) = _stepped(box.x0, box.x1, most), _stepped(box.y0, box.y1, most)
        return x0, y0, x1, y1

    def box(self, steps: Sequence[int]) -> Box:
        """The box of whole steps. Raises LayoutError when it is inverted or has no area."""
        return Box(*(step / (self.bins - 1) for step in steps))

    def write(self, box: Box) -> list[int]:
        """The tokens of a box."""
        ids: list[int] = []
        for index, step in enumerate(self.steps(box)):
            if index and self.comma is not None:
                ids.append(self.comma)
            for place in reversed(range(self.places)):
                ids.append(self.digits[step // len(self.digits) ** place % len(self.digits)])
        return ids

    def read(self, ids: Sequence[int]) -> Box:
        """The box of exactly `length` tokens. Raises LayoutError when they are no box."""
        stride = self.places + (self.comma is not None)
        values = [self.value_of.get(token) for i, token in enumerate(ids) if i % stride < self.places]
        commas = [token for i, token in enumerate(ids) if i % stride == self.places]
        digits = [value for value in values if value is not None]
        if len(digits) != 4 * self.places or len(ids) != self.length or any(one != self.comma for one in commas):
            raise LayoutError(f"tokens {list(ids)!r} are no box; expected four coordinates after {BBOX}")
        steps = []
        for start in range(0, len(digits), self.places):
            step = 0
            for digit in digits[start : start + self.places]:
                step = step * len(self.digits) + digit
            steps.append(step)
        return self.box(steps)


def _stepped(low: float, high: float, most: int) -> tuple[int, int]:
    start, stop = round(low * most), round(high * most)
    if start < stop:
        return start, stop
    start = min(int(low * most), most - 1)
    return start, start + 1


@dataclass(frozen=True)
class Codec:
    """A tokenizer's side of the unified model: texts, boxes and layouts to token ids and back.

    Raises CheckpointError when the tokenizer lacks a token (see `add_tokens`).
    """

    tokenizer: Any
    coordinates: Coordinates = field(init=False)
    words: dict[str, tuple[list[int], list[int]]] = field(init=False, repr=False)
    """Task → ids before and after its condition."""

    def __post_init__(self) -> None:
        object.__setattr__(self, "coordinates", self._coordinates())
        marked = f"<{TASKS[0]}>" in self.tokenizer.get_vocab()
        said = {task: ([self.id_of(f"<{task}>")], []) for task in TASKS} if marked else self._chat()
        object.__setattr__(self, "words", said)
        for name in ("bos", "eos", "pad"):
            if getattr(self.tokenizer, f"{name}_token_id") is None:
                raise CheckpointError(f"the tokenizer has no {name} token; expected one with bos, eos and pad tokens")

    def _coordinates(self) -> Coordinates:
        vocabulary = self.tokenizer.get_vocab()
        found = sum(1 for token in vocabulary if token.startswith("<loc") and token[4:-1].isdigit())
        if found:
            return Coordinates(tuple(self.id_of(_location(k)) for k in range(found)), 1, None)
        return Coordinates(tuple(self.id_of(str(digit)) for digit in range(10)), 3, self.id_of(","))

    def _chat(self) -> dict[str, tuple[list[int], list[int]]]:
        # Our own words, so their special tokens (<|User|>) are meant as such.
        def ids(text: str) -> list[int]:
            return list(self.tokenizer(text, add_special_tokens=False)["input_ids"])

        return {task: (ids(before), ids(after)) for task, (before, after) in _CHAT.items()}

    def id_of(self, token: str) -> int:
        """The id of a token that must be there. Raises CheckpointError."""
        number = self.tokenizer.get_vocab().get(token)
        if number is None:
            raise CheckpointError(f"the tokenizer has no token {token!r}; add what a layout needs with add_tokens()")
        return int(number)

    @cached_property
    def marks(self) -> dict[str, int]:
        """The ids of the layout's and the image's marks."""
        return {token: self.id_of(token) for token in (*_MARKS, BOI, EOI)}

    @property
    def bos(self) -> int:
        """Begins every sequence."""
        return int(self.tokenizer.bos_token_id)

    @property
    def eos(self) -> int:
        """Ends every answer in text."""
        return int(self.tokenizer.eos_token_id)

    @property
    def pad(self) -> int:
        """Fills rows."""
        return int(self.tokenizer.pad_token_id)

    def text(self, text: str) -> list[int]:
        """The ids of a caption, in which the name of a special token is plain text. Raises LayoutError if none."""
        ids = list(self.tokenizer(text, add_special_tokens=False, split_special_tokens=True)["input_ids"])
        if not ids:
            raise LayoutError(f"the tokenizer keeps nothing of the caption {text!r}; expected words")
        return ids

    def said(self, ids: Iterable[int]) -> str:
        """The text of a caption's ids."""
        return str(self.tokenizer.decode(list(ids), clean_up_tokenization_spaces=False)).strip()

    def write(self, instances: Iterable[Instance], *, boxes: bool = True) -> list[int]:
        """The tokens of a layout's instances, in their order; without boxes only what is to be found."""
        ids = [self.marks[LAYOUT]]
        for one in instances:
            ids += [self.marks[SCAP], *self.text(one.caption)]
            if boxes:
                ids += [self.marks[BBOX], *self.coordinates.write(one.box)]
        return [*ids, self.marks[LAYOUT_END]]

    def read(self, ids: Sequence[int], caption: str | None = None) -> Layout:
        """The layout that `write` wrote, or that a model wrote in `grammar.LayoutGrammar`.

        Args:
            ids: from `<layout>` to `</layout>`; what follows is passed over.
            caption: the scene in words; None joins the instances' captions ("nothing" if there are none).

        Raises:
            LayoutError: the tokens are no layout.
        """
        marks, rest = self.marks, list(ids)
        if not rest or rest[0] != marks[LAYOUT] or marks[LAYOUT_END] not in rest:
            raise LayoutError(f"got {len(rest)} tokens that are no layout; expected {LAYOUT} … {LAYOUT_END}")
        rest = rest[1 : rest.index(marks[LAYOUT_END])]
        instances = []
        while rest:
            if rest[0] != marks[SCAP] or marks[BBOX] not in rest:
                raise LayoutError(
                    f"an instance begins with {self.said(rest[:1])!r}; expected {SCAP} caption {BBOX} box"
                )
            at = rest.index(marks[BBOX])
            end = at + 1 + self.coordinates.length
            instances.append(Instance(caption=self.said(rest[1:at]), box=self.coordinates.read(rest[at + 1 : end])))
            rest = rest[end:]
        told = caption or ", ".join(dict.fromkeys(one.caption for one in instances)) or "nothing"
        return Layout(caption=told, instances=tuple(instances))

    def normal(self, layout: Layout) -> Layout:
        """What the tokens keep of a layout: captions in the tokenizer's form, boxes in whole steps, nothing else."""
        steps = self.coordinates
        kept = tuple(
            Instance(caption=self.said(self.text(one.caption)), box=steps.box(steps.steps(one.box)))
            for one in layout.instances
        )
        return Layout(caption=layout.caption, instances=kept)

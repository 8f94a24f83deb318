"""Which token may come next while a layout is written, so that whatever a model says parses.

    layout   := <layout> instance{least…most} </layout> EOS
    instance := <scap> caption <bbox> box
    box      := x0 y0 x1 y1 with x0 < x1 and y0 < y1, in the codec's coordinates

A caption begins with a token that shows something, goes on with tokens that are whole printable characters by
themselves, and ends after `longest` tokens. Where the captions are given (grounding: each expression once, in order)
only the boxes are free. A layout of at most `most` instances always ends: `room` says after how many tokens.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import lru_cache
from typing import Any

import torch
from torch import Tensor

from scenograph.errors import PlanError
from scenograph.unified.tokens import BBOX, LAYOUT, LAYOUT_END, SCAP, Codec, Coordinates

__all__ = ["LayoutGrammar", "Writing"]


class LayoutGrammar:
    """The rules for one codec; `begin` starts a layout.

    Args:
        codec: the tokens.
        phrases: the captions, in order, each of which gets one box; None leaves them to the model.
        least: instances at least, when the captions are free.
        most: and at most.
        longest: tokens of a free caption at most.

    Raises:
        PlanError: the numbers do not fit together.
    """

    def __init__(
        self,
        codec: Codec,
        *,
        phrases: Sequence[str] | None = None,
        least: int = 0,
        most: int = 20,
        longest: int = 24,
    ) -> None:
        if not 0 <= least <= most or longest < 1:
            raise PlanError(
                f"got least {least}, most {most}, longest {longest}; expected 0 ≤ least ≤ most, longest ≥ 1"
            )
        self.codec = codec
        self.phrases = None if phrases is None else [codec.text(phrase) for phrase in phrases]
        self.least, self.most, self.longest = least, most, longest
        self.first, self.following = _words(codec)

    @property
    def room(self) -> int:
        """Tokens of the longest layout, EOS included."""
        captions = [self.longest] * self.most if self.phrases is None else [len(ids) for ids in self.phrases]
        return 3 + sum(2 + length + self.codec.coordinates.length for length in captions)

    def begin(self) -> Writing:
        """A layout of which nothing is written yet."""
        return Writing(self)


class Writing:
    """One layout being written: ask what is `allowed`, `push` what was chosen, until `done`."""

    def __init__(self, grammar: LayoutGrammar) -> None:
        self.grammar = grammar
        self.count = 0
        self.caption: list[int] = []
        self.box: list[int] = []
        self.state = "open"

    @property
    def done(self) -> bool:
        """Whether the end token was pushed."""
        return self.state == "done"

    def allowed(self) -> Tensor:
        """The ids that may come next."""
        grammar, marks = self.grammar, self.grammar.codec.marks
        match self.state:
            case "open":
                return _ids(marks[LAYOUT])
            case "instance":
                return _ids(*self._next())
            case "caption":
                return self._caption()
            case "box":
                return _ids(*_coordinate(grammar.codec.coordinates, tuple(self.box)))
            case "end":
                return _ids(grammar.codec.eos)
            case _:
                return _ids(grammar.codec.pad)

    def _next(self) -> list[int]:
        marks, given = self.grammar.codec.marks, self.grammar.phrases
        if given is not None:
            return [marks[SCAP] if self.count < len(given) else marks[LAYOUT_END]]
        more = [marks[SCAP]] if self.count < self.grammar.most else []
        enough = [marks[LAYOUT_END]] if self.count >= self.grammar.least else []
        return more + enough

    def _caption(self) -> Tensor:
        grammar, written = self.grammar, len(self.caption)
        bbox = grammar.codec.marks[BBOX]
        if grammar.phrases is not None:
            wanted = [*grammar.phrases[self.count], bbox]
            return _ids(wanted[written])
        if written == grammar.longest:
            return _ids(bbox)
        return grammar.following if written else grammar.first

    def push(self, token: int) -> None:
        """Take note of the token that was chosen among the allowed ones."""
        marks = self.grammar.codec.marks
        if self.state == "open":
            self.state = "instance"
        elif self.state == "instance":
            self.state = "caption" if token == marks[SCAP] else "end"
        elif self.state == "caption":
            if token == marks[BBOX]:
                self.state = "box"
            else:
                self.caption.append(token)
        elif self.state == "box":
            self.box.append(token)
            if len(self.box) == self.grammar.codec.coordinates.length:
                self.state, self.count, self.caption, self.box = "instance", self.count + 1, [], []
        else:
            self.state = "done"


def _ids(*tokens: int) -> Tensor:
    return torch.tensor(tokens)


def _coordinate(coordinates: Coordinates, written: tuple[int, ...]) -> list[int]:
    """The tokens that may follow `written` in a box: those after which some valid coordinate can still be reached."""
    base, places = len(coordinates.digits), coordinates.places
    stride = places + (coordinates.comma is not None)
    index, place = divmod(len(written), stride)
    if place == places:
        assert coordinates.comma is not None
        return [coordinates.comma]
    steps = [_number(coordinates, written[i * stride : i * stride + places]) for i in range(index)]
    # x0 and y0 leave a step for x1 and y1, which lie beyond them.
    low, high = (steps[index - 2] + 1, coordinates.bins - 1) if index > 1 else (0, coordinates.bins - 2)
    so_far = _number(coordinates, written[index * stride :])
    span = base ** (places - place - 1)
    starts = ((digit, (so_far * base + digit) * span) for digit in range(base))
    return [coordinates.digits[digit] for digit, start in starts if start <= high and start + span - 1 >= low]


def _number(coordinates: Coordinates, tokens: Sequence[int]) -> int:
    number = 0
    for token in tokens:
        number = number * len(coordinates.digits) + coordinates.value_of[token]
    return number


def _words(codec: Codec) -> tuple[Tensor, Tensor]:
    """The ids that may begin a free caption, and those that may follow in it (with the mark that ends it)."""
    first, following = _readable(codec.tokenizer)
    return torch.tensor(first), torch.tensor([*following, codec.marks[BBOX]])


@lru_cache(maxsize=8)  # half a second for a hundred thousand tokens
def _readable(tokenizer: Any) -> tuple[tuple[int, ...], tuple[int, ...]]:
    special = {*tokenizer.get_added_vocab().values(), *tokenizer.all_special_ids}
    texts = {number: tokenizer.decode([number]) for number in range(len(tokenizer)) if number not in special}
    whole = {number: text for number, text in texts.items() if text.isprintable() and "\ufffd" not in text}
    return tuple(number for number, text in whole.items() if text.strip()), tuple(whole)

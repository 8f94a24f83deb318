"""Places on the canvas ("in the top left corner", "in the middle"): no relation to a thing, so none is kept.

They come back as not understood, instead of as things called "a top" or not at all. Left and right alone stay: of
several things they are a relation ("a cat on the left and a dog").
"""

from __future__ import annotations

import re

__all__ = ["SIDE", "without_places"]

_WHOLE = r"(?: of the (?:picture|image|photo|photograph|painting|canvas|frame))"
_ROWS, _SIDES = r"(?:top|upper|bottom|lower)", r"(?:left|right)(?:[ -]hand)?"
_PART = r"(?:side|corner|half|part|edge|third|quarter)"
_END = r"(?=\s*(?:$|[,.;:!?]|(?:and|with|while|but|next|near|behind|beside|below|above|under)\b))"
_PLACE = re.compile(
    rf"\b(?:in|on|at|near) the (?:(?:very|far) )?"
    rf"(?:{_ROWS}[ -]{_SIDES}(?: {_PART})?|(?:{_ROWS}|{_SIDES}) (?:corner|half|third|quarter)|{_ROWS} {_PART}"
    rf"|{_ROWS}(?={_WHOLE})|(?:middle|center|centre)(?:[ -]{_SIDES})?){_WHOLE}?{_END}",
    re.IGNORECASE,
)
_LONG_SIDE = re.compile(rf"(?<=\b[io]n the )({_SIDES})((?: side)?{_WHOLE}| side(?! of\b)){_END}", re.IGNORECASE)
SIDE = re.compile(rf"\b(?:on|at) the {_SIDES}\b", re.IGNORECASE)
"""Left or right of nothing in particular."""


def without_places(prompt: str) -> tuple[str, tuple[str, ...]]:
    """The prompt with blanks for places on the canvas, everything else where it was, and these places."""
    prompt = _LONG_SIDE.sub(lambda found: found[1] + " " * len(found[2]), prompt)
    places = tuple(found[0] for found in _PLACE.finditer(prompt))
    return _PLACE.sub(lambda found: " " * len(found[0]), prompt), places

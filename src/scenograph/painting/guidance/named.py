"""Methods by name, with whatever of their options is changed: "winwinlay", "winwinlay:r=0.2:guided=25".

Such a name is all that a command line, a picture's recipe or a results row needs to hold.
"""

from __future__ import annotations

import inspect
import json
from collections.abc import Callable, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

from scenograph.errors import GuidanceError
from scenograph.painting.guidance.guide import Guidance
from scenograph.painting.guidance.layout_control import layout_control, layout_control_reset, naef_backprop
from scenograph.painting.guidance.window import Window
from scenograph.painting.guidance.winwinlay import aef_adaptive, winwinlay

__all__ = ["METHODS", "base_of", "method", "name_of"]

METHODS: dict[str, Callable[..., Guidance] | None] = {
    "plain": None,
    "winwinlay": winwinlay,
    "layout-control": layout_control,
    "layout-control-reset": layout_control_reset,
    "aef+backprop": layout_control_reset,
    "naef+backprop": naef_backprop,
    "aef+adaptive": aef_adaptive,
    "naef+adaptive": winwinlay,
    "naef+backprop-matched": partial(naef_backprop, matched=True),
}
"""Name → maker of a Guidance with the published defaults; its keywords override them. "plain" has no guidance."""

_SYMBOLS = {"r": "ratio", "O": "iterations", "guided": "window"}
"""The papers' letters for keywords; `guided` is how many steps are guided from the first on, or [start, stop]."""


def base_of(name: str) -> str:
    """ "winwinlay:r=0.2" → "winwinlay"."""
    return name.partition(":")[0]


def method(name: str, **options: object) -> Guidance | None:
    """A published method by name, None for "plain"; `options` go before those in the name.

    Raises GuidanceError for unknown names and options, and for values that an option cannot take.
    """
    base, *changes = name.split(":")
    if base not in METHODS:
        raise GuidanceError(f"unknown method {base!r}; known: {', '.join(METHODS)}")
    make = METHODS[base]
    known = {} if make is None else dict(inspect.signature(make).parameters)
    read = dict(_change(base, text, known) for text in changes)
    if make is None:
        return None
    try:
        return replace(make(**read | options), spelling=_spelled(name, options))
    except TypeError as error:
        raise GuidanceError(f"cannot set up {name}: {error}") from error


def name_of(guidance: Guidance) -> str | None:
    """The name, with options, that makes this guidance again; None for one that no name makes."""
    for name in filter(None, (guidance.spelling, *METHODS)):
        try:
            if method(name) == guidance:  # it may have been changed since it was spelled
                return name
        except GuidanceError:  # options that have no letters
            continue
    return None


def _spelled(name: str, options: Mapping[str, object]) -> str:
    """ "winwinlay" and {"ratio": 0.2} → "winwinlay:r=0.2"; empty when an option cannot be written."""
    letters = {word: letter for letter, word in _SYMBOLS.items()}
    written = [name]
    for word, value in options.items():
        plain = [value.start, value.start + value.steps] if isinstance(value, Window) else value
        try:
            written.append(f"{letters.get(word, word)}={json.dumps(plain)}")
        except TypeError:
            return ""
    return ":".join(written)


def _change(base: str, text: str, known: dict[str, inspect.Parameter]) -> tuple[str, Any]:
    """ "r=0.2" → ("ratio", 0.2)."""
    option, _, written = text.partition("=")
    keyword = _SYMBOLS.get(option, option)
    if keyword not in known:
        letters = {word: letter for letter, word in _SYMBOLS.items()}
        names = ", ".join(letters.get(word, word) for word in known) or "none"
        raise GuidanceError(f"{base} has no option {option!r}; it has {names}")
    try:
        value: Any = json.loads(written)
    except ValueError:
        value = written
    value = tuple(value) if isinstance(value, list) else value
    if keyword == "layers":
        return keyword, _layers(base, text, value)
    like: Any = known[keyword].default
    if keyword == "lam":
        like = 2.0
    if keyword == "window":
        like = (5, 25) if isinstance(value, tuple) else 10
    optional = value is None and "None" in str(known[keyword].annotation)
    if not (optional or _fits(value, like)):
        raise GuidanceError(f"{base} cannot take {text!r}; expected something like {option}={json.dumps(like)}")
    if keyword == "window" and value is not None:
        start, stop = value if isinstance(value, tuple) else (0, value)
        return keyword, Window(start=start, steps=stop - start)
    return keyword, value


def _layers(base: str, text: str, value: Any) -> tuple[str, ...] | None:
    """Names of layers or blocks, None for the papers'; one name stands alone."""
    names = (value,) if isinstance(value, str) else value
    if names is None or (isinstance(names, tuple) and names and all(isinstance(name, str) for name in names)):
        return names
    raise GuidanceError(f'{base} cannot take {text!r}; expected something like layers=["mid_block", "up_blocks.1"]')


def _fits(value: Any, like: Any) -> bool:
    """Whether a value is of another's kind."""
    if isinstance(like, bool) or isinstance(value, bool):
        return isinstance(like, bool) and isinstance(value, bool)
    if isinstance(like, tuple):
        return isinstance(value, tuple) and len(value) == len(like) and all(map(_fits, value, like))
    return isinstance(value, (int, float) if isinstance(like, float) else type(like))

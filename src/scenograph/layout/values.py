"""What counts as a number, a text, a size and a set of keys in a layout, and how a refusal is worded.

Every check either returns the plain Python value or raises one `LayoutError` line: what came, what was expected, what
to do. Nothing is repaired here.
"""

import difflib
import math
import numbers
from collections.abc import Collection, Iterator, Mapping
from contextlib import contextmanager

from scenograph.errors import LayoutError

__all__ = ["checked_keys", "checked_number", "checked_size", "checked_text", "located", "show"]

SHOWN = 60  # characters of an offending value that a message repeats


def show(value: object) -> str:
    """`value` as it would be typed in Python, on one line and shortened."""
    try:
        text = repr(value)
    except ValueError:  # an int of more than 4300 digits refuses to become text
        text = f"a {type(value).__name__} too long to print"
    return text if len(text) <= SHOWN else f"{text[: SHOWN - 1]}…"


@contextmanager
def located(where: str) -> Iterator[None]:
    """Put `where` in front of the message of any `LayoutError` raised inside."""
    try:
        yield
    except LayoutError as error:
        raise LayoutError(f"{where}: {error}") from None


def checked_number(value: object, what: str) -> float:
    """`value` as a finite float. Truth values and texts are no numbers; NumPy scalars are."""
    if type(value) is float and math.isfinite(value):  # nearly always
        return value
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise LayoutError(f"{what} is {show(value)} ({type(value).__name__}); expected a number, unquoted")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise LayoutError(f"{what} is {show(value)}; expected a finite number")
    return number


def checked_text(value: object, what: str) -> str:
    """`value` if it is a text with at least one visible character that UTF-8 can hold."""
    if not isinstance(value, str):
        raise LayoutError(f"{what} is {show(value)} ({type(value).__name__}); expected a text")
    if not value.strip():
        raise LayoutError(f"{what} is {show(value)}, which is empty; say in words what should be seen")
    if not value.isascii() and any("\ud800" <= character <= "\udfff" for character in value):
        raise LayoutError(
            f"{what} is {show(value)}, with half of a surrogate pair; write the character whole, as UTF-8"
        )
    return value


def checked_size(value: object) -> tuple[int, int]:
    """`value` as (width, height) in whole pixels, both at least 1."""
    if isinstance(value, list | tuple) and len(value) == 2:
        width, height = value
        if _is_whole(width) and _is_whole(height):
            return int(width), int(height)
    raise LayoutError(f"size is {show(value)}; expected (width, height) in pixels, two whole numbers above 0")


def _is_whole(number: object) -> bool:
    return isinstance(number, numbers.Integral) and not isinstance(number, bool) and int(number) > 0


def checked_keys(data: object, what: str, *, required: Collection[str], optional: Collection[str]) -> dict[str, object]:
    """`data` as a dict with all of `required` and nothing beyond `optional`."""
    known = [*required, *optional]
    if not isinstance(data, Mapping):
        raise LayoutError(f"{what} is {show(data)} ({type(data).__name__}); expected an object with {', '.join(known)}")
    for key in data:
        if key not in known:
            near = difflib.get_close_matches(str(key), known, n=1)
            advice = f"did you mean {near[0]!r}? " if near else ""
            raise LayoutError(f"{what} has the unknown key {show(key)}; {advice}known keys are {', '.join(known)}")
    for key in required:
        if key not in data:
            raise LayoutError(f"{what} has no {key!r}; expected an object with {', '.join(required)}")
    return dict(data)

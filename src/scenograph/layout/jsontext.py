"""Strict JSON: what Python's parser lets pass (NaN, a repeated key) or answers with a traceback is a `LayoutError`."""

import json
from typing import Any

from scenograph.errors import LayoutError
from scenograph.layout.values import show

__all__ = ["decode", "dump", "parse", "parse_lines"]


def decode(data: bytes) -> str:
    """`data` as UTF-8 text, with or without a byte order mark.

    Raises:
        LayoutError: the bytes are no UTF-8, as in a picture or an archive.
    """
    try:
        return data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        got = f"byte {error.start} is {data[error.start]:#04x}, which is not UTF-8 text"
        raise LayoutError(f"{got}; expected a JSON file, not a picture or an archive") from None


def parse(text: str) -> Any:
    """The one JSON value in `text`.

    Raises:
        LayoutError: `text` is empty, cut short or not JSON, holds NaN or Infinity, gives a key twice or nests too
            deeply.
    """
    try:
        return _load(text)
    except json.JSONDecodeError as error:
        raise _refusal(text, error) from None


def parse_lines(text: str) -> list[tuple[str, Any]]:
    """The JSON values in `text`, each with where it stood: one value ("" as place), or one a line ("line 3")."""
    try:
        return [("", _load(text))]
    except json.JSONDecodeError as error:
        first_value = text[: error.pos].strip()
        if error.msg != "Extra data" or "\n" in first_value:
            raise _refusal(text, error) from None
    values = []
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            try:
                values.append((f"line {number}", _load(line)))
            except json.JSONDecodeError as error:
                raise LayoutError(f"line {number}, column {error.colno}: {_reason(line, error)}") from None
            except LayoutError as error:
                raise LayoutError(f"line {number}: {error}") from None
    return values


def dump(data: object, *, indent: int | None = None) -> str:
    """`data` as JSON text: floats with all their digits, letters of every script as themselves."""
    return json.dumps(data, ensure_ascii=False, allow_nan=False, indent=indent)


def _load(text: str) -> Any:
    try:
        return json.loads(text.removeprefix("\ufeff"), object_pairs_hook=_object, parse_constant=_constant)
    except json.JSONDecodeError:
        raise
    except RecursionError:
        raise LayoutError("the JSON nests too deeply; expected an object with caption and instances") from None
    except ValueError as error:
        if isinstance(error, LayoutError):
            raise
        raise LayoutError("a number has more than 4300 digits; expected fractions such as 0.25") from None


def _refusal(text: str, error: json.JSONDecodeError) -> LayoutError:
    place = f"line {error.lineno}, column {error.colno}: " if text.strip() else ""
    return LayoutError(place + _reason(text, error))


def _reason(text: str, error: json.JSONDecodeError) -> str:
    if not text.strip():
        return 'it is empty; expected a layout {"caption": ..., "instances": [...]}'
    if not text[error.pos :].strip() or error.msg.startswith("Unterminated string"):
        return "the JSON ends too early, as if cut short; restore the rest of it"
    return f"no valid JSON here ({error.msg}); got {show(text[error.pos : error.pos + 20])}, correct the text there"


def _object(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    data = dict(pairs)
    if len(data) < len(pairs):
        keys = [key for key, _ in pairs]
        twice = next(key for key in keys if keys.count(key) > 1)
        raise LayoutError(f"key {show(twice)} stands twice in one object; leave one of them")
    return data


def _constant(name: str) -> float:
    raise LayoutError(f"{name} is no JSON number; expected a finite number")

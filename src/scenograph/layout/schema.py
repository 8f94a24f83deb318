"""The published JSON Schema (draft 2020-12) of a layout object.

It says all that a schema can; that x0 < x1 and y0 < y1 it cannot say, and `Layout.from_dict` checks it.
"""

import copy
from typing import Any

from scenograph.layout.layout import MAX_INSTANCES, REMARKS

__all__ = ["SCHEMA", "schema"]

TEXT = {"type": "string", "pattern": r"\S"}


def _optional(kind: dict[str, Any], description: str) -> dict[str, Any]:
    return {"anyOf": [kind, {"type": "null"}], "description": description}


SIZE = {"type": "array", "items": {"type": "integer", "minimum": 1}, "minItems": 2, "maxItems": 2}

INSTANCE: dict[str, Any] = {
    "type": "object",
    "properties": {
        "caption": TEXT | {"description": "What stands in the box, e.g. 'a black dog with a collar'."},
        "box": {
            "type": "array",
            "items": {"type": "number", "minimum": 0, "maximum": 1},
            "minItems": 4,
            "maxItems": 4,
            "description": "[x0, y0, x1, y1] in fractions of the canvas, origin top-left, x0 < x1 and y0 < y1.",
        },
        "label": _optional(TEXT, "The class that detectors score; by default the head noun of the caption."),
        "phrase": _optional(TEXT, "The words of the layout's caption that name this instance; by default looked for."),
        "score": _optional({"type": "number", "minimum": 0, "maximum": 1}, "How sure a detector is."),
        "negative": _optional(TEXT, "What must not stand in the box; kept, painting does not read it."),
    },
    "required": ["caption", "box"],
    "additionalProperties": False,
}

SCHEMA: dict[str, Any] = {
    "$schema": "https://json-schema.org/draft/2020-12/schema",
    "title": "scenograph layout",
    "description": "A caption and labelled boxes. A file holds one such object, an array of them, or one a line.",
    "type": "object",
    "properties": {
        "caption": TEXT | {"description": "The whole scene in words."},
        "size": _optional(SIZE, "[width, height] of the canvas in pixels, where it matters."),
        "instances": {"type": "array", "items": {"$ref": "#/$defs/instance"}, "maxItems": MAX_INSTANCES},
        **{name: {"description": "A planner's remark; readers leave it alone."} for name in REMARKS},
    },
    "required": ["caption", "instances"],
    "additionalProperties": False,
    "$defs": {"instance": INSTANCE},
}


def schema() -> dict[str, Any]:
    """A copy of `SCHEMA`, free to be changed."""
    return copy.deepcopy(SCHEMA)

"""What a language model is asked, and how its answer becomes a layout; one place for every model, near or far.

A model counts better in whole numbers than in fractions, and a box given by its corner and its size cannot be
inverted: so answers are {"objects": [{"caption": "a cat", "x": 120, "y": 400, "w": 300, "h": 350}, …]} on a canvas of
1000 x 1000.
A box that reaches beyond the canvas is cut at its edge, which leaves a box for every answer that keeps the schema.
"""

from __future__ import annotations

import json
import re
from collections.abc import Sequence
from typing import Any

from scenograph.errors import LayoutError, PlanError
from scenograph.layout import Box, Instance, Layout

__all__ = ["CANVAS", "LONGEST_CAPTION", "answer_schema", "loose_layout", "messages", "to_answer", "to_layout"]

CANVAS = 1000
LONGEST_CAPTION = 80
_INSTRUCTIONS = f"""You arrange pictures. For a description, list every object that must be drawn, one entry per single
object (three cats are three entries), each with a short caption and its box: x and y of the left upper corner, w and h,
whole numbers on a canvas of {CANVAS} x {CANVAS}, y pointing down. Keep every stated number and relation, give objects
plausible sizes, keep boxes inside the canvas, and let unrelated objects not overlap. Leave out the background. Answer
with JSON only: {{"objects":[{{"caption":"a red cup","x":100,"y":450,"w":200,"h":250}}]}}"""


def messages(prompt: str, examples: Sequence[Layout] = ()) -> list[dict[str, str]]:
    """The chat: instructions, each example as a question with its answer, then the prompt."""
    turns = [{"role": "system", "content": " ".join(_INSTRUCTIONS.split())}]
    for example in examples:
        turns.append({"role": "user", "content": example.caption})
        turns.append({"role": "assistant", "content": to_answer(example)})
    return [*turns, {"role": "user", "content": prompt}]


def answer_schema(*, most: int | None = None) -> dict[str, Any]:
    """The JSON Schema of an answer, with at most `most` objects; fit for strict structured output."""
    corner = {"type": "integer", "minimum": 0, "maximum": CANVAS - 1}
    side = {"type": "integer", "minimum": 1, "maximum": CANVAS}
    fields = {"caption": {"type": "string", "minLength": 1, "maxLength": LONGEST_CAPTION}}
    fields |= {"x": corner, "y": corner, "w": side, "h": side}
    listed: dict[str, Any] = {
        "type": "array",
        "items": {"type": "object", "properties": fields, "required": list(fields), "additionalProperties": False},
    }
    if most is not None:
        listed["maxItems"] = most
    return {
        "type": "object",
        "properties": {"objects": listed},
        "required": ["objects"],
        "additionalProperties": False,
    }


def to_answer(layout: Layout) -> str:
    """The answer that would make a layout, for examples."""
    objects = []
    for instance in layout.instances:
        x0, y0, x1, y1 = (round(side * CANVAS) for side in instance.box)
        x, y = min(x0, CANVAS - 1), min(y0, CANVAS - 1)
        objects.append({"caption": instance.caption, "x": x, "y": y, "w": max(1, x1 - x), "h": max(1, y1 - y)})
    return json.dumps({"objects": objects}, ensure_ascii=False, separators=(",", ":"))


def to_layout(answer: str, prompt: str, size: tuple[int, int] | None = None) -> Layout:
    """The layout of an answer; its caption is the prompt.

    Raises:
        PlanError: the answer is not JSON, or does not keep `answer_schema`; it says what is wrong.
    """
    try:
        data = json.loads(answer)
    except ValueError as error:
        raise PlanError(f"the answer is not JSON ({error}); expected an object with objects") from None
    objects = data.get("objects") if isinstance(data, dict) else None
    if not isinstance(objects, list):
        raise PlanError("the answer has no list of objects; expected {'objects': [{'caption', 'x', 'y', 'w', 'h'}]}")
    instances = tuple(_instance(item, index) for index, item in enumerate(objects))
    try:
        return Layout(caption=prompt, instances=instances, size=size)
    except LayoutError as error:
        raise PlanError(f"the answer is no layout: {error}") from None


def loose_layout(answer: str, prompt: str) -> dict[str, Any]:
    """What a damaged answer holds of complete objects, unchecked, in the form of a layout that `repair` takes."""
    instances = []
    for found in re.findall(r"\{[^{}]*\}", answer):
        try:
            item = json.loads(found)
            x, y, w, h = (float(item[name]) / CANVAS for name in "xywh")
        except (ValueError, KeyError, TypeError):
            continue
        instances.append({"caption": item.get("caption"), "box": [x, y, x + w, y + h]})
    return {"caption": prompt, "instances": instances}


def _instance(item: object, index: int) -> Instance:
    if not isinstance(item, dict):
        raise PlanError(f"objects[{index}] is {item!r:.60}; expected an object with caption, x, y, w and h")
    caption = item.get("caption")
    if not isinstance(caption, str) or not caption.strip():
        raise PlanError(f"objects[{index}] has the caption {caption!r:.60}; expected some words")
    numbers = [n for n in (item.get(name) for name in "xywh") if isinstance(n, int) and not isinstance(n, bool)]
    if len(numbers) != 4:
        raise PlanError(f"objects[{index}] is {item!r:.80}; expected whole numbers x, y, w and h")
    x, y, w, h = numbers
    if not (0 <= x < CANVAS and 0 <= y < CANVAS and w >= 1 and h >= 1):
        raise PlanError(
            f"objects[{index}] has x, y, w, h {numbers}; expected a corner inside {CANVAS} x {CANVAS} and sides of 1 up"
        )
    sides = (side / CANVAS for side in (x, y, min(CANVAS, x + w), min(CANVAS, y + h)))
    try:
        return Instance(caption=caption.strip(), box=Box(*sides))
    except LayoutError as error:
        raise PlanError(f"objects[{index}] is no instance: {error}") from None

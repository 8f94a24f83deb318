"""Whatever a model wrote → a valid Layout, with one sentence for everything that had to be changed.

Language models cut their JSON short, quote their numbers, write pixels or thousandths, turn corners round and reach
over the border. Everything that can be read is kept; nothing is guessed without saying so. What the layout should show
is not looked at here: that is `repair`.
"""

from __future__ import annotations

import json
import math
import re
from collections.abc import Mapping, Sequence
from typing import Any

from scenograph.layout import MAX_INSTANCES, Box, Instance, Layout
from scenograph.layout.values import show
from scenograph.planning.sizes import typical_size
from scenograph.planning.wording import with_article

__all__ = ["salvage"]

_LISTS = ("instances", "objects", "boxes", "layout", "items", "elements", "annotations", "bounding_boxes")
_NAMES = ("caption", "label", "name", "category", "noun", "class", "object", "description", "text")
_BOXES = ("box", "bbox", "bounding_box", "box_2d", "bbox_2d", "coordinates", "position")
_CORNERS = (("x0", "y0", "x1", "y1"), ("xmin", "ymin", "xmax", "ymax"), ("x1", "y1", "x2", "y2"))
_EXTENTS = (("x", "y", "w", "h"), ("x", "y", "width", "height"), ("left", "top", "width", "height"))
_SIDES = (*_CORNERS, ("left", "top", "right", "bottom"))
_COLLAPSED = 1e-4  # of the canvas; a thinner box shows nothing
_GIVEN = 0.05  # of the canvas, what a collapsed side becomes
_PIXELISH = 1.5  # a side beyond this was never meant as a fraction
_KNOWN = {*_NAMES, *_BOXES, "phrase", "negative", "score", *(k for keys in (*_SIDES, *_EXTENTS) for k in keys)}
Sides = list[float]


def salvage(
    broken: object, *, caption: str | None = None, size: tuple[int, int] | None = None
) -> tuple[Layout, tuple[str, ...]] | None:
    """The valid layout nearest to what was written, and what was changed; None when no instance can be read.

    Args:
        broken: JSON text or bytes, or what they hold: an object with instances, or a list of them.
        caption: of the layout, where it has none of its own.
        size: (width, height) in pixels of the canvas, which tells pixels from thousandths.
    """
    changes: list[str] = []
    data = _parsed(broken, changes)
    own, items = _opened(data)
    own_size = _size(own.get("size"))
    size = size or own_size
    if own.get("size") is not None and own_size is None:
        changes.append(f"left out the size {show(own['size'])}: it is not two whole numbers above 0")
    if len(items) > MAX_INSTANCES:
        changes.append(f"left out {len(items) - MAX_INSTANCES} instances: a layout holds at most {MAX_INSTANCES}")
    found = [read for item in items[:MAX_INSTANCES] if (read := _read(item, changes)) is not None]
    if not found:
        return None
    scale = _scale([sides for _, sides, _ in found], size, changes)
    instances = []
    for name, sides, rest in found:
        box = _box(name, sides, scale, changes)
        instances.append(Instance(caption=name, box=box, **rest))
    words = _text(own.get("caption")) or _text(own.get("prompt")) or caption
    if not words:
        words = ", ".join(dict.fromkeys(i.caption for i in instances))
        changes.append(f"gave the layout the caption {show(words)}: it had none")
    return Layout(caption=words, instances=tuple(instances), size=own_size or size), tuple(changes)


def _parsed(broken: object, changes: list[str]) -> object:
    """What a text holds as JSON, however much of it is whole."""
    if isinstance(broken, bytes | bytearray):
        broken = bytes(broken).decode("utf-8", "replace")
    if not isinstance(broken, str):
        return broken
    text = broken.strip().removeprefix("\ufeff")
    try:
        return json.loads(text)
    except (ValueError, RecursionError):
        pass
    starts = [i for i in (text.find("{"), text.find("[")) if i >= 0]
    if not starts:
        return None
    try:
        data, _ = json.JSONDecoder().raw_decode(text, min(starts))
        if _opened(data)[1]:
            changes.append("left out the words around the JSON")
            return data
    except (ValueError, RecursionError):
        pass
    items = _complete(text)
    if items:
        changes.append(f"kept the {len(items)} complete instances of JSON that is damaged or cut short")
    head = re.search(r'"(?:caption|prompt)"\s*:\s*("(?:[^"\\]|\\.)*")', text)
    first = text.find('"instances"')
    try:
        words = json.loads(head[1]) if head and (first < 0 or head.start() < first) and first >= 0 else None
    except ValueError:
        words = None
    return {"caption": words, "instances": items}


def _complete(text: str) -> list[Any]:
    """Every whole object in a text that has a box, the outermost first, none inside another."""
    decoder, start = json.JSONDecoder(), 0
    items: list[Any] = []
    for _ in range(20 * MAX_INSTANCES):
        start = text.find("{", start)
        if start < 0 or len(items) > MAX_INSTANCES:
            break
        following = text.find("{", start + 1)
        closing = text.find("}", start)
        start += 1
        if closing < 0:
            break
        if 0 <= following < closing and '"' + "box" not in text[start:following]:
            continue  # an object around others: look inside
        try:
            item, end = decoder.raw_decode(text, start - 1)
        except (ValueError, RecursionError):
            continue
        if isinstance(item, dict) and any(key in item for key in _BOXES):
            items.append(item)
            start = end
    return items


def _opened(data: object) -> tuple[Mapping[str, Any], Sequence[Any]]:
    """The layout's own fields, and the list of what should be instances."""
    if isinstance(data, Mapping):
        for key in _LISTS:
            listed = data.get(key)
            if isinstance(listed, list | tuple):
                return data, listed
            if isinstance(listed, Mapping) and key != "layout":
                return data, [{"caption": name, "box": box} for name, box in listed.items()]
        if any(key in data for key in _BOXES):
            return {}, [data]
        inner = data.get("layout")
        return _opened(inner) if isinstance(inner, Mapping) and inner is not data else (data, ())
    if isinstance(data, list | tuple):
        if len(data) == 1 and isinstance(data[0], Mapping) and any(key in data[0] for key in _LISTS):
            return _opened(data[0])
        return {}, data
    return {}, ()


def _size(value: object) -> tuple[int, int] | None:
    if isinstance(value, list | tuple) and len(value) == 2 and all(type(v) is int and v > 0 for v in value):
        return value[0], value[1]
    return None


def _text(value: object) -> str | None:
    """A text with something in it; halves of surrogate pairs are left out."""
    if not isinstance(value, str):
        return None
    whole = "".join(c for c in value if not "\ud800" <= c <= "\udfff")
    return whole if whole.strip() else None


def _read(item: object, changes: list[str]) -> tuple[str, Sides | None, dict[str, Any]] | None:
    """The caption, the four sides as written (None: no numbers) and the other fields of one instance."""
    if isinstance(item, list | tuple) and len(item) == 2 and isinstance(item[0], str):
        item = {"caption": item[0], "box": item[1]}
    if not isinstance(item, Mapping):
        changes.append(f"left out {show(item)}: it is no instance with a caption and a box")
        return None
    named = [(key, words) for key in _NAMES if (words := _text(item.get(key)))]
    if not named:
        changes.append(f"left out an instance without a caption, {show(dict(item))}")
        return None
    key, name = named[0]
    if key != "caption":
        article = with_article(name) if " " not in name.strip() and name.isascii() else name
        changes.append(f"gave {show(article)} its caption: it had only its {key}")
        name = article
    written = next((item[k] for k in _BOXES if k in item), item)
    sides = _four(written, name, changes)
    if sides is None:
        changes.append(f"gave {show(name)} a box of the usual size: its own, {show(written)}, is not four numbers")
    rest: dict[str, Any] = {}
    for field in ("label", "phrase", "negative"):
        if item.get(field) is not None and field != key:
            if words := _text(item[field]):
                rest[field] = words
            else:
                changes.append(f"left out the {field} of {show(name)}: {show(item[field])} is no text")
    if item.get("score") is not None:
        score = _number(item["score"])
        if score is not None and 0 <= score <= 1:
            rest["score"] = score
        else:
            changes.append(f"left out the score of {show(name)}: {show(item['score'])} is no probability")
    unknown = [str(k) for k in item if k not in _KNOWN]
    if unknown:
        changes.append(f"left out what a layout does not hold of {show(name)}: {', '.join(unknown)[:80]}")
    return name, sides, rest


def _number(value: object) -> float | None:
    """A finite number, also where it was quoted."""
    if isinstance(value, bool) or not isinstance(value, int | float | str):
        return None
    try:
        number = float(value)
    except (ValueError, OverflowError):
        return None
    return number if math.isfinite(number) else None


def _four(written: object, name: str, changes: list[str]) -> Sides | None:
    if isinstance(written, Mapping):
        for keys in _SIDES:
            if all(key in written for key in keys):
                return _numbers([written[key] for key in keys], name, changes)
        for keys in _EXTENTS:
            if all(key in written for key in keys):
                sides = _numbers([written[key] for key in keys], name, changes)
                if sides is not None:
                    changes.append(f"wrote the box of {show(name)} by its corners: it had {', '.join(keys)}")
                    x, y, w, h = sides
                    return [x, y, x + w, y + h]
        return None
    if isinstance(written, str):
        written = re.findall(r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?", written)
    if isinstance(written, list | tuple) and len(written) == 2 and all(isinstance(w, list | tuple) for w in written):
        written = [*written[0], *written[1]]
    if not isinstance(written, list | tuple) or len(written) != 4:
        return None
    return _numbers(list(written), name, changes)


def _numbers(written: Sequence[object], name: str, changes: list[str]) -> Sides | None:
    sides = [_number(side) for side in written]
    if any(side is None for side in sides):
        return None
    if any(isinstance(side, str) for side in written):
        changes.append(f"read the quoted numbers in the box of {show(name)}")
    return [side for side in sides if side is not None]


def _scale(boxes: Sequence[Sides | None], size: tuple[int, int] | None, changes: list[str]) -> tuple[float, float]:
    """By what to divide x and y: 1 for fractions, else the canvas that the numbers plainly mean."""
    largest = [max(sides) for sides in boxes if sides is not None]
    if not largest or 2 * sum(side > _PIXELISH for side in largest) < len(largest):
        return 1.0, 1.0
    xs = max(max(sides[0], sides[2]) for sides in boxes if sides is not None)
    ys = max(max(sides[1], sides[3]) for sides in boxes if sides is not None)
    if size and xs <= 1.1 * size[0] and ys <= 1.1 * size[1]:
        changes.append(f"read the boxes as pixels of the canvas of {size[0]}x{size[1]}")
        return float(size[0]), float(size[1])
    top = max(xs, ys)
    if not size and top <= 100:
        changes.append("took the boxes for hundredths of the canvas: no side is beyond 100, and no size was given")
        return 100.0, 100.0
    if top <= 1100:
        reason = "they reach beyond the size" if size else "no size was given"
        changes.append(f"took the boxes for thousandths of the canvas: no side is far beyond 1000, and {reason}")
        return 1000.0, 1000.0
    changes.append(f"took {top:g} for the width and height of the canvas: it is the largest side of a box")
    return top, top


def _box(name: str, sides: Sides | None, scale: tuple[float, float], changes: list[str]) -> Box:
    if sides is None:
        extent, aspect = typical_size(name)
        w, h = min(0.9, extent * math.sqrt(aspect)), min(0.9, extent / math.sqrt(aspect))
        return Box(0.5 - w / 2, 0.5 - h / 2, 0.5 + w / 2, 0.5 + h / 2)
    x0, y0, x1, y1 = (side / scale[index % 2] for index, side in enumerate(sides))
    if x0 > x1 or y0 > y1:
        turned = " and ".join(n for n, t in (("left and right", x0 > x1), ("top and bottom", y0 > y1)) if t)
        changes.append(f"exchanged {turned} of {show(name)}: its box was inverted")
    left, right = _onto_canvas(min(x0, x1), max(x0, x1), name, ("left", "right"), changes)
    top, bottom = _onto_canvas(min(y0, y1), max(y0, y1), name, ("up", "down"), changes)
    return Box(left, top, right, bottom)


def _onto_canvas(low: float, high: float, name: str, ways: tuple[str, str], changes: list[str]) -> tuple[float, float]:
    """One extent of a box inside the canvas: opened when collapsed, moved in when it fits, else clipped."""
    if high - low < _COLLAPSED:
        middle = (low + high) / 2
        low, high = middle - _GIVEN / 2, middle + _GIVEN / 2
        side = "width" if ways[0] == "left" else "height"
        changes.append(f"gave {show(name)} a {side} of {_GIVEN:g} of the canvas: its box had collapsed")
    if low >= 0 and high <= 1:
        return low, high
    if high - low > 1:
        changes.append(f"clipped {show(name)} to the canvas: it reached from {low:.2f} to {high:.2f}")
        low, high = max(0.0, low), min(1.0, high)
        return (low, high) if high - low >= _COLLAPSED else (0.0, 1.0)
    by = -low if low < 0 else 1 - high
    changes.append(f"moved {show(name)} {abs(by):.2g} {_way(by, ways)}, into the canvas")
    return (0.0, high - low) if low < 0 else (max(0.0, 1 - (high - low)), 1.0)


def _way(by: float, ways: tuple[str, str]) -> str:
    return {"left": "to the left", "right": "to the right"}.get(way := ways[by > 0], way)

"""What `scenograph paint` is asked for: layout files, prompts and painted pictures become orders, one for a picture.

A painted picture is painted again from the recipe inside it; with another model only what does not belong to its own
is kept: the layout, the seed and the words.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import is_picture
from scenograph.errors import ImageError, LayoutError
from scenograph.layout import Layout, load_layouts

if TYPE_CHECKING:
    from scenograph.planning.plan import Planner

__all__ = ["DEFAULTS", "LOADED", "METHOD_NAMES", "SHARED", "Order", "check_orders", "plan_orders", "read_orders"]

METHOD_NAMES = (
    "plain winwinlay layout-control layout-control-reset aef+backprop naef+backprop aef+adaptive naef+adaptive "
    "naef+backprop-matched"
).split()  # a test holds it equal to painting.guidance.METHODS, which costs an import of torch

DEFAULTS: dict[str, Any] = {
    "model": "tiny-sd",
    "method": None,
    "seed": 0,
    "steps": 50,
    "cfg": None,
    "scheduler": None,
    "negative_prompt": "",
    "template": "{}",
    "strict": False,
    "gligen_beta": None,
    "temperature": None,
    "top_k": 0,
    "top_p": 1.0,
    "width": None,
    "height": None,
    "dtype": None,
    "variant": None,
    "config": None,
    "tiling": False,
    "loras": [],
}
_KINDS: dict[str, type | tuple[type, ...]] = {
    "model": str,
    "method": (str, type(None)),
    "seed": int,
    "steps": int,
    "cfg": (int, float, type(None)),
    "scheduler": (str, type(None)),
    "negative_prompt": str,
    "template": str,
    "strict": bool,
    "gligen_beta": (int, float, type(None)),
    "temperature": (int, float, type(None)),
    "top_k": int,
    "top_p": (int, float),
    "width": (int, type(None)),
    "height": (int, type(None)),
    "dtype": (str, type(None)),
    "variant": (str, type(None)),
    "config": (str, type(None)),
    "tiling": bool,
    "loras": list,
}

LOADED = ("model", "dtype", "variant", "config", "tiling", "loras")  # what a painter is loaded with
_KEPT = ("seed", "negative_prompt", "template", "strict")  # of a recipe, with another model than its own
SHARED = [name for name in DEFAULTS if name not in ("seed", "negative_prompt")]  # alike within a batch


@dataclass(frozen=True, kw_only=True)
class Order:
    """One picture to paint: from which file (None: planned), under which name, with which settings of `DEFAULTS`."""

    source: Path | None
    name: str
    layout: Layout
    settings: dict[str, Any]
    given: frozenset[str] = frozenset()
    """The settings that were asked for, not the recipe's or the defaults."""

    def choice(self, *names: str) -> str:
        """Some settings as one comparable text."""
        return json.dumps([self.settings[name] for name in names])


def read_orders(files: Sequence[Path], given: dict[str, Any]) -> list[Order]:
    """Every picture asked for, in order. Raises LayoutError, PhraseError or ImageError for what cannot be painted."""
    orders = []
    for file in files:
        if is_picture(file):
            layout, settings = _read_recipe(file, given)
            name = f"{file.stem}-again"
            orders.append(Order(source=file, name=name, layout=layout, settings=settings, given=frozenset(given)))
        else:
            asked: dict[str, Any] = {"settings": DEFAULTS | given, "given": frozenset(given)}
            orders += [Order(source=file, name=file.stem, layout=one, **asked) for one in load_layouts(file)]
    return orders


def plan_orders(prompts: Sequence[str], planner: Callable[[], Planner], given: dict[str, Any]) -> list[Order]:
    """A planned layout for every prompt; what was not understood is said on stderr. Raises PlanError."""
    if not prompts:
        return []
    chosen, orders = planner(), []
    for prompt in prompts:
        settings = DEFAULTS | given
        size = (settings["width"], settings["height"]) if settings["width"] and settings["height"] else None
        made = chosen.plan(prompt, seed=settings["seed"], size=size)
        for remark in (*(f"not understood: {span}" for span in made.unparsed), *made.changes):
            click.echo(remark, err=True)
        name = "-".join(re.findall(r"\w+", prompt.lower()))[:60] or "prompt"
        asked: dict[str, Any] = {"settings": settings, "given": frozenset(given)}
        orders.append(Order(source=None, name=name, layout=made.layout, **asked))
    return orders


def check_orders(orders: Sequence[Order]) -> None:
    """Raises PhraseError for a layout whose words cannot be composed to a prompt, GuidanceError for a method's option
    that it does not have.
    """
    for order in orders:
        order.layout.prompt(strict=order.settings["strict"], template=order.settings["template"])
    changed = {order.settings["method"] for order in orders if ":" in (order.settings["method"] or "")}
    if changed:
        from scenograph.painting.guidance import method

        for name in sorted(changed):
            method(name)


def _read_recipe(file: Path, given: dict[str, Any]) -> tuple[Layout, dict[str, Any]]:
    """The layout of a painted picture, and its settings, `given` ones instead. Raises ImageError or LayoutError."""
    from scenograph.painting.metadata import read_recipe

    recipe = read_recipe(file)
    own = given.get("model", recipe["model"]) == recipe["model"]
    kept = {name: recipe[name] for name in DEFAULTS if name in recipe and (own or name in _KEPT)}
    settings = DEFAULTS | kept | given
    for name, value in settings.items():
        if not isinstance(value, _KINDS[name]) or (isinstance(value, bool) and _KINDS[name] is not bool):
            raise ImageError(f"the recipe in {str(file)!r} has {name} {value!r}; it cannot be painted again")
    if not all(isinstance(one, list) and [*map(type, one)] in ([str, float], [str, int]) for one in settings["loras"]):
        raise ImageError(
            f"the recipe in {str(file)!r} has loras {settings['loras']!r}; expected [file, scale]: give --lora"
        )
    if settings["method"] is not None and settings["method"].partition(":")[0] not in METHOD_NAMES:
        raise ImageError(
            f"{str(file)!r} was painted by the method {settings['method']!r}; expected a named one: give --method"
        )
    try:
        return Layout.from_dict(recipe["layout"]), settings
    except LayoutError as error:
        raise LayoutError(f"{file}: {error}") from None

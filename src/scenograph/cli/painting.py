"""`scenograph paint`: layout files in, pictures out; a painted picture is painted again from its own recipe.

Everything that can be wrong with the input is found before the first picture is written.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import (
    as_json,
    destinations,
    dtype_option,
    is_picture,
    is_quiet,
    note,
    print_json,
    save_picture,
    say,
    volume,
)
from scenograph.cli.planning import chosen_planner, planner_options
from scenograph.errors import CheckpointError, ImageError, LayoutError
from scenograph.layout import Layout, load_layouts

if TYPE_CHECKING:
    from scenograph.painting import Painter, Painting
    from scenograph.painting.unified import UnifiedPainter
    from scenograph.planning.plan import Planner

__all__ = ["METHOD_NAMES", "Order", "check_method", "paint"]

METHOD_NAMES = (
    "plain winwinlay layout-control layout-control-reset aef+backprop naef+backprop aef+adaptive naef+adaptive "
    "naef+backprop-matched"
).split()  # a test holds it equal to painting.guidance.METHODS, which costs an import of torch

_DEFAULTS: dict[str, Any] = {
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
    "width": (int, type(None)),
    "height": (int, type(None)),
    "dtype": (str, type(None)),
    "variant": (str, type(None)),
    "config": (str, type(None)),
    "tiling": bool,
    "loras": list,
}

_LOADED = ("model", "dtype", "variant", "config", "tiling", "loras")  # what a painter is loaded with
_SHARED = [name for name in _DEFAULTS if name not in ("seed", "negative_prompt")]  # alike within a batch


@dataclass(frozen=True, kw_only=True)
class Order:
    """One picture to paint: from which file (None: planned), under which name, with which settings of `_DEFAULTS`."""

    source: Path | None
    name: str
    layout: Layout
    settings: dict[str, Any]

    def choice(self, *names: str) -> str:
        """Some settings as one comparable text."""
        return json.dumps([self.settings[name] for name in names])


def _lora(context: click.Context, option: click.Parameter, values: Sequence[str]) -> list[list[Any]] | None:
    """FILE or FILE:SCALE → [file, scale]."""
    loras: list[list[Any]] = []
    for value in values:
        name, colon, scale = value.rpartition(":")
        try:
            loras.append([name, float(scale)] if colon and name else [value, 1.0])
        except ValueError:  # a colon of the name itself
            loras.append([value, 1.0])
    return loras or None


def check_method(context: click.Context, option: click.Parameter, name: str | None) -> str | None:
    """A method's name; options behind it are read when it is made."""
    if name is not None and name.partition(":")[0] not in METHOD_NAMES:
        raise click.BadParameter(f"{name!r} is not one of {', '.join(METHOD_NAMES)}.")
    return name


_OPTIONS = (
    click.option(
        "--model",
        metavar="NAME",
        help="tiny-sd (default), a hub id, a diffusers folder, a .safetensors file, or a unified model: tiny-janus.",
    ),
    click.option(
        "--method",
        metavar="NAME[:OPTION=VALUE…]",
        callback=check_method,
        help=f"{', '.join(METHOD_NAMES)}; default winwinlay, for tiny-sd with options of its own (GLIGEN and "
        "unified models: plain). winwinlay:r=0.2:guided=25 changes options.",
    ),
    click.option("--seed", type=int, help="Default 0; a seed gives the same picture alone and among others."),
    click.option("--steps", type=int, help="Sampling steps, default 50."),
    click.option("--cfg", type=float, help="Classifier-free guidance, default 7.5 (unified models 3); 1 turns it off."),
    click.option(
        "--scheduler",
        type=click.Choice(["ddim", "euler", "dpm++", "unipc"]),
        help="Default the checkpoint's own, else ddim.",
    ),
    click.option("--negative", "negative_prompt", metavar="TEXT", help="What the picture should not show."),
    click.option("--template", metavar="TEXT", help='The prompt around the caption, such as "A photo of {}".'),
    click.option(
        "--strict",
        is_flag=True,
        default=None,
        help="Refuse a caption that does not name every instance, instead of adding to the prompt.",
    ),
    click.option(
        "--gligen-beta",
        type=float,
        metavar="SHARE",
        help="Of the steps, from the first, that a GLIGEN checkpoint is grounded in; default 0.3.",
    ),
    click.option("--width", type=int, help="Pixels; default the checkpoint's own size."),
    click.option("--height", type=int, help="Pixels."),
    dtype_option,
    click.option("--variant", metavar="NAME", help="File variant of a checkpoint, such as fp16."),
    click.option("--config", metavar="FOLDER", help="Diffusers folder with the configs of a single-file checkpoint."),
    click.option("--tiling", is_flag=True, default=None, help="Decode large pictures in tiles."),
    click.option(
        "--lora",
        "loras",
        multiple=True,
        metavar="FILE[:SCALE]",
        callback=_lora,
        help="A LoRA on top of the model; may be repeated.",
    ),
)


def _painting_options(command: Any) -> Any:
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


@click.command()
@click.argument("files", metavar="[LAYOUT.json…]", nargs=-1, type=click.Path(path_type=Path))
@click.option("--prompt", "prompts", metavar="TEXT", multiple=True, help="Plan the layout first; may be repeated.")
@planner_options
@_painting_options
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    default=Path("out"),
    show_default=True,
    help="A .png file for one picture, a folder for many.",
)
@click.option("--boxes", is_flag=True, help="Also write NAME-boxes.png: the boxes beside the picture.")
@click.option("--no-metadata", is_flag=True, help="Leave the recipe out of the PNG; it cannot be painted again then.")
@click.option("--device", metavar="NAME", help="cuda, mps or cpu; default the first that is there.")
@click.option("--offload", is_flag=True, help="Keep each network on the CPU until it runs.")
@click.option(
    "--batch-size", type=click.IntRange(min=1), default=4, show_default=True, help="Pictures painted at once."
)
@as_json
@volume
def paint(
    files: Sequence[Path],
    prompts: Sequence[str],
    out: Path,
    boxes: bool,
    no_metadata: bool,
    batch_size: int,
    as_json: bool,
    **options: Any,
) -> None:
    """Paint layouts, prompts, or painted pictures again.

    Every LAYOUT.json (one layout, or many as JSON Lines) becomes pictures. With --prompt the layout is planned first,
    as `scenograph plan` does, and NAME-boxes.png shows the plan beside the picture.

    A PNG that scenograph painted is painted again from the recipe inside it; options given here replace the recipe's.
    """
    place = {name: options.pop(name) for name in ("device", "offload")}
    planner = chosen_planner(options)
    given = {name: value for name, value in options.items() if value is not None}
    orders = _read_orders(files, given) + _plan_orders(prompts, planner, given)
    if not orders:
        raise LayoutError("nothing to paint; expected layout files, painted pictures, or --prompt TEXT")
    _check_orders(orders)
    paths = iter(destinations(out, [order.name for order in orders]))
    for order, painting in _paint(orders, place, batch_size):
        path = next(paths)
        _save(painting, path, metadata=not no_metadata, boxes=boxes or order.source is None)
        if as_json:
            print_json({"image": str(path), "source": str(order.source or "prompt"), **painting.recipe()})
        else:
            added = f"  (added to the prompt: {', '.join(painting.appended)})" if painting.appended else ""
            say(f"{path}{added}")


def _read_orders(files: Sequence[Path], given: dict[str, Any]) -> list[Order]:
    """Every picture asked for, in order. Raises LayoutError, PhraseError or ImageError for what cannot be painted."""
    orders = []
    for file in files:
        if is_picture(file):
            layout, settings = _read_recipe(file, given)
            orders.append(Order(source=file, name=f"{file.stem}-again", layout=layout, settings=settings))
        else:
            settings = _DEFAULTS | given
            orders += [Order(source=file, name=file.stem, layout=one, settings=settings) for one in load_layouts(file)]
    return orders


def _plan_orders(prompts: Sequence[str], planner: Callable[[], Planner], given: dict[str, Any]) -> list[Order]:
    """A planned layout for every prompt; what was not understood is said on stderr. Raises PlanError."""
    if not prompts:
        return []
    chosen, orders = planner(), []
    for prompt in prompts:
        settings = _DEFAULTS | given
        size = (settings["width"], settings["height"]) if settings["width"] and settings["height"] else None
        made = chosen.plan(prompt, seed=settings["seed"], size=size)
        for remark in (*(f"not understood: {span}" for span in made.unparsed), *made.changes):
            click.echo(remark, err=True)
        name = "-".join(re.findall(r"\w+", prompt.lower()))[:60] or "prompt"
        orders.append(Order(source=None, name=name, layout=made.layout, settings=settings))
    return orders


def _check_orders(orders: Sequence[Order]) -> None:
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
    settings = {name: recipe.get(name, default) for name, default in _DEFAULTS.items()} | given
    for name, value in settings.items():
        if not isinstance(value, _KINDS[name]) or (isinstance(value, bool) and _KINDS[name] is not bool):
            raise ImageError(f"the recipe in {str(file)!r} has {name} {value!r}; it cannot be painted again")
    if settings["method"] is not None and settings["method"].partition(":")[0] not in METHOD_NAMES:
        raise ImageError(
            f"{str(file)!r} was painted by the method {settings['method']!r}; expected a named one: give --method"
        )
    try:
        return Layout.from_dict(recipe["layout"]), settings
    except LayoutError as error:
        raise LayoutError(f"{file}: {error}") from None


def _paint(orders: Sequence[Order], place: dict[str, Any], batch_size: int) -> Iterator[tuple[Order, Painting]]:
    """Paintings in the order asked. Neighbours with the same model share it, and a batch where they can."""
    from scenograph.painting import Painter

    for _, sharing in groupby(orders, lambda order: order.choice(*_LOADED)):
        alike = list(sharing)
        painter = _load(alike[0].settings, place)
        for order in alike:
            order.settings.update({k: v for k, v in painter.defaults.items() if order.settings[k] is None})
        if isinstance(painter, Painter):
            _check_words(painter, alike)
        for _, group in groupby(alike, lambda order: order.choice(*_SHARED)):
            batch = list(group)
            for start in range(0, len(batch), batch_size):
                part = batch[start : start + batch_size]
                yield from zip(part, _paint_batch(painter, part), strict=True)


def _load(settings: dict[str, Any], place: dict[str, Any]) -> Painter | UnifiedPainter:
    from scenograph.models.families import is_unified
    from scenograph.painting import Painter

    note(f"loading {settings['model']}")
    if is_unified(settings["model"]):
        from scenograph.painting.unified import UnifiedPainter

        return UnifiedPainter.from_pretrained(settings["model"], device=place["device"])
    loaded = {name: settings[name] for name in _LOADED if name not in ("model", "loras")}
    painter = Painter.from_pretrained(settings["model"], **loaded, **place)
    for lora in settings["loras"]:
        if not (isinstance(lora, list) and len(lora) == 2 and isinstance(lora[0], str)):
            raise CheckpointError(f"a LoRA of the recipe is {lora!r}, expected [file, scale]; give --lora")
        painter.load_lora(lora[0], lora[1])
    return painter


def _check_words(painter: Painter, orders: Sequence[Order]) -> None:
    """Raise PhraseError for the first prompt that the text encoder could not read whole, before painting any."""
    from scenograph.painting.conditioning import check_length
    from scenograph.painting.tokens import locate

    for order in orders:
        prompt = order.layout.prompt(strict=order.settings["strict"], template=order.settings["template"])
        check_length(painter.pipeline, [prompt.text], "prompt")
        if order.settings["method"] != "plain":
            locate(painter.pipeline.tokenizer, prompt, order.layout)


def _paint_batch(painter: Painter | UnifiedPainter, batch: Sequence[Order]) -> list[Painting]:
    from scenograph.painting import Painter

    settings = batch[0].settings
    if not isinstance(painter, Painter):
        return _paint_unified(painter, batch)
    same = ("steps", "cfg", "scheduler", "template", "strict", "gligen_beta", "width", "height")
    return painter.paint(
        [order.layout for order in batch],
        guidance=settings["method"],
        seeds=[order.settings["seed"] for order in batch],
        negative_prompt=[order.settings["negative_prompt"] for order in batch],
        progress=not is_quiet(),
        batch_size=len(batch),
        **{name: settings[name] for name in same},
    )


def _paint_unified(painter: UnifiedPainter, batch: Sequence[Order]) -> list[Painting]:
    settings = batch[0].settings
    if settings["method"] != "plain":
        raise CheckpointError(
            f"the method {settings['method']!r} guides diffusion, and {painter.name!r} is a unified model; leave it out"
        )
    return painter.paint(
        [order.layout for order in batch],
        seeds=[order.settings["seed"] for order in batch],
        cfg=settings["cfg"],
        progress=not is_quiet(),
        batch_size=len(batch),
    )


def _save(painting: Painting, path: Path, *, metadata: bool, boxes: bool) -> None:
    from scenograph.drawing import draw_layout, side_by_side
    from scenograph.painting.metadata import save_png

    save_png(painting, path, metadata=metadata)
    if boxes:
        large = _enlarged(painting.image.size)
        pictures = [
            draw_layout(painting.layout, size=large),
            painting.image,
            draw_layout(painting.layout, painting.image, size=large),
        ]
        sheet = side_by_side(
            pictures, [painting.layout.caption, f"{painting.method}, seed {painting.seed}", "with its boxes"]
        )
        save_picture(sheet, path.with_name(f"{path.stem}-boxes.png"))


def _enlarged(size: tuple[int, int]) -> tuple[int, int]:
    """Large enough for labels: a whole multiple of at least 384 pixels in height."""
    factor = max(1, -(-384 // size[1]))
    return size[0] * factor, size[1] * factor

"""`scenograph paint`: layout files in, pictures out; a painted picture is painted again from its own recipe.

What is wrong with an order is found before the first picture of its model is painted.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from itertools import groupby
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import (
    SEED,
    as_json,
    destinations,
    dtype_option,
    is_quiet,
    note,
    print_json,
    save_picture,
    say,
    volume,
)
from scenograph.cli.orders import (
    LOADED,
    METHOD_NAMES,
    SHARED,
    Order,
    check_orders,
    plan_orders,
    read_orders,
)
from scenograph.cli.planning import chosen_planner, planner_options
from scenograph.errors import CheckpointError, LayoutError

if TYPE_CHECKING:
    from scenograph.painting import Painter, Painting
    from scenograph.painting.unified import UnifiedPainter

__all__ = ["check_method", "paint"]


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


_SAME = ("steps", "cfg", "scheduler", "template", "strict", "gligen_beta", "width", "height")
_DIFFUSION = ("negative_prompt", "steps", "scheduler", "gligen_beta", "width", "height", "template", "strict",
              "variant", "config", "tiling", "loras")  # fmt: skip
_UNIFIED = {"temperature": "image-temperature", "top_k": "top-k", "top_p": "top-p"}

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
    click.option("--seed", type=SEED, help="Default 0; a seed gives the same picture alone and among others."),
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
    # A planner's temperature is another.
    click.option(
        "--image-temperature",
        type=float,
        help="Of a unified model's image tokens; default 1, 0 takes the likeliest.",
    ),
    click.option("--top-k", type=int, help="A unified model draws among the K likeliest tokens; default 0 is all."),
    click.option("--top-p", type=float, help="… among the likeliest with this share together; default 1."),
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

    A PNG that scenograph painted is painted again from the recipe inside it; options given here replace the recipe's,
    and with another --model only its layout, seed and words are kept.
    """
    place = {name: options.pop(name) for name in ("device", "offload")}
    planner = chosen_planner(options)
    options["temperature"] = options.pop("image_temperature")
    given = {name: value for name, value in options.items() if value is not None}
    orders = read_orders(files, given) + plan_orders(prompts, planner, given)
    if not orders:
        raise LayoutError("nothing to paint; expected layout files, painted pictures, or --prompt TEXT")
    check_orders(orders)
    paths = iter(destinations(out, [order.name for order in orders]))
    for order, painting in _paint(orders, place, batch_size):
        path = next(paths)
        _save(painting, path, metadata=not no_metadata, boxes=boxes or order.source is None)
        if as_json:
            print_json({"image": str(path), "source": str(order.source or "prompt"), **painting.recipe()})
        else:
            added = f"  (added to the prompt: {', '.join(painting.appended)})" if painting.appended else ""
            say(f"{path}{added}")


def _paint(orders: Sequence[Order], place: dict[str, Any], batch_size: int) -> Iterator[tuple[Order, Painting]]:
    """Paintings in the order asked. Neighbours with the same model share it, and a batch where they can."""
    for _, sharing in groupby(orders, lambda order: order.choice(*LOADED)):
        alike = list(sharing)
        painter = _load(alike[0].settings, place)
        for order in alike:
            order.settings.update({k: v for k, v in painter.defaults.items() if order.settings[k] is None})
        for order in alike:
            _check(painter, order)
        for _, group in groupby(alike, lambda order: order.choice(*SHARED)):
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

        if place["offload"]:
            raise CheckpointError(f"--offload belongs to diffusion, and {settings['model']!r} is a unified model")
        return UnifiedPainter.from_pretrained(settings["model"], device=place["device"], dtype=settings["dtype"])
    loaded = {name: settings[name] for name in LOADED if name not in ("model", "loras")}
    painter = Painter.from_pretrained(settings["model"], **loaded, **place)
    for file, scale in settings["loras"]:
        painter.load_lora(file, scale)
    return painter


def _check(painter: Painter | UnifiedPainter, order: Order) -> None:
    """Raises for what cannot be painted, before anything is."""
    from scenograph.painting import Painter

    if isinstance(painter, Painter):
        if unknown := [option for name, option in _UNIFIED.items() if name in order.given]:
            raise CheckpointError(
                f"--{unknown[0]} belongs to unified models, and {painter.name!r} is a diffusion model; leave it out"
            )
        painter.paint([order.layout], output="nothing", **_arguments([order]))
        return
    from scenograph.unified.sampler import Sampling

    if order.settings["method"] != "plain":
        raise CheckpointError(
            f"the method {order.settings['method']!r} guides diffusion, and {painter.name!r} is a unified model; leave "
            "it out"
        )
    if unknown := sorted(order.given & set(_DIFFUSION)):
        option = {"negative_prompt": "negative", "loras": "lora"}.get(unknown[0], unknown[0]).replace("_", "-")
        raise CheckpointError(f"--{option} belongs to diffusion, and {painter.name!r} is a unified model; leave it out")
    Sampling(**_sampling(order.settings))


def _arguments(batch: Sequence[Order]) -> dict[str, Any]:
    """Of `Painter.paint`."""
    settings = batch[0].settings
    return {
        "guidance": settings["method"],
        "seeds": [order.settings["seed"] for order in batch],
        "negative_prompt": [order.settings["negative_prompt"] for order in batch],
        "batch_size": len(batch),
        **{name: settings[name] for name in _SAME},
    }


def _sampling(settings: dict[str, Any]) -> dict[str, Any]:
    names = {"guidance": "cfg", "temperature": "temperature", "top_k": "top_k", "top_p": "top_p"}
    return {theirs: settings[ours] for theirs, ours in names.items()}


def _paint_batch(painter: Painter | UnifiedPainter, batch: Sequence[Order]) -> list[Painting]:
    from scenograph.painting import Painter

    layouts, quiet = [order.layout for order in batch], is_quiet()
    if isinstance(painter, Painter):
        return painter.paint(layouts, progress=not quiet, **_arguments(batch))
    sampling = _sampling(batch[0].settings)
    seeds = [order.settings["seed"] for order in batch]
    cfg = sampling.pop("guidance")
    return painter.paint(layouts, seeds=seeds, cfg=cfg, batch_size=len(batch), progress=not quiet, **sampling)


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

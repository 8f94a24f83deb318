"""`scenograph world`: look at the small world, or draw scenes of it with their exact layouts."""

from __future__ import annotations

from pathlib import Path

import click

from scenograph.cli.habits import SEED, note, save_picture, say, volume
from scenograph.errors import WorldError

__all__ = ["world"]


@click.group()
def world() -> None:
    """Draw the embedded models' small world."""


@world.command()
@click.option("--out", type=click.Path(path_type=Path), required=True, help="A .png file.")
@click.option(
    "--of",
    "what",
    type=click.Choice(["nouns", "scenes", "reconstructions", "guided", "echoes"]),
    default="nouns",
    show_default=True,
    help="Every noun in every colour; scenes with their boxes; what the autoencoder keeps; plain against guided; the "
    "unified model's layout → picture → recovered layout.",
)
@click.option("--model", metavar="NAME", help="echoes: the unified model, default tiny-janus.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@volume
def sheet(out: Path, what: str, model: str | None, seed: int) -> None:
    """Draw a contact sheet of the world into one picture."""
    if model is not None and what != "echoes":
        raise WorldError(f"--model belongs to echoes; the sheet {what!r} has its own")
    if what == "echoes":
        from scenograph.recipes.echogen_sheet import echo_sheet

        say(str(save_picture(echo_sheet(model or "tiny-janus", seed=seed), out)))
        return
    from scenograph.recipes.sheets import SHEETS

    say(str(save_picture(SHEETS[what](seed=seed), out)))


@world.command()
@click.argument("count", metavar="N", type=click.IntRange(min=1))
@click.option("--out", type=click.Path(path_type=Path, file_okay=False), required=True, help="A folder.")
@click.option(
    "--split",
    type=click.Choice(["train", "test", "all"]),
    default="train",
    show_default=True,
    help="test shows only arrangements that no painter was trained on.",
)
@click.option("--seed", type=SEED, default=0, show_default=True)
@volume
def scenes(count: int, out: Path, split: str, seed: int) -> None:
    """Draw N scenes: 00000.png, 00001.png, …, and layouts.jsonl with a layout a line."""
    from scenograph.layout import save_layouts
    from scenograph.world.scenes import scene_at

    layouts = []
    for index in range(count):
        scene = scene_at(index, seed=seed, split=split)  # type: ignore[arg-type]  # the choices are the splits
        save_picture(scene.draw(), out / f"{index:05d}.png")
        layouts.append(scene.layout)
        note(f"{index + 1} of {count}")
    save_layouts(out / "layouts.jsonl", layouts)
    say(str(out / "layouts.jsonl"))

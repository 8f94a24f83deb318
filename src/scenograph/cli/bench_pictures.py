"""`scenograph bench referring`: published protocols on real pictures, and on drawn ones."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import click

from scenograph.cli.habits import as_json, command_of, is_quiet, show_tables, volume

__all__: list[str] = []


@click.command()
@click.option(
    "--data",
    required=True,
    metavar="SOURCE",
    help="ref-l4:PATH or refcoco:PATH (a downloaded folder, or a file of rows), or world (held-out drawn scenes).",
)
@click.option(
    "--grounder",
    "grounders",
    required=True,
    multiple=True,
    metavar="NAME",
    help="A unified model (tiny-janus), or a detector: embedded, folder or hub id of GroundingDINO, OWLv2, DETR, …; "
    "repeatable, the first is what others are compared with.",
)
@click.option("--images", type=click.Path(path_type=Path), metavar="DIR", help="Folder of the data's pictures.")
@click.option("--split", metavar="NAME", help="One of the data's own (val, test, testA, …); default all of them.")
@click.option("--limit", type=click.IntRange(min=2), metavar="N", help="Pictures, spread over the data.")
@click.option("--together", is_flag=True, help="Ask a unified model for all expressions of a picture at once.")
@click.option("--seed", type=int, default=0, show_default=True)
@click.option("--device", metavar="NAME")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/referring.json"),
    show_default=True,
)
@as_json
@volume
@click.pass_context
def referring(context: click.Context, grounders: tuple[str, ...], out: Path, as_json: bool, **options: Any) -> None:
    """Score grounders on referring expressions, as Ref-L4 does.

    One box for each expression, right when its IoU is above 0.5, 0.75, 0.9, and on average over ten thresholds; by the
    size of things and over classes too. Pictures are resampled for the intervals.
    """
    from scenograph.recipes.bench_referring import run, tables

    content = run(grounders=grounders, out=out, command=command_of(context), progress=not is_quiet(), **options)
    show_tables(content["rows"], tables(content), out, as_json)

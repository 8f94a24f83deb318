"""`scenograph bench`: the project's measurements, written into results files."""

from __future__ import annotations

from pathlib import Path

import click

from scenograph.cli.habits import is_quiet, is_verbose, say, volume

__all__ = ["bench"]

_DEFAULT_OUT = {False: Path("results/winwinlay_small_world.json"), True: Path("runs/winwinlay_development.json")}


@click.group()
def bench() -> None:
    """Measure, and write a results file."""


@bench.command()
@click.option(
    "--layouts",
    "sets",
    multiple=True,
    default=["drawn"],
    show_default=True,
    metavar="SET",
    help="drawn (held-out scenes), coco (real COCO boxes of the world's nouns) or a layout file; repeatable.",
)
@click.option(
    "--development",
    is_flag=True,
    help="Paint other held-out scenes and ask judge B: for choosing options, not for reporting.",
)
@click.option("--limit", type=click.IntRange(min=2), default=300, show_default=True, help="Layouts of each set.")
@click.option("--methods", metavar="NAMES", help="Comma-separated; default all that the paper compares.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change an option of every method that has it: r=0.1, O=2, guided=5, eta=10, lam=1, …; its rows say so.",
)
@click.option("--model", default="tiny-sd", show_default=True, metavar="NAME")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--cfg", type=float, default=7.5, show_default=True)
@click.option("--scheduler", default=None, metavar="NAME")
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--seed", type=int, default=0, show_default=True, help="Layout i is painted from seed + i.")
@click.option("--device", metavar="NAME")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    help="Default results/winwinlay_small_world.json, or runs/winwinlay_development.json with --development.",
)
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/bench_guidance"),
    show_default=True,
    help="Folder of the pictures; a broken run continues there.",
)
@click.option(
    "--readme",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Also put the tables between the markers of this document.",
)
@volume
def guidance(
    development: bool,
    methods: str | None,
    changes: tuple[str, ...],
    device: str | None,
    out: Path | None,
    run: Path,
    readme: Path | None,
    **options: object,
) -> None:
    """Compare guidance methods: the same layouts and seeds, painted by each and judged by judge A."""
    from scenograph.judging.results import read_results
    from scenograph.recipes import bench_guidance
    from scenograph.recipes.bench_tables import guidance_tables

    names = tuple(methods.split(",")) if methods else bench_guidance.METHODS
    parsed = bench_guidance.parse_changes(changes)
    plan = bench_guidance.GuidanceBench(development=development, methods=names, changes=parsed, **options)  # type: ignore[arg-type]  # click has checked them
    out = out or _DEFAULT_OUT[development]
    quiet = is_quiet()
    bench_guidance.run(
        plan, folder=run, out=out, readme=readme, device=device, progress=not quiet, verbose=is_verbose()
    )
    for name, table in guidance_tables(read_results(out)).items():
        say(f"\n{name}\n\n{table}")
    say(str(out))


@bench.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/speed_guidance.json"),
    show_default=True,
)
@click.option(
    "--readme",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Also put the tables between the markers of this document.",
)
@volume
def speed(out: Path, readme: Path | None) -> None:
    """Time one guidance step at the size of Stable Diffusion 1.5, against the way public implementations do it."""
    from scenograph.judging.results import check_markers, check_out
    from scenograph.recipes.bench_tables import speed_tables, write_tables

    check_out(out)
    if readme:
        check_markers(readme, ["speed_guidance"])
    from scenograph.recipes import bench_speed

    bench_speed.run(out=out)
    if readme:
        write_tables(out, readme, speed_tables)
    say(str(out))


@bench.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/world_speed.json"),
    show_default=True,
)
@volume
def world(out: Path) -> None:
    """Count how many scenes of the small world are drawn in a second."""
    from scenograph.judging.results import check_out
    from scenograph.recipes import bench_world

    check_out(out)
    for row in bench_world.run(out=out):
        say(f"{row['name']}: {row['scenes_per_second']:.0f} scenes/s")
    say(str(out))

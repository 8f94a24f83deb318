"""`scenograph bench`: the project's measurements, written into results files."""

from __future__ import annotations

from pathlib import Path

import click

from scenograph.cli.habits import is_quiet, is_verbose, say, volume

__all__ = ["bench"]


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
    help="drawn (held-out scenes), coco:FILE (COCO boxes of the world's nouns) or a layout file; repeatable.",
)
@click.option("--limit", type=click.IntRange(min=2), default=300, show_default=True, help="Layouts of each set.")
@click.option("--methods", metavar="NAMES", help="Comma-separated; default all that the paper compares.")
@click.option(
    "--set",
    "changes",
    multiple=True,
    metavar="NAME=VALUE",
    help="Change an option of every method that has it: r=0.1, O=2, guided=5, eta=10, lam=1, …",
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
    default=Path("results/winwinlay_small_world.json"),
    show_default=True,
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
    sets: tuple[str, ...],
    methods: str | None,
    changes: tuple[str, ...],
    device: str | None,
    out: Path,
    run: Path,
    readme: Path | None,
    **options: object,
) -> None:
    """Compare guidance methods: the same layouts and seeds, painted by each and judged by judge A."""
    from scenograph.recipes import bench_guidance

    names = tuple(methods.split(",")) if methods else bench_guidance.METHODS
    parsed = bench_guidance.parse_changes(changes)
    plan = bench_guidance.GuidanceBench(sets=sets, methods=names, changes=parsed, **options)  # type: ignore[arg-type]  # click has checked them
    bench_guidance.run(plan, folder=run, out=out, device=device, progress=not is_quiet(), verbose=is_verbose())
    for name, table in bench_guidance.tables(out).items():
        say(f"\n{name}\n\n{table}")
    if readme:
        bench_guidance.write_tables(out, readme)
    say(str(out))


@bench.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/speed_guidance.json"),
    show_default=True,
)
@volume
def speed(out: Path) -> None:
    """Time one guidance step at the size of Stable Diffusion 1.5, against the way public implementations do it."""
    from scenograph.recipes import bench_speed

    bench_speed.run(out=out)
    say(str(out))

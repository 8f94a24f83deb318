"""`scenograph bench echogen`, `leak` and `parsing`: what the unified model's papers claim, on the small world."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scenograph.cli.habits import (
    SEED,
    as_json,
    destinations,
    dtype_option,
    note,
    readme_option,
    save_picture,
    show_tables,
    volume,
)
from scenograph.errors import ResultError

__all__ = ["TABLES", "WAYS"]

# A test holds them equal to recipes.echogen_rows.TABLES and recipes.bench_leak.WAYS, which cost an import of torch.
TABLES = ("main", "layouts", "entry")
WAYS = ("shared", "dropped", "blind", "two-passes")

_RUN = click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of trainings and pictures; a broken run continues there.",
)
_UNIFIED_CFG = click.option(
    "--unified-cfg", type=float, default=3.0, show_default=True, help="Guidance of the unified model's pictures."
)
_SEED = click.option("--seed", type=SEED, default=0, show_default=True)


def _out(default: str) -> Callable[[Any], Any]:
    return click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help=f"Default {default}.")


def _names(text: str | None) -> tuple[str, ...]:
    return tuple(word.strip() for word in text.split(",") if word.strip()) if text else ()


@click.command()
@click.option(
    "--table",
    type=click.Choice(TABLES),
    default="main",
    show_default=True,
    help="Stages beside diffusion rows; stage 3 on real, random and planned layouts; stages entered early.",
)
@click.option("--rows", metavar="NAMES", help="Comma-separated; default all of the table.")
@click.option(
    "--checkpoint",
    "checkpoints",
    multiple=True,
    metavar="ROW=FOLDER",
    help="A row's model, where it is not where its training leaves it; repeatable.",
)
@click.option("--limit", type=click.IntRange(min=2), default=1000, show_default=True, help="Held-out layouts.")
@click.option(
    "--development",
    is_flag=True,
    help="Paint other held-out scenes and ask judge B: for choosing options, not for reporting.",
)
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True, help="Of the diffusion rows.")
@click.option("--cfg", type=float, default=7.5, show_default=True, help="Of tiny-sd's rows; gated ones have theirs.")
@dtype_option
@_UNIFIED_CFG
@click.option("--temperature", type=float, default=1.0, show_default=True, help="Of the unified model's pictures.")
@click.option("--batch-size", type=click.IntRange(min=1), default=16, show_default=True)
@_SEED
@click.option("--device", metavar="NAME")
@_RUN
@_out("results/echogen_….json, or runs/echogen_development.json with --development")
@readme_option
@click.option("--sheet", type=click.Path(path_type=Path), help="Also draw samples of every stage (PNG).")
@click.option("--curves", type=click.Path(path_type=Path), help="Also draw the losses of every stage (PNG).")
@as_json
@volume
def echogen(
    rows: str | None,
    checkpoints: tuple[str, ...],
    device: str | None,
    run: Path,
    out: Path | None,
    readme: Path | None,
    sheet: Path | None,
    curves: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """EchoGen's stages on held-out layouts, beside plain, WinWinLay, GLIGEN and GOAL; nothing is trained here.

    A difference whose interval holds 0 is called inconclusive. Rows that are not trained yet are named in one line,
    with the command that trains them.
    """
    given = [text.partition("=") for text in checkpoints]
    if bad := [name for name, equals, place in given if not (name and equals and place)]:
        raise ResultError(f"--checkpoint got {', '.join(map(repr, bad))}; expected ROW=FOLDER, such as 1+3=runs/mine")
    if options["development"] and readme:
        raise ResultError("results on development layouts are no reported ones and go into no document; drop --readme")
    from scenograph.judging.results import read_results
    from scenograph.recipes import bench_echogen
    from scenograph.recipes.bench_tables import echogen_tables

    named = tuple((name, place) for name, _, place in given)
    bench = bench_echogen.EchogenBench(rows=_names(rows), checkpoints=named, **options)
    for picture in (sheet, curves):
        if picture:
            destinations(picture, ["sheet"])  # better refused now than after hours
    out = out or Path("runs" if bench.development else "results") / f"{bench.name}.json"
    places = bench_echogen.places_of(bench, run)
    stages = {row: place for row, place in places.items() if row not in bench_echogen.BASELINES}
    if curves:
        from scenograph.recipes.echogen_rows import TABLES as ROWS
        from scenograph.recipes.echogen_sheet import curves_sheet

        save_picture(curves_sheet({row: run / ROWS[bench.table][row] for row in stages}), curves)
    bench_echogen.run(bench, run=run, out=out, readme=readme, device=device, report=note)
    content = read_results(out)
    show_tables(content["rows"], echogen_tables(content), out, as_json)
    if sheet:
        from scenograph.recipes.echogen_sheet import sample_sheet

        options = {"seed": bench.seed, "cfg": bench.unified_cfg, "temperature": bench.temperature}
        save_picture(sample_sheet(stages, **options), sheet)


@click.command()
@click.option("--rows", metavar="NAMES", default=",".join(WAYS), show_default=True, help="Ways to share; see the docs.")
@click.option("--trainings", type=click.IntRange(min=1), default=3, show_default=True, help="Of each row.")
@click.option("--train-steps", type=click.IntRange(min=1), default=2000, show_default=True, help="Of each training.")
@click.option("--limit", type=click.IntRange(min=2), default=500, show_default=True, help="Held-out scenes.")
@_RUN
@_out("results/echogen_leak.json")
@readme_option
@as_json
@volume
def leak(rows: str, run: Path, out: Path | None, readme: Path | None, as_json: bool, **options: Any) -> None:
    """What sharing the image tokens costs grounding alone; trains the rows that are missing.

    shared is the paper's mask; dropped hides the first layout in a share of the samples; blind counts only those for
    grounding; two-passes shares nothing.
    """
    from scenograph.judging.results import read_results
    from scenograph.recipes import bench_leak
    from scenograph.recipes.bench_tables import leak_tables

    out = out or Path("results/echogen_leak.json")
    bench_leak.run(bench_leak.LeakBench(rows=_names(rows), **options), run=run, out=out, readme=readme, report=note)
    content = read_results(out)
    show_tables(content["rows"], leak_tables(content), out, as_json)


@click.command()
@click.option("--model", default="tiny-janus", show_default=True, metavar="NAME")
@click.option("--prompts", type=click.IntRange(min=1), default=50, show_default=True, help="Of each category.")
@_UNIFIED_CFG
@_SEED
@click.option("--device", metavar="NAME")
@_out("results/echogen_parsing.json")
@readme_option
@as_json
@volume
def parsing(out: Path | None, readme: Path | None, device: str | None, as_json: bool, **options: Any) -> None:
    """Prompt parsing by the unified model (MIGLoRA, Stage I): Acc, Quality and ReAcc, beside the grammar planner."""
    from scenograph.judging.results import read_results
    from scenograph.recipes import bench_parsing
    from scenograph.recipes.bench_tables import parsing_tables

    out = out or Path("results/echogen_parsing.json")
    bench = bench_parsing.ParsingBench(**options)
    bench_parsing.run(bench, out=out, readme=readme, device=device, report=note)
    content = read_results(out)
    show_tables(content["rows"], parsing_tables(content), out, as_json)

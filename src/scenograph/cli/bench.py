"""`scenograph bench`: the project's measurements, written into results files."""

from __future__ import annotations

import re
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import (
    SEED,
    as_json,
    command_of,
    dtype_option,
    given,
    is_quiet,
    is_verbose,
    note,
    readme_option,
    save_picture,
    say,
    show_tables,
    volume,
)
from scenograph.cli.planning import chosen_planner, planner_options

if TYPE_CHECKING:
    from scenograph.recipes.bench_nsr1k import Method

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
@click.option(
    "--methods",
    metavar="NAMES",
    help="Comma-separated, options behind colons: plain,naef+adaptive:r=0.2:guided=25,naef+backprop:eta=10. Default "
    "all of the paper, with its options and with those chosen for tiny-sd.",
)
@click.option("--model", default="tiny-sd", show_default=True, metavar="NAME")
@click.option("--steps", type=click.IntRange(min=1), default=50, show_default=True)
@click.option("--cfg", type=float, default=7.5, show_default=True)
@click.option("--scheduler", default=None, metavar="NAME")
@dtype_option
@click.option("--batch-size", type=click.IntRange(min=1), default=8, show_default=True)
@click.option("--seed", type=SEED, default=0, show_default=True, help="Layout i is painted from seed + i.")
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
@readme_option
@volume
def guidance(
    development: bool,
    methods: str | None,
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

    if methods:
        options["methods"] = tuple(re.split(r",(?![^\[]*\])", methods))  # rho=[4,1] is one value
    plan = bench_guidance.GuidanceBench(development=development, **options)  # type: ignore[arg-type]  # click has checked them
    out = out or _DEFAULT_OUT[development]
    quiet = is_quiet()
    bench_guidance.run(
        plan, folder=run, out=out, readme=readme, device=device, progress=not quiet, verbose=is_verbose()
    )
    for name, table in guidance_tables(read_results(out)).items():
        say(f"\n{name}\n\n{table}")
    say(str(out))


@bench.command()
@click.option("--table", type=click.Choice(["5", "6", "7"]), help="An ablation of the paper; default its main table.")
@click.option("--prompts", type=click.IntRange(min=2), default=150, show_default=True, help="Of each category.")
@click.option(
    "--seeds",
    type=click.IntRange(min=1),
    default=3,
    show_default=True,
    help="Pictures of each prompt; trainings share them.",
)
@click.option(
    "--trainings", type=click.IntRange(min=1), default=3, show_default=True, help="Of control and GOAL, main table."
)
@click.option(
    "--guided-seeds",
    type=click.IntRange(min=1),
    help="Pictures of each prompt by WinWinLay, which take six times as long; default --seeds.",
)
@click.option("--steps", type=click.IntRange(min=1), default=25, show_default=True, help="Sampling steps.")
@click.option("--cfg", type=float, default=4.0, show_default=True)
@click.option("--beta", type=click.FloatRange(0, 1), default=0.6, show_default=True, help="Share of grounded steps.")
@dtype_option
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs"),
    show_default=True,
    help="Folder of trainings and pictures; a broken run continues there.",
)
@click.option("--out", type=click.Path(path_type=Path, dir_okay=False), help="Default results/goal_….json.")
@readme_option
@click.option("--sheet", type=click.Path(path_type=Path), help="Also draw estimates and attention of every row (PNG).")
@volume
def goal(run: Path, out: Path | None, readme: Path | None, sheet: Path | None, **options: Any) -> None:
    """GOAL against GLIGEN and its control on T2I-CompBench's categories; trains the rows that are missing."""
    from scenograph.judging.results import read_results
    from scenograph.recipes import bench_goal
    from scenograph.recipes.bench_tables import goal_tables

    plan = bench_goal.GoalBench(**options)
    out = out or Path(f"results/{plan.name}.json")
    bench_goal.run(plan, run=run, out=out, readme=readme, report=note)
    for name, table in goal_tables(read_results(out)).items():
        say(f"\n{name}\n\n{table}")
    say(str(out))
    if sheet:
        from scenograph.recipes.goal_sheet import goal_sheet

        say(str(save_picture(goal_sheet(bench_goal.checkpoints(plan, run)), sheet)))


@bench.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    metavar="DIR|FILE",
    help="A folder with counting*.json and spatial*.json, or one such file.",
)
@planner_options
@click.option(
    "--layouts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    multiple=True,
    metavar="FILE",
    help="Score released layouts too; without --planner, only them. Repeatable.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Prompts of each set, spread over it.")
@click.option("--tries", type=click.IntRange(min=1), default=1, show_default=True, help="Layouts of each prompt.")
@click.option("--seed", type=SEED, default=0, show_default=True, help="Of the first try; the next ones count up.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/nsr1k.json"),
    show_default=True,
)
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/bench_nsr1k"),
    show_default=True,
    help="Folder of the answers; a language model is never asked again for what stands there.",
)
@readme_option
@as_json
@volume
@click.pass_context
def nsr1k(
    context: click.Context,
    data: Path,
    layouts: tuple[Path, ...],
    out: Path,
    readme: Path | None,
    as_json: bool,
    **options: Any,
) -> None:
    """Score a planner on NSR-1K, officially and strictly.

    Prompts are those of LayoutGPT's repository (counting.val.json, spatial.val.json); released layouts go in through
    --layouts. A broken run continues where it stopped.
    """
    from scenograph.judging.results import check_markers, check_out
    from scenograph.recipes.bench_nsr1k import run
    from scenograph.recipes.bench_tables import nsr1k_tables, write_tables

    check_out(out)
    if readme:
        check_markers(readme, ["nsr1k-counting", "nsr1k-spatial"])
    command = command_of(context)
    chosen = _method(options)
    method = chosen if not layouts or given(context, "planner") else None
    content = run(
        data=data, out=out, method=method, layouts=layouts, command=command, progress=not is_quiet(), **options
    )
    if readme:
        write_tables(out, readme, nsr1k_tables)
    show_tables(content["rows"], nsr1k_tables(content), out, as_json)


@bench.command()
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    metavar="DIR|FILE",
    help="A folder with T2I-CompBench's prompts (spatial_train.txt, …), or one such file.",
)
@planner_options
@click.option(
    "--labels",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    metavar="FILE",
    help="What prompts state, labelled by hand; default benchmarks/t2i_compbench_labels.jsonl where it is there.",
)
@click.option("--limit", type=click.IntRange(min=1), metavar="N", help="Prompts of each category, spread over it.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--rounds", type=click.IntRange(min=0), default=3, show_default=True, help="Of timing; 0 leaves it out.")
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/planning.json"),
    show_default=True,
)
@click.option(
    "--run",
    "folder",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/bench_planning"),
    show_default=True,
    help="Folder of the answers; a language model is never asked again for what stands there.",
)
@readme_option
@as_json
@volume
@click.pass_context
def planning(
    context: click.Context, out: Path, labels: Path | None, readme: Path | None, as_json: bool, **options: Any
) -> None:
    """Score a planner on T2I-CompBench's prompts.

    What it understands, what its layouts keep, how well it agrees with prompts labelled by hand, whether broken layouts
    come back right, and how many prompts it plans in a second.
    """
    from scenograph.judging.results import check_markers, check_out
    from scenograph.recipes.bench_planning import LABELS, run
    from scenograph.recipes.bench_tables import PLANNING_MARKERS, planning_tables, write_tables

    check_out(out)
    if readme:
        check_markers(readme, PLANNING_MARKERS)
    labels = labels or (LABELS if LABELS.exists() else None)
    command, method = command_of(context), _method(options)
    content = run(out=out, method=method, labels=labels, command=command, progress=not is_quiet(), **options)
    if readme:
        write_tables(out, readme, planning_tables)
    show_tables(content["rows"], planning_tables(content), out, as_json)


def _method(options: dict[str, Any]) -> Method:
    """The planner that the options describe; takes them out."""
    from scenograph.recipes.bench_nsr1k import Method

    before = dict(options)
    make = chosen_planner(options)
    taken = {name: value for name, value in before.items() if name not in options and value is not None}
    name = taken.pop("planner")
    if "llm" in taken:
        taken["model"] = taken.pop("llm")
    return Method(name=name, make=make, options=taken)

"""`scenograph bench speed`, `painting`, `unified`, `goal-step` and `world`: what things cost."""

from __future__ import annotations

from pathlib import Path

import click

from scenograph.cli.habits import is_quiet, readme_option, say, volume

__all__ = ["goal_step", "painting", "speed", "unified", "world"]


@click.command()
@click.option(
    "--out",
    type=click.Path(path_type=Path, dir_okay=False),
    default=Path("results/speed_guidance.json"),
    show_default=True,
)
@readme_option
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


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/speed_painting.json"), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@readme_option
@volume
def painting(out: Path, rounds: int, readme: Path | None) -> None:
    """Time one WinWinLay picture of the embedded painter, warm and with the cold start."""
    from scenograph.judging.results import check_markers, check_out
    from scenograph.recipes.bench_tables import painting_tables, write_tables

    check_out(out)
    if readme:
        check_markers(readme, ["speed_painting"])
    from scenograph.recipes import bench_painting

    for row in bench_painting.run(out=out, repeats=rounds, progress=not is_quiet()):
        say(f"{row['name']}: {row['seconds']:.1f} s")
    if readme:
        write_tables(out, readme, painting_tables)
    say(str(out))


@click.command()
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/speed_unified.json"), show_default=True)
@click.option("--rounds", type=click.IntRange(min=1), default=5, show_default=True)
@volume
def unified(out: Path, rounds: int) -> None:
    """Time the unified model: stage 1 shared against two passes, our sampler against transformers' generate."""
    from scenograph.judging.results import check_out

    check_out(out)
    from scenograph.recipes import bench_unified

    bench_unified.run(out=out, rounds=rounds, progress=not is_quiet())
    say(str(out))


@click.command("goal-step")
@click.option("--out", type=click.Path(path_type=Path), default=Path("results/goal_step.json"), show_default=True)
@volume
def goal_step(out: Path) -> None:
    """One GOAL training step at the size of Stable Diffusion 1.4 with random weights: seconds and memory (13 GB)."""
    from scenograph.judging.results import check_out

    check_out(out)
    from scenograph.recipes import goal_step as story

    story.run(out=out)
    say(str(out))


@click.command()
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

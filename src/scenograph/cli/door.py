"""The door itself: the table of commands, the exit status, and the small commands."""

from __future__ import annotations

import logging
import os
import sys
import traceback
import warnings
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Any

import click

from scenograph import __version__
from scenograph.cli.bench import bench
from scenograph.cli.bench_echogen import echogen, leak, parsing
from scenograph.cli.bench_pictures import coco, compbench, layoutsam, nsr1k_images, referring
from scenograph.cli.bench_speed import goal_step, painting, speed, unified
from scenograph.cli.bench_speed import world as bench_world
from scenograph.cli.building import build
from scenograph.cli.grounding import ground
from scenograph.cli.habits import print_json, say, volume
from scenograph.cli.judging import judge
from scenograph.cli.painting import paint
from scenograph.cli.planning import plan
from scenograph.cli.training import train
from scenograph.cli.world import world
from scenograph.errors import ScenographError, ScenographWarning

__all__ = ["main", "reference"]

_WIDTH = 100


@click.group(
    context_settings={"max_content_width": _WIDTH, "help_option_names": ["-h", "--help"]},
    no_args_is_help=False,
    invoke_without_command=True,
)
@click.version_option(__version__, prog_name="scenograph")
@volume
@click.pass_context
def scenograph(context: click.Context) -> None:
    """Layouts and pictures: plan a layout, paint it, judge the picture, train the models that do it.

    A layout file is {"caption": "a red cup and a dog", "instances": [{"caption": "a red cup", "box": [x0, y0, x1, y1]},
    …]} with boxes in fractions of the canvas; many layouts are JSON Lines. Exit status: 0 done, 2 a mistake in what was
    asked (one line on stderr), 1 anything else.
    """
    if context.invoked_subcommand is None:
        click.echo(context.get_help())


@click.command()
@volume
def schema() -> None:
    """Print the JSON Schema of a layout."""
    from scenograph.layout import schema as layout_schema

    print_json(layout_schema())


@click.command()
@click.argument("file", type=click.Path(path_type=Path))
@click.argument("out", type=click.Path(path_type=Path))
@click.option("--base", metavar="NAME", help="What a GLIGEN release was trained on; default SD 1.4 from the hub.")
@volume
def convert(file: Path, out: Path, base: str | None) -> None:
    """Turn a pickle into safetensors.

    FILE is a checkpoint (.ckpt, .pt, .bin), OUT ends in .safetensors; nothing in the pickle is run. With another OUT,
    FILE is the original release of GLIGEN and OUT becomes a diffusers folder.
    """
    if out.suffix == ".safetensors":
        from scenograph.models.convert import convert_pickle

        say(str(convert_pickle(file, out)))
        return
    from scenograph.models.gligen_release import BASE, convert_gligen

    say(str(convert_gligen(file, out, base=base or BASE)))


for command in (speed, painting, unified, goal_step, bench_world, echogen, leak, parsing):
    bench.add_command(command)
for command in (referring, layoutsam, coco, compbench, nsr1k_images):
    bench.add_command(command)

for command in (plan, paint, ground, judge, world, train, build, bench, schema, convert):
    scenograph.add_command(command)


def main(argv: Sequence[str] | None = None) -> int:
    """Run the command line `argv` (default: the process's own) and return the exit status. Never raises."""
    arguments = list(sys.argv[1:] if argv is None else argv)
    with warnings.catch_warnings():
        warnings.showwarning = partial(_show, shown=warnings.showwarning)
        if not {"-v", "--verbose"} & set(arguments):
            warnings.simplefilter("ignore")
            warnings.simplefilter("default", ScenographWarning)
            # Not yet imported; their import sets the levels by these.
            os.environ.setdefault("TRANSFORMERS_VERBOSITY", "error")
            os.environ.setdefault("DIFFUSERS_VERBOSITY", "error")
            logging.getLogger("diffusers").setLevel(logging.ERROR)
            logging.getLogger("transformers").setLevel(logging.ERROR)
        try:
            status = scenograph.main(arguments, prog_name="scenograph", standalone_mode=False)
        except (ScenographError, click.ClickException) as error:
            return _refuse(error.format_message() if isinstance(error, click.ClickException) else str(error))
        except (PermissionError, NotADirectoryError, IsADirectoryError, FileExistsError) as error:
            return _refuse(f"cannot use {error.filename!r}: {error.strerror}; name another place")
        except (click.Abort, KeyboardInterrupt):
            click.echo("scenograph: stopped", err=True)
            return 1
        except BrokenPipeError:  # `scenograph … | head`: nobody listens any more, not even to the flush at exit
            os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
            return 1
        except Exception:
            traceback.print_exc()
            return 1
    return status if isinstance(status, int) else 0


def _show(message: Warning | str, category: type[Warning], *where: Any, shown: Callable[..., None]) -> None:
    if issubclass(category, ScenographWarning):
        _say_line(str(message))
    else:
        shown(message, category, *where)


def _refuse(message: str) -> int:
    _say_line(message)
    return 2


def _say_line(message: str) -> None:
    click.echo(f"scenograph: {' '.join(message.split())}", err=True)


def reference() -> str:
    """docs/cli.md: the help text of every command, as Markdown."""
    parts = ["# The command line\n\nThe help texts, written by `make docs`.\n"]
    queue: list[tuple[str, click.Command]] = [("scenograph", scenograph)]
    while queue:
        name, command = queue.pop(0)
        context = click.Context(command, info_name=name, terminal_width=_WIDTH, max_content_width=_WIDTH)
        context.help_option_names = ["-h", "--help"]  # inherited when click makes the context itself
        parts.append(f"## {name}\n\n```text\n{command.get_help(context)}\n```\n")
        if isinstance(command, click.Group):
            queue = [(f"{name} {inner}", command.commands[inner]) for inner in sorted(command.commands)] + queue
    return "\n".join(parts)

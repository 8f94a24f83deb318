"""What commands do alike: -q, -v, JSON lines, the places of pictures, files written whole, and what benches say."""

from __future__ import annotations

import io
import json
import shlex
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

import click

from scenograph.errors import ImageError
from scenograph.files import is_writable_folder, write_whole

if TYPE_CHECKING:
    from PIL.Image import Image

__all__ = [
    "SEED",
    "as_json",
    "command_of",
    "destinations",
    "dtype_option",
    "given",
    "is_picture",
    "is_quiet",
    "is_verbose",
    "note",
    "print_json",
    "readme_option",
    "save_picture",
    "say",
    "show_tables",
    "volume",
]

_PICTURES = {".png", ".jpg", ".jpeg", ".webp", ".bmp", ".gif", ".tif", ".tiff"}
_PNG = b"\x89PNG\r\n\x1a\n"
_Command = TypeVar("_Command", bound=Callable[..., Any])

SEED = click.IntRange(0, 2**63 - 1)
"""What every generator takes."""
as_json = click.option(
    "--json", "as_json", is_flag=True, help="Print one JSON object a line, in the order of the input."
)
dtype_option = click.option("--dtype", metavar="NAME", help="float32, float16, bfloat16 or float64.")
readme_option = click.option(
    "--readme",
    type=click.Path(path_type=Path, dir_okay=False, exists=True),
    help="Also put the tables between the markers of this document.",
)


def volume(command: _Command) -> _Command:
    """The options -q and -v, for a group or a command; they reach no function, `is_quiet` and `is_verbose` ask them."""

    def keep(context: click.Context, option: click.Parameter, value: bool) -> None:
        if value:
            context.find_root().meta[f"scenograph.{option.name}"] = True

    for short, name, text in (
        ("-v", "verbose", "Also say what is going on, and let the libraries speak."),
        ("-q", "quiet", "Print results only as --json, and no progress."),
    ):
        command = click.option(short, f"--{name}", is_flag=True, expose_value=False, callback=keep, help=text)(command)
    return command


def is_quiet() -> bool:
    """Whether -q was given."""
    return bool(click.get_current_context().find_root().meta.get("scenograph.quiet"))


def is_verbose() -> bool:
    """Whether -v was given."""
    return bool(click.get_current_context().find_root().meta.get("scenograph.verbose"))


def say(text: str) -> None:
    """A result for people, on stdout."""
    if not is_quiet():
        click.echo(text)


def note(text: str) -> None:
    """What is going on, on stderr, with -v only."""
    if is_verbose():
        click.echo(text, err=True)


def print_json(value: Any) -> None:
    """One JSON object on one line of stdout."""
    click.echo(json.dumps(value, ensure_ascii=False))


def is_picture(path: Path) -> bool:
    """Whether a file is meant as a picture: by its suffix, or because it begins as a PNG does."""
    if path.suffix.lower() in _PICTURES:
        return True
    try:
        with path.open("rb") as file:
            return file.read(len(_PNG)) == _PNG
    except (OSError, ValueError):
        return False  # whoever reads it next says what is wrong


def destinations(out: Path, names: Sequence[str]) -> list[Path]:
    """Where pictures called `names` go: one into the file `out`, else all into the folder `out`, numbered when alike.

    Raises ImageError when `out` can be neither, before anything has been painted.
    """
    single = out.suffix.lower() == ".png" and not out.is_dir()
    if single and len(names) > 1:
        raise ImageError(f"{str(out)!r} is one file for {len(names)} pictures; expected a folder")
    if not single and out.suffix.lower() in _PICTURES and not out.is_dir():
        raise ImageError(f"cannot save {str(out)!r}; expected a name that ends in .png, or a folder")
    folder = out.parent if single else out
    if not is_writable_folder(folder):
        raise ImageError(f"cannot write to {str(folder)!r}; expected a folder you may write to")
    if single:
        return [out]
    total, seen = Counter(names), Counter[str]()
    paths = []
    for name in names:
        seen[name] += 1
        paths.append(out / (f"{name}-{seen[name]:04d}.png" if total[name] > 1 else f"{name}.png"))
    twice = [path for path, count in Counter(paths).items() if count > 1]
    if twice:
        raise ImageError(f"two pictures would be {str(twice[0])!r}; give one of the files another name")
    return paths


def save_picture(image: Image, path: Path) -> Path:
    """Write a picture that carries no recipe; the file appears only when it is whole. Raises ImageError."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        png = io.BytesIO()
        image.save(png, format="PNG")
        write_whole(path, png.getvalue())
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"cannot write {str(path)!r}: {reason}; name a folder you may write to") from error
    return path


def given(context: click.Context, option: str) -> bool:
    """Whether an option stands on the command line."""
    return context.get_parameter_source(option) is click.core.ParameterSource.COMMANDLINE


def command_of(context: click.Context) -> str:
    """The command line of the options that were given, for the results file."""
    words = []
    for parameter in context.command.params:
        value = context.params.get(parameter.name or "")
        if not given(context, parameter.name or "") or value is None or parameter.name == "readme":
            continue
        for one in value if isinstance(value, tuple) else (value,):
            words += [parameter.opts[0], *([] if one is True else [str(one)])]
    return shlex.join([*context.command_path.split(), *words])


def show_tables(rows: Sequence[Mapping[str, Any]], tables: Mapping[str, str], out: Path, as_json: bool) -> None:
    """What a bench has measured: its rows as JSON, or its tables and the file that holds them."""
    if as_json:
        for row in rows:
            print_json(row)
        return
    for name, table in tables.items():
        say(f"\n{name}\n\n{table}")
    say(str(out))

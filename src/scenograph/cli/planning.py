"""`scenograph plan`: prompts in, layouts out; and the options by which any command chooses a planner."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from math import ceil, sqrt
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import SEED, as_json, is_quiet, note, print_json, save_picture, say, volume
from scenograph.errors import PlanError
from scenograph.files import is_writable_folder
from scenograph.layout import save_layouts

if TYPE_CHECKING:
    from scenograph.layout import Layout
    from scenograph.planning.plan import Plan, Planner

__all__ = ["PLANNERS", "chosen_planner", "plan", "planner_options"]

PLANNERS = ("grammar", "llm", "local", "examples", "janus")  # a test holds it equal to planning.named.PLANNERS

_OPTIONS = (
    click.option(
        "--planner",
        type=click.Choice(PLANNERS),
        default="grammar",
        show_default=True,
        help="grammar: no model. llm: an OpenAI-compatible endpoint. local: a transformers LM. examples: the nearest. "
        "janus: a unified model.",
    ),
    click.option(
        "--llm", metavar="NAME", help="The endpoint's model, or the local or unified one's id or folder (tiny-janus)."
    ),
    click.option("--base-url", metavar="URL", help="The endpoint; default OpenAI's. The key is $OPENAI_API_KEY."),
    click.option(
        "--examples",
        type=click.Path(path_type=Path),
        metavar="FILE",
        help="Layouts to choose in-context examples from; default our own.",
    ),
    click.option("--shots", type=click.IntRange(min=0), help="In-context examples shown to the model."),
    click.option("--temperature", type=float, help="Of the language model."),
    click.option("--timeout", type=float, metavar="SECONDS", help="For one answer of the endpoint."),
    click.option("--retries", type=click.IntRange(min=0), help="How often to ask again after an error."),
    click.option("--regenerate", type=click.IntRange(min=0), help="janus: how often to paint and draft again."),
    click.option("--price-in", type=float, help="Of a million tokens read, to add up the cost."),
    click.option("--price-out", type=float, help="Of a million tokens written."),
)
_NAMES = (
    "llm",
    "base_url",
    "examples",
    "shots",
    "temperature",
    "timeout",
    "retries",
    "regenerate",
    "price_in",
    "price_out",
)


def planner_options(command: Any) -> Any:
    """--planner and what the planners behind it need; `chosen_planner` takes them out of a command's arguments."""
    for option in reversed(_OPTIONS):
        command = option(command)
    return command


def chosen_planner(options: dict[str, Any]) -> Callable[[], Planner]:
    """How to make the planner that `planner_options` describe, for when one is needed; it may raise PlanError.

    Takes the values out of `options`.
    """
    given = {name: options.pop(name) for name in _NAMES}
    given["model"] = given.pop("llm")  # a painter's model has the option of that name
    given = {name: value for name, value in given.items() if value is not None}
    name = options.pop("planner")

    def make() -> Planner:
        from scenograph.planning.named import planner

        return planner(name, **given)

    return make


@click.command()
@click.argument("prompt", metavar="PROMPT|FILE")
@planner_options
@click.option("--seed", type=SEED, default=0, show_default=True, help="Another seed is another arrangement.")
@click.option("--variants", type=click.IntRange(min=1), default=1, show_default=True, help="Layouts of each prompt.")
@click.option(
    "--size",
    type=(click.IntRange(min=1), click.IntRange(min=1)),
    metavar="WIDTH HEIGHT",
    help="The canvas in pixels; default square, without a size.",
)
@click.option("--draw", type=click.Path(path_type=Path), metavar="PNG", help="Also draw the layouts, all on one sheet.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the layouts to a file.")
@click.option("--show-prompt", is_flag=True, help="Print what a language model would be asked, and ask nothing.")
@as_json
@volume
def plan(
    prompt: str,
    seed: int,
    variants: int,
    size: tuple[int, int] | None,
    draw: Path | None,
    out: Path | None,
    show_prompt: bool,
    as_json: bool,
    **options: Any,
) -> None:
    """Plan a layout from a prompt.

    PROMPT is a sentence such as "three cats to the left of a dog"; a FILE holds one prompt a line (blank lines are
    skipped), and - reads them from the standard input. Prints the layout; what the planner did not understand is said
    on stderr, and with --json stands in each line's "unparsed".
    """
    from tqdm import tqdm

    if draw is not None and draw.suffix.lower() != ".png":
        raise PlanError(f"cannot draw to {str(draw)!r}; expected a name that ends in .png")
    if out is not None and (out.is_dir() or not is_writable_folder(out.parent)):
        raise PlanError(f"cannot write to {str(out)!r}; expected a file in a folder you may write to")
    prompts = list(_prompts(prompt))
    chosen = chosen_planner(options)()
    if show_prompt:
        _show_prompts(chosen, [text for _, text in prompts])
        return
    plans: list[Plan] = []
    bar = tqdm(prompts, unit="prompt", disable=is_quiet() or len(prompts) < 50, mininterval=1)
    for where, text in bar:
        for variant in range(variants):
            try:
                made = chosen.plan(text, seed=seed + variant, size=size)
            except PlanError as error:
                raise PlanError(f"{where}{error}") from None
            plans.append(made)
            _tell(made, where, as_json=as_json)
    if out is not None:
        save_layouts(out, [made.layout for made in plans])
    if draw is not None:
        _draw(plans, variants, draw)


def _prompts(given: str) -> Iterator[tuple[str, str]]:
    """(where it stands, prompt) of everything asked. Raises PlanError when there is none or a file cannot be read."""
    path = Path(given)
    try:
        is_file = path.is_file()
    except (OSError, ValueError):  # a sentence too long for a file name, or with a zero byte
        is_file = False
    if given != "-" and not is_file:
        if " " not in given.strip() and path.suffix in {".txt", ".jsonl", ".json", ".csv"}:
            raise PlanError(f"{given}: no such file; expected a file of prompts, or a prompt of some words")
        yield "", given
        return
    name = "standard input" if given == "-" else given
    try:
        data = sys.stdin.buffer.read() if given == "-" else path.read_bytes()
        lines = data.decode("utf-8-sig").splitlines()
    except OSError as error:
        raise PlanError(f"{name}: cannot be read ({error.strerror}); expected a text file of prompts") from None
    except UnicodeDecodeError:
        raise PlanError(f"{name}: is not UTF-8 text; expected one prompt a line") from None
    found = False
    for number, line in enumerate(lines, 1):
        if line.strip():
            found = True
            yield f"{name}, line {number}: ", line.strip()
    if not found:
        raise PlanError(f"{name}: holds no prompt; expected one a line")


def _tell(made: Plan, where: str, *, as_json: bool) -> None:
    if as_json:
        print_json(made.to_dict())
        return
    say(_readable(made.layout))
    if made.unparsed and not is_quiet():
        click.echo(f"{where}not understood: {'; '.join(made.unparsed)}", err=True)
    for change in made.changes:
        if not is_quiet():
            click.echo(f"{where}{change}", err=True)
    if made.usage is not None:
        note(f"{where}{made.usage}")


def _readable(layout: Layout) -> str:
    """The layout's JSON with an instance a line."""
    head, instances = layout.to_dict(), [f"    {json.dumps(i.to_dict(), ensure_ascii=False)}" for i in layout.instances]
    del head["instances"]
    lines = [f"  {json.dumps(name)}: {json.dumps(value, ensure_ascii=False)}," for name, value in head.items()]
    listed = "[\n" + ",\n".join(instances) + "\n  ]" if instances else "[]"
    return "\n".join(["{", *lines, f'  "instances": {listed}', "}"])


def _show_prompts(chosen: Planner, prompts: list[str]) -> None:
    show = getattr(chosen, "show_prompt", None)
    if show is None:
        raise PlanError("this planner asks no language model; expected --planner llm or local with --show-prompt")
    for text in prompts:
        click.echo(show(text))


def _draw(plans: list[Plan], variants: int, path: Path) -> None:
    """A row of variants for each prompt; without variants a grid of prompts."""
    from scenograph.drawing import contact_sheet, draw_layout, side_by_side

    pictures = [draw_layout(made.layout, size=_drawn_size(made)) for made in plans]
    captions = [made.layout.caption for made in plans]
    if len(plans) == 1:
        sheet = side_by_side(pictures, captions)
    elif variants == 1:
        tiles = [side_by_side([picture], [text]) for picture, text in zip(pictures, captions, strict=True)]
        columns = min(6, ceil(sqrt(len(tiles))))
        sheet = contact_sheet([tiles[i : i + columns] for i in range(0, len(tiles), columns)])
    else:
        rows = [pictures[i : i + variants] for i in range(0, len(pictures), variants)]
        sheet = contact_sheet(rows, row_labels=captions[::variants])
    save_picture(sheet, path)


def _drawn_size(made: Plan) -> tuple[int, int]:
    """384 pixels on the longer side: labels stay readable, and a sheet of a hundred stays a picture."""
    width, height = made.layout.size or (1, 1)
    scale = 384 / max(width, height)
    return max(1, round(width * scale)), max(1, round(height * scale))

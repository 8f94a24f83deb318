"""`scenograph build`: data sets made rather than read."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import SEED, as_json, is_quiet, note, print_json, say, volume
from scenograph.cli.painting import check_method
from scenograph.errors import DatasetError

if TYPE_CHECKING:
    from scenograph.datasets.goal2k.build import Built
    from scenograph.datasets.goal2k.painting import PicturePainter
    from scenograph.judging.detection import Detector

__all__ = ["build"]

_ENDPOINT = "openai:"
_GROUNDERS = {True: "detector-b", False: "IDEA-Research/grounding-dino-base"}  # embedded painter or not
_PLANNED = "plain"  # every other method needs boxes


@click.group()
def build() -> None:
    """Build data sets."""


@build.command()
@click.option(
    "--run",
    type=click.Path(path_type=Path, file_okay=False),
    default=Path("runs/goal2k"),
    show_default=True,
    help="Folder of everything; the same command continues where it stopped.",
)
@click.option("--count", type=click.IntRange(min=0), default=1000, show_default=True, help="Prompts from templates.")
@click.option(
    "--captions",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="Also take captions with several objects: a COCO captions file, JSON Lines, or a caption a line.",
)
@click.option("--caption-count", type=click.IntRange(min=0), help="How many of them; default as many as --count.")
@click.option(
    "--avoid", type=click.Path(path_type=Path, dir_okay=False), metavar="FILE", help="Prompts not to use, one a line."
)
@click.option(
    "--words",
    type=click.Choice(["coco", "world"]),
    help="What the templates speak of; default world for an embedded painter, else coco.",
)
@click.option(
    "--llm", metavar="NAME", help="Let this model at an OpenAI-compatible endpoint word the template prompts."
)
@click.option(
    "--painter",
    default="tiny-sd",
    show_default=True,
    metavar="NAME",
    help="A checkpoint as of `paint --model`, or openai:MODEL for an OpenAI-compatible image endpoint.",
)
@click.option(
    "--method",
    metavar="NAME[:OPTION=VALUE…]",
    callback=check_method,
    default="plain",
    show_default=True,
    help="Of a checkpoint; methods other than plain paint a layout that the grammar planner makes of the prompt.",
)
@click.option("--steps", type=click.IntRange(min=1), help="Of a checkpoint; default 50.")
@click.option("--base-url", metavar="URL", help="The endpoint of images; default OpenAI's. The key: $OPENAI_API_KEY.")
@click.option("--llm-base-url", metavar="URL", help="The endpoint of --llm; default --base-url.")
@click.option("--size", metavar="SIZE", help="Of an endpoint's pictures; default 1024x1024.")
@click.option("--quality", metavar="NAME", help="Of an endpoint's pictures, as the endpoint calls it.")
@click.option("--timeout", type=float, metavar="SECONDS", help="For one answer of an endpoint; default 180.")
@click.option("--workers", type=click.IntRange(min=1), help="Pictures asked of an endpoint at once; default 4.")
@click.option("--batch-size", type=click.IntRange(min=1), help="Pictures a checkpoint paints at once; default 4.")
@click.option(
    "--grounder",
    metavar="NAME",
    help="A detector as of `ground`; default detector-b for an embedded painter, else GroundingDINO.",
)
@click.option("--threshold", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="Lowest score of a box.")
@click.option(
    "--review",
    type=click.Path(path_type=Path, dir_okay=False),
    metavar="FILE",
    help="The file of verdicts; default review.tsv in the folder.",
)
@click.option("--unreviewed", is_flag=True, help="Also use what nobody has looked at; the manifest says so.")
@click.option("--limit", type=click.IntRange(min=1), help="Work on so many of the prompts only, to try it out.")
@click.option("--seed", type=SEED, default=0, show_default=True)
@click.option("--device", metavar="NAME", help="cuda, mps or cpu; default the first that is there.")
@as_json
@volume
def goal2k(run: Path, painter: str, grounder: str | None, words: str | None, as_json: bool, **options: Any) -> None:
    """Build GOAL2K: prompts, pictures of them, boxes in them, reviewed by a person.

    Prompts come from templates (and captions), pictures from a painter, boxes from a grounder. Then look at the pages
    in DIR/review, write accept, fix or reject into every line of DIR/review.tsv, and run the same command again: what
    is accepted or fixed becomes DIR/dataset.jsonl, with DIR/manifest.json. `scenograph train goal --data
    layouts:DIR/dataset.jsonl` reads it.
    """
    from scenograph.datasets.goal2k.build import Goal2K
    from scenograph.datasets.goal2k.build import build as build_all
    from scenograph.datasets.goal2k.words import words_called
    from scenograph.models.embedded import embedded_path, is_embedded

    embedded = is_embedded(painter)
    grounder = grounder or _GROUNDERS[embedded]
    _check(painter, options)
    if is_embedded(grounder):
        embedded_path(grounder)  # better now than when everything is painted
    paid = painter.startswith(_ENDPOINT)
    count, told = options["count"], options["caption_count"]
    plan = Goal2K(
        folder=run,
        words=words_called(words or ("world" if embedded else "coco")),
        count=count,
        caption_count=count if told is None else told,
        batch_size=1 if paid else options["batch_size"] or 4,
        workers=(options["workers"] or 4) if paid else 1,
        **{name: options[name] for name in ("captions", "avoid", "threshold", "review", "unreviewed", "limit", "seed")},
    )
    built = build_all(
        plan,
        lambda: _painter(painter, options),
        lambda: _grounder(grounder, options["device"]),
        painter_name=painter if options["method"] == _PLANNED else f"{painter} with {options['method']}",
        grounder_name=grounder,
        wording=_wording(options),
        progress=not is_quiet(),
    )
    _report(built, as_json=as_json)


def _check(painter: str, options: dict[str, Any]) -> None:
    """Raises DatasetError for options that would do nothing."""
    paid = painter.startswith(_ENDPOINT)
    if paid and painter == _ENDPOINT:
        raise DatasetError(
            "the painter is 'openai:' without a model; expected openai:MODEL, such as openai:gpt-image-1"
        )
    for name in ("size", "quality", "workers", *(() if options["llm"] else ("base_url", "timeout"))):
        if options[name] is not None and not paid:
            raise DatasetError(f"--{name.replace('_', '-')} belongs to an endpoint; expected --painter openai:MODEL")
    if options["caption_count"] is not None and not options["captions"]:
        raise DatasetError("--caption-count is given without captions; expected --captions with it")
    for name in ("steps", "batch_size"):
        if options[name] is not None and paid:
            raise DatasetError(
                f"--{name.replace('_', '-')} belongs to a checkpoint; {painter!r} is an endpoint's model"
            )
    if paid and options["method"] != _PLANNED:
        raise DatasetError(f"--method {options['method']} belongs to a checkpoint; an endpoint paints the prompt alone")
    if options["llm_base_url"] is not None and not options["llm"]:
        raise DatasetError("--llm-base-url is given without a model; expected --llm NAME with it")


def _painter(name: str, options: dict[str, Any]) -> PicturePainter:
    if name.startswith(_ENDPOINT):
        from scenograph.datasets.goal2k.endpoint import ImageEndpoint

        given = {key: options[key] for key in ("size", "quality", "timeout") if options[key] is not None}
        return ImageEndpoint(model=name.removeprefix(_ENDPOINT), base_url=options["base_url"], **given)
    from scenograph.datasets.goal2k.painting import PainterPictures
    from scenograph.models.families import is_unified
    from scenograph.models.gated import is_gated
    from scenograph.painting import Painter
    from scenograph.planning.grammar_planner import GrammarPlanner

    note(f"loading {name}")
    if is_unified(name):
        return _unified(name, options)
    painter = Painter.from_pretrained(name, device=options["device"])
    given = {name: value for name, value in painter.defaults.items() if name != "method"}
    given |= {"guidance": options["method"], "steps": options["steps"] or 50, "batch_size": options["batch_size"] or 4}
    planned = options["method"] != _PLANNED or is_gated(painter.pipeline.unet)
    return PainterPictures(painter, given, planner=GrammarPlanner() if planned else None)


def _unified(name: str, options: dict[str, Any]) -> PicturePainter:
    from scenograph.datasets.goal2k.painting import PainterPictures
    from scenograph.painting.unified import UnifiedPainter
    from scenograph.planning.grammar_planner import GrammarPlanner

    if options["method"] != _PLANNED or options["steps"] is not None:
        wrong = "--steps" if options["steps"] is not None else f"--method {options['method']}"
        raise DatasetError(f"{wrong} belongs to diffusion, and {name!r} is a unified model; leave it out")
    painter = UnifiedPainter.from_pretrained(name, device=options["device"])
    return PainterPictures(painter, {"batch_size": options["batch_size"] or 4}, planner=GrammarPlanner())


def _grounder(name: str, device: str | None) -> Detector:
    from scenograph.grounding.named import load_grounder

    note(f"loading {name}")
    return load_grounder(name, device=device)


def _wording(options: dict[str, Any]) -> Any:
    if not options["llm"]:
        return None
    from scenograph.datasets.goal2k.endpoint import Endpoint

    given = {} if options["timeout"] is None else {"timeout": options["timeout"]}
    return Endpoint(model=options["llm"], base_url=options["llm_base_url"] or options["base_url"], **given)


def _report(built: Built, *, as_json: bool) -> None:
    if as_json:
        dataset = None if built.dataset is None else str(built.dataset)
        print_json({"dataset": dataset, "review": str(built.review), "counts": dict(built.counts)})
        return
    say(", ".join(f"{number} {what}" for what, number in built.counts.items()))
    if built.counts["undecided"]:
        waiting = f"{built.counts['undecided']} wait for a verdict in {built.review}"
        say(f"{waiting}: look at the pages in {built.pages}, write there, and run this again")
    if built.dataset is not None:
        say(str(built.dataset))

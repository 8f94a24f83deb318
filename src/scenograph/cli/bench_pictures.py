"""`scenograph bench referring`, `layoutsam`, `coco`, `compbench`, `nsr1k-images`: protocols on one's own pictures."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import click

from scenograph.cli.habits import SEED, as_json, command_of, is_quiet, show_tables, volume

__all__ = ["ASKERS"]

ASKERS = ("world", "llm", "local")  # a test holds it equal to recipes.bench_painted.ASKERS

_IMAGES = click.option(
    "--images", type=click.Path(path_type=Path, file_okay=False), metavar="DIR", help="Folder of the data's pictures."
)
_LIMIT = click.option("--limit", type=click.IntRange(min=2), metavar="N", help="Pictures, spread over the data.")
_SEED = click.option("--seed", type=SEED, default=0, show_default=True)
_DEVICE = click.option("--device", metavar="NAME")


def _painted(own: str) -> Callable[[Any], Any]:
    return click.option(
        "--data",
        required=True,
        metavar="SOURCE",
        help=f"painted:FOLDER (pictures that carry their layouts, as painted ones do), or {own} with the painted "
        "pictures under the same names in --images.",
    )


def _out(name: str) -> Callable[[Any], Any]:
    return click.option(
        "--out",
        type=click.Path(path_type=Path, dir_okay=False),
        default=Path(f"results/{name}.json"),
        show_default=True,
    )


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
@_IMAGES
@click.option("--split", metavar="NAME", help="One of the data's own (val, test, testA, …); default all of them.")
@_LIMIT
@click.option("--together", is_flag=True, help="Ask a unified model for all expressions of a picture at once.")
@_SEED
@_DEVICE
@_out("referring")
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


@click.command()
@_painted("layoutsam:PATH (LayoutSAM-eval as downloaded, or its rows)")
@_IMAGES
@click.option(
    "--asker",
    type=click.Choice(ASKERS),
    default="world",
    show_default=True,
    help="world: the embedded judges. llm: an OpenAI-compatible endpoint. local: a chat model of transformers.",
)
@click.option("--llm", metavar="NAME", help="The endpoint's model, or the local one's id or folder; it must see.")
@click.option("--base-url", metavar="URL", help="The endpoint; default OpenAI's. The key is $OPENAI_API_KEY.")
@_LIMIT
@_SEED
@_DEVICE
@_out("layoutsam")
@as_json
@volume
@click.pass_context
def layoutsam(
    context: click.Context,
    asker: str,
    llm: str | None,
    base_url: str | None,
    device: str | None,
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Ask about every box of painted pictures, as LayoutSAM-Eval does.

    Is the subject there, and if so, do its colour, texture and shape agree with its caption? Percent of all boxes. The
    paper's judge, MiniCPM-V-2.6, is no class of transformers: serve it and ask with --asker llm.
    """
    from scenograph.judging.results import check_out
    from scenograph.recipes import bench_painted

    check_out(out)
    judge = bench_painted.asker(asker, llm=llm, base_url=base_url, device=device)
    given: dict[str, Any] = {"judge": judge, "name": llm or "judge A", "command": command_of(context)}
    content = bench_painted.layoutsam(out=out, progress=not is_quiet(), **given, **options)
    show_tables(content["rows"], bench_painted.tables(content), out, as_json)


@click.command()
@_painted("coco:FILE (annotations in COCO's format)")
@_IMAGES
@click.option("--captions", type=click.Path(path_type=Path), metavar="FILE", help="A COCO captions file, for CLIP.")
@click.option(
    "--detector",
    default="detector-a",
    show_default=True,
    metavar="NAME",
    help="An embedded detector, a folder, or a hub id; GroundingDINO gets the paper's thresholds, 0.3 and 0.25.",
)
@click.option(
    "--clip",
    default="clip-a",
    show_default=True,
    metavar="NAME",
    help="CLIP: embedded, a folder or a hub id; none leaves it and the distance out.",
)
@click.option(
    "--reference",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    metavar="DIR",
    help="Real pictures: also the Fréchet distance to them, in the CLIP's space.",
)
@_LIMIT
@_SEED
@_DEVICE
@_out("coco")
@as_json
@volume
@click.pass_context
def coco(context: click.Context, clip: str, out: Path, as_json: bool, **options: Any) -> None:
    """Score painted pictures as EchoGen's paper does on COCO: AP, AP50, AP75, CLIP, and a Fréchet distance."""
    from scenograph.recipes import bench_painted

    named = None if clip == "none" else clip
    content = bench_painted.coco(out=out, clip=named, command=command_of(context), **options)
    show_tables(content["rows"], bench_painted.tables(content), out, as_json)


_NAMED = click.option(
    "--images",
    type=click.Path(path_type=Path, file_okay=False, exists=True),
    required=True,
    metavar="DIR",
    help='Pictures, in folders or not, named "PROMPT_000003.png", or painted by scenograph; several of a prompt count '
    "equally.",
)
_PROMPTS = click.option(
    "--limit", type=click.IntRange(min=2), metavar="N", help="Prompts of each file, spread over it."
)
_CONFIDENCE = "Detections below it are not there; default the protocol's {}. GroundingDINO needs about 0.3."


@click.command()
@click.option(
    "--prompts",
    type=click.Path(path_type=Path, exists=True, dir_okay=False),
    required=True,
    multiple=True,
    metavar="FILE",
    help="color_val.txt and its like, one prompt a line; the name says the category; repeatable.",
)
@_NAMED
@click.option(
    "--vqa",
    default="world",
    show_default=True,
    metavar="NAME",
    help="Attributes: a BLIP-VQA, folder or hub id; world (the embedded judges) or none.",
)
@click.option(
    "--detector",
    default="detector-a",
    show_default=True,
    metavar="NAME",
    help="Places and numbers: embedded, a folder, a hub id, or none.",
)
@click.option("--depth", metavar="NAME", help="3-D places: a folder or hub id, e.g. Intel/dpt-large.")
@click.option(
    "--clip", default="clip-a", show_default=True, metavar="NAME", help="Embedded, a folder, a hub id, or none."
)
@click.option(
    "--pickscore", metavar="NAME", help="Also how well people would like them: yuvalkirstain/PickScore_v1, or a folder."
)
@click.option("--confidence", type=click.FloatRange(0, 1), help=_CONFIDENCE.format("0.5"))
@_PROMPTS
@_SEED
@_DEVICE
@_out("compbench")
@as_json
@volume
@click.pass_context
def compbench(
    context: click.Context,
    vqa: str,
    detector: str,
    depth: str | None,
    clip: str,
    pickscore: str | None,
    confidence: float | None,
    device: str | None,
    out: Path,
    as_json: bool,
    **options: Any,
) -> None:
    """Score pictures of T2I-CompBench's prompts as the benchmark does.

    Every category by the evaluators it needs: BLIP-VQA, a detector, a depth model, CLIP. The paper's: Salesforce's BLIP
    (base, capfilt-large), UniDet (no class of transformers; GroundingDINO or OWLv2 stand in), DPT, CLIP ViT-B/32.
    """
    from scenograph.judging.results import check_out
    from scenograph.recipes import bench_prompted

    check_out(out)
    named = {"vqa": vqa, "detector": detector, "depth": depth, "clip": clip}
    judges = bench_prompted.evaluators(
        **{kind: None if name == "none" else name for kind, name in named.items()}, confidence=confidence, device=device
    )
    if pickscore is not None:
        from scenograph.judging.preference import PickScore

        options["preference"] = PickScore.from_pretrained(pickscore, device=device)
    content = bench_prompted.compbench(
        out=out, judges=judges, command=command_of(context), progress=not is_quiet(), **options
    )
    show_tables(content["rows"], bench_prompted.tables(content), out, as_json)


@click.command("nsr1k-images")
@click.option(
    "--data",
    type=click.Path(path_type=Path, exists=True),
    required=True,
    metavar="DIR|FILE",
    help="A folder with counting*.json and spatial*.json, or one such file; with one, pictures may also be named by "
    'the number of their prompt, "38700_0.png".',
)
@_NAMED
@click.option(
    "--detector", default="detector-a", show_default=True, metavar="NAME", help="Embedded, a folder or a hub id."
)
@click.option(
    "--clip", default="clip-a", show_default=True, metavar="NAME", help="Embedded, a folder, a hub id, or none."
)
@click.option("--confidence", type=click.FloatRange(0, 1), help=_CONFIDENCE.format("0.7"))
@_PROMPTS
@_SEED
@_DEVICE
@_out("nsr1k_images")
@as_json
@volume
@click.pass_context
def nsr1k_images(context: click.Context, clip: str, out: Path, as_json: bool, **options: Any) -> None:
    """Score pictures of NSR-1K's prompts: right numbers, right places, and CLIP, as LayoutGPT's scripts do."""
    from scenograph.recipes import bench_prompted

    content = bench_prompted.nsr1k_images(
        out=out,
        clip=None if clip == "none" else clip,
        command=command_of(context),
        progress=not is_quiet(),
        **options,
    )
    show_tables(content["rows"], bench_prompted.tables(content), out, as_json)

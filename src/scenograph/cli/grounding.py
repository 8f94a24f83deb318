"""`scenograph ground`: where in a picture things are."""

from __future__ import annotations

import warnings
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from scenograph.cli.habits import as_json, destinations, given, is_picture, print_json, save_picture, say, volume
from scenograph.cli.judging import read_image
from scenograph.errors import CheckpointError, ImageError, ScenographWarning
from scenograph.layout import Box, Instance, Layout, save_layouts

if TYPE_CHECKING:
    from scenograph.judging.detection import Detector

__all__ = ["ground"]


@click.command()
@click.argument("words", metavar="IMAGE… [PHRASE…]", nargs=-1, required=True)
@click.option(
    "--grounder",
    default="detector-a",
    show_default=True,
    metavar="NAME",
    help="A detector (embedded, folder, or hub id of GroundingDINO, OWLv2, DETR, …) or a unified model (tiny-janus).",
)
@click.option(
    "--threshold", type=click.FloatRange(0, 1), default=0.3, show_default=True, help="The lowest score that is kept."
)
@click.option("--best", is_flag=True, help="Keep the best box of each phrase alone.")
@click.option("--out", type=click.Path(path_type=Path), metavar="FILE", help="Write the layouts to a file.")
@click.option("--draw", type=click.Path(path_type=Path), help="Draw what was found: a .png file, or a folder for many.")
@click.option("--device", metavar="NAME", help="cuda, mps or cpu; default the first that is there.")
@as_json
@volume
@click.pass_context
def ground(
    context: click.Context,
    words: Sequence[str],
    grounder: str,
    threshold: float,
    best: bool,
    out: Path | None,
    draw: Path | None,
    device: str | None,
    as_json: bool,
) -> None:
    """Find things in pictures: a layout for every IMAGE, one instance for each box found.

    Words that are no picture files are phrases to look for, such as "a red dog"; a detector with a vocabulary of its
    own reads their nouns alone, and without phrases looks for all it knows.
    """
    files = [Path(word) for word in words if is_picture(Path(word))]
    phrases = [word for word in words if not is_picture(Path(word))]
    if not files:
        raise ImageError("got no picture; expected IMAGE files, then the phrases to look for")
    images = [read_image(file) for file in files]
    sheets = destinations(draw, [f"{file.stem}-found" for file in files]) if draw else []
    detector = _load(grounder, threshold, device, is_asked=given(context, "threshold"))
    found = [_kept(layout, best=best) for layout in _found(detector, images, phrases)]
    if out:
        save_layouts(out, found)
    for index, (file, layout) in enumerate(zip(files, found, strict=True)):
        if sheets:
            from scenograph.drawing import draw_layout

            save_picture(draw_layout(layout, images[index]), sheets[index])
        if as_json:
            print_json({"image": str(file), **layout.to_dict()})
            continue
        say(f"{file}: {len(layout.instances)} found")
        for number, one in enumerate(layout.instances, 1):
            score = "" if one.score is None else f"  {one.score:.2f}"
            say(f"  {number} {one.caption}  {_sides(one.box)}{score}")


def _load(name: str, threshold: float, device: str | None, *, is_asked: bool) -> Detector:
    from scenograph.grounding.named import load_grounder
    from scenograph.judging.referring import PhraseGrounder

    loaded = load_grounder(name, threshold=threshold, device=device)
    if is_asked and isinstance(loaded, PhraseGrounder):
        raise CheckpointError(f"{name!r} is a unified model and gives no scores; leave --threshold out")
    return loaded


def _found(detector: Detector, images: Sequence[object], phrases: Sequence[str]) -> list[Layout]:
    """Layouts whose captions are the phrases that were looked for. Raises ImageError when there is nothing to ask."""
    known = detector.labels
    if not phrases and known is None:
        raise ImageError("an open-vocabulary detector sees what it is asked for; expected phrases after the images")
    if known is None or not phrases:
        return detector.detect(images, phrases or known or ())  # type: ignore[arg-type]
    from scenograph.judging.detection import canonical

    asked = [Instance(caption=phrase, box=Box(0, 0, 1, 1)) for phrase in phrases]
    named = canonical([Layout(caption=", ".join(phrases), instances=tuple(asked))], known)[0].instances
    words = {one.label: phrase for one, phrase in zip(named, phrases, strict=True)}
    if len(words) < len(phrases):
        told = (
            f"this detector reads nouns alone, and {len(phrases)} phrases have {len(words)}: the last of a noun counts"
        )
        warnings.warn(told, ScenographWarning, stacklevel=2)
    unknown = [phrase for label, phrase in words.items() if label not in known]
    if 0 < len(unknown) < len(words):
        told = f"the detector has no word for {', '.join(unknown)}; not looked for"
        warnings.warn(told, ScenographWarning, stacklevel=2)
    return [
        replace(layout, instances=tuple(replace(one, caption=words[one.label]) for one in layout.instances))
        for layout in detector.detect(images, list(words))  # type: ignore[arg-type]
    ]


def _kept(layout: Layout, *, best: bool) -> Layout:
    if not best:
        return layout
    first: dict[str, Instance] = {}
    for one in layout.instances:  # the best score comes first
        first.setdefault(one.caption, one)
    return replace(layout, instances=tuple(first.values()))


def _sides(box: Box) -> str:
    return "[" + ", ".join(f"{side:.3f}" for side in box) + "]"

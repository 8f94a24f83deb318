"""`scenograph judge`: does a picture show what its layout asked for, instance by instance."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from scenograph.cli.habits import as_json, destinations, is_picture, note, print_json, save_picture, say, volume
from scenograph.errors import ImageError, LayoutError
from scenograph.layout import Layout, load_layouts

if TYPE_CHECKING:
    from PIL.Image import Image

    from scenograph.judging.judge import InstanceScore, Scores

__all__ = ["judge", "read_image"]


@click.command()
@click.argument("files", metavar="[LAYOUT.json] IMAGE…", nargs=-1, required=True, type=click.Path(path_type=Path))
@click.option(
    "--detector",
    default="detector-a",
    show_default=True,
    metavar="NAME",
    help="An embedded detector, a folder, or a hub id of GroundingDINO, OWLv2, DETR, …",
)
@click.option(
    "--reader",
    default="reader-a",
    show_default=True,
    metavar="NAME",
    help="Attribute reader: embedded or a folder; none leaves attributes out.",
)
@click.option(
    "--clip",
    default="clip-a",
    show_default=True,
    metavar="NAME",
    help="CLIP: embedded, a folder or a hub id; none leaves CLIP-s out.",
)
@click.option(
    "--out",
    type=click.Path(path_type=Path),
    help="Also draw what was asked beside what was seen: a .png file, or a folder for many.",
)
@click.option("--device", metavar="NAME", help="cuda, mps or cpu; default the first that is there.")
@as_json
@volume
def judge(
    files: Sequence[Path], detector: str, reader: str, clip: str, out: Path | None, device: str | None, as_json: bool
) -> None:
    """Score pictures against layouts, per instance.

    Is each instance there, how well does it fit its box, does it look as asked, and does the picture fit its caption?
    One layout serves all images, several are taken in order. Without a layout file the images must carry their own, as
    painted ones do.
    """
    pictures = [file for file in files if is_picture(file)]
    layouts = _layouts([file for file in files if not is_picture(file)], pictures)
    images = [read_image(file) for file in pictures]
    sheets = destinations(out, [f"{file.stem}-judged" for file in pictures]) if out else []
    note(f"judging with {detector}, {reader}, {clip}")
    scores = _judged(images, layouts, detector, reader, clip, device)
    for index, (file, one) in enumerate(zip(pictures, scores, strict=True)):
        if sheets:
            save_picture(_sheet(images[index], layouts[index], one), sheets[index])
        if as_json:
            print_json({"image": str(file), **one.to_dict()})
        else:
            say(f"{file}: {_summary(one)}")
            for number, instance in enumerate(one.instances, 1):
                say(f"  {number} {_line(instance)}")


def _layouts(files: Sequence[Path], pictures: Sequence[Path]) -> list[Layout]:
    """One layout per picture. Raises LayoutError or ImageError."""
    if not pictures:
        raise ImageError("got no picture to judge; name one after the layout")
    if not files:
        return [_layout_in(picture) for picture in pictures]
    layouts = [layout for file in files for layout in load_layouts(file)]
    if len(layouts) == 1:
        return layouts * len(pictures)
    if len(layouts) != len(pictures):
        raise LayoutError(f"got {len(layouts)} layouts for {len(pictures)} pictures; give one for all or one each")
    return layouts


def _layout_in(picture: Path) -> Layout:
    """The layout that a painted picture carries. Raises ImageError or LayoutError, which name the picture."""
    from scenograph.painting.metadata import read_recipe

    try:
        return Layout.from_dict(read_recipe(picture)["layout"])
    except LayoutError as error:
        raise LayoutError(f"{picture}: {error}") from None


def read_image(file: Path) -> Image:
    """A picture as RGB, upright as its EXIF says. Raises ImageError when it cannot be read."""
    from PIL import Image, ImageOps

    try:
        with Image.open(file) as image:
            return ImageOps.exif_transpose(image).convert("RGB")
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        reason = getattr(error, "strerror", None) or type(error).__name__
        raise ImageError(
            f"{str(file)!r} is no readable picture ({reason}); expected a PNG, JPEG or the like"
        ) from error


def _judged(
    images: Sequence[Image], layouts: Sequence[Layout], detector: str, reader: str, clip: str, device: str | None
) -> list[Scores]:
    from scenograph.grounding.detector import load_detector
    from scenograph.judging.attributes import AttributeReader
    from scenograph.judging.clip import TransformersClip
    from scenograph.judging.judge import judge_images

    return judge_images(
        images,
        layouts,
        load_detector(detector, device=device),
        None if reader == "none" else AttributeReader.from_pretrained(reader, device=device),
        None if clip == "none" else TransformersClip.from_pretrained(clip, device=device),
    )


def _summary(scores: Scores) -> str:
    parts = [f"{scores.found} of {len(scores.instances)} found"]
    for text, value in (
        ("mean IoU {:.2f}", scores.mean_iou),
        ("attributes {:.0%}", scores.attribute_accuracy),
        ("CLIP-s {:.3f}", scores.clip_s),
    ):
        if value is not None:
            parts.append(text.format(value))
    return ", ".join(parts)


def _line(instance: InstanceScore) -> str:
    read = [f"{kind} {'right' if right else 'wrong'}" for kind, right in instance.attributes.items()]
    found = "found" if instance.found else "displaced" if instance.seen_box else "missing"
    return "  ".join([f"{instance.caption:24}", f"{found:9}", f"IoU {instance.iou:.2f}", *read])


def _sheet(image: Image, layout: Layout, scores: Scores) -> Image:
    """Asked boxes, the picture, and the boxes that were seen in it."""
    from dataclasses import replace

    from scenograph.drawing import draw_layout, side_by_side
    from scenograph.judging.detection import MATCH_SCORE

    factor = max(1, -(-384 // image.height))
    size = (image.width * factor, image.height * factor)
    sure = tuple(one for one in scores.seen.instances if one.score is None or one.score >= MATCH_SCORE)
    seen: Any = replace(scores.seen, instances=sure)
    pictures = [draw_layout(layout, size=size), image, draw_layout(seen, image, size=size)]
    return side_by_side(pictures, [layout.caption, "painted", f"seen: {_summary(scores)}"])

"""Published protocols on pictures that are painted already: LayoutSAM-Eval, and EchoGen's COCO protocol.

Run: `scenograph paint LAYOUTS --out FOLDER`, then `scenograph bench layoutsam --data painted:FOLDER` or
`scenograph bench coco --data painted:FOLDER`; or, for pictures of any painter that have the names of the data set's,
`--data layoutsam:ROWS --images FOLDER`, `--data coco:instances_val2017.json --images FOLDER`.
Cost: LayoutSAM-Eval asks one to four questions a box. Expected in the paper (not re-measured here): EchoGen Spatial,
Color, Texture, Shape 96.32 84.97 89.02 87.18 by MiniCPM-V-2.6; AP, AP50, AP75, CLIP, FID 54.61 68.85 65.01 25.18 20.12.

One row a run, with intervals over pictures.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, overload

from PIL import Image
from tqdm import tqdm

from scenograph.datasets.coco import check_files, read_coco
from scenograph.datasets.layoutsam import read_layoutsam_eval
from scenograph.datasets.pictures import said
from scenograph.errors import CheckpointError, DatasetError, ImageError, LayoutError
from scenograph.grounding.detector import Detector, load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.bootstrap import Estimate, resamples
from scenograph.judging.checkpoints import checkpoint
from scenograph.judging.clip import TransformersClip
from scenograph.judging.echogen_coco import BOX_THRESHOLD, TEXT_THRESHOLD, echogen_coco
from scenograph.judging.fid import SCALE
from scenograph.judging.layoutsam import InstanceAsker, layoutsam_tallies
from scenograph.judging.layoutsam_world import WorldAsker
from scenograph.judging.results import check_out, commit, render_rows, write_results
from scenograph.judging.subsets import spread
from scenograph.judging.vlm import EndpointVLM, TransformersVLM
from scenograph.layout import Layout
from scenograph.painting.metadata import read_recipe

__all__ = ["ASKERS", "Painted", "asker", "coco", "layoutsam", "painted", "pictures_in", "tables"]

ASKERS = ("world", "llm", "local")
_SUFFIXES = {".png", ".jpg", ".jpeg", ".webp"}
_COLUMNS = {
    "spatial": "spatial",
    "colour": "colour",
    "texture": "texture",
    "shape": "shape",
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "clip": "CLIP",
    "clip_fid": "FID in CLIP's space, ×1000",
}


class Painted(Sequence[Image.Image]):
    """Pictures in files, RGB, each read when it is asked for. Raises ImageError when one cannot be."""

    def __init__(self, paths: Sequence[Path]) -> None:
        self.paths = list(paths)

    def __len__(self) -> int:
        return len(self.paths)

    @overload
    def __getitem__(self, index: int) -> Image.Image: ...

    @overload
    def __getitem__(self, index: slice) -> list[Image.Image]: ...

    def __getitem__(self, index: int | slice) -> Image.Image | list[Image.Image]:
        """A picture, or those of a slice."""
        if isinstance(index, slice):
            return [self[number] for number in range(*index.indices(len(self)))]
        path = self.paths[index]
        try:
            with Image.open(path) as image:
                return image.convert("RGB")
        except (OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
            raise ImageError(f"{path}: no readable picture ({error or type(error).__name__}); paint it again") from None


@dataclass(frozen=True, kw_only=True)
class _Asked:
    layouts: list[Layout]
    pictures: Painted


def painted(
    data: str, *, images: Path | None = None, captions: Path | None = None, limit: int | None = None
) -> tuple[list[Layout], Painted]:
    """Layouts and the pictures painted from them, `limit` at most, spread over the set.

    Args:
        data: "painted:FOLDER" of pictures that carry their layouts, "layoutsam:PATH" or "coco:FILE".
        images: folder of the painted pictures, which have the file names of the data set's; not for painted.
        captions: a COCO captions file, for coco; without one captions list the classes.

    Raises DatasetError, ImageError, LayoutError.
    """
    kind, _, path = data.partition(":")
    if kind not in ("painted", "layoutsam", "coco") or not path:
        raise DatasetError(f"no painted pictures {data!r}; expected painted:FOLDER, layoutsam:PATH or coco:FILE")
    if (images is None) != (kind == "painted"):
        what = "carry their layouts; leave --images out" if kind == "painted" else "need their folder; give --images"
        raise DatasetError(f"the pictures of {data} {what}")
    if captions is not None and kind != "coco":
        raise DatasetError(f"a captions file belongs to coco data; {data} has captions of its own")
    if images is None:
        pairs = _carried(Path(path))
    elif kind == "layoutsam":
        pairs = [(images / name, layout) for name, layout in read_layoutsam_eval(path)]
    else:
        rows, notes = read_coco(path, images, captions=captions)
        said(notes, path)
        pairs = [(row.path, row.layout) for row in rows]
    pairs = spread(pairs, limit)
    check_files([place for place, _ in pairs], images or Path(path))
    return [layout for _, layout in pairs], Painted([place for place, _ in pairs])


def pictures_in(folder: Path, *, below: bool = False) -> list[Path]:
    """The pictures of a folder, by name, with `below` also of the folders in it. Raises DatasetError without any."""
    files = (folder.rglob if below else folder.glob)("*") if folder.is_dir() else ()
    found = sorted(file for file in files if file.suffix.lower() in _SUFFIXES)
    if not found:
        raise DatasetError(f"no pictures in {str(folder)!r}; expected a folder of them")
    return found


def _carried(folder: Path) -> list[tuple[Path, Layout]]:
    pairs = []
    for file in pictures_in(folder):
        try:
            pairs.append((file, Layout.from_dict(read_recipe(file)["layout"])))
        except LayoutError as error:
            raise LayoutError(f"{file}: {error}") from None
    return pairs


def asker(
    name: str, *, llm: str | None = None, base_url: str | None = None, device: str | None = None
) -> InstanceAsker:
    """Who answers: the embedded judges ("world"), an endpoint ("llm"), a model of transformers ("local").

    Raises CheckpointError.
    """
    if name == "world":
        if llm is not None or base_url is not None:
            raise CheckpointError("the world's own judges answer; --llm and --base-url belong to --asker llm or local")
        return WorldAsker(
            load_detector("detector-a", device=device), AttributeReader.from_pretrained("reader-a", device=device)
        )
    if llm is None:
        raise CheckpointError(f"--asker {name} needs a vision-language model; name it with --llm")
    if name == "llm":
        return EndpointVLM(model=llm, base_url=base_url)
    if base_url is not None:
        raise CheckpointError("a local model has no endpoint; leave --base-url out, or ask with --asker llm")
    return TransformersVLM.from_pretrained(llm, device=device)


def layoutsam(
    *,
    data: str,
    out: Path,
    command: str,
    judge: InstanceAsker,
    name: str,
    images: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
) -> dict[str, Any]:
    """LayoutSAM-Eval by `judge`, in a row called `name`; writes the results file and returns its content.

    Raises DatasetError, ImageError, LayoutError, CheckpointError, ResultError.
    """
    check_out(out)
    started = commit()
    asked, pictures = painted(data, images=images, limit=limit)
    shown = tqdm(pictures, name, unit="picture", disable=not progress, mininterval=1)
    tallies = layoutsam_tallies(shown, asked, judge)
    weights_RN = resamples(len(asked), seed=seed)
    row = _row(name, asked, {score: tally.estimate(weights_RN) for score, tally in tallies.items()})
    what = f"LayoutSAM-Eval of {data}, percent of boxes"
    return write_results(out, what=what, command=command, seed=seed, rows=[row], revision=started)


def coco(
    *,
    data: str,
    out: Path,
    command: str,
    detector: str = "detector-a",
    clip: str | None = "clip-a",
    reference: Path | None = None,
    images: Path | None = None,
    captions: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str | None = None,
) -> dict[str, Any]:
    """EchoGen's COCO protocol; writes the results file and returns its content.

    Args:
        detector: a GroundingDINO gets the protocol's thresholds, any other all its boxes.
        clip: None leaves out CLIP and the distance.
        reference: folder of real pictures for the Fréchet distance, in the CLIP's space; None leaves it out.

    Raises DatasetError, ImageError, LayoutError, CheckpointError, ResultError.
    """
    check_out(out)
    started = commit()
    asked, pictures = painted(data, images=images, captions=captions, limit=limit)
    real = None if reference is None else Painted(pictures_in(reference))
    if clip is None and real is not None:
        raise CheckpointError("the distance to a reference is taken in a CLIP's space; name one with --clip")
    judge = None if clip is None else TransformersClip.from_pretrained(clip, device=device)
    values = echogen_coco(
        pictures,
        asked,
        _detector(detector, device),
        resamples(len(asked), seed=seed),
        clip=judge,
        features=None if real is None or judge is None else judge.image_features,
        reference=real or (),
    )
    if "fid" in values:
        fid = values.pop("fid")
        values["clip_fid"] = Estimate(value=SCALE * fid.value, samples_R=SCALE * fid.samples_R)
    what = f"EchoGen's COCO protocol on {data}: detections by {detector}, CLIP {clip}"
    row = _row(data.partition(":")[2], asked, values)
    return write_results(out, what=what, command=command, seed=seed, rows=[row], revision=started)


def _detector(name: str, device: str | None) -> Detector:
    if checkpoint(name, "detector").config().model_type == "grounding-dino":
        return load_detector(name, threshold=BOX_THRESHOLD, text_threshold=TEXT_THRESHOLD, device=device)
    return load_detector(name, device=device)


def tables(content: Mapping[str, Any]) -> dict[str, str]:
    """One table of what was measured."""
    there = {metric: heading for metric, heading in _COLUMNS.items() if any(metric in row for row in content["rows"])}
    return {str(content["what"]): render_rows(content["rows"], there)}


def _row(name: str, asked: Sequence[Layout], values: Mapping[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": len(asked), "boxes": sum(len(layout.instances) for layout in asked)}
    for metric, one in values.items():
        row |= {metric: one.value, f"{metric}_ci": list(one.interval)}
    return row

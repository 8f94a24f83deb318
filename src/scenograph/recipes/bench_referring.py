"""Ref-L4's protocol on Ref-L4, RefCOCO or the small world: where do grounders see what an expression speaks of?

Run: `scenograph bench referring --data ref-l4:FOLDER --grounder IDEA-Research/grounding-dino-tiny --grounder FOLDER`.
Cost: one forward for each expression and grounder. Expected in the paper on all of Ref-L4 (not re-measured here):
EchoGen Acc@0.5/0.75/0.9/mAcc 83.20 75.42 47.32 68.46, CogVLM-grounding 81.70 70.77 48.35 66.09.

On the small world ("world") expressions are asked for on held-out drawn scenes, those alone that fit one thing. Its
pictures are 128 pixels wide, so every thing is "small" there, and a detector with labels of its own reads nouns only.

Rows are grounders, with intervals over pictures; two or more have paired differences to the first.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from scenograph.datasets.referring import ReferringRow, read_ref_l4, read_refcoco, referring_layouts, referring_pictures
from scenograph.errors import DatasetError, ResultError
from scenograph.grounding.named import load_grounder
from scenograph.judging.bootstrap import Estimate, difference, resamples
from scenograph.judging.referring import SIZES, PhraseGrounder, class_means, grounded_boxes, referring_tallies
from scenograph.judging.results import check_out, commit, render_rows, write_results
from scenograph.judging.subsets import spread
from scenograph.layout import Layout
from scenograph.recipes.bench_layouts import drawn_set
from scenograph.recipes.echogen_readings import referring_layout

__all__ = ["WORLD_SCENES", "Expressions", "expressions", "run", "tables"]

WORLD_SCENES = 300
_ACCURACIES = {"acc50": "Acc@0.5", "acc75": "Acc@0.75", "acc90": "Acc@0.9", "macc": "mAcc", "iou": "IoU"}
_PARTS = {
    f"{part}_{metric}": f"{part}, {heading}"
    for part in (*SIZES, "class")
    for metric, heading in (("acc50", "Acc@0.5"), ("macc", "mAcc"))
}
_READERS: dict[str, Callable[..., list[ReferringRow]]] = {"ref-l4": read_ref_l4, "refcoco": read_refcoco}


@dataclass(frozen=True, kw_only=True)
class Expressions:
    """Layouts whose captions are expressions, and how to go through their pictures once more."""

    layouts: tuple[Layout, ...]
    pictures: Callable[[], Iterator[Image.Image]]


def expressions(
    data: str, *, images: Path | None = None, split: str | None = None, limit: int | None = None
) -> Expressions:
    """What is asked for, `limit` pictures at most, spread over the set.

    Args:
        data: "ref-l4:PATH", "refcoco:PATH" or "world".
        images: folder of the pictures, where they are not beside the rows.
        split: one of the data set's own; None is all.

    Raises DatasetError.
    """
    if data == "world":
        if images is not None or split is not None:
            raise DatasetError("the small world's scenes are drawn and held out; leave the pictures and the split out")
        scenes = drawn_set(limit or WORLD_SCENES).scenes
        told = tuple(referring_layout(scene) for scene in scenes)
        return Expressions(layouts=told, pictures=lambda: (scene.draw() for scene in scenes))
    kind, _, path = data.partition(":")
    if kind not in _READERS or not path:
        raise DatasetError(f"no referring expressions {data!r}; expected ref-l4:PATH, refcoco:PATH or world")
    options = {} if split is None else {"split": split}
    pairs = referring_layouts(_READERS[kind](path, images, **options))
    pairs = spread(pairs, limit)
    return Expressions(layouts=tuple(layout for _, layout in pairs), pictures=lambda: referring_pictures(pairs))


def run(
    *,
    data: str,
    grounders: Sequence[str],
    out: Path,
    command: str,
    images: Path | None = None,
    split: str | None = None,
    limit: int | None = None,
    together: bool = False,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """Ground every expression by every grounder, write the results file and return its content.

    Args:
        together: ask for all expressions of a picture at once, which unified models can be; Ref-L4 asks one by one.
        seed: of the resamples.

    Raises:
        DatasetError, CheckpointError, ResultError: before anything is grounded, wherever it can be known by then.
    """
    check_out(out)
    started = commit()
    names = list(dict.fromkeys(grounders))
    asked = expressions(data, images=images, split=split, limit=limit)
    layouts, count = asked.layouts, sum(len(layout.instances) for layout in asked.layouts)
    if not count:
        raise ResultError(f"{data} has no expression that fits one thing alone; ask for more pictures")
    loaded = {name: load_grounder(name, threshold=0.0, device=device) for name in names}
    if together and (detectors := [name for name, one in loaded.items() if not isinstance(one, PhraseGrounder)]):
        raise ResultError(
            f"the detector {detectors[0]!r} cannot be asked for several expressions; leave `together` out"
        )
    weights_RN = resamples(len(layouts), seed=seed)
    measured: dict[str, dict[str, Estimate]] = {}
    for name, grounder in loaded.items():
        shown = tqdm(asked.pictures(), name, len(layouts), unit="picture", disable=not progress, mininterval=1)
        seen = grounded_boxes(shown, layouts, grounder, together=together)
        tallies = referring_tallies(layouts, seen)
        values = {metric: tally.estimate(weights_RN) for metric, tally in tallies.items() if tally.count_N.any()}
        measured[name] = values | class_means(layouts, seen, weights_RN)
    rows = [_row(name, len(layouts), values) | {"expressions": count} for name, values in measured.items()]
    for name in names[1:]:
        gaps = {metric: difference(one, measured[names[0]][metric]) for metric, one in measured[name].items()}
        rows.append(_row(f"{name} − {names[0]}", len(layouts), gaps))
    what = f"Referring expressions of {data}, {'a picture at a time' if together else 'one at a time'}"
    return write_results(out, what=what, command=command, seed=seed, rows=rows, revision=started)


def tables(content: Mapping[str, Any]) -> dict[str, str]:
    """All expressions, then by size and over classes; differences are left out: they are in the file."""
    rows = [row for row in content["rows"] if " − " not in row["name"]]
    there = {metric: heading for metric, heading in _PARTS.items() if any(metric in row for row in rows)}
    return {"referring": render_rows(rows, _ACCURACIES), "referring, parts": render_rows(rows, there)}


def _row(name: str, n: int, values: dict[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": n}
    for metric, one in values.items():
        row |= {metric: one.value, f"{metric}_ci": list(one.interval)}
    return row

"""Published protocols on pictures of prompts, painted already by any painter: T2I-CompBench, and NSR-1K on images.

Run: `scenograph bench compbench --prompts color_val.txt --images FOLDER` with pictures named as the benchmark names
them, "PROMPT_000003.png", or painted by scenograph, which carry their prompt; `scenograph bench nsr1k-images --data
counting.val.json --images FOLDER`, where the number of the prompt first in the name ("38700_0.png") will do too.
Several pictures of a prompt are averaged. Officially T2I-CompBench paints ten of each.

The evaluators of people's own pictures are hub models; which of them are not the papers' stands in `compbench_images`
and `nsr1k_images`. The embedded ones, the defaults, know the small world and nothing else.

One row for every category, with intervals over prompts.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
from PIL import Image
from tqdm import tqdm

from scenograph.errors import CheckpointError, DatasetError, ImageError
from scenograph.grounding.detector import load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.bootstrap import Tally, resamples
from scenograph.judging.clip import TransformersClip
from scenograph.judging.compbench_images import Evaluators, compbench_scores
from scenograph.judging.compbench_prompts import CompPrompt, key_of, prompt_of, read_prompts
from scenograph.judging.compbench_world import world_evaluators
from scenograph.judging.depth import TransformersDepth
from scenograph.judging.detection import MATCH_SCORE
from scenograph.judging.nsr1k import CountingRow, SpatialRow, find_prompts
from scenograph.judging.nsr1k_images import CONFIDENCE, SUPPRESSION, counting_tallies, spatial_tallies
from scenograph.judging.preference import PreferenceScorer
from scenograph.judging.results import check_out, commit, render_rows, write_results
from scenograph.judging.subsets import spread
from scenograph.judging.vqa import BlipVQA
from scenograph.models.embedded import is_embedded
from scenograph.painting.metadata import read_recipe
from scenograph.recipes.bench_painted import Painted, pictures_in

__all__ = ["compbench", "evaluators", "nsr1k_images", "tables"]

_COLUMNS = {"score": "score", "accuracy": "accuracy", "clip_s": "CLIP", "pickscore": "PickScore"}
_LISTS = ("complex_val_spatial.txt", "complex_val_action.txt")
_NEEDS: Mapping[str, tuple[str, ...]] = {
    "attribute": ("vqa",),
    "spatial": ("detector",),
    "3d-spatial": ("detector", "depth"),
    "numeracy": ("detector",),
    "clip": ("clip",),
}
_AT_ONCE = 64  # pictures in memory
_Asked = TypeVar("_Asked", CompPrompt, CountingRow, SpatialRow)
Scored = Callable[[Sequence[Any], Sequence[Image.Image]], dict[str, Tally]]
"""What is asked and a picture for each → scores of these pictures."""


def compbench(
    *,
    prompts: Sequence[Path],
    images: Path,
    judges: Evaluators,
    out: Path,
    command: str,
    limit: int | None = None,
    seed: int = 0,
    progress: bool = True,
    preference: PreferenceScorer | None = None,
) -> dict[str, Any]:
    """T2I-CompBench's score of every prompts file; writes the results file and returns its content.

    The benchmark's lists of complex prompts (complex_val_spatial.txt, complex_val_action.txt) are read from beside a
    file of complex prompts, where they are. With `preference` every row also has how well its pictures are liked.

    Raises DatasetError, ImageError, ResultError, and CheckpointError when an evaluator is missing.
    """
    check_out(out)
    started = commit()
    asked = [spread(_prompts(file), limit) for file in prompts]
    _check_judges([one for those in asked for one in those], judges)
    named = _named(images)
    shown = [_pictures(those, [(one.prompt,) for one in those], named, images) for those in asked]

    def scored(those: Sequence[CompPrompt], pictures: Sequence[Image.Image]) -> dict[str, Tally]:
        found = {"score": Tally.of([100 * score] for score in compbench_scores(those, pictures, judges))}
        if preference is not None:
            liked = preference.scores(pictures, [one.prompt for one in those])
            found["pickscore"] = Tally.of([score] for score in liked)
        return found

    rows = [
        _row(those[0].category, those, paths, scored, seed, progress) for those, paths in zip(asked, shown, strict=True)
    ]
    what = f"T2I-CompBench on {images.name}, percent"
    return write_results(out, what=what, command=command, seed=seed, rows=rows, revision=started)


def nsr1k_images(
    *,
    data: Path,
    images: Path,
    out: Path,
    command: str,
    detector: str = "detector-a",
    clip: str | None = "clip-a",
    confidence: float | None = None,
    limit: int | None = None,
    seed: int = 0,
    device: str | None = None,
    progress: bool = True,
) -> dict[str, Any]:
    """NSR-1K's counting and spatial accuracy on images; writes the results file and returns its content.

    Args:
        confidence: detections below it are not there; default the protocol's .7, and `MATCH_SCORE` of an embedded
            detector.

    Raises DatasetError, ImageError, CheckpointError, ResultError.
    """
    check_out(out)
    started = commit()
    found, named = find_prompts(data).part(limit), _named(images)
    halves: dict[str, Sequence[Any]] = {"counting": found.counting, "spatial": found.spatial}
    halves = {name: those for name, those in halves.items() if those}
    # The halves share numbers: one alone says which prompt only within a half.
    keys = {n: [(r.prompt, str(r.id)) if len(halves) == 1 else (r.prompt,) for r in half] for n, half in halves.items()}
    shown = {name: _pictures(those, keys[name], named, images) for name, those in halves.items()}
    ours = is_embedded(detector)
    judge = load_detector(detector, device=device)
    options: dict[str, Any] = {
        "clip": None if clip is None else TransformersClip.from_pretrained(clip, device=device),
        "confidence": confidence if confidence is not None else MATCH_SCORE if ours else CONFIDENCE,
        "suppression": None if ours else SUPPRESSION,
    }
    scorers: dict[str, Scored] = {
        "counting": lambda those, pictures: counting_tallies(those, pictures, judge, **options),
        "spatial": lambda those, pictures: spatial_tallies(those, pictures, judge, **options),
    }
    rows = [_row(name, those, shown[name], scorers[name], seed, progress) for name, those in halves.items()]
    what = f"NSR-1K on {images.name}: detections by {detector}, percent"
    return write_results(out, what=what, command=command, seed=seed, rows=rows, revision=started)


def evaluators(
    *,
    vqa: str | None = "world",
    detector: str | None = "detector-a",
    depth: str | None = None,
    clip: str | None = "clip-a",
    confidence: float | None = None,
    device: str | None = None,
) -> Evaluators:
    """Evaluators by name: embedded, a folder or a hub id; None leaves one out, "world" is the embedded VQA, which
    looks with an embedded detector.

    Raises CheckpointError.
    """
    seen = None if detector is None else load_detector(detector, device=device)
    judge = None if clip is None else TransformersClip.from_pretrained(clip, device=device)
    found = Evaluators(detector=seen, clip=judge)
    if seen is not None and is_embedded(str(detector)):
        reader = AttributeReader.from_pretrained("reader-a", device=device)
        found = world_evaluators(seen, reader, judge)
    if vqa != "world":
        found = replace(found, vqa=None if vqa is None else BlipVQA.from_pretrained(vqa, device=device))
    if depth is not None:
        found = replace(found, depth=TransformersDepth.from_pretrained(depth, device=device))
    return found if confidence is None else replace(found, confidence=confidence)


def tables(content: Mapping[str, Any]) -> dict[str, str]:
    """One table of what was measured."""
    there = {metric: heading for metric, heading in _COLUMNS.items() if any(metric in row for row in content["rows"])}
    return {str(content["what"]): render_rows(content["rows"], {"pictures": "pictures"} | there)}


def _prompts(file: Path) -> tuple[CompPrompt, ...]:
    """The prompts of a file, complex ones with the benchmark's lists."""
    spatial, actions = (_keys(file.with_name(name)) for name in _LISTS)
    return read_prompts(file, spatial=spatial, actions=actions)


def _keys(file: Path) -> set[str]:
    """The prompts of one of the benchmark's lists; none where it is not there."""
    return {key_of(prompt.prompt) for prompt in read_prompts(file, "complex")} if file.is_file() else set()


def _check_judges(asked: Sequence[CompPrompt], judges: Evaluators) -> None:
    for prompt in asked:
        for need in (need for part in prompt.parts for need in _NEEDS[part]):
            if getattr(judges, need) is None:
                raise CheckpointError(f"{prompt.category} prompts need another evaluator; name it with --{need}")


def _named(images: Path) -> dict[str, list[Path]]:
    """Key → the pictures of a folder and below: the prompt they carry, or what their name has before its first "_"."""
    named: dict[str, list[Path]] = defaultdict(list)
    for path in pictures_in(images, below=True):
        keys = [prompt_of(path.stem)]
        with suppress(ImageError, KeyError, TypeError):  # painted by others
            keys.append(str(read_recipe(path)["layout"]["caption"]))
        for key in dict.fromkeys(map(_plain, keys)):
            named[key].append(path)
    return named


def _plain(prompt: str) -> str:
    return prompt.strip().rstrip(".").lower()


def _pictures(
    asked: Sequence[_Asked], keys: Sequence[Sequence[str]], named: Mapping[str, list[Path]], images: Path
) -> list[list[Path]]:
    """The pictures of every prompt, by the first of its keys that has any. Raises DatasetError when some have none."""
    found = [next((named[k] for k in map(_plain, those) if k in named), []) for those in keys]
    if missing := [one.prompt for one, paths in zip(asked, found, strict=True) if not paths]:
        raise DatasetError(
            f"{len(missing)} of {len(asked)} prompts have no picture in {str(images)!r}, the first is {missing[0]!r}; "
            'expected names like "PROMPT_000000.png", or pictures that scenograph painted'
        )
    return found


def _row(
    name: str,
    asked: Sequence[Any],
    pictures: Sequence[Sequence[Path]],
    scored: Scored,
    seed: int,
    progress: bool,
) -> dict[str, Any]:
    """A row: scores over all pictures, with intervals over prompts."""
    pairs = [(one, path) for one, paths in zip(asked, pictures, strict=True) for path in paths]
    found: dict[str, list[Tally]] = defaultdict(list)
    with tqdm(total=len(pairs), desc=name, unit="picture", disable=not progress, mininterval=1) as bar:
        for start in range(0, len(pairs), _AT_ONCE):
            part = pairs[start : start + _AT_ONCE]
            seen = Painted([path for _, path in part])[:]
            for metric, tally in scored([one for one, _ in part], seen).items():
                found[metric].append(tally)
            bar.update(len(part))
    weights_RN = resamples(len(asked), seed=seed)
    row: dict[str, Any] = {"name": name, "n": len(asked), "pictures": len(pairs)}
    for metric, parts in found.items():
        one = _by_prompt(parts, [len(paths) for paths in pictures]).estimate(weights_RN)
        row |= {metric: one.value, f"{metric}_ci": list(one.interval)}
    return row


def _by_prompt(parts: Sequence[Tally], sizes: Sequence[int]) -> Tally:
    """Tallies of pictures, one after the other, as one of their prompts."""
    starts = np.cumsum([0, *sizes[:-1]])
    total_N, count_N = (
        np.add.reduceat(np.concatenate(each), starts)
        for each in zip(*((p.total_N, p.count_N) for p in parts), strict=True)
    )
    return Tally(total_N=total_N, count_N=count_N)

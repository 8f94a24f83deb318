"""GOAL on the small world: Tables 1, 5, 6 and 7 of the paper on T2I-CompBench's categories, held-out combinations.

    scenograph bench goal --readme README.md              # the main table; trains control and GOAL three times each
    scenograph bench goal --table 5 --readme README.md    # ablations

Every method paints the same prompts (`judging.compbench_world`) with the same sampling seeds; judge A scores them as
T2I-CompBench does, the same scenes drawn by the world are the ceiling. Differences are paired by prompt; what is
removed of a base's errors is 100 (a − b) / (100 − b). Several trainings of a row share the sampling seeds and are
pooled; each also has a row.

Cost: pictures take about a second each on two cores, rows as many as prompts x seeds x trainings; a broken run goes on.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenograph.datasets.drawn import DrawnScenes, draw_scenes
from scenograph.judging.bootstrap import Estimate, Tally, difference, resamples
from scenograph.judging.compbench_images import compbench_scores
from scenograph.judging.compbench_world import CATEGORIES, WorldItem, world_compbench, world_evaluators
from scenograph.judging.detection import Coco, Detector, canonical
from scenograph.judging.guidance_protocol import Judges, paint_all
from scenograph.judging.results import check_markers, check_out, commit, write_results
from scenograph.layout import Layout
from scenograph.painting import Painter
from scenograph.painting.guidance import base_of
from scenograph.recipes.bench_guidance import judge
from scenograph.recipes.bench_tables import goal_tables, write_tables
from scenograph.recipes.fingerprints import networks, weights_digest
from scenograph.recipes.goal_rows import Row, rows_of, train_row

__all__ = ["GoalBench", "checkpoints", "run"]

_BOUND = ("colour", "shape", "texture")  # the columns that GOAL is about
_SEED_STEP = 100_000


@dataclass(frozen=True, kw_only=True)
class GoalBench:
    """What is compared. `table` None is the main one; `trainings` are seeds of control and GOAL there.

    `seeds` are the pictures of each prompt and row; the trainings of a row share them. `guided_seeds` are WinWinLay's,
    whose pictures take six times as long as others; None: as many. At the usual `cfg` of 7.5 and
    with grounding to the last step tiny-gligen's pictures burn out; judge B chose these on development layouts.
    """

    table: str | None = None
    prompts: int = 150
    seeds: int = 3
    trainings: int = 3
    guided_seeds: int | None = None
    steps: int = 25
    cfg: float = 4.0
    beta: float = 0.6
    dtype: str | None = None
    batch_size: int = 30
    resamples: int = 1000

    def command(self) -> str:
        """The command line of this comparison."""
        words = ["scenograph", "bench", "goal"] + (["--table", self.table] if self.table else [])
        words += ["--prompts", str(self.prompts), "--seeds", str(self.seeds)]
        words += [] if self.table else ["--trainings", str(self.trainings)]
        words += ["--guided-seeds", str(self.guided_seeds)] if self.guided_seeds else []
        words += ["--steps", str(self.steps), "--cfg", str(self.cfg), "--beta", str(self.beta)]
        return shlex.join([*words, *(["--dtype", self.dtype] if self.dtype else [])])

    @property
    def name(self) -> str:
        """Of the results file and the table's marker."""
        return f"goal_table_{self.table}" if self.table else "goal_small_world"


@dataclass
class _Measured:
    """Every picture of one row: scores (prompt, picture), what was seen, cosines, seconds."""

    scores: list[list[float]]
    seen: list[list[Layout]]
    cosines: list[list[float]]
    seconds: float | None = None


def run(
    bench: GoalBench,
    *,
    run: Path,
    out: Path,
    readme: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train what is missing, paint, judge, and write `out`, and the table between the markers of `readme`.

    Raises CheckpointError while a model or a judge is not trained, ResultError when kept pictures are of another run.
    """
    revision = commit()
    rows = rows_of(bench.table, bench.trainings)
    check_out(out)
    if readme is not None:
        check_markers(readme, [bench.name.replace("_", "-")])
    items = [item for category in CATEGORIES for item in world_compbench(category, bench.prompts)]
    judges = judge("a")
    measured: dict[str, _Measured] = {"drawn": _judged([[i.scene.draw()] for i in items], items, judges)}
    if bench.table is None:
        # Its options were chosen for tiny-sd at 50 steps, of which half are guided.
        guided = f"winwinlay:guided={(bench.steps + 1) // 2}:O=8:r=0.25:rho=[1,0]"
        for method, count in (("plain", bench.seeds), (guided, bench.guided_seeds or bench.seeds)):
            name, ours = f"tiny-sd, {base_of(method)}", range(count)
            measured[name] = _painted(bench, "tiny-sd", method, items, judges, run, report, seeds=ours)
    drawn = _scenes(run) if any(row.recipe for row in rows) else None
    for row in rows:
        model = row.recipe.name if row.recipe and drawn else "tiny-gligen"
        report(f"{row.name}: {model}")
        place = train_row(row, drawn, run) if drawn else "tiny-gligen"
        seeds = _seeds(bench, row, rows)
        measured[row.name] = _painted(bench, place, "plain", items, judges, run, report, label=model, seeds=seeds)
    measured |= _pooled(rows, measured)
    content = _rows(bench, items, measured, judges)
    what = "GOAL on the small world: T2I-CompBench's categories, held-out combinations, judged by judge A"
    write_results(out, what=what, command=bench.command(), seed=0, rows=content, revision=revision)
    if readme is not None:
        write_tables(out, readme, goal_tables)
    return content


def checkpoints(bench: GoalBench, run: Path) -> dict[str, str | Path]:
    """Row → its checkpoint, trained where it is missing."""
    return {row.name: train_row(row, _scenes(run), run) for row in rows_of(bench.table, bench.trainings)}


def _scenes(run: Path) -> DrawnScenes:
    return draw_scenes(run / "scenes-train", 100_000, seed=0, split="train")


def _painted(
    bench: GoalBench,
    model: str | Path,
    method: str,
    items: Sequence[WorldItem],
    judges: Judges,
    run: Path,
    report: Callable[[str], None],
    *,
    label: str = "",
    seeds: Sequence[int],
) -> _Measured:
    """A checkpoint's pictures of every prompt, one from each of the seeds, painted or kept from before, and judged."""
    painter = Painter.from_pretrained(model, dtype=bench.dtype)
    beta = bench.beta if hasattr(painter.pipeline.unet, "position_net") else None

    def paint(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image.Image]:
        painted = painter.paint(
            layouts,
            guidance=method,
            seeds=seeds,
            steps=bench.steps,
            cfg=bench.cfg,
            gligen_beta=beta,
            batch_size=bench.batch_size,
            progress=False,
        )
        return [one.image for one in painted]

    layouts = [item.layout for item in items]
    home = run / "bench_goal" / f"{label or painter.name}-{method}-{bench.steps}"
    parts = painter.pipeline
    weights = weights_digest(networks(parts))
    settings = json.dumps([bench.steps, bench.cfg, beta, method, weights])
    pictures: list[list[Image.Image]] = [[] for _ in items]
    seconds = []
    for seed in seeds:
        each_seed = [_SEED_STEP * seed + index for index in range(len(items))]
        images, each = paint_all(
            paint, layouts, each_seed, home / str(seed), settings, batch_size=bench.batch_size, report=report
        )
        seconds.append(each)
        for those, image in zip(pictures, images, strict=True):
            those.append(image)
    found = _judged(pictures, items, judges)
    found.seconds = float(np.mean(seconds))
    return found


class _Seen:
    """What a detector of the world's nouns saw, for scores that each ask for it."""

    def __init__(self, detector: Detector, images: Sequence[Image.Image]) -> None:
        self.labels = detector.labels
        self.layouts = detector.detect(images, detector.labels or ())
        self._known = {id(image): layout for image, layout in zip(images, self.layouts, strict=True)}

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        return [self._known[id(image)] for image in images]


def _judged(pictures: Sequence[Sequence[Image.Image]], items: Sequence[WorldItem], judges: Judges) -> _Measured:
    flat = [image for those in pictures for image in those]
    prompts = [item.asked for item, those in zip(items, pictures, strict=True) for _ in those]
    detector = _Seen(judges.detector, flat)
    evaluators = world_evaluators(detector, judges.reader, judges.clip)  # type: ignore[arg-type]  # it has both
    scores, seen = iter(compbench_scores(prompts, flat, evaluators)), iter(detector.layouts)
    texts_ND = judges.clip.text_features([prompt.prompt for prompt in prompts])
    cosines = iter((judges.clip.image_features(flat) * texts_ND).sum(-1).tolist())
    return _Measured(
        scores=[[100 * next(scores) for _ in those] for those in pictures],
        seen=[[next(seen) for _ in those] for those in pictures],
        cosines=[[next(cosines) for _ in those] for those in pictures],
    )


def _seeds(bench: GoalBench, row: Row, rows: Sequence[Row]) -> list[int]:
    """The trainings of a row share the sampling seeds: together they paint as many pictures as any other row."""
    family = [one.name for one in rows if one == row or (row.family and one.family == row.family)]
    place = family.index(row.name)
    return list(range(place, bench.seeds, len(family))) or [place % bench.seeds]


def _pooled(rows: Sequence[Row], measured: Mapping[str, _Measured]) -> dict[str, _Measured]:
    """Rows of several trainings as one: "goal 1", "goal 2", … → "goal"."""
    families: dict[str, list[_Measured]] = {}
    for row in rows:
        if row.family:
            families.setdefault(row.family, []).append(measured[row.name])
    pooled = {}
    for name, parts in families.items():
        pooled[name] = _Measured(
            scores=[[*chain(*those)] for those in zip(*(p.scores for p in parts), strict=True)],
            seen=[[*chain(*those)] for those in zip(*(p.seen for p in parts), strict=True)],
            cosines=[[*chain(*those)] for those in zip(*(p.cosines for p in parts), strict=True)],
            seconds=float(np.mean([p.seconds for p in parts])),
        )
    return pooled


def _rows(
    bench: GoalBench, items: Sequence[WorldItem], measured: Mapping[str, _Measured], judges: Judges
) -> list[dict[str, Any]]:
    """Rows of values, then of paired differences and of errors removed."""
    estimates = {name: _estimates(bench, items, one, judges) for name, one in measured.items()}
    content = []
    for name, values in estimates.items():
        row = _row(name, len(items), values)
        seconds = measured[name].seconds
        content.append(row if seconds is None else {**row, "seconds": seconds})
    for first, second in _pairs(estimates):
        a, b = estimates[first], estimates[second]
        gaps = {metric: difference(a[metric], b[metric]) for metric in a}
        content.append(_row(f"{first} − {second}", len(items), gaps))
        removed = {metric: _removed(a[metric], b[metric]) for metric in _BOUND}
        content.append(_row(f"errors of {second} removed by {first}", len(items), removed))
    return content


def _pairs(estimates: Mapping[str, object]) -> list[tuple[str, str]]:
    """Which rows are compared: GOAL with the frozen GLIGEN and with its control; in an ablation each row with those
    that stand before it and align nothing.
    """
    if "goal" in estimates:
        return [("goal", "tiny-gligen"), ("goal", "ldm"), ("ldm", "tiny-gligen")]
    names = [name for name in estimates if name != "drawn"]
    bases = [name for name in names if name in ("frozen", "L_LDM")]
    return [(name, base) for base in bases for name in names[names.index(base) + 1 :]]


def _estimates(bench: GoalBench, items: Sequence[WorldItem], one: _Measured, judges: Judges) -> dict[str, Estimate]:
    weights_RN = resamples(bench.prompts, count=bench.resamples)
    whole_RN: NDArray[np.int64] = np.tile(weights_RN, (1, len(CATEGORIES)))
    found: dict[str, Estimate] = {}
    for place, category in enumerate(CATEGORIES):
        part = slice(place * bench.prompts, (place + 1) * bench.prompts)
        found[category] = Tally.of(one.scores[part]).estimate(weights_RN)
    pictures = len(one.seen[0])
    asked = canonical([item.layout for item in items], judges.detector.labels)
    flat = [those[k] for k in range(pictures) for those in one.seen]
    found["ap"] = Coco(list(asked) * pictures, flat).estimates(np.tile(whole_RN, (1, pictures)))["ap"]
    found["clip_s"] = Tally.of(one.cosines).estimate(whole_RN)
    return found


def _removed(first: Estimate, second: Estimate) -> Estimate:
    """Percent of the second's errors that the first does not make."""
    with np.errstate(invalid="ignore", divide="ignore"):
        samples_R = 100 * (first.samples_R - second.samples_R) / (100 - second.samples_R)
        value = 100 * (first.value - second.value) / (100 - second.value) if second.value < 100 else float("nan")
    return Estimate(value=value, samples_R=samples_R)


def _row(name: str, n: int, values: Mapping[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": n}
    for metric, estimate in values.items():
        if np.isfinite(estimate.value):
            row |= {metric: estimate.value, f"{metric}_ci": list(estimate.interval)}
    return row

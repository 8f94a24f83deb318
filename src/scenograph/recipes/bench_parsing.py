"""Prompt parsing by the unified model (MIGLoRA, Stage I) on the small world: Acc, Quality and ReAcc.

    scenograph bench parsing --readme README.md

Prompts are the world's T2I-CompBench (`judging.compbench_world`), of combinations that the model has never seen:

    acc         percent of prompts whose planned boxes are valid and right: the stated things in their numbers, with
                their attributes in the captions, in the stated relation, and nothing else
    quality     T2I-CompBench's score, in percent, of what one painter paints from the planned layouts, by judge A; the
                prompt's own layout and the world's own drawing of it are the ceilings
    reacc       percent of wrong layouts (a box moved, two swapped, one dropped or doubled) that come back right when
                they are given back with the picture: every thing in its place at IoU ≥ 0.5, and nothing else
    reacc_blank the same pictures without the wrong layout: what looking alone finds

The paper does not define its Quality, nor how its wrong layouts are made. Cost: minutes.
"""

from __future__ import annotations

import random
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scenograph.errors import LayoutError, PlanError
from scenograph.judging.bootstrap import Tally, resamples
from scenograph.judging.compbench_images import compbench_scores
from scenograph.judging.compbench_world import CATEGORIES, WorldItem, world_compbench, world_evaluators
from scenograph.judging.correction import CORRUPTIONS, Broken, right
from scenograph.judging.detection import FOUND_IOU, canonical, match
from scenograph.judging.guidance_protocol import Judges
from scenograph.judging.results import check_markers, check_out, commit, write_results
from scenograph.judging.statement import assigned
from scenograph.layout import Box, Layout
from scenograph.painting.unified import UnifiedPainter
from scenograph.planning.grammar_planner import GrammarPlanner
from scenograph.planning.plan import Planner
from scenograph.planning.unified_planner import UnifiedPlanner
from scenograph.recipes.bench_guidance import judge
from scenograph.recipes.bench_tables import parsing_tables, write_tables
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.sampler import Sampling
from scenograph.world.vocabulary import NOUNS

__all__ = ["WAYS", "ParsingBench", "recovered", "run", "states_all", "wrong_layouts"]

WAYS = ("moved", "swapped", "dropped", "doubled")
"""How a layout is made wrong; those of `correction` that leave boxes which can be written, and one moved away."""
_TRIES = 50


@dataclass(frozen=True, kw_only=True)
class ParsingBench:
    """What is measured: a unified model, prompts of each category, and how it samples pictures."""

    model: str = "tiny-janus"
    prompts: int = 50
    unified_cfg: float = 3.0
    seed: int = 0
    resamples: int = 1000

    def __post_init__(self) -> None:
        Sampling(guidance=self.unified_cfg)  # refuses what cannot be sampled with

    def command(self) -> str:
        """The command line of this measurement, with the name of a folder only."""
        words = ["scenograph", "bench", "parsing", "--model", Path(self.model).name, "--prompts", str(self.prompts)]
        return shlex.join([*words, "--unified-cfg", str(self.unified_cfg), "--seed", str(self.seed)])


def run(
    bench: ParsingBench,
    *,
    out: Path,
    readme: Path | None = None,
    judges: Judges | None = None,
    device: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Plan, paint, judge, give wrong layouts back, write `out` and the table of `readme`. Raises CheckpointError."""
    revision = commit()
    check_out(out)
    if readme is not None:
        check_markers(readme, ["echogen-parsing"])
    unified = load_unified(bench.model, device=device)
    judges = judges or judge("a", device)
    items = [item for category in CATEGORIES for item in world_compbench(category, bench.prompts)]
    tallies = _tallies(bench, unified, items, judges, report)
    weights_RN = resamples(len(items), count=bench.resamples)
    rows: list[dict[str, Any]] = []
    for name, those in tallies.items():
        row: dict[str, Any] = {"name": name, "n": len(items)}
        for metric, tally in those.items():
            estimate = tally.estimate(weights_RN)
            row |= {metric: estimate.value, f"{metric}_ci": list(estimate.interval)}
        rows.append(row)
    what = "Prompt parsing by the unified model on the small world: Acc, Quality (judge A), ReAcc"
    write_results(out, what=what, command=bench.command(), seed=bench.seed, rows=rows, revision=revision)
    if readme is not None:
        write_tables(out, readme, parsing_tables)
    return rows


def _tallies(
    bench: ParsingBench,
    unified: Unified,
    items: Sequence[WorldItem],
    judges: Judges,
    report: Callable[[str], None],
) -> dict[str, dict[str, Tally]]:
    """Row → its metrics, per prompt."""
    janus = UnifiedPlanner(unified)
    planners: dict[str, Planner] = {"janus": janus, "janus, regenerated": UnifiedPlanner(unified, regenerate=1)}
    planners["grammar"] = GrammarPlanner()
    planned: dict[str, Sequence[Layout | None]] = {"the prompt's own layout": [item.layout for item in items]}
    for name, planner in planners.items():
        report(f"{name}: planning {len(items)} prompts")
        planned[name] = [_planned(planner, item.prompt, bench.seed + i) for i, item in enumerate(items)]
    painter = UnifiedPainter(unified, name=bench.model)
    found: dict[str, dict[str, Tally]] = {}
    for name, layouts in planned.items():
        report(f"{name}: painting")
        acc = Tally.of([100.0 * states_all(one, item)] for one, item in zip(layouts, items, strict=True))
        found[name] = {"acc": acc, "quality": _quality(items, _painted(painter, layouts, bench), judges)}
    found["drawn"] = {"quality": _quality(items, [item.scene.draw() for item in items], judges)}
    report("janus: wrong layouts")
    found["janus"] |= _corrected(janus, items, bench.seed)
    return found


def _planned(planner: Planner, prompt: str, seed: int) -> Layout | None:
    try:
        return planner.plan(prompt, seed=seed).layout
    except PlanError:
        return None


def states_all(layout: Layout | None, item: WorldItem) -> bool:
    """Whether a layout keeps what the prompt states, attributes included; labels may be synonyms."""
    if layout is None:
        return False
    (named,) = canonical([layout], tuple(NOUNS))
    if not right(named, item.statement):
        return False
    pairs = zip(named.instances, assigned(item.statement, named), strict=True)
    return all(
        set(item.statement.things[thing].attributes) <= {*one.caption.lower().split()}
        for one, thing in pairs
        if thing is not None
    )


def _painted(
    painter: UnifiedPainter, layouts: Sequence[Layout | None], bench: ParsingBench
) -> list[Image.Image | None]:
    """A picture of every layout that has anything in it."""
    kept = [i for i, layout in enumerate(layouts) if layout is not None and layout.instances]
    chosen = [layout for i in kept if (layout := layouts[i]) is not None]
    pictures: list[Image.Image | None] = [None] * len(layouts)
    if chosen:
        seeds = [bench.seed + i for i in kept]
        painted = painter.paint(chosen, seeds=seeds, cfg=bench.unified_cfg, progress=False)
        for i, one in zip(kept, painted, strict=True):
            pictures[i] = one.image
    return pictures


def _quality(items: Sequence[WorldItem], pictures: Sequence[Image.Image | None], judges: Judges) -> Tally:
    """A prompt without a layout has no picture, and scores 0."""
    evaluators = world_evaluators(judges.detector, judges.reader, judges.clip)  # type: ignore[arg-type]  # it has both
    there = [(item.asked, picture) for item, picture in zip(items, pictures, strict=True) if picture is not None]
    found = iter(compbench_scores([asked for asked, _ in there], [picture for _, picture in there], evaluators))
    return Tally.of([0.0 if picture is None else 100 * next(found)] for picture in pictures)


def _corrected(planner: UnifiedPlanner, items: Sequence[WorldItem], seed: int) -> dict[str, Tally]:
    """ReAcc, all ways and each, and what the model finds without a wrong layout at hand."""
    found: dict[str, list[list[float]]] = {"reacc": [], "reacc_blank": [], **{f"reacc_{way}": [] for way in WAYS}}
    for number, item in enumerate(items):
        image, truth = item.scene.draw(), item.layout
        wrong = wrong_layouts(item, seed=seed + number)
        back = {way: planner.corrected(image, given) for way, given in wrong.items()}
        outcome = {way: 100.0 * recovered(truth, seen) for way, seen in back.items()}
        blank = planner.corrected(image, Layout(caption=truth.caption, instances=()))
        found["reacc"].append([*outcome.values()])
        found["reacc_blank"].append([100.0 * recovered(truth, blank)])
        for way in WAYS:
            found[f"reacc_{way}"].append([outcome[way]] if way in outcome else [])
    return {name: Tally.of(values) for name, values in found.items() if any(values)}


def recovered(truth: Layout, seen: Layout) -> bool:
    """Whether every thing is in its place, and nothing else is there."""
    named, given = canonical([truth, seen], tuple(NOUNS))
    if len(given.instances) != len(named.instances):
        return False
    return all(one.iou >= FOUND_IOU for one in match(named, given, min_score=0.0))


def wrong_layouts(item: WorldItem, *, seed: int) -> Mapping[str, Layout]:
    """Way → the item's layout made wrong in that way; ways that leave it right are missing. Seeded."""
    found: dict[str, Layout] = {}
    things = assigned(item.statement, item.layout)
    for way in WAYS:
        rng = random.Random(f"{seed} {way}")
        data = item.layout.to_dict()
        order = list(range(len(item.layout.instances)))
        rng.shuffle(order)
        if way == "moved":
            _move(data["instances"], order[0], rng)
        elif not CORRUPTIONS[way](data["instances"], order, things, rng):
            continue
        try:
            made = Layout.from_dict(data)
        except LayoutError:
            continue
        if made.instances and not recovered(item.layout, made):
            found[way] = made
    return found


def _move(instances: list[Broken], index: int, rng: random.Random) -> None:
    """One box to another place, of its own size."""
    box = Box(*instances[index]["box"])
    for _ in range(_TRIES):
        x, y = rng.uniform(0, 1 - box.width), rng.uniform(0, 1 - box.height)
        moved = Box(x, y, min(x + box.width, 1.0), min(y + box.height, 1.0))
        if moved.iou(box) < FOUND_IOU:
            instances[index]["box"] = [*moved]
            return

"""The comparison of guidance methods on the small world: WinWinLay's tables (Li et al. 2025), with ceilings.

    scenograph bench guidance --development --limit 60 --methods naef+adaptive:r=0.1,naef+adaptive:r=0.2
    scenograph bench guidance --layouts drawn --layouts coco --readme README.md   # report

Every method paints the same layouts (`bench_layouts`) from the same seeds, judge A judges, and the same layouts drawn
by the world itself are the ceiling. Two rows of the paper are one method here: "aef+backprop" is layout-control with
its stopping rule repaired, "naef+adaptive" is WinWinLay. Every method of the 2 x 2 is there with the papers' options
and with those chosen for the small world.

Options are chosen on other layouts by another judge: `--development` paints its own held-out arrangements, judge B
judges them, every row is compared with the first, and no table of a document takes them. Changed options are part of a
method's name, and so of its row's.

Cost: 1 to 5 s a picture on four cores; hours for all methods and both sets, and a broken run continues. Pictures and
what judges read from them are kept: several runs at once with other `--methods` each, then one with all. Expected:
naef+adaptive > naef+backprop > aef+adaptive > aef+backprop in AP (the paper's order).
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Literal

from PIL.Image import Image
from tqdm import tqdm

from scenograph.errors import ResultError
from scenograph.grounding.detector import load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.clip import TransformersClip
from scenograph.judging.guidance_protocol import Judges, Paint, compare
from scenograph.judging.results import check_markers, check_out, commit, write_results
from scenograph.layout import Layout
from scenograph.painting import Painter
from scenograph.painting.guidance import Guidance, base_of, method
from scenograph.recipes.bench_layouts import LayoutSet, layout_set
from scenograph.recipes.bench_tables import guidance_tables, write_tables
from scenograph.recipes.fingerprints import code_digest, weights_digest

__all__ = [
    "METHODS",
    "TUNED",
    "GuidanceBench",
    "judge",
    "judges_digest",
    "run",
]

METHODS = (
    "plain",
    "layout-control",
    "aef+backprop",
    "naef+backprop",
    "naef+backprop-matched",
    "aef+adaptive",
    "naef+adaptive",
)
"""As published: the first 10 of 50 steps, r = 0.06, ρ 5 → 0, η = 30."""
TUNED = (
    "aef+backprop:guided=25:eta=10:iterations=8",
    "naef+backprop:guided=25:eta=10:iterations=8:rho=[1,0]",
    "naef+backprop-matched:guided=25:eta=10:iterations=8:rho=[1,0]",
    "aef+adaptive:guided=25:O=8:r=0.25",
    "naef+adaptive:guided=25:O=8:r=0.25:rho=[1,0]",
)
"""As chosen for tiny-sd by judge B on development layouts, all of them with the same guided steps and iterations."""
PAIRS = (
    ("naef+adaptive", "naef+backprop"),
    ("naef+backprop", "aef+adaptive"),
    ("aef+adaptive", "aef+backprop"),
    ("naef+adaptive", "plain"),
    ("naef+adaptive", "layout-control"),
    ("naef+backprop-matched", "aef+backprop"),
    ("naef+backprop", "naef+backprop-matched"),
)
"""The last two part what the energy gives in gradient descent: its direction, then its longer steps."""


@dataclass(frozen=True, kw_only=True)
class GuidanceBench:
    """What is compared. `development` takes other layouts and judge B: to choose options, not to report."""

    sets: tuple[str, ...] = ("drawn",)
    development: bool = False
    limit: int = 300
    methods: tuple[str, ...] = (*METHODS, *TUNED)
    model: str = "tiny-sd"
    steps: int = 50
    cfg: float = 7.5
    scheduler: str | None = None
    dtype: str | None = None
    batch_size: int = 8
    seed: int = 0
    resamples: int = 1000

    def command(self) -> str:
        """The command line of this comparison, with the names of files only."""
        words = ["scenograph", "bench", "guidance", "--limit", str(self.limit), "--model", Path(self.model).name]
        words += ["--development"] if self.development else [w for s in self.sets for w in ("--layouts", Path(s).name)]
        words += ["--methods", ",".join(self.methods), "--steps", str(self.steps), "--cfg", str(self.cfg)]
        words += ["--scheduler", self.scheduler] if self.scheduler else []
        words += ["--dtype", self.dtype] if self.dtype else []
        return shlex.join([*words, "--seed", str(self.seed)])


def judge(letter: Literal["a", "b"], device: str | None = None) -> Judges:
    """Judge A reports and does nothing else; judge B may choose. Raises CheckpointError while one is not trained."""
    return Judges(
        detector=load_detector(f"detector-{letter}", device=device),
        reader=AttributeReader.from_pretrained(f"reader-{letter}", device=device),
        clip=TransformersClip.from_pretrained(f"clip-{letter}", device=device),
    )


def judges_digest(judges: Judges, *code: str) -> str:
    """What readings of these loaded judges go by: their weights, their code, and the modules below `code`."""
    loaded: list[Any] = [judges.detector, judges.reader, judges.clip]
    weights = weights_digest(one.model for one in loaded)
    return f"{weights} {code_digest('judging', 'grounding/detector.py', *code)}"


def run(
    bench: GuidanceBench,
    *,
    folder: Path,
    out: Path,
    readme: Path | None = None,
    judges: Judges | None = None,
    device: str | None = None,
    progress: bool = True,
    verbose: bool = False,
) -> list[dict[str, Any]]:
    """Paint, judge, write `out` and the tables of `readme`; rows are called "set/method".

    Pictures are kept in `folder`, one folder per set. What can be wrong with the places is found before any painting.

    Raises LayoutError, GuidanceError, CheckpointError or ResultError; the latter when `folder` has pictures of another
    model, layouts, settings or code.
    """
    revision = commit()
    guidances = {name: method(name) for name in bench.methods}
    sets = _sets(bench)
    check_out(out)
    if readme is not None:
        check_markers(readme, _markers(bench, sets))
    judged_by = None
    if judges is None:
        judges = judge("b" if bench.development else "a", device)
        judged_by = judges_digest(judges)
    painter = Painter.from_pretrained(bench.model, device=device, dtype=bench.dtype)
    settings = _settings(bench, painter, guidances)
    rows: list[dict[str, Any]] = []
    for chosen in sets:
        total = len(chosen.layouts) * len(guidances)
        bar = tqdm(total=total, desc=chosen.name, unit="picture", disable=None if progress else True)
        found = compare(
            chosen.layouts,
            {name: _paint(painter, bench, guidance, bar) for name, guidance in guidances.items()},
            judges,
            reference=chosen.references(),
            folder=folder / chosen.name,
            ceiling=chosen.ceiling(),
            pairs=_pairs(bench.methods, bench.development),
            settings=settings,
            seed=bench.seed,
            count=bench.resamples,
            batch_size=bench.batch_size,
            report=_reporter(bar, verbose),
            judged_by=judged_by,
        )
        bar.close()
        rows += [row | {"name": f"{chosen.name}/{row['name']}"} for row in found]
    write_results(out, what=_what(bench), command=bench.command(), seed=bench.seed, rows=rows, revision=revision)
    if readme is not None:
        write_tables(out, readme, guidance_tables)
    return rows


def _pairs(names: Sequence[str], development: bool = False) -> list[tuple[str, str]]:
    """Which differences are reported: `PAIRS`, published with published options and chosen with chosen ones, either
    with what has no others. Where options are chosen: every row with the first."""
    if development:
        return [(name, names[0]) for name in names[1:]]
    return [
        (a, b)
        for pair in PAIRS
        for a in names
        for b in names
        if (base_of(a), base_of(b)) == pair and (b in ("plain", "layout-control") or (":" in a) == (":" in b))
    ]


def _sets(bench: GuidanceBench) -> list[LayoutSet]:
    if bench.development and bench.sets != ("drawn",):
        raise ResultError(f"development has layouts of its own, got {', '.join(bench.sets)}; leave --layouts out")
    sets = [layout_set(name, bench.limit) for name in (("development",) if bench.development else bench.sets)]
    if len({one.name for one in sets}) != len(sets):
        raise ResultError(f"the sets {', '.join(bench.sets)} have the same short names; rename a file")
    return sets


def _markers(bench: GuidanceBench, sets: Sequence[LayoutSet]) -> list[str]:
    if bench.development:
        raise ResultError("results on development layouts are no reported ones and go into no document; drop --readme")
    return [f"winwinlay-{one.name}" for one in sets]


def _what(bench: GuidanceBench) -> str:
    if bench.development:
        return "Options of guidance methods, tried on development layouts and judged by judge B: not for reporting"
    return "Guidance methods on the small world: the same layouts and seeds, judged by judge A"


def _settings(bench: GuidanceBench, painter: Painter, guidances: dict[str, Guidance | None]) -> dict[str, str]:
    """Method → whatever determines its pictures besides layouts and seeds: the weights, the options and the code."""
    weights = weights_digest([getattr(painter.pipeline, part) for part in ("unet", "text_encoder", "vae")])
    shared = [weights, code_digest("painting"), bench.steps, bench.cfg, bench.scheduler]
    return {name: json.dumps([*shared, repr(guidance)]) for name, guidance in guidances.items()}


def _paint(painter: Painter, bench: GuidanceBench, guidance: Guidance | None, bar: Any) -> Paint:
    def paint(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image]:
        paintings = painter.paint(
            layouts,
            guidance=guidance,
            seeds=list(seeds),
            steps=bench.steps,
            cfg=bench.cfg,
            scheduler=bench.scheduler,
            batch_size=len(layouts),
            progress=False,
        )
        bar.update(len(layouts))
        return [painting.image for painting in paintings]

    return paint


def _reporter(bar: Any, verbose: bool) -> Callable[[str], None]:
    def report(line: str) -> None:
        bar.set_postfix_str(line)
        if verbose:
            tqdm.write(line)

    return report

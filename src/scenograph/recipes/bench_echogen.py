"""EchoGen on the small world: Tables 1, 2, 3 and 4 of the paper in one, Table 5 and Figure 5, with intervals.

    scenograph bench echogen --readme README.md                    # stages beside plain, WinWinLay, GLIGEN and GOAL
    scenograph bench echogen --table layouts --readme README.md    # stage 3 on real, random and planned layouts
    scenograph bench echogen --table entry                         # stages 2 and 3 entered early

Every row paints the same held-out layouts from the same seeds; judge A, which no stage has seen, judges them, and the
drawn scenes are the ceiling. Spatial, colour, texture and shape are LayoutSAM-Eval's. Grounding is measured alone, on
those drawn scenes. Differences are paired by layout.
Which trainings the rows are is `echogen_rows`'; nothing is trained here.

Cost: a stage paints 1000 layouts in minutes, a diffusion row in an hour or more on two cores; a broken run goes on.
Pictures and readings are kept: several runs at once with other `--rows` each, then one with all.
Expected (Table 4): 1+2+3 > 1+2 > 1+3 ≥ 1 in AP, and random layouts as good as real ones.
"""

from __future__ import annotations

import json
import shlex
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from PIL import Image

from scenograph.errors import CheckpointError
from scenograph.grounding.unified import UnifiedGrounder
from scenograph.judging.bootstrap import Tally
from scenograph.judging.detection import canonical
from scenograph.judging.guidance_protocol import Judges, Paint, compare
from scenograph.judging.layoutsam import layoutsam_tallies
from scenograph.judging.layoutsam_world import WorldAsker
from scenograph.judging.results import check_markers, check_out, commit, write_results
from scenograph.layout import Layout
from scenograph.models.embedded import PREFERRED, WINWINLAY, embedded_path, is_embedded
from scenograph.painting import Painter
from scenograph.painting.unified import UnifiedPainter
from scenograph.recipes.bench_guidance import judge, judges_digest
from scenograph.recipes.bench_layouts import LayoutSet, development_set, drawn_set
from scenograph.recipes.bench_tables import echogen_tables, write_tables
from scenograph.recipes.echogen_readings import grounding_tallies, reward_tally
from scenograph.recipes.echogen_rows import TABLES
from scenograph.recipes.fingerprints import code_digest, networks, weights_digest
from scenograph.recipes.janus import stage_of
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.pictures import image_tokens, paint_tokens, pictures, pixels
from scenograph.unified.sampler import Sampling

__all__ = ["BASELINES", "PAIRS", "TOKENS", "EchogenBench", "places_of", "run"]

BASELINES: Mapping[str, tuple[str, str]] = {
    "plain": ("tiny-sd", "plain"),
    "winwinlay": ("tiny-sd", WINWINLAY),
    "gligen": ("tiny-gligen", "plain"),
    "goal": ("tiny-goal", "plain"),
}
"""Row → checkpoint and guidance method of the diffusion rows, which the main table has."""

PAIRS: Mapping[str, tuple[tuple[str, str], ...]] = {
    "main": (
        *(("1+2", "1"), ("1+2", "1+2 unlooped"), ("1+3", "1"), ("1+2", "1+3"), ("1+2+3", "1+2")),
        *(("1+2+3", "1"), ("1+2+3", "gligen"), ("1+2+3", "goal")),
    ),
    "layouts": (("random", "real"), ("planned", "real"), ("real", "1+2")),
    "entry": tuple((f"{row}+{stage}", row) for row in list(TABLES["entry"])[::3] for stage in (2, 3)),
}
TOKENS = "drawn scenes as image tokens"
"""The row of what the best painter of image tokens would get."""
_NAMES = {"main": "echogen_small_world", "layouts": "echogen_layouts", "entry": "echogen_entry"}


@dataclass(frozen=True, kw_only=True)
class EchogenBench:
    """What is compared.

    Attributes:
        rows: of the table; empty means all.
        checkpoints: (row, folder or embedded name) instead of where its training left it.
        steps, dtype: of the diffusion rows.
        cfg: of tiny-sd's rows; GLIGEN and GOAL paint with the options that were chosen for them (`PREFERRED`).
        unified_cfg, temperature: of the unified model's sampling.
        development: other layouts and judge B, for choosing these numbers.
    """

    table: str = "main"
    rows: tuple[str, ...] = ()
    checkpoints: tuple[tuple[str, str], ...] = ()
    limit: int = 1000
    steps: int = 50
    cfg: float = 7.5
    dtype: str | None = None
    unified_cfg: float = 3.0
    temperature: float = 1.0
    batch_size: int = 16
    seed: int = 0
    resamples: int = 1000
    development: bool = False

    def __post_init__(self) -> None:
        Sampling(guidance=self.unified_cfg, temperature=self.temperature)  # refuses what cannot be sampled with

    def command(self) -> str:
        """The command line of this comparison, with the names of folders only."""
        words = ["scenograph", "bench", "echogen", "--table", self.table, "--limit", str(self.limit)]
        words += ["--development"] if self.development else []
        words += ["--rows", ",".join(self.rows)] if self.rows else []
        words += [w for row, place in self.checkpoints for w in ("--checkpoint", f"{row}={Path(place).name}")]
        words += ["--steps", str(self.steps), "--cfg", str(self.cfg)]
        words += ["--dtype", self.dtype] if self.dtype else []
        words += ["--unified-cfg", str(self.unified_cfg)]
        return shlex.join([*words, "--temperature", str(self.temperature), "--seed", str(self.seed)])

    @property
    def name(self) -> str:
        """Of the results file."""
        return "echogen_development" if self.development else _NAMES[self.table]


@dataclass(frozen=True, kw_only=True)
class _Row:
    """How a row's pictures come about, what determines them, and its model if that can ground too."""

    paint: Paint
    settings: str
    unified: Unified | None = None


def run(
    bench: EchogenBench,
    *,
    run: Path,
    out: Path,
    readme: Path | None = None,
    judges: Judges | None = None,
    device: str | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Paint, ground, judge, write `out` and the table of `readme`. Pictures are kept in `run`/bench_echogen.

    Raises CheckpointError for rows without a checkpoint, all in one line, and ResultError as `compare` does.
    """
    revision = commit()
    places = places_of(bench, run)
    check_out(out)
    if readme is not None:
        check_markers(readme, [bench.name.replace("_", "-")])
    chosen = development_set(bench.limit, reported=1000) if bench.development else drawn_set(bench.limit)
    judged_by = None
    if judges is None:
        judges = judge("b" if bench.development else "a", device)
        judged_by = judges_digest(judges, "grounding", "unified", "recipes/echogen_readings.py", "training/cycle.py")
    rows = {name: _row(bench, name, place, device) for name, place in places.items()}
    if token_models := [row.unified for row in rows.values() if row.unified]:
        rows[TOKENS] = _tokens_row(bench, token_models[0], chosen)
    found = compare(
        chosen.layouts,
        {name: row.paint for name, row in rows.items()},
        judges,
        reference=chosen.references(),
        folder=run / "bench_echogen" / chosen.name,
        ceiling=chosen.ceiling(),
        pairs=[pair for pair in PAIRS[bench.table] if {*pair} <= set(rows)],
        settings={name: row.settings for name, row in rows.items()},
        seed=bench.seed,
        batch_size=bench.batch_size,
        count=bench.resamples,
        report=report,
        also=_readings(bench, chosen, rows, judges, report),
        judged_by=judged_by,
    )
    what = "EchoGen on the small world: held-out layouts painted and drawn scenes grounded, judged by judge "
    what += "B, to choose settings" if bench.development else "A"
    write_results(out, what=what, command=bench.command(), seed=bench.seed, rows=found, revision=revision)
    if readme is not None:
        write_tables(out, readme, echogen_tables)
    return found


def places_of(bench: EchogenBench, run: Path) -> dict[str, str | Path]:
    """Row → its checkpoint. Raises CheckpointError for unknown rows, and once for all that are missing."""
    known = {**(BASELINES if bench.table == "main" else {}), **TABLES[bench.table]}
    given = dict(bench.checkpoints)
    if unknown := [name for name in (*bench.rows, *given) if name not in known]:
        raise CheckpointError(f"no row {', '.join(unknown)} in this table; there are: {', '.join(known)}")
    places: dict[str, str | Path] = {}
    missing = {}
    for name in [row for row in known if row in (bench.rows or known)]:
        model = BASELINES[name][0] if name in BASELINES else TABLES[bench.table][name]
        place = _place(model, given.get(name), run, trained=name not in BASELINES)
        if place is None:
            missing[name] = given.get(name) or f"`scenograph train {model}`"
        else:
            places[name] = place
    if missing:
        named = ", ".join(f"{name} ({what})" for name, what in missing.items())
        others = f"--rows {shlex.quote(','.join(places))}" if places else "--rows"
        raise CheckpointError(
            f"no checkpoint for {named}; train them, name theirs with --checkpoint ROW=FOLDER, or leave them out: "
            f"{others}"
        )
    return places


def _place(model: str, given: str | None, run: Path, *, trained: bool) -> str | Path | None:
    """Where a row's checkpoint is: as told, as its training left it, or as it was published; None is nowhere."""
    if given is not None and not is_embedded(given):
        return Path(given) if Path(given).is_dir() else None
    folder = run / model / "model"
    if given is None and trained and (folder / "config.json").is_file():
        return folder
    name = given or model
    try:
        path = embedded_path(name)
    except CheckpointError:
        return None
    # What is published as tiny-janus may be an earlier stage than the row's.
    return name if given or not trained or stage_of(path) == model else None


def _row(bench: EchogenBench, name: str, place: str | Path, device: str | None) -> _Row:
    return _diffusion_row(bench, name, place, device) if name in BASELINES else _unified_row(bench, place, device)


def _diffusion_row(bench: EchogenBench, name: str, place: str | Path, device: str | None) -> _Row:
    painter = Painter.from_pretrained(place, device=device, dtype=bench.dtype)
    (model, method), pipeline = BASELINES[name], painter.pipeline
    # Its options were chosen at 50 steps, of which a fifth are guided.
    method = method.replace("guided=10", f"guided={(bench.steps + 4) // 5}")
    own = PREFERRED[model]
    cfg, beta = own.get("cfg", bench.cfg), own.get("gligen_beta")

    def paint(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image.Image]:
        options: dict[str, Any] = {"steps": bench.steps, "cfg": cfg, "gligen_beta": beta, "progress": False}
        painted = painter.paint(layouts, guidance=method, seeds=list(seeds), batch_size=len(layouts), **options)
        return [one.image for one in painted]

    weights = weights_digest(networks(pipeline))
    return _Row(paint=paint, settings=json.dumps([weights, code_digest("painting"), method, bench.steps, cfg, beta]))


def _unified_row(bench: EchogenBench, place: str | Path, device: str | None) -> _Row:
    unified = load_unified(place, device=device)
    painter = UnifiedPainter(unified, name=str(place))

    def paint(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image.Image]:
        options: dict[str, Any] = {"cfg": bench.unified_cfg, "temperature": bench.temperature, "progress": False}
        return [one.image for one in painter.paint(layouts, seeds=list(seeds), batch_size=len(layouts), **options)]

    code = code_digest("unified", "painting/unified.py")
    settings = [weights_digest([unified.model]), code, bench.unified_cfg, bench.temperature]
    return _Row(paint=paint, settings=json.dumps(settings), unified=unified)


def _tokens_row(bench: EchogenBench, unified: Unified, chosen: LayoutSet) -> _Row:
    """The drawn scenes through the VQ model, which no stage trains and all stages share."""
    drawn = chosen.ceiling()

    def paint(layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image.Image]:
        seen = pixels([drawn[seed - bench.seed] for seed in seeds], unified.side)
        return pictures(paint_tokens(unified.model, image_tokens(unified.model, seen.to(unified.model.device))))

    settings = [weights_digest([unified.model.model.vqmodel]), code_digest("unified/pictures.py")]
    return _Row(paint=paint, settings=json.dumps(settings))


def _readings(
    bench: EchogenBench, chosen: LayoutSet, rows: Mapping[str, _Row], judges: Judges, report: Callable[[str], None]
) -> Callable[[str, Sequence[Image.Image]], dict[str, Tally]]:
    asked = canonical(chosen.layouts, judges.detector.labels)
    drawn = chosen.ceiling()

    def also(name: str, images: Sequence[Image.Image]) -> dict[str, Tally]:
        found = layoutsam_tallies(images, asked, WorldAsker(judges.detector, judges.reader))
        row = rows.get(name)
        if row is not None and row.unified is not None:
            report(f"{name}: grounding")
            sampling = Sampling(guidance=bench.unified_cfg, temperature=bench.temperature)
            seeds = [bench.seed + index for index in range(len(chosen.layouts))]
            found["reward"] = reward_tally(row.unified, chosen.layouts, seeds, sampling)
            found |= grounding_tallies(chosen.scenes, drawn, UnifiedGrounder(row.unified))
        return found

    return also

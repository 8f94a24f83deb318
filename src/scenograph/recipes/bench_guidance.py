"""The comparison of guidance methods on the small world: WinWinLay's tables (Li et al. 2025), with ceilings.

    scenograph bench guidance --layouts drawn --layouts coco:coco_layouts.jsonl --readme README.md

Two sets of layouts: `drawn`, held-out arrangements of 1–4 objects with their attributes, and `coco:FILE`, real COCO
boxes restricted to the world's nouns. Every method paints the same layouts from the same seeds, judge A judges, and
the same layouts drawn by the world itself are the ceiling. Two rows of the paper are one method here: "aef+backprop" is
layout-control with its stopping rule repaired, "naef+adaptive" is WinWinLay.

Cost: about (50 + 3 · 40 guided passes) forwards a picture; hours on two cores for all methods and both sets, and a
broken run continues. Expected: naef+adaptive > naef+backprop > aef+adaptive > aef+backprop in AP (the paper's order).
"""

from __future__ import annotations

import hashlib
import inspect
import json
import shlex
import tempfile
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from PIL.Image import Image
from tqdm import tqdm

from scenograph.errors import GuidanceError, LayoutError, ResultError
from scenograph.grounding.detector import load_detector
from scenograph.judging.attributes import AttributeReader
from scenograph.judging.clip import TransformersClip
from scenograph.judging.guidance_protocol import Judges, Paint, compare
from scenograph.judging.results import read_results, render_table, update_readme, write_results
from scenograph.layout import Instance, Layout, load_layouts
from scenograph.painting import Painter
from scenograph.painting.guidance import METHODS as KNOWN
from scenograph.painting.guidance import Guidance, Window, method
from scenograph.world.captions import Stated, tell
from scenograph.world.scenes import scene_at, scene_of_layout
from scenograph.world.vocabulary import NOUNS

__all__ = [
    "METHODS",
    "GuidanceBench",
    "coco_layouts",
    "drawn_layouts",
    "judge_a",
    "layouts_of",
    "options_of",
    "parse_changes",
    "run",
    "tables",
    "write_tables",
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
PAIRS = (
    ("naef+adaptive", "naef+backprop"),
    ("naef+backprop", "aef+adaptive"),
    ("aef+adaptive", "aef+backprop"),
    ("naef+adaptive", "plain"),
    ("naef+adaptive", "layout-control"),
    ("naef+backprop-matched", "aef+backprop"),
)
COLUMNS = {
    "ap": "AP",
    "ap50": "AP50",
    "ap50_share": "AP50, % of drawn",
    "mean_iou": "mean IoU",
    "clip_s": "CLIP-s",
    "attributes": "attributes",
    "world_fid": "world-FID",
    "seconds": "s / picture",
}
_DIGITS = {"clip_s": 3, "ap50_share": 0, "seconds": 2}
_SYMBOLS = {"r": "ratio", "O": "iterations", "guided": "window"}
_HELD_OUT_SEED = 2025  # of no training and no other measurement
_REFERENCES = 4  # drawn pictures per layout for the distances, besides the ceiling's
_SMALLEST_SIDE = 0.1

Changes = tuple[tuple[str, Any], ...]


@dataclass(frozen=True, kw_only=True)
class GuidanceBench:
    """What is compared. `changes` are options for every method that has them (`parse_changes`)."""

    sets: tuple[str, ...] = ("drawn",)
    limit: int = 300
    methods: tuple[str, ...] = METHODS
    changes: Changes = ()
    model: str = "tiny-sd"
    steps: int = 50
    cfg: float = 7.5
    scheduler: str | None = None
    batch_size: int = 8
    seed: int = 0
    resamples: int = 1000

    def command(self) -> str:
        """The command line of this comparison, with the names of files only."""
        words = ["scenograph", "bench", "guidance", "--limit", str(self.limit), "--model", Path(self.model).name]
        for one in self.sets:
            kind, colon, file = one.rpartition(":")
            words += ["--layouts", f"{kind}{colon}{Path(file).name}"]
        for name, value in self.changes:
            words += ["--set", f"{name}={json.dumps(value)}"]
        words += ["--methods", ",".join(self.methods), "--steps", str(self.steps), "--cfg", str(self.cfg)]
        words += ["--scheduler", self.scheduler] if self.scheduler else []
        return shlex.join([*words, "--seed", str(self.seed)])


def drawn_layouts(count: int, *, seed: int = _HELD_OUT_SEED) -> list[Layout]:
    """Held-out arrangements of 1, 2, 3 and 4 objects in turn: the same on every machine."""
    return [scene_at(index, seed=seed, split="test", count=1 + index % 4).layout for index in range(count)]


def coco_layouts(path: str | Path, count: int) -> list[Layout]:
    """The first `count` usable layouts of a JSON Lines file of COCO rows.

    Rows are {"image_id", "instances": [{"caption": COCO's class, "box": [x0, y0, x1, y1] in fractions}]}. Only the
    world's nouns stay; a row is used when 1–6 of them are left and no side is shorter than a tenth of the canvas. The
    caption is told anew from the nouns, so that every phrase is in it.

    Raises LayoutError when the file cannot be read or has fewer than two usable rows.
    """
    try:
        rows = [json.loads(line) for line in Path(path).read_text(encoding="utf-8").splitlines() if line.strip()]
        layouts = [layout for row in rows if (layout := _coco_layout(row)) is not None]
    except (OSError, UnicodeDecodeError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise LayoutError(f"{path}: {error}; expected JSON Lines of COCO rows with image_id and instances") from error
    if len(layouts) < 2:
        raise LayoutError(
            f"{path}: {len(layouts)} usable rows of {len(rows)}; expected at least 2 with the world's nouns"
        )
    return layouts[:count]


def _coco_layout(row: Mapping[str, Any]) -> Layout | None:
    known = [Instance.from_dict(one) for one in row["instances"] if one["caption"] in NOUNS]
    if not 1 <= len(known) <= 6 or any(min(one.box.width, one.box.height) < _SMALLEST_SIDE for one in known):
        return None
    told = tell([Stated(noun=one.label, word=one.label) for one in known], Random(f"coco/{row['image_id']}"))
    instances = tuple(
        Instance(caption=caption, label=one.label, phrase=phrase, box=one.box)
        for one, caption, phrase in zip(known, told.captions, told.phrases, strict=True)
    )
    return Layout(caption=told.caption, instances=instances)


def layouts_of(name: str, count: int) -> tuple[str, list[Layout]]:
    """(short name, layouts) of a set: "drawn", "coco:FILE" or a layout file."""
    if name == "drawn":
        return name, drawn_layouts(count)
    if name.startswith("coco:"):
        return "coco", coco_layouts(name.removeprefix("coco:"), count)
    return Path(name).stem, load_layouts(name)[:count]


def parse_changes(texts: Sequence[str]) -> Changes:
    """ "r=0.1" → ("r", 0.1). Raises GuidanceError for what is no NAME=VALUE or what no method knows."""
    changes = []
    for text in texts:
        name, equals, value = text.partition("=")
        if not equals or not any(_accepted(one, name) for one in KNOWN):
            raise GuidanceError(f"cannot set {text!r}; expected NAME=VALUE with an option of a method, such as r=0.1")
        try:
            parsed = json.loads(value)
        except ValueError:
            parsed = value
        changes.append((name, tuple(parsed) if isinstance(parsed, list) else parsed))
    return tuple(changes)


def _accepted(name: str, option: str) -> str | None:
    """The keyword of a method that `option` means; None where it has no such thing. O is the adaptive update's only."""
    make = KNOWN.get(name)
    keywords = inspect.signature(make).parameters if make is not None else {}
    keyword = _SYMBOLS.get(option, option)
    return keyword if keyword in keywords and (option != "O" or "ratio" in keywords) else None


def options_of(name: str, changes: Changes) -> dict[str, Any]:
    """The keywords of a method that the changes touch."""
    options = {}
    for option, value in changes:
        if (keyword := _accepted(name, option)) is not None:
            options[keyword] = Window(steps=value) if option == "guided" else value
    return options


def _guidance(name: str, changes: Changes) -> Guidance | None:
    try:
        return method(name, **options_of(name, changes))
    except TypeError as error:
        raise GuidanceError(f"cannot set up {name}: {error}; check the types of what is set") from error


def judge_a(device: str | None = None) -> Judges:
    """The judge that reports and does nothing else."""
    return Judges(
        detector=load_detector("detector-a", device=device),
        reader=AttributeReader.from_pretrained("reader-a", device=device),
        clip=TransformersClip.from_pretrained("clip-a", device=device),
    )


def run(
    bench: GuidanceBench,
    *,
    folder: Path,
    out: Path,
    judges: Judges | None = None,
    device: str | None = None,
    progress: bool = True,
    verbose: bool = False,
) -> list[dict[str, Any]]:
    """Paint, judge and write `out`; rows are called "set/method". Pictures are kept in `folder`, one folder per set.

    Raises LayoutError, GuidanceError, CheckpointError or ResultError; the latter when `folder` has pictures of another
    model, layouts or settings.
    """
    guidances = {name: _guidance(name, bench.changes) for name in bench.methods}
    sets = dict(layouts_of(name, bench.limit) for name in bench.sets)
    if len(sets) != len(bench.sets):
        raise ResultError(f"the sets {', '.join(bench.sets)} have the same short names; rename a file")
    judges = judges or judge_a(device)
    painter = Painter.from_pretrained(bench.model, device=device)
    model = _fingerprint(painter)
    settings = {
        name: json.dumps([model, repr(one), bench.steps, bench.cfg, bench.scheduler]) for name, one in guidances.items()
    }
    rows: list[dict[str, Any]] = []
    for name, layouts in sets.items():
        bar = tqdm(total=len(layouts) * len(guidances), desc=name, unit="picture", disable=None if progress else True)
        made = {one: _paint(painter, bench, guidance, bar) for one, guidance in guidances.items()}
        drawn = [_drawn(layout, index, 0) for index, layout in enumerate(layouts)]
        found = compare(
            layouts,
            made,
            judges,
            reference=_references(layouts),
            folder=folder / name,
            ceiling=drawn,
            pairs=[pair for pair in PAIRS if set(pair) <= set(guidances)],
            settings=settings,
            seed=bench.seed,
            count=bench.resamples,
            batch_size=bench.batch_size,
            report=_reporter(bar, verbose),
        )
        bar.close()
        rows += [row | {"name": f"{name}/{row['name']}"} for row in found]
    what = "Guidance methods on the small world: the same layouts and seeds, judged by judge A"
    write_results(out, what=what, command=bench.command(), seed=bench.seed, rows=rows)
    return rows


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


def _drawn(layout: Layout, index: int, number: int) -> Image:
    """The layout as the world draws it: number 0 is the ceiling, the others are references."""
    return scene_of_layout(layout, Random(f"bench/{index}/{number}")).draw()


def _references(layouts: Sequence[Layout]) -> list[Image]:
    """Drawn pictures of the same arrangements in other looks, for the distances."""
    return [_drawn(layout, i, number) for number in range(1, 1 + _REFERENCES) for i, layout in enumerate(layouts)]


def _reporter(bar: Any, verbose: bool) -> Callable[[str], None]:
    def report(line: str) -> None:
        bar.set_postfix_str(line)
        if verbose:
            tqdm.write(line)

    return report


def _fingerprint(painter: Painter) -> str:
    """What tells one checkpoint from another of the same name, so that retraining does not mix pictures."""
    digest = hashlib.sha256()
    for part in ("unet", "text_encoder", "vae"):
        for name, tensor in getattr(painter.pipeline, part).state_dict().items():
            digest.update(f"{part}.{name}:{float(tensor.double().sum())!r};".encode())
    return digest.hexdigest()


def tables(path: str | Path) -> dict[str, str]:
    """Set name → the Markdown table of its rows, differences left out: they are in the file."""
    content = read_results(path)
    sets = dict.fromkeys(str(row["name"]).partition("/")[0] for row in content["rows"])
    return {name: _table(content, f"{name}/") for name in sets}


def _table(content: Mapping[str, Any], prefix: str) -> str:
    rows = [row for row in content["rows"] if row["name"].startswith(prefix) and " − " not in row["name"]]
    chosen = [row | {"name": row["name"].removeprefix(prefix)} for row in rows]
    columns = {metric: heading for metric, heading in COLUMNS.items() if any(metric in row for row in chosen)}
    with tempfile.TemporaryDirectory() as folder:
        part = Path(folder) / "rows.json"
        part.write_text(json.dumps({**content, "rows": chosen}), encoding="utf-8")
        return render_table(part, columns, digits=_DIGITS)


def write_tables(path: str | Path, readme: str | Path) -> None:
    """Put each set's table between `<!-- results:winwinlay-SET -->` and its end. Raises ResultError without markers."""
    for name, table in tables(path).items():
        update_readme(readme, f"winwinlay-{name}", table)

"""The whole of GOAL2K: every stage in turn, each continuing where it stopped, and the data set with its manifest.

    prompts.jsonl       1  what is asked
    rewordings.jsonl    1  a language model's wording of it
    images/ID.png       2  pictures, each with its provenance; refused.jsonl: prompts that nobody would paint
    layouts.jsonl       3  boxes, as the grounder saw them
    review.tsv          4  a person's verdicts; review/page-NNN.png to look at
    dataset.jsonl       5  layouts with an "image" each: `scenograph train goal --data layouts:dataset.jsonl` reads it
    manifest.json       5  where every row came from, and what became of those that are not in it

A run that is killed loses the picture it was waiting for and nothing else.
"""

from __future__ import annotations

import json
from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from filelock import FileLock, Timeout

from scenograph import __version__
from scenograph.datasets.goal2k.endpoint import Endpoint
from scenograph.datasets.goal2k.grounding import ground_all, replaced
from scenograph.datasets.goal2k.journal import Journal
from scenograph.datasets.goal2k.painting import PicturePainter, paint_all, painted_rows, picture_path
from scenograph.datasets.goal2k.prompts import lines_of, prompt_rows
from scenograph.datasets.goal2k.review import Reviewed, draw_pages, drop_lines, extend_review, read_review
from scenograph.datasets.goal2k.rewording import reword_all
from scenograph.datasets.goal2k.words import COCO, Words
from scenograph.errors import DatasetError
from scenograph.files import is_writable_folder, write_whole
from scenograph.judging.detection import Detector
from scenograph.judging.results import commit
from scenograph.layout import Layout

__all__ = ["Built", "Goal2K", "build"]

Row = Mapping[str, Any]


@dataclass(frozen=True, kw_only=True)
class Goal2K:
    """What is built.

    Attributes:
        folder: of everything; a build continues in it.
        count: prompts from templates.
        captions: a file of captions (COCO's captions JSON, JSON Lines or text); None: templates only.
        caption_count: prompts from captions.
        words: what the templates talk about.
        seed: decides prompts and the pictures' seeds.
        avoid: a text file of prompts that must not occur, such as a benchmark's.
        limit: only so many prompts, of templates and captions alike; a later build without it goes on.
        threshold: the score from which a grounder's box counts.
        batch_size, workers: see `painting.paint_all`.
        review: None is `review.tsv` in the folder.
        unreviewed: take what nobody has looked at as it was seen; the manifest says so.
    """

    folder: Path
    count: int = 1000
    captions: Path | None = None
    caption_count: int = 1000
    words: Words = COCO
    seed: int = 0
    avoid: Path | None = None
    limit: int | None = None
    threshold: float = 0.3
    batch_size: int = 1
    workers: int = 1
    review: Path | None = None
    unreviewed: bool = False


@dataclass(frozen=True, kw_only=True)
class Built:
    """What there is now: how many of what, the review and its pages, the data set (None while no row is in it)."""

    counts: Mapping[str, int]
    review: Path
    pages: Path
    dataset: Path | None


def build(
    plan: Goal2K,
    painter: Callable[[], PicturePainter],
    grounder: Callable[[], Detector],
    *,
    painter_name: str,
    grounder_name: str,
    wording: Endpoint | None = None,
    progress: bool = True,
) -> Built:
    """Do what is left to do.

    Args:
        painter, grounder: make them; called only when something is to be painted or grounded.
        painter_name, grounder_name: what provenance calls them.
        wording: the language model that words the template prompts anew.

    Raises:
        DatasetError: a file of the folder or of the review cannot be used, or an endpoint does not answer; what is
            done is kept, and the same call continues.
    """
    folder = plan.folder
    with _alone(folder):
        rows = _prompts(plan, wording, progress)
        refused = Journal(folder / "refused.jsonl")
        paint_all(
            rows,
            folder,
            painter,
            painter_name,
            refused,
            seed=plan.seed,
            batch_size=plan.batch_size,
            workers=plan.workers,
            progress=progress,
        )
        painted = list(painted_rows(rows, folder))
        layouts = Journal(folder / "layouts.jsonl")
        pictured = [row for row, _ in painted]
        review = plan.review or folder / "review.tsv"
        drop_lines(review, replaced(pictured, folder, layouts))  # first: no verdict may outlive its picture
        ground_all(pictured, folder, layouts, grounder, grounder_name, threshold=plan.threshold, progress=progress)
        extend_review(review, [layouts.rows[row["id"]] for row in pictured])
        shown = [row for row in layouts if picture_path(folder, row["id"]).exists()]
        draw_pages(review, folder, shown, progress=progress)
        said = read_review(review, list(layouts))
        return _finish(plan, rows, painted, layouts, refused, said, review)


@contextmanager
def _alone(folder: Path) -> Iterator[None]:
    """Hold the folder: two builds in it would paint, and pay, twice. Raises DatasetError."""
    if not is_writable_folder(folder):
        raise DatasetError(f"cannot write to {str(folder)!r}; expected a folder you may write to")
    folder.mkdir(parents=True, exist_ok=True)
    try:
        with FileLock(folder / ".lock", timeout=0):
            yield
    except Timeout:
        raise DatasetError(f"another build is at work in {str(folder)!r}; wait for it or name another folder") from None


def _prompts(plan: Goal2K, wording: Endpoint | None, progress: bool) -> list[dict[str, Any]]:
    rows = prompt_rows(
        plan.folder / "prompts.jsonl",
        plan.words,
        plan.seed,
        count=plan.count,
        captions=plan.captions,
        caption_count=plan.caption_count,
        avoid=lines_of(plan.avoid) if plan.avoid else (),
    )[: plan.limit]
    if not rows:
        raise DatasetError("nothing is asked for; expected a count of 1 or more, or captions")
    painted = [row["id"] for row in rows if picture_path(plan.folder, row["id"]).exists()]
    journal = Journal(plan.folder / "rewordings.jsonl")
    return reword_all(rows, journal, wording, painted=painted, progress=progress)


def _finish(
    plan: Goal2K,
    rows: Sequence[Row],
    painted: Sequence[tuple[Row, dict[str, Any]]],
    layouts: Journal,
    refused: Journal,
    said: Mapping[str, Reviewed],
    review: Path,
) -> Built:
    """Stage 5: the data set and its manifest, both whole; neither while no row is in it."""
    kept, entries = [], []
    for row, made in painted:
        seen, verdict = layouts.rows[row["id"]], said[row["id"]]
        layout = verdict.layout
        if plan.unreviewed and verdict.verdict == "?":
            layout = Layout.from_dict(seen["layout"])
        if layout is not None:
            kept.append({"image": f"images/{row['id']}.png", **layout.to_dict()})
        entries.append(_entry(row, made, seen, verdict, layout))
    counts = _counts(rows, painted, refused, entries)
    dataset, manifest = plan.folder / "dataset.jsonl", plan.folder / "manifest.json"
    if not kept:
        dataset.unlink(missing_ok=True)
        manifest.unlink(missing_ok=True)
        return Built(counts=counts, review=review, pages=plan.folder / "review", dataset=None)
    about = {
        "what": "GOAL2K: pictures with prompts and boxes, built by scenograph",
        "scenograph": __version__,
        "commit": commit(),
        "seed": plan.seed,
        "words": plan.words.name,
        "counts": counts,
        "licences": _licences(painted, plan.captions),
        "rows": entries,
        "refused": [row for row in refused if any(row["id"] == asked["id"] for asked in rows)],
    }
    write_whole(dataset, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in kept))
    write_whole(manifest, json.dumps(about, ensure_ascii=False, indent=1) + "\n")
    return Built(counts=counts, review=review, pages=plan.folder / "review", dataset=dataset)


def _entry(row: Row, made: Mapping[str, Any], seen: Row, verdict: Reviewed, layout: Layout | None) -> dict[str, Any]:
    """Where one picture came from, and whether it is in the data set."""
    return {
        **row,
        "image": f"images/{row['id']}.png",
        "painting": {key: value for key, value in made.items() if key not in ("id", "prompt")},
        "grounder": seen["grounder"],
        "threshold": seen["threshold"],
        "remarks": seen["remarks"],
        "verdict": verdict.verdict,
        "edited": verdict.edited,
        "used": layout is not None,
    }


def _counts(rows: Sequence[Row], painted: Sequence[Any], refused: Journal, entries: Sequence[Row]) -> dict[str, int]:
    sources = Counter(row["source"] for row in rows)
    verdicts = Counter(entry["verdict"] for entry in entries)
    return {
        "prompts": len(rows),
        "from templates": sources["template"],
        "from captions": sources["caption"],
        "reworded": sum("worded_by" in row for row in rows),
        "refused": sum(row["id"] in refused for row in rows),
        "painted": len(painted),
        "grounded": len(entries),
        "accepted": verdicts["accept"],
        "fixed": verdicts["fix"],
        "rejected": verdicts["reject"],
        "undecided": verdicts["?"],
        "used": sum(entry["used"] for entry in entries),
    }


def _licences(painted: Sequence[tuple[Row, Mapping[str, Any]]], captions: Path | None) -> dict[str, str]:
    """What to heed before publishing. These are notes, not advice of a lawyer."""
    painters = sorted({made["painter"] for _, made in painted})
    notes = {
        "template prompts": "made by scenograph (Apache-2.0); worded anew: the terms of the model named in worded_by",
        "pictures": f"the terms of their painter: {', '.join(painters)}",
        "boxes": "made by the grounder named in every row; its own terms",
    }
    if captions is not None:
        notes["caption prompts"] = f"the terms of {captions.name}; COCO's captions are CC BY 4.0"
    return notes

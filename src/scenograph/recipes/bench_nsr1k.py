"""NSR-1K: planners, and released layouts, on its counting and spatial prompts: `results/nsr1k.json`.

    scenograph bench nsr1k --data DIR|FILE [--planner NAME] [--layouts FILE] [--limit N]

For every method and each kind of prompt: the official scores (`judging.nsr1k_official`) in percent (MAE in objects),
and the share that our strict rules accept (`judging.nsr1k_strict`). `missed` counts tries without one of the objects.
Intervals resample prompts. Prompts whose truth the caption does not tell (`judging.nsr1k_captions`) are listed in the
row "unknowable", and the row "knowable" leaves them out; the headline has all.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, TypeVar

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import Tally, resamples
from scenograph.judging.nsr1k import (
    Answer,
    CountingRow,
    Prompts,
    SpatialRow,
    answer_of,
    find_prompts,
    read_layouts,
)
from scenograph.judging.nsr1k_captions import unknowable
from scenograph.judging.nsr1k_official import official_counting, official_spatial
from scenograph.judging.nsr1k_strict import strict_counting, strict_spatial
from scenograph.judging.results import commit, write_results
from scenograph.planning.plan import Planner
from scenograph.recipes.asking import ASKING, Asked, answers_file, ask

__all__ = ["Method", "run", "score_counting", "score_spatial"]

_KINDS = ("single-category", "two-categories", "comparison", "real", "template", "natural")
_Row = TypeVar("_Row", CountingRow, SpatialRow)
Scores = Mapping[str, Sequence[float]]
"""Metric → its values over the tries at one prompt."""


@dataclass(frozen=True, kw_only=True)
class Method:
    """A planner to run: its name, how to make it, and the options that it is made with."""

    name: str
    make: Callable[[], Planner]
    options: Mapping[str, Any] = field(default_factory=dict)

    @property
    def label(self) -> str:
        """What rows call it: with the language model's name, where it has one."""
        model = self.options.get("model")
        return f"{self.name} {Path(str(model)).name}" if model else self.name


def run(
    *,
    data: Path,
    out: Path,
    method: Method | None = None,
    layouts: Sequence[Path] = (),
    limit: int | None = None,
    tries: int = 1,
    seed: int = 0,
    folder: Path = Path("runs/bench_nsr1k"),
    command: str = "scenograph bench nsr1k",
    progress: bool = True,
) -> dict[str, Any]:
    """Score released layouts and run a planner, write the results file and return its content.

    tries: layouts of each prompt, from seeds seed, seed + 1, …; the official figures have 5.

    Raises:
        ResultError: a file is not of NSR-1K.
        PlanError: the planner cannot be made or stopped answering; what it answered is kept.
    """
    revision = commit()
    prompts = find_prompts(data).part(limit)
    rows: list[dict[str, Any]] = []
    for path in layouts:
        rows += _released_rows(path, prompts)
    if method is not None:
        path = answers_file(folder, method.name, method.options)
        texts = [row.prompt for row in prompts.counting] + [row.prompt for row in prompts.spatial]
        keys = [(text, seed + i) for text in texts for i in range(tries)]
        asked = ask(method.make, keys, path, resume=method.name in ASKING, progress=progress)
        rows += _planned_rows(method.label, prompts, asked, tries)
    what = "NSR-1K, layouts against prompts: the official scores and our strict one"
    return write_results(out, what=what, command=command, seed=seed, rows=rows, revision=revision)


def _released_rows(path: Path, prompts: Prompts) -> list[dict[str, Any]]:
    """Tries are matched to prompts by number and text: counting and spatial prompts share numbers."""
    answers = read_layouts(path)
    counting, spatial = _tries(prompts.counting, answers), _tries(prompts.spatial, answers)
    if not counting and not spatial:
        raise ResultError(f"{path}: has no layout for any of the prompts; expected layouts of the same half")
    name = path.name.removesuffix(".json")
    return [*score_counting(name, counting), *score_spatial(name, spatial)]


def _tries(rows: Sequence[_Row], answers: Sequence[Answer]) -> list[tuple[_Row, list[Answer]]]:
    by_prompt: dict[tuple[int, str], list[Answer]] = {(row.id, row.prompt.strip()): [] for row in rows}
    for answer in answers:
        by_prompt.get((answer.id, (answer.prompt or "").strip()), []).append(answer)
    return [(row, tries) for row in rows if (tries := by_prompt[row.id, row.prompt.strip()])]


def _planned_rows(name: str, prompts: Prompts, asked: Sequence[Asked], tries: int) -> list[dict[str, Any]]:
    rows: list[CountingRow | SpatialRow] = [*prompts.counting, *prompts.spatial]
    answers = [
        Answer(id=row.id) if one.plan is None else answer_of(one.plan.layout, row.id)
        for row, one in zip((row for row in rows for _ in range(tries)), asked, strict=True)
    ]
    parts = [answers[i : i + tries] for i in range(0, len(answers), tries)]
    counted = len(prompts.counting)
    return [
        *score_counting(name, list(zip(prompts.counting, parts[:counted], strict=True))),
        *score_spatial(name, list(zip(prompts.spatial, parts[counted:], strict=True))),
        _effort(name, asked),
    ]


def _effort(name: str, asked: Sequence[Asked]) -> dict[str, Any]:
    """What was understood, what failed, and what it took."""
    plans = [one.plan for one in asked if one.plan is not None]
    row: dict[str, Any] = {
        "name": f"{name}/planner",
        "n": len(asked),
        "failed": len(asked) - len(plans),
        "understood": 100 * sum(not plan.unparsed for plan in plans) / max(1, len(asked)),
        "changed": sum(bool(plan.changes) for plan in plans),
    }
    used = [plan.usage for plan in plans if plan.usage is not None]
    for key in ("requests", "tokens_in", "tokens_out", "cost"):
        values = [value for usage in used if (value := getattr(usage, key)) is not None]
        if values:
            row[key] = sum(values)
    return row


def score_counting(name: str, tries: Sequence[tuple[CountingRow, Sequence[Answer]]]) -> list[dict[str, Any]]:
    """Rows "name/counting", one for each kind, and those whose truth the caption tells, or does not tell."""
    if not tries:
        return []
    scores = [_counting_scores(row, answers) for row, answers in tries]
    parts = {"": list(range(len(tries))), **_parts([row.kind for row, _ in tries])}
    return _all_scored(f"{name}/counting", [row for row, _ in tries], scores, parts)


def _counting_scores(row: CountingRow, answers: Sequence[Answer]) -> Scores:
    scores: dict[str, list[float]] = {}
    for answer in answers:
        for metric, value in official_counting(row, answer.objects).items():
            scores.setdefault(metric, []).append(value if metric == "mae" else 100 * value)
        strict = strict_counting(row, answer.objects, _category_of())
        scores.setdefault("strict", []).append(100.0 * strict)
    return scores


def score_spatial(name: str, tries: Sequence[tuple[SpatialRow, Sequence[Answer]]]) -> list[dict[str, Any]]:
    """Rows "name/spatial", one for each kind, one for each relation, and told or not told by the caption."""
    if not tries:
        return []
    scores = [_spatial_scores(row, answers) for row, answers in tries]
    parts = {"": list(range(len(tries))), **_parts([row.kind for row, _ in tries])}
    parts |= _parts([row.relation for row, _ in tries])
    return _all_scored(f"{name}/spatial", [row for row, _ in tries], scores, parts)


def _spatial_scores(row: SpatialRow, answers: Sequence[Answer]) -> Scores:
    official = [official_spatial(row, answer.objects) for answer in answers]
    return {
        "accuracy": [100.0 * bool(one) for one in official],
        "strict": [100.0 * strict_spatial(row, answer.objects, _category_of()) for answer in answers],
        "missed": [float(one is None) for one in official],
    }


def _all_scored(
    name: str, rows: Sequence[CountingRow | SpatialRow], scores: Sequence[Scores], parts: dict[str, list[int]]
) -> list[dict[str, Any]]:
    """The parts, then what the captions tell and what they do not; the first row lists what is wrong in any try."""
    reasons = {i: reason for i, row in enumerate(rows) if (reason := unknowable(row, _category_of()))}
    parts |= {"/knowable": [i for i in range(len(rows)) if i not in reasons], "/unknowable": list(reasons)}
    scored = [_scored(f"{name}{part}", [scores[i] for i in chosen]) for part, chosen in parts.items()]
    scored[0] |= {
        f"wrong_{metric}": [rows[i].id for i, one in enumerate(scores) if min(one[metric]) < 100]
        for metric in ("accuracy", "strict")
    }
    scored[-1]["reasons"] = {str(rows[i].id): reason for i, reason in reasons.items()}
    return scored


def _parts(names: Sequence[str]) -> dict[str, list[int]]:
    """ "/name" → the places where it stands, known kinds in their order."""
    order = sorted(dict.fromkeys(names), key=lambda name: _KINDS.index(name) if name in _KINDS else len(_KINDS))
    return {f"/{name}": [i for i, one in enumerate(names) if one == name] for name in order}


def _scored(name: str, scores: Sequence[Scores]) -> dict[str, Any]:
    """Means over all tries, with intervals over prompts; a part without prompts has no metrics."""
    row: dict[str, Any] = {"name": name, "n": len(scores)}
    if not scores:
        return row
    weights_RN = resamples(len(scores))
    for metric in ("accuracy", "strict", "precision", "recall", "iou", "mae"):
        if any(metric in one for one in scores):
            estimate = Tally.of(one.get(metric, ()) for one in scores).estimate(weights_RN)
            low, high = estimate.interval
            top = float("inf") if metric == "mae" else 100.0  # centring an interval may push it over the end
            row |= {metric: estimate.value, f"{metric}_ci": [max(low, 0.0), min(high, top)]}
    if any("missed" in one for one in scores):
        row["missed"] = int(sum(sum(one["missed"]) for one in scores))
    return row


def _category_of() -> Callable[[str], str | None]:
    from scenograph.planning.grammar import coco_name

    return coco_name

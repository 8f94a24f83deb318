"""A planner on T2I-CompBench's prompts: what it understands, what its layouts keep, how fast: `results/planning.json`.

    scenograph bench planning --data DIR|FILE [--planner NAME] [--labels FILE] [--limit N]

A category is a file of prompts (`spatial_train.txt`). Rows, in percent unless they say otherwise:

* of a category: prompts understood with nothing left over; stated relations, counts and whole statements that the
  layout keeps by `judging.statement`; for three categories the benchmark's own score, taken on the layout as if every
  instance had been detected perfectly (`judging.compbench`);
* "labels": precision, recall and F1 against prompts labelled by hand (`judging.labels`), the share read fully right,
  and Acc: layouts that keep the label's statement, with nothing added (MIGLoRA, `judging.correction`);
* "reacc": layouts that were right, broken on purpose and given back, that come back right by the label;
* "speed": prompts a second on one core, the best of several rounds over all prompts.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from scenograph.errors import PlanError, ResultError
from scenograph.judging.bootstrap import Tally, resamples
from scenograph.judging.compbench import (
    asked_counts,
    asked_relation,
    numeracy_score,
    spatial_3d_score,
    spatial_score,
)
from scenograph.judging.correction import Broken, reaccuracy, right
from scenograph.judging.labels import PARTS, Label, agreement, fingerprint, pooled, read_labels
from scenograph.judging.results import commit, write_results
from scenograph.judging.statement import Statement, check
from scenograph.judging.subsets import spread
from scenograph.layout import Layout
from scenograph.planning.plan import Plan, Planner
from scenograph.recipes.asking import ASKING, Asked, answers_file, ask
from scenograph.recipes.bench_nsr1k import Method

__all__ = ["LABELS", "compbench_score", "read_categories", "run"]

LABELS = Path("benchmarks/t2i_compbench_labels.jsonl")
Row = dict[str, Any]


@dataclass(frozen=True, kw_only=True)
class _Labelled:
    """A hand label and what the planner made of its prompt."""

    label: Label
    asked: Asked


def run(
    *,
    data: Path,
    out: Path,
    method: Method,
    labels: Path | None = None,
    limit: int | None = None,
    seed: int = 0,
    rounds: int = 3,
    folder: Path = Path("runs/bench_planning"),
    command: str = "scenograph bench planning",
    progress: bool = True,
) -> dict[str, Any]:
    """Plan every prompt, write the results file and return its content.

    Args:
        labels: their prompts are planned whatever the limit; labels of prompts that are not in the data are left out.
        rounds: of timing; planners that ask somebody are not timed.

    Raises:
        ResultError: there are no prompts, or a file cannot be read.
        PlanError: the planner cannot be made or stopped answering; what it answered is kept.
    """
    revision = commit()
    categories = read_categories(data)
    by_mark = {fingerprint(prompt): prompt for prompts in categories.values() for prompt in prompts}
    known = [one for one in (read_labels(labels) if labels else ()) if one.sha256 in by_mark]
    chosen = {name: spread(prompts, limit) for name, prompts in categories.items()}
    texts = list(dict.fromkeys([p for ps in chosen.values() for p in ps] + [by_mark[one.sha256] for one in known]))
    answers = answers_file(folder, method.name, method.options)
    asking = method.name in ASKING
    asked = ask(method.make, [(t, seed) for t in texts], answers, resume=asking, progress=progress)
    by_prompt = {one.prompt: one for one in asked}
    rows = [_category_row(method, name, [by_prompt[p] for p in prompts]) for name, prompts in chosen.items()]
    rows.append(_category_row(method, "all", [by_prompt[p] for prompts in chosen.values() for p in prompts]))
    labelled = [_Labelled(label=one, asked=by_prompt[by_mark[one.sha256]]) for one in known]
    rows += _label_rows(method, labelled)
    rows += _correction_rows(method, labelled, seed)
    if rounds and not asking:
        rows.append(_speed_row(method, [p for prompts in chosen.values() for p in prompts], rounds))
    what = "A planner on T2I-CompBench prompts: understood, kept, right by hand labels, corrected, speed"
    return write_results(out, what=what, command=command, seed=seed, rows=rows, revision=revision)


def read_categories(path: str | Path) -> dict[str, list[str]]:
    """Category → its prompts, of a file or of all .txt files in a folder; "spatial_train.txt" is "spatial".

    Raises:
        ResultError: there is no prompt, or a file cannot be read.
    """
    place = Path(path)
    files = sorted(place.glob("*.txt")) if place.is_dir() else [place]
    categories: dict[str, list[str]] = {}
    for file in files:
        try:
            lines = file.read_text(encoding="utf-8-sig").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ResultError(f"{file}: cannot be read ({error}); expected one prompt a line") from None
        name = file.stem.removesuffix("_train").removesuffix("_val")
        categories.setdefault(name, []).extend(line.strip() for line in lines if line.strip())
    if not any(categories.values()):
        raise ResultError(f"{place}: holds no prompt; expected .txt files of T2I-CompBench, one prompt a line")
    return categories


def compbench_score(category: str, prompt: str, layout: Layout) -> float | None:
    """The benchmark's score of a layout, 0 to 1; None for categories that boxes do not decide, or unknown wordings."""
    if category in ("spatial", "3d_spatial"):
        asked = asked_relation(prompt, deep=category == "3d_spatial")
        score = spatial_3d_score if category == "3d_spatial" else spatial_score
        return None if asked is None else score(layout, asked, aliases={})
    counts = asked_counts(prompt) if category == "numeracy" else ()
    return numeracy_score(layout, counts, aliases={}) if counts else None


def _category_row(method: Method, category: str, asked: Sequence[Asked]) -> Row:
    plans = [one.plan for one in asked]
    row: Row = {"name": f"{method.label}/{category}", "n": len(asked), "failed": plans.count(None)}
    if not asked:
        return row
    stated = [None if plan is None or plan.statement is None else plan for plan in plans]
    metrics: dict[str, Tally] = {}
    if any(stated):
        metrics["understood"] = Tally.of([p is not None and not p.unparsed] for p in plans)
        checks = [None if p is None else check(p.statement or Statement(), p.layout) for p in stated]
        metrics["relations"] = Tally.of([] if c is None else c.relations for c in checks)
        metrics["counts"] = Tally.of([] if c is None else (*c.counts, *c.comparisons, *c.absent) for c in checks)
        metrics["kept"] = Tally.of([c is not None and c.strict] for c in checks)
        row |= {f"{m}_stated": int(metrics[m].count_N.sum()) for m in ("relations", "counts")}
    scores = [None if one.plan is None else compbench_score(category, one.prompt, one.plan.layout) for one in asked]
    if any(score is not None for score in scores):
        metrics["score"] = Tally.of([] if score is None else [score] for score in scores)
    return row | _percent(metrics, len(asked))


def _percent(metrics: Mapping[str, Tally], prompts: int) -> Row:
    weights_RN = resamples(prompts)
    row: Row = {}
    for name, tally in metrics.items():
        estimate = tally.estimate(weights_RN)
        low, high = estimate.interval  # centring may push it over the end
        row |= {name: 100 * estimate.value, f"{name}_ci": [max(100 * low, 0.0), min(100 * high, 100.0)]}
    return row


def _label_rows(method: Method, labelled: Sequence[_Labelled]) -> list[Row]:
    """All labels, those that nobody argues with, and each file."""
    parts: dict[str, list[_Labelled]] = {"": list(labelled), "/unargued": [x for x in labelled if not x.label.argued]}
    for file in dict.fromkeys(x.label.file for x in labelled):
        name = Path(file).stem.removesuffix("_train").removesuffix("_val")
        parts[f"/{name}"] = [x for x in labelled if x.label.file == file]
    return [_label_row(f"{method.label}/labels{part}", chosen) for part, chosen in parts.items() if chosen]


def _label_row(name: str, labelled: Sequence[_Labelled]) -> Row:
    row: Row = {"name": name, "n": len(labelled)}
    acc = Tally.of([x.asked.plan is not None and right(x.asked.plan.layout, x.label.statement)] for x in labelled)
    metrics = {"acc": acc}
    if any(x.asked.plan is not None and x.asked.plan.statement is not None for x in labelled):
        read = [(x.asked.plan and x.asked.plan.statement) or Statement() for x in labelled]
        agreements = [agreement(one, x.label.statement) for one, x in zip(read, labelled, strict=True)]
        for part in PARTS:
            values = pooled(agreements, part)
            row |= {f"{part}_{m}": 100 * v for m, v in zip(("precision", "recall", "f1"), values, strict=True)}
        row["counts"] = row.pop("counts_precision")  # given the noun, so that all three are one number
        del row["counts_recall"], row["counts_f1"]
        metrics["exact"] = Tally.of([one.exact] for one in agreements)
        row["wrong"] = [
            f"{x.label.file}:{x.label.line}" for x, a in zip(labelled, agreements, strict=True) if not a.exact
        ]
    return row | _percent(metrics, len(labelled))


def _correction_rows(method: Method, labelled: Sequence[_Labelled], seed: int) -> list[Row]:
    """ReAcc of our repair: it is told what the planner read, and judged by the label."""
    from scenograph.planning.repair import repair

    def corrected(broken: Broken, label: Statement) -> object:
        return repair(broken, statement=read[id(label)], caption=broken["caption"]).layout

    kept = [(x.label.statement, x.asked.plan) for x in labelled if x.asked.plan is not None]
    items = [(label, plan.layout) for label, plan in kept if right(plan.layout, label)]
    read = {id(label): plan.statement for label, plan in kept}
    outcomes = reaccuracy(items, corrected, seed=seed)
    rows = []
    for way in ("", *dict.fromkeys(one.way for one in outcomes)):
        chosen = [one for one in outcomes if way in ("", one.way)]
        if chosen:
            by_item = [[o.right for o in chosen if o.item == i] for i in range(len(items))]
            name = f"{method.label}/reacc{'/' * bool(way)}{way}"
            rows.append({"name": name, "n": len(chosen), **_percent({"reacc": Tally.of(by_item)}, len(items))})
    return rows


def _speed_row(method: Method, prompts: Sequence[str], rounds: int) -> Row:
    """Prompts a second, best and [slowest, fastest] of all rounds: neighbours on the machine only ever slow it down."""
    started = time.perf_counter()
    planner = method.make()
    _plan_all(planner, prompts[:1])
    start = time.perf_counter() - started
    speeds = [len(prompts) / _seconds(lambda: _plan_all(planner, prompts)) for _ in range(rounds)]
    return {
        "name": f"{method.label}/speed",
        "n": len(prompts),
        "prompts_per_second": max(speeds),
        "prompts_per_second_ci": [min(speeds), max(speeds)],
        "rounds": [round(speed, 1) for speed in speeds],
        "seconds_to_first": start,
    }


def _seconds(work: Callable[[], None]) -> float:
    started = time.perf_counter()
    work()
    return time.perf_counter() - started


def _plan_all(planner: Planner, prompts: Iterable[str]) -> None:
    for prompt in prompts:
        _plan(planner, prompt)


def _plan(planner: Planner, prompt: str) -> Plan | None:
    try:
        return planner.plan(prompt)
    except PlanError:
        return None

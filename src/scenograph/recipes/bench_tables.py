"""The tables of documents, rendered from results files: which file holds them, and which columns they show.

`FILES` says for every results file what it renders to; a test holds the README to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenograph.judging.results import read_results, render_rows, update_readme

__all__ = [
    "FILES",
    "PLANNING_MARKERS",
    "echogen_tables",
    "folded",
    "goal_tables",
    "guidance_tables",
    "leak_tables",
    "nsr1k_tables",
    "painting_tables",
    "parsing_tables",
    "planning_tables",
    "speed_tables",
    "write_tables",
]

Content = Mapping[str, Any]

_PAIRED = "Paired differences with 95 % intervals"
_GUIDANCE = {
    "ap": "AP",
    "ap50": "AP50",
    "ap50_share": "AP50, % of drawn",
    "mean_iou": "mean IoU",
    "clip_s": "CLIP-s",
    "attributes": "attributes",
    "world_fid": "world-FID",
    "seconds": "s / picture",
}
_HALVES = {
    "found_seen": "found, seen",
    "found_held_out": "found, held out",
    "attributes_detected_seen": "attributes, seen",
    "attributes_detected_held_out": "attributes, held out",
}
_GOAL = {
    "colour": "colour",
    "shape": "shape",
    "texture": "texture",
    "spatial": "spatial",
    "numeracy": "numeracy",
    "complex": "complex",
    "ap": "AP",
    "clip_s": "CLIP-s",
    "seconds": "s / picture",
}
_GOAL_NAMES = {"goal": "GOAL, all trainings", "ldm": "L_LDM alone, all trainings"}
_ECHOGEN = {
    "ap": "AP",
    "ap50": "AP50",
    "ap75": "AP75",
    "world_fid": "world-FID ↓",
    "clip_s": "CLIP-s",
    "spatial": "spatial",
    "colour": "colour",
    "texture": "texture",
    "shape": "shape",
}
_GROUNDING = {"acc50": "Acc@0.5", "acc75": "Acc@0.75", "acc90": "Acc@0.9", "macc": "mAcc"}
_LEAK = {
    "acc50": "Acc@0.5",
    "macc": "mAcc",
    "box_loss": "box loss alone",
    "box_loss_shared": "in the sequence",
    "image_loss": "image loss",
    "minutes": "min",
}
_PARSING = {
    "acc": "Acc",
    "quality": "Quality",
    "reacc": "ReAcc",
    "reacc_blank": "without the layout",
    "reacc_moved": "moved",
    "reacc_swapped": "swapped",
    "reacc_dropped": "dropped",
    "reacc_doubled": "doubled",
}
_ECHO = {
    "mean_iou": "IoU of what it painted, judge A",
    "reward": "the same by the model itself on its image tokens, its reward",
}
_NSR1K = {
    "counting": {
        "n": "prompts",
        "accuracy": "accuracy",
        "strict": "strict",
        "precision": "precision",
        "recall": "recall",
        "iou": "IoU",
        "mae": "MAE",
    },
    "spatial": {"n": "prompts", "accuracy": "accuracy", "strict": "strict", "missed": "missed"},
}
_RELATIONS = ("/left", "/right", "/top", "/bottom", "/next to")
_PLANNING = {
    "planning": {
        "n": "prompts",
        "understood": "understood",
        "relations": "relations kept",
        "counts": "counts kept",
        "kept": "all kept, no extras",
        "score": "T2I-CompBench score",
    },
    "planning-labels": {
        "n": "prompts",
        "objects_f1": "objects F1",
        "counts": "counts",
        "attributes_f1": "attributes F1",
        "relations_f1": "relations F1",
        "exact": "fully right",
        "acc": "Acc",
    },
    "planning-reacc": {"n": "broken layouts", "reacc": "ReAcc"},
    "planning-speed": {"n": "prompts", "prompts_per_second": "prompts / s"},
}
PLANNING_MARKERS = tuple(_PLANNING)
"""Markers of the tables of `bench planning`."""
_DIGITS = {"clip_s": 3, "ap50_share": 0, "seconds": 2, "n": 0, "missed": 0, "mae": 3, "prompts_per_second": 0}
_DIGITS |= dict.fromkeys(("box_loss", "box_loss_shared", "image_loss"), 3) | {"minutes": 0}
_DIGITS |= dict.fromkeys(("accuracy", "precision", "recall", "iou"), 2)  # as LayoutGPT prints them


def guidance_tables(content: Content) -> dict[str, str]:
    """Marker → table of every set: the methods, instances apart for held-out combinations, paired differences."""
    sets = dict.fromkeys(str(row["name"]).partition("/")[0] for row in content["rows"])
    return {f"winwinlay-{name}": _guidance_table(content["rows"], f"{name}/") for name in sets}


def _guidance_table(rows: Sequence[Mapping[str, Any]], prefix: str) -> str:
    ours = [{**row, "name": row["name"].removeprefix(prefix)} for row in rows if row["name"].startswith(prefix)]
    chosen = [row for row in ours if " − " not in row["name"]]
    text = _table(chosen, _GUIDANCE)
    columns = {metric: _GUIDANCE[metric] for metric in ("ap", "ap50", "mean_iou", "clip_s", "attributes", "world_fid")}
    differences = _differences([{**row, "name": _without_options(row["name"])} for row in ours], columns)
    if all(any(metric in row for row in chosen) for metric in _HALVES):
        row = next(row for row in chosen if "instances_held_out" in row)
        text += (
            "\n\nInstances whose noun, colour and texture are asked for together, apart for combinations that painters "
            f"have been trained on (seen, {row['instances_seen']}) and have not (held out, "
            f"{row['instances_held_out']}); attributes of what is not found are wrong:\n\n{_table(chosen, _HALVES)}"
        )
    return "\n\n".join(part for part in (text, differences) if part)


def _without_options(pair: str) -> str:
    """ "a:r=0.2 − b:eta=1" → "a − b, options chosen"."""
    bare = " − ".join(name.partition(":")[0] for name in pair.split(" − "))
    return bare if ":" not in pair else f"{bare}, options chosen"


def speed_tables(content: Content) -> dict[str, str]:
    """One marker: what single steps cost, and their ratios beside the goals."""
    steps = [{**row, "megabytes": row["bytes"] / 1e6} for row in content["rows"] if "seconds" in row]
    ratios = _missed([row for row in content["rows"] if "ratio" in row])
    parts = [
        _table(steps, {"seconds": "seconds [fastest, slowest]", "megabytes": "MB kept for backward"}),
        _table(ratios, {"ratio": "times [least, most]", "goal": "goal"}),
    ]
    return {"speed_guidance": "\n\n".join(part for part in parts if part)}


def painting_tables(content: Content) -> dict[str, str]:
    """One marker: seconds of a whole picture."""
    table = _table(_missed(content["rows"]), {"seconds": "seconds [fastest, slowest]", "goal": "goal"})
    return {"speed_painting": table}


def _missed(rows: Sequence[Mapping[str, Any]]) -> list[Mapping[str, Any]]:
    """Goals that were not met say so."""
    return [{**row, "goal": f"{row['goal']}, missed"} if row.get("met") is False else row for row in rows]


def goal_tables(content: Content) -> dict[str, str]:
    """One table: T2I-CompBench's columns of every row, then how much of a base's errors is removed."""
    rows = [{**row, "name": _GOAL_NAMES.get(row["name"], row["name"])} for row in content["rows"]]
    values = [row for row in rows if " − " not in row["name"] and not row["name"].startswith("errors of")]
    removed = [row for row in rows if row["name"].startswith("errors of")]
    text = _table(values, _GOAL)
    if removed:
        bound = {column: _GOAL[column] for column in ("colour", "shape", "texture")}
        text += f"\n\nPercent of errors removed:\n\n{_table(removed, bound)}"
    words = str(content["command"]).split()
    table = f"table-{words[words.index('--table') + 1]}" if "--table" in words else "small-world"
    return {f"goal-{table}": text}


def echogen_tables(content: Content) -> dict[str, str]:
    """One marker: what was painted; what was grounded, beside the reward; paired differences, or "inconclusive"."""
    values = [row for row in content["rows"] if " − " not in row["name"]]
    grounding = [row for row in values if "macc" in row]
    parts = [_table([_narrow(row, "ap_ci") for row in values], _ECHOGEN)]
    parts += [_table([_narrow(row, "macc_ci") for row in grounding], {**_GROUNDING, **_ECHO})]
    parts += [_differences(content["rows"], {**_ECHOGEN, "reward": "reward", "macc": "mAcc"})]
    words = str(content["command"]).split()
    table = words[words.index("--table") + 1] if "--table" in words else "main"
    marker = "echogen-small-world" if table == "main" else f"echogen-{table}"
    return {marker: "\n\n".join(part for part in parts if part)}


def leak_tables(content: Content) -> dict[str, str]:
    """One marker: every way to share the image tokens, all its trainings together, and paired differences."""
    pooled = [row for row in content["rows"] if "trainings" in row]
    columns = {metric: heading for metric, heading in _LEAK.items() if metric != "minutes"}
    parts = [_table(pooled, _LEAK), _differences(content["rows"], columns)]
    return {"echogen-leak": "\n\n".join(part for part in parts if part)}


def parsing_tables(content: Content) -> dict[str, str]:
    """One marker: Acc, Quality and ReAcc, in all and by what was wrong."""
    kept = ("acc_ci", "quality_ci", "reacc_ci", "reacc_blank_ci")
    return {"echogen-parsing": _table([_narrow(row, *kept) for row in content["rows"]], _PARSING)}


def _differences(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    """Paired differences; one whose interval holds 0 is inconclusive."""
    found = []
    for row in rows:
        if " − " in row["name"]:
            cells = {m: _difference(row[m], row.get(f"{m}_ci"), _DIGITS.get(m, 1)) for m in columns if m in row}
            found.append({"name": row["name"], **cells})
    table = _table(found, columns)
    return table and f"{_PAIRED}:\n\n{table}"


def _difference(value: float, interval: Sequence[float | None] | None, digits: int) -> str:
    if interval is None or None in interval:
        return f"{value:+.{digits}f}"
    low, high = (float(end or 0.0) for end in interval)
    text = f"{value:+.{digits}f} [{low:+.{digits}f}, {high:+.{digits}f}]"
    return f"{text}, inconclusive" if low <= 0 <= high else text


def nsr1k_tables(content: Content) -> dict[str, str]:
    """Counting and spatial prompts: official and strict scores of every method, for each kind of prompt."""
    tables = {}
    for task, columns in _NSR1K.items():
        rows = [
            {**_narrow(row, "accuracy_ci", "strict_ci"), "name": f"{name}, {kind.removeprefix('/') or 'all'}"}
            for row in content["rows"]
            for name, found, kind in [str(row["name"]).partition(f"/{task}")]
            if found and row["n"] and kind not in ("/knowable", *_RELATIONS)
        ]
        tables[f"nsr1k-{task}"] = _table([row for row in rows if not row["name"].endswith(", unknowable")], columns)
    return {marker: table for marker, table in tables.items() if table}


def _narrow(row: Mapping[str, Any], *kept: str) -> dict[str, Any]:
    """Intervals of the headline scores only; the file has all."""
    return {k: v for k, v in row.items() if not k.endswith("_ci") or k in kept}


def planning_tables(content: Content) -> dict[str, str]:
    """Categories of prompts; agreement with hand labels; broken layouts corrected; speed."""
    groups: dict[str, list[Mapping[str, Any]]] = {marker: [] for marker in PLANNING_MARKERS}
    for row in content["rows"]:
        name, _, part = str(row["name"]).partition("/")
        first, _, rest = part.partition("/")
        marker = f"planning-{first}" if f"planning-{first}" in groups else "planning"
        groups[marker].append({**row, "name": f"{name}, {(part if marker == 'planning' else rest) or 'all'}"})
    tables = {marker: _table(rows, _PLANNING[marker]) for marker, rows in groups.items()}
    return {marker: table for marker, table in tables.items() if table}


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    there = {metric: heading for metric, heading in columns.items() if any(metric in row for row in rows)}
    return render_rows(rows, there, digits={**_DIGITS, "ratio": 2, "megabytes": 0}) if rows else ""


FILES: dict[str, Callable[[Content], dict[str, str]]] = {
    "winwinlay_small_world.json": guidance_tables,
    "speed_guidance.json": speed_tables,
    "speed_painting.json": painting_tables,
    "goal_small_world.json": goal_tables,
    "goal_table_5.json": goal_tables,
    "goal_table_6.json": goal_tables,
    "goal_table_7.json": goal_tables,
    "echogen_small_world.json": echogen_tables,
    "echogen_layouts.json": echogen_tables,
    "echogen_entry.json": echogen_tables,
    "echogen_leak.json": leak_tables,
    "echogen_parsing.json": parsing_tables,
    "nsr1k.json": nsr1k_tables,
    "planning.json": planning_tables,
}
"""Name of a results file → its tables by marker."""


def write_tables(path: str | Path, readme: str | Path, render: Callable[[Content], dict[str, str]]) -> None:
    """Put every table of a results file between its markers. Raises ResultError without them."""
    for marker, table in render(read_results(path)).items():
        update_readme(readme, marker, folded(table))


def folded(tables: str) -> str:
    """As a document shows them: the differences, long and wide, behind a click."""
    head, line, differences = tables.partition(f"{_PAIRED}:\n\n")
    return f"{head}<details><summary>{_PAIRED}</summary>\n\n{differences}\n\n</details>" if line else tables

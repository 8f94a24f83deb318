"""The tables of documents, rendered from results files: which file holds them, and which columns they show.

`FILES` says for every results file what it renders to; a test holds the README to it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from scenograph.judging.results import read_results, render_rows, update_readme

__all__ = ["FILES", "guidance_tables", "speed_tables", "write_tables"]

Content = Mapping[str, Any]

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
_DIGITS = {"clip_s": 3, "ap50_share": 0, "seconds": 2}


def guidance_tables(content: Content) -> dict[str, str]:
    """Marker → table of every set; differences are left out: they are in the file."""
    rows = [row for row in content["rows"] if " − " not in row["name"]]
    sets = dict.fromkeys(str(row["name"]).partition("/")[0] for row in rows)
    return {f"winwinlay-{name}": _guidance_table(rows, f"{name}/") for name in sets}


def _guidance_table(rows: Sequence[Mapping[str, Any]], prefix: str) -> str:
    chosen = [{**row, "name": row["name"].removeprefix(prefix)} for row in rows if row["name"].startswith(prefix)]
    text = _table(chosen, _GUIDANCE)
    if all(any(metric in row for row in chosen) for metric in _HALVES):
        row = next(row for row in chosen if "instances_held_out" in row)
        text += (
            "\n\nInstances whose noun, colour and texture are asked for together, apart for combinations that painters "
            f"have been trained on (seen, {row['instances_seen']}) and have not (held out, "
            f"{row['instances_held_out']}); attributes of what is not found are wrong:\n\n{_table(chosen, _HALVES)}"
        )
    return text


def speed_tables(content: Content) -> dict[str, str]:
    """One marker: what single steps cost, and their ratios beside the goals."""
    steps = [{**row, "megabytes": row["bytes"] / 1e6} for row in content["rows"] if "seconds" in row]
    ratios = [row for row in content["rows"] if "ratio" in row]
    parts = [
        _table(steps, {"seconds": "seconds [fastest, slowest]", "megabytes": "MB kept for backward"}),
        _table(ratios, {"ratio": "times [least, most]", "goal": "goal"}),
    ]
    return {"speed_guidance": "\n\n".join(part for part in parts if part)}


def _table(rows: Sequence[Mapping[str, Any]], columns: Mapping[str, str]) -> str:
    there = {metric: heading for metric, heading in columns.items() if any(metric in row for row in rows)}
    return render_rows(rows, there, digits={**_DIGITS, "ratio": 2, "megabytes": 0}) if rows else ""


FILES: dict[str, Callable[[Content], dict[str, str]]] = {
    "winwinlay_small_world.json": guidance_tables,
    "speed_guidance.json": speed_tables,
}
"""Name of a results file → its tables by marker."""


def write_tables(path: str | Path, readme: str | Path, render: Callable[[Content], dict[str, str]]) -> None:
    """Put every table of a results file between its markers. Raises ResultError without them."""
    for marker, table in render(read_results(path)).items():
        update_readme(readme, marker, table)

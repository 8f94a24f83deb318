"""Tables of documents: what they show, and that the README shows what the results files say."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from scenograph.errors import ResultError
from scenograph.judging.results import read_results, write_results
from scenograph.recipes.bench_tables import (
    FILES,
    PLANNING_MARKERS,
    echogen_tables,
    folded,
    guidance_tables,
    leak_tables,
    speed_tables,
    write_tables,
)

ROOT = Path(__file__).parent.parent.parent
HALVES = {
    "found_seen": 60.0,
    "found_held_out": 50.0,
    "attributes_detected_seen": 40.0,
    "attributes_detected_held_out": 30.0,
}


def test_the_readme_shows_what_the_results_say() -> None:
    text = (ROOT / "README.md").read_text(encoding="utf-8")
    shown = dict(re.findall(r"<!-- results:(\S+) -->\n(.*?)<!-- /results:\1 -->", text, flags=re.DOTALL))
    guidance = {"winwinlay-drawn", "winwinlay-coco", "speed_guidance", "speed_painting"}
    goal = {"goal-small-world", "goal-table-5", "goal-table-6", "goal-table-7"}
    echogen = {f"echogen-{table}" for table in ("small-world", "layouts", "leak", "parsing")}
    assert guidance | {"nsr1k-counting", "nsr1k-spatial", *PLANNING_MARKERS, *goal, *echogen} == set(shown)
    rendered: dict[str, str] = {}
    for name, render in FILES.items():
        if (ROOT / "results" / name).exists():
            rendered |= {
                marker: f"{folded(table)}\n" for marker, table in render(read_results(ROOT / "results" / name)).items()
            }
    assert shown == {marker: rendered.get(marker, "") for marker in shown}, "run the bench with --readme README.md"
    assert set(rendered) <= set(shown)


def test_documents_fold_the_differences_and_nothing_else() -> None:
    assert folded("| a |") == "| a |"
    told = folded("| a |\n\nPaired differences with 95 % intervals:\n\n| b |")
    summary = "<details><summary>Paired differences with 95 % intervals</summary>"
    assert told == f"| a |\n\n{summary}\n\n| b |\n\n</details>"  # GitHub reads Markdown between empty lines alone


def test_guidance_tables_have_a_part_for_held_out_combinations() -> None:
    rows = [
        {"name": "drawn/plain", "n": 3, "ap": 1.0, "instances_seen": 9, "instances_held_out": 2, **HALVES},
        {"name": "drawn/a:r=0.2:O=8 − b:eta=1", "n": 3, "ap": 1.0, "ap_ci": [-0.5, 2.5], "ap_share": 7.0},
        {"name": "coco/plain", "n": 3, "ap": 2.0},
    ]
    tables = guidance_tables({"rows": rows})
    assert list(tables) == ["winwinlay-drawn", "winwinlay-coco"]
    assert tables["winwinlay-coco"] == "|  | AP |\n|---|---|\n| plain | 2.0 |"
    first, text, second, told, gaps = tables["winwinlay-drawn"].split("\n\n")
    assert first == "|  | AP |\n|---|---|\n| plain | 1.0 |"
    assert "(seen, 9)" in text and "(held out, 2)" in text
    assert second.splitlines()[2] == "| plain | 60.0 | 50.0 | 40.0 | 30.0 |"
    assert told == "Paired differences with 95 % intervals:"
    assert gaps.splitlines()[2:] == ["| a − b, options chosen | +1.0 [-0.5, +2.5], inconclusive |"]


def test_echogen_tables_name_what_is_inconclusive() -> None:
    stage = {"n": 4, "reward": 70.0, "mean_iou": 60.0, "macc": 40.0, "acc50": 50.0, "macc_ci": [30.0, 50.0]}
    rows = [
        {"name": "plain", "n": 4, "ap": 10.0, "ap_ci": [9.0, 11.0], "mean_iou": 30.0},
        {"name": "1", "ap": 20.0, "ap_ci": [18.0, 22.0], **stage},
        {"name": "1 − plain", "n": 4, "ap": 10.0, "ap_ci": [8.0, 12.0], "clip_s": -0.01, "clip_s_ci": [-0.02, 0.01]},
    ]
    command = "scenograph bench echogen --table main --limit 4"
    (marker,) = (tables := echogen_tables({"rows": rows, "command": command}))
    assert marker == "echogen-small-world"
    painted, grounded, told, gaps = tables[marker].split("\n\n")
    assert painted.splitlines()[2:] == ["| plain | 10.0 [9.0, 11.0] |", "| 1 | 20.0 [18.0, 22.0] |"]
    assert grounded.splitlines()[2:] == ["| 1 | 50.0 | 40.0 [30.0, 50.0] | 60.0 | 70.0 |"]
    assert "95 %" in told
    assert gaps.splitlines()[2:] == ["| 1 − plain | +10.0 [+8.0, +12.0] | -0.010 [-0.020, +0.010], inconclusive |"]
    assert list(echogen_tables({"rows": rows, "command": command.replace("main", "entry")})) == ["echogen-entry"]


def test_leak_tables_show_pooled_rows() -> None:
    rows = [
        {"name": "shared 1", "n": 4, "macc": 30.0},
        {"name": "shared", "n": 4, "trainings": 1, "macc": 30.0, "macc_ci": [20.0, 40.0], "box_loss": 2.5},
        {"name": "shared − two-passes", "n": 4, "macc": -3.0, "macc_ci": [-4.0, -1.0]},
    ]
    text = leak_tables({"rows": rows})["echogen-leak"]
    assert "| shared | 30.0 [20.0, 40.0] | 2.500 |" in text and "shared 1" not in text
    assert "| shared − two-passes | -3.0 [-4.0, -1.0] |" in text


def test_speed_tables(tmp_path: Path) -> None:
    rows = [
        {"name": "CFG step", "n": 3, "seconds": 1.25, "seconds_ci": [1.0, 2.0], "bytes": 3_000_000},
        {"name": "truncated", "n": 3, "ratio": 2.5, "ratio_ci": [2.0, 3.0], "goal": "≥ 2", "met": True},
        {"name": "gradient", "n": 1, "relative_error": 1e-6},
    ]
    path, readme = tmp_path / "speed.json", tmp_path / "README.md"
    write_results(path, what="w", command="c", seed=0, rows=rows)
    readme.write_text("<!-- results:speed_guidance -->\n<!-- /results:speed_guidance -->\n", encoding="utf-8")
    write_tables(path, readme, speed_tables)
    lines = readme.read_text(encoding="utf-8").splitlines()
    assert "| CFG step | 1.25 [1.00, 2.00] | 3 |" in lines
    assert "| truncated | 2.50 [2.00, 3.00] | ≥ 2 |" in lines
    readme.write_text("nothing\n", encoding="utf-8")
    with pytest.raises(ResultError, match="needs exactly one"):
        write_tables(path, readme, speed_tables)

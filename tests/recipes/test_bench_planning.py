"""`scenograph bench planning`: categories, hand labels, correction and speed, with the real grammar planner."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scenograph.errors import PlanError, ResultError
from scenograph.judging.labels import fingerprint
from scenograph.judging.results import read_results
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.grammar_planner import GrammarPlanner
from scenograph.planning.plan import Plan
from scenograph.recipes.bench_nsr1k import Method
from scenograph.recipes.bench_planning import compbench_score, read_categories, run
from scenograph.recipes.bench_tables import PLANNING_MARKERS, planning_tables

Run = Callable[..., tuple[int, str, str]]
PROMPTS = {
    "spatial_train.txt": ["a dog on the left of a cat", "a bird on the top of a car", "a cat near a chair"],
    "numeracy_train.txt": ["two dogs and three cats", "four birds"],
}


def label(file: str, line: int, objects: list[tuple[str, int]], relations: list[list[Any]]) -> dict[str, Any]:
    return {
        "file": file,
        "line": line,
        "sha256": fingerprint(PROMPTS[file][line - 1]),
        "objects": [{"noun": noun, "least": n, "most": n, "attributes": []} for noun, n in objects],
        "relations": relations,
        "settings": [],
        "absent": [],
    }


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "prompts"
    folder.mkdir()
    for name, prompts in PROMPTS.items():
        (folder / name).write_text("\n".join(prompts) + "\n")
    labels = [
        label("spatial_train.txt", 1, [("dog", 1), ("cat", 1)], [["right of", 1, 0]]),
        label("numeracy_train.txt", 1, [("dog", 2), ("cat", 3)], []),
        label("numeracy_train.txt", 2, [("bird", 5)], []),
        {**label("numeracy_train.txt", 2, [("bird", 5)], []), "sha256": "000000000000"},
    ]
    (tmp_path / "labels.jsonl").write_text("\n".join(map(json.dumps, labels)))
    return folder


class Fixed:
    """A planner without statements, that always draws a dog left of a cat, and fails on birds."""

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        if "bird" in prompt:
            raise PlanError("no birds")
        dog, cat = Box(0.1, 0.4, 0.3, 0.6), Box(0.6, 0.4, 0.8, 0.6)
        instances = (Instance(caption="a dog", box=dog), Instance(caption="a cat", box=cat))
        return Plan(layout=Layout(caption=prompt, instances=instances))


def measured(data: Path, method: Method, **options: Any) -> dict[str, dict[str, Any]]:
    folder = data.parent
    content = run(
        data=data,
        out=folder / "out.json",
        method=method,
        labels=folder / "labels.jsonl",
        folder=folder / "runs",
        progress=False,
        **options,
    )
    assert read_results(folder / "out.json")["rows"] == content["rows"]
    return {row["name"]: row for row in content["rows"]}


def test_the_grammar(data: Path) -> None:
    rows = measured(data, Method(name="grammar", make=GrammarPlanner), rounds=2)
    spatial, numeracy = rows["grammar/spatial"], rows["grammar/numeracy"]
    assert (spatial["n"], spatial["relations_stated"], spatial["understood"], spatial["kept"]) == (3, 3, 100, 100)
    assert spatial["score"] == numeracy["score"] == numeracy["counts"] == 100
    assert rows["grammar/all"]["n"] == 5 and rows["grammar/all"]["counts_stated"] == 9
    labels = rows["grammar/labels"]
    assert labels["n"] == 3 and labels["objects_f1"] == labels["relations_f1"] == 100
    assert labels["exact"] == labels["acc"] == pytest.approx(200 / 3, abs=1e-3)
    assert labels["counts"] == 80 and labels["wrong"] == ["numeracy_train.txt:2"]
    assert rows["grammar/reacc"]["reacc"] == 100 and rows["grammar/reacc"]["n"] >= 10
    assert rows["grammar/speed"]["n"] == 5 and len(rows["grammar/speed"]["rounds"]) == 2


def test_a_planner_that_states_nothing_is_judged_by_the_labels(data: Path) -> None:
    rows = measured(data, Method(name="llm", make=Fixed, options={"model": "fixed"}))
    assert rows["llm fixed/spatial"]["failed"] == 1 and "understood" not in rows["llm fixed/spatial"]
    assert rows["llm fixed/labels"]["acc"] == pytest.approx(100 / 3, abs=1e-3)
    assert "exact" not in rows["llm fixed/labels"] and "llm fixed/speed" not in rows
    assert 0 < rows["llm fixed/reacc"]["reacc"] <= 100


def test_the_limit_leaves_labelled_prompts_in(data: Path) -> None:
    rows = measured(data, Method(name="grammar", make=GrammarPlanner), limit=1, rounds=0)
    assert rows["grammar/all"]["n"] == 2 and rows["grammar/labels"]["n"] == 3 and "grammar/speed" not in rows


def test_categories(data: Path, tmp_path: Path) -> None:
    assert list(read_categories(data)) == ["numeracy", "spatial"]
    assert read_categories(data / "spatial_train.txt") == {"spatial": PROMPTS["spatial_train.txt"]}
    (tmp_path / "empty").mkdir()
    with pytest.raises(ResultError, match="holds no prompt"):
        read_categories(tmp_path / "empty")
    with pytest.raises(ResultError, match="cannot be read"):
        read_categories(tmp_path / "none.txt")


def test_compbench_score() -> None:
    layout = Fixed().plan("a dog on the left of a cat").layout
    assert compbench_score("spatial", "a dog on the left of a cat", layout) == 1
    assert compbench_score("spatial", "a dog and a cat", layout) is None
    assert compbench_score("3d_spatial", "a dog behind a cat", layout) == 0.5
    assert compbench_score("numeracy", "one dog and two cats", layout) == 0.75
    assert compbench_score("color", "a red dog", layout) is None


def test_the_command_and_its_tables(run: Run, data: Path, tmp_path: Path) -> None:
    out, readme = tmp_path / "out.json", tmp_path / "README.md"
    readme.write_text("".join(f"<!-- results:{m} -->\n<!-- /results:{m} -->\n" for m in PLANNING_MARKERS))
    words = ("bench", "planning", "--data", data, "--labels", tmp_path / "labels.jsonl", "--out", out)
    status, shown, _ = run(*words, "--run", tmp_path / "runs", "--rounds", 1, "--readme", readme)
    assert status == 0 and str(out) in shown
    tables = planning_tables(read_results(out))
    assert tuple(tables) == PLANNING_MARKERS and all(table in readme.read_text() for table in tables.values())
    assert "| grammar, spatial | 3 | 100.0" in tables["planning"]
    assert tables["planning-labels"].splitlines()[2].startswith("| grammar, all | 3 | 100.0 | 80.0 |")
    assert "| grammar, dropped |" in tables["planning-reacc"]

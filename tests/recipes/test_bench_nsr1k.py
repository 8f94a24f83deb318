"""`scenograph bench nsr1k`: planners and released layouts into one results file, and its tables."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from scenograph.errors import PlanError, ResultError
from scenograph.judging.results import read_results
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.plan import Plan, Planner, Usage
from scenograph.recipes.bench_nsr1k import Method, run
from scenograph.recipes.bench_tables import nsr1k_tables

Run = Callable[..., tuple[int, str, str]]

COUNTING: list[dict[str, Any]] = [
    {"id": 1, "prompt": "two cats", "num_object": [["cat", 2]], "type": "template", "sub-type": "single-category"},
    {"id": 2, "prompt": "one cat with one dog", "num_object": [["cat", 1], ["dog", 1]], "sub-type": "two-categories"},
    {"id": 3, "prompt": "a dog on a bed", "num_object": [["dog", 1], ["bed", 1]], "sub-type": "real"},
    {"id": 4, "prompt": "cats in the sun", "num_object": [["cat", 3]], "sub-type": "real"},
]
SPATIAL: list[dict[str, Any]] = [
    {
        "id": 1,
        "prompt": "a cat to the left of a dog",
        "relation": "left",
        "obj1": ["cat", [0.1, 0.4, 0.2, 0.2]],
        "obj2": ["dog", [0.6, 0.4, 0.2, 0.2]],
        "type": "template",
    }
]
RELEASED = [
    {"query_id": 1, "iter": i, "prompt": "two cats", "object_list": [["cat", [0, 0, 0.4, 0.4]]] * i} for i in range(3)
]


class Rows:
    """A planner that puts one box for every noun it is told of side by side, and knows no beds."""

    def __init__(self, names: dict[str, list[str]] | None = None) -> None:
        self.names = names or {
            "two cats": ["cat", "cat"],
            "one cat with one dog": ["cat", "dog", "dog"],
            "cats in the sun": ["cat", "cat"],
            "a cat to the left of a dog": ["cat", "dog"],
        }

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        if prompt not in self.names:
            raise PlanError("cannot")
        boxes = [Box(i / 10, 0.4, i / 10 + 0.05, 0.5) for i in range(len(self.names[prompt]))]
        named = zip(self.names[prompt], boxes, strict=True)
        layout = Layout(caption=prompt, instances=tuple(Instance(caption=n, box=b) for n, b in named))
        return Plan(layout=layout, unparsed=("sun",) if "sun" in prompt else (), usage=Usage(requests=2))


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "counting.dev.json").write_text(json.dumps(COUNTING))
    (folder / "spatial.dev.json").write_text(json.dumps(SPATIAL))
    (folder / "released.json").write_text(json.dumps(RELEASED))
    return folder


def rows_of(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in content["rows"]}


def test_a_planner(data: Path, tmp_path: Path) -> None:
    rows = rows_of(
        run(
            data=data,
            out=tmp_path / "out.json",
            method=Method(name="rows", make=Rows),
            folder=tmp_path / "runs",
            progress=False,
        )
    )
    assert (rows["rows/counting"]["n"], rows["rows/counting"]["accuracy"]) == (4, 25)
    assert rows["rows/counting/single-category"]["strict"] == 100
    assert rows["rows/counting/two-categories"]["accuracy"] == rows["rows/counting/two-categories"]["strict"] == 0
    assert rows["rows/counting/real"]["mae"] == 1
    assert rows["rows/counting/unknowable"]["reasons"] == {"4": "cat: a plural without a number, there were 3"}
    assert rows["rows/counting/knowable"]["n"] == 3
    assert rows["rows/spatial"]["accuracy"] == rows["rows/spatial/left"]["strict"] == 100
    effort = {"failed": 1, "understood": 60, "changed": 0, "requests": 8, "tokens_in": 0, "tokens_out": 0}
    assert rows["rows/planner"] == {"name": "rows/planner", "n": 5, **effort}
    assert read_results(tmp_path / "out.json")["rows"][0]["accuracy_ci"][0] == 0


def test_released_layouts_are_found_by_number_and_prompt(data: Path, tmp_path: Path) -> None:
    rows = rows_of(run(data=data, out=tmp_path / "out.json", layouts=[data / "released.json"], progress=False))
    assert set(rows) == {f"released/counting{k}" for k in ("", "/single-category", "/knowable", "/unknowable")}
    row = rows["released/counting"]
    assert row["n"] == 1 and row["accuracy"] == row["strict"] == pytest.approx(100 / 3, abs=1e-3)
    (data / "spatial.dev.json").rename(data / "other.json")
    with pytest.raises(ResultError, match="has no layout for any of the prompts"):
        run(data=data / "other.json", out=tmp_path / "out.json", layouts=[data / "released.json"], progress=False)


def test_tries_have_their_own_seeds(data: Path, tmp_path: Path) -> None:
    seeds = []

    class Seeded(Rows):
        def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
            seeds.append(seed)
            return super().plan(prompt, seed=seed)

    method = Method(name="rows", make=Seeded)
    content = run(
        data=data,
        out=tmp_path / "o.json",
        method=method,
        folder=tmp_path,
        limit=1,
        tries=3,
        seed=5,
        progress=False,
    )
    assert seeds == [5, 6, 7] * 2 and rows_of(content)["rows/planner"]["n"] == 6


def test_tables(data: Path, tmp_path: Path) -> None:
    method = Method(name="rows", make=Rows)
    content = run(
        data=data,
        out=tmp_path / "o.json",
        method=method,
        layouts=[data / "released.json"],
        folder=tmp_path,
        progress=False,
    )
    tables = nsr1k_tables(content)
    assert list(tables) == ["nsr1k-counting", "nsr1k-spatial"]
    lines = tables["nsr1k-counting"].splitlines()
    assert [line.split("|")[1].strip() for line in lines[2:]] == [
        *("released, all", "released, single-category"),
        *("rows, all", "rows, single-category", "rows, two-categories", "rows, real"),
    ]
    assert lines[4].startswith("| rows, all | 4 | 25.00 [")
    assert tables["nsr1k-spatial"].splitlines()[2].endswith("| 0 |")


def test_the_command(run: Run, data: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    from scenograph.planning import named

    made: list[dict[str, object]] = []

    def planner(name: str, **options: object) -> Planner:
        made.append({"name": name, **options})
        return Rows()

    monkeypatch.setattr(named, "planner", planner)
    out, folder = tmp_path / "out.json", tmp_path / "runs"
    words = ("bench", "nsr1k", "--data", data, "--out", out, "--run", folder)
    status, shown, _ = run(*words, "--layouts", data / "released.json", "-q", "--json")
    assert status == 0 and not made and json.loads(shown.splitlines()[0])["name"] == "released/counting"
    status, shown, _ = run(
        *words, "--planner", "llm", "--llm", "org/tiny", "--shots", 2, "--layouts", data / "released.json"
    )
    assert status == 0 and made == [{"name": "llm", "model": "org/tiny", "shots": 2}]
    assert "| llm tiny, all | 4 |" in shown and "| released, all | 1 |" in shown
    assert "--llm org/tiny --shots 2" in read_results(out)["command"]
    status, _, _ = run(*words, "--planner", "llm", "--llm", "org/tiny", "--shots", 2)
    assert status == 0 and len(made) == 2  # the one prompt without an answer was asked again
    (kept,) = folder.glob("llm-*.jsonl")
    assert len(kept.read_text().splitlines()) == 6


def test_mistakes_are_one_line(run: Run, data: Path, tmp_path: Path) -> None:
    out = tmp_path / "out.json"
    status, _, err = run("bench", "nsr1k", "--data", data / "released.json", "--out", out)
    assert (status, err.count("\n")) == (2, 1) and "--layouts" in err
    status, _, err = run("bench", "nsr1k", "--data", tmp_path / "nothing", "--out", out)
    assert status == 2 and "nothing" in err
    status, _, err = run("bench", "nsr1k", "--data", data, "--out", tmp_path)
    assert status == 2 and "is a directory" in err

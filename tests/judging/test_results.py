"""Results files and the tables made of them."""

from __future__ import annotations

import json
import math
import subprocess
from pathlib import Path

import pytest

from scenograph.errors import ResultError
from scenograph.judging.results import (
    check_markers,
    check_out,
    commit,
    machine,
    read_results,
    render_rows,
    render_table,
    update_readme,
    write_results,
)

ROWS = [
    {"name": "plain", "n": 3, "ap": 12.3456789, "ap_ci": [10.0, 14.26], "seconds": 1.5},
    {"name": "guided", "n": 3, "ap": 40.0, "ap_ci": (math.nan, math.nan), "note": "best"},
]


def written(path: Path) -> Path:
    write_results(path, what="a test", command="make test", seed=7, rows=ROWS)
    return path


def test_round_trip(tmp_path: Path) -> None:
    path = written(tmp_path / "deep" / "r.json")
    content = read_results(path)
    assert list(content) == ["what", "command", "commit", "seed", "machine", "rows"]
    assert (content["what"], content["command"], content["seed"]) == ("a test", "make test", 7)
    assert content["rows"][0] == {"name": "plain", "n": 3, "ap": 12.3457, "ap_ci": [10.0, 14.26], "seconds": 1.5}
    assert content["rows"][1]["ap_ci"] == [None, None]
    assert [p.name for p in path.parent.iterdir()] == ["r.json"]


def test_machine_and_commit(tmp_path: Path) -> None:
    assert "cores, torch 2" in machine()
    assert commit(tmp_path) == "unknown"


def test_the_commit_is_the_packages_wherever_one_works(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    before = commit()
    monkeypatch.chdir(tmp_path)
    assert commit() == before
    content = write_results(tmp_path / "r.json", what="w", command="c", seed=0, rows=ROWS, revision="at the start")
    assert content["commit"] == "at the start"


def test_only_tracked_files_have_a_commit(tmp_path: Path) -> None:
    def git(*words: str) -> None:
        author = ["-c", "user.name=a", "-c", "user.email=a@example.org"]
        subprocess.run(["git", "-C", str(tmp_path), *author, *words], check=True, capture_output=True)

    package, installed = tmp_path / "package", tmp_path / "installed"
    for folder in (package, installed):
        folder.mkdir()
        (folder / "a.py").write_text("x = 1\n")
    git("init")
    git("add", "package")
    git("commit", "-m", "first")
    clean = commit(package)
    assert len(clean) == 12 and commit(installed) == "unknown"
    (tmp_path / "notes.txt").write_text("elsewhere")
    git("add", "notes.txt")
    assert commit(package) == clean
    (package / "a.py").write_text("x = 2\n")
    assert commit(package) == clean + "+"


def test_out_and_markers_are_checked_ahead(tmp_path: Path) -> None:
    check_out(tmp_path / "new" / "r.json")
    (tmp_path / "file").touch()
    for bad in (tmp_path, tmp_path / "file" / "r.json"):
        with pytest.raises(ResultError, match="cannot write results"):
            check_out(bad)
    readme = tmp_path / "README.md"
    readme.write_text("<!-- results:a --><!-- /results:a -->\n<!-- /results:b --><!-- results:b -->\n")
    check_markers(readme, ["a"])
    with pytest.raises(ResultError, match="exactly one <!-- results:b -->"):
        check_markers(readme, ["a", "b"])


def test_table(tmp_path: Path) -> None:
    table = render_table(written(tmp_path / "r.json"), {"ap": "AP", "seconds": "s"}, digits={"seconds": 2})
    assert table.splitlines() == [
        "|  | AP | s |",
        "|---|---|---|",
        "| plain | 12.3 [10.0, 14.3] | 1.50 |",
        "| guided | 40.0 | – |",
    ]
    assert render_rows(read_results(tmp_path / "r.json")["rows"], {"ap": "AP"}).splitlines()[-1] == "| guided | 40.0 |"
    with pytest.raises(ResultError, match=r"no row has the metric 'fid'; there are: ap, seconds, note"):
        render_table(tmp_path / "r.json", {"fid": "FID"})


def test_readme_is_updated_between_its_markers_only(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("top\n<!-- results:a -->old<!-- /results:a -->\nrest\n")
    assert update_readme(readme, "a", "| new |")
    assert readme.read_text() == "top\n<!-- results:a -->\n| new |\n<!-- /results:a -->\nrest\n"
    assert not update_readme(readme, "a", "| new |")
    with pytest.raises(ResultError, match=r"needs exactly one <!-- results:b -->"):
        update_readme(readme, "b", "| new |")


@pytest.mark.parametrize(
    ("rows", "message"),
    [
        ([], "rows must be a non-empty list"),
        ([{"name": "a", "ap": 1.0}], "every row needs its own name and an n"),
        ([{"name": "a", "n": 1}, {"name": "a", "n": 1}], "every row needs its own name"),
        ([{"name": "a", "n": 1, "ap_ci": [0, 1]}], r"ap_ci must be \[low, high\] beside its metric"),
    ],
)
def test_malformed_rows_are_refused_and_nothing_is_written(
    rows: list[dict[str, object]], message: str, tmp_path: Path
) -> None:
    with pytest.raises(ResultError, match=message):
        write_results(tmp_path / "r.json", what="w", command="c", seed=0, rows=rows)
    assert not list(tmp_path.iterdir())


def test_files_that_are_no_results(tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    with pytest.raises(ResultError, match="cannot read results"):
        read_results(path)
    path.write_text("{")
    with pytest.raises(ResultError, match="cannot read results"):
        read_results(path)
    path.write_text(json.dumps({"rows": []}))
    with pytest.raises(ResultError, match="is not a results file"):
        read_results(path)

"""The drawing speed is counted from scenes that were really drawn."""

from pathlib import Path

from scenograph.judging.results import read_results
from scenograph.recipes import bench_world


def test_rows_and_file(tmp_path: Path) -> None:
    rows = bench_world.run(out=tmp_path / "speed.json", scenes=200)
    assert [(row["name"], row["n"]) for row in rows] == [("1 worker", 200), ("2 workers", 200)]
    assert all(float(row["scenes_per_second"]) > 1 for row in rows)
    assert read_results(tmp_path / "speed.json")["rows"] == rows

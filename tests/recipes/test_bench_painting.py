"""Both ways to a picture are timed, each in its own process or none."""

from pathlib import Path

from scenograph.judging.results import read_results
from scenograph.recipes import bench_painting
from scenograph.recipes.bench_tables import painting_tables


def test_rows_file_and_table(tmp_path: Path) -> None:
    rows = bench_painting.run(out=tmp_path / "speed.json", steps=2, repeats=1, progress=False)
    assert len(rows) == 4 and all(row["seconds"] > 0 for row in rows)  # which is slower, a busy machine may turn round
    assert read_results(tmp_path / "speed.json")["rows"] == rows
    assert "from the command line" in painting_tables(read_results(tmp_path / "speed.json"))["speed_painting"]

"""`bench unified` at a size of seconds: the rows are there and the two samplers draw the same."""

from __future__ import annotations

from pathlib import Path

import pytest

from scenograph.judging.results import read_results
from scenograph.models.embedded import WEIGHTS
from scenograph.recipes import bench_unified


@pytest.mark.skipif(not (WEIGHTS / "tiny-sd" / "tokenizer").exists(), reason="the tokenizer is in training")
def test_it_measures_and_writes(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    small = {"hidden_size": 64, "intermediate_size": 64, "num_hidden_layers": 1}
    monkeypatch.setattr(bench_unified, "_MID", small)
    monkeypatch.setattr(bench_unified, "_BATCHES", (1,))
    monkeypatch.setattr(bench_unified, "_REAL_IMAGE", 32)
    out = tmp_path / "speed.json"
    bench_unified.run(out=out, rounds=1, progress=False)
    rows = {row["name"]: row for row in read_results(out)["rows"]}
    assert rows["training: shared sequence against two passes"]["goal"] == "≥ 1.6"
    assert rows["sampling: tiny-janus, batch 1"]["ratio"] > 0
    assert rows["tiny-janus, batch 1: ours"]["tokens_per_second"] > 0

"""The speed benchmark on a small network: agreement and memory hold at any size, times only at the real one."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch

from scenograph.judging.results import read_results
from scenograph.recipes.bench_speed import BATCH, LAYOUTS, PeerStyle, new_unet, run, step_of
from scenograph.recipes.bench_tables import speed_tables


@pytest.fixture(scope="module")
def measured(tmp_path_factory: pytest.TempPathFactory) -> tuple[dict[str, Any], Path]:
    out = tmp_path_factory.mktemp("bench") / "speed.json"
    return run(out=out, repeats=2, threads=1, config="tiny", progress=False), out


def rows(content: dict[str, Any]) -> dict[str, dict[str, Any]]:
    return {row["name"]: row for row in content["rows"]}


def test_the_file_is_the_answer(measured: tuple[dict[str, Any], Path]) -> None:
    content, out = measured
    assert read_results(out) == content
    assert content["command"] == "OMP_NUM_THREADS=1 scenograph bench speed"
    assert "256 px" in content["what"] and "1 threads" in content["what"]


def test_gradients_and_predictions_agree(measured: tuple[dict[str, Any], Path]) -> None:
    errors = {name: row for name, row in rows(measured[0]).items() if "relative_error" in row}
    assert len(errors) == 3
    assert all(row["met"] and row["goal"] == "≤ 0.00001" for row in errors.values())
    assert all(row["relative_error"] <= 1e-5 for row in errors.values())


def test_the_batch_is_four_different_layouts_of_the_same_size(measured: tuple[dict[str, Any], Path]) -> None:
    assert len(set(LAYOUTS)) == BATCH == 4
    for layout in LAYOUTS:
        assert [(len(group.tokens), len(group.boxes)) for group in layout.groups] == [(2, 1), (1, 1), (1, 2)]
        tokens = [token for group in layout.groups for token in group.tokens]
        assert len(tokens) == len(set(tokens))
    assert step_of(new_unet("tiny"), (32, 32), torch.zeros(4, 77, 32)).tokens == LAYOUTS
    batches = [name for name in rows(measured[0]) if "batch of" in name]
    assert len(batches) == 7 and all("batch of 4" in name for name in batches)


def test_the_results_fit_into_the_readmes_table(measured: tuple[dict[str, Any], Path]) -> None:
    (table,) = speed_tables(read_results(measured[1])).values()
    for name, row in rows(measured[0]).items():
        assert ("relative_error" in row) != (f"| {name} |" in table)


def test_the_truncated_graph_is_small(measured: tuple[dict[str, Any], Path]) -> None:
    row = rows(measured[0])
    truncated = row["energy step, truncated"]["bytes"]
    assert 5 * truncated <= row["energy step, peer style"]["bytes"]
    assert row["Langevin step"]["bytes"] == truncated, "what runs behind the last map must keep nothing"
    assert row["CFG step"]["bytes"] == row["conditional forward"]["bytes"] == 0
    assert row[f"energy step, truncated, batch of {BATCH}"]["bytes"] == pytest.approx(BATCH * truncated, rel=0.02)


def test_ratios_are_those_of_the_rows(measured: tuple[dict[str, Any], Path]) -> None:
    row = rows(measured[0])
    memory = row["truncated step: times less kept for backward"]
    expected = row["energy step, peer style"]["bytes"] / row["energy step, truncated"]["bytes"]
    assert memory["ratio"] == pytest.approx(expected, rel=1e-5)
    assert memory["met"] and memory["goal"] == "≥ 5"
    image = row["WinWinLay image in plain CFG images"]
    low, high = (row["Langevin step"]["seconds_ci"][i] / row["CFG step"]["seconds_ci"][1 - i] for i in (0, 1))
    assert 1 + 0.8 * low <= image["ratio"] * (1 + 1e-5) and image["ratio"] <= (1 + 0.8 * high) * (1 + 1e-5)
    assert image["met"] == (image["ratio"] <= 2.2)


def test_the_baseline_leaves_the_network_as_it_was() -> None:
    unet = new_unet("tiny")
    before, threads = dict(unet.attn_processors), torch.get_num_threads()
    latents = torch.randn(1, 4, 32, 32)
    gradient, prediction = PeerStyle(step_of(unet, (32, 32), torch.randn(1, 77, 32)))(latents)
    assert gradient.shape == prediction.shape == latents.shape
    assert gradient.abs().max() > 0
    after = unet.attn_processors
    assert list(after) == list(before) and all(after[name] is before[name] for name in before)
    assert all(weight.requires_grad and weight.grad is None for weight in unet.parameters())
    assert torch.get_num_threads() == threads


def test_a_network_is_the_same_every_time() -> None:
    torch.manual_seed(5)
    state = torch.get_rng_state()
    first, second = (torch.cat([w.flatten() for w in new_unet("tiny").parameters()]) for _ in range(2))
    assert torch.equal(first, second)
    assert torch.equal(torch.get_rng_state(), state)

"""Sheets of the unified model: a picture for every place, echoes in the colours of what was asked, curves from logs."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scenograph.drawing import PALETTE
from scenograph.errors import ResultError
from scenograph.recipes import janus
from scenograph.recipes.echogen_sheet import curves_sheet, echo_sheet, sample_sheet
from scenograph.unified.model import Unified
from tests.unified.tiny import tiny_janus, world_codec


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("sheet") / "model"
    codec = world_codec()
    janus.save_janus(Unified(tiny_janus(codec), codec), path)
    return path


def test_a_row_for_every_checkpoint(folder: Path) -> None:
    one, two = (sample_sheet(dict.fromkeys(rows, folder), layouts=2, cfg=1.0) for rows in (["1"], ["1", "1+2"]))
    assert two.height - one.height == 204 and two.width >= one.width


def test_an_echo_has_the_colours_of_what_was_asked(folder: Path) -> None:
    sheet = echo_sheet(folder, layouts=3, cfg=1.0)
    assert sheet.height > 3 * 200
    last = sheet.crop((sheet.width - 204, 0, sheet.width, sheet.height)).convert("RGB")
    seen = {colour for _, colour in last.getcolors(1 << 24) or ()}
    assert {PALETTE[0], PALETTE[1], PALETTE[2]} <= seen and PALETTE[3] not in seen  # 1, 2 and 3 things


def test_curves_of_several_stages_side_by_side(tmp_path: Path) -> None:
    for name, part in (("a", "image"), ("b", "reward")):
        (tmp_path / name).mkdir()
        rows = [{"step": step, "seconds": 1, "lr": 0.1, "loss": 1 / step, part: 0.5} for step in (1, 2, 3)]
        (tmp_path / name / "log.jsonl").write_text("".join(json.dumps(row) + "\n" for row in rows))
    one = curves_sheet({"1": tmp_path / "a"})
    two = curves_sheet({"1": tmp_path / "a", "1+2+3": tmp_path / "b"})
    assert two.width == pytest.approx(2 * one.width, abs=2) and two.height == one.height
    with pytest.raises(ResultError, match="a training that has begun"):
        curves_sheet({"1": tmp_path / "c"})


def test_world_sheet_draws_echoes_of_a_model(
    run: Callable[..., tuple[int, str, str]], folder: Path, tmp_path: Path
) -> None:
    out = tmp_path / "echoes.png"
    status, _, err = run("world", "sheet", "--of", "echoes", "--model", folder, "--out", out)
    assert status == 0, err
    assert Image.open(out).height > 8 * 200
    status, _, err = run("world", "sheet", "--of", "nouns", "--model", folder, "--out", out)
    assert status == 2 and "belongs to echoes" in err

"""Figure 4 of GOAL: a row for every checkpoint, an estimate and two maps for every scene."""

from pathlib import Path
from typing import Any

from diffusers import StableDiffusionPipeline

from scenograph.models.gated import add_gates
from scenograph.recipes.goal_sheet import goal_sheet
from tests.tiny import tiny_sd_parts


def test_a_row_for_every_checkpoint(tmp_path: Path) -> None:
    parts: dict[str, Any] = tiny_sd_parts()
    StableDiffusionPipeline(**parts | {"unet": add_gates(parts["unet"])}).save_pretrained(tmp_path)
    single, double = (goal_sheet(dict.fromkeys(rows, tmp_path), scenes=1) for rows in (["a"], ["a", "b"]))
    assert double.height - single.height == 164 and double.width >= single.width > 3 * 160

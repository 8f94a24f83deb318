"""A whole GOAL step at the size of Stable Diffusion 1.4; a minute and 13 GB, so `pytest -m slow`."""

from __future__ import annotations

import pytest

from scenograph.recipes.goal_step import measure


@pytest.mark.slow
def test_a_goal_step_of_sd14() -> None:
    seen = measure()
    assert seen["parameters"] == pytest.approx(1069e6, rel=0.02)  # SD 1.4's 860 M and GLIGEN's 209 M
    assert seen["peak_bytes"] < 24e9
    assert all(seen[f"loss_{part}"] > 0 for part in ("ldm", "local", "global", "inside", "outside"))

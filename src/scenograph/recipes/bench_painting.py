"""How long one picture takes: WinWinLay on the embedded painter, warm and with the cold start.

Run: `OMP_NUM_THREADS=2 scenograph bench painting`; about a minute and a half. Expected on two idle cores: at most 8 s
when the model is loaded, at most 20 s for the whole command in a fresh process.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from pathlib import Path
from typing import Any

import torch

from scenograph.judging.results import write_results
from scenograph.judging.speed import Timing, take_turns
from scenograph.layout import Box, Instance, Layout
from scenograph.painting import Painter

__all__ = ["LAYOUT", "run"]

_SEED = 0
LAYOUT = Layout(
    caption="a red cup and a green apple on a table",
    instances=(
        Instance(caption="a red cup", box=Box(0.05, 0.3, 0.45, 0.9)),
        Instance(caption="a green apple", box=Box(0.55, 0.35, 0.95, 0.8)),
    ),
)


def run(*, out: Path, steps: int = 50, repeats: int = 5, progress: bool = True) -> list[dict[str, Any]]:
    """Paint LAYOUT `repeats` times both ways and write `out`; rows have the median and [fastest, slowest]."""
    painter = Painter.from_pretrained("tiny-sd", device="cpu")

    def warm() -> None:
        painter.paint(LAYOUT, guidance="winwinlay", seeds=_SEED, steps=steps, progress=False)

    warm()
    with tempfile.TemporaryDirectory() as folder:
        layout = Path(folder) / "layout.json"
        layout.write_text(LAYOUT.to_json(), encoding="utf-8")
        words = ["paint", str(layout), "--method", "winwinlay", "--seed", str(_SEED), "--steps", str(steps)]
        command = [sys.executable, "-m", "scenograph", "--quiet", *words, "--out", str(Path(folder) / "picture.png")]
        threads = os.environ | {"OMP_NUM_THREADS": str(torch.get_num_threads())}

        def cold() -> None:
            subprocess.run(command, env=threads, check=True, capture_output=True)

        names = {"a picture, model loaded": warm, "a picture, from the command line": cold}
        times = take_turns(names, repeats, progress=progress)
    rows = [_row(name, time, goal) for (name, time), goal in zip(times.items(), (8, 20), strict=True)]
    what = f"one WinWinLay picture of tiny-sd, {steps} steps, {torch.get_num_threads()} threads"
    command_line = f"OMP_NUM_THREADS={torch.get_num_threads()} scenograph bench painting"
    write_results(out, what=what, command=command_line, seed=_SEED, rows=rows)
    return rows


def _row(name: str, time: Timing, goal: float) -> dict[str, Any]:
    row = {"name": name, "n": len(time.seconds), "seconds": time.median, "seconds_ci": time.extremes}
    return {**row, "goal": f"≤ {goal:g}", "met": time.median <= goal}

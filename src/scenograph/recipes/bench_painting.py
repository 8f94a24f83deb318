"""How long one picture takes: WinWinLay on the embedded painter, warm and with the cold start.

Run: `OMP_NUM_THREADS=2 scenograph bench painting`; a few minutes. Expected on two idle cores: at most 8 s
when the model is loaded, at most 20 s for the whole command in a fresh process, with the paper's options and with those
chosen for tiny-sd, which `scenograph paint` takes.
"""

from __future__ import annotations

import os
import subprocess
import sys
import tempfile
from functools import partial
from pathlib import Path
from typing import Any

import torch

from scenograph.judging.results import write_results
from scenograph.judging.speed import Timing, take_turns
from scenograph.layout import Box, Instance, Layout
from scenograph.models.embedded import WINWINLAY
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
    """Paint LAYOUT `repeats` times each way and write `out`; rows have the median and [fastest, slowest]."""
    painter = Painter.from_pretrained("tiny-sd", device="cpu")
    threads = torch.get_num_threads()
    with tempfile.TemporaryDirectory() as folder:
        layout = Path(folder) / "layout.json"
        layout.write_text(LAYOUT.to_json(), encoding="utf-8")

        def warm(method: str) -> None:
            painter.paint(LAYOUT, guidance=method, seeds=_SEED, steps=steps, progress=False)

        def cold(method: str) -> None:
            words = ["paint", str(layout), "--method", method, "--seed", str(_SEED), "--steps", str(steps)]
            words += ["--out", str(Path(folder) / "picture.png")]
            command = [sys.executable, "-m", "scenograph", *words]
            subprocess.run(command, env=os.environ | {"OMP_NUM_THREADS": str(threads)}, check=True, capture_output=True)

        warm("winwinlay")
        ways = {
            "the paper's options, model loaded": (partial(warm, "winwinlay"), 8),
            "the paper's options, from the command line": (partial(cold, "winwinlay"), 20),
            "tiny-sd's own options, model loaded": (partial(warm, WINWINLAY), 8),
            "tiny-sd's own options, from the command line": (partial(cold, WINWINLAY), 20),
        }
        times = take_turns({name: way for name, (way, _) in ways.items()}, repeats, progress=progress)
    rows = [_row(name, times[name], goal) for name, (_, goal) in ways.items()]
    what = f"one WinWinLay picture of tiny-sd, {steps} steps, {threads} threads"
    command = f"OMP_NUM_THREADS={threads} scenograph bench painting"
    return list(write_results(out, what=what, command=command, seed=_SEED, rows=rows)["rows"])


def _row(name: str, time: Timing, goal: float) -> dict[str, Any]:
    row = {"name": name, "n": len(time.seconds), "seconds": time.median, "seconds_ci": time.extremes}
    return {**row, "goal": f"≤ {goal:g}", "met": time.median <= goal}

"""How fast the small world draws: scenes a second at 128 px, on one worker process and on two.

Run: `scenograph bench world`; under a minute. Expected: at least 250 scenes/s on two cores.
"""

from __future__ import annotations

import time
from concurrent.futures import ProcessPoolExecutor
from pathlib import Path

from scenograph.judging.results import write_results
from scenograph.world.scenes import scene_at

__all__ = ["run"]

_SEED = 77
_PART = 100


def _draw(first: int) -> int:
    for index in range(first, first + _PART):
        scene_at(index, seed=_SEED).draw()
    return _PART


def run(*, out: Path, scenes: int = 2000) -> list[dict[str, float | int | str]]:
    """Draws `scenes` scenes per row after a warm-up, and writes `out`; rows "1 worker" and "2 workers"."""
    rows: list[dict[str, float | int | str]] = []
    for workers in (1, 2):
        with ProcessPoolExecutor(workers) as pool:
            list(pool.map(_draw, range(0, 4 * _PART, _PART)))  # fills each worker's caches
            started = time.perf_counter()
            drawn = sum(pool.map(_draw, range(0, scenes, _PART)))
            seconds = time.perf_counter() - started
        plural = "s" if workers > 1 else ""
        rows.append({"name": f"{workers} worker{plural}", "n": drawn, "scenes_per_second": round(drawn / seconds, 1)})
    what = "Scenes of the small world sampled and drawn at 128 px"
    write_results(out, what=what, command="scenograph bench world", seed=_SEED, rows=rows)
    return rows

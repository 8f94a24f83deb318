"""Scenes of the small world drawn once into a folder, so that trainings read pixels instead of drawing them again.

Only pixels are stored (uint8, N x 128 x 128 x 3, a NumPy memory map): everything else about scene `i` is recomputed
from its index by `world.scene_at`, which is exact and cheap. Drawing resumes where it stopped.
"""

from __future__ import annotations

import json
from collections.abc import Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np
from tqdm import tqdm

from scenograph.errors import TrainingError
from scenograph.files import write_whole
from scenograph.world.scenes import CANVAS, Scene, Split, scene_at

__all__ = ["DrawnScenes", "draw_scenes"]

_CHUNK = 1000


@dataclass(frozen=True, kw_only=True)
class DrawnScenes:
    """Scenes 0..count-1 of the sequence (seed, split) with their pixels in `folder`."""

    folder: Path
    count: int
    seed: int
    split: Split

    @property
    def images_NHWC(self) -> np.ndarray:
        """Pixels, uint8, (count, 128, 128, 3), mapped from disk."""
        return np.load(self.folder / "images.npy", mmap_mode="r")

    def scene(self, index: int) -> Scene:
        """Scene `index` with all its truth."""
        return scene_at(index, seed=self.seed, split=self.split)

    def scenes(self, indices: Sequence[int] | np.ndarray) -> list[Scene]:
        """Several scenes."""
        return [self.scene(int(i)) for i in indices]


def _draw_chunk(start: int, stop: int, seed: int, split: Split) -> np.ndarray:
    return np.stack([np.asarray(scene_at(i, seed=seed, split=split).draw()) for i in range(start, stop)])


def _check_pixels(drawn: DrawnScenes, done: Sequence[int]) -> None:
    """Draws a few scenes again: pixels of an older world would not fit the captions and boxes of this one."""
    for index in sorted(done)[:: max(1, len(done) // 8)]:
        if not np.array_equal(drawn.images_NHWC[index], np.asarray(drawn.scene(index).draw())):
            raise TrainingError(f"{drawn.folder} was drawn by another version of the world; delete it and draw again")


def draw_scenes(
    folder: str | Path, count: int, *, seed: int = 0, split: Split = "train", workers: int = 2
) -> DrawnScenes:
    """Draws `count` scenes into `folder`, or finishes a drawing that was interrupted.

    Raises TrainingError when the folder holds another sequence.
    """
    folder = Path(folder)
    folder.mkdir(parents=True, exist_ok=True)
    drawn = DrawnScenes(folder=folder, count=count, seed=seed, split=split)
    wanted = {k: v for k, v in asdict(drawn).items() if k != "folder"}
    about, path = folder / "about.json", folder / "images.npy"
    done: list[int] = []
    if about.exists():
        state = json.loads(about.read_text())
        if state["scenes"] != wanted:
            raise TrainingError(f"{folder} holds scenes {state['scenes']}, asked for {wanted}; choose another folder")
        done = state["done"]
        _check_pixels(drawn, done)
    mode = "r+" if path.exists() and about.exists() else "w+"
    shape = (count, CANVAS, CANVAS, 3)
    images = np.lib.format.open_memmap(path, mode=mode, dtype=np.uint8, shape=None if mode == "r+" else shape)
    starts = [s for s in range(0, count, _CHUNK) if s not in set(done)]
    with ProcessPoolExecutor(workers) as pool:
        stops = [min(s + _CHUNK, count) for s in starts]
        chunks = pool.map(_draw_chunk, starts, stops, [seed] * len(starts), [split] * len(starts))
        for start, chunk in tqdm(zip(starts, chunks, strict=True), total=len(starts), desc="drawing", unit="k"):
            images[start : start + len(chunk)] = chunk
            done.append(start)
            write_whole(about, json.dumps({"scenes": wanted, "done": done}))
    images.flush()
    return drawn

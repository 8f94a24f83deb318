"""Drawn scenes on disk: the same pixels as drawing, and an interrupted drawing goes on."""

from pathlib import Path

import numpy as np
import pytest

from scenograph.datasets import drawn as module
from scenograph.datasets.drawn import draw_scenes
from scenograph.errors import TrainingError
from scenograph.world.scenes import scene_at


def test_pixels_and_resume(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(module, "_CHUNK", 2)
    drawn = draw_scenes(tmp_path, 5, seed=9, workers=1)
    assert drawn.images_NHWC.shape == (5, 128, 128, 3)
    for i in (0, 4):
        assert np.array_equal(drawn.images_NHWC[i], np.asarray(scene_at(i, seed=9).draw()))
    about = tmp_path / "about.json"
    about.write_text(about.read_text().replace('"done": [0, 2, 4]', '"done": [0, 4]'))
    np.lib.format.open_memmap(tmp_path / "images.npy", mode="r+")[2:4] = 0
    again = draw_scenes(tmp_path, 5, seed=9, workers=1)
    assert np.array_equal(again.images_NHWC[3], np.asarray(scene_at(3, seed=9).draw()))


def test_another_sequence_is_refused(tmp_path: Path) -> None:
    draw_scenes(tmp_path, 2, seed=9, workers=1)
    with pytest.raises(TrainingError, match="another folder"):
        draw_scenes(tmp_path, 2, seed=8, workers=1)

"""Painters on tiny random checkpoints, loaded once through the real loading path."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from scenograph.layout import Box, Instance, Layout
from scenograph.painting import Painter
from tests.tiny import tiny_sd, tiny_sdxl


@pytest.fixture(scope="session")
def painters(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Painter]:
    """Name → painter: SD with ε, SD with v-prediction, SDXL."""
    folder: Path = tmp_path_factory.mktemp("checkpoints")
    builders: dict[str, Callable[[Path], Path]] = {
        "sd": tiny_sd,
        "sd-v": partial(tiny_sd, prediction_type="v_prediction"),
        "sdxl": tiny_sdxl,
    }
    return {name: Painter.from_pretrained(build(folder / name), device="cpu") for name, build in builders.items()}


@pytest.fixture(scope="session")
def layouts() -> list[Layout]:
    """Four layouts with different captions, counts and boxes; the last one appends a caption to its prompt."""

    def layout(caption: str, **boxes: tuple[float, float, float, float]) -> Layout:
        instances = tuple(Instance(caption=f"a {name.replace('_', ' ')}", box=Box(*box)) for name, box in boxes.items())
        return Layout(caption=caption, instances=instances)

    return [
        layout("a red dog and a cat", red_dog=(0, 0.2, 0.5, 0.9), cat=(0.55, 0.4, 1, 1)),
        layout("a photo of a blue car", blue_car=(0.1, 0.5, 0.6, 0.9)),
        layout("a bird above a green chair", bird=(0.3, 0, 0.7, 0.3), green_chair=(0.25, 0.5, 0.75, 1)),
        layout("a book with a clock", book=(0, 0, 0.3, 0.3), clock=(0.6, 0, 1, 0.4), apple=(0.4, 0.5, 0.9, 1)),
    ]

"""The unified model's stages for people: sample sheets, echo sheets, and the stages' curves in one picture.

A sample sheet has a row per checkpoint and a column per held-out layout. An echo sheet has a row per layout: what was
asked, what was painted, what the model itself recovers from it, in the same colours.
"""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from pathlib import Path

from PIL import Image

from scenograph.drawing import contact_sheet, draw_layout
from scenograph.errors import ResultError
from scenograph.grounding.unified import UnifiedGrounder
from scenograph.layout import Layout
from scenograph.painting.unified import UnifiedPainter
from scenograph.unified.model import load_unified
from scenograph.world.scenes import scene_at

__all__ = ["curves_sheet", "echo_sheet", "sample_sheet"]

_SIDE = 200
_PARTS = ("loss", "image", "expression", "box", "reward", "kl")


def _asked(count: int, seed: int) -> list[Layout]:
    """Held-out layouts of 1 to 4 things in turn."""
    return [scene_at(i, seed=seed, split="test", count=1 + i % 4).layout for i in range(count)]


def _paint(
    model: str | Path, asked: list[Layout], seed: int, cfg: float, temperature: float | None = None
) -> tuple[UnifiedPainter, list[Image.Image]]:
    painter = UnifiedPainter(load_unified(model), name="tiny-janus")  # as users paint
    seeds = list(range(seed, seed + len(asked)))
    painted = painter.paint(asked, seeds=seeds, cfg=cfg, temperature=temperature, progress=False)
    return painter, [one.image for one in painted]


def sample_sheet(
    models: Mapping[str, str | Path],
    *,
    seed: int = 0,
    layouts: int = 8,
    cfg: float = 3.0,
    temperature: float | None = None,
) -> Image.Image:
    """The same layouts and seeds painted by every checkpoint, under the asked boxes; `models` are row labels."""
    asked = _asked(layouts, seed)
    rows: list[list[Image.Image | None]] = [[draw_layout(one, size=(_SIDE, _SIDE)) for one in asked]]
    for model in models.values():
        _, images = _paint(model, asked, seed, cfg, temperature)
        boxed = [draw_layout(one, image, size=(_SIDE, _SIDE)) for one, image in zip(asked, images, strict=True)]
        rows.append([*boxed])
    return contact_sheet(rows, row_labels=["asked", *models], column_labels=[one.caption for one in asked], gap=4)


def echo_sheet(model: str | Path, *, seed: int = 0, layouts: int = 8, cfg: float = 3.0) -> Image.Image:
    """Layout → picture → recovered layout, side by side."""
    asked = _asked(layouts, seed)
    painter, images = _paint(model, asked, seed, cfg)
    phrases = [[one.caption for one in layout.instances] for layout in asked]
    # One box for every phrase in its place: so colours, which go by place, agree.
    echoes = UnifiedGrounder(painter.unified, through="tokens").ground(images, phrases)
    size = (_SIDE, _SIDE)
    rows: list[list[Image.Image | None]] = [
        [draw_layout(layout, size=size), image.resize(size, Image.Resampling.LANCZOS), draw_layout(echo, size=size)]
        for layout, image, echo in zip(asked, images, echoes, strict=True)
    ]
    columns = ["asked", "painted", "recovered from it"]
    return contact_sheet(rows, row_labels=[one.caption for one in asked], column_labels=columns, gap=4)


def curves_sheet(folders: Mapping[str, Path]) -> Image.Image:
    """The logs of several trainings as one row of curves; titles are the labels. Raises ResultError without a log."""
    from matplotlib.figure import Figure

    logs = {label: _log(folder) for label, folder in folders.items()}
    figure = Figure(figsize=(4.2 * len(logs), 3.4), layout="constrained")
    every = figure.subplots(1, len(logs), squeeze=False)[0]
    for axes, (label, rows) in zip(every, logs.items(), strict=True):
        for name in [part for part in _PARTS if any(part in row for row in rows)]:
            points = [(row["step"], row[name]) for row in rows if name in row]
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axes.set(xlabel="step", title=label)
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
    png = io.BytesIO()
    figure.savefig(png, dpi=100)
    return Image.open(png).convert("RGB")


def _log(folder: Path) -> list[dict[str, float]]:
    path = folder / "log.jsonl"
    rows = [json.loads(line) for line in path.read_text().splitlines()] if path.is_file() else []
    if not rows:
        raise ResultError(f"no {path}; expected the folder of a training that has begun")
    return rows

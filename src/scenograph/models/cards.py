"""Model cards: what a folder of embedded weights is, written by the training that made it."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from scenograph.files import write_whole

__all__ = ["write_card"]


def write_card(
    folder: str | Path, *, name: str, what: str, facts: Mapping[str, Any], scores: Mapping[str, float]
) -> None:
    """Writes `README.md` into a model folder: recipe, seed, steps, wall time (`facts`) and measured `scores`."""
    lines = [
        "---",
        "license: apache-2.0",
        "tags: [scenograph, layout-to-image]",
        "---",
        f"# {name}",
        "",
        what,
        "",
        "Trained from scratch by this project on scenes that it draws itself; no outside data or weights.",
        "",
        "| fact | value |",
        "|---|---|",
        *(
            f"| {key} | {json.dumps(value) if isinstance(value, dict | list) else value} |"
            for key, value in facts.items()
        ),
    ]
    if scores:
        lines += ["", "| score | value |", "|---|---|", *(f"| {k} | {v:.4g} |" for k, v in scores.items())]
    write_whole(Path(folder) / "README.md", "\n".join(lines) + "\n")

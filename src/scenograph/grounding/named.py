"""Grounders by name: a detector or a unified model, whichever the checkpoint is."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from scenograph.grounding.detector import Detector, load_detector
from scenograph.judging.checkpoints import checkpoint

__all__ = ["load_grounder"]


def load_grounder(name: str | Path, *, threshold: float | None = None, device: Any = None) -> Detector:
    """A grounder by embedded name, folder or hub id; unified models give no scores, so no threshold holds for them.

    Raises CheckpointError: missing, unreachable, damaged, or neither.
    """
    if checkpoint(name, "grounder").config().model_type == "janus":
        from scenograph.grounding.unified import UnifiedGrounder

        return UnifiedGrounder.load(name, device=device)
    return load_detector(name, threshold=threshold, device=device)

"""Training-free layout guidance: Energy × Update × Window, and the published methods by name.

A new loss is one class in `energies.py`, a new way to move a latent one class in `updates.py`, a new method one short
file and one line in `METHODS`.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial

from scenograph.errors import GuidanceError
from scenograph.painting.guidance.energies import AttentionEnergy, Energy, NonLocalAttentionEnergy
from scenograph.painting.guidance.guide import Guidance
from scenograph.painting.guidance.layout_control import layout_control, layout_control_reset, naef_backprop
from scenograph.painting.guidance.log import GuidanceLog, StepLog
from scenograph.painting.guidance.step import Step
from scenograph.painting.guidance.updates import Backprop, Langevin, Update
from scenograph.painting.guidance.window import Progress, Window
from scenograph.painting.guidance.winwinlay import aef_adaptive, winwinlay

__all__ = [
    "METHODS",
    "AttentionEnergy",
    "Backprop",
    "Energy",
    "Guidance",
    "GuidanceLog",
    "Langevin",
    "NonLocalAttentionEnergy",
    "Progress",
    "Step",
    "StepLog",
    "Update",
    "Window",
    "method",
]

METHODS: dict[str, Callable[..., Guidance] | None] = {
    "plain": None,
    "winwinlay": winwinlay,
    "layout-control": layout_control,
    "layout-control-reset": layout_control_reset,
    "aef+backprop": layout_control_reset,
    "naef+backprop": naef_backprop,
    "aef+adaptive": aef_adaptive,
    "naef+adaptive": winwinlay,
    "naef+backprop-matched": partial(naef_backprop, matched=True),
}
"""Name → maker of a Guidance with the published defaults; its keywords override them. "plain" has no guidance."""


def method(name: str, **options: object) -> Guidance | None:
    """A published method by name, None for "plain". Raises GuidanceError for unknown names."""
    if name not in METHODS:
        raise GuidanceError(f"unknown method {name!r}; known: {', '.join(METHODS)}")
    make = METHODS[name]
    return make(**options) if make is not None else None

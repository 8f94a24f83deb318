"""Training-free layout guidance: Energy × Update × Window, and the published methods by name.

A new loss is one class in `energies.py`, a new way to move a latent one class in `updates.py`, a new method one short
file and one line in `named.METHODS`.
"""

from __future__ import annotations

from scenograph.painting.guidance.energies import AttentionEnergy, Energy, NonLocalAttentionEnergy
from scenograph.painting.guidance.guide import Guidance
from scenograph.painting.guidance.log import GuidanceLog, StepLog
from scenograph.painting.guidance.named import METHODS, base_of, method, name_of
from scenograph.painting.guidance.step import Step
from scenograph.painting.guidance.updates import Backprop, Langevin, Update
from scenograph.painting.guidance.window import Progress, Window

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
    "base_of",
    "method",
    "name_of",
]

"""What a guidance did: energies, norms and angles of every guided step, as plain Python numbers.

Inside a step values are collected as tensors and copied to Python once, when the step is over, so that logging never
makes an accelerator wait.
"""

from __future__ import annotations

from dataclasses import dataclass, field

import torch
from torch import Tensor

Series = tuple[tuple[float | None, ...], ...]
"""[inner iteration][sample]; None where the sample was already done."""


@dataclass(frozen=True, kw_only=True)
class StepLog:
    """One guided sampling step of a batch."""

    index: int
    """Sampling step number."""
    energy: Series
    gradient_norm: Series
    """‖∇E‖ over C, H, W."""
    moved: Series
    """‖z' − z‖ of each inner iteration."""
    score_norm: Series = ()
    """Langevin only: ‖∇log p(z)‖."""
    cosine: Series = ()
    """Langevin only: cos θ between the score and −∇E."""
    above_third: tuple[float, ...] = ()
    """Per sample: share of in-box attention above 1/3 when the step began (see `energies.above_third`)."""


@dataclass(kw_only=True)
class GuidanceLog:
    """The log of one sampling run; `begin` clears it when a new run starts."""

    steps: list[StepLog] = field(default_factory=list)
    ended: set[int] = field(default_factory=set)
    """Samples whose guidance is over for the rest of the run (`Backprop(reset_stop=False)`)."""
    latest: int = -1
    """The sampling step seen last."""

    def begin(self, index: int) -> None:
        """Tell the log which sampling step comes; an index that does not grow is a new run."""
        if index <= self.latest:
            self.steps.clear()
            self.ended.clear()
        self.latest = index


class Trace:
    """Collects one step's tensors; `finish` turns them into a StepLog."""

    def __init__(self) -> None:
        self.above_third_B: Tensor | None = None
        self._active: list[Tensor] = []
        self._series: dict[str, list[Tensor]] = {}

    def add(self, active_B: Tensor, **values_B: Tensor) -> None:
        """One inner iteration: which samples it moved, and one number per sample for each name."""
        self._active.append(active_B)
        for name, value_B in values_B.items():
            self._series.setdefault(name, []).append(value_B.detach())

    def finish(self, index: int) -> StepLog:
        """Copy everything to Python."""
        active = torch.stack(self._active).tolist() if self._active else []
        series: dict[str, Series] = {}
        for name, values in self._series.items():
            rows = torch.stack(values).tolist()
            series[name] = tuple(
                tuple(value if on else None for value, on in zip(row, mask, strict=True))
                for row, mask in zip(rows, active, strict=True)
            )
        share = () if self.above_third_B is None else tuple(self.above_third_B.tolist())
        return StepLog(
            index=index,
            energy=series.get("energy", ()),
            gradient_norm=series.get("gradient_norm", ()),
            moved=series.get("moved", ()),
            score_norm=series.get("score_norm", ()),
            cosine=series.get("cosine", ()),
            above_third=share,
        )

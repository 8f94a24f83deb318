"""Which sampling steps are guided, and how far along them a step is.

WinWinLay and layout-control guide the first 10 of 50 steps: the layout of a picture is decided early, and later steps
refine it better alone.
"""

from __future__ import annotations

from dataclasses import dataclass

from scenograph.errors import GuidanceError


@dataclass(frozen=True, kw_only=True)
class Progress:
    """Where a guided step stands, for schedules such as ρ."""

    index: int
    """Sampling step number, from 0."""
    total: int
    """Number of sampling steps."""
    guided_index: int
    """Guided step number n, from 0."""
    guided_total: int
    """Number of guided steps N_g."""


@dataclass(frozen=True, kw_only=True)
class Window:
    """The guided steps: `steps` of them, or a `fraction` of all sampling steps, after the first `start`."""

    steps: int = 10
    fraction: float | None = None
    """When given it replaces `steps`: round(fraction · total), at least one."""
    start: int = 0

    def __post_init__(self) -> None:
        if self.steps < 1 or self.start < 0:
            raise GuidanceError(f"a window needs steps >= 1 and start >= 0, got steps={self.steps}, start={self.start}")
        if self.fraction is not None and not 0 < self.fraction <= 1:
            raise GuidanceError(f"a window's fraction lies in (0, 1], got {self.fraction}")

    def progress(self, index: int, total: int) -> Progress | None:
        """Progress of sampling step `index` of `total`, or None when the window is closed.

        Raises GuidanceError for a window that opens after the last step.
        """
        if self.start >= total:
            raise GuidanceError(f"guidance begins after {self.start} steps, and there are {total}; begin earlier")
        steps = self.steps if self.fraction is None else max(1, round(self.fraction * total))
        guided_total = min(steps, total - self.start)
        guided_index = index - self.start
        if not 0 <= guided_index < guided_total:
            return None
        return Progress(index=index, total=total, guided_index=guided_index, guided_total=guided_total)

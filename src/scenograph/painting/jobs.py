"""What is asked of a painter, checked before anything is painted: one job per sample, and numbers that can be used."""

from __future__ import annotations

import math
import operator
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from scenograph.errors import GuidanceError, LayoutError
from scenograph.layout import Layout

__all__ = ["Job", "checked_numbers", "jobs_of", "whole_number"]

_LARGEST_SEED = 2**63 - 1


@dataclass(frozen=True, kw_only=True)
class Job:
    """One sample to paint."""

    layout: Layout
    seed: int
    negative: str


def jobs_of(
    layouts: Layout | Sequence[Layout], seeds: int | Sequence[int], negatives: str | Sequence[str] = ""
) -> list[Job]:
    """One job per sample; one layout with many seeds is many. Raises LayoutError or GuidanceError when they do not
    match."""
    many = [layouts] if isinstance(layouts, Layout) else list(layouts)
    if not many or not all(isinstance(layout, Layout) for layout in many):
        raise LayoutError(f"expected one Layout or a non-empty sequence of them, got {type(layouts).__name__}")
    seed_list = list(seeds) if isinstance(seeds, Iterable) else [seeds] * len(many)
    if isinstance(layouts, Layout):
        many = many * len(seed_list)
    negative_list = [negatives] * len(many) if isinstance(negatives, str) else list(negatives)
    for what, values in (("seeds", seed_list), ("negative prompts", negative_list)):
        if len(values) != len(many) or not values:
            raise GuidanceError(f"got {len(values)} {what} for {len(many)} layouts; give one for all or one each")
    jobs = []
    for layout, value, negative in zip(many, seed_list, negative_list, strict=True):
        seed = whole_number(value)
        if seed is None or not 0 <= seed <= _LARGEST_SEED:
            raise GuidanceError(f"seed {value!r} is not usable; expected a whole number from 0 to 2^63 - 1")
        jobs.append(Job(layout=layout, seed=seed, negative=negative))
    return jobs


def whole_number(value: Any) -> int | None:
    """A whole number, NumPy's and torch's too, as Python's; None for everything else."""
    try:
        return operator.index(value)
    except TypeError:
        return None


def checked_numbers(*, steps: int, cfg: float, batch_size: int) -> tuple[int, int]:
    """(steps, batch size) as Python numbers. Raises GuidanceError for what cannot be used."""
    count, size = whole_number(steps), whole_number(batch_size)
    if count is None or not 1 <= count <= 1000:
        raise GuidanceError(f"steps is {steps!r}; expected a whole number from 1 to 1000")
    if not _is_finite(cfg):
        raise GuidanceError(f"cfg is {cfg!r}; expected a finite number, 7.5 is usual and 1 turns it off")
    if size is None or size < 1:
        raise GuidanceError(f"batch_size is {batch_size!r}; expected a whole number from 1")
    return count, size


def _is_finite(number: float) -> bool:
    try:
        return math.isfinite(number)
    except OverflowError:  # a whole number of hundreds of digits
        return False

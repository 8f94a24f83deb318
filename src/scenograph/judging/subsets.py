"""A part of a data set that stands for all of it: files are often sorted by category, so their first rows do not."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

__all__ = ["spread"]

_Row = TypeVar("_Row")


def spread(rows: Sequence[_Row], limit: int | None) -> list[_Row]:
    """At most `limit` rows, evenly spread over all; None: all of them."""
    if limit is None or limit >= len(rows):
        return list(rows)
    return [rows[i * len(rows) // limit] for i in range(limit)]

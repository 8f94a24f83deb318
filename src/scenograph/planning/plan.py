"""Plan: a layout, and everything a planner has to say about how it came to be."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Protocol

from scenograph.judging.statement import Statement
from scenograph.layout import Layout

__all__ = ["Plan", "Planner", "Usage"]


@dataclass(frozen=True, kw_only=True)
class Usage:
    """What asking a language model took; `cost` is in the currency of the prices given, None when none were."""

    requests: int = 0
    tokens_in: int = 0
    tokens_out: int = 0
    cost: float | None = None


@dataclass(frozen=True, kw_only=True)
class Plan:
    """What a planner made of one prompt.

    Attributes:
        layout: always valid; its caption is the prompt.
        statement: what was understood, where the planner reads (the grammar) rather than guesses.
        unparsed: the spans of the prompt that were not understood, in order; nothing is dropped without being here.
        changes: what repair had to correct, one sentence each.
        usage: what it took to ask, for planners that ask.
    """

    layout: Layout
    statement: Statement | None = None
    unparsed: tuple[str, ...] = ()
    changes: tuple[str, ...] = ()
    usage: Usage | None = None

    def to_dict(self) -> dict[str, Any]:
        """The layout's JSON object with `unparsed`, and `changes` and `usage` where there are any."""
        rest: dict[str, Any] = {"unparsed": list(self.unparsed)}
        if self.changes:
            rest["changes"] = list(self.changes)
        if self.usage is not None:
            rest["usage"] = {k: v for k, v in vars(self.usage).items() if v is not None}
        return {**self.layout.to_dict(), **rest}


class Planner(Protocol):
    """Text to layout. The same prompt, seed and size give the same plan, as far as the model behind it allows."""

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        """The plan of one prompt; `size` (width, height) in pixels is the canvas. Raises PlanError."""
        ...

"""The default planner: reads regular English and solves the placement; no model, no download."""

from __future__ import annotations

from dataclasses import dataclass

from scenograph.errors import PlanError
from scenograph.planning.arrange import arrange
from scenograph.planning.grammar import read
from scenograph.planning.plan import Plan

__all__ = ["GrammarPlanner"]


@dataclass(frozen=True)
class GrammarPlanner:
    """Prompt → Statement → Layout. Fast, exact about what it understood, and frank about the rest."""

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        """The plan of one prompt; another seed is another arrangement of the same statement.

        Raises:
            PlanError: the prompt is empty, or states more instances than a layout may hold.
        """
        if not prompt.strip():
            raise PlanError("the prompt is empty; expected a sentence such as 'three cats to the left of a dog'")
        reading = read(prompt)
        arranged = arrange(reading.statement, prompt, seed=seed, size=size)
        return Plan(
            layout=arranged.layout,
            statement=reading.statement,
            unparsed=reading.unparsed,
            changes=arranged.changes,
        )

"""Planners by name, for command lines and benches; what a planner needs is imported only when it is asked for."""

from __future__ import annotations

from inspect import signature
from pathlib import Path
from typing import Any

from scenograph.errors import PlanError
from scenograph.planning.plan import Planner

__all__ = ["PLANNERS", "planner"]

PLANNERS = ("grammar", "llm", "local", "examples", "janus")


def planner(name: str, *, examples: str | Path | None = None, **options: Any) -> Planner:
    """The planner called `name`.

    Args:
        examples: a file of layouts for in-context examples; None takes our own.
        options: what the planner itself takes, such as `model`, `base_url`, `shots`.

    Raises:
        PlanError: no such planner, or an option that it does not have or misses.
    """
    if examples is not None and name in ("grammar", "janus"):
        raise PlanError(f"the planner {name!r} looks at no examples; leave --examples out")
    if name == "grammar":
        from scenograph.planning.grammar_planner import GrammarPlanner

        return _made(GrammarPlanner, name, options)
    if name == "janus":
        from scenograph.planning.unified_planner import UnifiedPlanner

        return _made(UnifiedPlanner, name, options)
    from scenograph.planning.examples import Examples, ExamplesPlanner

    options["examples"] = Examples.from_file(examples) if examples is not None else Examples.shipped()
    if name == "examples":
        return _made(ExamplesPlanner, name, options)
    if name == "llm":
        from scenograph.planning.language_model import EndpointPlanner

        return _made(EndpointPlanner, name, options, needs="model")
    if name == "local":
        from scenograph.planning.local_model import LocalPlanner

        return _made(LocalPlanner, name, options, needs="model")
    raise PlanError(f"no planner {name!r}; expected one of: {', '.join(PLANNERS)}")


def _made(kind: Any, name: str, options: dict[str, Any], needs: str | None = None) -> Planner:
    if needs is not None and needs not in options:
        raise PlanError(f"the planner {name!r} needs a {needs}; expected --llm NAME")
    if unknown := sorted(set(options) - set(signature(kind).parameters)):
        raise PlanError(f"the planner {name!r} does not take {', '.join(unknown)}; leave it out")
    made: Planner = kind(**options)
    return made

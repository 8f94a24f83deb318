"""Many prompts asked of one planner, with every answer kept in a file as soon as it is there.

A language model costs money and time: what it has answered is not asked again, so a broken run continues where it
stopped. The file is JSON Lines, {"prompt", "seed", "plan" or "error"}; its name holds a hash of the options that change
answers, so that other options are other files. Planners that ask nobody are run anew each time, because their code may
have changed; their file is there to be read.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tqdm import tqdm

from scenograph.errors import LayoutError, PlanError, ResultError
from scenograph.layout import Layout
from scenograph.planning.plan import Plan, Planner, Usage

__all__ = ["ASKING", "Asked", "answers_file", "ask"]

ASKING = ("llm", "local")
"""Names of the planners whose answers are asked for once."""
_PATIENCE = 5
"""Prompts in a row without an answer before the run stops: the endpoint is gone, or the key is wrong."""
_HARMLESS = {"timeout", "retries", "price_in", "price_out"}  # options that change no answer

Key = tuple[str, int]


@dataclass(frozen=True, kw_only=True)
class Asked:
    """One prompt and its plan, or why there is none."""

    prompt: str
    seed: int
    plan: Plan | None = None
    error: str | None = None


def answers_file(folder: Path, name: str, options: Mapping[str, Any]) -> Path:
    """Where the answers of a planner with these options are kept."""
    telling = {key: str(value) for key, value in sorted(options.items()) if key not in _HARMLESS and value is not None}
    mark = "-" + hashlib.sha256(json.dumps(telling).encode()).hexdigest()[:8] if telling else ""
    return folder / f"{name}{mark}.jsonl"


def ask(
    make: Callable[[], Planner], prompts: Sequence[Key], path: Path, *, resume: bool, progress: bool = True
) -> list[Asked]:
    """Every (prompt, seed) with its plan, in order; the planner is made only when somebody has to be asked.

    Args:
        path: of the answers; what is in it counts when `resume`, else it is written anew. Errors are asked again.

    Raises:
        PlanError: no planner could be made, or `resume` and several prompts in a row got no answer.
        ResultError: the file cannot be read.
    """
    path.parent.mkdir(parents=True, exist_ok=True)
    kept = _kept(path) if resume and path.exists() else {}
    missing = list(dict.fromkeys(key for key in prompts if key not in kept))
    if missing:
        planner = make()
        with path.open("a" if resume else "w", encoding="utf-8") as file:
            _ask_all(planner, missing, file, kept, patience=_PATIENCE if resume else None, progress=progress)
    return [kept[key] for key in prompts]


def _ask_all(
    planner: Planner, keys: Sequence[Key], file: Any, kept: dict[Key, Asked], *, patience: int | None, progress: bool
) -> None:
    silent = 0
    for prompt, seed in tqdm(keys, unit="prompt", disable=not progress, mininterval=0.5):
        try:
            one = Asked(prompt=prompt, seed=seed, plan=planner.plan(prompt, seed=seed))
            silent = 0
        except PlanError as error:
            one = Asked(prompt=prompt, seed=seed, error=str(error))
            silent += 1
        kept[prompt, seed] = one
        print(json.dumps(_to_dict(one), ensure_ascii=False), file=file, flush=True)
        if silent == patience:
            raise PlanError(f"{one.error} ({silent} prompts in a row); answers are kept: the same command continues")


def _to_dict(asked: Asked) -> dict[str, Any]:
    what = {"error": asked.error} if asked.plan is None else {"plan": asked.plan.to_dict()}
    return {"prompt": asked.prompt, "seed": asked.seed, **what}


def _kept(path: Path) -> dict[Key, Asked]:
    """The answers in a file; a last line that was cut off is taken off it, errors are left to be asked again."""
    try:
        data = path.read_bytes()
        whole = data[: data.rfind(b"\n") + 1]
        rows = [json.loads(line) for line in whole.splitlines() if line.strip()]
        if whole != data:
            path.write_bytes(whole)
        return {(row["prompt"], row["seed"]): _read(row) for row in rows if "plan" in row}
    except (OSError, ValueError, KeyError, TypeError, LayoutError) as error:
        raise ResultError(f"{path}: is no file of answers ({error}); name another --run folder") from None


def _read(row: Mapping[str, Any]) -> Asked:
    plan = row["plan"]
    return Asked(
        prompt=row["prompt"],
        seed=row["seed"],
        plan=Plan(
            layout=Layout.from_dict(plan),
            unparsed=tuple(plan.get("unparsed", ())),
            changes=tuple(plan.get("changes", ())),
            usage=Usage(**plan["usage"]) if "usage" in plan else None,
        ),
    )

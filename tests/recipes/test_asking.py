"""Answers are kept one by one: a broken run asks only for what is missing, and half a line is no answer."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenograph.errors import PlanError, ResultError
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.plan import Plan, Usage
from scenograph.recipes.asking import answers_file, ask


class Counted:
    """A planner that remembers what it was asked and fails on "bad"."""

    def __init__(self) -> None:
        self.asked: list[tuple[str, int]] = []

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        self.asked.append((prompt, seed))
        if prompt.startswith("bad"):
            raise PlanError("no answer")
        instance = Instance(caption="a dog", box=Box(0.1, 0.1, 0.5, 0.5))
        return Plan(
            layout=Layout(caption=prompt, instances=(instance,)),
            unparsed=("of",),
            usage=Usage(requests=1, tokens_in=10, cost=0.5),
        )


def test_what_was_answered_is_not_asked_again(tmp_path: Path) -> None:
    path = tmp_path / "runs" / "llm.jsonl"
    first, second = Counted(), Counted()
    ask(lambda: first, [("a dog", 0), ("bad", 0)], path, resume=True, progress=False)
    with path.open("a") as file:
        file.write('{"prompt": "two dogs", "se')
    asked = ask(lambda: second, [("a dog", 0), ("bad", 0), ("two dogs", 1)], path, resume=True, progress=False)
    assert second.asked == [("bad", 0), ("two dogs", 1)]
    assert [one.prompt for one in asked] == ["a dog", "bad", "two dogs"]
    assert asked[1].plan is None and asked[1].error == "no answer"
    kept = asked[0].plan
    assert kept is not None and kept.unparsed == ("of",) and kept.layout.instances[0].label == "dog"
    assert kept.usage == Usage(requests=1, tokens_in=10, cost=0.5)
    assert len([json.loads(line) for line in path.read_text().splitlines()]) == 4


def test_a_complete_run_makes_no_planner(tmp_path: Path) -> None:
    def never() -> Counted:
        raise AssertionError("asked again")

    ask(Counted, [("a dog", 0)] * 2, tmp_path / "a.jsonl", resume=True, progress=False)
    assert len(ask(never, [("a dog", 0)] * 2, tmp_path / "a.jsonl", resume=True, progress=False)) == 2


def test_without_resume_everything_is_asked(tmp_path: Path) -> None:
    path = tmp_path / "grammar.jsonl"
    for _ in range(2):
        planner = Counted()
        ask(lambda planner=planner: planner, [("a dog", 0), ("a dog", 1)], path, resume=False, progress=False)  # type: ignore[misc]
        assert len(planner.asked) == 2 and len(path.read_text().splitlines()) == 2


def test_a_silent_endpoint_stops_the_run(tmp_path: Path) -> None:
    planner = Counted()
    prompts = [("a dog", 0), *((f"bad {i}", 0) for i in range(20))]
    with pytest.raises(PlanError, match="5 prompts in a row"):
        ask(lambda: planner, prompts, tmp_path / "a.jsonl", resume=True, progress=False)
    assert len(planner.asked) == 6
    assert len(ask(lambda: planner, prompts, tmp_path / "b.jsonl", resume=False, progress=False)) == 21


def test_other_files_are_not_taken_for_answers(tmp_path: Path) -> None:
    path = tmp_path / "a.jsonl"
    path.write_text('{"plan": 1}\n')
    with pytest.raises(ResultError, match="no file of answers"):
        ask(Counted, [("a dog", 0)], path, resume=True, progress=False)


def test_options_that_change_answers_are_in_the_name() -> None:
    def name(**options: object) -> str:
        return answers_file(Path("runs"), "llm", options).name

    assert name() == "llm.jsonl"
    assert name(model="a") == name(model="a", retries=3, timeout=1.0, price_in=2.0, base_url=None)
    assert len({name(model="a"), name(model="b"), name(model="a", shots=3), name()}) == 4

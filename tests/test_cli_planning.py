"""`scenograph plan` and `scenograph paint --prompt`: prompts in, layouts and pictures out, one line per mistake."""

from __future__ import annotations

import io
import json
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scenograph.cli.planning import PLANNERS
from scenograph.layout import Layout, load_layouts

Run = Callable[..., tuple[int, str, str]]


def test_planner_names_are_the_planners() -> None:
    from scenograph.planning import named

    assert named.PLANNERS == PLANNERS


def test_a_prompt_becomes_a_layout(run: Run) -> None:
    status, out, err = run("plan", "three cats to the left of a dog")
    layout = Layout.from_json(out)
    assert (status, err) == (0, "")
    assert layout.caption == "three cats to the left of a dog"
    assert [i.label for i in layout.instances] == ["cat"] * 3 + ["dog"]
    assert all(i.box.x1 <= 1 and i.box.center[0] < layout.instances[3].box.center[0] for i in layout.instances[:3])


def test_the_same_seed_is_the_same_plan_and_variants_differ(run: Run) -> None:
    words = ("plan", "a red cup on a table next to two chairs", "--json", "--variants", 4, "--seed", 5)
    _, first, _ = run(*words)
    _, again, _ = run(*words)
    plans = [json.loads(line) for line in first.splitlines()]
    assert first == again and len(plans) == 4
    assert len({json.dumps(p["instances"]) for p in plans}) == 4
    _, sixth, _ = run(*words[:-1], 6)
    assert sixth.splitlines()[0] == first.splitlines()[1]


def test_a_file_is_answered_line_by_line_and_is_a_layout_file(run: Run, tmp_path: Path) -> None:
    prompts = ["two dogs", "a cat under a bed", "xyzzy frobnicates the gostak", "no cats"]
    (tmp_path / "prompts.txt").write_text("\n\n".join(prompts) + "\n")
    status, out, _ = run("plan", tmp_path / "prompts.txt", "--json")
    rows = [json.loads(line) for line in out.splitlines()]
    assert status == 0 and [row["caption"] for row in rows] == prompts
    assert rows[0]["unparsed"] == [] and rows[2]["unparsed"]
    (tmp_path / "layouts.jsonl").write_text(out)
    assert [layout.caption for layout in load_layouts(tmp_path / "layouts.jsonl")] == prompts


def test_what_is_not_understood_is_said(run: Run) -> None:
    status, out, err = run("plan", "a dog under the gostak of 10000 doshes")
    assert status == 0 and Layout.from_json(out) and "not understood" in err


def test_standard_input_and_files(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    class Piped:
        buffer = io.BytesIO(b"two cats\na dog on a bench\n")

    monkeypatch.setattr(sys, "stdin", Piped)
    status, out, _ = run("plan", "-", "--json", "--out", tmp_path / "made.jsonl", "--draw", tmp_path / "sheet.png")
    assert status == 0 and len(out.splitlines()) == 2
    assert len(load_layouts(tmp_path / "made.jsonl")) == 2
    assert min(Image.open(tmp_path / "sheet.png").size) >= 384


def test_the_canvas(run: Run, tmp_path: Path) -> None:
    _, out, _ = run("plan", "a bus left of a car", "--size", 1024, 512, "--draw", tmp_path / "wide.png")
    assert Layout.from_json(out).size == (1024, 512)
    width, height = Image.open(tmp_path / "wide.png").size
    assert width > 1.5 * height


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("plan", ""), "prompt is empty"),
        (("plan", "  "), "prompt is empty"),
        (("plan", "missing.txt"), "no such file"),
        (("plan", "a cat", "--draw", "cat.gif"), "ends in .png"),
        (("plan", "a cat", "--show-prompt"), "--planner llm"),
        (("plan", "a cat", "--planner", "oracle"), "oracle"),
        (("plan", "600 cats and 600 dogs"), "1200"),
        (("plan", "a cat", "--planner", "examples", "--examples", "missing.jsonl"), "missing.jsonl"),
        (("paint",), "nothing to paint"),
    ],
)
def test_a_mistake_costs_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, words: tuple[str, ...], message: str
) -> None:
    monkeypatch.chdir(tmp_path)
    status, out, err = run(*words)
    assert (status, out) == (2, "") and err.count("\n") == 1 and message in err
    assert not list(tmp_path.iterdir())


@pytest.mark.parametrize("data", [b"", b"\n \n", b"\xff\xfe\x00a"])
def test_a_bad_prompt_file_costs_one_line(run: Run, tmp_path: Path, data: bytes) -> None:
    (tmp_path / "prompts.txt").write_bytes(data)
    status, out, err = run("plan", tmp_path / "prompts.txt")
    assert (status, out) == (2, "") and err.count("\n") == 1 and "prompts.txt" in err


def test_a_bad_line_is_named_and_what_came_before_stays(run: Run, tmp_path: Path) -> None:
    (tmp_path / "prompts.txt").write_text("a cat\n600 cats and 600 dogs\na bus\n")
    status, out, err = run("plan", tmp_path / "prompts.txt", "--json", "--out", tmp_path / "made.jsonl")
    assert status == 2 and "line 2" in err and len(out.splitlines()) == 1
    assert not (tmp_path / "made.jsonl").exists()


def test_planning_the_grammar_way_loads_no_torch() -> None:
    import subprocess

    code = "import sys; from scenograph.cli import main; main(['plan', 'a cat', '-q']); print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert done.stdout.split()[-1] == "False"


def test_a_prompt_is_planned_and_painted_with_both_pictures(run: Run, tmp_path: Path) -> None:
    from tests.tiny import tiny_sd

    tiny_sd(tmp_path / "sd")
    words = ("paint", "--prompt", "a red cup next to a dog", "--model", tmp_path / "sd", "--steps", 2, "--seed", 3)
    status, out, _ = run(*words, "--out", tmp_path / "out", "--json")
    row = json.loads(out)
    picture = Path(row["image"])
    assert status == 0 and row["source"] == "prompt" and picture.stem == "a-red-cup-next-to-a-dog"
    assert [i["caption"] for i in row["layout"]["instances"]] == ["a red cup", "a dog"]
    sheet = picture.with_name("a-red-cup-next-to-a-dog-boxes.png")
    assert Image.open(sheet).size[0] > 2 * Image.open(sheet).size[1]


def test_where_nothing_can_be_written_nothing_is_planned(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    status, out, err = run("plan", "a cat", "--out", tmp_path / "file" / "made.json")
    assert (status, out) == (2, "") and "cannot write to" in err and err.count("\n") == 1


@pytest.mark.parametrize(
    "words", [("--size", 0, 0), ("--size", -5, 10), ("--seed", -1), ("--seed", 1 << 70), ("--examples", "no-such")]
)
def test_numbers_and_options_that_a_plan_cannot_have(run: Run, words: tuple[object, ...]) -> None:
    status, out, err = run("plan", "a cat", *words)
    assert (status, out) == (2, "") and str(words[0]) in err and err.count("\n") == 1

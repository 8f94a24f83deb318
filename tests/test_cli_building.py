"""`scenograph build goal2k`: models and endpoints by name, one line per mistake."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import click
import pytest

from scenograph.cli.building import build
from scenograph.datasets.goal2k.words import WORDS
from scenograph.models.embedded import EMBEDDED, WEIGHTS
from tests.datasets.goal2k_fakes import Answer, FixedGrounder, Server, decide, failure, png

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture
def server(serve: Callable[[Answer], Server]) -> Server:
    return serve(lambda _: (200, {"created": 1, "data": [{"b64_json": png()}]}))


@pytest.fixture
def grounder(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Every detector by name is a FixedGrounder; the names that were asked for."""
    names: list[str] = []

    def load(name: str, **_: object) -> FixedGrounder:
        names.append(name)
        return FixedGrounder()

    monkeypatch.setattr("scenograph.grounding.named.load_grounder", load)
    return names


def words(folder: Path, server: Server, *more: object) -> tuple[object, ...]:
    return ("build", "goal2k", "--run", folder, "--painter", "openai:m", "--base-url", server.url, *more)


def test_words_are_the_choices() -> None:
    (choice,) = [one for one in build.commands["goal2k"].params if one.name == "words"]  # type: ignore[attr-defined]
    assert isinstance(choice.type, click.Choice) and sorted(choice.type.choices) == sorted(WORDS)


def test_from_prompts_to_a_data_set(run: Run, tmp_path: Path, server: Server, grounder: list[str]) -> None:
    asked = words(tmp_path, server, "--count", 4)
    status, out, _ = run(*asked)
    assert status == 0 and "4 wait for a verdict in" in out and "review.tsv" in out
    assert grounder == ["IDEA-Research/grounding-dino-base"] and len(server.asked) == 4
    decide(tmp_path / "review.tsv", "accept", "reject", "accept", "accept")
    status, out, err = run(*asked, "--json")
    (line,) = out.splitlines()
    result = json.loads(line)
    assert (status, err) == (0, "") and result["dataset"] == str(tmp_path / "dataset.jsonl")
    assert result["counts"]["used"] == 3 and len(grounder) == 1 and len(server.asked) == 4
    assert run(*asked, "-q")[:2] == (0, "")


def test_captions_avoided_prompts_limit_and_review(
    run: Run, tmp_path: Path, server: Server, grounder: list[str]
) -> None:
    (tmp_path / "captions.txt").write_text("A dog next to a cat.\nA man riding a horse.\n")
    (tmp_path / "avoid.txt").write_text("a dog next to a cat.\n")
    options = ("--count", 1, "--captions", tmp_path / "captions.txt", "--avoid", tmp_path / "avoid.txt")
    folder, review = tmp_path / "run", tmp_path / "elsewhere" / "r.tsv"
    status, out, _ = run(*words(folder, server, *options, "--review", review, "--unreviewed", "--json"))
    assert status == 0 and json.loads(out)["counts"]["from captions"] == 1 and review.exists()
    assert "A man riding a horse." in server.prompts() and "A dog next to a cat." not in server.prompts()
    status, out, _ = run(*words(tmp_path / "few", server, "--count", 9, "--limit", 2, "--json"))
    assert json.loads(out)["counts"]["painted"] == 2


def test_progress_is_shown_but_not_with_q(run: Run, tmp_path: Path, server: Server, grounder: list[str]) -> None:
    assert "painting" in run(*words(tmp_path / "a", server, "--count", 1))[2]
    assert run(*words(tmp_path / "b", server, "--count", 1, "-q"))[1:] == ("", "")


def test_an_embedded_painter_has_the_world_s_words_and_judge_b(
    run: Run, tmp_path: Path, grounder: list[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    from scenograph.painting import Painter
    from tests.tiny import tiny_sd

    tiny = Painter.from_pretrained(tiny_sd(tmp_path / "sd"), device="cpu")
    monkeypatch.setattr(Painter, "from_pretrained", lambda *_, **__: tiny)
    monkeypatch.setattr("scenograph.models.embedded.embedded_path", Path)  # not trained in every checkout
    options = ("--count", 1, "--method", "winwinlay", "--steps", 1, "--unreviewed")
    status, _, err = run("build", "goal2k", "--run", tmp_path / "run", *options, "-q")
    assert status == 0, err
    manifest = json.loads((tmp_path / "run" / "manifest.json").read_text())
    (row,) = manifest["rows"]
    assert manifest["words"] == "world" and row["grounder"] == "detector-b" == grounder[0]
    assert row["painting"]["painter"] == "tiny-sd with winwinlay" and row["painting"]["method"] == "winwinlay"


@pytest.mark.parametrize(
    ("options", "says"),
    [
        (("--painter", "openai:"), "without a model"),
        (("--painter", "openai:m", "--steps", 3), "--steps belongs to a checkpoint"),
        (("--painter", "openai:m", "--method", "winwinlay"), "belongs to a checkpoint"),
        (("--size", "1x1"), "--size belongs to an endpoint"),
        (("--base-url", "http://x"), "--base-url belongs to an endpoint"),
        (("--llm-base-url", "http://x"), "expected --llm NAME"),
        (("--caption-count", 5), "expected --captions with it"),
        (("--captions", "nowhere.json"), "nowhere.json: cannot be read"),
        (("--avoid", "nowhere.txt"), "nowhere.txt: cannot be read"),
        (("--count", 0), "nothing is asked for"),
        (("--painter", "no-such-painter", "--count", 1), "no-such-painter"),
        (("--painter", "openai:m", "--count", 1), "no key for the endpoint"),
        (("--threshold", 2), "--threshold"),
    ],
)
def test_mistakes_are_one_line(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: tuple[Any, ...], says: str
) -> None:
    for name in ("OPENAI_API_KEY", "SCENOGRAPH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setattr("scenograph.models.embedded.embedded_path", Path)  # not trained in every checkout
    given = options if "--count" in options else (*options, "--count", 1)
    status, out, err = run("build", "goal2k", "--run", tmp_path / "run", "-q", *given)
    assert (status, out) == (2, "") and says in err and err.count("\n") == 1, err


def test_a_grounder_that_is_not_trained_is_said_before_anything_is_painted(
    run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("scenograph.models.embedded.WEIGHTS", tmp_path)
    status, _, err = run("build", "goal2k", "--run", tmp_path / "run", "--count", 1)
    assert status == 2 and "'detector-b'" in err and not (tmp_path / "run").exists()


def test_a_malformed_review_is_one_line_with_its_number(
    run: Run, tmp_path: Path, server: Server, grounder: list[str]
) -> None:
    asked = words(tmp_path, server, "--count", 2, "-q")
    run(*asked)
    decide(tmp_path / "review.tsv", "accept", "maybe")
    status, out, err = run(*asked)
    assert (status, out) == (2, "") and "review.tsv, line 6: the verdict is 'maybe'" in err and err.count("\n") == 1


def test_a_dead_endpoint_is_one_line(run: Run, tmp_path: Path, server: Server, grounder: list[str]) -> None:
    server.answer = lambda _: failure(401, "wrong key")
    status, out, err = run(*words(tmp_path, server, "--count", 2, "-q"))
    assert (status, out) == (2, "") and "wrong key" in err and err.count("\n") == 1


def test_a_folder_that_cannot_be_written_is_one_line(run: Run, tmp_path: Path) -> None:
    (tmp_path / "file").write_text("")
    status, _, err = run("build", "goal2k", "--run", tmp_path / "file" / "run", "--count", 1)
    assert status == 2 and err.count("\n") == 1


def test_a_unified_model_paints_and_grounds(run: Run, tmp_path: Path) -> None:
    from scenograph.recipes import janus
    from scenograph.unified.model import Unified
    from tests.unified.tiny import tiny_janus, world_codec

    codec = world_codec()
    janus.save_janus(Unified(tiny_janus(codec), codec), model := tmp_path / "model")
    asked = ("build", "goal2k", "--run", tmp_path / "run", "--count", 1, "--painter", model, "--grounder", model)
    status, _, err = run(*asked, "--words", "world", "--unreviewed", "-q")
    assert status == 0, err
    (row,) = json.loads((tmp_path / "run" / "manifest.json").read_text())["rows"]
    assert row["grounder"] == row["painting"]["painter"] == str(model)
    status, _, err = run(*asked, "--words", "world", "--seed", 1, "--steps", 5, "--run", tmp_path / "other", "-q")
    assert status == 2 and "--steps belongs to diffusion" in err and err.count("\n") == 1


@pytest.mark.skipif(
    not (WEIGHTS / EMBEDDED["detector-b"] / "config.json").exists(), reason="the embedded weights are in training"
)
def test_the_embedded_models_from_prompts_to_a_data_set(run: Run, tmp_path: Path) -> None:
    """Two steps make no good picture: hence the low threshold, and nobody reviews what was found."""
    asked = ("build", "goal2k", "--run", tmp_path, "--painter", "tiny-gligen", "--count", 1, "--threshold", 0.05)
    status, out, err = run(*asked, "--steps", 2, "--unreviewed", "--json")
    assert status == 0, err
    assert json.loads(out)["counts"]["painted"] == 1
    (row,) = json.loads((tmp_path / "manifest.json").read_text())["rows"]
    assert row["grounder"] == "detector-b" and row["painting"]["painter"] == "tiny-gligen"
    assert (tmp_path / "dataset.jsonl").read_text().count("\n") == 1

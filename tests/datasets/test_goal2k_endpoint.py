"""GOAL2K by a real painter, and by endpoints on a real HTTP server that speaks the OpenAI protocol well and badly."""

from __future__ import annotations

import json
from collections.abc import Callable
from itertools import islice
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from scenograph.datasets.goal2k.endpoint import Endpoint, ImageEndpoint
from scenograph.datasets.goal2k.painting import PainterPictures
from scenograph.datasets.goal2k.rewording import same_request
from scenograph.datasets.goal2k.templates import template_prompts
from scenograph.datasets.goal2k.words import COCO
from scenograph.errors import DatasetError
from tests.datasets.goal2k_fakes import Answer, FixedPainter, Server, built, failure, png


def rows_of_prompts(count: int) -> list[str]:
    return [one.text for one in islice(template_prompts(COCO, 0), count)]


def test_a_real_painter_paints_planned_layouts_and_leaves_its_recipe(tmp_path: Path) -> None:
    from scenograph.painting import Painter
    from scenograph.painting.metadata import read_recipe
    from scenograph.planning.grammar_planner import GrammarPlanner
    from tests.tiny import tiny_sd

    painter = Painter.from_pretrained(tiny_sd(tmp_path / "sd"), device="cpu")
    options = {"steps": 1, "width": 64, "height": 64}
    folder = tmp_path / "run"
    built(folder, count=1, painter=PainterPictures(painter, options, planner=GrammarPlanner()), unreviewed=True)
    recipe = read_recipe(folder / "images" / "template-00001.png")
    assert len(recipe["layout"]["instances"]) == 2
    again = np.asarray(painter.repaint(recipe).image)
    with Image.open(folder / "images" / "template-00001.png") as image:
        assert np.array_equal(np.asarray(image), again)
    (row,) = json.loads((folder / "manifest.json").read_text())["rows"]
    assert row["painting"] | {"method": "plain", "steps": 1} == row["painting"]


def image_reply(**more: Any) -> tuple[int, Any]:
    return 200, {"created": 1, "data": [{"b64_json": png(), **more}]}


def test_an_image_endpoint_paints_and_its_words_are_kept(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda asked: image_reply(revised_prompt=asked["prompt"].upper()))
    endpoint = ImageEndpoint(model="m", base_url=server.url, size="32x32", quality="low")
    built(tmp_path, painter=endpoint, unreviewed=True, workers=3)
    assert {(a["path"], a["model"], a["n"], a["size"], a["quality"], a["response_format"]) for a in server.asked} == {
        ("/v1/images/generations", "m", 1, "32x32", "low", "b64_json")
    }
    rows = json.loads((tmp_path / "manifest.json").read_text())["rows"]
    assert sorted(server.prompts()) == sorted(row["prompt"] for row in rows) and len(rows) == 6
    seeds = {a["prompt"]: a["seed"] for a in server.asked}
    for row in rows:
        assert row["painting"]["revised_prompt"] == row["prompt"].upper()
        assert row["painting"]["seed"] == seeds[row["prompt"]]


def test_a_server_that_takes_no_extras_is_asked_without_them(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    def strict(asked: dict[str, Any]) -> tuple[int, Any]:
        if {"seed", "response_format"} & set(asked):
            return failure(400, "unknown parameter", "unknown_parameter")
        return 200, {"created": 1, "data": [{"url": f"{server.root}/a.png"}]}

    server = serve(strict)
    built(tmp_path, count=3, painter=ImageEndpoint(model="m", base_url=server.url), unreviewed=True)
    assert len(server.asked) == 2 + 3  # what it accepts is remembered
    with Image.open(tmp_path / "images" / "template-00001.png") as image:
        assert image.getpixel((5, 5)) == (10, 200, 10)
    rows = json.loads((tmp_path / "manifest.json").read_text())["rows"]
    assert {row["painting"]["seed"] for row in rows} == {None}


def test_a_prompt_against_the_policy_is_passed_over_for_good(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    bad = rows_of_prompts(4)[1]

    def picky(asked: dict[str, Any]) -> tuple[int, Any]:
        if asked["prompt"] == bad:
            return failure(400, "not allowed", "content_policy_violation")
        return image_reply()

    server = serve(picky)
    result = built(tmp_path, count=4, painter=ImageEndpoint(model="m", base_url=server.url), unreviewed=True)
    assert (result.counts["refused"], result.counts["used"]) == (1, 3)
    (refused,) = json.loads((tmp_path / "manifest.json").read_text())["refused"]
    assert refused["prompt"] == bad and "not allowed" in refused["why"]
    asked = len(server.asked)
    built(tmp_path, count=4, painter=ImageEndpoint(model="m", base_url=server.url))
    assert len(server.asked) == asked == 4


def test_an_endpoint_that_refuses_everything_stops_the_build(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda _: failure(400, "no such size", "invalid_value"))
    endpoint = ImageEndpoint(model="m", base_url=server.url)
    with pytest.raises(DatasetError, match=r"no such size.*5 prompts in a row"):
        built(tmp_path, count=20, painter=endpoint)
    assert not (tmp_path / "refused.jsonl").exists()  # none of them for good


@pytest.mark.parametrize(
    ("reply", "words"),
    [
        (failure(401, "wrong key"), "answers 401 .*wrong key.*check the key"),
        (failure(500, "oops"), "answers 500"),
        ((200, {"created": 1, "data": []}), "answered without a picture"),
        ((200, {"created": 1, "data": [{"b64_json": "////"}]}), "no readable picture"),
        ((200, {"created": 1, "data": [{"url": "file:///etc/passwd"}]}), "not of the web"),
        ((200, b"<html>"), "does not speak|without a picture"),
    ],
)
def test_an_endpoint_that_does_not_work_stops_the_build(
    tmp_path: Path, serve: Callable[[Answer], Server], reply: tuple[int, Any], words: str
) -> None:
    server = serve(lambda _: reply)
    with pytest.raises(DatasetError, match=words) as caught:
        built(tmp_path, painter=ImageEndpoint(model="m", base_url=server.url, retries=0))
    assert "\n" not in str(caught.value)


def test_no_endpoint_and_no_key_are_one_line(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda _: image_reply())
    server.stop()
    with pytest.raises(DatasetError, match="cannot reach"):
        built(tmp_path, painter=ImageEndpoint(model="m", base_url=server.url, retries=0))
    with pytest.raises(DatasetError, match="no key for the endpoint"):
        built(tmp_path, painter=ImageEndpoint(model="m"))


def test_what_an_endpoint_painted_before_it_broke_is_kept(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    broken: list[bool] = []

    def answer(_: dict[str, Any]) -> tuple[int, Any]:
        return image_reply() if len(server.asked) <= 3 or broken else failure(503, "down")

    server = serve(answer)
    with pytest.raises(DatasetError, match="503"):
        built(tmp_path, painter=ImageEndpoint(model="m", base_url=server.url, retries=0))
    kept = len(list((tmp_path / "images").glob("*.png")))
    broken.append(True)
    before = len(server.asked)
    assert kept == 3 and built(tmp_path, painter=ImageEndpoint(model="m", base_url=server.url)).counts["painted"] == 6
    assert len(server.asked) - before == 3


def chat_reply(text: str) -> tuple[int, Any]:
    message = {"role": "assistant", "content": text}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return 200, body | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


def test_wordings_that_ask_the_same_are_told_from_others() -> None:
    prompt = "a red cup next to a wooden bench"
    assert same_request(prompt, "A red cup stands next to a wooden bench.")
    for other in ("a cup next to a wooden bench", "two red cups next to a wooden bench", "a red cup and a wooden bench",
                  "a red cup next to a wooden bench and a dog", "a bench next to a red cup", ""):  # fmt: skip
        assert not same_request(prompt, other), other


def test_a_language_model_words_prompts_once(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    stubborn = rows_of_prompts(4)[2]

    def answer(asked: dict[str, Any]) -> tuple[int, Any]:
        prompt = asked["messages"][1]["content"]
        if prompt == stubborn:
            return chat_reply("An empty room.")
        return chat_reply(f'"A photo of {prompt}."' if len(asked["messages"]) > 2 else "Something else.")

    server = serve(answer)
    llm = Endpoint(model="m", base_url=server.url)
    built(tmp_path, count=4, wording=llm, unreviewed=True)
    asked = len(server.asked)
    assert asked == 3 * 2 + 3
    rows = json.loads((tmp_path / "manifest.json").read_text())["rows"]
    for row, template in zip(rows, rows_of_prompts(4), strict=True):
        if template == stubborn:
            assert row["prompt"] == template and "original" not in row
        else:
            assert (row["prompt"], row["original"], row["worded_by"]) == (f"A photo of {template}.", template, "m")
    assert FixedPainter(tmp_path / "bill").billed() == [row["prompt"] for row in rows]
    built(tmp_path, count=4, wording=llm)
    built(tmp_path, count=4)  # without the model its words stay
    assert len(server.asked) == asked
    with pytest.raises(DatasetError, match="wordings of m"):
        built(tmp_path, count=4, wording=Endpoint(model="other", base_url=server.url))


def test_what_is_painted_keeps_its_words(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda asked: chat_reply(f"A photo of {asked['messages'][1]['content']}."))
    built(tmp_path, count=2)
    result = built(tmp_path, count=4, wording=Endpoint(model="m", base_url=server.url))
    assert result.counts["reworded"] == len(server.asked) == 2 and result.counts["painted"] == 4


def test_captions_are_never_reworded(tmp_path: Path, serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda _: failure(500, "must not be asked"))
    file = tmp_path / "captions.txt"
    file.write_text("A dog next to a cat on a bench.\nA man riding a horse.\n")
    plan: dict[str, Any] = {"count": 0, "captions": file, "caption_count": 2}
    llm = Endpoint(model="m", base_url=server.url, retries=0)
    assert built(tmp_path / "run", wording=llm, **plan).counts["painted"] == 2 and not server.asked
    with pytest.raises(DatasetError, match="nothing is asked for"):
        built(tmp_path / "other", count=0)

"""VLMs as judges: a tiny LLaVA through the real loading path, and endpoints on a real HTTP server."""

from __future__ import annotations

import base64
import io
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import CheckpointError
from scenograph.judging.layoutsam import Question, layoutsam_tallies
from scenograph.judging.vlm import EndpointVLM, TransformersVLM, says_yes
from scenograph.layout import Box, Instance, Layout
from tests.datasets.goal2k_fakes import Answer, Server, failure
from tests.judging.checkpoints import save_clip, save_llava

WHOLE = Box(0, 0, 1, 1)


def noise(seed: int, size: tuple[int, int] = (40, 30)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


def question(image: Image.Image, subject: str = "dog", box: Box = WHOLE) -> Question:
    return Question(about="spatial", image=image, box=box, subject=subject, description=f"a red {subject}")


@pytest.mark.parametrize(
    ("answer", "yes"),
    [("Yes", True), ("yes.", True), ("Yes, it is.", True), ("No", False), ("YES", False), ("", False)],
)
def test_what_is_a_yes(answer: str, yes: bool) -> None:
    assert says_yes(answer) is yes


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return save_llava(tmp_path_factory.mktemp("llava"))


def test_the_answer_is_that_of_a_plain_generate(folder: Path) -> None:
    vlm = TransformersVLM.from_pretrained(folder, device="cpu")
    image, text = noise(1), "Is the dog red?"
    inputs = vlm.processor(images=image, text="<image>" + text, return_tensors="pt")
    with torch.inference_mode():
        tokens = vlm.model.generate(**inputs, max_new_tokens=16, do_sample=False)
    answer = vlm.processor.tokenizer.decode(tokens[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True)
    assert vlm.answers([(image, text)]) == [answer] and answer
    assert vlm.answers([(image, "Is the cat blue?")]) != [answer] != vlm.answers([(noise(2), text)])


def test_batches_of_unequal_questions_change_no_answer(folder: Path) -> None:
    vlm = TransformersVLM.from_pretrained(folder, device="cpu", batch_size=3)
    asked = [(noise(n, (20 + 9 * n, 30)), "Is it so" + " or otherwise" * n + "?") for n in range(4)]
    together = vlm.answers(asked)
    assert together == [vlm.answers([pair])[0] for pair in asked] and len(set(together)) == 4
    assert vlm.answers([]) == []


def test_only_the_crop_is_shown(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    vlm = TransformersVLM.from_pretrained(folder, device="cpu")
    shown: list[tuple[tuple[int, int], str]] = []

    def answers(asked: list[tuple[Image.Image, str]]) -> list[str]:
        shown.extend((image.size, text) for image, text in asked)
        return ["Yes", "No"]

    monkeypatch.setattr(vlm, "answers", answers)
    one = question(noise(0), box=Box(0.5, 0, 1, 0.5))
    assert vlm.yes([one, question(noise(1))]) == [True, False]
    assert shown[0] == ((20, 15), one.text) and shown[1][0] == (40, 30)


def test_the_protocol_with_a_tiny_vlm(folder: Path) -> None:
    vlm = TransformersVLM.from_pretrained(folder, device="cpu")
    layouts = [Layout(caption="a", instances=(Instance(caption="a red dog", box=WHOLE),))] * 2
    tallies = layoutsam_tallies([noise(0), noise(1)], layouts, vlm)
    assert all(tally.count_N.tolist() == [1, 1] for tally in tallies.values())


def test_checkpoints_that_cannot_judge(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no chat template"):
        TransformersVLM.from_pretrained(save_llava(tmp_path / "mute", chat=False))
    with pytest.raises(CheckpointError, match="cannot load the VLM"):
        TransformersVLM.from_pretrained(save_clip(tmp_path / "clip"))
    (tmp_path / "own").mkdir()
    (tmp_path / "own" / "config.json").write_text(
        json.dumps({"model_type": "minicpmv", "auto_map": {"AutoConfig": "configuration_minicpm.MiniCPMVConfig"}})
    )
    with pytest.raises(CheckpointError, match="cannot load the VLM") as caught:  # its own code is not run
        TransformersVLM.from_pretrained(tmp_path / "own")
    assert "\n" not in str(caught.value)


def reply(text: str | None) -> tuple[int, Any]:
    message = {"role": "assistant", "content": text}
    body = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    return 200, body | {"choices": [{"index": 0, "finish_reason": "stop", "message": message}]}


def parts(asked: dict[str, Any]) -> tuple[str, Image.Image]:
    """The text and the picture of a request."""
    text, picture = asked["messages"][0]["content"]
    head, encoded = picture["image_url"]["url"].split(",")
    assert head == "data:image/png;base64" and len(asked["messages"]) == 1
    return text["text"], Image.open(io.BytesIO(base64.b64decode(encoded)))


def test_an_endpoint_sees_the_crop_and_answers_in_order(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda asked: reply("Yes" if '"dog"' in parts(asked)[0] else "No, there is none."))
    vlm = EndpointVLM(model="judge", base_url=server.url)
    asked = [question(noise(n), "dog" if n % 3 else "cat", Box(0.5, 0, 1, 1)) for n in range(9)]
    assert vlm.yes(asked) == [bool(n % 3) for n in range(9)] and vlm.yes([]) == []
    assert {(a["path"], a["model"], a["temperature"]) for a in server.asked} == {("/v1/chat/completions", "judge", 0)}
    shown = {np.asarray(parts(one)[1]).tobytes() for one in server.asked}
    assert shown == {np.asarray(one.crop()).tobytes() for one in asked}


def test_an_endpoint_without_temperature_is_asked_without_it(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda asked: failure(400, "temperature is fixed") if "temperature" in asked else reply("Yes"))
    vlm = EndpointVLM(model="m", base_url=server.url, workers=1)
    assert vlm.yes([question(noise(n)) for n in range(3)]) == [True] * 3
    assert len(server.asked) == 1 + 3  # what it takes is remembered


@pytest.mark.parametrize(
    ("answer", "words"),
    [
        (failure(400, "no pictures please"), "refuses the request .*no pictures please"),
        (failure(401, "wrong key"), "answers 401 .*check the key"),
        (failure(500, "oops"), "answers 500"),
        ((200, {"id": "1", "choices": []}), "without a choice"),
        ((200, b"<html>"), "does not speak|without a choice"),
    ],
)
def test_an_endpoint_that_does_not_work_is_one_line(
    serve: Callable[[Answer], Server], answer: tuple[int, Any], words: str
) -> None:
    server = serve(lambda _: answer)
    with pytest.raises(CheckpointError, match=words) as caught:
        EndpointVLM(model="m", base_url=server.url, retries=0).yes([question(noise(0))])
    assert "\n" not in str(caught.value)


def test_an_empty_answer_is_no_yes(serve: Callable[[Answer], Server]) -> None:
    server = serve(lambda _: reply(None))
    assert EndpointVLM(model="m", base_url=server.url).yes([question(noise(0))]) == [False]
    server.stop()
    with pytest.raises(CheckpointError, match="cannot reach"):
        EndpointVLM(model="m", base_url=server.url, retries=0).yes([question(noise(0))])
    with pytest.raises(CheckpointError, match="no key for the endpoint"):
        EndpointVLM(model="m").yes([question(noise(0))])

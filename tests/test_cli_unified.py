"""The unified model behind the three commands: a random tiny Janus, saved as a folder, plans, paints and grounds."""

from __future__ import annotations

import json
from collections.abc import Callable
from copy import deepcopy
from dataclasses import replace
from pathlib import Path
from typing import Any, Literal

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import GuidanceError, LayoutError, PlanError
from scenograph.grounding.unified import UnifiedGrounder
from scenograph.layout import Layout, load_layouts
from scenograph.painting.metadata import save_png
from scenograph.painting.unified import UnifiedPainter
from scenograph.planning.unified_planner import UnifiedPlanner
from scenograph.unified.letterbox import Letterbox
from scenograph.unified.model import Unified
from scenograph.unified.passes import tower_features
from scenograph.unified.pictures import image_tokens
from tests.unified.tiny import layout, tiny_janus, world_codec

Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def unified() -> Unified:
    codec = world_codec()
    return Unified(tiny_janus(codec), codec)


@pytest.fixture(scope="module")
def folder(unified: Unified, tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("janus")
    unified.model.save_pretrained(path)
    unified.codec.tokenizer.save_pretrained(path)
    return path


def test_plan_paint_ground(run: Run, folder: Path, tmp_path: Path) -> None:
    status, text, err = run("plan", "a red dog and a cat", "--planner", "janus", "--llm", folder, "--json")
    assert status == 0, err
    planned = Layout.from_json(text)
    assert planned.caption == "a red dog and a cat" and planned.instances
    asked = tmp_path / "asked.json"
    asked.write_text(layout().to_json())
    picture = tmp_path / "picture.png"
    status, text, err = run("paint", asked, "--model", folder, "--cfg", "2", "--out", picture, "--json")
    assert status == 0, err
    recipe = json.loads(text)
    assert recipe["method"] == "plain" and recipe["cfg"] == 2 and Image.open(picture).size == (64, 64)
    again = tmp_path / "again.png"
    assert run("paint", picture, "--out", again)[0] == 0
    assert Image.open(again).tobytes() == Image.open(picture).tobytes()
    found = tmp_path / "found.json"
    status, text, err = run("ground", picture, "a black dog", "a cat", "--grounder", folder, "--out", found)
    assert status == 0, err
    assert [i.caption for i in load_layouts(found)[0].instances] == ["a black dog", "a cat"]
    status, _, err = run("ground", picture, "a cat", "--grounder", folder, "--threshold", "0.9")
    assert status == 2 and "gives no scores; leave --threshold out" in err and err.count("\n") == 1


@pytest.mark.parametrize("seed", ["-1", "99999999999999999999999"])
def test_a_seed_that_is_none_costs_one_line(run: Run, folder: Path, seed: str) -> None:
    status, _, err = run("plan", "a red dog", "--planner", "janus", "--llm", folder, "--seed", seed)
    assert status == 2 and "--seed" in err and err.count("\n") == 1
    with pytest.raises(PlanError, match="expected a whole number from 0 to 2"):
        UnifiedPlanner(model=folder).plan("a red dog", seed=int(seed))


def test_planner_options_that_it_lacks_are_named_alone(run: Run, folder: Path) -> None:
    words = ("--planner", "janus", "--llm", folder, "--base-url", "http://127.0.0.1:1/v1")
    status, _, err = run("plan", "a red dog", *words)
    assert status == 2 and "'janus' does not take base_url; leave it out" in err


def test_a_dtype_and_what_only_diffusion_can_leave_on_the_cpu(run: Run, folder: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.json"
    asked.write_text(layout().to_json())
    told = {}
    for dtype in ("float32", "bfloat16"):
        status, text, err = run("paint", asked, "--model", folder, "--dtype", dtype, "--out", tmp_path, "--json")
        assert status == 0, err
        told[dtype] = json.loads(text)["dtype"]
    assert told == {"float32": "float32", "bfloat16": "bfloat16"}
    status, _, err = run("paint", asked, "--model", folder, "--offload", "--out", tmp_path / "x.png")
    assert status == 2 and "--offload belongs to diffusion" in err and not (tmp_path / "x.png").exists()


def test_methods_of_diffusion_are_refused(run: Run, folder: Path, tmp_path: Path) -> None:
    asked = tmp_path / "asked.json"
    asked.write_text(layout().to_json())
    status, _, err = run("paint", asked, "--model", folder, "--method", "winwinlay", "--out", tmp_path / "x.png")
    assert status == 2 and "is a unified model" in err and len(err.strip().splitlines()) == 1


def test_a_picture_is_painted_again_as_it_was_drawn(run: Run, folder: Path, unified: Unified, tmp_path: Path) -> None:
    """From Python with other cuts than the command's; what diffusion alone has is refused."""
    painter = UnifiedPainter(unified, name=str(folder))
    cut, plain = (painter.paint(layout(), progress=False, top_k=k, temperature=1.5) for k in (2, 0))
    assert cut[0].image.tobytes() != plain[0].image.tobytes()
    save_png(cut[0], tmp_path / "a.png")
    status, _, err = run("paint", tmp_path / "a.png", "--out", tmp_path / "b.png")
    assert status == 0, err
    with Image.open(tmp_path / "b.png") as again:
        assert again.tobytes() == cut[0].image.tobytes()
    for words in (("--steps", 10), ("--negative", "fog"), ("--lora", "x.safetensors")):
        status, _, err = run("paint", tmp_path / "a.png", *words, "--out", tmp_path / "c.png")
        assert status == 2 and f"{words[0]} belongs to diffusion" in err and err.count("\n") == 1


def test_how_image_tokens_are_drawn_can_be_said(run: Run, folder: Path, unified: Unified, tmp_path: Path) -> None:
    asked, painter = tmp_path / "asked.json", UnifiedPainter(unified, name=str(folder))
    asked.write_text(layout().to_json())
    words = ("--image-temperature", "0.5", "--top-k", "3", "--top-p", "0.9")
    status, text, err = run("paint", asked, "--model", folder, *words, "--out", tmp_path / "a.png", "--json")
    assert status == 0, err
    told = {"temperature": 0.5, "top_k": 3, "top_p": 0.9}
    assert {name: json.loads(text)[name] for name in told} == told
    expected = painter.paint(layout(), progress=False, temperature=0.5, top_k=3, top_p=0.9)[0].image
    with Image.open(tmp_path / "a.png") as picture:
        assert picture.tobytes() == expected.tobytes()
    for model, word, number, complaint in (
        (folder, "--image-temperature", "-1", "temperature -1.0"),
        (folder, "--top-p", "2", "top_p 2.0"),
        ("tiny-sd", "--top-k", "5", "--top-k belongs to unified models"),
    ):
        status, _, err = run("paint", asked, "--model", model, word, number, "--out", tmp_path / "b.png")
        assert status == 2 and complaint in err and err.count("\n") == 1
        assert not (tmp_path / "b.png").exists()


def test_a_seed_paints_the_same_alone_and_in_a_batch(unified: Unified) -> None:
    painter = UnifiedPainter(unified, name="tiny")
    layouts = [layout(), layout(caption="two dogs"), layout(("a cat", (0.1, 0.1, 0.4, 0.4)))]
    together = painter.paint(layouts, seeds=[1, 2, 3], progress=False)
    alone = painter.paint(layouts[1], seeds=2, progress=False)[0]
    difference = np.asarray(alone.image, int) - np.asarray(together[1].image, int)
    assert abs(difference).max() <= 2  # the same tokens; decoding a batch rounds otherwise
    assert len(painter.paint(layouts[0], seeds=[1, 2], cfg=1.0, progress=False)) == 2
    with pytest.raises(LayoutError, match="expected one Layout"):
        painter.paint([], progress=False)
    with pytest.raises(GuidanceError, match="2 seeds for 3 layouts"):
        painter.paint(layouts, seeds=[1, 2], progress=False)


def test_a_wide_layout_is_painted_in_the_letterbox(unified: Unified) -> None:
    painter, wide = UnifiedPainter(unified, name="tiny"), replace(layout(), size=(640, 320))
    painting = painter.paint(wide, seeds=5, progress=False)[0]
    assert painting.image.size == (64, 32) and painting.layout == wide
    squared = Letterbox((640, 320), 64).layout(layout())
    whole = painter.paint(squared, seeds=5, progress=False)[0].image
    assert whole.crop((0, 16, 64, 48)).tobytes() == painting.image.tobytes()


def test_grounding_brings_boxes_back_from_the_letterbox(unified: Unified) -> None:
    wide = Image.new("RGB", (128, 64), (200, 30, 30))
    (found,) = UnifiedGrounder(unified).detect([wide], ["a dog", "a cat"])
    assert found.size == (128, 64) and len(found.instances) <= 2
    grounder = UnifiedGrounder(unified, batch_size=1)
    images = [wide, wide.resize((64, 64))]
    assert grounder.ground(images, [["a dog"], ["a cat"]])[0] == UnifiedGrounder(unified).ground([wide], [["a dog"]])[0]


@pytest.mark.parametrize("through", ["tower", "tokens"])
def test_a_picture_asked_about_twice_is_encoded_once(
    unified: Unified, monkeypatch: pytest.MonkeyPatch, through: Literal["tower", "tokens"]
) -> None:
    one, other = Image.new("RGB", (64, 64), (200, 30, 30)), Image.new("RGB", (64, 64), (20, 30, 200))
    grounder = UnifiedGrounder(unified, through=through)
    encoded: list[int] = []
    whole = {"tower": tower_features, "tokens": image_tokens}[through]

    def counted(model: Any, pixels_BCHW: torch.Tensor) -> torch.Tensor:
        encoded.append(len(pixels_BCHW))
        return whole(model, pixels_BCHW)

    monkeypatch.setattr(f"scenograph.grounding.unified.{whole.__name__}", counted)
    asked = [(one, "a dog"), (other, "a dog"), (one, "a cat")]
    found = grounder.ground([image for image, _ in asked], [[said] for _, said in asked])
    assert encoded == [2]
    assert found == [grounder.ground([image], [[said]])[0] for image, said in asked]


def test_grounding_sees_through_the_tower_or_the_image_tokens(unified: Unified) -> None:
    """Each way depends on its own encoder, and on that alone."""
    picture = Image.fromarray(np.random.default_rng(0).integers(0, 255, (64, 64, 3), dtype=np.uint8))
    ways = {way: UnifiedGrounder(unified, through=way).ground([picture], [["a dog"]]) for way in ("tower", "tokens")}
    assert ways["tower"] != ways["tokens"]
    blind = Unified(deepcopy(unified.model), unified.codec)
    torch.nn.init.zeros_(next(iter(blind.model.model.aligner.parameters())))
    assert UnifiedGrounder(blind).ground([picture], [["a dog"]]) != ways["tower"]
    assert UnifiedGrounder(blind, through="tokens").ground([picture], [["a dog"]]) == ways["tokens"]


def test_plans_differ_by_seed_repeat_and_take_rounds(unified: Unified) -> None:
    planner = UnifiedPlanner(unified)
    state = torch.get_rng_state()
    first = planner.plan("a dog", seed=1)
    assert planner.plan("a dog", seed=1) == first
    assert len({planner.plan("a dog", seed=seed).layout for seed in range(4)}) > 1
    assert torch.equal(state, torch.get_rng_state())
    again = UnifiedPlanner(unified, regenerate=2).plan("a dog", seed=1, size=(640, 480))
    assert again.layout.size == (640, 480) and 1 <= len(again.layout.instances) <= 12
    assert again.layout == first.layout or again.changes

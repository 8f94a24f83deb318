"""`scenograph ground`: pictures and phrases in one row, layouts out."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scenograph.cli.judging import read_image
from scenograph.layout import load_layouts
from scenograph.models.embedded import EMBEDDED, WEIGHTS
from scenograph.world.scenes import scene_at

Run = Callable[..., tuple[int, str, str]]
pytestmark = pytest.mark.skipif(
    not (WEIGHTS / EMBEDDED["detector-a"] / "config.json").exists(), reason="the embedded weights are in training"
)


@pytest.fixture(scope="module")
def picture(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, str]:
    """A drawn scene of one object, and the object's noun."""
    scene = next(s for s in (scene_at(i, seed=7, split="test") for i in range(99)) if len(s.objects) == 1)
    path = tmp_path_factory.mktemp("ground") / "scene.png"
    scene.draw().save(path)
    return path, scene.objects[0].noun


def test_a_phrase_is_found_where_it_is(run: Run, picture: tuple[Path, str], tmp_path: Path) -> None:
    path, noun = picture
    out, sheet = tmp_path / "found.json", tmp_path / "found.png"
    status, text, _ = run("ground", path, f"a shiny {noun}", "--best", "--out", out, "--draw", sheet)
    assert status == 0 and "1 found" in text
    (layout,) = load_layouts(out)
    assert layout.instances[0].caption == f"a shiny {noun}" and layout.instances[0].label == noun
    assert sheet.exists()


def test_without_phrases_everything_known_is_looked_for(run: Run, picture: tuple[Path, str]) -> None:
    path, noun = picture
    status, text, _ = run("ground", path, "--json")
    assert status == 0
    found = json.loads(text)
    assert found["image"] == str(path) and noun in [i["caption"] for i in found["instances"]]


@pytest.mark.parametrize(
    ("words", "message"),
    [(["a cat"], "got no picture"), (["missing.png", "a cat"], "no readable picture"), ([], "Missing argument")],
)
def test_mistakes_are_one_line(run: Run, words: list[str], message: str) -> None:
    status, _, err = run("ground", *words)
    assert status == 2 and message in err and len(err.strip().splitlines()) == 1


def test_words_the_detector_does_not_know(run: Run, picture: tuple[Path, str]) -> None:
    status, _, err = run("ground", picture[0], "a zeppelin")
    assert status == 2 and "sees none of" in err


def test_what_a_detector_cannot_tell_is_said(run: Run, picture: tuple[Path, str], tmp_path: Path) -> None:
    path, noun = picture
    status, _, err = run("ground", path, f"a {noun}", "a unicorn")
    assert status == 0 and err == "scenograph: the detector has no word for a unicorn; not looked for\n"
    status, _, err = run("ground", path, f"a red {noun}", f"a blue {noun}")
    assert status == 0 and "2 phrases have 1: the last of a noun counts" in err and err.count("\n") == 1
    asked = tmp_path / "asked.json"
    unicorn = {"caption": "a unicorn", "instances": [{"caption": "a unicorn", "box": [0, 0, 1, 1]}]}
    asked.write_text(json.dumps(unicorn))
    status, _, err = run("judge", asked, path, "--reader", "none", "--clip", "none")
    assert status == 0 and "has no word for unicorn: they count as missing" in err and err.count("\n") == 1


def test_a_photo_is_read_upright(tmp_path: Path) -> None:
    photo = Image.new("RGB", (40, 20), "red")
    exif = photo.getexif()
    exif[0x0112] = 6  # turned to the right
    photo.save(tmp_path / "photo.jpg", exif=exif)
    assert read_image(tmp_path / "photo.jpg").size == (20, 40)

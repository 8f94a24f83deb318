"""Recipes in pictures: what goes in comes out, and paints the same picture."""

from __future__ import annotations

import json
import struct
import zlib
from pathlib import Path

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scenograph.errors import ImageError
from scenograph.layout import Box, Instance, Layout
from scenograph.painting import Painter, Painting
from scenograph.painting.metadata import read_recipe, save_png


@pytest.fixture
def painting(painters: dict[str, Painter], layouts: list[Layout]) -> Painting:
    return painters["sd"].paint(layouts[3], seeds=5, steps=2, guidance="winwinlay", progress=False)[0]


def test_a_saved_picture_can_be_painted_again(painting: Painting, painters: dict[str, Painter], tmp_path: Path) -> None:
    path = save_png(painting, tmp_path / "new" / "scene.png")
    recipe = read_recipe(path)
    assert recipe == json.loads(json.dumps(painting.recipe()))
    again = painters["sd"].repaint(recipe)
    assert again.image.tobytes() == painting.image.tobytes() == Image.open(path).tobytes()
    assert [entry.name for entry in path.parent.iterdir()] == ["scene.png"]


def test_the_recipe_keeps_every_script_and_many_instances(painters: dict[str, Painter], tmp_path: Path) -> None:
    boxes = [Box(0, i / 100, 1, (i + 1) / 100) for i in range(100)]
    instances = tuple(Instance(caption="a dog", box=box) for box in boxes)
    layout = Layout(caption='a dog, собака, 犬 "quoted" 🐕', instances=instances)
    (painting,) = painters["sd"].paint(layout, steps=1, progress=False)
    recipe = read_recipe(save_png(painting, tmp_path / "a.png"))
    assert Layout.from_dict(recipe["layout"]) == layout


def test_no_metadata_leaves_nothing_but_pixels(painting: Painting, tmp_path: Path) -> None:
    path = save_png(painting, tmp_path / "a.png", metadata=False)
    assert Image.open(path).info == {}
    with pytest.raises(ImageError, match="carries no recipe"):
        read_recipe(path)


def test_a_failed_save_leaves_the_old_file(painting: Painting, tmp_path: Path) -> None:
    path = save_png(painting, tmp_path / "a.png")
    before = path.read_bytes()

    class Broken(Image.Image):
        def save(self, *_: object, **__: object) -> None:
            raise OSError(28, "No space left on device")

    broken = Painting(**{**vars(painting), "image": Broken()})
    with pytest.raises(ImageError, match="No space left on device"):
        save_png(broken, path)
    assert path.read_bytes() == before
    assert [entry.name for entry in tmp_path.iterdir()] == ["a.png"]


def test_what_cannot_be_saved_is_refused(painting: Painting, tmp_path: Path) -> None:
    with pytest.raises(ImageError, match=r"ends in \.png"):
        save_png(painting, tmp_path / "a.jpg")
    latents = Painting(**{**vars(painting), "image": [0.0]})
    with pytest.raises(ImageError, match="output='pil'"):
        save_png(latents, tmp_path / "a.png")
    (tmp_path / "file").write_text("")
    with pytest.raises(ImageError, match="cannot write"):
        save_png(painting, tmp_path / "file" / "a.png")


def test_bad_files_get_one_line_each(tmp_path: Path) -> None:
    def with_chunk(name: str, text: str) -> Path:
        chunks = PngInfo()
        chunks.add_itxt("scenograph", text)
        Image.new("RGB", (2, 2)).save(tmp_path / name, pnginfo=chunks)
        return tmp_path / name

    (tmp_path / "text.png").write_text("hello")
    (tmp_path / "empty.png").write_bytes(b"")
    whole = with_chunk("whole.png", "{}").read_bytes()
    (tmp_path / "cut.png").write_bytes(whole[:-30])
    bomb = tmp_path / "bomb.png"
    header = struct.pack(">IIBBBBB", 20_000, 20_000, 8, 2, 0, 0, 0)
    chunk = b"IHDR" + header
    bomb.write_bytes(whole[:8] + struct.pack(">I", 13) + chunk + struct.pack(">I", zlib.crc32(chunk)) + whole[33:])
    cases = {
        tmp_path / "nowhere.png": "no picture at",
        tmp_path: "no readable picture",
        tmp_path / "text.png": "no readable picture",
        tmp_path / "empty.png": "no readable picture",
        tmp_path / "whole.png": "lacks layout, seed, method",
        with_chunk("damaged.png", '{"seed": '): "damaged: line 1, column 10",
        with_chunk("deep.png", "[" * 100_000): "nests too deeply",
        with_chunk("long.png", '{"seed": ' + "1" * 5000 + "}"): "more than 4300 digits",
        bomb: "no readable picture .DecompressionBombError",
        with_chunk("list.png", "[1]"): "is a list; expected a JSON object",
    }
    for path, text in cases.items():
        with pytest.raises(ImageError, match=text) as caught:
            read_recipe(path)
        assert "\n" not in str(caught.value)
    with pytest.raises(ImageError):
        read_recipe(tmp_path / "cut.png")

"""`bench compbench` and `bench nsr1k-images` end to end: pictures by their names or recipes, judges of every kind."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from scenograph.errors import CheckpointError
from scenograph.judging.compbench_images import Evaluators
from scenograph.judging.compbench_world import world_compbench
from scenograph.judging.preference import PickScore
from scenograph.judging.results import read_results
from scenograph.layout import Box, Instance, Layout
from scenograph.models.embedded import EMBEDDED, WEIGHTS
from scenograph.recipes import bench_prompted
from tests.judging.checkpoints import save_blip, save_clip, save_dpt, save_grounding_dino
from tests.recipes.test_bench_painted import save_painted

Run = Callable[..., tuple[int, str, str]]
THERE = all((WEIGHTS / EMBEDDED[name] / "config.json").exists() for name in ("detector-a", "reader-a", "clip-a"))
PROMPTS = {
    "color_val.txt": ["a red dog and a blue bench.", "a blue dog"],
    "spatial_val.txt": ["a dog on the left of a bench"],
    "3d_spatial_val.txt": ["a dog in front of a bench"],
    "numeracy_val.txt": ["two dogs"],
    "non_spatial_val.txt": ["A dog sleeps on a bench."],
    "complex_val.txt": ["The red dog is near the blue bench.", "A dog sleeps."],
}
ROWS = {
    "counting.json": [
        {"id": 7, "prompt": "two dogs", "num_object": [["dog", 2]], "object_list": [], "sub-type": "single-category"}
    ],
    "spatial.json": [
        {"id": 7, "prompt": "a dog left of a bench", "relation": "left", "type": "template",
         "obj1": ["dog", [0, 0, 0.5, 0.5]], "obj2": ["bench", [0.5, 0, 0.5, 0.5]]}
    ],
}  # fmt: skip


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Prompts, two pictures of each named as the benchmark does, and tiny hub models of every kind."""
    path = tmp_path_factory.mktemp("prompted")
    for file, prompts in PROMPTS.items():
        (path / file).write_text("\n".join(prompts) + "\n")
        (path / "pictures" / file.removesuffix(".txt")).mkdir(parents=True)
        for number, prompt in enumerate(prompts):
            for turn in range(2):
                name = f"{prompt}_{2 * number + turn:06}.png"
                Image.new("RGB", (32, 32), (80 * turn, 60 * number, 90)).save(
                    path / "pictures" / file.removesuffix(".txt") / name
                )
    (path / "complex_val_action.txt").write_text("A dog sleeps.\n")
    for file, rows in ROWS.items():
        (path / file).write_text(json.dumps(rows))
    save_blip(path / "blip")
    save_grounding_dino(path / "dino")
    save_dpt(path / "dpt")
    save_clip(path / "clip")
    return path


def hub(folder: Path, *kinds: str) -> list[object]:
    names = {"vqa": "blip", "detector": "dino", "depth": "dpt", "clip": "clip"}
    return [word for kind in kinds for word in (f"--{kind}", folder / names[kind])]


def bench(run: Run, out: Path, *words: object) -> list[dict[str, Any]]:
    status, _, err = run("bench", *words, "--out", out, "--device", "cpu", "-q")
    assert status == 0, err
    return [dict(row) for row in read_results(out)["rows"]]


def test_every_category_by_hub_models(run: Run, folder: Path, tmp_path: Path) -> None:
    files = [word for file in PROMPTS for word in ("--prompts", folder / file)]
    words = ["compbench", *files, "--images", folder / "pictures", *hub(folder, "vqa", "detector", "depth", "clip")]
    rows = bench(run, tmp_path / "r.json", *words, "--confidence", 0.01)
    assert [row["name"] for row in rows] == ["colour", "spatial", "3d-spatial", "numeracy", "non-spatial", "complex"]
    assert [(row["n"], row["pictures"]) for row in rows] == [(2, 4), (1, 2), (1, 2), (1, 2), (1, 2), (2, 4)]
    assert all(row["score_ci"][0] <= row["score"] <= row["score_ci"][1] for row in rows)
    alone = bench(
        run, tmp_path / "s.json", "compbench", *files[:2], "--images", folder / "pictures", *hub(folder, "vqa")
    )
    assert alone[0]["score"] == rows[0]["score"] > 0


def test_every_row_may_say_how_well_its_pictures_are_liked(run: Run, folder: Path, tmp_path: Path) -> None:
    words = ["compbench", "--prompts", folder / "color_val.txt", "--images", folder / "pictures" / "color_val"]
    (row,) = bench(run, tmp_path / "r.json", *words, *hub(folder, "vqa"), "--pickscore", folder / "clip")
    scorer = PickScore.from_pretrained(folder / "clip", device="cpu")
    shown = [(prompt, 2 * i + turn) for i, prompt in enumerate(PROMPTS["color_val.txt"]) for turn in range(2)]
    images = [Image.open(folder / "pictures" / "color_val" / f"{prompt}_{number:06}.png") for prompt, number in shown]
    expected = scorer.scores([image.convert("RGB") for image in images], [prompt for prompt, _ in shown])
    assert row["pickscore"] == pytest.approx(sum(expected) / 4, abs=1e-3)


class Same:
    """A CLIP whose cosine with everything is a picture's red."""

    def image_features(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.tensor([[image.getpixel((0, 0))[0] / 255] for image in images])  # type: ignore[index]

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        return torch.ones(len(texts), 1)


def test_pictures_count_equally_and_prompts_are_resampled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Three pictures of one prompt, one of another, in parts of two; one prompt is known by its recipe alone."""
    monkeypatch.setattr(bench_prompted, "_AT_ONCE", 2)
    (tmp_path / "non_spatial_val.txt").write_text("a dog runs\na cat sleeps.\n")
    for number, red in enumerate((255, 255, 0)):
        Image.new("RGB", (8, 8), (red, 0, 0)).save(tmp_path / f"a dog runs_{number:06}.png")
    layout = Layout(caption="A cat sleeps.", instances=(Instance(caption="a cat", box=Box(0, 0, 1, 1)),))
    save_painted(Image.new("RGB", (8, 8), (0, 0, 0)), layout, tmp_path / "cat-007.png")
    content = bench_prompted.compbench(
        prompts=[tmp_path / "non_spatial_val.txt"],
        images=tmp_path,
        judges=Evaluators(clip=Same()),
        out=tmp_path / "r.json",
        command="c",
        progress=False,
    )
    (row,) = content["rows"]
    assert row["score"] == pytest.approx(50) and (row["n"], row["pictures"]) == (2, 4)
    low, high = row["score_ci"]
    assert high - low == pytest.approx(200 / 3, abs=0.1)  # from one prompt alone, 0, to the other, 2 of 3
    assert "| non-spatial |" in "".join(bench_prompted.tables(content).values())


def test_complex_prompts_heed_the_lists_beside_them(folder: Path) -> None:
    first, second = bench_prompted._prompts(folder / "complex_val.txt")
    assert first.parts == ("attribute", "spatial", "clip") and second.parts == ("attribute", "clip")


@pytest.mark.skipif(not THERE, reason="the embedded weights are in training")
def test_drawn_scenes_are_the_ceiling_and_swapped_pictures_are_not(run: Run, tmp_path: Path) -> None:
    items = world_compbench("colour", 16)
    asked = [" and ".join(item.asked.chunks) for item in items]
    (tmp_path / "color_val.txt").write_text("\n".join(asked))
    for kind, shift in (("own", 0), ("swapped", 1)):
        (tmp_path / kind).mkdir()
        for number, item in enumerate(items):
            layout = replace(item.layout, caption=asked[(number + shift) % len(items)])
            save_painted(item.scene.draw(), layout, tmp_path / kind / f"{number:02d}.png")
    words = ["compbench", "--prompts", tmp_path / "color_val.txt"]
    (own,), (swapped,) = (
        bench(run, tmp_path / f"{k}.json", *words, "--images", tmp_path / k) for k in ("own", "swapped")
    )
    assert own["score"] > 80 > 30 > swapped["score"]


def test_nsr1k_by_numbers_and_by_words(run: Run, folder: Path, tmp_path: Path) -> None:
    for name in ("7_0.png", "two dogs_1.png", "a dog left of a bench_0.png"):
        Image.new("RGB", (32, 32), (90, 20, 40)).save(tmp_path / name)
    judges = [*hub(folder, "detector", "clip"), "--confidence", 0.01]
    (row,) = bench(
        run, tmp_path / "r.json", "nsr1k-images", "--data", folder / "counting.json", "--images", tmp_path, *judges
    )
    assert (row["name"], row["n"], row["pictures"]) == ("counting", 1, 1)  # the words win over the number
    (tmp_path / "two dogs_1.png").unlink()
    again = bench(
        run, tmp_path / "s.json", "nsr1k-images", "--data", folder / "counting.json", "--images", tmp_path, *judges
    )
    assert again[0]["accuracy"] == row["accuracy"] and again[0]["clip_s"] == row["clip_s"]
    shutil.copy(tmp_path / "7_0.png", tmp_path / "two dogs_0.png")
    both = tmp_path / "data"
    both.mkdir()
    for file in ROWS:
        shutil.copy(folder / file, both)
    rows = bench(run, tmp_path / "t.json", "nsr1k-images", "--data", both, "--images", tmp_path, *judges)
    assert [row["name"] for row in rows] == ["counting", "spatial"] and all("accuracy_ci" in row for row in rows)


def test_the_worlds_judges_are_used_as_the_world_needs_them(folder: Path) -> None:
    found = bench_prompted.evaluators(vqa=None, detector=str(folder / "dino"), clip=None)
    assert found.renamed and found.suppression == 0.5 and found.confidence == 0.5 and found.vqa is None
    if THERE:
        world = bench_prompted.evaluators()
        assert not world.renamed and world.suppression is None and world.vqa is not None
        assert bench_prompted.evaluators(confidence=0.9).confidence == 0.9 != world.confidence


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("--prompts {0}/color_val.txt --images {0}/blip --vqa {0}/blip", "no pictures in"),
        ("--prompts {0}/color_val.txt --images {0}/pictures/numeracy_val --vqa {0}/blip", "2 of 2 prompts have no"),
        ("--prompts {0}/counting.json --images {0}/pictures", "no category 'counting'"),
        ("--prompts {0}/color_val.txt --images {0}/pictures", "name it with --vqa"),
        ("--prompts {0}/spatial_val.txt --images {0}/pictures", "name it with --detector"),
        ("--prompts {0}/3d_spatial_val.txt --images {0}/pictures --detector {0}/dino", "name it with --depth"),
        ("--prompts {0}/spatial_val.txt --images {0}/pictures --detector {0}/blip", "blip"),
    ],
)
def test_mistakes_are_one_line(run: Run, folder: Path, tmp_path: Path, words: str, message: str) -> None:
    given = [word.format(folder) for word in words.split()]
    for kind in ("--detector", "--clip"):
        if kind not in given:
            given += [kind, "none"]
    status, text, err = run("bench", "compbench", *given, "--out", tmp_path / "r.json", "-q")
    assert (status, text) == (2, "") and message in err and len(err.strip().splitlines()) == 1
    assert not (tmp_path / "r.json").exists()


def test_a_missing_evaluator_is_named_before_pictures_are_read(folder: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--clip"):
        bench_prompted.compbench(
            prompts=[folder / "non_spatial_val.txt"], images=tmp_path, judges=Evaluators(), out=tmp_path / "r.json",
            command="c",
        )  # fmt: skip

"""`scenograph train gligen|goal` on a COCO folder of one's own, from a stock SD checkpoint to a picture."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scenograph.layout import Box, Instance, Layout
from scenograph.models.gated import DELTA
from scenograph.painting import Painter
from scenograph.recipes import world as recipes
from scenograph.training.clip import build_clip
from tests.tiny import tiny_sd, tiny_sd_parts, tiny_sdxl

_GIVEN = ("train", "gligen", "--data", "coco:x.json", "--model", "m")
_SCRIPT = "import sys; from scenograph.cli import main; sys.exit(main({words!r}))"
Run = Callable[..., tuple[int, str, str]]


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A checkpoint, four pictures with COCO annotations, and a CLIP."""
    home = tmp_path_factory.mktemp("own")
    tiny_sd(home / "sd")
    (home / "photos").mkdir()
    images, annotations = [], []
    for number in range(4):
        Image.new("RGB", (160, 128), (40 * number, 90, 200)).save(home / "photos" / f"{number}.png")
        images.append({"id": number, "file_name": f"{number}.png", "width": 160, "height": 128})
        box = [40, 20, 60, 70]
        annotations.append(
            {"id": number, "image_id": number, "category_id": 1, "bbox": box, "area": 4200, "iscrowd": 0}
        )
    data = {"images": images, "annotations": annotations, "categories": [{"id": 1, "name": "dog"}]}
    (home / "boxes.json").write_text(json.dumps(data))
    parts = tiny_sd_parts()
    build_clip(recipes.clip_b(), parts["text_encoder"]).save_pretrained(home / "clip")
    parts["tokenizer"].save_pretrained(home / "clip")
    return home


def options(folder: Path, **changes: Any) -> list[str]:
    given = {
        "data": f"coco:{folder / 'boxes.json'}",
        "images": folder / "photos",
        "run": folder / "run",
        "steps": 2,
        "batch": 2,
        **changes,
    }
    return [word for name, value in given.items() for word in (f"--{name}", str(value))]


def test_gligen_then_goal_and_a_picture(run: Run, folder: Path) -> None:
    status, _, err = run("train", "gligen", *options(folder, model=folder / "sd", out=folder / "my-gligen"))
    assert status == 0, err
    painter = Painter.from_pretrained(folder / "my-gligen", device="cpu")
    layout = Layout(caption="a dog", instances=(Instance(caption="a dog", box=Box(0.1, 0.1, 0.6, 0.6)),))
    assert painter.paint(layout, steps=1, progress=False)[0].image.size == (128, 128)
    given = options(folder, model=folder / "my-gligen", out=folder / "my-goal", clip=folder / "clip")
    status, _, err = run("train", "goal", *given, "--delta", "--checkpointing")
    assert status == 0, err
    assert json.loads((folder / "my-goal" / DELTA).read_text())["base"] == str((folder / "my-gligen").resolve())
    goal = Painter.from_pretrained(folder / "my-goal", device="cpu")
    assert goal.pipeline.unet.config.attention_type == "gated"
    assert (folder / "run" / "goal" / "checkpoint.pt").exists()


def test_what_cannot_be_trained_is_one_line(run: Run, folder: Path, tmp_path: Path) -> None:
    """SDXL, and a run folder whose training learns by other losses."""
    tiny_sdxl(tmp_path / "xl")
    status, _, err = run("train", "gligen", *options(folder, model=tmp_path / "xl", out=tmp_path / "out"))
    assert status == 2 and "is of the family sdxl" in err and err.count("\n") == 1
    first = options(folder, model=folder / "sd", out=tmp_path / "first", run=tmp_path / "run", steps=1)
    assert run("train", "gligen", *first)[0] == 0
    given = options(folder, model=folder / "sd", out=tmp_path / "other", run=tmp_path / "run", hints=0.5)
    status, _, err = run("train", "gligen", *given)
    assert status == 2 and "learns otherwise (hints 0.0, lr" in err and "than asked (hints 0.5, lr" in err
    assert err.count("\n") == 1 and not (tmp_path / "other").exists()
    given = options(folder, model=folder / "sd", out=tmp_path / "other", run=tmp_path / "run", lr=0.01)
    status, _, err = run("train", "gligen", *given)
    assert status == 2 and "lr 0.01" in err and not (tmp_path / "other").exists()


@pytest.mark.parametrize(
    ("kind", "words", "complaint"),
    [
        ("gligen", ["--lr", "-1"], "the learning rate is -1.0"),
        ("gligen", ["--lr", "nan"], "the learning rate is nan"),
        ("gligen", ["--seed", "-1"], "--seed"),
        ("gligen", ["--warm"], "--warm belongs to embedded models"),
        ("goal", ["--alpha", "-1"], "--alpha"),
        ("gligen", ["--out", "{folder}/boxes.json/out"], "cannot write to"),
    ],
)
def test_wrong_options_are_refused_before_work(
    run: Run, folder: Path, tmp_path: Path, kind: str, words: list[str], complaint: str
) -> None:
    given = options(folder, model=folder / "sd", out=tmp_path / "out", run=tmp_path / "run")
    status, _, err = run("train", kind, *given, *(word.format(folder=folder) for word in words))
    assert status == 2 and complaint in err and err.count("\n") == 1
    assert not (tmp_path / "run").exists()


def test_gligen_with_hints(run: Run, folder: Path, tmp_path: Path) -> None:
    given = options(folder, model=folder / "sd", out=tmp_path / "hinted", run=tmp_path / "run", hints=0.05)
    status, _, err = run("train", "gligen", *given, "--checkpointing")
    assert status == 0, err
    gates = Painter.from_pretrained(tmp_path / "hinted", device="cpu").pipeline.unet.named_parameters()
    assert all(float(gate) > 0.9 for name, gate in gates if name.endswith("alpha_attn")), "they began ajar"


def test_two_processes_encode_and_save_once(folder: Path, tmp_path: Path) -> None:
    root = Path(__file__).parent.parent.parent
    env = {**os.environ, "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    given = options(folder, model=folder / "sd", out=tmp_path / "out", run=tmp_path / "run")
    # torchrun would take --run for an option of its own, so the words stand in a script.
    (tmp_path / "train.py").write_text(_SCRIPT.format(words=["train", "gligen", *given]))
    launch = ["-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2", str(tmp_path / "train.py")]
    done = subprocess.run([sys.executable, *launch], env=env, cwd=root, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr[-2000:]
    assert (tmp_path / "out" / "model_index.json").exists()
    left = {path.name for path in (tmp_path / "run" / "gligen").iterdir()}
    assert not any("partial" in name for name in left | {path.name for path in tmp_path.iterdir()})


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["train", "gligen"], "lacks --data, --model, --out"),
        (["train", "tiny-sd", "--lr", "1"], "--lr belongs to gligen and goal"),
        (
            ["train", "gligen", "--data", "coco:x.json", "--model", "m", "--out", "new", "--alpha", "1"],
            "belongs to goal",
        ),
        (["train", "gligen", "--data", "coco:x.json", "--model", "m", "--out", "."], "exists; name a new folder"),
        (
            ["train", "goal", "--data", "coco:x.json", "--model", "m", "--out", "new", "--hints", "1"],
            "belongs to gligen",
        ),
    ],
)
def test_mistakes_are_one_line(run: Run, words: list[str], message: str) -> None:
    status, _, err = run(*words)
    assert status == 2 and message in err and len(err.strip().splitlines()) == 1


def test_weights_of_zero_are_not_forgotten(run: Run, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """`--alpha 0 --beta 0` is the control, L_LDM alone."""
    given: dict[str, Any] = {}

    def train(kind: str, **options: Any) -> Path:
        given.update(options)
        return tmp_path

    monkeypatch.setattr("scenograph.recipes.own_data.train_on_data", train)
    words = ["--data", "coco:x.json", "--model", "m", "--out", tmp_path / "new", "--grounded", "0.6", "--mirror"]
    status, _, err = run("train", "goal", *words, "--alpha", "0", "--beta", "0")
    assert status == 0, err
    assert (given["alpha"], given["beta"], given["grounded"], given["mirror"]) == (0, 0, 0.6, True)
    assert "delta" not in given and "lr" not in given  # left to the defaults


def test_mistakes_of_data_and_models_leave_nothing(run: Run, folder: Path, tmp_path: Path) -> None:
    out = tmp_path / "out"
    for changes, message in (
        ({"data": "boxes.json"}, "no data source"),
        ({"data": f"coco:{folder / 'none.json'}"}, "none.json"),
        ({"resolution": 100}, "multiple of 8"),
    ):
        status, _, err = run("train", "gligen", *options(folder, model=folder / "sd", out=out, **changes))
        assert status == 2 and message in err, err
    told = json.loads((folder / "boxes.json").read_text())
    told["annotations"][3]["caption"] = "a dog and " * 40
    (folder / "told.json").write_text(json.dumps(told))
    given = options(folder, data=f"coco:{folder / 'told.json'}", model=folder / "sd", out=out, run=tmp_path)
    status, _, err = run("train", "gligen", *given)
    assert status == 2 and "expected at most 77" in err and not (tmp_path / "gligen").exists()
    status, _, err = run("train", "goal", *options(folder, model=folder / "sd", out=out))
    assert status == 2 and "train gligen first" in err
    assert not out.exists()

"""The command line: exit status, one line per mistake, nothing half-written, pictures that can be painted again."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import jsonschema
import pytest
from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scenograph.cli import reference
from scenograph.cli.habits import destinations
from scenograph.cli.orders import DEFAULTS, METHOD_NAMES, read_orders
from scenograph.cli.training import ABLATIONS, TRAININGS
from scenograph.errors import CheckpointError, ImageError, ScenographWarning
from scenograph.layout import load_layouts
from scenograph.models.embedded import embedded_path
from scenograph.painting.metadata import read_recipe
from scenograph.world.vocabulary import NOUNS

ROOT = Path(__file__).parent.parent
GOOD: dict[str, Any] = {
    "caption": "a red dog and a cat",
    "instances": [{"caption": "a red dog", "box": [0.1, 0.2, 0.5, 0.9]}],
}
OTHER: dict[str, Any] = {"caption": "a blue car", "instances": [{"caption": "a blue car", "box": [0.2, 0.5, 0.9, 0.9]}]}


def with_box(*box: object) -> dict[str, Any]:
    return {"caption": "a dog", "instances": [{"caption": "a dog", "box": list(box)}]}


def weights_are_there() -> bool:
    try:
        return all(embedded_path(name) for name in ("tiny-sd", "detector-a", "reader-a", "clip-a"))
    except CheckpointError:
        return False


def written(path: Path, data: object) -> Path:
    path.write_bytes(data if isinstance(data, bytes) else json.dumps(data).encode())
    return path


@pytest.fixture(scope="module")
def tiny(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with random checkpoints: sd, sd-v, and judges of the embedded formats."""
    from tests.judging.checkpoints import rt_detr, save_detector, save_dual_encoder, save_reader
    from tests.tiny import tiny_sd

    folder = tmp_path_factory.mktemp("checkpoints")
    tiny_sd(folder / "sd")
    tiny_sd(folder / "sd-v", prediction_type="v_prediction")
    save_detector(rt_detr(), folder / "detector")
    save_reader(folder / "reader")
    save_dual_encoder(folder / "clip")
    return folder


Run = Callable[..., tuple[int, str, str]]

BAD_LAYOUTS = {
    "truncated": (json.dumps(GOOD).encode()[:60], "ends too early"),
    "binary": (bytes(range(256)), "not UTF-8"),
    "empty": (b"", "empty"),
    "nan": (b'{"caption": "a dog", "instances": [{"caption": "a dog", "box": [NaN, 0, 1, 1]}]}', "NaN"),
    "inverted": (with_box(0.5, 0, 0.2, 1), "inverted"),
    "no area": (with_box(0.5, 0, 0.5, 1), "no area"),
    "outside": (with_box(-0.2, 0, 0.5, 1), "box [-0.2"),
    "pixels": (with_box(10, 20, 300, 400), "pixels"),
    "no caption": (GOOD | {"caption": " "}, "empty"),
    "no instance caption": ({"caption": "a dog", "instances": [{"caption": "", "box": [0, 0, 1, 1]}]}, "empty"),
    "10 000 instances": ({"caption": "dogs", "instances": GOOD["instances"] * 10_000}, "10000 instances"),
    "box of texts": (with_box("a", "b", "c", "d"), "expected a number"),
    "box of three": (with_box(0, 0, 1), "four numbers"),
    "wrong types": ({"caption": 3, "instances": []}, "expected a text"),
    "no list": ({"caption": "a dog", "instances": "a dog"}, "expected a list"),
    "a number": (3, "expected an object"),
    "unknown key": (GOOD | {"boxes": []}, "unknown key"),
}


@pytest.mark.parametrize("command", ["paint", "judge"])
@pytest.mark.parametrize("kind", BAD_LAYOUTS)
def test_a_bad_layout_costs_one_line(tmp_path: Path, run: Run, kind: str, command: str) -> None:
    data, message = BAD_LAYOUTS[kind]
    good, bad = written(tmp_path / "good.json", GOOD), written(tmp_path / "bad.json", data)
    picture = tmp_path / "picture.png"
    Image.new("RGB", (32, 32)).save(picture)
    before = sorted(tmp_path.iterdir())
    words = [good, bad] if command == "paint" else [bad, picture]
    status, out, err = run(command, *words, "--out", tmp_path / "new")
    assert (status, out) == (2, "")
    assert err.startswith("scenograph: ") and err.count("\n") == 1 and err.endswith("\n")
    assert message in err and "bad.json" in err
    assert sorted(tmp_path.iterdir()) == before


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ("nonsense", "nonsense"),
        ("paint", "nothing to paint"),
        ("paint missing.json", "cannot be read"),
        ("paint .", "cannot be read"),
        ("paint good.json --method magic", "magic"),
        ("paint good.json --method winwinlay:r=much --model no-such-model", "expected something like r=0.06"),
        ("paint good.json --scheduler magic", "magic"),
        ("paint good.json --seed one", "one"),
        ("paint good.json --magic", "magic"),
        ("paint good.json --template words", "{}"),
        ("paint good.json --model no-such-model", "no-such-model"),
        ("paint good.json --model ./no-such-folder", "no-such-folder"),
        ("paint good.json --model owner/not-in-any-cache", "cannot reach the hub"),
        ("paint unnamed.json --strict", "is not named in the caption"),
        ("paint good.json good.json --out new.png", "expected a folder"),
        ("paint good.json --out new.jpg", ".png"),
        ("paint good.json --out good.json/new.png", "expected a folder"),
        ("paint picture.png", "carries no recipe"),
        ("paint cut.png", "no readable picture"),
        ("paint missing.png", "no picture at"),
        ("paint odd.png", "seed 'one'"),
        ("judge good.json", "no picture to judge"),
        ("judge picture.png", "carries no recipe"),
        ("judge good.json cut.png", "no readable picture"),
        ("judge good.json missing.png", "No such file"),
        ("judge two.jsonl picture.png picture.png picture.png", "2 layouts for 3 pictures"),
        ("judge good.json picture.png --detector no-such-judge", "no-such-judge"),
        ("world scenes 0 --out new", "0"),
        ("world scenes 1 --out good.json", "good.json"),
        ("world sheet --out good.json/sheet.png", "cannot write"),
        ("bench guidance --methods plain,winwinlay:magic=1", "winwinlay has no option 'magic'"),
        ("bench guidance --methods magic", "magic"),
        ("bench guidance --layouts missing.jsonl", "missing.jsonl"),
        ("bench guidance --layouts good.json --layouts ./good.json", "same short names"),
        ("bench guidance --layouts good.json --development", "layouts of its own"),
        ("bench guidance --layouts good.json --out good.json/r.json", "cannot write results"),
        ("bench guidance --layouts good.json --readme good.json", "<!-- results:winwinlay-good -->"),
        ("bench speed --out good.json/r.json", "cannot write results"),
        ("bench speed --readme good.json", "<!-- results:speed_guidance -->"),
        ("train magic", "expected all or one of: tokenizer"),
        ("judge unread.png", "unread.png: caption"),
        ("convert missing.ckpt new.safetensors", "no checkpoint"),
        ("convert cut.png new.safetensors", "cut.png"),
    ],
)
def test_a_mistake_costs_one_line(
    tmp_path: Path, run: Run, monkeypatch: pytest.MonkeyPatch, words: str, message: str
) -> None:
    from PIL.PngImagePlugin import PngInfo

    monkeypatch.chdir(tmp_path)
    written(tmp_path / "good.json", GOOD)
    written(tmp_path / "two.jsonl", b"%b\n%b\n" % (json.dumps(GOOD).encode(), json.dumps(OTHER).encode()))
    written(tmp_path / "unnamed.json", GOOD | {"caption": "a meadow"})
    Image.new("RGB", (64, 64), "red").save(tmp_path / "picture.png")
    written(tmp_path / "cut.png", (tmp_path / "picture.png").read_bytes()[:60])
    odd = PngInfo()
    defaults = {name: value for name, value in DEFAULTS.items() if name != "loras"}
    odd.add_itxt("scenograph", json.dumps({**defaults, "layout": GOOD, "seed": "one"}))
    Image.new("RGB", (64, 64)).save(tmp_path / "odd.png", pnginfo=odd)
    unread = PngInfo()
    unread.add_itxt("scenograph", json.dumps({**defaults, "layout": GOOD | {"caption": 3}}))
    Image.new("RGB", (64, 64)).save(tmp_path / "unread.png", pnginfo=unread)
    before = sorted(tmp_path.rglob("*"))
    status, out, err = run(*words.split())
    assert (status, out) == (2, "")
    assert err.startswith("scenograph: ") and err.count("\n") == 1 and err.endswith("\n")
    assert message in err
    assert sorted(tmp_path.rglob("*")) == before


def test_what_goes_wrong_with_us_is_no_mistake_of_the_user(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("scenograph.layout.schema", lambda: 1 / 0)
    status, out, err = run("schema")
    assert (status, out) == (1, "")
    assert "ZeroDivisionError" in err


def test_our_warnings_are_one_line_and_those_of_libraries_are_none(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    def warning() -> None:
        warnings.warn("the one\nthat counts", ScenographWarning, stacklevel=1)
        warnings.warn("the other", UserWarning, stacklevel=1)

    monkeypatch.setattr("scenograph.layout.schema", warning)
    assert run("schema") == (0, "null\n", "scenograph: the one that counts\n")
    with pytest.warns(UserWarning, match="the other"):
        status, _, error = run("schema", "-v")
    assert status == 0 and error == "scenograph: the one that counts\n"


def test_libraries_are_imported_quiet(run: Run, monkeypatch: pytest.MonkeyPatch) -> None:
    for words, level in ((("schema",), "error"), (("schema", "-v"), None)):
        for library in ("TRANSFORMERS", "DIFFUSERS"):
            monkeypatch.delenv(f"{library}_VERBOSITY", raising=False)
        assert run(*words)[0] == 0
        assert os.environ.get("TRANSFORMERS_VERBOSITY") == os.environ.get("DIFFUSERS_VERBOSITY") == level


def test_help_of_every_command_answers_without_heavy_imports() -> None:
    code = """
import sys
import click
from scenograph.cli import main
from scenograph.cli.door import scenograph
def walk(command, words):
    assert main([*words, "--help"]) == 0
    for name, inner in getattr(command, "commands", {}).items():
        walk(inner, [*words, name])
walk(scenograph, [])
assert main([]) == 0 and main(["--version"]) == 0 and main(["schema"]) == 0
print("LOADED", *sys.modules)
"""
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    shown, loaded = done.stdout.split("LOADED")
    assert shown.count("Usage: ") == reference().count("Usage: ") + 1  # without arguments the help again
    heavy = {"torch", "diffusers", "transformers", "numpy", "PIL", "tqdm"}
    assert not {name.split(".")[0] for name in loaded.split()} & heavy


def test_the_reference_is_the_help() -> None:
    assert (ROOT / "docs" / "cli.md").read_text(encoding="utf-8") == reference(), "run `make docs`"


def test_method_names_are_the_methods() -> None:
    from scenograph.painting.guidance import METHODS

    assert list(METHODS) == METHOD_NAMES


def test_training_names_are_the_trainings() -> None:
    from scenograph.recipes.echogen_rows import ABLATIONS as ROWS
    from scenograph.recipes.embedded import ORDER

    assert TRAININGS == ORDER
    assert tuple(ROWS) == ABLATIONS


def test_a_wrong_training_is_refused_before_heavy_imports() -> None:
    code = "import sys; from scenograph.cli import main; print(main(['train', 'magic']), 'torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout == "2 False\n" and done.stderr.count("\n") == 1


def test_the_schema_accepts_the_examples(run: Run) -> None:
    status, out, _ = run("schema")
    assert status == 0
    validator = jsonschema.Draft202012Validator(json.loads(out))
    validator.check_schema(validator.schema)
    for path in sorted((ROOT / "examples").glob("*.json*")):
        for layout in load_layouts(path):
            validator.validate(layout.to_dict())
    assert not validator.is_valid({"caption": "a dog", "instances": [{"caption": "a dog"}]})


@pytest.mark.parametrize("path", sorted((ROOT / "examples").glob("*.json*")), ids=lambda path: path.name)
def test_examples_speak_the_worlds_language(path: Path) -> None:
    for layout in load_layouts(path):
        assert layout.prompt(strict=True).appended == ()
        assert {instance.label for instance in layout.instances} <= set(NOUNS)


def test_painted_again_is_the_same_picture(tmp_path: Path, run: Run, tiny: Path) -> None:
    layout, first, second = written(tmp_path / "scene.json", GOOD), tmp_path / "first.png", tmp_path / "second.png"
    words = ["--model", tiny / "sd", "--steps", 2, "--seed", 7, "--scheduler", "euler", "--negative", "black"]
    words += ["--method", "winwinlay:r=0.2:guided=1"]
    assert run("paint", layout, *words, "--out", first) == (0, f"{first}\n", "")
    assert run("paint", first, "--out", second) == (0, f"{second}\n", "")
    assert second.read_bytes() == first.read_bytes()
    status, out, _ = run("paint", first, "--seed", 8, "--method", "plain", "--out", tmp_path / "folder", "--json")
    made = json.loads(out)
    assert (status, made["seed"], made["method"], made["steps"]) == (0, 8, "plain", 2)
    assert made["image"] == str(tmp_path / "folder" / "first-again.png")
    assert Path(made["image"]).read_bytes() != first.read_bytes()


def test_without_metadata_a_picture_keeps_nothing(tmp_path: Path, run: Run, tiny: Path) -> None:
    layout, path = written(tmp_path / "scene.json", GOOD), tmp_path / "made" / "scene.png"
    words = ["--model", tiny / "sd", "--steps", 1, "--method", "plain", "--no-metadata", "--boxes", "-q"]
    assert run("paint", layout, *words, "--out", path) == (0, "", "")
    assert b"scenograph" not in path.read_bytes()
    assert sorted(one.name for one in path.parent.iterdir()) == ["scene-boxes.png", "scene.png"]
    assert run("paint", path)[0] == 2


def test_json_keeps_the_order_of_the_input(tmp_path: Path, run: Run, tiny: Path) -> None:
    one = written(tmp_path / "one.json", OTHER)
    many = tmp_path / "many.jsonl"
    many.write_text("".join(json.dumps(layout) + "\n" for layout in (GOOD, OTHER, GOOD)), encoding="utf-8")
    options = ["--steps", 1, "--method", "plain", "--out", tmp_path / "out"]
    status, _, _ = run("paint", one, "--model", tiny / "sd-v", *options)
    assert status == 0
    painted = tmp_path / "out" / "one.png"
    words = ["--seed", 3, "--batch-size", 2, "--json"]
    status, out, err = run("paint", many, one, "--model", tiny / "sd", *options, *words)
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    names = ["many-0001.png", "many-0002.png", "many-0003.png", "one.png"]
    assert [Path(row["image"]).name for row in rows] == names
    assert [row["source"] for row in rows] == [str(many)] * 3 + [str(one)]
    assert [row["layout"]["caption"] for row in rows] == [GOOD["caption"], OTHER["caption"]] * 2
    assert rows[0]["seed"] == 3 and Path(rows[0]["image"]).read_bytes() == Path(rows[2]["image"]).read_bytes()
    # Pictures of two models and a layout between them; each recipe brings its own model.
    status, out, err = run("paint", painted, many, Path(rows[1]["image"]), "--steps", 1, "--method", "plain", "--json",
                           "--out", tmp_path / "again", "--model", tiny / "sd")  # fmt: skip
    assert (status, err) == (0, "")
    again = [json.loads(line) for line in out.splitlines()]
    assert [Path(row["source"]).name for row in again] == ["one.png"] + ["many.jsonl"] * 3 + ["many-0002.png"]


def test_what_the_caption_leaves_out_is_said(tmp_path: Path, run: Run, tiny: Path) -> None:
    layout, path = written(tmp_path / "scene.json", GOOD | {"caption": "a photo"}), tmp_path / "scene.png"
    status, out, _ = run("paint", layout, "--model", tiny / "sd", "--steps", 1, "--out", path)
    assert (status, out) == (0, f"{path}  (added to the prompt: a red dog)\n")


def test_a_prompt_beyond_the_window_writes_nothing(tmp_path: Path, run: Run, tiny: Path) -> None:
    long = written(tmp_path / "long.json", {"caption": "a dog and " * 40 + "a cat", "instances": []})
    good = written(tmp_path / "good.json", GOOD)
    words = ["--model", tiny / "sd", "--steps", 1, "--batch-size", 1, "--out", tmp_path / "out"]
    status, out, err = run("paint", good, long, *words)
    assert (status, out, err.count("\n")) == (2, "", 1)
    assert "tokens" in err
    assert not (tmp_path / "out").exists()


def test_a_recipe_that_cannot_be_painted_leaves_nothing_behind(tmp_path: Path, run: Run, tiny: Path) -> None:
    """The second of two pictures has a width that no canvas has: the first is not painted either."""
    layout = written(tmp_path / "scene.json", GOOD)
    words = ["--model", tiny / "sd", "--steps", 1, "--method", "plain"]
    assert run("paint", layout, *words, "--out", tmp_path / "a.png")[0] == 0
    recipe = read_recipe(tmp_path / "a.png")
    for change in ({"width": 13}, {"steps": 0}, {"cfg": 10**400}, {"loras": [["f", "much"]]}, {"scheduler": "best"}):
        chunks = PngInfo()
        chunks.add_itxt("scenograph", json.dumps(recipe | change))
        Image.new("RGB", (8, 8)).save(tmp_path / "b.png", pnginfo=chunks)
        status, out, err = run("paint", tmp_path / "a.png", tmp_path / "b.png", "--out", tmp_path / "again")
        assert (status, out, err.count("\n")) == (2, "", 1), err
        assert not (tmp_path / "again").exists()


def test_another_model_keeps_the_layout_and_the_words(tmp_path: Path, run: Run, tiny: Path) -> None:
    layout = written(tmp_path / "scene.json", GOOD)
    words = ["--model", tiny / "sd", "--steps", 1, "--cfg", 2, "--method", "plain", "--seed", 5, "--negative", "fog"]
    assert run("paint", layout, *words, "--out", tmp_path / "a.png")[0] == 0
    assert read_recipe(tmp_path / "a.png")["gligen_beta"] is None
    orders = read_orders([tmp_path / "a.png"], {"model": "tiny-gligen"})
    settings = orders[0].settings
    assert (settings["seed"], settings["negative_prompt"]) == (5, "fog")
    assert (settings["cfg"], settings["method"], settings["gligen_beta"], settings["steps"]) == (None, None, None, 50)
    assert read_orders([tmp_path / "a.png"], {})[0].settings["cfg"] == 2


def test_alike_names_do_not_overwrite_each_other(tmp_path: Path) -> None:
    with pytest.raises(ImageError, match="two pictures would be"):
        destinations(tmp_path, ["zoo", "zoo", "zoo-0001"])


def test_judging_prints_a_score_per_instance(tmp_path: Path, run: Run, tiny: Path) -> None:
    layout, picture = written(tmp_path / "scene.json", GOOD), tmp_path / "picture.png"
    Image.new("RGB", (64, 64), "red").save(picture)
    judges = ["--detector", tiny / "detector", "--reader", tiny / "reader", "--clip", tiny / "clip"]
    status, out, err = run("judge", layout, picture, picture, *judges, "--json", "--out", tmp_path / "sheets")
    assert (status, err) == (0, "")
    rows = [json.loads(line) for line in out.splitlines()]
    assert [row["image"] for row in rows] == [str(picture)] * 2
    assert [one["caption"] for one in rows[0]["instances"]] == ["a red dog"]
    assert set(rows[0]["instances"][0]["attributes"]) == {"colour"}
    assert sorted(one.name for one in (tmp_path / "sheets").iterdir()) == [
        "picture-judged-0001.png",
        "picture-judged-0002.png",
    ]
    status, out, _ = run("judge", layout, picture, *judges[:2], "--reader", "none", "--clip", "none")
    assert status == 0 and "CLIP-s" not in out and "attributes" not in out
    assert "a red dog" in out.splitlines()[1]


def test_the_world_is_drawn_with_its_layouts(tmp_path: Path, run: Run) -> None:
    from scenograph.world.scenes import scene_at

    status, out, _ = run("world", "scenes", 3, "--out", tmp_path / "scenes", "--split", "test", "--seed", 5)
    assert (status, out) == (0, f"{tmp_path / 'scenes' / 'layouts.jsonl'}\n")
    layouts = load_layouts(tmp_path / "scenes" / "layouts.jsonl")
    assert layouts == [scene_at(index, seed=5, split="test").layout for index in range(3)]
    with Image.open(tmp_path / "scenes" / "00002.png") as image:
        assert image.tobytes() == scene_at(2, seed=5, split="test").draw().tobytes()
    for what in ("nouns", "scenes"):
        path = tmp_path / f"{what}.png"
        assert run("world", "sheet", "--of", what, "--out", path) == (0, f"{path}\n", "")
        with Image.open(path) as image:
            assert image.width > 500


def test_a_pickle_becomes_safetensors(tmp_path: Path, run: Run) -> None:
    import torch
    from safetensors.torch import load_file

    weights = {"a": torch.arange(3.0)}
    torch.save({"state_dict": weights}, tmp_path / "old.ckpt")
    path = tmp_path / "new.safetensors"
    assert run("convert", tmp_path / "old.ckpt", path) == (0, f"{path}\n", "")
    assert torch.equal(load_file(path)["a"], weights["a"])


@pytest.mark.skipif(not weights_are_there(), reason="the embedded weights are still in training")
def test_the_demo(tmp_path: Path, run: Run) -> None:
    picture, sheet = tmp_path / "breakfast.png", tmp_path / "demo.png"
    status, _, err = run("paint", ROOT / "examples" / "breakfast.json", "--steps", 10, "--out", picture)
    assert (status, err) == (0, "")
    status, out, err = run("judge", picture, "--out", sheet)
    assert (status, err) == (0, "")
    assert len(out.splitlines()) == 4 and sheet.exists()

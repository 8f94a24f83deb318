"""GOAL2K from prompts to data set: templates that are understood, boxes in the prompt's words, stages that continue."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
from collections import Counter
from itertools import islice
from pathlib import Path
from typing import Any

import pytest
from PIL import Image

from scenograph.datasets.goal2k.asked import asked_of
from scenograph.datasets.goal2k.build import Goal2K, build
from scenograph.datasets.goal2k.grounding import grounded
from scenograph.datasets.goal2k.journal import Journal
from scenograph.datasets.goal2k.prompts import prompt_rows
from scenograph.datasets.goal2k.templates import CATEGORIES, template_prompts
from scenograph.datasets.goal2k.words import COCO, WORLD, Words, words_called
from scenograph.errors import DatasetError, PhraseError
from scenograph.judging.combinations import is_held_out
from scenograph.layout import Box, Instance, Layout
from scenograph.planning.grammar import read
from tests.datasets.goal2k_fakes import FixedGrounder, FixedPainter, built, decide, rows_of

# Prompts


@pytest.mark.parametrize("words", [COCO, WORLD], ids=lambda words: words.name)
@pytest.mark.parametrize("seed", [0, 7])
def test_every_template_prompt_is_understood_whole(words: Words, seed: int) -> None:
    prompts = list(islice(template_prompts(words, seed), 600))
    assert len({one.text for one in prompts}) == 600
    assert Counter(one.category for one in prompts) == dict.fromkeys(CATEGORIES, 100)
    for one in prompts:
        things = asked_of(one.text)
        assert read(one.text).unparsed == (), one.text
        assert things and all(thing.noun in words.nouns for thing in things), one.text
        assert all(thing.phrase is not None and thing.phrase in one.text for thing in things), one.text
        if one.category in ("color", "shape", "texture"):
            assert len(things) == 2 and all(thing.attributes for thing in things), one.text


def test_the_paper_s_thousand_are_there() -> None:
    assert len(list(islice(template_prompts(COCO, 0), 1000))) == 1000


def test_the_world_s_templates_keep_out_of_the_held_out_combinations() -> None:
    things = [thing for one in islice(template_prompts(WORLD, 3), 600) for thing in asked_of(one.text)]
    box = Box(0, 0, 1, 1)
    told = [is_held_out(Instance(caption=thing.caption, label=thing.noun, box=box)) for thing in things]
    assert told.count(False) > 100 and True not in told


def test_a_longer_list_begins_as_a_shorter_one_and_nothing_avoided_is_in_it() -> None:
    short, long = (list(islice(template_prompts(COCO, 1), n)) for n in (20, 60))
    other = list(islice(template_prompts(COCO, 1, avoid={short[3].text.upper()}), 20))
    assert long[:20] == short and short[3] not in other and short[0] in other


def test_words_that_are_used_up_are_said() -> None:
    few = Words(
        name="few", colours={"cup": ("red",), "dog": ("blue",)}, shapes={"cup": ("round",), "dog": ("square",)},
        textures={"cup": ("wooden",), "dog": ("fluffy",)}, beside=("cup", "dog", "cat"), small=("cup",),
        supports=("dog",),
    )  # fmt: skip
    with pytest.raises(DatasetError, match=r"make only \d+ prompts"):
        list(template_prompts(few, 0))
    with pytest.raises(DatasetError, match="coco, world"):
        words_called("lvis")


CAPTIONS = [
    (1, "A dog next to a cat on a bench."), (1, "Two animals."), (2, "A man riding a horse."), (3, "A sunny day."),
    (4, "A cup and a bottle on a table"), (5, "a bird above a boat"), (5, "a bird and a boat together"),
]  # fmt: skip


def captions_file(folder: Path, kind: str) -> Path:
    path = folder / f"captions{kind}"
    if kind == ".json":
        rows = [{"image_id": number, "id": i, "caption": text} for i, (number, text) in enumerate(CAPTIONS)]
        path.write_text(json.dumps({"annotations": rows}))
    elif kind == ".jsonl":
        path.write_text("\n".join(json.dumps({"image_id": n, "captions": [text]}) for n, text in CAPTIONS))
    else:
        path.write_text("\n\n".join(text for _, text in CAPTIONS))
    return path


@pytest.mark.parametrize("kind", [".json", ".jsonl", ".txt"])
def test_captions_with_several_objects_are_taken(tmp_path: Path, kind: str) -> None:
    path, file = tmp_path / "p.jsonl", captions_file(tmp_path, kind)
    rows = prompt_rows(path, COCO, 0, count=2, captions=file, caption_count=4)
    told = [row["prompt"] for row in rows if row["source"] == "caption"]
    assert len(rows) == 6 and len(told) == 4
    assert not {"Two animals.", "A sunny day."} & set(told)
    if kind != ".txt":  # of a picture one caption at most
        assert len({row["picture"] for row in rows if row["source"] == "caption"}) == 4
        with pytest.raises(DatasetError, match="only 4 captions name several objects, 5 are asked for"):
            prompt_rows(path, COCO, 0, count=2, captions=file, caption_count=5)


def test_asking_for_more_prompts_changes_none(tmp_path: Path) -> None:
    path, file = tmp_path / "p.jsonl", captions_file(tmp_path, ".json")
    first = prompt_rows(path, COCO, 0, count=3, captions=None, caption_count=9)
    more = prompt_rows(path, COCO, 0, count=8, captions=file, caption_count=2)
    most = prompt_rows(path, COCO, 0, count=8, captions=file, caption_count=4)
    by_id = {row["id"]: row for row in most}
    assert all(by_id[row["id"]] == row for row in (*first, *more)) and len(most) == 12
    assert len({row["prompt"].lower() for row in most}) == 12
    assert [row["id"] for row in prompt_rows(path, COCO, 0, count=3, captions=None, caption_count=0)] == [
        row["id"] for row in first
    ]
    written = path.read_bytes()
    prompt_rows(path, COCO, 0, count=8, captions=file, caption_count=4)
    assert path.read_bytes() == written


@pytest.mark.parametrize("change", ["seed", "words", "captions"])
def test_prompts_of_another_build_are_refused(tmp_path: Path, change: str) -> None:
    path, file = tmp_path / "p.jsonl", captions_file(tmp_path, ".json")
    prompt_rows(path, COCO, 0, count=2, captions=file, caption_count=1)
    if change == "captions":
        file.write_text(file.read_text() + "\n")
    words, seed = (WORLD if change == "words" else COCO), int(change == "seed")
    with pytest.raises(DatasetError, match="another run folder"):
        prompt_rows(path, words, seed, count=2, captions=file, caption_count=1)


# Journals


def test_a_line_that_was_cut_off_is_taken_off(tmp_path: Path) -> None:
    path = tmp_path / "j.jsonl"
    Journal(path).add({"id": "a", "n": 1})
    Journal(path).add({"id": "b", "n": 2})
    whole = path.read_bytes()
    for cut in range(len(whole) // 2 + 1, len(whole)):
        path.write_bytes(whole[:cut])
        assert list(Journal(path).rows) == ["a"]
    Journal(path).add({"id": "b", "n": 2})
    assert path.read_bytes() == whole
    path.write_bytes(b"{}\n" + whole)
    with pytest.raises(DatasetError, match="line 1: is no row"):
        Journal(path)


# Grounding


def test_boxes_take_the_prompt_s_words_and_doubts_are_said() -> None:
    image, grounder = Image.new("RGB", (50, 40)), FixedGrounder()
    layout, remarks = grounded(image, "two black dogs next to a red cup", grounder, 0.3)
    assert grounder.asked == [["dog", "cup"]] and layout.size == (50, 40)
    assert [(i.caption, i.label, i.phrase) for i in layout.instances] == [
        ("a black dog", "dog", "black dogs"), ("a red cup", "cup", "red cup")
    ]  # fmt: skip
    assert remarks == ["dog: asked 2, seen 1"] and layout.prompt(strict=True).appended == ()


def test_two_things_of_one_noun_are_left_to_a_person() -> None:
    layout, remarks = grounded(Image.new("RGB", (50, 40)), "a red cup and a blue cup", FixedGrounder(), 0.3)
    assert [i.caption for i in layout.instances] == ["cup"]
    assert remarks == ["cup: asked 2, seen 1", "say which is a red cup and which is a blue cup"]


def test_a_closed_vocabulary_is_asked_in_its_own_words() -> None:
    grounder = FixedGrounder(labels=("couch", "person", "dog"))
    layout, remarks = grounded(Image.new("RGB", (50, 40)), "a man and a gnome on a red sofa", grounder, 0.3)
    assert grounder.asked == [["person", "couch"]]
    assert [(i.caption, i.label) for i in layout.instances] == [("a man", "person"), ("a red sofa", "couch")]
    assert remarks == ["not in the grounder's words: gnome"]


def test_what_is_unsure_or_seen_twice_is_left_out() -> None:
    boxes = [(0.9, "dog", Box(0.1, 0.1, 0.5, 0.5)), (0.8, "dog", Box(0.1, 0.1, 0.5, 0.48)),
             (0.7, "cat", Box(0.1, 0.1, 0.5, 0.5)), (0.6, "cat", Box(0.1, 0.1, 0.3, 0.5)),
             (0.2, "cat", Box(0.6, 0.6, 0.9, 0.9))]  # fmt: skip

    class Sees(FixedGrounder):
        def detect(self, images: Any, vocabulary: Any) -> list[Layout]:
            made = (Instance(caption=label, label=label, box=box, score=score) for score, label, box in boxes)
            return [Layout(caption="seen", instances=tuple(made))]

    layout, _ = grounded(Image.new("RGB", (50, 40)), "a dog and a cat", Sees(), 0.3)
    assert [(i.label, i.score) for i in layout.instances] == [("dog", 0.9), ("cat", 0.6)]


# Resuming


def test_a_finished_build_asks_nobody_again(tmp_path: Path) -> None:
    decide(built(tmp_path).review)
    first = {path: path.read_bytes() for path in tmp_path.rglob("*") if path.is_file() and path.name != ".lock"}

    def nobody() -> Any:
        raise AssertionError("nothing is left to do")

    plan = Goal2K(folder=tmp_path, count=6)
    once = build(plan, nobody, nobody, painter_name="p", grounder_name="g", progress=False)
    twice = build(plan, nobody, nobody, painter_name="p", grounder_name="g", progress=False)
    assert once == twice and once.counts["used"] == 6
    assert {path: path.read_bytes() for path in first} == first


class Killed(BaseException):
    pass


@pytest.mark.parametrize("at", range(6))
@pytest.mark.parametrize("stage", ["painting", "grounding"])
def test_a_build_that_dies_goes_on_where_it_was(tmp_path: Path, stage: str, at: int) -> None:
    def die(count: int, *_: str) -> None:
        if count == at:
            raise Killed

    painter = FixedPainter(tmp_path / "bill", die if stage == "painting" else lambda *_: None)
    grounder = FixedGrounder(spoil=die if stage == "grounding" else lambda *_: None)
    with pytest.raises(Killed):
        built(tmp_path, painter=painter, grounder=grounder)
    result = built(tmp_path)
    assert result.counts["painted"] == result.counts["grounded"] == 6
    billed = FixedPainter(tmp_path / "bill").billed()
    assert len(billed) == len(set(billed)) == 6
    assert len(rows_of(tmp_path / "layouts.jsonl")) == 6


SCRIPT = """
import os, signal, sys
from pathlib import Path
from scenograph.datasets.goal2k.build import Goal2K, build
from tests.datasets.goal2k_fakes import FixedGrounder, FixedPainter
folder, at, stage = Path(sys.argv[1]), int(sys.argv[2]), sys.argv[3]
def die(count, *_):
    if count == at:
        os.kill(os.getpid(), signal.SIGKILL)
painter = FixedPainter(folder / "bill", die if stage == "paint" else lambda *_: None)
grounder = FixedGrounder(spoil=die if stage == "ground" else lambda *_: None)
plan = Goal2K(folder=folder, count=5)
build(plan, lambda: painter, lambda: grounder, painter_name="p", grounder_name="g", progress=False)
"""


@pytest.mark.parametrize(("stage", "at"), [("paint", 2), ("ground", 3)])
def test_a_killed_process_pays_for_nothing_twice(tmp_path: Path, stage: str, at: int) -> None:
    words = [sys.executable, "-c", SCRIPT, str(tmp_path), str(at), stage]
    killed = subprocess.run(words, cwd=Path(__file__).parents[2], capture_output=True, timeout=120)
    assert killed.returncode == -signal.SIGKILL, killed.stderr
    assert len(list((tmp_path / "images").glob("*.png"))) == (2 if stage == "paint" else 5)
    result = built(tmp_path, count=5)
    billed = FixedPainter(tmp_path / "bill").billed()
    assert result.counts["grounded"] == 5 and len(billed) == len(set(billed)) == 5


def test_a_limit_is_taken_off_later(tmp_path: Path) -> None:
    assert built(tmp_path, limit=2).counts["painted"] == 2
    assert built(tmp_path).counts["painted"] == 6
    assert len(FixedPainter(tmp_path / "bill").billed()) == 6


@pytest.mark.parametrize(
    ("names", "plan", "words"),
    [
        (("q", "g"), {}, "was painted by p, asked for q"),
        (("p", "h"), {}, "grounded with grounder 'g', asked for 'h'"),
        (("p", "g"), {"threshold": 0.5}, "grounded with threshold 0.3, asked for 0.5"),
        (("p", "g"), {"seed": 1}, "made with seed 0, asked for 1"),
    ],
)
def test_another_build_in_the_same_folder_is_refused(
    tmp_path: Path, names: tuple[str, str], plan: dict[str, Any], words: str
) -> None:
    built(tmp_path, count=2)
    with pytest.raises(DatasetError, match=words):
        built(tmp_path, count=2, names=names, **plan)


def test_two_builds_at_once_are_refused(tmp_path: Path) -> None:
    def meanwhile(*_: object) -> None:
        with pytest.raises(DatasetError, match="another build is at work"):
            built(tmp_path)

    built(tmp_path, count=1, painter=FixedPainter(tmp_path / "bill", meanwhile))


def test_a_picture_that_is_painted_again_is_grounded_and_reviewed_again(tmp_path: Path) -> None:
    review = built(tmp_path, count=3).review
    decide(review)
    (tmp_path / "images" / "template-00002.png").unlink()
    Image.new("RGB", (80, 40), "red").save(tmp_path / "images" / "template-00002.png")
    page = (tmp_path / "review" / "page-001.png").read_bytes()
    result = built(tmp_path, count=3)
    assert (result.counts["accepted"], result.counts["undecided"], result.counts["grounded"]) == (2, 1, 3)
    assert review.read_text().splitlines()[-1].startswith("template-00002\t?\t")
    assert Journal(tmp_path / "layouts.jsonl").rows["template-00002"]["layout"]["size"] == [80, 40]
    assert (tmp_path / "review" / "page-001.png").read_bytes() != page


def test_fewer_prompts_are_a_part_of_what_is_there(tmp_path: Path) -> None:
    decide(built(tmp_path, count=4).review)
    (tmp_path / "images" / "template-00004.png").unlink()
    assert built(tmp_path, count=2).counts["used"] == 2
    assert len(rows_of(tmp_path / "prompts.jsonl")) == 4


@pytest.mark.parametrize("batch_size", [1, 4])
def test_one_prompt_that_cannot_be_painted_stops_no_other(tmp_path: Path, batch_size: int) -> None:
    def spoil(_: int, prompt: str) -> None:
        if " clock" in prompt or "bench" in prompt:
            raise PhraseError("it lies beyond the window")

    painter = FixedPainter(tmp_path / "bill", spoil)
    result = built(tmp_path, count=24, painter=painter, batch_size=batch_size)
    prompts = [row["prompt"] for row in rows_of(tmp_path / "prompts.jsonl")]
    refused = [prompt for prompt in prompts if " clock" in prompt or "bench" in prompt]
    assert refused and result.counts["refused"] == len(refused) == len(rows_of(tmp_path / "refused.jsonl"))
    assert sorted(painter.billed()) == sorted(set(prompts) - set(refused))


def test_a_picture_put_there_by_hand_is_taken_and_a_foreign_one_is_not(tmp_path: Path) -> None:
    (tmp_path / "images").mkdir()
    Image.new("RGB", (40, 40), "red").save(tmp_path / "images" / "template-00001.png")
    built(tmp_path, count=2, unreviewed=True)
    rows = json.loads((tmp_path / "manifest.json").read_text())["rows"]
    assert [row["painting"]["painter"] for row in rows] == ["by hand", "p"]
    os.replace(tmp_path / "images" / "template-00002.png", tmp_path / "images" / "template-00001.png")
    with pytest.raises(DatasetError, match="delete the picture"):
        built(tmp_path, count=2)


def test_building_needs_no_torch() -> None:
    code = "import sys, scenograph.datasets.goal2k.build; print('torch' in sys.modules)"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=120)
    assert done.stdout.strip() == "False", done.stderr

"""GOAL2K's review: a text file that a person edits decides what is in the data set, and mistakes have a line number."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest
from PIL import Image

from scenograph.datasets.goal2k.review import boxes_as_text, boxes_of_text
from scenograph.datasets.sources import read_training_data
from scenograph.errors import DatasetError
from scenograph.layout import Box, Instance, Layout
from tests.datasets.goal2k_fakes import built, decide, rewrite, rows_of

SEEN = Layout(
    caption="a red cup and two dogs",
    instances=(
        Instance(caption="a red cup", label="cup", phrase="red cup", box=Box(0.12345, 0.2, 0.4, 0.8), score=0.9),
        Instance(caption="dog", label="dog", box=Box(0.5, 0.5, 0.75, 0.75), score=0.5),
    ),
    size=(64, 64),
)


def test_boxes_as_text_come_back_exactly() -> None:
    text = boxes_as_text(SEEN)
    assert text == "a red cup (0.123 0.200 0.400 0.800); dog (0.500 0.500 0.750 0.750)"
    assert boxes_of_text(text, SEEN) == SEEN.instances and boxes_of_text("  ", SEEN) == ()


def test_edited_boxes_keep_what_is_not_edited() -> None:
    text = "a red cup (0.123 0.200 0.400 0.800);a red cup (0, 0, .5, 1) ; a black dog (big) (0.5 0.5 0.75 0.75);"
    cup, other, dog = boxes_of_text(text, SEEN)
    assert cup == SEEN.instances[0]
    assert (other.label, other.phrase, other.score, tuple(other.box)) == ("cup", "red cup", None, (0, 0, 0.5, 1))
    assert (dog.caption, dog.label, dog.phrase) == ("a black dog (big)", "dog", None)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("a cup", "go wrong at 'a cup'"),
        ("a cup (0 0 1)", "expected four numbers"),
        ("a cup (0 0 one 1)", "expected four numbers"),
        ("a cup (0 0 40 30)", "pixels"),
        ("a cup (0.5 0 0.2 1)", "inverted"),
        ("a cat; a cup (0 0 1 1)", "no box of its own"),
        ("a cup (0 0 1 1) and a dog", "go wrong"),
        ("(0 0 1 1)", "go wrong|expected"),
    ],
)
def test_malformed_boxes_are_explained(text: str, words: str) -> None:
    with pytest.raises(DatasetError, match=words):
        boxes_of_text(text, SEEN)


def test_verdicts_decide_what_is_in_the_data_set(tmp_path: Path) -> None:
    first = built(tmp_path, count=5)
    assert first.dataset is None and first.counts["undecided"] == 5 and not (tmp_path / "manifest.json").exists()
    verdicts = iter(["accept", "fix", "reject", "FIX", "?"])

    def change(cells: list[str]) -> list[str]:
        verdict = next(verdicts)
        if verdict == "fix":
            return [cells[0], verdict, cells[2], "a green bird (0.1 0.1 0.6 0.7)", "a green bird on a hill", "ok!"]
        return [cells[0], verdict, *cells[2:]]

    rewrite(first.review, change)
    second = built(tmp_path, count=5)
    counts = {key: second.counts[key] for key in ("accepted", "fixed", "rejected", "undecided", "used")}
    assert counts == {"accepted": 1, "fixed": 2, "rejected": 1, "undecided": 1, "used": 3}
    assert second.dataset is not None
    data = rows_of(second.dataset)
    assert data[1]["caption"] == "a green bird on a hill"
    assert data[1]["instances"] == [{"caption": "a green bird", "box": [0.1, 0.1, 0.6, 0.7]}]
    pictures = read_training_data(f"layouts:{second.dataset}", size=32)
    assert len(pictures) == 3 and pictures[1][1].caption == "a green bird on a hill"
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert [row["used"] for row in manifest["rows"]] == [True, True, False, True, False]
    assert [row["edited"] for row in manifest["rows"]] == [False, True, False, False, False]
    row = manifest["rows"][0]
    assert row["template"].startswith("color/") and row["painting"]["painter"] == "p" and row["grounder"] == "g"
    assert isinstance(row["painting"]["seed"], int) and manifest["counts"] == dict(second.counts)
    assert {"commit", "licences", "seed", "scenograph"} <= set(manifest)
    decide(first.review, *["reject"] * 5)
    assert built(tmp_path, count=5).dataset is None and not (tmp_path / "dataset.jsonl").exists()


def test_what_nobody_looked_at_is_used_only_when_asked(tmp_path: Path) -> None:
    result = built(tmp_path, unreviewed=True)
    assert result.counts["used"] == result.counts["undecided"] == 6
    manifest = json.loads((tmp_path / "manifest.json").read_text())
    assert {row["verdict"] for row in manifest["rows"]} == {"?"}
    assert built(tmp_path).dataset is None


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (lambda c: [c[0], "yes", *c[2:]], "line 5: the verdict is 'yes'; expected accept, fix, reject or ?"),
        (lambda c: [c[0], "accept", c[2], "a cup (0 0 1 1)", *c[4:]], "line 5: .*write fix"),
        (lambda c: [c[0], "fix", c[2], "a cup (0 0 2 1)", *c[4:]], "line 5: 'a cup': .*pixels"),
        (lambda c: [c[0], "fix", c[2], c[3], " ", *c[5:]], "line 5: the caption is empty"),
        (lambda c: ["nobody", *c[1:]], "line 5: no picture is called 'nobody'"),
        (lambda c: c[:2], "line 5: 2 columns"),
        (lambda c: [*c, "a", "b"], "line 5: 8 columns"),
        (lambda c: [*c[:5], '"open'], "line 5: a quotation mark"),
    ],
)
def test_a_malformed_line_is_named_by_its_number(
    tmp_path: Path, change: Callable[[list[str]], list[str]], words: str
) -> None:
    review = built(tmp_path, count=2).review
    seen = 0

    def first(cells: list[str]) -> list[str]:
        nonlocal seen
        seen += 1
        return change(cells) if seen == 1 else cells

    rewrite(review, first)
    with pytest.raises(DatasetError, match=words) as caught:
        built(tmp_path, count=2)
    assert "\n" not in str(caught.value)


def test_a_line_that_stands_twice_is_refused(tmp_path: Path) -> None:
    review = built(tmp_path, count=1).review
    review.write_text(review.read_text() + review.read_text().splitlines()[-1])
    with pytest.raises(DatasetError, match="line 6: 'template-00001' has a line already"):
        built(tmp_path, count=1)


def test_a_review_saved_by_a_spreadsheet_is_read(tmp_path: Path) -> None:
    review = built(tmp_path, count=2).review
    decide(review, "accept", "reject")
    lines = ["\t".join(f'"{cell}"' for cell in line.split("\t")) for line in review.read_text().splitlines()]
    review.write_bytes("\ufeff".encode() + "\r\n".join(lines).encode() + b"\r\n")
    assert built(tmp_path, count=2).counts["accepted"] == 1


def test_new_pictures_come_to_the_end_of_the_review(tmp_path: Path) -> None:
    review = built(tmp_path, count=3).review
    decide(review)
    before = review.read_text()
    assert built(tmp_path, count=14).counts["accepted"] == 3
    assert review.read_text().startswith(before) and review.read_text().count("?\t") == 11
    assert sorted(path.name for path in (tmp_path / "review").iterdir()) == ["page-001.png", "page-002.png"]


def test_pages_are_drawn_anew_only_when_they_change(tmp_path: Path) -> None:
    built(tmp_path, count=14)
    times = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "review").iterdir()}
    built(tmp_path, count=16)
    again = {path.name: path.stat().st_mtime_ns for path in (tmp_path / "review").iterdir()}
    assert again["page-001.png"] == times["page-001.png"] and again["page-002.png"] > times["page-002.png"]
    with Image.open(tmp_path / "review" / "page-001.png") as page:
        assert page.width > 4 * 384 and page.height > 3 * 256

"""Average precision and matching against answers worked out by hand, and resampling against pycocotools itself."""

from __future__ import annotations

import time

import numpy as np
import pytest

from scenograph.errors import ResultError
from scenograph.judging.bootstrap import resamples
from scenograph.judging.detection import Coco, canonical, match, mean_iou
from scenograph.layout import Box, Instance, Layout

Placed = tuple[str, tuple[float, float, float, float]] | tuple[str, tuple[float, float, float, float], float]


def layout(*placed: Placed) -> Layout:
    ones = [Instance(caption=p[0], label=p[0], box=Box(*p[1]), score=p[2] if len(p) > 2 else None) for p in placed]
    return Layout(caption="a scene", instances=tuple(ones))


LEFT, RIGHT = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)
HALF = (0.0, 0.0, 0.2, 0.4)  # IoU 0.5 with LEFT
ASKED = [layout(("dog", LEFT), ("cat", RIGHT)), layout(("dog", RIGHT))]


def test_perfect_and_missing() -> None:
    assert Coco(ASKED, ASKED).scores == pytest.approx({"ap": 100, "ap50": 100, "ap75": 100, "ar": 100})
    assert Coco(ASKED, [layout(), layout()]).scores == {"ap": 0, "ap50": 0, "ap75": 0, "ar": 0}
    assert mean_iou(ASKED, ASKED) == 100
    assert mean_iou(ASKED, [layout(), layout()]) == 0


def test_a_shifted_box_counts_up_to_its_overlap() -> None:
    """IoU 0.62 passes 0.50, 0.55 and 0.60: three of ten thresholds."""
    shifted = (0.0, 0.0, 0.4, 0.4 * 0.62)
    scores = Coco([layout(("dog", LEFT))], [layout(("dog", shifted))]).scores
    assert scores == {"ap": pytest.approx(30), "ap50": pytest.approx(100), "ap75": 0, "ar": pytest.approx(30)}


def test_a_label_that_is_missing_halves_the_mean_over_labels() -> None:
    seen = [layout(("dog", LEFT, 0.9)), layout(("dog", RIGHT, 0.8))]
    assert Coco(ASKED, seen).scores["ap50"] == 50


def test_a_better_scored_duplicate_halves_precision_and_a_worse_one_is_free() -> None:
    asked = [layout(("dog", LEFT))]
    far = (0.6, 0.6, 0.9, 0.9)
    assert Coco(asked, [layout(("dog", LEFT, 0.5), ("dog", far, 0.9))]).scores["ap"] == pytest.approx(50)
    assert Coco(asked, [layout(("dog", LEFT, 0.5), ("dog", far, 0.1))]).scores["ap"] == pytest.approx(100)
    assert Coco(asked, [layout(("dog", LEFT, 0.5), ("dog", LEFT, 0.4))]).scores["ap"] == pytest.approx(100)


def test_labels_nobody_asked_for_do_not_count() -> None:
    asked = [layout(("dog", LEFT))]
    assert Coco(asked, [layout(("dog", LEFT, 0.5), ("bus", RIGHT, 0.9))]).scores["ap"] == pytest.approx(100)


def test_nothing_is_printed(capsys: pytest.CaptureFixture[str]) -> None:
    Coco(ASKED, ASKED)
    assert capsys.readouterr().out == ""


def test_mean_iou_by_hand() -> None:
    seen = [layout(("dog", HALF, 0.9), ("dog", RIGHT, 0.9)), layout(("dog", RIGHT, 0.2))]
    # dog: 0.5; cat: none with its label; the second dog's score is below the match score.
    assert mean_iou(ASKED, seen) == pytest.approx(100 * 0.5 / 3)
    assert mean_iou(ASKED, seen, min_score=0.1) == pytest.approx(100 * 1.5 / 3)


def test_matching_is_one_to_one_and_maximal() -> None:
    """Greedy from the first asked box would take the exact one and leave the second with nothing."""
    asked = layout(("dog", (0.0, 0.0, 0.5, 0.5)), ("dog", (0.0, 0.0, 0.4, 0.5)))
    seen = layout(("dog", (0.0, 0.0, 0.4, 0.5), 0.9), ("dog", (0.0, 0.0, 0.55, 0.5), 0.9))
    found = match(asked, seen)
    assert [one.seen for one in found] == [1, 0]
    assert [one.iou for one in found] == pytest.approx([0.5 / 0.55, 1.0])
    assert [one.seen for one in match(asked, layout(("dog", LEFT, 0.9)))].count(None) == 1
    assert match(layout(("dog", LEFT)), layout(("dog", RIGHT, 0.9)))[0].seen is None


def random_layouts(count: int, seed: int) -> tuple[list[Layout], list[Layout]]:
    """Asked boxes, and detections that are jittered copies, duplicates and inventions with distinct scores."""
    rng = np.random.default_rng(seed)
    asked, seen = [], []
    for _ in range(count):
        want: list[Placed] = []
        got: list[Placed] = []
        for _ in range(rng.integers(1, 5)):
            x, y, w, h = rng.uniform(0, 0.5, 2).tolist() + rng.uniform(0.2, 0.45, 2).tolist()
            label = str(rng.choice(["dog", "cat", "bus", "boat"]))
            want.append((label, (x, y, x + w, y + h)))
            for _ in range(rng.integers(0, 3)):
                dx, dy = rng.uniform(-0.1, 0.1, 2)
                box = (max(0.0, x + dx), max(0.0, y + dy), min(1.0, x + w + dx), min(1.0, y + h + dy))
                got.append((label if rng.random() < 0.8 else "dog", box, float(rng.uniform(0.05, 1))))
        asked.append(layout(*want))
        seen.append(layout(*got))
    return asked, seen


def test_weights_of_one_are_pycocotools_own_numbers() -> None:
    asked, seen = random_layouts(40, 0)
    coco = Coco(asked, seen)
    for metric, value in coco.estimates(np.ones((1, 40), dtype=np.int64)).items():
        assert value.samples_R[0] == pytest.approx(value.value, abs=1e-9), metric


def test_weighted_scores_equal_cocoeval_on_the_resampled_layouts() -> None:
    asked, seen = random_layouts(25, 1)
    weights_RN = resamples(25, count=6, seed=2)
    estimates = Coco(asked, seen).estimates(weights_RN)
    for r, weights_N in enumerate(weights_RN):
        drawn = np.repeat(np.arange(25), weights_N)
        again = Coco([asked[i] for i in drawn], [seen[i] for i in drawn]).scores
        for metric, value in again.items():
            assert estimates[metric].samples_R[r] == pytest.approx(value, abs=1e-6), metric


def test_a_resample_without_a_label_leaves_it_out() -> None:
    estimates = Coco(ASKED, [layout(("dog", LEFT)), layout()]).estimates(np.array([[0, 2], [2, 0]]))
    assert estimates["ap"].samples_R == pytest.approx([0, 50])


def test_a_thousand_resamples_of_three_hundred_layouts_take_about_a_second() -> None:
    asked, seen = random_layouts(300, 3)
    coco, weights_RN = Coco(asked, seen), resamples(300)
    began = time.perf_counter()
    low, high = coco.estimates(weights_RN)["ap"].interval
    assert time.perf_counter() - began < 10
    assert low < coco.scores["ap"] < high


def test_labels_become_the_detectors_words() -> None:
    asked = Layout(
        caption="a red puppy and a zebra",
        instances=(
            Instance(caption="a red puppy", box=Box(*LEFT)),
            Instance(caption="a zebra", box=Box(*RIGHT)),
            Instance(caption="a cat", box=Box(*RIGHT)),
            Instance(caption="a hot dog", box=Box(*RIGHT)),
            Instance(caption="a couch with a cat", box=Box(*RIGHT)),
        ),
    )
    named = [one.label for one in canonical([asked], ("dog", "cat"))[0].instances]
    assert named == ["dog", "zebra", "cat", "hot dog", "couch"]
    assert canonical([asked], None) == [asked]


def test_mistakes_are_named() -> None:
    with pytest.raises(ResultError, match="2 asked layouts but 1 seen"):
        Coco(ASKED, ASKED[:1])
    with pytest.raises(ResultError, match="at least one asked instance, got none in 1 layouts"):
        Coco([layout()], [layout()])

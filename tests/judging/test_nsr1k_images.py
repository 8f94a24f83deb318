"""NSR-1K on pictures: accuracy over categories, comparisons, exact names, any pair of boxes."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
import torch
from PIL import Image

from scenograph.errors import ResultError
from scenograph.judging.nsr1k import CountingRow, SpatialRow
from scenograph.judging.nsr1k_images import counted_right, counting_tallies, shown, spatial_tallies
from scenograph.layout import Box, Instance, Layout


def seen(*names: str, size: tuple[int, int] | None = None, score: float | None = None) -> Layout:
    boxes = [Box(0.1 * i, 0.4, 0.1 * i + 0.08, 0.6) for i in range(len(names))]
    instances = tuple(Instance(caption=n, label=n, box=b, score=score) for n, b in zip(names, boxes, strict=True))
    return Layout(caption="seen", instances=instances, size=size)


def counting(*counts: tuple[str, int], kind: str = "two-categories") -> CountingRow:
    return CountingRow(id=1, prompt="p", counts=counts, kind=kind)


def spatial(relation: str, first: str = "cat", second: str = "dog") -> SpatialRow:
    return SpatialRow(id=1, prompt="p", first=first, second=second, relation=relation, kind="template")


class Detects:
    """The same for every picture; remembers what it was asked."""

    labels: tuple[str, ...] | None = None

    def __init__(self, layout: Layout) -> None:
        self.layout = layout
        self.asked: list[tuple[str, ...]] = []

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.asked.append(tuple(vocabulary))
        return [self.layout] * len(images)


def test_categories_are_right_one_by_one_with_their_exact_number() -> None:
    row = counting(("cat", 2), ("dog", 1))
    assert counted_right(row, seen("cat", "cat", "dog")) == [True, True]
    assert counted_right(row, seen("cat", "dog", "cow")) == [False, True]
    assert counted_right(row, seen("cat", "cat", "dog", "dog")) == [True, False]
    # Unlike the layout scorer, names match whole: a hot dog is no dog.
    assert counted_right(row, seen("cat", "cat", "hot dog")) == [True, False]


@pytest.mark.parametrize(
    ("counts", "names", "right"),
    [
        ((2, 2), "cat cat dog dog", True),
        ((2, 2), "cat cat dog", False),
        ((2, 3), "cat cat dog dog dog dog", True),  # more, if not as many more
        ((2, 3), "cat cat dog dog", False),
        ((2, 3), "cat dog dog dog", False),  # the first must be exact
        ((2, 1), "cat cat", True),  # fewer, even none
    ],
)
def test_a_comparison_is_two_categories_of_which_one_can_be_won(
    counts: tuple[int, int], names: str, right: bool
) -> None:
    row = counting(("cat", counts[0]), ("dog", counts[1]), kind="comparison")
    assert counted_right(row, seen(*names.split())) == [right, False]


def test_accuracy_is_over_categories_not_prompts() -> None:
    rows = [counting(("cat", 1)), counting(("cat", 1), ("dog", 1), ("cow", 1))]
    image = Image.new("RGB", (8, 8))
    detector = Detects(seen("cat", score=0.9))
    accuracy = counting_tallies(rows, [image, image], detector)["accuracy"]
    assert accuracy.mean() == 50  # 2 of 4; over prompts it would be 66.7
    assert detector.asked == [("cat",), ("cat", "dog", "cow")]
    assert counting_tallies(rows, [image, image], Detects(seen("cat", score=0.6)))["accuracy"].mean() == 0
    faint = counting_tallies(rows, [image, image], Detects(seen("cat", score=0.6)), confidence=0.3)
    assert faint["accuracy"].mean() == 50


def test_any_pair_may_show_the_relation() -> None:
    assert shown(spatial("left"), seen("cat", "dog"))
    assert not shown(spatial("right"), seen("cat", "dog"))
    assert shown(spatial("right"), seen("cat", "dog", "cat"))
    assert shown(spatial("next to"), seen("dog", "cat"))
    assert not shown(spatial("top"), seen("cat", "dog"))
    assert not shown(spatial("left"), seen("cat"))
    assert not shown(spatial("left"), seen())


def test_places_are_compared_in_pixels() -> None:
    boxes = (Box(0.1, 0.1, 0.2, 0.2), Box(0.4, 0.5, 0.5, 0.6))
    instances = tuple(Instance(caption=n, label=n, box=b) for n, b in zip(("cat", "dog"), boxes, strict=True))
    assert shown(spatial("top"), Layout(caption="s", instances=instances))
    assert shown(spatial("left"), Layout(caption="s", instances=instances, size=(200, 100)))


def test_spatial_accuracy_and_clip() -> None:
    class Clip:
        def image_features(self, images: Sequence[Image.Image]) -> torch.Tensor:
            return torch.tensor([[1.0, 0.0], [0.6, 0.8]])[: len(images)]

        def text_features(self, texts: Sequence[str]) -> torch.Tensor:
            return torch.tensor([[1.0, 0.0]]).repeat(len(texts), 1)

    images = [Image.new("RGB", (8, 8))] * 2
    tallies = spatial_tallies([spatial("left"), spatial("right")], images, Detects(seen("cat", "dog")), clip=Clip())
    assert tallies["accuracy"].mean() == 50
    assert tallies["clip_s"].mean() == pytest.approx(0.8)
    with pytest.raises(ResultError, match="got 2 images and 1 rows"):
        spatial_tallies([spatial("left")], images, Detects(seen()))

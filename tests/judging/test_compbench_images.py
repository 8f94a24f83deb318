"""T2I-CompBench on pictures: every category by evaluators of known answers, and what happens to detections before."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image

from scenograph.errors import ResultError
from scenograph.grounding.detector import load_detector
from scenograph.judging.clip import TransformersClip
from scenograph.judging.compbench import Asked
from scenograph.judging.compbench_images import Evaluators, compbench_scores, compbench_tallies, sightings
from scenograph.judging.compbench_prompts import CompPrompt, comp_prompt
from scenograph.judging.depth import NearnessMap, TransformersDepth
from scenograph.judging.vqa import BlipVQA
from scenograph.layout import Box, Instance, Layout
from tests.judging.checkpoints import save_blip, save_clip, save_dpt, save_grounding_dino, save_owlv2

Placed = tuple[str, Box, float]


def at(x: float, y: float, side: float = 0.1) -> Box:
    return Box(x - side / 2, y - side / 2, x + side / 2, y + side / 2)


def picture(number: int = 0, size: tuple[int, int] = (32, 32)) -> Image.Image:
    """A picture that fakes know by its colour."""
    return Image.new("RGB", size, (number, 0, 0))


def number_of(image: Image.Image) -> int:
    pixel = image.getpixel((0, 0))
    assert isinstance(pixel, tuple)
    return int(pixel[0])


class Detects:
    """Answers what it was given for each picture, of the asked words only; remembers what it was asked."""

    def __init__(self, *seen: Sequence[Placed], labels: tuple[str, ...] | None = None) -> None:
        self.seen, self.labels = seen, labels
        self.asked: list[tuple[str, ...]] = []

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.asked.append(tuple(vocabulary))
        layouts = []
        for image in images:
            rows = [row for row in self.seen[number_of(image)] if row[0] in vocabulary]
            found = tuple(Instance(caption=n, label=n, box=b, score=s) for n, b, s in rows)
            layouts.append(Layout(caption="seen", instances=found, size=image.size))
        return layouts


class Answers:
    """P(yes) by question."""

    def __init__(self, **answers: float) -> None:
        self.answers = {question.replace("_", " ") + "?": value for question, value in answers.items()}

    def yes(self, images: Sequence[Image.Image], questions: Sequence[str]) -> list[float]:
        return [self.answers[question] for question in questions]


class Cosine:
    """A CLIP whose cosine of any picture is the one told for the text."""

    def __init__(self, **cosines: float) -> None:
        self.cosines = {text.replace("_", " "): value for text, value in cosines.items()}

    def image_features(self, images: Sequence[Image.Image]) -> torch.Tensor:
        return torch.tensor([[1.0, 0.0]]).repeat(len(images), 1)

    def text_features(self, texts: Sequence[str]) -> torch.Tensor:
        cosines = torch.tensor([self.cosines[text] for text in texts])
        return torch.stack([cosines, (1 - cosines**2).sqrt()], dim=-1)


class Slope:
    """Nearness that rises from the top of the picture to its bottom."""

    def nearness(self, images: Sequence[Image.Image]) -> list[NearnessMap]:
        return [np.linspace(0, 1, i.height, dtype=np.float32)[:, None].repeat(i.width, 1) for i in images]


def spatial(locality: str = "on the left of", first: str = "cat", second: str = "dog") -> CompPrompt:
    relation = Asked(first=first, second=second, locality=locality)
    return CompPrompt(prompt=f"a {first} {locality} a {second}", category="spatial", relation=relation)


def score(prompt: CompPrompt, evaluators: Evaluators, image: Image.Image | None = None) -> float:
    (one,) = compbench_scores([prompt], [image or picture()], evaluators)
    return one


def test_attributes_are_multiplied_over_chunks() -> None:
    prompt = comp_prompt("a teal lamp and a red stool", "colour")
    assert score(prompt, Evaluators(vqa=Answers(a_teal_lamp=0.5, a_red_stool=0.8))) == 0.4
    assert score(CompPrompt(prompt="hm", category="shape"), Evaluators(vqa=Answers())) == 1


def test_spatial_from_detections() -> None:
    right = Detects([("cat", at(0.2, 0.5), 0.9), ("dog", at(0.8, 0.5), 0.7)])
    assert score(spatial(), Evaluators(detector=right)) == pytest.approx(0.25 * 1.6 + 0.5)
    assert score(spatial("on the right of"), Evaluators(detector=right)) == 0  # below a half: nothing
    assert score(spatial("on top of"), Evaluators(detector=right)) == 0
    assert score(CompPrompt(prompt="a cat", category="spatial"), Evaluators(detector=right)) == 0


def test_the_surest_of_each_label_counts() -> None:
    cats = [("cat", at(0.9, 0.5), 0.6), ("cat", at(0.2, 0.5), 0.8), ("dog", at(0.6, 0.5), 0.8)]
    assert score(spatial(), Evaluators(detector=Detects(cats))) == pytest.approx(0.9)
    cats[0] = ("cat", at(0.9, 0.5), 0.95)
    assert score(spatial(), Evaluators(detector=Detects(cats))) == 0


def test_detections_below_the_confidence_are_not_there() -> None:
    faint = Detects([("cat", at(0.2, 0.5), 0.45), ("dog", at(0.8, 0.5), 0.9)])
    assert score(spatial(), Evaluators(detector=faint)) == 0
    assert score(spatial(), Evaluators(detector=faint, confidence=0.3)) == pytest.approx(0.25 * 1.35 + 0.5)


def test_people_are_looked_for_by_the_detectors_name() -> None:
    rows: list[Placed] = [("person", at(0.2, 0.5), 1.0), ("boy", at(0.9, 0.5), 1.0), ("dog", at(0.8, 0.5), 1.0)]
    detector = Detects(rows)
    assert score(spatial(first="boy"), Evaluators(detector=detector)) == 1
    assert score(spatial(first="boy"), Evaluators(detector=detector, renamed=False)) == 0.5
    assert detector.asked == [("person", "dog"), ("boy", "dog")]


def test_depth_within_the_boxes() -> None:
    low, high = at(0.5, 0.6, 0.4), at(0.5, 0.5, 0.4)
    detector = Detects([("cat", low, 1.0), ("dog", high, 1.0)])
    evaluators = Evaluators(detector=detector, depth=Slope())
    flat = Evaluators(detector=Detects([("cat", high, 1.0), ("dog", low, 1.0)]), depth=Slope())

    def asked(locality: str) -> CompPrompt:
        relation = Asked(first="cat", second="dog", locality=locality)
        return CompPrompt(prompt=f"a cat {locality} a dog", category="3d-spatial", relation=relation)

    # The official script reads boxes with x as the row: on this slope both have the same depth in the same columns.
    assert score(asked("in front of"), evaluators) == 0.5
    aside = Detects([("cat", at(0.6, 0.5, 0.4), 1.0), ("dog", at(0.5, 0.5, 0.4), 1.0)])
    assert score(asked("in front of"), Evaluators(detector=aside, depth=Slope())) == 1  # x 0.6 is row 0.6: nearer
    assert score(asked("behind"), Evaluators(detector=aside, depth=Slope())) == 0.5
    assert score(asked("behind"), flat) == 0.5
    alone = Detects([("cat", low, 0.8)])
    assert score(asked("behind"), Evaluators(detector=alone, depth=Slope())) == pytest.approx(0.2)  # no lower limit


def test_numeracy_from_detections() -> None:
    prompt = comp_prompt("two cats and a ship", "numeracy")
    rows: list[Placed] = [("cat", at(0.2, 0.2), 0.9), ("cat", at(0.6, 0.2), 0.8), ("boat", at(0.5, 0.8), 0.9)]
    assert score(prompt, Evaluators(detector=Detects(rows))) == 1
    assert score(prompt, Evaluators(detector=Detects(rows), renamed=False)) == 0.5
    assert score(prompt, Evaluators(detector=Detects(rows[1:]))) == 0.75
    # The same cat twice, overlapping by more than a half: one of them is suppressed, as UniDet would.
    twice = [*rows[::2], ("cat", Box(0.18, 0.15, 0.28, 0.25), 0.7)]
    assert score(prompt, Evaluators(detector=Detects(twice))) == 0.75
    assert score(prompt, Evaluators(detector=Detects(twice), suppression=None)) == 1


def test_clip_is_the_plain_cosine() -> None:
    prompt = comp_prompt("A small goat eats.", "non-spatial")
    evaluators = Evaluators(clip=Cosine(**{"A small goat eats.": 0.31}))
    assert score(prompt, evaluators) == pytest.approx(0.31, abs=1e-6)
    assert score(prompt, Evaluators(clip=Cosine(**{"A small goat eats.": -0.2}))) == pytest.approx(-0.2, abs=1e-6)


def test_three_in_one() -> None:
    text = "The red cat was on the left of the old dog."
    evaluators = Evaluators(
        vqa=Answers(the_red_cat=0.5, the_old_dog=0.4),
        detector=Detects([("cat", at(0.2, 0.5), 0.9), ("dog", at(0.8, 0.5), 0.9)]),
        clip=Cosine(**{"The cat was on the left of the dog.": 0.3}),
    )
    key = text.lower().rstrip(".")
    assert score(comp_prompt(text, "complex"), evaluators) == pytest.approx((0.2 + 0.95 + 0.3) / 3, abs=1e-6)
    only_spatial = comp_prompt(text, "complex", spatial={key})
    assert score(only_spatial, evaluators) == pytest.approx((0.2 + 0.95) / 2, abs=1e-6)
    action = comp_prompt(text, "complex", actions={key})
    assert score(action, evaluators) == pytest.approx((0.2 + 0.3) / 2, abs=1e-6)
    # Without a relation the spatial third is 0, not left out.
    plain = Evaluators(vqa=Answers(the_red_cat=0.6), detector=Detects([]), clip=Cosine(**{"The cat shone.": 0.3}))
    assert score(comp_prompt("The red cat shone.", "complex"), plain) == pytest.approx(0.3, abs=1e-6)


def test_tallies_are_percent_by_category_and_prompt() -> None:
    detector = Detects(
        [("cat", at(0.2, 0.5), 1.0), ("dog", at(0.8, 0.5), 1.0)], [("dog", at(0.2, 0.5), 1.0), ("cat", at(0.8, 0.5), 1)]
    )
    evaluators = Evaluators(detector=detector, vqa=Answers(a_red_cup=0.25))
    prompts = [spatial(), comp_prompt("a red cup", "colour"), spatial("on the right of")]
    images = [[picture(0), picture(1)], [picture(0)], [picture(1)]]
    tallies = compbench_tallies(prompts, images, evaluators)
    assert tallies["spatial"].total_N.tolist() == [150, 100]
    assert tallies["spatial"].count_N.tolist() == [2, 1]
    assert tallies["spatial"].mean() == pytest.approx(250 / 3)
    assert tallies["colour"].mean() == 25


def test_open_vocabularies_are_asked_for_the_images_own_words_and_closed_ones_for_all() -> None:
    rows: list[Placed] = [("cat", at(0.2, 0.2), 0.9), ("dog", at(0.6, 0.2), 0.8)]
    images, words = [picture(0), picture(1), picture(0)], [("cat",), ("dog",), ("cat",)]
    detector = Detects(rows, rows)
    seen = sightings(images, words, detector, confidence=0.5)
    assert [[one.label for one in layout.instances] for layout in seen] == [["cat"], ["dog"], ["cat"]]
    assert detector.asked == [("cat",), ("dog",)]
    closed = Detects(rows, rows, labels=("cat", "dog", "cow"))
    seen = sightings(images, words, closed, confidence=0.85)
    assert [[one.label for one in layout.instances] for layout in seen] == [["cat"]] * 3
    assert closed.asked == [("cat", "dog", "cow")]


def noise(seed: int) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (48, 64, 3), dtype=np.uint8))


@pytest.mark.parametrize("save", [save_grounding_dino, save_owlv2])
def test_hub_evaluators_score_every_category(save: Callable[[Path], Path], tmp_path: Path) -> None:
    evaluators = Evaluators(
        vqa=BlipVQA.from_pretrained(save_blip(tmp_path / "blip"), device="cpu"),
        detector=load_detector(save(tmp_path / "detector"), threshold=0.0, device="cpu"),
        depth=TransformersDepth.from_pretrained(save_dpt(tmp_path / "dpt"), device="cpu"),
        clip=TransformersClip.from_pretrained(save_clip(tmp_path / "clip"), device="cpu"),
        confidence=0.0,
    )
    texts = {
        "colour": "a red dog and a blue bench",
        "spatial": "a dog on the left of a cat",
        "3d-spatial": "a dog behind a cat",
        "numeracy": "two dogs and a cat",
        "non-spatial": "A dog eats.",
        "complex": "The red dog is near the blue cat.",
    }
    prompts = [comp_prompt(text, category) for category, text in texts.items()]
    images = [[noise(seed), noise(seed + 100)] for seed in range(len(prompts))]
    tallies = compbench_tallies(prompts, images, evaluators)
    assert set(tallies) == set(texts)
    assert all(tally.count_N.tolist() == [2] for tally in tallies.values())
    assert all(0 <= tallies[category].mean() <= 100 for category in ("colour", "spatial", "3d-spatial", "numeracy"))
    # Both nouns are among the detections at this confidence, so their halves and quarters are there.
    assert tallies["numeracy"].mean() >= 50
    assert tallies["3d-spatial"].mean() > 0


def test_mistakes_are_named() -> None:
    for prompt, what in (
        (comp_prompt("a red cup", "colour"), "colour prompts needs Evaluators(vqa"),
        (spatial(), "spatial prompts needs Evaluators(detector"),
        (comp_prompt("two cats", "numeracy"), "numeracy prompts needs Evaluators(detector"),
        (comp_prompt("a cat behind a dog", "3d-spatial"), "3d-spatial prompts needs Evaluators(depth"),
        (comp_prompt("a cat eats", "non-spatial"), "non-spatial prompts needs Evaluators(clip"),
    ):
        with pytest.raises(ResultError) as caught:
            compbench_scores([prompt], [picture()], Evaluators())
        assert what in str(caught.value)
    with pytest.raises(ResultError, match="got 0 images and 1 prompts"):
        compbench_scores([spatial()], [], Evaluators())
    with pytest.raises(ResultError, match="got 1 prompts and 0 lists"):
        compbench_tallies([spatial()], [], Evaluators())


def test_counts_are_asked_for_where_a_relation_is_said_too() -> None:
    prompt = comp_prompt("two cats and one dog near three sheep", "numeracy")
    rows: list[Placed] = [
        (n, at(0.1 + 0.14 * i, 0.2), 0.9) for i, n in enumerate(["cat", "cat", "dog", *["sheep"] * 3])
    ]
    detector = Detects(rows)
    assert compbench_scores([prompt], [picture(0)], Evaluators(detector=detector)) == [1]
    assert detector.asked == [("cat", "dog", "sheep")]

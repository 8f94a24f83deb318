"""One image against one layout, instance by instance."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from PIL import Image

from scenograph.grounding.echo import EchoGrounder
from scenograph.judging.attributes import attribute_tallies
from scenograph.judging.clip import TransformersClip
from scenograph.judging.judge import judge_image
from scenograph.layout import Box, Instance, Layout
from tests.judging.checkpoints import save_dual_encoder
from tests.judging.test_attributes import MiddlePixel, painted

LEFT, RIGHT = (0.0, 0.0, 0.4, 0.4), (0.5, 0.5, 0.9, 0.9)
ASKED = Layout(
    caption="a red dog and a blue cat",
    instances=(Instance(caption="a red dog", box=Box(*LEFT)), Instance(caption="a blue cat", box=Box(*RIGHT))),
)
SEEN = Layout(caption="dog", instances=(Instance(caption="dog", box=Box(0.0, 0.0, 0.3, 0.4), score=0.8),))


def test_scores_and_rows(tmp_path: Path) -> None:
    clip = TransformersClip.from_pretrained(save_dual_encoder(tmp_path))
    image = painted(("red", LEFT), ("red", RIGHT))
    scores = judge_image(image, ASKED, EchoGrounder(SEEN), MiddlePixel(), clip)
    dog, cat = scores.instances
    assert dog.iou == pytest.approx(0.75)
    assert (dog.found, dog.seen_score, dog.attributes, dog.ok) == (True, 0.8, {"colour": True}, True)
    assert (cat.iou, cat.found, cat.seen_box, cat.attributes, cat.ok) == (0, False, None, {"colour": False}, False)
    assert scores.mean_iou == pytest.approx(0.375)
    assert (scores.found, scores.attribute_accuracy) == (1, 0.5)
    assert scores.clip_s == pytest.approx(
        float(clip.image_features([image])[0] @ clip.text_features([ASKED.caption])[0])
    )
    row = json.loads(json.dumps(scores.to_dict()))
    assert row["instances"][0]["seen_box"] == [0.0, 0.0, 0.3, 0.4]
    assert Layout.from_dict(row["seen"]) == SEEN


def test_the_attributes_of_what_is_not_there_are_wrong() -> None:
    image = painted(("red", LEFT), ("blue", RIGHT))  # something blue is where the cat should be
    dog, cat = judge_image(image, ASKED, EchoGrounder(SEEN), MiddlePixel()).instances
    assert (dog.attributes, cat.attributes) == ({"colour": True}, {"colour": False})
    counted = attribute_tallies([image], [ASKED], MiddlePixel(), seen=[SEEN])["attributes"]
    scores = judge_image(image, ASKED, EchoGrounder(SEEN), MiddlePixel())
    assert scores.attribute_accuracy == counted.mean() / 100 == 0.5


def test_without_reader_and_clip_and_without_instances() -> None:
    image = Image.new("RGB", (16, 16))
    scores = judge_image(image, ASKED, EchoGrounder(ASKED))
    assert (scores.mean_iou, scores.found, scores.attribute_accuracy, scores.clip_s) == (1, 2, None, None)
    assert all(one.ok and one.region_clip is None for one in scores.instances)
    nothing = Layout(caption="a meadow", instances=())
    assert judge_image(image, nothing, EchoGrounder(nothing)).mean_iou is None

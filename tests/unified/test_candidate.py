"""Candidate masks: exact cells, nothing changed at the start, learnt, kept in a folder, never a way to the answer."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from transformers import JanusForConditionalGeneration

from scenograph.errors import CheckpointError
from scenograph.layout import Box
from scenograph.planning.unified_planner import UnifiedPlanner
from scenograph.training.loop import Plan
from scenograph.training.paired import Paired
from scenograph.training.pmtp import PmtpRecipe, _sample, train_pmtp
from scenograph.unified.batch import collate
from scenograph.unified.candidate import SLOTS, add_candidate_mask, box_masks
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.scoring import states
from scenograph.unified.sequence import TokenSequence, ground_sequence, understand_sequence
from scenograph.unified.tokens import Codec
from tests.unified.tiny import IMAGE_LENGTH, images, layout, tiny_janus, world_codec

BOXES = [one.box for one in layout().instances]


@pytest.fixture(scope="module")
def codec() -> Codec:
    return world_codec()


def _understood(codec: Codec, boxes: list[Box]) -> TokenSequence:
    return understand_sequence(codec, images(1)[0], layout().instances, layout().instances, boxes=False, masks=boxes)


def _data() -> Paired:
    tokens = np.array(images(2), np.uint16)
    return Paired(tokens_KN=tokens, layout=lambda i, rng: layout(), pixels=lambda i: torch.zeros(3, 64, 64))


def test_a_mask_is_the_share_of_every_cell() -> None:
    masks_NK = box_masks([Box(0.0, 0.25, 0.375, 0.5), Box(0, 0, 1, 1)], 16)
    first_HW = masks_NK[:, 0].view(4, 4)
    assert first_HW[1].tolist() == [1, 0.5, 0, 0] and first_HW.sum() == 1.5
    assert masks_NK[:, 1].tolist() == [1] * 16 and not masks_NK[:, 2:].any()
    assert masks_NK.shape == (16, SLOTS)
    many = [Box(0, 0, 0.5, 0.5)] * (SLOTS + 3)
    assert torch.equal(box_masks(many, 16), box_masks(many[:SLOTS], 16))


def test_masks_stand_on_the_image_alone_whatever_the_padding(codec: Codec) -> None:
    rows = [_understood(codec, BOXES), ground_sequence(codec, images(1)[0])]
    for side in ("left", "right"):
        batch = collate(rows, side=side)  # type: ignore[arg-type]  # both are sides
        assert batch.masks_BTK is not None
        assert torch.equal(batch.masks_BTK[0][batch.kinds_BT[0] != 0], box_masks(BOXES, IMAGE_LENGTH))
        assert not batch.masks_BTK[0][batch.kinds_BT[0] == 0].any() and not batch.masks_BTK[1].any()
    assert collate(rows[1:]).masks_BTK is None
    forced = collate(rows[1:], masks=True).masks_BTK
    assert forced is not None and not forced.any()
    kept = collate(rows).grounding().masks_BTK
    assert kept is not None and float(kept[0].sum()) == pytest.approx(float(box_masks(BOXES, IMAGE_LENGTH).sum()))


def test_at_the_start_masks_change_nothing_and_afterwards_they_do(codec: Codec) -> None:
    plain = tiny_janus(codec)
    model = add_candidate_mask(plain)
    with_boxes, without = (collate([_understood(codec, boxes)], masks=True) for boxes in (BOXES, []))
    with torch.no_grad():
        expected = states(plain, collate([_understood(codec, [])]))
        assert torch.equal(states(model, with_boxes), expected)
        torch.nn.init.normal_(model.model.candidate_mask.weight)
        assert torch.equal(states(model, without), expected)
        assert not torch.allclose(states(model, with_boxes), expected, atol=1e-3)
    with pytest.raises(CheckpointError, match="takes no candidate masks"):
        states(plain, with_boxes)


def test_a_folder_keeps_the_masks(codec: Codec, tmp_path: Path) -> None:
    model = add_candidate_mask(tiny_janus(codec))
    torch.nn.init.normal_(model.model.candidate_mask.weight)
    model.save_pretrained(tmp_path)
    codec.tokenizer.save_pretrained(tmp_path)
    again = load_unified(tmp_path, device="cpu")
    assert again.takes_masks and not Unified(tiny_janus(codec), codec).takes_masks
    state = again.model.state_dict()
    assert all(torch.equal(tensor, state[name]) for name, tensor in model.state_dict().items())
    stock = JanusForConditionalGeneration.from_pretrained(tmp_path).state_dict()
    assert set(state) - set(stock) == {"model.candidate_mask.weight"}


def test_training_learns_them_and_the_planner_uses_them(codec: Codec, tmp_path: Path) -> None:
    plan = Plan(steps=3, batch=4, lr=1e-2, seed=3, warmup=0, ema=None)
    recipe = PmtpRecipe(name="masks", plan=plan, parse=1.0, masks=True)
    unified = train_pmtp(recipe, _data(), Unified(add_candidate_mask(tiny_janus(codec)), codec), tmp_path)
    weight = unified.model.model.candidate_mask.weight
    assert bool(weight[:, :2].any()) and not weight[:, 3:].any()  # two things, one perhaps doubled
    planner = UnifiedPlanner(unified, temperature=0)
    asked = planner._asked(images(1)[0], layout())
    assert asked.masks == tuple(BOXES)
    told = understand_sequence(codec, images(1)[0], layout().instances, boxes=False)
    assert asked == replace(told, masks=tuple(BOXES))


def test_the_answer_is_never_in_the_masks(codec: Codec) -> None:
    recipe = PmtpRecipe(name="m", plan=Plan(steps=1, batch=1, lr=1.0), parse=1.0, masks=True)
    drawn = [_sample(recipe, _data(), codec, np.random.default_rng(seed))[0] for seed in range(80)]
    understood = [one for one in drawn if 1 in one.kinds]
    empty = sum(not one.masks for one in understood)
    assert 0.3 < empty / len(understood) < 0.7
    assert all([*one.masks] != BOXES for one in understood)

"""Who may look at whom: tables, gradients and perturbations through a real model, and both passes apart."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn.attention.flex_attention import create_mask

from scenograph.layout import Layout
from scenograph.unified.batch import Batch, collate, embed
from scenograph.unified.mask import attention_mask, mask_mod
from scenograph.unified.passes import hidden
from scenograph.unified.scoring import states
from scenograph.unified.sequence import Role, Segment, ground_sequence, paint_sequence, shared_sequence
from tests.unified.tiny import images, layout, tiny_janus, world_codec

CODEC = world_codec()
LAYOUTS = [
    layout(),
    layout(("a red cat", (0.0, 0.0, 0.4, 0.4)), caption="a cat"),
    layout(("two dogs", (0.2, 0.1, 0.9, 0.7)), ("a big bus", (0.0, 0.5, 1.0, 1.0)), ("a car", (0.1, 0.1, 0.2, 0.3))),
]
OTHER = layout(("a blue bus", (0.3, 0.1, 0.9, 0.3)), ("a cat", (0.0, 0.0, 0.1, 0.1)), caption="a bus and a cat")


@pytest.fixture(scope="module", params=[1, 2], ids=["one layer", "two layers"])
def model(request: pytest.FixtureRequest) -> object:
    return tiny_janus(CODEC, layers=request.param, spread=2.0)


@pytest.fixture(scope="module")
def deep() -> object:
    return tiny_janus(CODEC, layers=2, spread=2.0)


def shared(layouts: list[Layout]) -> Batch:
    return collate([shared_sequence(CODEC, one, ids) for one, ids in zip(layouts, images(len(layouts)), strict=True)])


def influence(model: object, batch: Batch, row: int, wanted_T: Tensor, of_T: Tensor) -> float:
    """How strongly the states of some tokens of a row depend on the embeddings of others."""
    embeds_BTD = embed(model, batch).detach().requires_grad_()
    states_MD = hidden(model, embeds_BTD, batch.mask(), batch.positions())[row, wanted_T]
    direction_MD = torch.randn(states_MD.shape, generator=torch.Generator().manual_seed(0))
    (states_MD * direction_MD).sum().backward()  # not their length, which the last norm makes the same for all
    assert embeds_BTD.grad is not None
    return float(embeds_BTD.grad[row, of_T].abs().max())


def test_the_table_in_full() -> None:
    start, paint, image, answer, pad = (
        int(x) for x in (Segment.START, Segment.PAINT, Segment.IMAGE, Segment.ANSWER, Segment.PAD)
    )
    mask_TT = attention_mask(torch.tensor([[start, paint, image, image, answer, answer, pad]]))[0, 0].int()
    assert mask_TT.tolist() == [
        [1, 0, 0, 0, 0, 0, 0],
        [1, 1, 0, 0, 0, 0, 0],
        [1, 1, 1, 0, 0, 0, 0],
        [1, 1, 1, 1, 0, 0, 0],
        [1, 0, 1, 1, 1, 0, 0],
        [1, 0, 1, 1, 1, 1, 0],
        [0, 0, 0, 0, 0, 0, 1],
    ]


def test_flex_attention_gets_the_same_mask() -> None:
    segments_BT = shared(LAYOUTS).segments_BT
    count, steps = segments_BT.shape
    flex = create_mask(mask_mod(segments_BT), count, 1, steps, steps, device="cpu")
    assert torch.equal(flex, attention_mask(segments_BT))


def test_no_gradient_flows_where_the_mask_forbids(model: object) -> None:
    batch = shared(LAYOUTS)
    for row in range(len(LAYOUTS)):
        paint, image, answer, start = (
            batch.segments_BT[row] == s for s in (Segment.PAINT, Segment.IMAGE, Segment.ANSWER, Segment.START)
        )
        pad = batch.segments_BT[row] == Segment.PAD
        assert influence(model, batch, row, paint, image | answer) == 0
        assert influence(model, batch, row, image, answer) == 0
        assert influence(model, batch, row, paint | image | answer, pad) == 0 if bool(pad.any()) else True
        for reader, source in ((image, paint), (answer, image), (answer, start), (answer, answer)):
            assert influence(model, batch, row, reader, source) > 1e-3
        later = torch.nonzero(image)[5:, 0]
        assert influence(model, batch, row, torch.nonzero(image)[:5, 0], later) == 0


def test_grounding_sees_the_layout_through_two_layers_but_not_through_one() -> None:
    """The hole in the paper's mask: what the image tokens have read, the second layer passes on."""
    batch = shared(LAYOUTS[:1])
    paint, answer = (batch.segments_BT[0] == s for s in (Segment.PAINT, Segment.ANSWER))
    assert influence(tiny_janus(CODEC, layers=1), batch, 0, answer, paint) == 0
    assert influence(tiny_janus(CODEC, layers=2), batch, 0, answer, paint) > 1e-3


def test_a_dropped_layout_cannot_be_seen_at_all(deep: object) -> None:
    batch = shared(LAYOUTS).dropped(torch.tensor([True, False, True]))
    for row, dropped in enumerate((True, False, True)):
        told = collate([shared_sequence(CODEC, LAYOUTS[row], images(3)[row])]).segments_BT[0] == Segment.PAINT
        paint = torch.nn.functional.pad(told, (0, batch.ids_BT.shape[1] - len(told)))
        rest = (batch.segments_BT[row] != Segment.PAD) & ~paint
        assert (influence(deep, batch, row, rest, paint) == 0) is dropped


def test_another_layout_changes_painting_and_leaks_unless_dropped(deep: object) -> None:
    """The same in values: swap the first X_g, keep the image and the answer."""
    ids, answer = images(1)[0], LAYOUTS[0].instances
    both = collate([shared_sequence(CODEC, one, ids, answer) for one in (LAYOUTS[0], OTHER)])
    for dropped, leaks in ((False, True), (True, False)):
        batch = both.dropped(torch.tensor([dropped] * 2))
        states_BTD = states(deep, batch)
        grounded = [states_BTD[row][batch.segments_BT[row] == Segment.ANSWER] for row in range(2)]
        painted = [states_BTD[row][batch.segments_BT[row] == Segment.IMAGE] for row in range(2)]
        same = torch.allclose(grounded[0], grounded[1], atol=1e-5)
        assert same is not leaks
        assert torch.allclose(painted[0], painted[1], atol=1e-5) is not leaks


def test_painting_in_the_shared_sequence_is_painting_alone(deep: object) -> None:
    batch = shared(LAYOUTS)
    alone = collate([paint_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(3), strict=True)])
    together_BTD, apart_BTD = states(deep, batch), states(deep, alone)
    for row in range(3):
        wanted = batch.segments_BT[row] == Segment.IMAGE
        expected = apart_BTD[row][alone.segments_BT[row] == Segment.IMAGE]
        torch.testing.assert_close(together_BTD[row][wanted], expected, atol=1e-5, rtol=1e-5)


def test_grounding_of_a_dropped_sample_is_grounding_alone(deep: object) -> None:
    batch = shared(LAYOUTS).dropped(torch.tensor([True] * 3))
    sequences = [ground_sequence(CODEC, ids, one.instances) for one, ids in zip(LAYOUTS, images(3), strict=True)]
    alone = collate(sequences)
    together_BTD, apart_BTD = states(deep, batch), states(deep, alone)
    for row in range(3):
        wanted = batch.segments_BT[row] == Segment.ANSWER
        expected = apart_BTD[row][alone.segments_BT[row] == Segment.ANSWER]
        torch.testing.assert_close(together_BTD[row][wanted], expected, atol=1e-5, rtol=1e-5)


def test_the_two_passes_are_the_sequences_of_the_tasks() -> None:
    batch = shared(LAYOUTS)
    paint = collate([paint_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(3), strict=True)])
    ground = collate([ground_sequence(CODEC, ids, x.instances) for x, ids in zip(LAYOUTS, images(3), strict=True)])
    for found, expected in ((batch.painting(), paint), (batch.grounding(), ground)):
        assert found.masks_BTK is expected.masks_BTK is None
        for name in ("ids_BT", "kinds_BT", "segments_BT", "roles_BT"):
            assert torch.equal(getattr(found, name), getattr(expected, name)), name


def test_positions_are_the_stand_alone_ones() -> None:
    batch = shared(LAYOUTS)
    positions_BT = batch.positions()
    for row, count in enumerate((batch.segments_BT != Segment.PAD).sum(dim=1).tolist()):
        assert positions_BT[row, :count].tolist() == list(range(count))
    dropped = batch.dropped(torch.tensor([True] * 3))
    answer = dropped.segments_BT[0] == Segment.ANSWER
    places = dropped.positions()[0][answer]
    first = 1 + 16 + 2  # BOS, the image and its marks
    assert places.tolist() == list(range(first, first + len(places)))


def test_padding_on_the_left_is_padding_on_the_right(deep: object) -> None:
    sequences = [paint_sequence(CODEC, one, ids) for one, ids in zip(LAYOUTS, images(3), strict=True)]
    left, right = (collate(sequences, side=side) for side in ("left", "right"))  # type: ignore[arg-type]
    found, expected = states(deep, left), states(deep, right)
    for row in range(3):
        kept = [batch.roles_BT[row] == Role.IMAGE for batch in (left, right)]
        torch.testing.assert_close(found[row][kept[0]], expected[row][kept[1]], atol=1e-5, rtol=1e-5)
        assert torch.equal(left.positions()[row][kept[0]], right.positions()[row][kept[1]])

"""One pass over a batch of rows of different lengths: the same states, without most of the padding."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from torch import Tensor

from scenograph.unified import scoring
from scenograph.unified.batch import Batch, collate, embed
from scenograph.unified.passes import hidden
from scenograph.unified.scoring import states
from scenograph.unified.sequence import Segment, plan_sequence, shared_sequence
from tests.unified.tiny import images, layout, tiny_janus, world_codec

CODEC = world_codec()


@pytest.fixture(scope="module")
def model() -> Any:
    return tiny_janus(CODEC, spread=2.0)


@pytest.fixture(scope="module")
def batch() -> Batch:
    """A few words beside many things, and one row whose condition is dropped."""
    many = layout(*[("a red cat", (0.1 * i, 0.2, 0.1 * i + 0.3, 0.9)) for i in range(6)])
    rows = [shared_sequence(CODEC, one, ids) for one, ids in zip([many, layout(), many], images(3), strict=True)]
    rows += [plan_sequence(CODEC, "a cat", layout().instances[:1])] * 3
    return collate(rows).dropped(torch.tensor([False, False, True, False, False, False]))


def test_states_are_those_of_one_padded_pass(model: Any, batch: Batch) -> None:
    real_BT = batch.segments_BT != Segment.PAD
    expected = hidden(model, embed(model, batch), batch.mask(), batch.positions())[real_BT]
    found = states(model, batch)
    assert found.shape[:2] == batch.ids_BT.shape
    torch.testing.assert_close(found[real_BT], expected, atol=1e-5, rtol=1e-5)


def test_little_padding_is_computed(model: Any, batch: Batch, monkeypatch: pytest.MonkeyPatch) -> None:
    tokens: list[int] = []

    def counted(model: Any, embeds_BTD: Tensor, *rest: Any) -> Tensor:
        tokens.append(embeds_BTD.shape[0] * embeds_BTD.shape[1])
        return hidden(model, embeds_BTD, *rest)

    monkeypatch.setattr(scoring, "hidden", counted)
    states(model, batch)
    real = int((batch.segments_BT != Segment.PAD).sum())
    assert sum(tokens) <= 1.25 * real < 0.8 * batch.ids_BT.numel()

"""Where words should look in drawn scenes, and what looking elsewhere costs."""

import math
from dataclasses import replace

import pytest
import torch
from transformers import CLIPTokenizer

from scenograph.training.token_supervision import phrase_cells, token_loss
from scenograph.training.tokenizer import train_tokenizer
from scenograph.world.captions import Described
from scenograph.world.scenes import scene_at

SCENES = [scene_at(index, seed=3, split="train") for index in range(24)]


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return train_tokenizer(captions=300, vocabulary=700)


def test_every_phrase_has_its_tokens_and_the_cells_of_its_objects(tokenizer: CLIPTokenizer) -> None:
    words_BNT, cells_BNHW = phrase_cells(SCENES, tokenizer, 64, 16)
    assert words_BNT.shape[:2] == cells_BNHW.shape[:2] and cells_BNHW.shape[2:] == (16, 16)
    shared = 0
    for scene, words_NT, cells_NHW in zip(SCENES, words_BNT, cells_BNHW, strict=True):
        ids = tokenizer(scene.described.caption, padding="max_length").input_ids
        said = [tokenizer.decode([ids[t] for t in row.nonzero()[:, 0]]) for row in words_NT if row.any()]
        assert sorted(said) == sorted(set(scene.described.phrases))
        shared += len(said) < len(scene.objects)
        owner_HW = torch.from_numpy(scene.truth(32).owner_HW)
        for phrase, cells_HW in zip(said, cells_NHW, strict=False):
            for i, other in enumerate(scene.described.phrases):
                seen = (owner_HW == i).view(16, 2, 16, 2).any(1).any(2)
                assert other != phrase or bool((cells_HW.bool() & seen).sum() == seen.sum())
            named = torch.tensor([i for i, other in enumerate(scene.described.phrases) if other == phrase])
            assert not (cells_HW.bool() & ~torch.isin(owner_HW, named).view(16, 2, 16, 2).any(1).any(2)).any()
    assert shared, "counted objects share a phrase"


def test_phrases_beyond_the_window_are_left_out(tokenizer: CLIPTokenizer, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(tokenizer, "model_max_length", 8)
    words_BNT, cells_BNHW = phrase_cells(SCENES, tokenizer, 8, 16)
    named_B, lengths = words_BNT.any(2).any(1), [len(tokenizer(s.described.caption).input_ids) for s in SCENES]
    assert named_B[[n <= 8 for n in lengths]].all() and named_B.any() and not named_B.all()
    assert not cells_BNHW[~named_B].any()


def looking(cells_HW: torch.Tensor, *, tokens: int = 5) -> torch.Tensor:
    """Maps of two heads, of which token 2 gets everything inside the cells and nothing outside; token 0 the rest."""
    map_QT = torch.zeros(cells_HW.numel(), tokens)
    map_QT[:, 2], map_QT[:, 0] = cells_HW.flatten(), 1 - cells_HW.flatten()
    return map_QT.expand(1, 2, -1, -1)


def one_phrase(cells_HW: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    words_BNT = torch.zeros(1, 2, 5)  # the second phrase is padding
    words_BNT[0, 0, 2] = 1
    return words_BNT, torch.stack([cells_HW, torch.zeros_like(cells_HW)])[None]


def test_looking_at_the_object_alone_costs_nothing() -> None:
    cells_HW = torch.zeros(8, 8)
    cells_HW[1:4, 2:7] = 1
    coarse_HW = torch.nn.functional.max_pool2d(cells_HW[None], 2)[0]
    maps = {"fine": looking(cells_HW), "coarse": looking(coarse_HW)}
    loss, share = token_loss(maps, *one_phrase(cells_HW), pixel_weight=1.0)
    assert loss.item() == pytest.approx(0, abs=1e-6) and share.item() == 1


@pytest.mark.parametrize("probability", [0.1, 0.4])
def test_looking_everywhere_costs_what_the_formula_says(probability: float) -> None:
    cells_HW = torch.zeros(8, 8)
    cells_HW[:, :2] = 1
    map_BHQT = torch.zeros(1, 2, 64, 5)
    map_BHQT[..., 2] = probability
    loss, share = token_loss({"one": map_BHQT}, *one_phrase(cells_HW), pixel_weight=0.5)
    entropy = -(0.25 * math.log(probability) + 0.75 * math.log(1 - probability))
    assert share.item() == pytest.approx(0.25)
    assert loss.item() == pytest.approx(0.75**2 + 0.5 * entropy, rel=1e-5)


def test_a_hidden_or_unnamed_object_costs_nothing_and_has_a_gradient(tokenizer: CLIPTokenizer) -> None:
    map_BHQT = torch.full((2, 1, 64, 5), 0.2, requires_grad=True)
    words_BNT, cells_BNHW = (torch.cat([one, one]) for one in one_phrase(torch.zeros(8, 8)))
    loss, share = token_loss({"one": map_BHQT}, words_BNT, cells_BNHW, pixel_weight=1.0)
    loss.backward()  # type: ignore[no-untyped-call]
    assert loss.item() == share.item() == 0 and map_BHQT.grad is not None and not map_BHQT.grad.any()
    untold = Described(caption="a street", phrases=("a dog",), captions=("a dog",))
    scene = replace(next(s for s in SCENES if len(s.objects) == 1), described=untold)
    words_BNT, cells_BNHW = phrase_cells([scene], tokenizer, 64, 16)
    assert words_BNT.shape == (1, 1, 64) and not words_BNT.any() and not cells_BNHW.any()

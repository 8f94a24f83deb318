"""The sampler beside transformers' `generate`, beside its own parallel scores, and as a distribution."""

from __future__ import annotations

from copy import copy, deepcopy
from typing import Any

import pytest
import torch

from scenograph.errors import GuidanceError
from scenograph.unified.batch import collate
from scenograph.unified.grammar import LayoutGrammar
from scenograph.unified.passes import image_logits
from scenograph.unified.sampler import Sampling, sample_images, sample_text, sampling_log_probs
from scenograph.unified.scoring import image_log_probs
from scenograph.unified.sequence import (
    Segment,
    TokenSequence,
    ground_sequence,
    null_sequence,
    padded_null,
    paint_sequence,
    plan_sequence,
    understand_sequence,
)
from tests.unified.tiny import IMAGE_LENGTH, images, layout, text_codec, tiny_janus, world_codec

CODECS = {"location": world_codec(), "text": text_codec()}
GREEDY = Sampling(temperature=0)
LAYOUTS = [layout(), layout(("a red cat", (0.0, 0.0, 0.4, 0.4)), caption="a cat"), layout(("a bus", (0, 0, 1, 1)))]


@pytest.fixture(scope="module", params=CODECS)
def name(request: pytest.FixtureRequest) -> str:
    return str(request.param)


@pytest.fixture(scope="module")
def model(name: str) -> Any:
    return tiny_janus(CODECS[name], spread=3.0)


def prefixes(name: str, count: int) -> list[TokenSequence]:
    return [paint_sequence(CODECS[name], one) for one in LAYOUTS[:count]]


def generated(model: Any, name: str, rows: list[TokenSequence], **options: Any) -> torch.Tensor:
    """What transformers' own generate says greedily."""
    batch = collate(rows, side="left")
    real_BT = batch.segments_BT != Segment.PAD
    ids_BT = batch.ids_BT.masked_fill(~real_BT, CODECS[name].pad)
    found: torch.Tensor = model.generate(ids_BT, attention_mask=real_BT.long(), do_sample=False, **options)
    return found


@pytest.mark.parametrize("count", [1, 2, 3])
@pytest.mark.parametrize("guidance", [1.5, 5.0])
def test_greedy_images_are_those_of_generate(model: Any, name: str, count: int, guidance: float) -> None:
    rows = prefixes(name, count)
    expected = generated(model, name, rows, generation_mode="image", guidance_scale=guidance)
    nulls = [padded_null(CODECS[name], one) for one in rows]
    sampling = Sampling(guidance=guidance, temperature=0)
    drawn = sample_images(model, rows, nulls=nulls, sampling=sampling, seeds=[0] * count)
    assert torch.equal(drawn.tokens_BN, expected)
    assert len(expected.unique()) > 2  # not one token over and over


@pytest.mark.parametrize("count", [1, 2, 3])
def test_greedy_text_is_that_of_generate(model: Any, name: str, count: int) -> None:
    codec = CODECS[name]
    rows = [plan_sequence(codec, said) for said in ("a dog and a cat", "two dogs", "a red bus")][:count]
    expected = generated(model, name, rows, max_new_tokens=40)[:, max(map(len, rows)) :]
    drawn = sample_text(model, rows, grammars=None, sampling=GREEDY, seeds=[0] * count, most=40)
    assert torch.equal(drawn.tokens_BN, expected)
    assert len(expected.unique()) > 4


def test_text_ends_where_generate_ends(model: Any, name: str) -> None:
    """Any token of the greedy text, made the end: the row stops there and is padded while the others go on."""
    codec = CODECS[name]
    rows = [plan_sequence(codec, said) for said in ("a dog and a cat", "two dogs")]
    free = sample_text(model, rows, grammars=None, sampling=GREEDY, seeds=[0, 0], most=30).tokens_BN
    ends = int(free[0, 7])
    start = max(map(len, rows))
    expected = generated(model, name, rows, max_new_tokens=30, eos_token_id=ends)[:, start:]
    drawn = sample_text(model, rows, grammars=None, sampling=GREEDY, seeds=[0, 0], most=30, ends=ends)
    assert torch.equal(drawn.tokens_BN, expected)
    after = (drawn.tokens_BN == ends).cumsum(dim=1) - (drawn.tokens_BN == ends).int() > 0
    assert bool(after.any()) and bool((drawn.tokens_BN[after] == codec.pad).all())
    assert float(drawn.log_probs_BN[after].abs().sum()) == 0


def test_no_second_pass_without_guidance(model: Any, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
    rows = prefixes(name, 2)
    widths: list[int] = []

    def counted(model: Any, states_BD: torch.Tensor) -> torch.Tensor:
        widths.append(len(states_BD))
        return image_logits(model, states_BD)

    monkeypatch.setattr("scenograph.unified.sampler.image_logits", counted)
    alone = sample_images(model, rows, sampling=GREEDY, seeds=[0, 0])
    assert set(widths) == {2} and len(widths) == IMAGE_LENGTH
    widths.clear()
    nulls = [null_sequence(CODECS[name])] * 2
    nearly = sample_images(model, rows, nulls=nulls, sampling=Sampling(guidance=1 + 1e-7, temperature=0), seeds=[0, 0])
    assert set(widths) == {4}
    assert torch.equal(alone.tokens_BN, nearly.tokens_BN)


@pytest.mark.parametrize(
    "sampling",
    [
        Sampling(),
        Sampling(guidance=3.0),
        Sampling(temperature=0.7, top_k=5),
        Sampling(guidance=2.0, temperature=1.3, top_p=0.8),
        Sampling(temperature=0),
    ],
)
def test_log_probs_are_those_of_a_parallel_pass(model: Any, name: str, sampling: Sampling) -> None:
    rows = prefixes(name, 3)
    nulls = [null_sequence(CODECS[name])] * 3
    drawn = sample_images(model, rows, nulls=nulls, sampling=sampling, seeds=[1, 2, 3])
    scores_BN, logs_BNV = image_log_probs(model, rows, drawn.tokens_BN, nulls=nulls, sampling=sampling)
    torch.testing.assert_close(scores_BN, drawn.log_probs_BN, atol=1e-4, rtol=1e-4)
    torch.testing.assert_close(logs_BNV.exp().sum(dim=-1), torch.ones(3, IMAGE_LENGTH))
    assert bool((drawn.log_probs_BN <= 0).all())


def test_scores_have_gradients(name: str) -> None:
    model = tiny_janus(CODECS[name])
    rows = prefixes(name, 2)
    tokens_BN = torch.tensor(images(2))
    nulls = [null_sequence(CODECS[name])] * 2
    image_log_probs(model, rows, tokens_BN, nulls=nulls, sampling=Sampling(guidance=2.0))[0].sum().backward()
    assert all(p.grad is not None and p.grad.abs().sum() > 0 for p in model.model.generation_head.parameters())


def test_a_seed_gives_the_same_image_in_any_batch(model: Any, name: str) -> None:
    rows = prefixes(name, 3)
    nulls = [null_sequence(CODECS[name])] * 3
    sampling = Sampling(guidance=2.0)
    together = sample_images(model, rows, nulls=nulls, sampling=sampling, seeds=[5, 6, 7])
    for index in range(3):
        alone = sample_images(model, rows[index : index + 1], nulls=nulls[:1], sampling=sampling, seeds=[5 + index])
        assert torch.equal(alone.tokens_BN[0], together.tokens_BN[index])
        torch.testing.assert_close(alone.log_probs_BN[0], together.log_probs_BN[index], atol=1e-4, rtol=1e-4)
    other = sample_images(model, rows, nulls=nulls, sampling=sampling, seeds=[8, 9, 10])
    assert not torch.equal(other.tokens_BN, together.tokens_BN)


def test_kept_noise_replays_the_draw(model: Any, name: str) -> None:
    rows = prefixes(name, 2)
    drawn = sample_images(model, rows, sampling=Sampling(), seeds=[1, 2], keep_noise=True)
    assert drawn.noise_BNV is not None and drawn.noise_BNV.shape == (2, IMAGE_LENGTH, 24)
    _, logs_BNV = image_log_probs(model, rows, drawn.tokens_BN, sampling=Sampling())
    assert torch.equal((logs_BNV + drawn.noise_BNV).argmax(dim=-1), drawn.tokens_BN)


def test_drawn_tokens_follow_the_distribution(model: Any, name: str) -> None:
    """The first token's frequencies over many seeds against its probabilities (chi-square, 23 degrees: 99.99 %)."""
    rows = prefixes(name, 1) * 2000
    one = sample_images(model, rows[:1], sampling=Sampling(), seeds=[0])
    _, logs_BNV = image_log_probs(model, rows[:1], one.tokens_BN, sampling=Sampling(temperature=2.0))
    expected_V = logs_BNV[0, 0].exp().detach() * len(rows)
    short = _OneToken(model)
    drawn = sample_images(short, rows, sampling=Sampling(temperature=2.0), seeds=range(len(rows)))
    counts_V = drawn.tokens_BN[:, 0].bincount(minlength=24)
    likely = expected_V > 5
    chi = ((counts_V - expected_V)[likely] ** 2 / expected_V[likely]).sum()
    assert int(likely.sum()) > 3 and float(chi) < 56


class _OneToken:
    """The model with one image token, so that many can be drawn."""

    def __init__(self, model: Any) -> None:
        self.config = copy(model.config)
        self.config.vision_config = deepcopy(model.config.vision_config)
        self.config.vision_config.num_image_tokens = 1
        self._model = model

    def __getattr__(self, name: str) -> Any:
        return getattr(self._model, name)


def test_cuts_by_hand() -> None:
    logits_V = torch.tensor([0.5, 0.2, 0.2, 0.1]).log()
    assert sampling_log_probs(logits_V, Sampling(top_k=1)).exp().tolist() == pytest.approx([1, 0, 0, 0])
    assert sampling_log_probs(logits_V, Sampling(top_p=0.5)).exp().tolist() == pytest.approx([1, 0, 0, 0])
    found = sampling_log_probs(logits_V, Sampling(top_p=0.9)).exp().tolist()
    assert found == pytest.approx([0.5 / 0.9, 0.2 / 0.9, 0.2 / 0.9, 0])
    found = sampling_log_probs(logits_V, Sampling(temperature=0.5)).exp().tolist()
    assert found == pytest.approx([0.25 / 0.34, 0.04 / 0.34, 0.04 / 0.34, 0.01 / 0.34])
    kept = sampling_log_probs(logits_V, Sampling(top_k=1), keep=torch.tensor(3)).exp().tolist()
    assert kept == pytest.approx([0.5 / 0.6, 0, 0, 0.1 / 0.6])


@pytest.mark.parametrize("temperature", [0.0, 1.0, 5.0])
def test_a_random_model_always_writes_layouts(model: Any, name: str, temperature: float) -> None:
    codec = CODECS[name]
    asked = layout()
    rows = [
        ground_sequence(codec, images(1)[0]),
        plan_sequence(codec, "a dog and a cat"),
        understand_sequence(codec, images(1)[0], asked.instances, boxes=False),
        understand_sequence(codec, images(1)[0], asked.instances),
    ]
    phrases = [one.caption for one in asked.instances]
    grammars = [LayoutGrammar(codec, most=3, longest=4), LayoutGrammar(codec, least=2, most=3, longest=4)]
    grammars += [LayoutGrammar(codec, phrases=phrases)] * 2
    for seed in range(5):
        sampling = Sampling(temperature=temperature)
        drawn = sample_text(model, rows, grammars=grammars, sampling=sampling, seeds=range(seed, seed + 4))
        found = [codec.read(row) for row in drawn.tokens_BN.tolist()]
        assert 2 <= len(found[1].instances) <= 3
        assert [[one.caption for one in each.instances] for each in found[2:]] == [
            [codec.said(codec.text(said)) for said in phrases]
        ] * 2
        assert bool(drawn.log_probs_BN.isfinite().all())


def test_text_log_probs_count_what_was_free(model: Any, name: str) -> None:
    """With the captions given, their tokens are certain and boxes are not."""
    codec = CODECS[name]
    grammar = LayoutGrammar(codec, phrases=["a cat"])
    row = ground_sequence(codec, images(1)[0])
    drawn = sample_text(model, [row], grammars=[grammar], sampling=Sampling(), seeds=[0])
    certain = len(codec.text("a cat")) + 3
    assert float(drawn.log_probs_BN[0, :certain].abs().max()) == 0
    assert float(drawn.log_probs_BN[0, certain : certain + codec.coordinates.length].sum()) < 0


def test_half_the_features_go_to_the_right_rows(model: Any, name: str) -> None:
    codec = CODECS[name]
    rows = [ground_sequence(codec, IMAGE_LENGTH), ground_sequence(codec, images(1)[0])]
    features_BND = torch.randn(1, IMAGE_LENGTH, 32, generator=torch.Generator().manual_seed(0))
    grammars = [LayoutGrammar(codec, phrases=["a dog", "a cat"])] * 2
    together = sample_text(model, rows, grammars=grammars, sampling=GREEDY, seeds=[0, 0], features_BND=features_BND)
    for index, given in enumerate((features_BND, None)):
        alone = sample_text(model, [rows[index]], grammars=grammars[:1], sampling=GREEDY, seeds=[0], features_BND=given)
        assert torch.equal(alone.tokens_BN[0], together.tokens_BN[index])


@pytest.mark.parametrize(
    ("given", "wrong"),
    [
        ({"temperature": -1.0}, "temperature"),
        ({"temperature": float("nan")}, "temperature"),
        ({"top_p": 0.0}, "top_p"),
        ({"top_k": -1}, "top_k"),
        ({"guidance": float("inf")}, "guidance"),
    ],
)
def test_bad_settings_are_one_line(given: dict[str, Any], wrong: str) -> None:
    with pytest.raises(GuidanceError, match=wrong):
        Sampling(**given)


def test_bad_calls_are_one_line(model: Any, name: str) -> None:
    rows = prefixes(name, 2)
    with pytest.raises(GuidanceError, match="seed"):
        sample_images(model, rows, sampling=GREEDY, seeds=[0])
    with pytest.raises(GuidanceError, match="nulls="):
        sample_images(model, rows, sampling=Sampling(guidance=2.0), seeds=[0, 0])
    with pytest.raises(GuidanceError, match="noise"):
        sample_images(model, rows, sampling=GREEDY, seeds=[0, 0], keep_noise=True)
    with pytest.raises(GuidanceError, match="most="):
        sample_text(model, rows, grammars=None, sampling=GREEDY, seeds=[0, 0])
    with pytest.raises(GuidanceError, match="grammars"):
        sample_text(model, rows, grammars=[LayoutGrammar(CODECS[name])], sampling=GREEDY, seeds=[0, 0])
    with pytest.raises(GuidanceError, match="unconditional"):
        sample_text(model, rows, grammars=None, sampling=Sampling(guidance=2.0), seeds=[0, 0], most=3)

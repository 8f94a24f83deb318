"""Drawing from the unified model: image tokens from layouts, layouts from images or captions, with log-probs.

Janus' own `generate` gives no log-probs and no gradients, wants guidance above 1 for images and takes no image before
the text; this one does what all three stages need. Prefixes of different lengths are padded on the left.

**The sampling distribution.** Per token: guided logits z = z_null + guidance·(z − z_null) (guidance exactly 1: z, and
no second row is computed), −∞ outside the grammar, divided by the temperature, cut to the `top_k` largest, then to the
smallest set whose probability reaches `top_p`, renormalised. Tokens are drawn from it and `log_probs_BN` are theirs
under it; `scoring.image_log_probs` gives the same numbers again in one parallel pass, with a gradient. Temperature 0
takes the likeliest token and reports its log-prob at temperature 1, uncut.

Drawing is argmax(log p + γ) with Gumbel noise γ, of each row's own generator: a seed gives the same tokens in any batch
(up to float noise), and at temperature 1, uncut and without guidance the noise that was kept replays the draw in
parallel, which stage 2 needs.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.unified.batch import collate
from scenograph.unified.decoder import Decoder
from scenograph.unified.grammar import LayoutGrammar
from scenograph.unified.passes import image_embeddings, image_logits, text_logits
from scenograph.unified.sequence import TokenSequence

__all__ = [
    "PAINTING",
    "Drawn",
    "Sampling",
    "guided_logits",
    "gumbel_noise",
    "sample_images",
    "sample_text",
    "sampling_log_probs",
]

PAINTING = 3.0
"""Guidance of paintings, where nothing else is asked for."""


@dataclass(frozen=True, kw_only=True)
class Sampling:
    """How tokens are drawn. Raises GuidanceError for values that make no distribution."""

    guidance: float = 1.0
    """Of classifier-free guidance; 1 is none."""
    temperature: float = 1.0
    """0 takes the likeliest token."""
    top_k: int = 0
    """0 keeps all."""
    top_p: float = 1.0

    def __post_init__(self) -> None:
        if not 0 <= self.temperature < float("inf") or not abs(self.guidance) < float("inf"):
            raise GuidanceError(
                f"temperature {self.temperature!r} and guidance {self.guidance!r} make no distribution; expected a "
                "temperature of 0 or more and a finite guidance"
            )
        if self.top_k < 0 or not 0 < self.top_p <= 1:
            raise GuidanceError(
                f"top_k {self.top_k!r} and top_p {self.top_p!r} keep no token; expected top_k ≥ 0 and 0 < top_p ≤ 1"
            )

    @property
    def is_guided(self) -> bool:
        """Whether the unconditional side is computed."""
        return self.guidance != 1


@dataclass(frozen=True)
class Drawn:
    """What was drawn."""

    tokens_BN: Tensor
    log_probs_BN: Tensor
    """Of each token under the sampling distribution; 0 for padding."""
    noise_BNV: Tensor | None = None
    """The Gumbel noise, when asked for."""


def sampling_log_probs(logits_V: Tensor, sampling: Sampling, *, keep: Tensor | None = None) -> Tensor:
    """The log of the sampling distribution, from guided logits; the last dimension is the vocabulary.

    `keep` (of the other dimensions) names a token that is never cut: one that was drawn, when it is scored again and
    float noise moved it across the border.
    """
    if sampling.temperature == 0:
        return logits_V.log_softmax(dim=-1)
    scaled_V = logits_V / sampling.temperature
    cut_V = torch.zeros_like(scaled_V, dtype=torch.bool)
    if 0 < sampling.top_k < scaled_V.shape[-1]:
        cut_V = scaled_V < scaled_V.topk(sampling.top_k, dim=-1).values[..., -1:]
    if sampling.top_p < 1:
        cut_V = cut_V | _beyond(scaled_V.masked_fill(cut_V, float("-inf")), sampling.top_p)
    if keep is not None:
        cut_V = cut_V.scatter(-1, keep[..., None], False)
    return scaled_V.masked_fill(cut_V, float("-inf")).log_softmax(dim=-1)


def _beyond(scaled_V: Tensor, top_p: float) -> Tensor:
    """Whether a token is outside the smallest set of likeliest tokens whose probability reaches `top_p`."""
    probs_V, order_V = scaled_V.softmax(dim=-1).sort(dim=-1, descending=True)
    outside_V = probs_V.cumsum(dim=-1) - probs_V >= top_p
    return outside_V.scatter(-1, order_V, outside_V)


def guided_logits(logits_BV: Tensor, guidance: float) -> Tensor:
    """Guided logits, from the rows of the conditions followed by as many unconditional ones."""
    conditional_BV, null_BV = logits_BV.chunk(2)
    return null_BV + guidance * (conditional_BV - null_BV)


def gumbel_noise(shape: Sequence[int], generators: Sequence[torch.Generator], like: Tensor) -> Tensor:
    """Gumbel(0, 1) noise (rows, …), each row from its own generator, on the device and of the type of `like`."""
    noise = torch.empty(tuple(shape), dtype=torch.float32, device=generators[0].device)
    for row, generator in zip(noise, generators, strict=True):
        row.exponential_(generator=generator)
    return -noise.to(like.device).clamp_min(torch.finfo(torch.float32).tiny).log().to(like.dtype)


class _Chooser:
    """Chooses one token a row from logits, and takes down its log-prob and, if asked, the noise."""

    def __init__(self, sampling: Sampling, seeds: Sequence[int], keep_noise: bool = False) -> None:
        self.sampling, self.keep_noise = sampling, keep_noise
        # Of the CPU wherever the model is: a seed draws the same tokens on every device.
        self.generators = [torch.Generator("cpu").manual_seed(seed) for seed in seeds]
        self.noises: list[Tensor] = []

    def __call__(self, logits_BV: Tensor) -> tuple[Tensor, Tensor]:
        logs_BV = sampling_log_probs(logits_BV.float(), self.sampling)
        keys_BV = logs_BV
        if self.sampling.temperature > 0:
            noise_BV = gumbel_noise(logs_BV.shape, self.generators, logs_BV)
            keys_BV = logs_BV + noise_BV
            if self.keep_noise:
                self.noises.append(noise_BV)
        token_B = keys_BV.argmax(dim=-1)
        return token_B, logs_BV.gather(-1, token_B[:, None])[:, 0]


@torch.no_grad()
def sample_images(
    model: Any,
    prefixes: Sequence[TokenSequence],
    *,
    nulls: Sequence[TokenSequence] | None = None,
    sampling: Sampling,
    seeds: Sequence[int],
    keep_noise: bool = False,
) -> Drawn:
    """The image tokens after prefixes that end with BOI (`paint_sequence` without an image).

    Args:
        model: JanusForConditionalGeneration.
        prefixes: one a row.
        nulls: the unconditional side of each, needed when guided (`null_sequence`).
        sampling: the distribution.
        seeds: one a row.
        keep_noise: keep the Gumbel noise: rows × tokens × codebook numbers.

    Raises:
        GuidanceError: guided without `nulls`, as many seeds or nulls as rows are missing, or noise that is not drawn.
    """
    _check(prefixes, nulls, sampling, seeds)
    if keep_noise and sampling.temperature == 0:
        raise GuidanceError("the noise is asked for at temperature 0, where none is drawn; expected a temperature")
    rows = [*prefixes, *(nulls or ())] if sampling.is_guided else prefixes
    length = model.config.vision_config.num_image_tokens
    decoder = Decoder(model, collate(rows, side="left", device=model.device), length)
    choose = _Chooser(sampling, seeds, keep_noise)
    tokens, logs = [], []
    for index in range(length):
        logits_BV = image_logits(model, decoder.last_BD)
        token_B, log_B = choose(guided_logits(logits_BV, sampling.guidance) if sampling.is_guided else logits_BV)
        tokens.append(token_B)
        logs.append(log_B)
        if index + 1 < length:
            embeds_BD = image_embeddings(model, token_B)
            decoder.step(embeds_BD.repeat(2, 1) if sampling.is_guided else embeds_BD)
    noise_BNV = torch.stack(choose.noises, dim=1) if keep_noise else None
    return Drawn(torch.stack(tokens, dim=1), torch.stack(logs, dim=1), noise_BNV)


@torch.no_grad()
def sample_text(
    model: Any,
    prefixes: Sequence[TokenSequence],
    *,
    grammars: Sequence[LayoutGrammar] | None,
    sampling: Sampling,
    seeds: Sequence[int],
    most: int | None = None,
    ends: int | None = None,
    pad: int | None = None,
    features_BND: Tensor | None = None,
) -> Drawn:
    """The text tokens after prefixes, inside a grammar, to its end; a row that is done goes on with padding.

    Args:
        model: JanusForConditionalGeneration.
        prefixes: one a row (`ground_sequence`, `plan_sequence`, `understand_sequence` without an answer).
        grammars: one a row; None leaves the model free until `ends` or `most`.
        sampling: the distribution; text is not guided.
        seeds: one a row.
        most: tokens at most; default the grammars' `room`.
        ends: the token that ends a row without a grammar, default the model's.
        pad: what follows it, default the model's.
        features_BND: features of the understanding tower, where prefixes have places for them.

    Raises:
        GuidanceError: `sampling` is guided, or seeds, grammars or a limit are missing.
    """
    if sampling.is_guided:
        raise GuidanceError(f"guidance is {sampling.guidance!r} for text, which has no unconditional side; expected 1")
    _check(prefixes, None, sampling, seeds)
    rules = _Rules(model, len(prefixes), grammars, ends, pad)
    limit = most if most is not None else rules.room
    batch = collate(prefixes, side="left", device=model.device)
    decoder = Decoder(model, batch, limit, features_BND=features_BND)
    choose = _Chooser(sampling, seeds)
    tokens, logs = [], []
    for index in range(limit):
        logits_BV = rules.restrict(text_logits(model, decoder.last_BD))
        live_B = rules.live_B
        token_B, log_B = choose(logits_BV)
        tokens.append(rules.take(token_B))
        logs.append(log_B.masked_fill(~live_B, 0))
        if not bool(rules.live_B.any()):
            break
        if index + 1 < limit:
            decoder.step(model.get_input_embeddings()(tokens[-1]))
    return Drawn(torch.stack(tokens, dim=1), torch.stack(logs, dim=1))


class _Rules:
    """What each row may say, and which rows still speak."""

    def __init__(
        self,
        model: Any,
        count: int,
        grammars: Sequence[LayoutGrammar] | None,
        ends: int | None,
        pad: int | None,
    ) -> None:
        if grammars is not None and len(grammars) != count:
            raise GuidanceError(f"got {len(grammars)} grammars for {count} prefixes; expected one each, or None")
        config = model.config.get_text_config()
        self.ends = config.eos_token_id if ends is None else ends
        self.pad = config.pad_token_id if pad is None else pad
        self.writings = None if grammars is None else [grammar.begin() for grammar in grammars]
        if grammars:
            self.pad = grammars[0].codec.pad if pad is None else pad
        self.longest = max((grammar.room for grammar in grammars or ()), default=0)
        self.live_B = torch.ones(count, dtype=torch.bool, device=model.device)

    @property
    def room(self) -> int:
        if not self.longest:
            raise GuidanceError("text without a grammar has no end of its own; give most=, a number of tokens")
        return self.longest

    def restrict(self, logits_BV: Tensor) -> Tensor:
        if self.writings is None:
            return logits_BV
        barred_BV = torch.ones_like(logits_BV, dtype=torch.bool)
        for row_V, writing in zip(barred_BV, self.writings, strict=True):
            row_V[writing.allowed().to(row_V.device)] = False
        return logits_BV.masked_fill(barred_BV, float("-inf"))

    def take(self, token_B: Tensor) -> Tensor:
        token_B = token_B.masked_fill(~self.live_B, self.pad)
        if self.writings is None:
            self.live_B = self.live_B & (token_B != self.ends)
        else:
            for token, writing in zip(token_B.tolist(), self.writings, strict=True):
                writing.push(token)
            self.live_B = torch.tensor([not writing.done for writing in self.writings], device=token_B.device)
        return token_B


def _check(
    prefixes: Sequence[TokenSequence],
    nulls: Sequence[TokenSequence] | None,
    sampling: Sampling,
    seeds: Sequence[int],
) -> None:
    if not prefixes or len(seeds) != len(prefixes):
        raise GuidanceError(
            f"got {len(prefixes)} prefixes and {len(seeds)} seeds; expected one seed for each, and some"
        )
    if sampling.is_guided and len(nulls or ()) != len(prefixes):
        raise GuidanceError(
            f"guidance {sampling.guidance!r} needs an unconditional side for each of {len(prefixes)} prefixes, got "
            f"{len(nulls or ())}; give nulls=, such as null_sequence(codec)"
        )

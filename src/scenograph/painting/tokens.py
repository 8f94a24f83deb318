"""Which prompt tokens name which boxes: phrase → token positions, through the tokenizer's character offsets.

Guidance reads one attention map per prompt token, so every instance of a layout needs the positions of its phrase in
the padded token sequence that the text encoder sees (77 for CLIP, BOS counted). Word indices are not token indices
("skate- boarder" is several tokens, "." is one), so nothing here splits on spaces: a token belongs to a phrase when
its character range overlaps the phrase's range in the prompt.

Instances that share a token form one `TokenGroup`, be it the whole range ("two dogs") or a part of it ("a black dog"
and "dog" in "a black dog and a cat"): they read the same maps, and separate energies would fight over them.

SDXL's two text encoders share CLIP's vocabulary and merges, so positions from its first tokenizer serve for both.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from scenograph.errors import PhraseError

if TYPE_CHECKING:
    from scenograph.layout import Box, Layout, Prompt


@dataclass(frozen=True, kw_only=True)
class TokenGroup:
    """The boxes that one phrase of the prompt names; no two groups of a layout share a token."""

    tokens: tuple[int, ...]
    """Positions in the padded token sequence, BOS counted, ascending."""
    boxes: tuple[Box, ...]
    """One box per instance that shares the phrase."""
    phrase: str
    """The phrase as it stands in the prompt."""


@dataclass(frozen=True, kw_only=True)
class TokenLayout:
    """A layout as guidance sees it: groups of boxes over token positions. No groups: nothing to guide."""

    groups: tuple[TokenGroup, ...]


def locate(tokenizer: Any, prompt: Prompt, layout: Layout) -> TokenLayout:
    """Find the tokens of every instance's phrase in `prompt.text`.

    `prompt.spans` holds one character range per instance of `layout`, as `Layout.prompt` made them.
    Raises PhraseError when a phrase covers no token, reaches beyond the tokenizer's window, or the tokenizer cannot
    report offsets.
    """
    if len(prompt.spans) != len(layout.instances):
        raise PhraseError(
            f"got {len(prompt.spans)} phrase spans for {len(layout.instances)} instances; "
            "pass the prompt that this layout's own prompt() returned"
        )
    offsets = _offsets(tokenizer, prompt.text)
    window = int(tokenizer.model_max_length) - 1  # the last position of a full window is the end-of-text token
    groups: list[TokenGroup] = []
    for instance, (start, end) in zip(layout.instances, prompt.spans, strict=True):
        phrase = prompt.text[start:end]
        tokens = _tokens(offsets, start, end)
        _check(tokens, phrase, prompt.text, window)
        groups = _joined(groups, TokenGroup(tokens=tokens, boxes=(instance.box,), phrase=phrase))
    return TokenLayout(groups=tuple(groups))


def _joined(groups: list[TokenGroup], new: TokenGroup) -> list[TokenGroup]:
    """The groups with one more, which takes in those it shares a token with, at the place of the first of them."""
    touching = [group for group in groups if not set(group.tokens).isdisjoint(new.tokens)]
    family = [*touching, new]
    whole = TokenGroup(
        tokens=tuple(sorted({token for group in family for token in group.tokens})),
        boxes=tuple(box for group in family for box in group.boxes),
        phrase=max((group.phrase for group in family), key=len),
    )
    place = groups.index(touching[0]) if touching else len(groups)
    apart = [group for group in groups if group not in touching]
    return [*apart[:place], whole, *apart[place:]]


def _offsets(tokenizer: Any, text: str) -> list[tuple[int, int]]:
    """Character range of each token, special tokens included (theirs are empty), the prompt not truncated."""
    if not getattr(tokenizer, "is_fast", False):
        raise PhraseError(
            f"got a {type(tokenizer).__name__} that reports no character offsets, so phrases cannot be found in the "
            "prompt; load the tokenizers-backed class (AutoTokenizer does)"
        )
    encoded = tokenizer(text, return_offsets_mapping=True, truncation=False, padding=False, verbose=False)
    return [(int(start), int(end)) for start, end in encoded["offset_mapping"]]


def _tokens(offsets: list[tuple[int, int]], start: int, end: int) -> tuple[int, ...]:
    return tuple(i for i, (left, right) in enumerate(offsets) if left < right and left < end and right > start)


def _check(tokens: tuple[int, ...], phrase: str, text: str, window: int) -> None:
    if not tokens:
        raise PhraseError(f"the phrase {phrase!r} covers no token of the prompt {text!r}; give it letters or digits")
    if tokens[-1] >= window:
        raise PhraseError(
            f"the phrase {phrase!r} reaches token {tokens[-1]} of the prompt, but the text encoder reads {window + 1} "
            "tokens with its end marks; shorten the caption or move the phrase forward"
        )

"""The tasks of the unified model as token sequences (EchoGen, Figures 2 and 3; MIGLoRA, Figure 1).

    paint       BOS ⟨paint⟩ caption X_g ⟨…⟩  BOI image EOI                  layout → image
    ground      BOS  BOI image EOI  ⟨ground⟩ X_g EOS                        image → layout
    shared      BOS ⟨paint⟩ caption X_g ⟨…⟩  BOI image EOI  ⟨ground⟩ X_g EOS     both at once over one image (PMTP)
    plan        BOS ⟨plan⟩ caption ⟨…⟩  X_g EOS                             caption → layout
    understand  BOS  BOI image EOI  ⟨understand⟩ candidate ⟨…⟩  X_g EOS     image and a candidate layout → layout

Every token carries how it is embedded (`Kind`), whose part it is (`Segment`; the mask follows from these), and which
loss it is a target of (`Role`). The caption conditions painting and is no grounding target. A sequence without its
answer is what the sampler continues.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, replace
from enum import IntEnum

from scenograph.layout import Box, Instance, Layout
from scenograph.unified.tokens import BBOX, BOI, EOI, Codec

__all__ = [
    "Kind",
    "Role",
    "Segment",
    "TokenSequence",
    "ground_sequence",
    "null_sequence",
    "padded_null",
    "paint_sequence",
    "plan_sequence",
    "shared_sequence",
    "understand_sequence",
]


class Kind(IntEnum):
    """How a token's id is embedded."""

    TEXT = 0
    VQ = 1
    """An image token: through the generation embeddings and their aligner."""
    VIT = 2
    """A place for a feature of the understanding tower; its id says nothing."""


class Segment(IntEnum):
    """Whose part of the sequence a token is."""

    PAD = 0
    START = 1
    PAINT = 2
    """The painting prompt with the first X_g."""
    IMAGE = 3
    """BOI, the image tokens and EOI."""
    ANSWER = 4
    """Everything after the image that is not about painting: the prompt that asks and the second X_g."""


class Role(IntEnum):
    """The loss that a token is a target of."""

    NONE = 0
    IMAGE = 1
    MARK = 2
    """The layout's frame: <layout>, <scap>, <bbox>, commas, </layout>, the end."""
    EXPRESSION = 3
    BOX = 4


@dataclass(frozen=True)
class TokenSequence:
    """Token ids with their kinds, segments and roles; `+` joins two. `masks` are boxes on the image (`candidate`)."""

    ids: tuple[int, ...]
    kinds: tuple[int, ...]
    segments: tuple[int, ...]
    roles: tuple[int, ...]
    masks: tuple[Box, ...] = ()

    @classmethod
    def of(
        cls, ids: Iterable[int], segment: Segment, *, kind: Kind = Kind.TEXT, roles: Sequence[int] | None = None
    ) -> TokenSequence:
        """Tokens of one kind in one segment; no roles are no targets."""
        listed = tuple(int(token) for token in ids)
        count = len(listed)
        told = tuple(roles) if roles is not None else (int(Role.NONE),) * count
        return cls(listed, (int(kind),) * count, (int(segment),) * count, told)

    def __add__(self, other: TokenSequence) -> TokenSequence:
        return TokenSequence(
            self.ids + other.ids,
            self.kinds + other.kinds,
            self.segments + other.segments,
            self.roles + other.roles,
            self.masks + other.masks,
        )

    def __len__(self) -> int:
        return len(self.ids)


def _start(codec: Codec) -> TokenSequence:
    return TokenSequence.of([codec.bos], Segment.START)


def _image(codec: Codec, image_ids: Sequence[int] | int, *, target: bool) -> TokenSequence:
    """BOI, the image and EOI; a number is that many places for features of the understanding tower."""
    seen = isinstance(image_ids, int)
    ids = [0] * image_ids if isinstance(image_ids, int) else image_ids
    roles = [Role.IMAGE if target else Role.NONE] * len(ids)
    tokens = TokenSequence.of(ids, Segment.IMAGE, kind=Kind.VIT if seen else Kind.VQ, roles=roles)
    return _boi(codec) + tokens + TokenSequence.of([codec.marks[EOI]], Segment.IMAGE)


def _boi(codec: Codec) -> TokenSequence:
    return TokenSequence.of([codec.marks[BOI]], Segment.IMAGE)


def _asked(codec: Codec, task: str, condition: Sequence[int], segment: Segment) -> TokenSequence:
    before, after = codec.words[task]
    return TokenSequence.of([*before, *condition, *after], segment)


def _answer(codec: Codec, instances: Iterable[Instance] | None) -> TokenSequence:
    """X_g and EOS as targets; None is nothing yet."""
    if instances is None:
        return TokenSequence.of([], Segment.ANSWER)
    ids = [*codec.write(instances), codec.eos]
    return TokenSequence.of(ids, Segment.ANSWER, roles=_roles(codec, ids))


def _roles(codec: Codec, ids: Sequence[int]) -> list[int]:
    """Marks, expressions and coordinates of X_g; the commas between coordinates are marks."""
    marks = {codec.eos, *codec.marks.values()}
    roles: list[int] = []
    left = 0
    for token in ids:
        if left:
            left -= 1
            roles.append(Role.MARK if token == codec.coordinates.comma else Role.BOX)
        else:
            roles.append(Role.MARK if token in marks else Role.EXPRESSION)
            left = codec.coordinates.length if token == codec.marks[BBOX] else 0
    return roles


def paint_sequence(codec: Codec, layout: Layout, image_ids: Sequence[int] | None = None) -> TokenSequence:
    """Layout → image; without an image it ends where the first image token is drawn."""
    condition = [*codec.text(layout.caption), *codec.write(layout.instances)]
    asked = _start(codec) + _asked(codec, "paint", condition, Segment.PAINT)
    return asked + (_boi(codec) if image_ids is None else _image(codec, image_ids, target=True))


def null_sequence(codec: Codec) -> TokenSequence:
    """The unconditional side of classifier-free guidance: nothing is asked, which is what dropping the first X_g
    leaves."""
    return _start(codec) + _boi(codec)


def padded_null(codec: Codec, prefix: TokenSequence) -> TokenSequence:
    """Published Janus checkpoints' own unconditional side: all but BOS and BOI replaced by padding that is attended."""
    kept = (codec.bos, codec.marks[BOI])
    ids = tuple(token if token in kept else codec.pad for token in prefix.ids)
    return TokenSequence(ids, prefix.kinds, prefix.segments, prefix.roles)


def ground_sequence(
    codec: Codec, image_ids: Sequence[int] | int, instances: Iterable[Instance] | None = None
) -> TokenSequence:
    """Image → layout. `image_ids` are VQ tokens, or how many features of the understanding tower stand there."""
    asked = _start(codec) + _image(codec, image_ids, target=False) + _asked(codec, "ground", [], Segment.ANSWER)
    return asked + _answer(codec, instances)


def shared_sequence(
    codec: Codec, layout: Layout, image_ids: Sequence[int], answer: Iterable[Instance] | None = None
) -> TokenSequence:
    """[X_g, X_i, X_g], eq. 1: painting and grounding over the same image tokens.

    `answer` orders the second X_g's instances; by default they stand as in the layout.
    """
    grounded = _asked(codec, "ground", [], Segment.ANSWER)
    told = layout.instances if answer is None else answer
    return paint_sequence(codec, layout, image_ids) + grounded + _answer(codec, told)


def plan_sequence(codec: Codec, caption: str, instances: Iterable[Instance] | None = None) -> TokenSequence:
    """Caption → layout (MIGLoRA's draft generation)."""
    asked = _asked(codec, "plan", codec.text(caption), Segment.ANSWER)
    return _start(codec) + asked + _answer(codec, instances)


def understand_sequence(
    codec: Codec,
    image_ids: Sequence[int] | int,
    candidate: Sequence[Instance],
    instances: Iterable[Instance] | None = None,
    *,
    boxes: bool = True,
    masks: Sequence[Box] = (),
) -> TokenSequence:
    """Image and sub-captions → their boxes (MIGLoRA's layout understanding).

    `candidate` is an earlier layout to be corrected, never the target itself; `boxes=False` gives its captions alone,
    and `masks` its boxes as masks over the image, for models that take them.
    """
    asked = _asked(codec, "understand", codec.write(candidate, boxes=boxes), Segment.ANSWER)
    whole = _start(codec) + _image(codec, image_ids, target=False) + asked + _answer(codec, instances)
    return replace(whole, masks=tuple(masks))

"""T2I-CompBench's prompts and what each asks of a picture: chunks, a relation, counts, and which scores it gets.

Files have one prompt a line ("color_val.txt"); images are named "a red car_000012.png". What is asked comes from the
small rules of `chunks` and `compbench`; who knows better (a planner, the small world) makes a `CompPrompt` directly.

Complex prompts get the mean of attributes, relation and CLIP (3-in-1), or of two of these where the benchmark's lists
complex_val_spatial.txt and complex_val_action.txt say so. As officially, one that states no relation scores 0 for it.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Mapping
from dataclasses import dataclass
from pathlib import Path

from scenograph.errors import ResultError
from scenograph.judging.chunks import noun_chunks, without_adjectives
from scenograph.judging.compbench import Asked, asked_counts, asked_relation
from scenograph.layout import head_noun

__all__ = ["PARTS", "CompPrompt", "comp_prompt", "key_of", "prompt_of", "read_prompts"]

PARTS: Mapping[str, tuple[str, ...]] = {
    **dict.fromkeys(("colour", "shape", "texture"), ("attribute",)),
    "spatial": ("spatial",),
    "3d-spatial": ("3d-spatial",),
    "numeracy": ("numeracy",),
    "non-spatial": ("clip",),
    "complex": ("attribute", "spatial", "clip"),
}
"""Category → the scores whose mean is its score."""


@dataclass(frozen=True, kw_only=True)
class CompPrompt:
    """One prompt. `chunks` are asked one by one, `counts` are (noun in the singular, number).

    A prompt whose score needs what it does not have (a spatial one without `relation`) scores 0 there.
    """

    prompt: str
    category: str
    chunks: tuple[str, ...] = ()
    relation: Asked | None = None
    counts: tuple[tuple[str, int], ...] = ()
    parts: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        if self.category not in PARTS:
            raise ResultError(f"no category {self.category!r} in T2I-CompBench; there are: {', '.join(PARTS)}")
        object.__setattr__(self, "parts", self.parts or PARTS[self.category])

    @property
    def clip_text(self) -> str:
        """What CLIP is asked for: the prompt, of complex ones without adjectives."""
        return without_adjectives(self.prompt) if self.category == "complex" else self.prompt


def comp_prompt(
    prompt: str, category: str, *, spatial: Collection[str] = (), actions: Collection[str] = ()
) -> CompPrompt:
    """What a prompt of the benchmark asks, by rule.

    Args:
        spatial: `key_of` the complex prompts without an action, of complex_val_spatial.txt.
        actions: the same of those without a relation, of complex_val_action.txt.
    """
    parts = PARTS.get(category, ())
    if category == "complex" and key_of(prompt) in spatial:
        parts = ("attribute", "spatial")
    elif category == "complex" and key_of(prompt) in actions:
        parts = ("attribute", "clip")
    return CompPrompt(
        prompt=prompt,
        category=category,
        chunks=noun_chunks(prompt) if "attribute" in parts else (),
        relation=_relation(prompt, category),
        counts=asked_counts(prompt) if category == "numeracy" else (),
        parts=parts,
    )


def _relation(prompt: str, category: str) -> Asked | None:
    if category != "complex":
        return asked_relation(prompt, deep=category == "3d-spatial")
    asked = asked_relation(prompt)
    if asked is None:
        return None
    said = prompt.split(asked.locality, 1)
    before, after = noun_chunks(said[0] + " near"), noun_chunks(said[1])  # a preposition follows, as in the prompt
    if not before or not after:
        return None
    return Asked(first=head_noun(before[-1]), second=head_noun(after[0]), locality=asked.locality)


def read_prompts(
    path: str | Path, category: str | None = None, *, spatial: Collection[str] = (), actions: Collection[str] = ()
) -> tuple[CompPrompt, ...]:
    """The prompts of a file, one a line; the category is in its name ("color_val.txt") where none is given.

    Raises ResultError when the file cannot be read or holds none, and for a category that is none.
    """
    file = Path(path)
    name = category or re.sub(r"_(train|val|test)$", "", file.stem).replace("_", "-").replace("color", "colour")
    try:
        lines = [line.strip() for line in file.read_text(encoding="utf-8-sig").splitlines()]
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({getattr(error, 'strerror', None) or error})") from None
    if not any(lines):
        raise ResultError(f"{path}: holds no prompts; expected one a line")
    return tuple(comp_prompt(line, name, spatial=spatial, actions=actions) for line in lines if line)


def key_of(prompt: str) -> str:
    """How the benchmark's lists of complex prompts name one: before its first full stop, in lower case."""
    return prompt.strip("\n").split(".")[0].lower()


def prompt_of(path: str | Path) -> str:
    """The prompt in an image's file name: up to the first underscore."""
    return Path(path).name.split("_")[0]

"""In-context examples: layouts whose captions resemble a prompt, as LayoutGPT (Feng et al. 2023) chooses them.

LayoutGPT compares captions by CLIP; here words and parts of words decide, which needs no model and finds the same kinds
of sentences. The shipped examples were planned by the grammar from captions of our own, and looked over.
"""

from __future__ import annotations

import re
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from importlib.resources import as_file, files
from math import log, sqrt
from pathlib import Path

from scenograph.errors import PlanError
from scenograph.layout import Layout, load_layouts
from scenograph.planning.plan import Plan

__all__ = ["Examples", "ExamplesPlanner", "shots"]

Features = dict[str, float]


def _features(text: str) -> Features:
    """Words, and their parts of three letters at half their worth ("chairs" resembles "chair")."""
    words = re.findall(r"\w+", text.lower())
    parts = Counter(f" {w} "[i : i + 3] for w in words for i in range(len(w)))
    features = {f"={word}": float(n) for word, n in Counter(words).items()}
    features.update((part, n / 2) for part, n in parts.items())
    return features


@dataclass(frozen=True)
class Examples:
    """Layouts to learn from; `nearest` compares captions by the cosine of their weighted features (tf-idf)."""

    layouts: tuple[Layout, ...]

    @classmethod
    def from_file(cls, path: str | Path) -> Examples:
        """The examples in a layout file. Raises LayoutError."""
        return cls(tuple(load_layouts(path)))

    @classmethod
    def shipped(cls) -> Examples:
        """Our own examples."""
        with as_file(files("scenograph.planning") / "examples.jsonl") as path:
            return cls.from_file(path)

    @cached_property
    def _known(self) -> tuple[dict[str, float], list[dict[str, float]]]:
        counted = [_features(layout.caption) for layout in self.layouts]
        seen = Counter(feature for features in counted for feature in features)
        rarity = {feature: log((1 + len(counted)) / (1 + n)) + 1 for feature, n in seen.items()}
        return rarity, [_unit(features, rarity) for features in counted]

    def nearest(self, prompt: str, count: int) -> list[Layout]:
        """The `count` layouts whose captions resemble the prompt most, the nearest first; equal ones in file order."""
        rarity, known = self._known
        asked = _unit(_features(prompt), rarity)
        scores = [sum(weight * vector.get(feature, 0.0) for feature, weight in asked.items()) for vector in known]
        order = sorted(range(len(scores)), key=lambda i: -scores[i])
        return [self.layouts[i] for i in order[:count]]


def _unit(features: Features, rarity: dict[str, float]) -> dict[str, float]:
    weighted = {feature: n * rarity[feature] for feature, n in features.items() if feature in rarity}
    length = sqrt(sum(w * w for w in weighted.values())) or 1.0
    return {feature: w / length for feature, w in weighted.items()}


@dataclass(frozen=True)
class ExamplesPlanner:
    """The baseline without understanding: the nearest example's boxes and words, whatever the prompt asks.

    Seed n takes the (n+1)-th nearest, so variants are other examples.
    """

    examples: Examples

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        """The nearest example with the prompt as its caption. Raises PlanError for an empty prompt."""
        if not prompt.strip():
            raise PlanError("the prompt is empty; expected a sentence such as 'three cats to the left of a dog'")
        place = seed % len(self.examples.layouts)
        found = self.examples.nearest(prompt, place + 1)[place]
        instances = tuple(replace(i, phrase=_phrase(i.phrase, prompt)) for i in found.instances)
        note = f"took the layout of {found.caption!r}"
        return Plan(layout=Layout(caption=prompt, instances=instances, size=size), changes=(note,))


def _phrase(phrase: str | None, prompt: str) -> str | None:
    return phrase if phrase is not None and phrase in prompt else None


def shots(examples: Examples | None, prompt: str, count: int) -> Sequence[Layout]:
    """The examples shown to a language model: the nearest last, next to the prompt."""
    return [] if examples is None or count == 0 else examples.nearest(prompt, count)[::-1]

"""What prompts state, labelled by hand, and how well a planner's reading agrees: precision, recall and F1 of its parts.

A labels file is JSON Lines, `{"file", "line", "sha256", "objects": [{"noun", "least", "most", "attributes"}],
"relations": [[name, subject, object, …]], "settings", "absent", "note"?}`: prompts are named by file and line (from 1)
and by the first 12 hex digits of the SHA-256 of the stripped line, so that the file holds none.

Objects agree by noun; of one noun, those most alike are paired. Counts, attributes and relations are compared between
pairs, an attribute of an unpaired object being one too many or one missed. "right of", "below", "behind" and "around"
are the relations they turn round, and "next to" has no order. Settings are reported, and no part of being fully right.
"""

from __future__ import annotations

import hashlib
import json
from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import product
from pathlib import Path
from typing import Any

from scenograph.errors import ResultError
from scenograph.judging.statement import Relation, Statement, Thing
from scenograph.layout.words import singular

__all__ = ["PARTS", "Agreement", "Label", "agreement", "fingerprint", "pooled", "read_labels"]

PARTS = ("objects", "counts", "attributes", "relations", "settings")
_TURNED = {"right of": "left of", "below": "above", "behind": "in front of", "around": "inside"}


@dataclass(frozen=True, kw_only=True)
class Label:
    """One labelled prompt; `argued` where the label can be argued with, and the label says why."""

    file: str
    line: int
    sha256: str
    statement: Statement
    argued: bool = False


@dataclass(frozen=True, kw_only=True)
class Agreement:
    """(found rightly, found, labelled) of every part; counts are of paired objects only, so found = labelled there."""

    parts: Mapping[str, tuple[int, int, int]]
    absent: bool

    @property
    def exact(self) -> bool:
        """Everything labelled was found, and nothing else; settings aside."""
        return self.absent and all(
            right == found == labelled for part, (right, found, labelled) in self.parts.items() if part != "settings"
        )


def fingerprint(prompt: str) -> str:
    """The first 12 hex digits of the SHA-256 of the stripped prompt."""
    return hashlib.sha256(prompt.strip().encode()).hexdigest()[:12]


def read_labels(path: str | Path) -> tuple[Label, ...]:
    """All labels of a file. Raises ResultError with the line that is wrong."""
    try:
        lines = Path(path).read_text(encoding="utf-8").splitlines()
    except (OSError, UnicodeDecodeError) as error:
        raise ResultError(f"{path}: cannot be read ({error}); expected a file of labels") from None
    labels = []
    for number, line in enumerate(lines, 1):
        if line.strip():
            try:
                labels.append(_label(json.loads(line)))
            except (KeyError, TypeError, ValueError) as error:
                raise ResultError(f"{path}, line {number}: is no label ({error}); see judging.labels") from None
    return tuple(labels)


def _label(row: Mapping[str, Any]) -> Label:
    things = tuple(
        Thing(noun=o["noun"], least=o["least"], most=o["most"], attributes=tuple(o["attributes"]))
        for o in row["objects"]
    )
    relations = tuple(Relation(name=n, subject=s, objects=tuple(o)) for n, s, *o in row["relations"])
    statement = Statement(
        things=things, relations=relations, settings=tuple(row["settings"]), absent=tuple(row["absent"])
    )
    return Label(
        file=row["file"], line=row["line"], sha256=row["sha256"], statement=statement, argued=bool(row.get("note"))
    )


def agreement(read: Statement, labelled: Statement) -> Agreement:
    """How far what was read is what was labelled."""
    pairs = _pairs(read.things, labelled.things)
    same = [(read.things[i], labelled.things[j]) for i, j in pairs.items()]
    counted = sum((a.least, a.most) == (b.least, b.most) for a, b in same)
    attributes = sum((_words(a) & _words(b)).total() for a, b in same)
    parts = {
        "objects": (len(pairs), len(read.things), len(labelled.things)),
        "counts": (counted, len(pairs), len(pairs)),
        "attributes": (attributes, _all_words(read), _all_words(labelled)),
        "relations": _shared(
            Counter(_turned(r, pairs) for r in read.relations),
            Counter(_turned(r, {i: i for i in range(len(labelled.things))}) for r in labelled.relations),
        ),
        "settings": _shared(Counter(map(_name, read.settings)), Counter(map(_name, labelled.settings))),
    }
    return Agreement(parts=parts, absent=set(map(_name, read.absent)) == set(map(_name, labelled.absent)))


def _shared(found: Counter[Any], labelled: Counter[Any]) -> tuple[int, int, int]:
    return (found & labelled).total(), found.total(), labelled.total()


def _pairs(read: Sequence[Thing], labelled: Sequence[Thing]) -> dict[int, int]:
    """Index read → index labelled: one noun, the most alike first, then in order."""

    def unlike(pair: tuple[int, int]) -> tuple[int, bool, int, int]:
        one, two = read[pair[0]], labelled[pair[1]]
        differing = (_words(one) - _words(two)).total() + (_words(two) - _words(one)).total()
        return differing, (one.least, one.most) != (two.least, two.most), *pair

    pairs: dict[int, int] = {}
    both = product(range(len(read)), range(len(labelled)))
    for i, j in sorted(((i, j) for i, j in both if _name(read[i].noun) == _name(labelled[j].noun)), key=unlike):
        if i not in pairs and j not in pairs.values():
            pairs[i] = j
    return pairs


def _name(noun: str) -> str:
    before, space, last = noun.lower().replace("-", " ").rpartition(" ")
    return before + space + singular(last)


def _words(thing: Thing) -> Counter[str]:
    """The words of all attributes: "light blue" and "light", "blue" are the same."""
    return Counter(word for a in thing.attributes for word in a.lower().replace("-", " ").split())


def _all_words(statement: Statement) -> int:
    return sum(_words(thing).total() for thing in statement.things)


def _turned(relation: Relation, pairs: Mapping[int, int]) -> tuple[str, tuple[object, ...]]:
    """A relation between labelled objects, in one of the two ways to say it; what has no pair stays apart."""
    ends: list[object] = [pairs.get(i, f"read {i}") for i in (relation.subject, *relation.objects)]
    if relation.name in _TURNED and len(ends) == 2:
        return _TURNED[relation.name], (ends[1], ends[0])
    if relation.name == "next to":
        ends.sort(key=str)
    if relation.name == "between":
        ends[1:] = sorted(ends[1:], key=str)
    return relation.name, tuple(ends)


def pooled(agreements: Iterable[Agreement], part: str) -> tuple[float, float, float]:
    """(precision, recall, F1) of one part over prompts, 0 to 1; NaN where nothing was found, or labelled."""
    right, found, labelled = (sum(column) for column in zip(*(a.parts[part] for a in agreements), strict=True))
    nan = float("nan")
    f1 = 2 * right / (found + labelled) if found + labelled else nan
    return right / found if found else nan, right / labelled if labelled else nan, f1

"""Stage 3: boxes of every picture, by any grounder, in `layouts.jsonl`.

The grounder looks for what the prompt names. What it finds takes the prompt's words ("cup" becomes "a red cup"), unless
two things of the prompt share a noun: a box does not say which cup is the red one, so a person must. Every doubt is a
remark beside the row: counts that do not fit, nouns that the grounder does not know, nothing seen.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from PIL import Image
from tqdm import tqdm

from scenograph.datasets.goal2k.asked import Asked, asked_of
from scenograph.datasets.goal2k.journal import Journal
from scenograph.datasets.goal2k.painting import fingerprint, picture_path
from scenograph.datasets.pictures import MOST
from scenograph.errors import DatasetError
from scenograph.judging.detection import Detector
from scenograph.layout import Instance, Layout
from scenograph.planning.grammar.lexicon import coco_name
from scenograph.world.vocabulary import SYNONYMS

__all__ = ["ground_all", "grounded", "replaced"]

_SAME_WORD, _ANY_WORD = 0.6, 0.9
"""IoU from which two boxes of one word, or of two words, are one thing seen twice."""


def replaced(rows: Sequence[Mapping[str, Any]], folder: Path, journal: Journal) -> set[str]:
    """The ids of grounded rows whose picture is another now."""
    known = [row["id"] for row in rows if row["id"] in journal]
    return {key for key in known if journal.rows[key].get("picture") != fingerprint(picture_path(folder, key))}


def ground_all(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    journal: Journal,
    grounder: Callable[[], Detector],
    name: str,
    *,
    threshold: float,
    progress: bool = True,
) -> None:
    """Ground what is missing, and what `replaced` names; the grounder is made when it is needed.

    Raises DatasetError when the kept rows are another grounder's or another threshold's.
    """
    settings: dict[str, Any] = {"grounder": name, "threshold": threshold}
    for kept in journal:
        for key, value in settings.items():
            if kept.get(key) != value:
                raise DatasetError(
                    f"{journal.path} was grounded with {key} {kept.get(key)!r}, asked for {value!r}; "
                    "delete it and the review to ground anew, or name another run folder"
                )
    again = replaced(rows, folder, journal)
    missing = [row for row in rows if row["id"] not in journal or row["id"] in again]
    if not missing:
        return
    chosen = grounder()
    for row in tqdm(missing, desc="grounding", unit="picture", disable=not progress, mininterval=0.5):
        with Image.open(picture_path(folder, row["id"])) as image:
            layout, remarks = grounded(image.convert("RGB"), row["prompt"], chosen, threshold)
        made = {"id": row["id"], "picture": fingerprint(picture_path(folder, row["id"])), **settings}
        journal.add(made | {"layout": layout.to_dict(), "remarks": remarks})


def grounded(image: Image.Image, prompt: str, grounder: Detector, threshold: float) -> tuple[Layout, list[str]]:
    """What the grounder sees of a prompt's things, and what is doubtful about it."""
    asked = asked_of(prompt)
    words = {one.noun: _word(one.noun, grounder.labels) for one in asked}
    vocabulary = list(dict.fromkeys(word for word in words.values() if word is not None))
    seen = grounder.detect([image], vocabulary)[0].instances if vocabulary else ()
    sure = _distinct([one for one in seen if (one.score if one.score is not None else 1.0) >= threshold])
    instances = tuple(_named(one, [a for a in asked if words[a.noun] == one.label]) for one in sure)
    return Layout(caption=prompt, instances=instances, size=image.size), list(_doubts(asked, words, instances))


def _word(noun: str, labels: Sequence[str] | None) -> str | None:
    """What a grounder of these labels calls a noun; None when it does not know it."""
    if labels is None or noun in labels:
        return noun
    synonyms = (coco for coco, words in SYNONYMS.items() if noun in words)
    return next((word for word in (coco_name(noun), *synonyms) if word in labels), None)


def _distinct(instances: Sequence[Instance]) -> list[Instance]:
    """The surest first, without what is seen twice; GLIGEN's limit at most."""
    kept: list[Instance] = []
    for one in sorted(instances, key=lambda one: -(one.score or 1.0)):
        limits = ((_SAME_WORD if other.label == one.label else _ANY_WORD, other) for other in kept)
        if not any(one.box.iou(other.box) > limit for limit, other in limits):
            kept.append(one)
    return kept[:MOST]


def _named(one: Instance, things: Sequence[Asked]) -> Instance:
    """The instance in the prompt's words, where they can only mean it."""
    if len(things) != 1:
        return one
    return Instance(caption=things[0].caption, label=one.label, phrase=things[0].phrase, box=one.box, score=one.score)


def _doubts(asked: Sequence[Asked], words: Mapping[str, str | None], instances: Sequence[Instance]) -> Iterator[str]:
    unknown = [one.noun for one in asked if words[one.noun] is None]
    if unknown:
        yield f"not in the grounder's words: {', '.join(dict.fromkeys(unknown))}"
    if not asked:
        yield "the prompt names nothing to look for"
    seen = Counter(one.label for one in instances)
    things: dict[str, list[Asked]] = {}
    for one in asked:
        if (word := words[one.noun]) is not None:
            things.setdefault(word, []).append(one)
    for word, named in things.items():
        counts = [one.count for one in named]
        wanted = None if None in counts else sum(count or 0 for count in counts)
        if (seen[word] != wanted) if wanted is not None else not seen[word]:
            yield f"{word}: asked {'some' if wanted is None else wanted}, seen {seen[word]}"
        if len(named) > 1 and seen[word]:
            yield f"say which is {' and which is '.join(one.caption for one in named)}"

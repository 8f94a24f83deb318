"""Stage 1: the prompts. As many from templates as from captions, as in the paper; one file, `prompts.jsonl`.

A caption is taken when it speaks of two COCO classes, or of one in a relation to something; of a picture's captions at
most one is. Captions are taken in an order that depends on their text and the seed alone.

A row is {"id", "prompt", "source", …}: "template" with its category and template, or "caption" with the number of its
picture. Rows that a file has are never changed: asking for more appends.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Collection, Iterator, Mapping
from pathlib import Path
from typing import Any

from scenograph.datasets.coco import read_captions
from scenograph.datasets.goal2k.asked import coco_objects
from scenograph.datasets.goal2k.journal import Journal
from scenograph.datasets.goal2k.templates import template_prompts
from scenograph.datasets.goal2k.words import Words
from scenograph.errors import DatasetError, LayoutError
from scenograph.files import write_whole
from scenograph.layout import jsontext

__all__ = ["captions_in", "lines_of", "prompt_rows"]

_LONGEST = 60
"""Words; what is longer does not fit CLIP's window."""

Row = Mapping[str, Any]


def prompt_rows(
    path: Path,
    words: Words,
    seed: int,
    *,
    count: int,
    captions: Path | None,
    caption_count: int,
    avoid: Collection[str] = (),
) -> list[Row]:
    """The rows of `path`, with new ones where there are fewer than asked for; templates and captions take turns.

    Raises DatasetError when the file was made with another seed, words or captions, or there are too few captions.
    """
    kept = Journal(path)
    taken = {row["prompt"].lower() for row in kept} | {text.lower() for text in avoid}
    made_with = {"seed": seed, "words": words.name}
    templates = _kept(kept, "template", made_with, path)
    if len(templates) < count:
        fresh = template_prompts(words, seed, avoid=taken)
        templates += [
            {"id": f"template-{number:05d}", "prompt": one.text, "source": "template", "category": one.category}
            | {"template": one.template, **made_with}
            for number, one in zip(range(len(templates) + 1, count + 1), fresh, strict=False)
        ]
    told: list[Row] = []
    if captions is not None and caption_count:
        origin = {"seed": seed, "file": captions.name, "sha256": hashlib.sha256(_bytes(captions)).hexdigest()[:12]}
        told = _kept(kept, "caption", origin, path)
        if len(told) < caption_count:
            taken |= {row["prompt"].lower() for row in templates}
            told += _caption_rows(captions, origin, len(told), caption_count, taken, {r["picture"] for r in told})
    rows = [*templates, *told]
    if len(rows) > len(kept):
        everything = {row["id"]: row for row in (*kept, *rows)}
        write_whole(path, "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in everything.values()))
    return list(_in_turns(templates[:count], told[:caption_count]))


def _kept(kept: Journal, source: str, made_with: Row, path: Path) -> list[Row]:
    """Rows of a source that the file has. Raises DatasetError when they were made with something else."""
    rows: list[Row] = [row for row in kept if row.get("source") == source]
    for row in rows:
        for key, value in made_with.items():
            if row.get(key) != value:
                raise DatasetError(
                    f"{path}: its {source} prompts were made with {key} {row.get(key)!r}, asked for {value!r}; "
                    "name another run folder"
                )
    return rows


def _in_turns(one: list[Row], other: list[Row]) -> Iterator[Row]:
    """Both lists mixed evenly, so that the first rows are a sample of all."""
    places = [((i + 0.5) / len(rows), row) for rows in (one, other) for i, row in enumerate(rows)]
    for _, row in sorted(places, key=lambda place: place[0]):
        yield row


def _caption_rows(
    captions: Path, origin: Row, have: int, want: int, taken: set[str], pictures: set[Any]
) -> Iterator[Row]:
    def order(pair: tuple[str, str]) -> bytes:
        return hashlib.blake2b(f"{origin['seed']}/{pair[1]}".encode(), digest_size=8).digest()

    chosen: list[tuple[str, str]] = []
    for picture, text in sorted(captions_in(captions), key=order):
        if len(chosen) == want - have:
            break
        if picture in pictures or text.lower() in taken or not _is_composed(text):
            continue
        pictures.add(picture)
        taken.add(text.lower())
        chosen.append((picture, text))
    if len(chosen) < want - have:
        got = have + len(chosen)
        raise DatasetError(f"{captions}: only {got} captions name several objects, {want} are asked for; ask for fewer")
    for number, (picture, text) in enumerate(chosen, have + 1):
        yield {"id": f"caption-{number:05d}", "prompt": text, "source": "caption", "picture": picture, **origin}


def _is_composed(text: str) -> bool:
    if not 3 <= len(text.split()) <= _LONGEST:
        return False
    objects, related = coco_objects(text)
    return len(objects) >= 2 or (len(objects) == 1 and related)


def captions_in(path: Path) -> list[tuple[str, str]]:
    """(picture, caption) of a COCO captions file, of JSON Lines with "captions" or "caption", or of lines of text.

    Raises DatasetError.
    """
    if path.suffix == ".json":
        return [(str(number), text) for number, texts in read_captions(path).items() for text in texts]
    try:
        text = jsontext.decode(_bytes(path))
        if path.suffix != ".jsonl":
            return [
                (f"line {n}", " ".join(line.split())) for n, line in enumerate(text.splitlines(), 1) if line.strip()
            ]
        return [pair for where, row in jsontext.parse_lines(text) for pair in _of_row(row, where or "line 1")]
    except LayoutError as error:
        raise DatasetError(f"{path}: {error}") from None


def _of_row(row: Any, where: str) -> Iterator[tuple[str, str]]:
    found = row.get("captions", row.get("caption")) if isinstance(row, dict) else None
    texts = [found] if isinstance(found, str) else found
    if not isinstance(texts, list) or not all(isinstance(text, str) for text in texts):
        raise LayoutError(f"{where}: no captions; expected an object with captions, a list of texts")
    yield from ((str(row.get("image_id", where)), " ".join(text.split())) for text in texts if text.strip())


def _bytes(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a file of captions") from None


def lines_of(path: Path) -> list[str]:
    """The lines of a text file that say something. Raises DatasetError."""
    try:
        return [" ".join(line.split()) for line in jsontext.decode(_bytes(path)).splitlines() if line.strip()]
    except LayoutError as error:
        raise DatasetError(f"{path}: {error}") from None

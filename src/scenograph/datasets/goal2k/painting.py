"""Stage 2: a picture of every prompt, `images/ID.png`, each with its provenance inside.

A picture appears under its name when it is whole, and says itself how it came to be (a PNG text chunk), so there is no
second file that a killed run could leave behind: whatever is there is done. A picture put there by hand is taken as it
is.
"""

from __future__ import annotations

import hashlib
import io
import json
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Protocol

from PIL import Image
from PIL.PngImagePlugin import PngInfo
from tqdm import tqdm

from scenograph.datasets.goal2k.endpoint import Painted, RefusedError
from scenograph.datasets.goal2k.journal import Journal
from scenograph.errors import DatasetError, LayoutError, PhraseError, PlanError
from scenograph.files import write_whole
from scenograph.layout import Layout
from scenograph.painting.metadata import CHUNK as RECIPE
from scenograph.planning.plan import Planner

__all__ = [
    "PainterPictures",
    "PicturePainter",
    "fingerprint",
    "paint_all",
    "painted_rows",
    "picture_path",
    "provenance",
    "seed_of",
]

CHUNK = "scenograph goal2k"
_BY_HAND = "by hand"
_PATIENCE = 5
"""Refusals in a row before the run stops: it is not the prompts then."""


class PicturePainter(Protocol):
    """Whatever makes pictures of layouts: `PainterPictures` around a Painter, an `ImageEndpoint`, or your own."""

    def paint(self, layouts: Sequence[Layout], *, seeds: Sequence[int]) -> Iterable[Any]:
        """Objects with a picture as `image`, one per layout; perhaps with `details` (`Painted`) or a `recipe()`."""


@dataclass(frozen=True)
class PainterPictures:
    """A `Painter` with its options.

    With a planner it paints planned layouts, for guidance or a GLIGEN; without, the prompt alone.
    """

    painter: Any
    options: Mapping[str, Any]
    planner: Planner | None = None

    def paint(self, layouts: Sequence[Layout], *, seeds: Sequence[int]) -> Sequence[Any]:
        """Paintings, each with its recipe. Raises PlanError, PhraseError or LayoutError."""
        if self.planner is not None:
            pairs = zip(layouts, seeds, strict=True)
            layouts = [self.planner.plan(layout.caption, seed=seed).layout for layout, seed in pairs]
        paintings: Sequence[Any] = self.painter.paint(layouts, seeds=list(seeds), progress=False, **self.options)
        return paintings


def seed_of(seed: int, key: str) -> int:
    """The seed of a picture: of the build's seed and the row alone."""
    return int.from_bytes(hashlib.blake2b(f"{seed}/{key}".encode(), digest_size=4).digest(), "big") >> 1


def picture_path(folder: Path, key: str) -> Path:
    """Where the picture of a row lies."""
    return folder / "images" / f"{key}.png"


def provenance(path: Path) -> dict[str, Any] | None:
    """What a picture says of its making; None where it is not there. Raises DatasetError when it is no picture."""
    try:
        with Image.open(path) as image:
            text = getattr(image, "text", {}).get(CHUNK)
        made: dict[str, Any] = {"painter": _BY_HAND} if text is None else json.loads(text)
    except FileNotFoundError:
        return None
    except (OSError, ValueError, SyntaxError) as error:
        raise DatasetError(f"{path}: no readable picture ({error}); delete it to have it painted again") from None
    return made


def fingerprint(path: Path) -> str:
    """Tells a picture from another that took its place, by its size and beginning: copies are the same."""
    with path.open("rb") as file:
        start = file.read(1 << 16)
    return hashlib.blake2b(start + str(path.stat().st_size).encode(), digest_size=8).hexdigest()


def paint_all(
    rows: Sequence[Mapping[str, Any]],
    folder: Path,
    painter: Callable[[], PicturePainter],
    name: str,
    refused: Journal,
    *,
    seed: int,
    batch_size: int = 1,
    workers: int = 1,
    progress: bool = True,
) -> int:
    """Paint what is missing and return how many are painted anew; refused prompts are noted and passed over.

    Args:
        painter: makes the painter when something is missing.
        name: what provenance calls it.
        batch_size: pictures asked for at once, of painters that gain from it.
        workers: requests at the same time, of painters that wait for somebody else.

    Raises DatasetError when the pictures that are there are another painter's, and whatever a painter raises that is
    not about one prompt; what is painted is kept.
    """
    others = {made["painter"] for _, made in painted_rows(rows, folder)} - {name, _BY_HAND}
    if others:
        raise DatasetError(
            f"{folder / 'images'} was painted by {', '.join(sorted(others))}, asked for {name}; name another run folder"
        )
    missing = [row for row in rows if row["id"] not in refused and not picture_path(folder, row["id"]).exists()]
    if not missing:
        return 0
    chosen = painter()
    batches = [missing[i : i + batch_size] for i in range(0, len(missing), batch_size)]
    (folder / "images").mkdir(parents=True, exist_ok=True)
    bar = tqdm(total=len(missing), desc="painting", unit="picture", disable=not progress)
    silent, made = 0, 0
    with bar, ThreadPoolExecutor(workers) as pool:
        asked = [pool.submit(_paint_batch, batch, folder, (name, chosen), refused, seed) for batch in batches]
        try:
            for batch, future in zip(batches, asked, strict=True):
                errors = future.result()
                made += len(batch) - len(errors)
                silent = silent + len(errors) if len(errors) == len(batch) else 0
                bar.update(len(batch))
                if silent >= _PATIENCE:
                    raise DatasetError(f"{errors[-1]} ({silent} prompts in a row); the same command continues")
        except BaseException:
            pool.shutdown(wait=True, cancel_futures=True)  # what is under way is paid for, and kept
            raise
    return made


def _paint_batch(
    batch: Sequence[Mapping[str, Any]],
    folder: Path,
    named: tuple[str, PicturePainter],
    refused: Journal,
    seed: int,
) -> list[Exception]:
    """Paint and save; the refusals."""
    name, painter = named
    try:
        layouts = [Layout(caption=row["prompt"], instances=()) for row in batch]
        seeds = [seed_of(seed, row["id"]) for row in batch]
        for row, number, painted in zip(batch, seeds, painter.paint(layouts, seeds=seeds), strict=True):
            _save(picture_path(folder, row["id"]), row, name, number, painted)
        return []
    except (RefusedError, PhraseError, PlanError, LayoutError) as error:
        if len(batch) > 1:
            left = [row for row in batch if not picture_path(folder, row["id"]).exists()]
            return [e for row in left for e in _paint_batch([row], folder, named, refused, seed)]
        if not isinstance(error, RefusedError) or error.for_good:
            refused.add({"id": batch[0]["id"], "prompt": batch[0]["prompt"], "painter": name, "why": str(error)})
        return [error]


def _save(path: Path, row: Mapping[str, Any], name: str, seed: int, painted: Any) -> None:
    chunks, made = PngInfo(), {"id": row["id"], "prompt": row["prompt"], "painter": name, "seed": seed}
    if isinstance(painted, Painted):
        made |= {"seed": None} | painted.details
    recipe = getattr(painted, "recipe", None)
    if recipe is not None:
        settings = recipe()
        chunks.add_itxt(RECIPE, json.dumps(settings, ensure_ascii=False))
        made |= {key: settings[key] for key in ("method", "steps", "cfg", "scheduler") if key in settings}
    chunks.add_itxt(CHUNK, json.dumps(made, ensure_ascii=False))
    png = io.BytesIO()
    painted.image.save(png, format="PNG", pnginfo=chunks)
    write_whole(path, png.getvalue())


def painted_rows(rows: Sequence[Mapping[str, Any]], folder: Path) -> Iterator[tuple[Mapping[str, Any], dict[str, Any]]]:
    """(row, provenance) of the rows that have a picture. Raises DatasetError for a picture of another prompt."""
    for row in rows:
        path = picture_path(folder, row["id"])
        made = provenance(path)
        if made is None:
            continue
        if made.get("prompt", row["prompt"]) != row["prompt"]:
            raise DatasetError(
                f"{path} shows {made['prompt']!r}, the row asks for {row['prompt']!r}; delete the picture"
            )
        yield row, made

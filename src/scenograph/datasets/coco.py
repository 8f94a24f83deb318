"""A user's own pictures in COCO's format (https://cocodataset.org/#format-data), read for training.

`annotations.json` has images, annotations with [x, y, width, height] in pixels, and categories. An annotation may say
more of its thing in a "caption" or "description", an image of itself in a "caption"; both are extensions that other
readers pass over. Captions may also come from a COCO captions file, and are made of the classes otherwise.

What is no training example is counted and said once: crowd regions, boxes without area, boxes outside their picture,
annotations of pictures the file does not list, pictures without boxes. Boxes that reach over an edge are cut there.
Beyond 30 things (GLIGEN's limit) the smallest are left out. Masks and key points are not read.
"""

from __future__ import annotations

import json
import re
from collections import Counter, defaultdict
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

from scenograph.datasets.pictures import PictureRow, largest
from scenograph.datasets.wording import class_caption
from scenograph.errors import DatasetError, LayoutError
from scenograph.layout import Box, Instance, Layout
from scenograph.layout.values import checked_number, checked_size, show
from scenograph.layout.words import occurrences, plural

__all__ = ["check_files", "read_captions", "read_coco", "read_json"]

_DESCRIBED = ("caption", "description")
_LEFT_OUT = {
    "crowd": "crowd regions are left out",
    "empty": "boxes without area are left out",
    "outside": "boxes outside their picture are left out",
    "cut": "boxes are cut at the edge of their picture",
    "unlisted": "annotations belong to no listed picture and are left out",
    "bare": "pictures have no box and are left out",
    "many": "pictures have more than 30 boxes; the smallest are left out",
}

Record = Mapping[str, Any]


def read_coco(
    annotations: str | Path, images: str | Path | None = None, *, captions: str | Path | None = None
) -> tuple[list[PictureRow], list[str]]:
    """(pictures with boxes in the file's order, what was left out).

    Args:
        images: folder of the pictures; None: the folder of the annotations.
        captions: a COCO captions file; of several captions the one that names most of the classes is taken.

    Raises:
        DatasetError: a file cannot be read or is something else, a record is malformed, a picture is missing.
    """
    path = Path(annotations)
    folder = path.parent if images is None else Path(images)
    data = read_json(path)
    records, categories = _records(data, path)
    texts = {} if captions is None else read_captions(captions)
    counts: Counter[str] = Counter()
    of_image: dict[Any, list[Record]] = defaultdict(list)
    for index, annotation in enumerate(data["annotations"]):
        where = f"{path}: annotations[{index}]"
        number = _id(annotation, "image_id", where)
        if number in records:
            of_image[number].append(annotation)
        else:
            counts["unlisted"] += 1
    rows = []
    for number, record in records.items():
        row = _row(record, of_image[number], categories, texts.get(number, ()), folder, counts, path)
        if row is not None:
            rows.append(row)
    if not rows:
        raise DatasetError(f"{path}: no picture has a box; expected a COCO instances file")
    check_files([row.path for row in rows], folder)
    return rows, [f"{counts[key]} {text}" for key, text in _LEFT_OUT.items() if counts[key]]


def _records(data: Any, path: Path) -> tuple[dict[Any, Record], dict[Any, str]]:
    """Images and category names by id."""
    if not isinstance(data, dict) or not all(isinstance(data.get(k), list) for k in ("images", "annotations")):
        what = f"an object with {', '.join(map(str, data))}"[:80] if isinstance(data, dict) else type(data).__name__
        raise DatasetError(f"{path}: got {what}; expected COCO instances: an object with images, annotations and more")
    if not isinstance(data.get("categories"), list):
        raise DatasetError(f"{path}: no categories; expected a COCO instances file, captions go to --captions")
    records = {_id(image, "id", f"{path}: images[{i}]"): image for i, image in enumerate(data["images"])}
    if len(records) < len(data["images"]):
        raise DatasetError(f"{path}: two images have the same id; expected one id each")
    categories = {}
    for index, category in enumerate(data["categories"]):
        where = f"{path}: categories[{index}]"
        name = _field(category, "name", where)
        if not isinstance(name, str) or not name.strip():
            raise DatasetError(f"{where}: the name is {show(name)}; expected a text")
        categories[_id(category, "id", where)] = " ".join(name.replace("_", " ").split())
    return records, categories


def _row(
    record: Record,
    annotations: Sequence[Record],
    categories: Mapping[Any, str],
    texts: Sequence[str],
    folder: Path,
    counts: Counter[str],
    path: Path,
) -> PictureRow | None:
    where = f"{path}: image {show(record['id'])}"
    try:
        size = checked_size((_field(record, "width", where), _field(record, "height", where)))
    except LayoutError as error:
        raise DatasetError(f"{where}: {error}") from None
    found = [_instance(one, categories, size, counts, path) for one in annotations]
    instances = [one for one in found if one is not None]
    if not instances:
        counts["bare"] += 1
        return None
    kept = largest(instances)
    counts["many"] += len(kept) < len(instances)
    own = record.get("caption")
    texts = [own] if isinstance(own, str) and own.strip() else texts
    caption = _telling(texts, kept) or class_caption(kept)
    name = _field(record, "file_name", where)
    return PictureRow(
        path=folder / str(name), layout=Layout(caption=caption, instances=kept, size=size), told=bool(texts)
    )


def _instance(
    annotation: Record, categories: Mapping[Any, str], size: tuple[int, int], counts: Counter[str], path: Path
) -> Instance | None:
    """The instance of an annotation, or None and one more in `counts`. Raises DatasetError for a malformed one."""
    where = f"{path}: annotation {show(annotation.get('id', '?'))}"
    if annotation.get("iscrowd"):
        counts["crowd"] += 1
        return None
    category, bbox = _id(annotation, "category_id", where), _field(annotation, "bbox", where)
    if category not in categories:
        raise DatasetError(f"{where}: category_id is {show(category)}; expected one of the {len(categories)} listed")
    if not isinstance(bbox, list) or len(bbox) != 4:
        raise DatasetError(f"{where}: bbox is {show(bbox)}; expected [x, y, width, height] in pixels")
    try:
        x, y, width, height = (checked_number(n, "a side of the bbox") for n in bbox)
    except LayoutError as error:
        raise DatasetError(f"{where}: {error}") from None
    if width <= 0 or height <= 0:
        counts["empty"] += 1
        return None
    if x >= size[0] or y >= size[1] or x + width <= 0 or y + height <= 0:
        counts["outside"] += 1
        return None
    # A pixel of rounding is usual and no news.
    counts["cut"] += x < -1 or y < -1 or x + width > size[0] + 1 or y + height > size[1] + 1
    label = categories[category]
    texts = (annotation.get(key) for key in _DESCRIBED)
    caption = next((t.strip() for t in texts if isinstance(t, str) and t.strip()), label)
    try:
        return Instance(caption=caption, label=label, box=Box.from_xywh(x, y, width, height, size=size, clip=True))
    except LayoutError:  # inside by less than a float can say
        counts["empty"] += 1
        return None


def _telling(texts: Sequence[str], instances: Sequence[Instance]) -> str | None:
    """The text that names most classes, the first of equals; without a class of its own a caption still counts."""

    def named(text: str) -> int:
        labels = {one.label for one in instances}
        return sum(bool(occurrences(label, text) or occurrences(plural(label), text)) for label in labels)

    return max(texts, key=named, default=None)


def read_captions(path: str | Path) -> dict[Any, list[str]]:
    """Image id → captions, of a COCO captions file. Raises DatasetError."""
    data = read_json(path)
    if not isinstance(data, dict) or not isinstance(data.get("annotations"), list):
        raise DatasetError(f"{path}: is no COCO captions file; expected an object with annotations")
    texts: dict[Any, list[str]] = defaultdict(list)
    for index, annotation in enumerate(data["annotations"]):
        where = f"{path}: annotations[{index}]"
        text = _field(annotation, "caption", where)
        if not isinstance(text, str) or not text.strip():
            raise DatasetError(f"{where}: the caption is {show(text)}; expected a text")
        texts[_id(annotation, "image_id", where)].append(re.sub(r"\s+", " ", text.strip()))
    return dict(texts)


def read_json(path: str | Path) -> Any:
    """The JSON value in a file. Raises DatasetError."""
    try:
        return json.loads(Path(path).read_bytes().decode("utf-8-sig"))
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a JSON file") from None
    except (ValueError, RecursionError) as error:
        raise DatasetError(f"{path}: is no JSON ({error}); expected a file in COCO's format") from None


def check_files(paths: Sequence[Path], folder: Path) -> None:
    """Raises DatasetError when pictures are missing, with how many and which is the first."""
    listed: dict[Path, set[str]] = {}
    for parent in {path.parent for path in paths}:
        listed[parent] = {child.name for child in parent.iterdir()} if parent.is_dir() else set()
    missing = [path for path in paths if path.name not in listed[path.parent]]
    if missing:
        first = missing[0].relative_to(folder) if missing[0].is_relative_to(folder) else missing[0]
        raise DatasetError(
            f"{len(missing)} of {len(paths)} pictures are not in {str(folder)!r}, the first is {str(first)!r}; "
            "give their folder with --images"
        )


def _field(record: object, key: str, where: str) -> Any:
    if not isinstance(record, Mapping) or key not in record:
        raise DatasetError(f"{where}: is {show(record)}; expected a COCO record with {key!r}")
    return record[key]


def _id(record: object, key: str, where: str) -> int | str:
    number = _field(record, key, where)
    if not isinstance(number, int | str):
        raise DatasetError(f"{where}: {key} is {show(number)}; expected a whole number")
    return number

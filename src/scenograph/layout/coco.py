"""The records of COCO instances and results files, read and written as plain dicts.

https://cocodataset.org/#format-data: boxes are [x, y, width, height] in pixels, origin top-left. Polygons, masks and
key points have no place in a layout and are not read.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Any

from scenograph.errors import LayoutError
from scenograph.layout.values import checked_size, show

__all__ = ["read", "write"]

XYWH = tuple[float, float, float, float]


def read(
    image: Mapping[str, Any], annotations: Iterable[Mapping[str, Any]], categories: Iterable[Mapping[str, Any]]
) -> tuple[tuple[int, int], list[tuple[str, str, XYWH, float | None]]]:
    """The size of `image`, and (where it stood, category name, [x, y, w, h], score) for each of its annotations.

    Raises:
        LayoutError: a record lacks a field, or names an unknown category.
    """
    size = checked_size((_field(image, "width", "image"), _field(image, "height", "image")))
    names = {}
    for entry in categories:
        number = _field(entry, "id", "category")
        if not isinstance(number, int | str):
            raise LayoutError(f"a category's id is {show(number)}; expected a number")
        names[number] = _field(entry, "name", "category")
    found = []
    for index, annotation in enumerate(annotations):
        where = (
            f"annotation {show(annotation['id'])}"
            if isinstance(annotation, Mapping) and "id" in annotation
            else f"annotations[{index}]"
        )
        category, bbox = _field(annotation, "category_id", where), _field(annotation, "bbox", where)
        if annotation.get("image_id", image.get("id")) != image.get("id") or annotation.get("iscrowd"):
            continue
        if not isinstance(category, int | str) or category not in names:
            raise LayoutError(
                f"{where}: category_id is {show(category)}; expected one of the {len(names)} categories given"
            )
        if not isinstance(bbox, list | tuple) or len(bbox) != 4:
            raise LayoutError(f"{where}: bbox is {show(bbox)}; expected [x, y, width, height] in pixels")
        found.append((where, names[category], tuple(bbox), annotation.get("score")))
    return size, found


def write(
    size: tuple[int, int],
    labels: Sequence[str],
    boxes: Sequence[XYWH],
    scores: Sequence[float | None],
    *,
    image_id: int,
    categories: Sequence[Mapping[str, Any]] | None,
) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
    """(image, annotations, categories) records for one image.

    Raises:
        LayoutError: a label is not among `categories`.
    """
    if categories is None:
        categories = [{"id": number, "name": name} for number, name in enumerate(sorted(set(labels)), start=1)]
    ids = {_field(category, "name", "category"): _field(category, "id", "category") for category in categories}
    annotations = []
    for index, (label, box, score) in enumerate(zip(labels, boxes, scores, strict=True)):
        if label not in ids:
            raise LayoutError(
                f"instances[{index}]: label {show(label)} is not among the {len(ids)} categories given; add it"
            )
        record = {"id": index + 1, "image_id": image_id, "category_id": ids[label], "bbox": list(box)}
        record |= {"area": box[2] * box[3], "iscrowd": 0}
        annotations.append(record if score is None else record | {"score": score})
    image = {"id": image_id, "width": size[0], "height": size[1]}
    return image, annotations, [dict(category) for category in categories]


def _field(record: object, key: str, where: str) -> Any:
    if not isinstance(record, Mapping) or key not in record:
        raise LayoutError(f"{where} is {show(record)}; expected a COCO record with {key!r}")
    return record[key]

"""Do things look as asked: an attribute reader, and the accuracy of asked colours, textures and shapes.

The reader is a stock `AutoModelForImageClassification` folder whose labels are "noun:dog", "colour:red",
"texture:striped", "shape:round": one softmax per group over the logits of one crop. Asked attributes are what an
instance's caption states; what it leaves unsaid is not judged. Two readings: at the asked box (is there something
red where red was asked?), and at the matched detection (is the dog that was found red?; a missing dog is wrong in
every asked attribute).

Not here: attributes of open-vocabulary captions; those need a VQA model.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any, Protocol

import numpy as np
import torch
from PIL import Image

from scenograph.errors import CheckpointError, ResultError
from scenograph.judging.bootstrap import Tally
from scenograph.judging.checkpoints import checkpoint
from scenograph.judging.detection import MATCH_SCORE, match
from scenograph.layout import Box, Instance, Layout
from scenograph.world.captions import attributes_of

__all__ = ["KINDS", "MARGIN", "AttributeReader", "Reader", "asked_attributes", "attribute_tallies", "crop", "pixels_of"]

KINDS = ("colour", "texture", "shape")
MARGIN = 0.1


class Reader(Protocol):
    """Crops to attributes: one dict per crop, with a value for each group it knows ("noun", "colour", "texture",
    "shape").
    """

    def read(self, crops: Sequence[Image.Image]) -> list[dict[str, str]]:
        """The most likely value of every group, per crop."""


def crop(image: Image.Image, box: Box, *, margin: float = MARGIN) -> Image.Image:
    """The box's pixels with `margin` of its width and height around it; at least one pixel.

    Beyond the canvas its edge is repeated, as in training, so that a crop keeps its proportions at the border.
    """
    width, height = image.size
    left, right = round((box.x0 - margin * box.width) * width), round((box.x1 + margin * box.width) * width)
    top, bottom = round((box.y0 - margin * box.height) * height), round((box.y1 + margin * box.height) * height)
    columns = np.clip(np.arange(left, max(right, left + 1)), 0, width - 1)
    rows = np.clip(np.arange(top, max(bottom, top + 1)), 0, height - 1)
    return Image.fromarray(np.asarray(image.convert("RGB"))[rows[:, None], columns])


def asked_attributes(instance: Instance) -> dict[str, str]:
    """The colour, texture and shape that the instance's caption states."""
    return {kind: value for kind, value in attributes_of(instance.caption).items() if kind in KINDS}


class AttributeReader:
    """The embedded reader or any folder in its format. Crops are resized to the model's size, RGB scaled to [-1, 1]."""

    def __init__(self, model: Any, *, batch_size: int = 64) -> None:
        self.model = model.eval()
        self.batch_size = batch_size
        self.size = int(getattr(model.config, "image_size", None) or 64)
        self.groups: dict[str, list[tuple[int, str]]] = defaultdict(list)
        for index, label in model.config.id2label.items():
            group, colon, value = str(label).partition(":")
            if not colon:
                raise CheckpointError(
                    f"an attribute reader's labels look like 'colour:red', got {label!r}; retrain or choose another"
                )
            self.groups[group].append((int(index), value))

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str | None = None, batch_size: int = 64) -> AttributeReader:
        """Load an embedded name ("reader-a") or a folder. Raises CheckpointError when that fails."""
        from transformers import AutoModelForImageClassification

        model = checkpoint(name, "attribute reader").model(AutoModelForImageClassification, device)
        return cls(model, batch_size=batch_size)

    @torch.inference_mode()
    def probabilities(self, crops: Sequence[Image.Image]) -> list[dict[str, dict[str, float]]]:
        """For each crop and group the probability of every value; a group's values sum to 1."""
        read: list[dict[str, dict[str, float]]] = []
        for start in range(0, len(crops), self.batch_size):
            pixels_BCHW = torch.stack([pixels_of(one, self.size) for one in crops[start : start + self.batch_size]])
            logits_BL = self.model(pixel_values=pixels_BCHW.to(self.model.device)).logits.float().cpu()
            for logits_L in logits_BL:
                read.append({g: _softmax(logits_L, members) for g, members in self.groups.items()})
        return read

    def read(self, crops: Sequence[Image.Image]) -> list[dict[str, str]]:
        """The most likely value of every group, per crop."""
        return [{g: max(p, key=p.__getitem__) for g, p in one.items()} for one in self.probabilities(crops)]


def attribute_tallies(
    images: Sequence[Image.Image],
    asked: Sequence[Layout],
    reader: Reader,
    *,
    seen: Sequence[Layout] | None = None,
    min_score: float = MATCH_SCORE,
    counts: Callable[[Instance], bool] = lambda one: True,
) -> dict[str, Tally]:
    """Percent of asked attributes that are read, per layout: keys "attributes" (all), "colour", "texture", "shape".

    Without `seen` the asked boxes are read. With it the matched detections are, and a missing instance is wrong. Only
    instances that `counts` are judged.
    """
    if len(images) != len(asked) or (seen is not None and len(seen) != len(asked)):
        lengths = f"{len(images)} images, {len(asked)} asked" + (f", {len(seen)} seen" if seen is not None else "")
        raise ResultError(f"attribute accuracy needs one image (and one seen layout) per asked layout, got {lengths}")
    places: list[tuple[int, dict[str, str], Image.Image | None]] = []
    for index, (image, layout) in enumerate(zip(images, asked, strict=True)):
        boxes = [one.box for one in layout.instances] if seen is None else _matched(layout, seen[index], min_score)
        for instance, box in zip(layout.instances, boxes, strict=True):
            if (wanted := asked_attributes(instance)) and counts(instance):
                places.append((index, wanted, None if box is None else crop(image, box)))
    readings = iter(reader.read([region for _, _, region in places if region is not None]))
    values: dict[str, list[list[float]]] = {kind: [[] for _ in asked] for kind in ("attributes", *KINDS)}
    for index, wanted, region in places:
        got = next(readings) if region is not None else {}
        for kind, value in wanted.items():
            hit = 100.0 * (got.get(kind) == value)
            values[kind][index].append(hit)
            values["attributes"][index].append(hit)
    return {kind: Tally.of(per_layout) for kind, per_layout in values.items()}


def _matched(asked: Layout, seen: Layout, min_score: float) -> list[Box | None]:
    found = match(asked, seen, min_score=min_score)
    return [None if one.seen is None else seen.instances[one.seen].box for one in found]


def pixels_of(image: Image.Image, size: int) -> torch.Tensor:
    """(3, size, size) in [-1, 1], bilinear."""
    resized = image.convert("RGB").resize((size, size), Image.Resampling.BILINEAR)
    return torch.from_numpy(np.array(resized)).permute(2, 0, 1).float() / 127.5 - 1


def _softmax(logits_L: torch.Tensor, members: Sequence[tuple[int, str]]) -> dict[str, float]:
    probabilities = torch.softmax(logits_L[[index for index, _ in members]], dim=0).tolist()
    return dict(zip((value for _, value in members), probabilities, strict=True))

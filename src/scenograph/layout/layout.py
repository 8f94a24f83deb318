"""Layout: a caption and the labelled boxes that should stand (or were seen) on one canvas.

The only type that every part of scenograph speaks. It is frozen, checks itself and knows no torch; whoever needs
pixels, tokens or attention grids converts boxes where they are needed.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from scenograph.errors import LayoutError
from scenograph.layout import coco, jsontext
from scenograph.layout.box import Box
from scenograph.layout.instance import Instance
from scenograph.layout.prompt import Prompt, compose_prompt
from scenograph.layout.values import checked_keys, checked_size, checked_text, located, show

__all__ = ["MAX_INSTANCES", "REMARKS", "Layout"]

MAX_INSTANCES = 1000  # far beyond any scene; a file with more is some other kind of file
REMARKS = ("unparsed", "changes", "usage")  # what a planner says about a layout, beside it in the same JSON object


@dataclass(frozen=True, kw_only=True, slots=True)
class Layout:
    """A caption and its instances.

    Attributes:
        caption: the whole scene in words.
        instances: what stands where, in the order given; at most `MAX_INSTANCES`. Nothing at all is allowed: a detector
            may see nothing.
        size: (width, height) in pixels of the canvas, or None where only proportions matter.

    Raises:
        LayoutError: the caption is empty, an instance is no Instance, there are too many, or `size` is not two whole
            numbers.
    """

    caption: str
    instances: tuple[Instance, ...]
    size: tuple[int, int] | None = None

    def __post_init__(self) -> None:
        checked_text(self.caption, "caption")
        if isinstance(self.instances, str | Mapping) or not isinstance(self.instances, Iterable):
            raise LayoutError(f"instances is {show(self.instances)}; expected a sequence of Instance")
        object.__setattr__(self, "instances", tuple(self.instances))
        _check_count(len(self.instances))
        for index, instance in enumerate(self.instances):
            if not isinstance(instance, Instance):
                raise LayoutError(f"instances[{index}] is {show(instance)}; expected an Instance(caption=…, box=…)")
        if self.size is not None:
            object.__setattr__(self, "size", checked_size(self.size))

    def prompt(self, *, strict: bool = False, template: str = "{}") -> Prompt:
        """The text for a text encoder, with the characters that name each instance.

        An instance is found by its `phrase`, else by its caption (with or without its article), its label or the
        label's plural: whole words, in any case. Equal phrases take one occurrence each when there are as many, else
        share the first. What is not found is appended (", {caption}", once for equal captions) and listed.

        Args:
            strict: raise instead of appending.
            template: a text with `{}` where the caption goes, e.g. "{}, high quality photo".

        Raises:
            PhraseError: `strict`, and an instance is not named in the caption, or its `phrase` does not occur.
            LayoutError: `template` has not exactly one `{}`.
        """
        return compose_prompt(self.caption, self.instances, strict=strict, template=template)

    @classmethod
    def from_dict(cls, data: object) -> "Layout":
        """The layout written by `to_dict`; a bad instance is named by its index.

        A planner's remarks beside the layout (`REMARKS`) are allowed and left alone, so that what `scenograph plan
        --json` prints is a layout file.

        Raises:
            LayoutError: a key is missing or unknown, or a value is not valid.
        """
        fields: dict[str, Any] = checked_keys(
            data, "layout", required=("caption", "instances"), optional=("size", *REMARKS)
        )
        listed = fields["instances"]
        if not isinstance(listed, list | tuple):
            raise LayoutError(f"instances is {show(listed)}; expected a list of objects with caption and box")
        _check_count(len(listed))
        checked_text(fields["caption"], "caption")
        instances = []
        for index, item in enumerate(listed):
            with located(f"instances[{index}]"):
                instances.append(Instance.from_dict(item))
        return cls(caption=fields["caption"], instances=tuple(instances), size=fields.get("size"))

    def to_dict(self) -> dict[str, Any]:
        """A dict for JSON, the layout file format; `from_dict` gives back an equal layout."""
        data: dict[str, Any] = {"caption": self.caption}
        if self.size is not None:
            data["size"] = list(self.size)
        return data | {"instances": [instance.to_dict() for instance in self.instances]}

    @classmethod
    def from_json(cls, text: str | bytes) -> "Layout":
        """The layout in a JSON text; for files see `load_layouts`.

        Raises:
            LayoutError: it is not JSON, or not one valid layout.
        """
        data = jsontext.parse(text if isinstance(text, str) else jsontext.decode(text))
        if isinstance(data, list):
            raise LayoutError("got a JSON array; expected one layout object: read several with load_layouts(path)")
        return cls.from_dict(data)

    def to_json(self, *, indent: int | None = None) -> str:
        """JSON text without loss: `from_json` gives back an equal layout, to the last bit of every float."""
        return jsontext.dump(self.to_dict(), indent=indent)

    @classmethod
    def from_coco(
        cls,
        image: Mapping[str, Any],
        annotations: Iterable[Mapping[str, Any]],
        categories: Iterable[Mapping[str, Any]],
        *,
        caption: str | None = None,
        clip: bool = False,
    ) -> "Layout":
        """A layout from the records of a COCO instances or results file.

        Args:
            image: its record, with `width` and `height` in pixels, and `id`.
            annotations: records with `category_id` and `bbox` [x, y, width, height] in pixels, perhaps `score`. Records
                of other images (`image_id`) are passed over, and so are crowd regions, which are no instances.
            categories: records with `id` and `name`.
            caption: the scene in words; None joins the names of the categories.
            clip: cut boxes that reach outside the image instead of refusing them. Some files hold such, by rounding.

        Raises:
            LayoutError: a record lacks a field, a category is unknown, or a box is not valid.
        """
        size, found = coco.read(image, annotations, categories)
        instances = []
        for where, name, bbox, score in found:
            with located(where):
                box = Box.from_xywh(*bbox, size=size, clip=clip)
                instances.append(Instance(caption=name, label=name, box=box, score=score))
        if caption is None:
            caption = ", ".join(dict.fromkeys(instance.label for instance in instances))
            if not caption:
                raise LayoutError(
                    f"image {show(image.get('id'))} has no instances to make a caption of; give caption=…"
                )
        return cls(caption=caption, instances=tuple(instances), size=size)

    def to_coco(
        self, *, image_id: int = 1, categories: Sequence[Mapping[str, Any]] | None = None
    ) -> tuple[dict[str, Any], list[dict[str, Any]], list[dict[str, Any]]]:
        """COCO records (image, annotations, categories), the arguments of `from_coco`; captions do not survive.

        Args:
            image_id: `id` of the image record; annotation ids count from 1.
            categories: records with `id` and `name`; None numbers this layout's labels from 1 in alphabetical order.

        Raises:
            LayoutError: the layout has no `size`, or a label is not among `categories`.
        """
        if self.size is None:
            raise LayoutError(
                "layout has no size, and COCO boxes are in pixels; use dataclasses.replace(layout, size=(w, h))"
            )
        labels = [instance.label for instance in self.instances]
        boxes = [instance.box.to_xywh(self.size) for instance in self.instances]
        scores = [instance.score for instance in self.instances]
        return coco.write(self.size, labels, boxes, scores, image_id=image_id, categories=categories)

    @classmethod
    def from_gligen(
        cls, prompt: str, gligen_phrases: Sequence[str], gligen_boxes: Sequence[Sequence[float]]
    ) -> "Layout":
        """A layout from the arguments of diffusers' GLIGEN pipelines; boxes are fractions (x0, y0, x1, y1)."""
        if len(gligen_phrases) != len(gligen_boxes):
            raise LayoutError(
                f"got {len(gligen_phrases)} gligen_phrases and {len(gligen_boxes)} gligen_boxes; expected equally many"
            )
        boxes = [list(box) if isinstance(box, Iterable) else box for box in gligen_boxes]
        pairs = [{"caption": phrase, "box": box} for phrase, box in zip(gligen_phrases, boxes, strict=True)]
        return cls.from_dict({"caption": prompt, "instances": pairs})

    def to_gligen(self) -> dict[str, Any]:
        """The keyword arguments `gligen_phrases` and `gligen_boxes` of diffusers' GLIGEN pipelines."""
        return {
            "gligen_phrases": [instance.caption for instance in self.instances],
            "gligen_boxes": [list(instance.box) for instance in self.instances],
        }


def _check_count(count: int) -> None:
    if count > MAX_INSTANCES:
        raise LayoutError(
            f"layout has {count} instances; expected at most {MAX_INSTANCES}: split it into several layouts"
        )

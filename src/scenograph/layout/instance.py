"""Instance: one thing on the canvas, with three words for three uses, because the field needs all three.

`caption` says what stands in the box (GLIGEN, MIGLoRA and EchoGen condition on it), `label` is the class that a
detector scores, and `phrase` names the words of the layout's caption that speak of it (attention guidance steers those
tokens).
"""

from dataclasses import dataclass
from typing import Any

from scenograph.errors import LayoutError
from scenograph.layout.box import Box
from scenograph.layout.values import checked_keys, checked_number, checked_text, show
from scenograph.layout.words import head_noun

__all__ = ["Instance"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Instance:
    """One thing on the canvas.

    Attributes:
        caption: what stands in the box, e.g. "a black dog with a collar".
        box: where, in fractions of the canvas.
        label: the class that detectors score; given as None it becomes the head noun of `caption` ("dog"), so it is
            always a text once constructed (and `dataclasses.replace(…, caption=…)` keeps it: pass `label=None` to have
            it anew).
        phrase: the words of the layout's caption that name this instance; None lets `Layout.prompt` look for them.
            Several instances may share one ("three cats").
        score: how sure a detector is, from 0 to 1; None for what was asked rather than seen.
        negative: what must not stand in the box; kept with the layout, painting does not read it.

    Raises:
        LayoutError: a text is empty, `box` is no Box, or `score` is outside 0 to 1.
    """

    caption: str
    box: Box
    label: str = None  # type: ignore[assignment]  # None is an argument only, never a value
    phrase: str | None = None
    score: float | None = None
    negative: str | None = None

    def __post_init__(self) -> None:
        checked_text(self.caption, "caption")
        if not isinstance(self.box, Box):
            raise LayoutError(f"box is {show(self.box)}; expected a Box: write Box(x0, y0, x1, y1)")
        if self.label is None:
            object.__setattr__(self, "label", head_noun(self.caption))
        checked_text(self.label, "label")
        for name, text in (("phrase", self.phrase), ("negative", self.negative)):
            if text is not None:
                checked_text(text, name)
        if self.score is not None:
            object.__setattr__(self, "score", checked_number(self.score, "score"))
            if not 0 <= self.score <= 1:
                raise LayoutError(f"score is {self.score!r}; expected a probability between 0 and 1")

    @classmethod
    def from_dict(cls, data: object) -> "Instance":
        """The instance written by `to_dict`.

        Raises:
            LayoutError: `data` is no such object: a key is missing or unknown, or a value is not valid.
        """
        optional = ("label", "phrase", "score", "negative")
        fields: dict[str, Any] = checked_keys(data, "instance", required=("caption", "box"), optional=optional)
        sides = fields.pop("box")
        if not isinstance(sides, list | tuple) or len(sides) != 4:
            raise LayoutError(f"box is {show(sides)}; expected four numbers [x0, y0, x1, y1], fractions of the canvas")
        return cls(box=Box(*sides), **fields)

    def to_dict(self) -> dict[str, Any]:
        """A dict for JSON: `caption` and `box`, and the rest where it says more than the default."""
        data: dict[str, Any] = {"caption": self.caption}
        if self.label != head_noun(self.caption):
            data["label"] = self.label
        if self.phrase is not None:
            data["phrase"] = self.phrase
        data["box"] = list(self.box)
        if self.score is not None:
            data["score"] = self.score
        if self.negative is not None:
            data["negative"] = self.negative
        return data

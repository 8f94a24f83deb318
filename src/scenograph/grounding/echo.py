"""A grounder that sees what it was told: the perfect detector, for trying a protocol or a loop without a model."""

from __future__ import annotations

from collections.abc import Sequence

from PIL import Image

from scenograph.errors import LayoutError
from scenograph.layout import Layout

__all__ = ["EchoGrounder"]


class EchoGrounder:
    """Returns the layouts it was given, one for each image in their order. Its vocabulary is open."""

    labels: tuple[str, ...] | None = None

    def __init__(self, layouts: Layout | Sequence[Layout]) -> None:
        self.layouts = [layouts] if isinstance(layouts, Layout) else list(layouts)

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        """The given layouts. Raises LayoutError when there are not as many images."""
        if len(images) != len(self.layouts):
            raise LayoutError(
                f"this EchoGrounder holds {len(self.layouts)} layouts but got {len(images)} images; give as many"
            )
        return list(self.layouts)

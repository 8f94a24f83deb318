"""Layout → image: stock diffusers parts, one denoising loop of our own, and guidance that moves the latents.

    from scenograph.painting import Painter
    painter = Painter.from_pretrained("tiny-sd")
    painting, = painter.paint(layout)
    painting.image.save("scene.png")

`Painter` and `Painting` are looked up on first use, so that importing a submodule that needs no diffusers
(`painting.metadata`, `painting.guidance`) stays cheap.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from scenograph.painting.painter import Painter, Painting

__all__ = ["Painter", "Painting"]


def __getattr__(name: str) -> Any:
    if name in __all__:
        from scenograph.painting import painter

        return getattr(painter, name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")

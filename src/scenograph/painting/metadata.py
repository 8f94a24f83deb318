"""Recipes inside pictures: a PNG carries its layout, seed, method and settings, so it can be painted again.

The recipe is one JSON object in one PNG text chunk with the key "scenograph". Nothing here needs torch.
"""

from __future__ import annotations

import json
import os
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from PIL import Image
from PIL.PngImagePlugin import PngInfo

from scenograph.errors import ImageError, LayoutError
from scenograph.layout import jsontext

if TYPE_CHECKING:
    from scenograph.painting.painter import Painting

CHUNK = "scenograph"
SETTINGS = ("steps", "cfg", "scheduler", "negative_prompt", "template", "strict", "width", "height")
"""The arguments of `Painter.paint` that a recipe holds under their own names."""
NEEDED = ("layout", "seed", "method", "model", *SETTINGS)
"""Without these a recipe cannot be painted again."""


def save_png(painting: Painting, path: str | Path, *, metadata: bool = True) -> Path:
    """Write a painting as PNG, with its recipe unless `metadata` is off; the file appears only when it is whole.

    Raises ImageError when the name does not end in .png, the painting holds latents, or the folder cannot be written.
    """
    path = Path(path)
    if path.suffix.lower() != ".png":
        raise ImageError(f"cannot save {str(path)!r}; expected a name that ends in .png")
    if not isinstance(painting.image, Image.Image):
        kind = type(painting.image).__name__
        raise ImageError(f"the painting holds a {kind}, expected an image: paint with output='pil'")
    chunks = PngInfo()
    if metadata:
        chunks.add_itxt(CHUNK, json.dumps(painting.recipe(), ensure_ascii=False))
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        _write(painting.image, path, chunks)
    except OSError as error:
        reason = error.strerror or error
        raise ImageError(f"cannot write {str(path)!r}: {reason}; name a folder you may write to") from error
    return path


def _write(image: Image.Image, path: Path, chunks: PngInfo) -> None:
    handle, temporary = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            image.save(file, format="PNG", pnginfo=chunks)
        os.chmod(temporary, 0o644)
        os.replace(temporary, path)
    finally:
        Path(temporary).unlink(missing_ok=True)


def read_recipe(path: str | Path) -> dict[str, Any]:
    """The recipe of a picture that `save_png` wrote: the arguments of `Painter.repaint`.

    Raises ImageError when the file is no picture or carries no whole recipe.
    """
    try:
        with Image.open(path) as image:
            image.load()  # text chunks may stand behind the pixels
            text = getattr(image, "text", {}).get(CHUNK)
    except FileNotFoundError as error:
        raise ImageError(f"no picture at {str(path)!r}; expected a .png that scenograph painted") from error
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError) as error:
        raise ImageError(f"{str(path)!r} is no readable picture ({type(error).__name__}); expected a .png") from error
    if text is None:
        raise ImageError(f"{str(path)!r} carries no recipe; it was not painted by scenograph, or with --no-metadata")
    try:
        recipe = jsontext.parse(text)
    except LayoutError as error:
        raise ImageError(f"the recipe in {str(path)!r} is damaged: {error}") from error
    if not isinstance(recipe, dict):
        raise ImageError(f"the recipe in {str(path)!r} is a {type(recipe).__name__}; expected a JSON object")
    missing = [key for key in NEEDED if key not in recipe]
    if missing:
        raise ImageError(f"the recipe in {str(path)!r} lacks {', '.join(missing)}; it cannot be painted again")
    return recipe

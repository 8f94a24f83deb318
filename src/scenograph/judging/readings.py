"""What judges read from a set of pictures, kept beside them: judging a thousand takes longer than painting some.

A reading is kept under a key of everything it depends on; with another key, or damaged, it is read anew.
"""

from __future__ import annotations

import hashlib
import io
import json
import zipfile
from collections.abc import Callable, Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from PIL import Image

from scenograph.files import write_whole
from scenograph.judging.bootstrap import Estimate
from scenograph.layout import Layout

__all__ = ["kept_reading", "reading_key"]

_FILE = "reading.npz"


def reading_key(
    images: Sequence[Image.Image],
    asked: Sequence[Layout],
    reference: Sequence[Image.Image],
    weights_RN: NDArray[np.int64],
    judged_by: str,
) -> str:
    """A digest of the pictures' pixels, the layouts, the reference, the resamples, and the judges as told."""
    digest = hashlib.sha256(json.dumps([[one.to_dict() for one in asked], judged_by], sort_keys=True).encode())
    for image in (*images, *reference):
        digest.update(f"{image.mode}{image.size}".encode() + image.tobytes())
    digest.update(f"{weights_RN.shape}".encode() + weights_RN.astype("<i8").tobytes())
    return digest.hexdigest()


def kept_reading(folder: Path, key: str, read: Callable[[], dict[str, Estimate]]) -> dict[str, Estimate]:
    """The reading kept in `folder` under `key`, else `read()`, which is kept then."""
    kept = _load(folder / _FILE, key)
    if kept is not None:
        return kept
    found = read()
    content = io.BytesIO()
    numbers = {f"value {name}": np.float64(one.value) for name, one in found.items()}
    samples = {f"samples {name}": one.samples_R for name, one in found.items()}
    np.savez(content, allow_pickle=False, key=np.array(key), **numbers, **samples)
    folder.mkdir(parents=True, exist_ok=True)
    write_whole(folder / _FILE, content.getvalue())
    return found


def _load(file: Path, key: str) -> dict[str, Estimate] | None:
    try:
        with np.load(file, allow_pickle=False) as kept:
            if str(kept["key"]) != key:
                return None
            names = [name.removeprefix("value ") for name in kept.files if name.startswith("value ")]
            return {
                name: Estimate(value=float(kept[f"value {name}"]), samples_R=kept[f"samples {name}"]) for name in names
            }
    except (OSError, ValueError, KeyError, EOFError, zipfile.BadZipFile):
        return None

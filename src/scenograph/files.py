"""Files that are written whole or not at all, and whether they can be written: pure Python, no formats.

Whoever saves something people keep (layouts, results, documents, pictures) writes it beside its place first and then
renames it, so that a broken run or a full disk leaves the old file as it was.
"""

import os
import shutil
import tempfile
from pathlib import Path

__all__ = ["exchange", "is_writable_folder", "write_whole"]

_MODE = 0o666


def write_whole(path: str | Path, content: str | bytes) -> None:
    """Write `content` (text as UTF-8 with \\n) to `path`, whole or not at all.

    A link is followed, the permissions of a file that was there are kept, and what is no plain file (/dev/stdout) is
    written to directly. Raises OSError.
    """
    data = content.encode("utf-8") if isinstance(content, str) else content
    target = Path(path).resolve()
    if target.exists() and not target.is_file():
        target.write_bytes(data)
        return
    handle, part = tempfile.mkstemp(dir=target.parent, prefix=f".{target.name[:100]}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(data)
        os.chmod(part, target.stat().st_mode if target.exists() else _MODE & ~_umask())
        os.replace(part, target)
    finally:
        Path(part).unlink(missing_ok=True)


def exchange(fresh: Path, target: Path) -> None:
    """Put a finished folder in the place of another; killed at any point, one of the two is still whole."""
    old = target.with_name(target.name + ".old")
    shutil.rmtree(old, ignore_errors=True)
    if target.exists():
        target.rename(old)
    fresh.rename(target)
    shutil.rmtree(old, ignore_errors=True)


def _umask() -> int:
    mask = os.umask(0o077)
    os.umask(mask)
    return mask


def is_writable_folder(folder: Path) -> bool:
    """Whether one may write files into `folder`, which need not be there yet."""
    ground = next((place for place in (folder, *folder.parents) if place.exists()), folder)
    return ground.is_dir() and os.access(ground, os.W_OK)

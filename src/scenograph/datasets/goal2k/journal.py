"""A file that grows by a line for everything done, so that nothing that was paid for is done twice.

JSON Lines, a row with an "id" each; a line counts when its end is on the disk. What a killed run left of a line is
taken off when the file is opened again.
"""

from __future__ import annotations

import json
import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from threading import Lock
from typing import Any

from scenograph.errors import DatasetError

__all__ = ["Journal"]

Row = dict[str, Any]


class Journal:
    """The rows of a file by id, in its order; a later line of an id replaces the earlier. Raises DatasetError."""

    def __init__(self, path: Path) -> None:
        self.path, self._lock = path, Lock()
        self.rows: dict[str, Row] = {}
        try:
            data = path.read_bytes() if path.exists() else b""
            whole = data[: data.rfind(b"\n") + 1]
            if whole != data:
                with path.open("r+b") as file:
                    file.truncate(len(whole))
            lines = whole.decode("utf-8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise DatasetError(f"{path}: cannot be read ({error}); name another run folder") from None
        for number, line in enumerate(lines, 1):
            try:
                row = json.loads(line)
                self.rows[str(row["id"])] = row
            except (ValueError, KeyError, TypeError):
                raise DatasetError(f"{path}, line {number}: is no row of this stage; restore it or delete it") from None

    def __contains__(self, key: str) -> bool:
        return key in self.rows

    def __iter__(self) -> Iterator[Row]:
        return iter(self.rows.values())

    def __len__(self) -> int:
        return len(self.rows)

    def add(self, row: Mapping[str, Any]) -> None:
        """Write a row to the end of the file, and to the disk; from any thread."""
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode("utf-8")
        with self._lock:
            with self.path.open("ab") as file:
                file.write(line)
                file.flush()
                os.fsync(file.fileno())
            self.rows[str(row["id"])] = dict(row)

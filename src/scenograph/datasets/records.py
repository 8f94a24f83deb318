"""Rows of a data set in a file, as plain dicts: JSON, JSON Lines, or parquet as the hub stores it (needs pyarrow).

Pickles are refused: opening one runs whatever code its maker put in. What to do with one is in the message.
"""

from __future__ import annotations

from collections.abc import Collection
from pathlib import Path
from typing import Any

from scenograph.errors import DatasetError, DependencyError, LayoutError
from scenograph.layout import jsontext
from scenograph.layout.values import show

__all__ = ["FORMATS", "PICKLES", "read_records", "refuse_pickle"]

FORMATS = (".json", ".jsonl", ".parquet")
PICKLES = (".p", ".pkl", ".pickle")

Record = dict[str, Any]


def read_records(path: str | Path, columns: Collection[str] | None = None) -> list[tuple[str, Record]]:
    """Every row with where it stood ("file.json: row 3"), in the file's order.

    Args:
        columns: the only ones read from parquet, those of them that are there; None reads all, pictures too.

    Raises:
        DatasetError: the file is missing, damaged, a pickle, or holds something else than rows.
        DependencyError: parquet without pyarrow.
    """
    path = Path(path)
    if path.suffix in PICKLES:
        raise refuse_pickle(path)
    if path.suffix not in FORMATS:
        raise DatasetError(f"{path}: is no {', '.join(FORMATS)} file; give one of these")
    values = _parquet(path, columns) if path.suffix == ".parquet" else _json(path)
    rows = []
    for number, value in enumerate(values, start=1):
        if not isinstance(value, dict):
            raise DatasetError(f"{path}: row {number}: is {show(value)}; expected an object")
        rows.append((f"{path}: row {number}", value))
    if not rows:
        raise DatasetError(f"{path}: has no rows; expected at least one")
    return rows


def refuse_pickle(path: Path) -> DatasetError:
    """What is said of a pickle: why it stays closed and how its owner turns it into JSON."""
    target = path.with_suffix(".json").name
    return DatasetError(
        f"{path}: is a pickle, which can run any code when opened, so it stays closed; if you trust its source, turn "
        f"it into JSON in its folder: python -c \"import json, pickle; json.dump(pickle.load(open('{path.name}', "
        f"'rb'), encoding='latin1'), open('{target}', 'w'))\", or take a parquet copy from the hub"
    )


def _json(path: Path) -> list[Any]:
    try:
        values = [value for _, value in jsontext.parse_lines(jsontext.decode(path.read_bytes()))]
    except OSError as error:
        raise DatasetError(f"{path}: cannot be read ({error.strerror}); expected a file of rows") from None
    except LayoutError as error:
        raise DatasetError(f"{path}: {error}") from None
    return values[0] if len(values) == 1 and isinstance(values[0], list) else values


def _parquet(path: Path, columns: Collection[str] | None) -> list[Any]:
    try:
        from pyarrow import ArrowException, parquet
    except ImportError:
        raise DependencyError(
            f"{path}: parquet needs pyarrow, which is not installed; pip install 'scenograph[parquet]', or turn it "
            "into JSON Lines"
        ) from None
    try:
        names = parquet.read_schema(path).names
        wanted = None if columns is None else [name for name in names if name in columns]
        rows: list[Any] = parquet.read_table(path, columns=wanted).to_pylist()
    except (OSError, ArrowException) as error:
        reason = " ".join(str(error).split())[:120]
        raise DatasetError(f"{path}: is no readable parquet file ({reason}); fetch it again") from None
    return rows

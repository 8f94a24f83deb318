"""Results files and the tables rendered from them: no number in a document is typed by hand.

A file is `{"what", "command", "commit", "seed", "machine", "rows": [{"name", "n", "<metric>", "<metric>_ci": [low,
high]}]}`. Files are written whole or not at all. A table goes into a document between `<!-- results:NAME -->` and
`<!-- /results:NAME -->`.
"""

from __future__ import annotations

import json
import math
import os
import platform
import subprocess
from collections.abc import Iterable, Mapping, Sequence
from importlib.metadata import PackageNotFoundError, version
from pathlib import Path
from typing import Any

from scenograph.errors import ResultError
from scenograph.files import is_writable_folder, write_whole

__all__ = [
    "check_markers",
    "check_out",
    "commit",
    "machine",
    "read_results",
    "render_rows",
    "render_table",
    "update_readme",
    "write_results",
]

Row = Mapping[str, Any]
_KEYS = ("what", "command", "commit", "seed", "machine", "rows")
_PACKAGE = Path(__file__).resolve().parent.parent


def machine() -> str:
    """The kind of machine: processor, cores, torch version."""
    model = platform.processor() or platform.machine()
    cpuinfo = Path("/proc/cpuinfo")
    if cpuinfo.exists():
        lines = cpuinfo.read_text(errors="replace").splitlines()
        model = next((line.split(":", 1)[1].strip() for line in lines if line.startswith("model name")), model)
    try:
        torch = f"torch {version('torch')}"
    except PackageNotFoundError:
        torch = "no torch"
    return f"{model}, {os.cpu_count()} cores, {torch}"


def commit(folder: str | Path = _PACKAGE) -> str:
    """The checked-out commit of the package (of `folder`), with "+" when tracked files in it differ.

    "unknown" when git does not track them, as in an installed package. Whatever folder one works in plays no part.
    """

    def git(*words: str) -> str:
        return subprocess.run(
            ["git", "-C", str(folder), *words], capture_output=True, text=True, check=True
        ).stdout.strip()

    try:
        if not git("ls-files", "."):
            return "unknown"
        changed = git("status", "--porcelain", "--untracked-files=no", ".")
        return git("rev-parse", "--short=12", "HEAD") + ("+" if changed else "")
    except (OSError, subprocess.CalledProcessError):
        return "unknown"


def write_results(
    path: str | Path, *, what: str, command: str, seed: int, rows: Sequence[Row], revision: str | None = None
) -> dict[str, Any]:
    """Write a results file atomically and return its content. NaN becomes null. Raises ResultError for malformed
    rows.

    Args:
        revision: `commit()` as it was when the measurement began; None takes it now.
    """
    content = {
        "what": what,
        "command": command,
        "commit": revision or commit(),
        "seed": seed,
        "machine": machine(),
        "rows": [_plain(row) for row in rows],
    }
    _check(content, path)
    target = Path(path)
    target.parent.mkdir(parents=True, exist_ok=True)
    write_whole(target, json.dumps(content, indent=1, ensure_ascii=False) + "\n")
    return content


def read_results(path: str | Path) -> dict[str, Any]:
    """A results file's content. Raises ResultError when it cannot be read or does not have the format."""
    try:
        content = json.loads(Path(path).read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise ResultError(f"cannot read results from {path}: {error}") from error
    _check(content, path)
    return dict(content)


def check_out(path: str | Path) -> None:
    """Raise ResultError when no results file can be written at `path`: better before hours of work than after."""
    if Path(path).is_dir() or not is_writable_folder(Path(path).parent):
        raise ResultError(f"cannot write results to {str(path)!r}; expected a file in a folder you may write to")


def render_table(path: str | Path, columns: Mapping[str, str], *, digits: int | Mapping[str, int] = 1) -> str:
    """`render_rows` of a results file."""
    return render_rows(read_results(path)["rows"], columns, digits=digits)


def render_rows(rows: Sequence[Row], columns: Mapping[str, str], *, digits: int | Mapping[str, int] = 1) -> str:
    """A Markdown table of the rows of a results file: one row per name, `columns` maps metric to heading.

    Intervals follow their value in brackets; a metric that a row lacks is "–". `digits` after the point, for all or
    per metric. Raises ResultError for a metric that no row has.
    """
    for metric in columns:
        if not any(metric in row for row in rows):
            raise ResultError(f"no row has the metric {metric!r}; there are: {', '.join(_metrics(rows))}")
    lines = ["| " + " | ".join(["", *columns.values()]) + " |", "|---" * (len(columns) + 1) + "|"]
    for row in rows:
        cells = [_cell(row, m, digits if isinstance(digits, int) else digits.get(m, 1)) for m in columns]
        lines.append("| " + " | ".join([str(row["name"]), *cells]) + " |")
    return "\n".join(lines)


def update_readme(readme: str | Path, marker: str, table: str) -> bool:
    """Put the table between the markers of a document; whether anything changed. The document changes whole or not at
    all. Raises ResultError when the markers are missing.
    """
    text = Path(readme).read_text(encoding="utf-8")
    start, stop = _between(text, marker, readme)
    updated = text[:start] + f"\n{table}\n" + text[stop:]
    if updated != text:
        write_whole(readme, updated)
    return updated != text


def check_markers(readme: str | Path, markers: Iterable[str]) -> None:
    """Raise ResultError when the document lacks a marker that `update_readme` will need."""
    text = Path(readme).read_text(encoding="utf-8")
    for marker in markers:
        _between(text, marker, readme)


def _between(text: str, marker: str, readme: str | Path) -> tuple[int, int]:
    """Where the text between a marker and its end starts and stops."""
    begin, end = f"<!-- results:{marker} -->", f"<!-- /results:{marker} -->"
    if text.count(begin) != 1 or text.count(end) != 1 or text.index(end) < text.index(begin):
        raise ResultError(
            f"{readme} needs exactly one {begin} followed by one {end}; add them where the table should stand"
        )
    return text.index(begin) + len(begin), text.index(end)


def _check(content: Any, path: str | Path) -> None:
    if not isinstance(content, dict) or any(key not in content for key in _KEYS):
        raise ResultError(f"{path} is not a results file: expected an object with {', '.join(_KEYS)}")
    rows = content["rows"]
    if not isinstance(rows, list) or not rows:
        raise ResultError(f"{path}: rows must be a non-empty list")
    names = [row.get("name") for row in rows if isinstance(row, dict) and "n" in row]
    if len(names) != len(rows) or None in names or len(set(names)) != len(names):
        raise ResultError(f"{path}: every row needs its own name and an n, got names {names}")
    for row in rows:
        for key, value in row.items():
            if key.endswith("_ci") and (
                key.removesuffix("_ci") not in row or not isinstance(value, list) or len(value) != 2
            ):
                raise ResultError(
                    f"{path}: row {row['name']!r}: {key} must be [low, high] beside its metric, got {value!r}"
                )


def _plain(value: Any) -> Any:
    """JSON values with floats to 6 significant digits; NaN and infinity are null, which JSON can say."""
    if isinstance(value, Mapping):
        return {str(key): _plain(one) for key, one in value.items()}
    if isinstance(value, (list, tuple)):
        return [_plain(one) for one in value]
    if isinstance(value, (str, bool, int)) or value is None:
        return value
    number = float(value)
    return float(f"{number:.6g}") if math.isfinite(number) else None


def _cell(row: Row, metric: str, digits: int) -> str:
    value, interval = row.get(metric), row.get(f"{metric}_ci")
    if value is None:
        return "–"
    if not isinstance(value, (int, float)):
        return str(value)
    text = f"{value:.{digits}f}"
    if interval and None not in interval:
        text += f" [{interval[0]:.{digits}f}, {interval[1]:.{digits}f}]"
    return text


def _metrics(rows: Sequence[Row]) -> list[str]:
    return list(
        dict.fromkeys(key for row in rows for key in row if key not in ("name", "n") and not key.endswith("_ci"))
    )

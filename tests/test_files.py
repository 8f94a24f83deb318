"""Writing whole or not at all."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from scenograph.files import is_writable_folder, write_whole


def test_text_and_bytes_are_written_as_they_are(tmp_path: Path) -> None:
    write_whole(tmp_path / "a.txt", "é\n")
    write_whole(tmp_path / "b.bin", b"\r\n")
    assert (tmp_path / "a.txt").read_bytes() == "é\n".encode()
    assert (tmp_path / "b.bin").read_bytes() == b"\r\n"


def test_a_broken_write_leaves_the_old_file_and_nothing_else(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    path = tmp_path / "a.txt"
    write_whole(path, "old")

    def fail(*_: object) -> None:
        raise OSError("no space left")

    monkeypatch.setattr(os, "replace", fail)
    with pytest.raises(OSError, match="no space"):
        write_whole(path, "new")
    assert path.read_text() == "old" and list(tmp_path.iterdir()) == [path]


def test_permissions_and_links_stay(tmp_path: Path) -> None:
    path, link = tmp_path / "a.txt", tmp_path / "link.txt"
    write_whole(path, "old")
    mask = os.umask(0)
    os.umask(mask)
    assert path.stat().st_mode & 0o777 == 0o666 & ~mask
    path.chmod(0o640)
    link.symlink_to(path)
    write_whole(link, "new")
    assert link.is_symlink() and path.read_text() == "new" and path.stat().st_mode & 0o777 == 0o640


def test_what_is_no_plain_file_is_written_to_not_replaced() -> None:
    write_whole("/dev/null", "text")
    assert not Path("/dev/null").is_file() and Path("/dev/null").exists()


def test_writable_folders(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert is_writable_folder(tmp_path) and is_writable_folder(tmp_path / "new" / "folder")
    assert not is_writable_folder(tmp_path / "file") and not is_writable_folder(tmp_path / "file" / "folder")

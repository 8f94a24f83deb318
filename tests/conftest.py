"""Settings for every test: no network, the same hypothesis examples in every run, and the command line in-process."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

import hypothesis
import pytest

if TYPE_CHECKING:
    from tests.datasets.goal2k_fakes import Answer, Server

os.environ.setdefault("HF_HUB_OFFLINE", "1")
os.environ.setdefault("HF_HUB_DISABLE_TELEMETRY", "1")

hypothesis.settings.register_profile("scenograph", deadline=None, derandomize=True, database=None)
hypothesis.settings.load_profile("scenograph")


@pytest.fixture
def run(capsys: pytest.CaptureFixture[str]) -> Callable[..., tuple[int, str, str]]:
    """Words of a command line → (status, stdout, stderr)."""

    def call(*words: object) -> tuple[int, str, str]:
        from scenograph.cli import main

        capsys.readouterr()
        status = main([str(word) for word in words])
        return status, *capsys.readouterr()

    return call


@pytest.fixture
def serve(monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[[Answer], Server]]:
    """Starts HTTP servers that answer as they are told, with no key in the environment."""
    from tests.datasets.goal2k_fakes import Server

    for name in ("OPENAI_API_KEY", "SCENOGRAPH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    servers: list[Server] = []

    def start(answer: Answer) -> Server:
        servers.append(Server(answer))
        return servers[-1]

    yield start
    for server in servers:
        server.stop()

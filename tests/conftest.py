"""Settings for every test: no network, the same hypothesis examples in every run, and the command line in-process."""

import os
from collections.abc import Callable

import hypothesis
import pytest

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

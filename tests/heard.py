"""What a user would read on stderr: pytest's own capture misses handlers that were made while tests were collected."""

from __future__ import annotations

import io
import logging
import warnings
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, redirect_stderr
from unittest.mock import patch


@contextmanager
def heard() -> Iterator[io.StringIO]:
    """Collect stderr, the log handlers of diffusers and transformers, and warnings, which `python` prints there."""
    text = io.StringIO()
    with ExitStack() as stack:
        stack.enter_context(redirect_stderr(text))
        for name in ("diffusers", "transformers"):
            for handler in logging.getLogger(name).handlers:
                if isinstance(handler, logging.StreamHandler):
                    stack.enter_context(patch.object(handler, "stream", text))
        said = stack.enter_context(warnings.catch_warnings(record=True))
        yield text
        text.writelines(f"{warning.message}\n" for warning in said if warning.category is UserWarning)

"""Judges from checkpoints: embedded names, folders and hub ids to transformers parts, with one clear line when that
fails.

Weights are read from safetensors only and held in float32, whatever they are stored in: transformers would keep
float16, which is slow on a CPU and noisy in a score.
"""

from __future__ import annotations

import logging
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch

from scenograph.errors import CheckpointError
from scenograph.models.embedded import embedded_path, is_embedded
from scenograph.models.loading import pick_device

__all__ = ["Checkpoint", "checkpoint"]

_HUB_SECONDS = 5.0


@dataclass(frozen=True, kw_only=True)
class Checkpoint:
    """Where a judge's parts come from; its methods raise CheckpointError."""

    kind: str
    name: str
    source: str
    offline: bool

    def config(self) -> Any:
        """The transformers config."""
        from transformers import AutoConfig

        return self.part(AutoConfig)

    def part(self, loader: Any) -> Any:
        """A tokenizer, an image processor or a processor, by its (auto) class."""
        with _explained(self):
            return loader.from_pretrained(self.source, local_files_only=self.offline)

    def model(
        self, loader: Any, device: torch.device | str | None = None, dtype: torch.dtype | str = torch.float32
    ) -> Any:
        """A network by its (auto) class, in eval mode, frozen, on the device (default: the best there is).

        `dtype` "auto" keeps what the weights are stored in.
        """
        with _explained(self):
            options = {"dtype": dtype, "use_safetensors": True, "local_files_only": self.offline}
            model = loader.from_pretrained(self.source, **options)
        return model.eval().requires_grad_(False).to(pick_device(device))


def checkpoint(name: str | Path, kind: str) -> Checkpoint:
    """The checkpoint behind a name; `kind` says in messages what it should be ("detector").

    Raises CheckpointError for an embedded model not yet trained, a folder without config.json, and a name that is
    neither.
    """
    text = str(name)
    path = embedded_path(text) if is_embedded(text) else Path(text).expanduser()
    if path.is_dir():
        if not (path / "config.json").is_file():
            raise CheckpointError(
                f"the {kind} folder {text!r} has no config.json; expected one written by save_pretrained"
            )
        return Checkpoint(kind=kind, name=text, source=str(path), offline=True)
    if isinstance(name, Path) or text.startswith((".", "/", "~")) or text.count("/") != 1:
        raise CheckpointError(
            f"no {kind} {text!r}; expected an embedded name, an existing folder or a hub id owner/name"
        )
    return Checkpoint(kind=kind, name=text, source=text, offline=not _hub_answers())


def _hub_answers() -> bool:
    """One short look, so that a missing network costs seconds and not the client's retries."""
    from huggingface_hub import constants, get_session

    if constants.HF_HUB_OFFLINE:
        return False
    try:
        get_session().head(constants.ENDPOINT, timeout=_HUB_SECONDS)
    except Exception:  # whichever HTTP library: any failure to get an answer means offline
        return False
    return True


@contextmanager
def _explained(checkpoint: Checkpoint) -> Iterator[None]:
    """Whatever the libraries raise on a bad checkpoint becomes one line; their bars and remarks are kept quiet."""
    from transformers.utils import logging as transformers_logging

    bar, logger = transformers_logging.is_progress_bar_enabled(), logging.getLogger("transformers")
    level = logger.level
    transformers_logging.disable_progress_bar()
    logger.setLevel(logging.ERROR)
    try:
        yield
    except Exception as error:  # the libraries' own errors have no common base
        reason = " ".join(str(error).split())[:200] or type(error).__name__
        advice = "go online, or name a folder or an embedded model" if checkpoint.offline else "check the name"
        raise CheckpointError(f"cannot load the {checkpoint.kind} {checkpoint.name!r}: {reason}; {advice}") from error
    finally:
        logger.setLevel(level)
        if bar:
            transformers_logging.enable_progress_bar()

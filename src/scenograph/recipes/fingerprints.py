"""What tells one run from another: digests of weights and of code, for pictures and trainings that go on."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import torch
from torch import nn

import scenograph
from scenograph.errors import TrainingError
from scenograph.files import write_whole

__all__ = ["check_base", "code_digest", "networks", "weights_digest"]

_PACKAGE = Path(scenograph.__file__).parent


def networks(pipeline: Any) -> list[nn.Module]:
    """What of a Stable Diffusion pipeline determines its pictures."""
    return [pipeline.unet, pipeline.vae, pipeline.text_encoder]


def weights_digest(modules: Iterable[nn.Module]) -> str:
    """Differs between checkpoints of one name, so that retraining does not mix pictures.

    Of the bytes, not of sums, whose last digits change with the number of threads.
    """
    digest = hashlib.sha256()
    for number, module in enumerate(modules):
        for name, tensor in module.state_dict().items():
            digest.update(f"{number}.{name}:{tensor.dtype}{tuple(tensor.shape)};".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy().tobytes())
    return digest.hexdigest()


def code_digest(*places: str, root: Path = _PACKAGE) -> str:
    """Of the package's modules below these places ("painting", "painting/unified.py"), so that a run that goes on does
    not mix pictures of two versions of the code.
    """
    digest = hashlib.sha256()
    for place in places:
        found = root / place
        for path in sorted(found.rglob("*.py")) if found.is_dir() else [found]:
            digest.update(path.relative_to(root).as_posix().encode() + b"\0" + path.read_bytes() + b"\0")
    return digest.hexdigest()


def check_base(folder: Path, modules: Iterable[nn.Module], losses: str = "") -> None:
    """Notes which checkpoint the training in `folder` begins from, and by which losses it learns; raises TrainingError
    when either was another.

    A delta would otherwise hold what the two bases differ in, a policy be held to another reference than it began as,
    and a finished training pass for one by other losses.
    """
    digest = weights_digest(modules)
    note = folder / "base.txt"
    known, _, learned = note.read_text(encoding="utf-8").partition("\n") if note.exists() else (digest, "", losses)
    if known.strip() != digest:
        raise TrainingError(f"{folder} began from another checkpoint than there is now; delete it to train it anew")
    if learned.strip() != losses:
        raise TrainingError(f"{folder} learns otherwise ({learned.strip()}) than asked ({losses}); name another run")
    if not any((folder / part).exists() for part in ("checkpoint.pt", "model")):
        folder.mkdir(parents=True, exist_ok=True)
        write_whole(note, f"{digest}\n{losses}\n")

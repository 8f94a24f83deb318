"""What tells one run's pictures from another's: digests of weights and of code, for pictures that are kept."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable
from pathlib import Path

import torch
from torch import nn

import scenograph

__all__ = ["code_digest", "weights_digest"]

_PACKAGE = Path(scenograph.__file__).parent


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

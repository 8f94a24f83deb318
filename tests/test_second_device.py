"""Everything that runs on an accelerator runs on a made-up one: no tensor is left behind on the CPU."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pytest

ROOT = Path(__file__).parent.parent
CASES = ("painting", "unified", "judging", "training")


def run(*words: str) -> subprocess.CompletedProcess[str]:
    env = {**os.environ, "OMP_NUM_THREADS": "1"}
    return subprocess.run([sys.executable, *words], cwd=ROOT, env=env, capture_output=True, text=True, timeout=600)


@pytest.mark.parametrize("case", CASES)
def test_nothing_is_left_on_the_cpu(case: str) -> None:
    done = run("-m", "tests.second_device", case)
    assert done.returncode == 0, done.stderr[-3000:]


def test_the_device_tells() -> None:
    """What CUDA refuses is refused: mixed operands, numpy. What it allows is allowed: numbers, indices, copies."""
    lines = (
        "import torch",
        "from tests.second_device import GPU, WrongDeviceError",
        "def refused(f):",
        "    try: f()",
        "    except WrongDeviceError: return True",
        "a, b = torch.ones(3, device=GPU), torch.ones(3)",
        "assert a.device == GPU and (a * 2).device == GPU and a.cpu().device.type == 'cpu'",
        "assert refused(lambda: a + b) and refused(lambda: torch.cat([a, b])) and refused(lambda: a.numpy())",
        "assert refused(lambda: torch.where(a > 0, b, b)) and refused(lambda: torch.nn.functional.linear(b, a[None]))",
        "assert (a + torch.tensor(1.0)).device == GPU and a[torch.tensor([0, 1])].device == GPU",
        "assert a.sum().item() == 3 and b.copy_(a) is b and a.to('cpu').numpy().sum() == 3",
        "assert torch.arange(3, device=GPU).tolist() == [0, 1, 2]",
        "net = torch.nn.Linear(3, 1).to(GPU)",
        "net(a).backward()",
        "assert net.weight.grad.device == GPU",
    )
    done = run("-c", "\n".join(lines))
    assert done.returncode == 0, done.stderr[-3000:]

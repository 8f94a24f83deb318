"""Two processes of one training hold the same model, and what they learn from is what one would with double batch."""

from __future__ import annotations

import os
import subprocess
import sys
from dataclasses import replace
from pathlib import Path

import numpy as np
import torch
from diffusers import AutoencoderKL

from tests.training.test_stages import PLAN, stage, unified

_SCRIPT = """
import os
import sys
from dataclasses import replace
from pathlib import Path

import torch
from transformers.models.janus.configuration_janus import JanusVQVAEConfig
from transformers.models.janus.modeling_janus import JanusVQVAE

from scenograph.datasets.drawn import draw_scenes
from scenograph.recipes import world
from scenograph.training.vq import train_vq
from tests.training.test_stages import PLAN, stage, unified

torch.set_num_threads(1)
folder, rank = Path(sys.argv[1]), os.environ["RANK"]

sizes = {"num_embeddings": 16, "latent_channels": 32, "base_channels": 32, "channel_multiplier": [1] * 5}
torch.manual_seed(0)
vq = JanusVQVAE(JanusVQVAEConfig(**sizes, num_res_blocks=1))
drawn = draw_scenes(folder / f"scenes-{rank}", 12, seed=1, workers=1)
recipe = world.vq()
recipe = replace(recipe, plan=replace(recipe.plan, steps=3, batch=2), shallow=0.4, decoder=0.4, pictures=2, patience=0)
train_vq(recipe, vq, drawn, folder / "vq")
torch.save(vq.state_dict(), folder / f"vq-{rank}.pt")
for name in ("pmtp", "djo", "cycle"):
    made = unified()
    stage(name, made, folder / name, replace(PLAN, steps=3, batch=2))
    torch.save(made.model.state_dict(), folder / f"{name}-{rank}.pt")
"""


_EMBEDDED = """
import sys

import torch
from accelerate import PartialState

from scenograph.recipes import embedded

torch.set_num_threads(1)
embedded._SCENES = {"train": (20, 0)}
path = embedded.train_embedded("vae", sys.argv[1], steps=4)
sys.stdout.write(f"{path} {PartialState().num_processes}\\n")  # in one piece, or two processes mix their lines
"""


def in_two_processes(script: str, folder: Path) -> str:
    (folder / "train.py").write_text(script)
    root = Path(__file__).parent.parent.parent
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    # On CPUs `accelerate launch` needs MPI for more than one process; torchrun sets what accelerate reads just so.
    launch = [sys.executable, "-m", "torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    command = [*launch, str(folder / "train.py"), str(folder)]
    done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=180)
    assert done.returncode == 0, done.stderr[-2000:]
    return done.stdout


def test_an_embedded_model_is_trained_and_saved_once(tmp_path: Path) -> None:
    said = in_two_processes(_EMBEDDED, tmp_path)
    assert said.splitlines() == [f"{tmp_path / 'vae' / 'model'} 2"] * 2
    assert sorted(path.name for path in tmp_path.iterdir()) == ["scenes-train", "train.py", "vae"]
    assert not list(tmp_path.rglob("*partial*"))
    assert isinstance(AutoencoderKL.from_pretrained(tmp_path / "vae" / "model"), AutoencoderKL)
    assert len(np.load(tmp_path / "scenes-train" / "images.npy")) == 20


def test_stages_of_the_unified_model_run_in_two_processes(tmp_path: Path) -> None:
    in_two_processes(_SCRIPT, tmp_path)

    def trained(name: str) -> dict[str, torch.Tensor]:
        state: dict[str, torch.Tensor] = torch.load(tmp_path / f"{name}.pt", weights_only=True)
        return state

    for name in ("vq", "pmtp", "djo", "cycle"):
        one, other = trained(f"{name}-0"), trained(f"{name}-1")
        assert all(torch.equal(tensor, other[key]) for key, tensor in one.items()), name
    # Stage 3 is a mean over pictures of equal length; the other stages' is over tokens, which differ in number.
    single, double = unified(), trained("cycle-0")
    stage("cycle", single, tmp_path / "one", replace(PLAN, steps=3, batch=4))
    for key, tensor in single.model.state_dict().items():
        assert torch.allclose(tensor, double[key], atol=2e-4), key

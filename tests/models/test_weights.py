"""The weights that come with the package: small, in half precision, with cards, and loadable by stock classes."""

from pathlib import Path

import pytest
from diffusers import StableDiffusionPipeline
from safetensors.torch import load_file

from scenograph.models.embedded import EMBEDDED, WEIGHTS, embedded_path

SHIPPED = sorted(path for name in EMBEDDED.values() if (path := WEIGHTS / name).exists())
LIMIT = 48 * 2**20


@pytest.mark.parametrize("folder", SHIPPED, ids=lambda path: path.relative_to(WEIGHTS).as_posix())
def test_half_precision_with_a_card(folder: Path) -> None:
    assert "| score | value |" in (folder / "README.md").read_text(encoding="utf-8")
    files = list(folder.rglob("*.safetensors"))
    assert files
    for file in files:
        assert {str(tensor.dtype) for tensor in load_file(file).values()} <= {"torch.float16", "torch.int64"}


@pytest.mark.parametrize("name", sorted(set(EMBEDDED) - {"tiny-goal"}))
def test_every_model_that_commands_name_is_there(name: str) -> None:
    """Other tests skip what is missing."""
    assert list(embedded_path(name).rglob("*.safetensors"))


def test_all_together_are_small() -> None:
    assert sum(path.stat().st_size for path in WEIGHTS.rglob("*") if path.is_file()) <= LIMIT


@pytest.mark.skipif(not (WEIGHTS / "tiny-sd").exists(), reason="tiny-sd is not trained yet")
def test_stock_diffusers_runs_tiny_sd() -> None:
    pipe = StableDiffusionPipeline.from_pretrained(WEIGHTS / "tiny-sd")
    pipe.set_progress_bar_config(disable=True)
    image = pipe("a red dog", num_inference_steps=2, output_type="np").images[0]
    assert image.shape == (128, 128, 3)

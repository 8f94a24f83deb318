"""GLIGEN's original release: every tensor finds its place, at tiny size with values and at real size by shape."""

from __future__ import annotations

import sys
import types
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionPipeline, UNet2DConditionModel

from scenograph.errors import CheckpointError
from scenograph.layout import Box, Instance, Layout
from scenograph.models.gated import add_gates
from scenograph.models.gligen_release import convert_gligen, unet_state
from scenograph.painting import Painter
from tests.models.original_format import RESNET, write_original
from tests.tiny import tiny_sd, tiny_sd_parts

SD14: dict[str, Any] = {
    "sample_size": 64,
    "cross_attention_dim": 768,
    "block_out_channels": (320, 640, 1280, 1280),
    "down_block_types": ("CrossAttnDownBlock2D",) * 3 + ("DownBlock2D",),
    "up_block_types": ("UpBlock2D",) + ("CrossAttnUpBlock2D",) * 3,
    "attention_type": "gated",
}


def original_names(unet: UNet2DConditionModel) -> dict[str, str]:
    """diffusers' name → the release's, for any depth: blocks are counted through, gates stay inside theirs."""
    layers = unet.config.layers_per_block + 1
    table = {
        "conv_in.": "input_blocks.0.0.",
        "time_embedding.linear_1.": "time_embed.0.",
        "time_embedding.linear_2.": "time_embed.2.",
        "conv_norm_out.": "out.0.",
        "conv_out.": "out.2.",
        "mid_block.resnets.0.": "middle_block.0.",
        "mid_block.attentions.0.": "middle_block.1.",
        "mid_block.resnets.1.": "middle_block.2.",
    }
    for block in range(len(unet.config.block_out_channels)):
        for layer in range(layers):
            down, up = 1 + block * layers + layer, block * layers + layer
            table[f"down_blocks.{block}.resnets.{layer}."] = f"input_blocks.{down}.0."
            table[f"down_blocks.{block}.attentions.{layer}."] = f"input_blocks.{down}.1."
            table[f"up_blocks.{block}.resnets.{layer}."] = f"output_blocks.{up}.0."
            table[f"up_blocks.{block}.attentions.{layer}."] = f"output_blocks.{up}.1."
        table[f"down_blocks.{block}.downsamplers.0.conv."] = f"input_blocks.{(block + 1) * layers}.0.op."
        place = 1 if unet.config.up_block_types[block] == "UpBlock2D" else 2
        table[f"up_blocks.{block}.upsamplers.0."] = f"output_blocks.{block * layers + layers - 1}.{place}."
    return {name: _renamed(name, table) for name in unet.state_dict()}


def _renamed(name: str, table: Mapping[str, str]) -> str:
    if name.startswith("position_net."):
        return name
    prefix = max((prefix for prefix in table if name.startswith(prefix)), key=len)
    rest = name.removeprefix(prefix)
    if ".resnets." in prefix:
        part = next(part for part in RESNET if rest.startswith(part))
        rest = RESNET[part] + rest.removeprefix(part)
    return table[prefix] + rest


def test_names_and_shapes_at_real_size() -> None:
    with torch.device("meta"):
        unet = UNet2DConditionModel(**SD14)
    names = original_names(unet)
    state = unet.state_dict()
    assert len(set(names.values())) == len(state)
    assert names["down_blocks.0.attentions.0.transformer_blocks.0.fuser.alpha_attn"] == (
        "input_blocks.1.1.transformer_blocks.0.fuser.alpha_attn"
    )
    converted = unet_state({names[name]: tensor for name, tensor in state.items()}, unet.config)
    assert {name: tensor.shape for name, tensor in converted.items()} == {n: t.shape for n, t in state.items()}
    assert all(converted[name] is state[name] for name in state)


@pytest.fixture(scope="module")
def release(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Path, dict[str, torch.Tensor]]:
    """(base folder, release file, the gated UNet's tensors): with settings of a class that is not to be loaded."""
    from safetensors.torch import load_file

    folder = tmp_path_factory.mktemp("release")
    base = tiny_sd(folder / "base")
    gated = add_gates(tiny_sd_parts()["unet"], seed=4)
    for parameter in gated.parameters():
        torch.nn.init.normal_(parameter)
    names, state = original_names(gated), gated.state_dict()
    flat = load_file(write_original(base, folder / "flat.safetensors"))
    parts = {
        key: {name.removeprefix(prefix): value for name, value in flat.items() if name.startswith(prefix)}
        for key, prefix in (("autoencoder", "first_stage_model."), ("text_encoder", "cond_stage_model."))
    }
    parts["text_encoder"]["transformer.text_model.embeddings.position_ids"] = torch.arange(77)[None]
    settings = types.ModuleType("omegaconf.dictconfig")
    settings.DictConfig = type("DictConfig", (), {"__module__": "omegaconf.dictconfig"})  # type: ignore[attr-defined]
    fakes = {"omegaconf": types.ModuleType("omegaconf"), "omegaconf.dictconfig": settings}
    config = settings.DictConfig()
    config.value = "anything"
    file = folder / "diffusion_pytorch_model.bin"
    model = {names[name]: value for name, value in state.items()}
    with pytest.MonkeyPatch.context() as patch:
        for name, module in fakes.items():
            patch.setitem(sys.modules, name, module)
        torch.save({"model": model, **parts, "diffusion": {}, "config_dict": {"_content": config}}, file)
    return base, file, state


def test_the_same_tensors_and_it_paints(release: tuple[Path, Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    base, file, state = release
    out = convert_gligen(file, tmp_path / "gligen", base=base)
    painter = Painter.from_pretrained(out, device="cpu")
    unet = painter.pipeline.unet
    assert unet.config.attention_type == "gated"
    assert state.keys() == unet.state_dict().keys()
    assert all(torch.equal(state[name], tensor) for name, tensor in unet.state_dict().items())
    stock: Any = StableDiffusionPipeline.from_pretrained(base)
    for part in ("vae", "text_encoder"):
        theirs, ours = getattr(stock, part).state_dict(), getattr(painter.pipeline, part).state_dict()
        assert all(torch.equal(theirs[name], tensor) for name, tensor in ours.items())
    layout = Layout(caption="a cat", instances=(Instance(caption="a cat", box=Box(0.1, 0.1, 0.5, 0.5)),))
    assert painter.paint(layout, steps=1, progress=False)[0].image.size == (128, 128)


def test_bad_releases_are_one_line(release: tuple[Path, Path, dict[str, torch.Tensor]], tmp_path: Path) -> None:
    base, file, _ = release
    with pytest.raises(CheckpointError, match="it exists"):
        convert_gligen(file, tmp_path, base=base)
    torch.save({"state_dict": {"a": torch.ones(1)}}, tmp_path / "other.ckpt")
    with pytest.raises(CheckpointError, match="no GLIGEN release"):
        convert_gligen(tmp_path / "other.ckpt", tmp_path / "out", base=base)
    loaded = torch.load(tmp_path / "other.ckpt", weights_only=True)
    assert loaded
    broken = {"model": {"position_net.x": torch.ones(1), "input_blocks.0.0.weight": torch.ones(8, 4, 3, 3)}}
    torch.save({**broken, "autoencoder": {}, "text_encoder": {}}, tmp_path / "broken.bin")
    with pytest.raises(CheckpointError, match="another base"):
        convert_gligen(tmp_path / "broken.bin", tmp_path / "out", base=base)
    assert not (tmp_path / "out").exists()
    inpainting = {"model": {"position_net.x": torch.ones(1), "input_blocks.0.0.weight": torch.ones(8, 9, 3, 3)}}
    torch.save({**inpainting, "autoencoder": {}, "text_encoder": {}}, tmp_path / "inpaint.bin")
    with pytest.raises(CheckpointError, match="inpainting"):
        convert_gligen(tmp_path / "inpaint.bin", tmp_path / "out", base=base)

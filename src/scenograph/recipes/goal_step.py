"""One GOAL training step at real size: `scenograph bench goal-step`, `results/goal_step.json`.

Stable Diffusion 1.4 with gated layers, CLIP ViT-L/14 as text encoder and as judge of the estimate, the SD autoencoder,
512 x 512 pixels, float32, gradient checkpointing, all weights random: memory and time are those of trained ones.

Rows: parameters, and those that learn; seconds of forward with all four losses, of backward, of the optimiser; the
process's peak memory.
"""

from __future__ import annotations

import resource
import time
from pathlib import Path
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL, DDPMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from transformers import CLIPConfig, CLIPModel, CLIPTextConfig, CLIPTextModel, CLIPTokenizer

from scenograph.judging.clip import TransformersClip
from scenograph.judging.results import commit, write_results
from scenograph.layout import Box, Instance, Layout
from scenograph.painting.attention import observe
from scenograph.recipes.bench_speed import CONFIGS
from scenograph.training.alignment import decoder_layers
from scenograph.training.goal import GoalRecipe, goal_loss, is_trained
from scenograph.training.grounded import Grounded, draw_batch
from scenograph.training.loop import Plan

__all__ = ["measure", "run"]

SEED = 0
_LAYOUT = Layout(
    caption="a red dog and a blue car",
    instances=(
        Instance(caption="a red dog", phrase="a red dog", box=Box(0.1, 0.3, 0.45, 0.9)),
        Instance(caption="a blue car", phrase="a blue car", box=Box(0.5, 0.4, 0.95, 0.9)),
    ),
)


def run(*, out: Path) -> dict[str, Any]:
    """Measure a step and write the results file."""
    revision = commit()
    row = {"name": "SD 1.4, gated, 512 px, batch 1, float32", "n": 1, **measure()}
    what = "one GOAL training step at real size, random weights"
    return write_results(out, what=what, command="scenograph bench goal-step", seed=SEED, rows=[row], revision=revision)


def measure() -> dict[str, float]:
    """One step's seconds and memory. Raises RuntimeError when a loss or a gradient is not finite."""
    torch.manual_seed(SEED)
    pipeline, clip = _parts()
    unet = pipeline.unet
    unet.train().enable_gradient_checkpointing()
    pipeline.vae.train().enable_gradient_checkpointing()
    for name, parameter in unet.named_parameters():
        parameter.requires_grad_(is_trained(name))
    learning = [p for p in unet.parameters() if p.requires_grad]
    optimizer = torch.optim.AdamW(learning, lr=5e-5)
    recipe = GoalRecipe(name="step", plan=Plan(steps=1, batch=1, lr=5e-5), drop_caption=0.0, drop_grounding=0.0)
    data = Grounded(latents_NCHW=np.zeros((1, 4, 64, 64), np.float16), layout=lambda index, rng: _LAYOUT)
    rngs = [np.random.default_rng(SEED)]
    batch = draw_batch(data, rngs, pipeline.tokenizer, timesteps=1000, drop_caption=0.0, drop_grounding=0.0)
    schedule = DDPMScheduler(beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear")
    times = [time.perf_counter()]
    with observe(unet, decoder_layers(unet)) as observed:
        loss, parts = goal_loss(recipe, batch, pipeline, schedule, unet, clip, observed)
        times.append(time.perf_counter())
        loss.backward()  # type: ignore[no-untyped-call]
    times.append(time.perf_counter())
    if not all(torch.isfinite(p.grad).all() for p in learning if p.grad is not None):
        raise RuntimeError("a gradient is not finite")
    optimizer.step()
    times.append(time.perf_counter())
    forward, backward, update = np.diff(times).tolist()
    return {
        "parameters": sum(p.numel() for p in unet.parameters()),
        "learning": sum(p.numel() for p in learning),
        "forward_seconds": forward,
        "backward_seconds": backward,
        "update_seconds": update,
        "peak_bytes": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024,
        **{f"loss_{name}": float(value) for name, value in parts.items()},
    }


def _parts() -> tuple[Any, TransformersClip]:
    """The pipeline and the CLIP at real size; only the vocabulary is the embedded tokenizer's."""
    from scenograph.models.embedded import WEIGHTS

    tokenizer = CLIPTokenizer.from_pretrained(WEIGHTS / "tiny-sd" / "tokenizer", model_max_length=77)
    text = {"hidden_size": 768, "intermediate_size": 3072, "num_hidden_layers": 12, "num_attention_heads": 12}
    special = {"bos_token_id": tokenizer.bos_token_id, "eos_token_id": tokenizer.eos_token_id}
    text_config = CLIPTextConfig(**text, **special, vocab_size=49408)
    vision = {"hidden_size": 1024, "intermediate_size": 4096, "num_hidden_layers": 24, "num_attention_heads": 16}
    config = CLIPConfig(
        text_config=text_config.to_dict(),
        vision_config={**vision, "image_size": 224, "patch_size": 14},
        projection_dim=768,
    )
    unet = UNet2DConditionModel(**CONFIGS["sd15"], attention_type="gated")
    with torch.no_grad():
        for name, parameter in unet.named_parameters():
            if name.endswith(("alpha_attn", "alpha_dense")):
                parameter.fill_(0.5)
    vae = AutoencoderKL(
        block_out_channels=(128, 256, 512, 512),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=2,
        latent_channels=4,
        sample_size=512,
    )
    pipeline: Any = StableDiffusionPipeline(
        vae=vae.requires_grad_(False),
        text_encoder=CLIPTextModel(text_config).requires_grad_(False).eval(),
        tokenizer=tokenizer,
        unet=unet,
        scheduler=DDPMScheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    return pipeline, TransformersClip(CLIPModel(config).requires_grad_(False), tokenizer)

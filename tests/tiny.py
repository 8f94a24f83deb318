"""Tiny random checkpoints of the real classes, written as diffusers folders.

They are what the tests load through the real loading path: the same modules, names and files as a published
checkpoint, at a size that runs in milliseconds. Weights are random but seeded, so two builds are equal.

    tiny_sd(path, prediction_type="epsilon" | "v_prediction")   an SD 1.x / 2.x folder, 128 px, VAE factor 8
    tiny_sdxl(path)                                             an SDXL folder with two text encoders

UNet levels: SD has (16x16, 8x8) latent cells, cross-attention in the first down, the mid and the last up block
(`up_blocks.1`, as in SD 1.5). SDXL has (16, 8, 4) cells, cross-attention in the mid block and `up_blocks.0`, `.1`.
"""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from diffusers import (
    AutoencoderKL,
    DDIMScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
    StableDiffusionXLPipeline,
    UNet2DConditionModel,
)
from tokenizers.pre_tokenizers import ByteLevel
from transformers import CLIPTextConfig, CLIPTextModel, CLIPTextModelWithProjection, CLIPTokenizer

WORDS = (
    "a an the and of in on with photo two three red blue green black white small big striped dog dogs cat cats "
    "teddy bear car bus apple book clock chair bird horse left right above below"
).split()

SCHEDULE = {"beta_start": 0.00085, "beta_end": 0.012, "beta_schedule": "scaled_linear", "num_train_timesteps": 1000}


def tiny_tokenizer() -> CLIPTokenizer:
    """A CLIP byte-level BPE: every byte, and one token per word of WORDS; other words fall apart into bytes."""
    letters = sorted(ByteLevel.alphabet())
    vocabulary = letters + [letter + "</w>" for letter in letters]
    merges: list[tuple[str, str]] = []
    for word in WORDS:
        pieces = [*word[:-1], word[-1] + "</w>"]
        while len(pieces) > 1:
            if (pieces[0], pieces[1]) not in merges:
                merges.append((pieces[0], pieces[1]))
                vocabulary.append(pieces[0] + pieces[1])
            pieces[:2] = [pieces[0] + pieces[1]]
    vocabulary = list(dict.fromkeys([*vocabulary, "<|startoftext|>", "<|endoftext|>"]))
    numbers = {token: number for number, token in enumerate(vocabulary)}
    return CLIPTokenizer(vocab=numbers, merges=merges, model_max_length=77)  # type: ignore[arg-type]


def _text_config(tokenizer: CLIPTokenizer, activation: str = "quick_gelu") -> CLIPTextConfig:
    return CLIPTextConfig(
        vocab_size=len(tokenizer),
        hidden_size=32,
        intermediate_size=64,
        num_hidden_layers=2,
        num_attention_heads=4,
        max_position_embeddings=77,
        projection_dim=32,
        hidden_act=activation,
        bos_token_id=tokenizer.bos_token_id,
        eos_token_id=tokenizer.eos_token_id,
        pad_token_id=tokenizer.pad_token_id,
    )


def _vae() -> AutoencoderKL:
    return AutoencoderKL(
        block_out_channels=(8, 8, 8, 8),
        down_block_types=("DownEncoderBlock2D",) * 4,
        up_block_types=("UpDecoderBlock2D",) * 4,
        layers_per_block=1,
        latent_channels=4,
        norm_num_groups=4,
        sample_size=128,
    )


def tiny_sd_parts(prediction_type: str = "epsilon") -> dict[str, Any]:
    """The components of `tiny_sd`, as keyword arguments of StableDiffusionPipeline."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64),
        layers_per_block=1,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=32,
        attention_head_dim=4,
        norm_num_groups=8,
    )
    scheduler = DDIMScheduler(
        **SCHEDULE, clip_sample=False, set_alpha_to_one=False, steps_offset=1, prediction_type=prediction_type
    )
    return {
        "vae": _vae(),
        "text_encoder": CLIPTextModel(_text_config(tokenizer)),
        "tokenizer": tokenizer,
        "unet": unet,
        "scheduler": scheduler,
        "safety_checker": None,
        "feature_extractor": None,
        "requires_safety_checker": False,
    }


def tiny_sd(path: str | Path, prediction_type: str = "epsilon") -> Path:
    """Write an SD 1.x (`epsilon`) or 2.x (`v_prediction`) folder and return its path."""
    pipeline: Any = StableDiffusionPipeline(**tiny_sd_parts(prediction_type))
    pipeline.save_pretrained(path)
    return Path(path)


def tiny_sdxl(path: str | Path) -> Path:
    """Write an SDXL folder (two text encoders, pooled text and size conditioning) and return its path."""
    torch.manual_seed(0)
    tokenizer = tiny_tokenizer()
    unet = UNet2DConditionModel(
        sample_size=16,
        block_out_channels=(32, 64, 64),
        layers_per_block=1,
        down_block_types=("DownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D"),
        up_block_types=("CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "UpBlock2D"),
        transformer_layers_per_block=(1, 1, 2),
        cross_attention_dim=64,
        attention_head_dim=(2, 4, 4),
        norm_num_groups=8,
        use_linear_projection=True,
        addition_embed_type="text_time",
        addition_time_embed_dim=8,
        projection_class_embeddings_input_dim=6 * 8 + 32,
    )
    config = _text_config(tokenizer)
    pipeline: Any = StableDiffusionXLPipeline(
        vae=_vae(),
        text_encoder=CLIPTextModel(config),
        text_encoder_2=CLIPTextModelWithProjection(_text_config(tokenizer, "gelu")),
        tokenizer=tokenizer,
        tokenizer_2=tiny_tokenizer(),
        unet=unet,
        scheduler=EulerDiscreteScheduler(**SCHEDULE, timestep_spacing="leading", steps_offset=1),
        add_watermarker=False,
    )
    pipeline.save_pretrained(path)
    return Path(path)

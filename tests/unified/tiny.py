"""A random Janus of the real classes at the size of a test, and layouts for it."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any

import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import JanusConfig, JanusForConditionalGeneration, PreTrainedTokenizerFast

from scenograph.layout import Box, Instance, Layout
from scenograph.unified.tokens import Codec, add_tokens
from tests.tiny import tiny_tokenizer

IMAGE_LENGTH = 16


def world_codec() -> Codec:
    """CLIP's tokenizer with location tokens, as tiny-janus has."""
    return Codec(add_tokens(tiny_tokenizer(), locations=129))


def text_codec() -> Codec:
    """A byte-level BPE with Janus' own special tokens and text coordinates, as a published checkpoint has."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    special = "<s> </s> <pad> <image_placeholder> <begin_of_image> <end_of_image> <|User|> <|Assistant|>".split()
    trainer = trainers.BpeTrainer(
        vocab_size=340, special_tokens=special, initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    raw.train_from_iterator(["a red cat and a black dog, 120, 345 of the picture"] * 4, trainer)
    tokenizer = PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>", pad_token="<pad>")
    return Codec(add_tokens(tokenizer))


def tiny_janus(
    codec: Codec, *, seed: int = 0, layers: int = 2, spread: float = 1.0, key_value_heads: int = 2, **text: Any
) -> Any:
    """A random model with 16 image tokens of a codebook of 24; `spread` sharpens what it says.

    `text` holds more settings of the language model.
    """
    torch.manual_seed(seed)
    config = JanusConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": 32,
            "intermediate_size": 64,
            "num_hidden_layers": layers,
            "num_attention_heads": 2,
            "num_key_value_heads": key_value_heads,
            "vocab_size": len(codec.tokenizer) + 3,
            "max_position_embeddings": 512,
            "bos_token_id": codec.bos,
            "eos_token_id": codec.eos,
            "pad_token_id": codec.pad,
            **text,
        },
        vision_config={
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "image_size": 64,
            "patch_size": 16,
            "num_image_tokens": IMAGE_LENGTH,
            "projection_dim": 32,
            "hidden_act": "gelu_pytorch_tanh",
        },
        vq_config={
            "num_embeddings": 24,
            "embed_dim": 4,
            "latent_channels": 8,
            "base_channels": 32,
            "channel_multiplier": [1, 1, 1, 1, 1],
            "num_res_blocks": 1,
            "projection_dim": 32,
            "image_token_embed_dim": 32,
        },
        image_token_id=codec.id_of("<image_placeholder>"),
        tie_word_embeddings=False,
    )
    model = JanusForConditionalGeneration(config).eval()
    model.generation_config.update(
        bos_token_id=codec.bos, eos_token_id=codec.eos, pad_token_id=codec.pad, max_length=None
    )
    model.generation_config.generation_kwargs = {"boi_token_id": codec.id_of("<begin_of_image>")}
    with torch.no_grad():
        for name, weight in model.named_parameters():
            if weight.ndim == 2 and "vqmodel" not in name and "vision_model" not in name:
                weight.normal_(std=spread / weight.shape[1] ** 0.5)
    return model


def layout(*things: tuple[str, tuple[float, float, float, float]], caption: str = "a dog and a cat") -> Layout:
    """A layout of (caption, box) pairs; two of them by default."""
    pairs = things or (("a black dog", (0.1, 0.2, 0.5, 0.9)), ("a cat", (0.55, 0.3, 0.95, 0.8)))
    return Layout(caption=caption, instances=tuple(Instance(caption=said, box=Box(*box)) for said, box in pairs))


def images(count: int, seed: int = 0) -> list[list[int]]:
    """Random image tokens."""
    generator = torch.Generator().manual_seed(seed)
    rows: list[list[int]] = torch.randint(24, (count, IMAGE_LENGTH), generator=generator).tolist()
    return rows


def shortened(layouts: Iterable[Layout], count: int) -> list[Layout]:
    """Each layout with its first `count` instances."""
    return [Layout(caption=one.caption, instances=one.instances[:count]) for one in layouts]

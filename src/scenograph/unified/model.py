"""transformers' Janus as the unified model: its two sizes, loading, parts, and what stays frozen.

Sizes are Janus-Pro-1B (EchoGen's "1.5 B" backbone) and tiny-janus, of the same classes. `passes.py` runs them,
`pictures.py` takes pixels in and out.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from transformers import AutoTokenizer, JanusConfig, JanusForConditionalGeneration

from scenograph.errors import CheckpointError
from scenograph.judging.checkpoints import checkpoint
from scenograph.unified.candidate import MaskedJanus, takes_masks
from scenograph.unified.sequence import TokenSequence, null_sequence, padded_null
from scenograph.unified.tokens import IMAGE, Codec, add_tokens

__all__ = [
    "Unified",
    "copy_tower",
    "count_parameters",
    "freeze_encoders",
    "load_unified",
    "real_config",
    "tiny_config",
]

_PARTS = ("vision_model", "aligner", "vqmodel", "generation_embeddings", "generation_aligner", "generation_head")


def real_config() -> JanusConfig:
    """Janus-Pro-1B: 24 Llama layers of width 2048, SigLIP-L at 384 px, 576 tokens from a codebook of 16 384."""
    return JanusConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": 2048,
            "intermediate_size": 5632,
            "num_hidden_layers": 24,
            "num_attention_heads": 16,
            "num_key_value_heads": 16,
            "vocab_size": 102_400,
            "max_position_embeddings": 16_384,
        },
        tie_word_embeddings=False,
    )


def tiny_config(codec: Codec) -> JanusConfig:
    """tiny-janus, about 7 M parameters: 64 tokens from a codebook of 1 024 for 128 px, and the CLIP's image tower.

    The vision part has the size of the embedded CLIPs' SigLIP tower, whose weights `copy_tower` takes over.
    """
    width = 192
    return JanusConfig(
        text_config={
            "model_type": "llama",
            "hidden_size": width,
            "intermediate_size": 512,
            "num_hidden_layers": 6,
            "num_attention_heads": 6,
            "num_key_value_heads": 6,
            "vocab_size": -(-len(codec.tokenizer) // 8) * 8,
            "max_position_embeddings": 1024,
            "bos_token_id": codec.bos,
            "eos_token_id": codec.eos,
            "pad_token_id": codec.pad,
        },
        vision_config={
            "hidden_size": 128,
            "num_hidden_layers": 4,
            "num_attention_heads": 4,
            "image_size": 128,
            "patch_size": 16,
            "num_image_tokens": 64,
            "projection_dim": width,
            "hidden_act": "gelu_pytorch_tanh",
        },
        vq_config={
            "num_embeddings": 1024,
            "latent_channels": 64,
            "base_channels": 32,
            # At least two channels to each of the 32 groups: one would be an instance norm, blind to colour.
            "channel_multiplier": [2, 2, 2, 3, 3],
            "num_res_blocks": 1,
            "projection_dim": width,
            "image_token_embed_dim": width,
        },
        image_token_id=codec.id_of(IMAGE),
        tie_word_embeddings=True,
    )


@dataclass(frozen=True)
class Unified:
    """A model with its tokens."""

    model: Any
    codec: Codec

    @property
    def side(self) -> int:
        """Pixels of the square picture that it paints and sees."""
        return int(self.model.config.vision_config.image_size)

    @property
    def takes_masks(self) -> bool:
        """Whether a candidate layout reaches it as masks over the image (`candidate`) and not in words."""
        return takes_masks(self.model.config)

    def null(self, prefix: TokenSequence) -> TokenSequence:
        """The unconditional side of a painting's prefix: what stage 1 leaves where it drops the condition, or, for a
        published checkpoint that has never been through it, that checkpoint's own.
        """
        ours = self.codec.coordinates.places == 1 or getattr(self.model.config, "scenograph_stage", None)
        return null_sequence(self.codec) if ours else padded_null(self.codec, prefix)

    @property
    def image_length(self) -> int:
        """Tokens of an image."""
        return int(self.model.config.vision_config.num_image_tokens)


def load_unified(
    name: str | Path, *, device: torch.device | str | None = None, dtype: torch.dtype | str = torch.float32
) -> Unified:
    """A Janus checkpoint in transformers' format by embedded name, folder or hub id: in eval mode, frozen.

    A published checkpoint gets the layout's special tokens, in rows of its embeddings that its tokenizer left unused.

    Raises:
        CheckpointError: missing, unreachable, damaged, or no Janus in transformers' format.
    """
    found = checkpoint(name, "unified model")
    config = found.config()
    kind = getattr(config, "model_type", None)
    if kind != "janus":
        hint = "; take the deepseek-community one in transformers' format" if kind == "multi_modality" else ""
        raise CheckpointError(f"{str(name)!r} is of type {kind!r}; expected 'janus'{hint}")
    codec = Codec(add_tokens(found.part(AutoTokenizer)))
    model = found.model(MaskedJanus if takes_masks(config) else JanusForConditionalGeneration, device, dtype)
    rows = model.get_input_embeddings().num_embeddings
    if len(codec.tokenizer) > rows:
        raise CheckpointError(
            f"the tokenizer of {str(name)!r} has {len(codec.tokenizer)} tokens and the model rows for {rows}; "
            "call resize_token_embeddings and save it again"
        )
    return Unified(model, codec)


def count_parameters(model: Any) -> dict[str, int]:
    """Parameters of each part, and in all; a head that is tied to the embeddings counts once."""
    parts = {name: getattr(model.model, name) for name in (*_PARTS, "language_model")}
    counts = {name: sum(p.numel() for p in part.parameters()) for name, part in parts.items()}
    total = sum(p.numel() for p in model.parameters())
    return counts | {"lm_head": total - sum(counts.values()), "total": total}


def freeze_encoders(model: Any) -> Any:
    """All trainable but the VQ model and the understanding tower, which stay frozen throughout (EchoGen)."""
    model.requires_grad_(True)
    for part in (model.model.vision_model, model.model.vqmodel):
        part.requires_grad_(False).eval()
    return model


def copy_tower(model: Any, tower: Any) -> None:
    """Take over the weights of a SigLIP image tower of the same size (transformers' SiglipVisionModel).

    Raises CheckpointError when the sizes differ.
    """
    own = model.model.vision_model
    weights = {
        name.replace("self_attn.out_proj", "self_attn.projection_layer"): weight
        for name, weight in tower.state_dict().items()
        if not name.startswith("head.")  # the pooling, which Janus does without
    }
    try:
        own.load_state_dict(weights)
    except RuntimeError as error:
        reason = " ".join(str(error).split())[:200]
        raise CheckpointError(f"the image tower does not fit the model: {reason}; expected the same sizes") from error

"""The pieces of a Janus forward pass that its own `forward` does not offer: image logits, with gradients.

`JanusForConditionalGeneration.forward` knows text logits and a text loss only. Here a pass is embeddings → `hidden` →
`text_logits` or `image_logits`, with any mask. Text comes in through the input embeddings, image tokens through the
generation embeddings and their aligner, hard (`image_embeddings`) or as distributions over the codebook
(`soft_embeddings`), and seen pictures through the understanding tower (`tower_features`).
"""

from __future__ import annotations

from typing import Any

from torch import Tensor

__all__ = ["hidden", "image_embeddings", "image_logits", "soft_embeddings", "text_logits", "tower_features"]


def hidden(
    model: Any, embeds_BTD: Tensor, mask_B1TT: Tensor | None, positions_BT: Tensor, cache: Any | None = None
) -> Tensor:
    """The language model's last hidden states (batch, tokens, width).

    Args:
        model: JanusForConditionalGeneration.
        embeds_BTD: embeddings of the tokens.
        mask_B1TT: bool, True where a row may look (rows of these tokens, columns of all so far); None is causal.
        positions_BT: position ids.
        cache: transformers' Cache of the tokens before, which is extended.
    """
    out = model.model.language_model(
        inputs_embeds=embeds_BTD,
        attention_mask=mask_B1TT,
        position_ids=positions_BT,
        past_key_values=cache,
        use_cache=cache is not None,
    )
    hidden_BTD: Tensor = out.last_hidden_state
    return hidden_BTD


def text_logits(model: Any, hidden_D: Tensor) -> Tensor:
    """Logits over the tokenizer's vocabulary for the token after each state."""
    logits_V: Tensor = model.lm_head(hidden_D)
    return logits_V


def image_logits(model: Any, hidden_D: Tensor) -> Tensor:
    """Logits over the codebook for the image token after each state."""
    logits_V: Tensor = model.model.generation_head(hidden_D)
    return logits_V


def image_embeddings(model: Any, ids: Tensor) -> Tensor:
    """Image tokens as the language model reads them."""
    embeds_D: Tensor = model.prepare_embeddings_for_image_generation(ids)
    return embeds_D


def soft_embeddings(model: Any, weights_V: Tensor) -> Tensor:
    """Distributions over the codebook as the language model reads them; a one-hot one is `image_embeddings` exactly.

    The mixture is of codebook embeddings, before the aligner, so gradients pass through both.
    """
    codebook_VC = model.model.generation_embeddings.weight
    mixed_D = weights_V.to(codebook_VC.dtype) @ codebook_VC
    embeds_D: Tensor = model.model.generation_aligner(mixed_D)
    return embeds_D


def tower_features(model: Any, pixels_BCHW: Tensor) -> Tensor:
    """The understanding tower's features of pictures, aligned to the language model (batch, tokens, width)."""
    features_BND: Tensor = model.model.get_image_features(pixels_BCHW.to(model.dtype)).pooler_output
    return features_BND

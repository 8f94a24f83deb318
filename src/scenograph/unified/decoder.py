"""Rows of prefixes with a key-value cache, going on by one token a row at a time, at the price of the arithmetic.

One token through transformers' Llama modules spends most of a small model's time between the operations: module
calls, mask building, growing caches. Here the prefix goes through the modules, and every token after it through the
same weights in a short loop: keys and values in place in a buffer of the final length, rotary angles computed once.
Whatever is no plain Llama (adapters, hooks, shards, quantised layers, other positions) steps through its own modules.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Any

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from transformers import DynamicCache
from transformers.models.llama.modeling_llama import (
    LlamaAttention,
    LlamaDecoderLayer,
    LlamaMLP,
    LlamaModel,
    LlamaRMSNorm,
)

from scenograph.unified.batch import Batch, embed
from scenograph.unified.passes import hidden
from scenograph.unified.sequence import Segment

__all__ = ["Decoder", "is_plain_llama"]

_PLAIN = (LlamaModel, LlamaDecoderLayer, LlamaAttention, LlamaMLP, LlamaRMSNorm, nn.Linear, nn.Embedding, nn.SiLU)
_FIXED_ANGLES = ("default", "linear", "llama3")
_SMALL = 32 * 2**20  # bytes of layers that are cheap to lay out anew for every prefix


def is_plain_llama(language_model: Any) -> bool:
    """Whether the modules do what their weights say and nothing else."""
    kept = (*_PLAIN, type(getattr(language_model, "rotary_emb", None)), nn.ModuleList)
    hooked = any(m._forward_hooks or m._forward_pre_hooks or hasattr(m, "_hf_hook") for m in language_model.modules())
    # Activations of transformers are classes of their own; silu is the only one that the loop knows.
    others = [m for m in language_model.modules() if type(m) not in kept and type(m).__name__ != "SiLUActivation"]
    rotary = getattr(language_model, "rotary_emb", None)
    fixed = getattr(rotary, "rope_type", None) in _FIXED_ANGLES
    silu = getattr(language_model.config, "hidden_act", None) == "silu"
    return type(language_model) is LlamaModel and not hooked and not others and fixed and silu


class Decoder:
    """The state of some rows; `last_BD` is what the next token is predicted from.

    Args:
        model: JanusForConditionalGeneration.
        batch: the prefixes, padded on the left.
        room: tokens that may follow, at most.
        features_BND: features of the understanding tower, where prefixes have places for them.
    """

    def __init__(self, model: Any, batch: Batch, room: int, *, features_BND: Tensor | None = None) -> None:
        self.model = model
        self.cache = DynamicCache(config=model.config.get_text_config())
        real_BT = batch.segments_BT != Segment.PAD
        # Without padding a pass is plainly causal, and a mask would only cost time.
        padded = not bool(real_BT.all())
        self.seen_BT = F.pad(real_BT, (0, room), value=True) if padded else None
        self.filled = real_BT.shape[1]
        embeds_BTD = embed(model, batch, features_BND=features_BND)
        states_BTD = hidden(model, embeds_BTD, batch.mask() if padded else None, batch.positions(), self.cache)
        self.last_BD = states_BTD[:, -1]
        self.positions_BN = real_BT.sum(dim=1, keepdim=True) + torch.arange(room, device=real_BT.device)
        self.steps = 0
        self.loop = _Loop(model.model.language_model, self.cache, self.positions_BN, embeds_BTD)

    def step(self, embeds_BD: Tensor) -> Tensor:
        """The state (rows, width) after one more token a row."""
        self.filled += 1
        mask = None if self.seen_BT is None else self.seen_BT[:, None, None, : self.filled]
        if self.loop.usable:
            self.last_BD = self.loop(embeds_BD, mask, self.steps, self.filled)
        else:
            position_B1 = self.positions_BN[:, self.steps, None]
            self.last_BD = hidden(self.model, embeds_BD[:, None], mask, position_B1, self.cache)[:, -1]
        self.steps += 1
        return self.last_BD


class _Loop:
    """A Llama's layers for one token a row, over keys and values of `cache` moved into buffers with room."""

    def __init__(self, llama: Any, cache: DynamicCache, positions_BN: Tensor, like: Tensor) -> None:
        self.usable = is_plain_llama(llama)
        if not self.usable:
            return
        room = positions_BN.shape[1]
        self.keys = [F.pad(layer.keys, (0, 0, 0, room)) for layer in cache.layers]
        self.values = [F.pad(layer.values, (0, 0, 0, room)) for layer in cache.layers]
        cosines_BND, sines_BND = llama.rotary_emb(like, positions_BN)
        half = sines_BND.shape[-1] // 2
        # Rotating by a half turn of the vector and a sign in the sines is rotate_half in one operation.
        signed_BND = torch.cat([-sines_BND[..., :half], sines_BND[..., half:]], dim=-1)
        self.cosines_NB1D = cosines_BND.transpose(0, 1)[:, :, None].contiguous()
        self.sines_NB1D = signed_BND.transpose(0, 1)[:, :, None].contiguous()
        self.half = half
        small = sum(weight.nbytes for weight in llama.layers.parameters()) <= _SMALL
        self.layers = [_Layer(layer, small) for layer in llama.layers]
        self.norm = _norm(llama.norm)

    def __call__(self, x_BD: Tensor, mask_B11T: Tensor | None, step: int, filled: int) -> Tensor:
        cosines_B1D, sines_B1D = self.cosines_NB1D[step], self.sines_NB1D[step]
        for layer, keys, values in zip(self.layers, self.keys, self.values, strict=True):
            all_BHD = layer.qkv(layer.norm_in(x_BD)).view(len(x_BD), -1, keys.shape[-1])
            turned_BHD, value_BHD = all_BHD[:, : -keys.shape[1]], all_BHD[:, -keys.shape[1] :]
            turned_BHD = torch.addcmul(turned_BHD * cosines_B1D, turned_BHD.roll(self.half, dims=-1), sines_B1D)
            keys[:, :, filled - 1] = turned_BHD[:, -keys.shape[1] :]
            values[:, :, filled - 1] = value_BHD
            read_BH1D = F.scaled_dot_product_attention(
                turned_BHD[:, : -keys.shape[1], None],
                keys[:, :, :filled],
                values[:, :, :filled],
                attn_mask=mask_B11T,
                scale=layer.scaling,
                enable_gqa=layer.grouped,
            )
            x_BD = x_BD + layer.out(read_BH1D.reshape(len(x_BD), -1))
            gate_BD, up_BD = layer.gates(layer.norm_out(x_BD)).chunk(2, dim=-1)
            x_BD = x_BD + layer.down(F.silu(gate_BD) * up_BD)
        return self.norm(x_BD)


class _Layer:
    """The products and norms of one Llama layer."""

    def __init__(self, layer: Any, small: bool) -> None:
        attention, mlp = layer.self_attn, layer.mlp
        self.scaling, self.grouped = attention.scaling, attention.num_key_value_groups > 1
        self.qkv = _product([attention.q_proj, attention.k_proj, attention.v_proj], small)
        self.out = _product([attention.o_proj], small)
        self.gates = _product([mlp.gate_proj, mlp.up_proj], small)
        self.down = _product([mlp.down_proj], small)
        self.norm_in, self.norm_out = _norm(layer.input_layernorm), _norm(layer.post_attention_layernorm)


def _product(modules: Sequence[Any], small: bool) -> Callable[[Tensor], Tensor]:
    """What linear modules make of the same input, side by side; small ones in one product with a copy of their
    weights.
    """
    if not small or any(module.bias is not None for module in modules):
        return lambda x_BD: torch.cat([F.linear(x_BD, module.weight, module.bias) for module in modules], dim=-1)
    weights_DE = torch.cat([module.weight for module in modules]).T.contiguous()
    return lambda x_BD: x_BD @ weights_DE


def _norm(module: Any) -> Callable[[Tensor], Tensor]:
    """Llama's norm, in float32 as there: x / √(mean x² + ε) · w, with the mean's division in ε and w.

    torch's own rms_norm, and its mean, are compositions of twice as many operations.
    """
    width = len(module.weight)
    weight_D, epsilon = module.weight.float() * width**0.5, module.variance_epsilon * width

    def normed(x_BD: Tensor) -> Tensor:
        wide_BD = x_BD.float()
        scale_B1 = torch.rsqrt((wide_BD * wide_BD).sum(dim=-1, keepdim=True) + epsilon)
        return (wide_BD * scale_B1 * weight_D).to(x_BD.dtype)

    return normed

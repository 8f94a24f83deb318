"""Cross-attention maps of a diffusion UNet, with the graph cut where they end. The only code that looks into attention.

`capture` watches the named cross-attention layers. Before such a layer runs, its softmax probabilities are computed
once more from the layer's own projections, in float32 and inside the autograd graph; the layer itself then runs as it
always does, with whatever processor it has (SDPA, xFormers, IP-Adapter, …). So values are exactly those of an unwatched
forward, no processor is ever replaced, adapters apply, and every other layer keeps its fused kernel. The price is one
more query and key projection per watched layer: below 1 % of an SD 1.5 forward, 3 % of SDXL's.

Layout energies need the middle block and the first up block with cross-attention only (WinWinLay §4.1; Chen et al.
2024): half of SD 1.5's forward. `cut="stop"` ends the pass at the last map; `cut="detach"` lets values flow on without
a graph, for updates that also need the prediction of the same latent. Either way nothing behind the last map is kept
for backward, and the network's weights are frozen while the capture lasts.

`observe` is the same for training: the network learns, nothing is cut, and the maps are computed after the forward from
the inputs that the watched layers saw, so gradient checkpointing (which runs layers twice) does not disturb them, in
the weights' own precision whatever `torch.autocast` made of the forward.

`learning_kernels` is for whoever differentiates a network in bfloat16 on a CPU.

Not here: what to do with the maps (`guidance/`), self-attention, transformers (SD3).
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import Any, Literal

import torch
import torch.nn.functional as F
from torch import Tensor, nn
from torch.overrides import TorchFunctionMode

from scenograph.errors import GuidanceError

Cut = Literal["stop", "detach"] | None
Layers = Callable[[str], bool] | Collection[str]
"""Which attention layers: names of them or of what they are in ("mid_block"), or a predicate over names."""


class _Stopped(BaseException):
    """Raised inside a forward to end it; never leaves `Recording.run`. No `except Exception` on the way may eat it."""


class Recording:
    """The maps of the latest `run`. Made by `capture`.

    maps: layer name → maps_BHQT, softmax over T tokens, float32 (float64 for a float64 network).
    grids: layer name → (rows, columns) with rows · columns = Q.
    """

    def __init__(self, layers: Mapping[str, nn.Module], cut: Cut, kernels: AbstractContextManager[Any]) -> None:
        self.maps: dict[str, Tensor] = {}
        self.grids: dict[str, tuple[int, int]] = {}
        self._layers = layers
        self._cut = cut
        self._kernels = kernels
        self._armed = False

    def run(self, forward: Callable[[Tensor], Tensor], latents_BCHW: Tensor) -> Tensor | None:
        """Run `forward` with a graph and record the maps; its value, or None when the pass was stopped.

        Outside this call the hooks do nothing, so other forwards of the same network are safe while capturing.
        Raises GuidanceError when a layer was not reached or does not fit the latent's grid.
        """
        self.maps, self.grids = {}, {}
        self._armed = True
        value: Tensor | None = None
        try:
            with torch.enable_grad(), self._kernels:  # restores the caller's mode after "detach" turned it off inside
                value = forward(latents_BCHW)
        except _Stopped:
            pass
        finally:
            self._armed = False
        missing = [name for name in self._layers if name not in self.maps]
        if missing:
            raise GuidanceError(
                f"the forward never reached {missing[0]} (compiled networks drop hooks: pass the eager one)"
            )
        height, width = latents_BCHW.shape[-2:]
        self.grids = {name: grid_of(maps.shape[2], (height, width)) for name, maps in self.maps.items()}
        return value

    def _watch(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            if not self._armed:
                return
            self.maps[name] = _probabilities(attention, *args, **kwargs)
            if len(self.maps) == len(self._layers):
                self._end()

        return hook

    def _end(self) -> None:
        """All maps are there: whatever follows needs no graph, and perhaps no computing."""
        if self._cut == "stop":
            raise _Stopped
        if self._cut == "detach":
            torch.set_grad_enabled(False)


@contextmanager
def capture(unet: nn.Module, layers: Layers, *, cut: Cut) -> Iterator[Recording]:
    """Watch cross-attention layers of `unet` while the context lasts; run forwards through `Recording.run`.

    layers: names of attention modules or of blocks, or a predicate over names (see `cross_attentions`).
    cut: "stop" | "detach" | None, what happens behind the last map (module docstring).
    Raises GuidanceError for unknown names, an empty choice, or gradient checkpointing.
    """
    chosen = choose_layers(unet, layers)
    if getattr(unet, "is_gradient_checkpointing", False):
        raise GuidanceError(
            "maps cannot be captured under gradient checkpointing; call disable_gradient_checkpointing() first"
        )
    held = next(unet.parameters())
    recording = Recording(chosen, cut, learning_kernels(held.device, held.dtype))
    learning = [parameter for parameter in unet.parameters() if parameter.requires_grad]
    handles = []
    try:
        for parameter in learning:
            parameter.requires_grad_(False)
        for name, module in chosen.items():
            handles.append(module.register_forward_pre_hook(recording._watch(name), with_kwargs=True))
        yield recording
    finally:
        for handle in handles:
            handle.remove()
        for parameter in learning:
            parameter.requires_grad_(True)


class Observed:
    """What the watched layers of the latest forward saw. Made by `observe`."""

    def __init__(self, layers: Mapping[str, nn.Module]) -> None:
        self._layers = layers
        self._seen: dict[str, tuple[tuple[Any, ...], dict[str, Any]]] = {}

    def maps(self) -> dict[str, Tensor]:
        """Layer name → maps_BHQT of the latest forward, inside its graph. Raises GuidanceError before a forward."""
        missing = [name for name in self._layers if name not in self._seen]
        if missing:
            raise GuidanceError(f"the forward never reached {missing[0]}")
        seen, self._seen = self._seen, {}
        maps = {}
        for name, (args, kwargs) in seen.items():
            layer: Any = self._layers[name]
            args, kwargs = _held_in(layer.to_q.weight.dtype, (args, kwargs))
            maps[name] = _probabilities(layer, *args, **kwargs)
        return maps

    def _watch(self, name: str) -> Callable[[nn.Module, tuple[Any, ...], dict[str, Any]], None]:
        def hook(attention: nn.Module, args: tuple[Any, ...], kwargs: dict[str, Any]) -> None:
            self._seen[name] = args, kwargs

        return hook


@contextmanager
def observe(unet: nn.Module, layers: Layers) -> Iterator[Observed]:
    """Watch cross-attention layers of a network in training while the context lasts.

    Raises GuidanceError for unknown names or an empty choice.
    """
    chosen = choose_layers(unet, layers)
    observed = Observed(chosen)
    handles = [m.register_forward_pre_hook(observed._watch(name), with_kwargs=True) for name, m in chosen.items()]
    try:
        yield observed
    finally:
        for handle in handles:
            handle.remove()


class _FullAttention(TorchFunctionMode):
    """Fused attention in float32, whatever the precision around it, and whether it will be differentiated or not:
    policies are compared over both."""

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = kwargs or {}
        if func is not F.scaled_dot_product_attention:
            return func(*args, **kwargs)
        dtype = (args[0] if args else kwargs["query"]).dtype
        args, kwargs = _held_in(torch.float32, (args, kwargs))
        with torch.autocast("cpu", enabled=False):
            return func(*args, **kwargs).to(dtype)


def learning_kernels(device: torch.device, dtype: torch.dtype) -> AbstractContextManager[Any]:
    """A context, reusable one after another, in which attention is fast to differentiate in this precision there.

    On a CPU the fused kernel's backward pass in bfloat16 takes two to five times as long as in float32, and a third of
    a UNet's step; elsewhere nothing changes. Not for gradient checkpointing: layers that run again in the backward pass
    are out of this context's reach.
    """
    return _FullAttention() if device.type == "cpu" and dtype == torch.bfloat16 else nullcontext()


def cross_attentions(unet: nn.Module) -> dict[str, nn.Module]:
    """Name → module of every text cross-attention ("….attn2") of a diffusers UNet, in the order of definition."""
    return {
        name: module for name, module in unet.named_modules() if name.endswith(".attn2") and hasattr(module, "to_q")
    }


def gated_attentions(unet: nn.Module) -> dict[str, nn.Module]:
    """Name → module of every gated self-attention ("….fuser.attn") of a GLIGEN UNet; its keys are the Q locations, then
    the grounding tokens, and so are its queries."""
    return {name: module for name, module in unet.named_modules() if name.endswith(".fuser.attn")}


def guidance_layers(unet: nn.Module) -> tuple[str, ...]:
    """The layers of the papers' energies: the middle block and the first up block that has cross-attention.

    SD 1.x/2.x: mid_block and up_blocks.1; SDXL: mid_block and up_blocks.0.
    """
    names = list(cross_attentions(unet))
    middle = [name for name in names if name.startswith("mid_block.")]
    ups = [name for name in names if name.startswith("up_blocks.")]
    first = min((int(name.split(".")[1]) for name in ups), default=None)
    chosen = (*middle, *(name for name in ups if int(name.split(".")[1]) == first))
    if not chosen:
        raise GuidanceError(
            f"{type(unet).__name__} has no cross-attention in its middle and up blocks; name the layers to guide by"
        )
    return chosen


def grid_of(queries: int, grid: tuple[int, int]) -> tuple[int, int]:
    """(rows, columns) of a layer with `queries` locations in a UNet whose latent has `grid` = (height, width).

    UNet levels halve each side, rounding up. Raises GuidanceError when no level has that many locations.
    """
    height, width = grid
    while height * width > queries:
        height, width = (height + 1) // 2, (width + 1) // 2
    if height * width != queries:
        raise GuidanceError(f"a layer has {queries} locations, but no halving of the {grid[0]}×{grid[1]} latent has")
    return height, width


def choose_layers(unet: nn.Module, layers: Layers) -> dict[str, nn.Module]:
    """Name → module of the layers asked for. Raises GuidanceError for names that are not there, and for none at all."""
    cross = cross_attentions(unet)
    known = cross | gated_attentions(unet)
    if callable(layers):
        chosen = {name: module for name, module in cross.items() if layers(name)}
    else:
        chosen = {}
        for asked in layers:
            within = {asked: known[asked]} if asked in known else _within(cross, asked)
            if not within:
                have = ", ".join(known) or "none"
                raise GuidanceError(f"no cross-attention layer {asked!r}; this network has {have}")
            chosen |= within
    if not chosen:
        raise GuidanceError(f"no cross-attention layer was chosen; this network has {', '.join(known) or 'none'}")
    return chosen


def _within(modules: Mapping[str, nn.Module], block: str) -> dict[str, nn.Module]:
    return {name: module for name, module in modules.items() if name.startswith(f"{block}.")}


def _probabilities(
    attention: Any,
    hidden_states: Tensor,
    encoder_hidden_states: Any = None,
    attention_mask: Tensor | None = None,
    **_: Any,
) -> Tensor:
    """softmax(q kᵀ · scale + mask) of a diffusers `Attention` → maps_BHQT. Scores and softmax at least in float32."""
    text = encoder_hidden_states[0] if isinstance(encoder_hidden_states, tuple) else encoder_hidden_states  # IP-Adapter
    if text is None and not attention.is_cross_attention:
        text = hidden_states
    if text is None:
        raise GuidanceError("a watched attention layer got no text; guidance needs text cross-attention")
    if attention.group_norm is not None:
        hidden_states = attention.group_norm(hidden_states.transpose(1, 2)).transpose(1, 2)
    if attention.norm_cross is not None:
        text = attention.norm_encoder_hidden_states(text)
    query_BHQD = _heads(attention.to_q(hidden_states), attention.heads)
    key_BHTD = _heads(attention.to_k(text), attention.heads)
    if attention.norm_q is not None:
        query_BHQD = attention.norm_q(query_BHQD)
    if attention.norm_k is not None:
        key_BHTD = attention.norm_k(key_BHTD)
    scores_BHQT = (_full(query_BHQD) * attention.scale) @ _full(key_BHTD).transpose(-1, -2)
    if attention_mask is not None:
        batch, heads, _, tokens = scores_BHQT.shape
        mask = attention.prepare_attention_mask(attention_mask, tokens, batch)
        scores_BHQT = scores_BHQT + _full(mask).view(batch, heads, -1, tokens)
    return scores_BHQT.softmax(-1)


def _heads(states_BND: Tensor, heads: int) -> Tensor:
    batch, length, width = states_BND.shape
    return states_BND.view(batch, length, heads, width // heads).transpose(1, 2)


def _held_in(dtype: torch.dtype, inputs: tuple[tuple[Any, ...], dict[str, Any]]) -> Any:
    """A layer's inputs with their floating-point tensors in another precision."""

    def held(value: Any) -> Any:
        return value.to(dtype) if isinstance(value, Tensor) and value.is_floating_point() else value

    args, kwargs = inputs
    return tuple(held(value) for value in args), {key: held(value) for key, value in kwargs.items()}


def _full(tensor: Tensor) -> Tensor:
    """Half precision → float32; float32 and float64 stay."""
    return tensor.float() if tensor.dtype in (torch.float16, torch.bfloat16) else tensor

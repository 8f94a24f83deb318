"""What guidance costs at the size of Stable Diffusion 1.5: `scenograph bench speed`, `results/speed_guidance.json`.

One energy step, the gradient of a layout energy with respect to the latent, is done on one random-weight UNet for the
same latent, text, layout and energy in two manners:

* as the public training-free methods do it: every attention layer materialises its probabilities, the whole network
  runs, its weights require grad, and autograd records all of it;
* as `painting` does it: only the layers of the energy give maps, everything else keeps its fused kernels, weights are
  frozen, and the pass stops ("truncated", for gradient descent) or drops the graph (for Langevin, which also needs the
  prediction) behind the last map.

Their gradients are compared in the same run. A whole picture is composed from measured steps: 50 with classifier-free
guidance, of which 10 are guided by 4 Langevin iterations (WinWinLay §5.1). A batch is four different layouts with
equally many phrases, tokens and boxes, so that it does the work of four singles.

Bytes are counted in the timed rounds: that costs milliseconds of seconds, a round of its own would cost minutes.

Not here: whether guidance helps (`bench guidance`). Random weights are as fast as trained ones.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal

import torch
from diffusers import UNet2DConditionModel
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor

from scenograph.judging.results import commit, machine, write_results
from scenograph.judging.speed import Timing, saved_for_backward, take_turns
from scenograph.layout import Box
from scenograph.painting.attention import capture, grid_of, guidance_layers
from scenograph.painting.guidance import Backprop, Guidance, Langevin, NonLocalAttentionEnergy, Progress, Step, Update
from scenograph.painting.guidance.landscape import Landscape
from scenograph.painting.tokens import TokenGroup, TokenLayout

__all__ = ["CONFIGS", "GRIDS", "LAYOUTS", "PeerStyle", "new_unet", "run", "step_of"]

SEED = 0
STEPS, GUIDED_STEPS, ITERATIONS = 50, 10, 4
AGREE = 1e-5
"""Largest relative difference of gradients and predictions, float32 on a CPU."""

_LEVELS = {
    "in_channels": 4,
    "out_channels": 4,
    "layers_per_block": 2,
    "down_block_types": ("CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "CrossAttnDownBlock2D", "DownBlock2D"),
    "up_block_types": ("UpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D", "CrossAttnUpBlock2D"),
}
CONFIGS: dict[str, dict[str, Any]] = {
    "sd15": {
        **_LEVELS,
        "sample_size": 64,
        "block_out_channels": (320, 640, 1280, 1280),
        "cross_attention_dim": 768,
        "attention_head_dim": 8,
    },
    "tiny": {
        **_LEVELS,
        "sample_size": 32,
        "block_out_channels": (16, 32, 64, 64),
        "cross_attention_dim": 32,
        "attention_head_dim": 2,
        "norm_num_groups": 8,
    },
}
"""Arguments of UNet2DConditionModel: the real SD 1.5, and its four levels in small for tests."""
GRIDS = {"sd15": (64, 64), "tiny": (32, 32)}
"""Latent (height, width): 512 px."""
_CAT, _DOG, _CLOCKS = (
    Box(0.05, 0.3, 0.45, 0.9),
    Box(0.55, 0.35, 0.95, 0.95),
    (Box(0.3, 0, 0.5, 0.2), Box(0.6, 0, 0.8, 0.2)),
)


def _layout(two: int, one: int, both: int, cat: Box, dog: Box, clocks: tuple[Box, Box]) -> TokenLayout:
    return TokenLayout(
        groups=(
            TokenGroup(tokens=(two, two + 1), boxes=(cat,), phrase="black cat"),
            TokenGroup(tokens=(one,), boxes=(dog,), phrase="dog"),
            TokenGroup(tokens=(both,), boxes=clocks, phrase="clocks"),
        )
    )


LAYOUTS = (
    _layout(2, 6, 9, _CAT, _DOG, _CLOCKS),
    _layout(5, 2, 10, _DOG, _CAT, _CLOCKS),
    _layout(7, 10, 3, _CAT, Box(0.5, 0.05, 0.9, 0.3), (Box(0.5, 0.5, 0.7, 0.9), Box(0.75, 0.5, 0.95, 0.9))),
    _layout(
        4, 8, 2, Box(0.3, 0.2, 0.9, 0.6), Box(0.1, 0.65, 0.5, 0.95), (Box(0.6, 0.7, 0.75, 0.85), Box(0.8, 0.7, 1, 0.9))
    ),
)
"""The batch: different layouts whose phrases stand at different tokens."""
BATCH = len(LAYOUTS)
ENERGY = NonLocalAttentionEnergy()


def run(
    *,
    out: Path | None = None,
    repeats: int = 5,
    threads: int | None = None,
    config: Literal["sd15", "tiny"] = "sd15",
    progress: bool = True,
) -> dict[str, Any]:
    """Measure, write the results file if `out` is given, and return its content.

    repeats: rounds; every row has the median over them and [fastest, slowest]. threads: of torch, None as it is.
    """
    with _threads(threads) as used:
        bench = _bench(new_unet(config), GRIDS[config])
        agreement = _agreement(bench)  # first: it warms up what is timed
        rows = [*_measure(bench, repeats, progress), *agreement]
    pixels = 8 * bench.grid[0]
    what = f"guidance on the UNet of {config} with random weights, {pixels} px, float32 CPU, {used} threads"
    command = ("" if threads is None else f"OMP_NUM_THREADS={threads} ") + "scenograph bench speed"
    if out is not None:
        return write_results(out, what=what, command=command, seed=SEED, rows=rows)
    header = {"what": what, "command": command, "commit": commit(), "seed": SEED, "machine": machine()}
    return {**header, "rows": rows}


def new_unet(config: str) -> Any:
    """A UNet with seeded random float32 weights that require grad, as loaded ones do."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(SEED)
        return UNet2DConditionModel(**CONFIGS[config]).eval()


def step_of(unet: Any, grid: tuple[int, int], text_BLD: Tensor) -> Step:
    """The first of 50 sampling steps over a UNet, with one of LAYOUTS for each sample of the batch in turn."""

    def forward(latents_BCHW: Tensor) -> Tensor:
        prediction: Tensor = unet(latents_BCHW, 981, encoder_hidden_states=text_BLD, return_dict=False)[0]
        return prediction

    batch = text_BLD.shape[0]
    return Step(
        index=0,
        total=STEPS,
        alpha_bar=0.0059,  # of SD 1.5 at t = 981
        prediction_type="epsilon",
        unet=unet,
        forward=forward,
        forward_uncond=forward,
        cfg=7.5,
        tokens=tuple(LAYOUTS[sample % BATCH] for sample in range(batch)),
        generators=tuple(torch.Generator().manual_seed(seed) for seed in range(batch)),
        grid=grid,
    )


class PeerStyle:
    """The baseline: stock eager attention everywhere, probabilities of the energy's layers kept, the graph of all.

    Written from what the public implementations do, on diffusers' stock `AttnProcessor`; nobody's code.
    """

    def __init__(self, step: Step) -> None:
        self._step = step
        self._maps: dict[str, Tensor] = {}

    def __call__(self, latents_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """→ (gradient_BCHW of the energy, prediction_BCHW)"""
        step, layers = self._step, guidance_layers(self._step.unet)
        leaf_BCHW = latents_BCHW.detach().requires_grad_()
        with self._eager(layers):
            prediction_BCHW = step.forward(leaf_BCHW)
            maps = {layer: self._maps[layer] for layer in layers}
            grids = {layer: grid_of(maps_BHQT.shape[2], step.grid) for layer, maps_BHQT in maps.items()}
            energy_B = ENERGY(maps, grids, step.tokens, _first(step))
            (gradient_BCHW,) = torch.autograd.grad(energy_B.sum(), leaf_BCHW)
        return gradient_BCHW, prediction_BCHW.detach()

    @contextmanager
    def _eager(self, layers: tuple[str, ...]) -> Iterator[None]:
        unet: Any = self._step.unet
        before = dict(unet.attn_processors)
        recorders = {f"{name}.processor": _Recorder(self._maps, name) for name in layers}
        unet.set_attn_processor({name: AttnProcessor() for name in before} | recorders)
        try:
            yield
        finally:
            unet.set_attn_processor(before)
            self._maps.clear()


class _Recorder:
    """What `AttnProcessor` does in a cross-attention layer of SD, keeping the probabilities."""

    def __init__(self, maps: dict[str, Tensor], name: str) -> None:
        self._maps, self._name = maps, name

    def __call__(
        self, attn: Any, hidden_states: Tensor, encoder_hidden_states: Tensor, attention_mask: Tensor | None = None
    ) -> Tensor:
        query = attn.head_to_batch_dim(attn.to_q(hidden_states))
        key = attn.head_to_batch_dim(attn.to_k(encoder_hidden_states))
        value = attn.head_to_batch_dim(attn.to_v(encoder_hidden_states))
        probabilities = attn.get_attention_scores(query, key, attention_mask)
        self._maps[self._name] = probabilities.view(-1, attn.heads, *probabilities.shape[1:])
        attended: Tensor = attn.to_out[0](attn.batch_to_head_dim(torch.bmm(probabilities, value)))
        return attended


@dataclass(frozen=True, kw_only=True)
class _Bench:
    """One network and the inputs of up to `BATCH` samples."""

    unet: Any
    grid: tuple[int, int]
    latents_BCHW: Tensor
    text_BLD: Tensor

    def peer(self) -> tuple[Tensor, Tensor]:
        step = step_of(self.unet, self.grid, self.text_BLD[:1])
        return PeerStyle(step)(self.latents_BCHW[:1])

    def guided(self, update: Update, batch: int) -> Tensor:
        """One inner iteration, exactly as the sampler asks for it."""
        step = step_of(self.unet, self.grid, self.text_BLD[:batch])
        return Guidance(energy=ENERGY, update=update).guide(self.latents_BCHW[:batch], step)

    @torch.no_grad()
    def plain(self, batch: int, *, cfg: bool) -> Tensor:
        """A sampling step's forward: conditional only, or with the negative prompt in the same batch."""
        copies = 2 if cfg else 1
        text_BLD = torch.cat([self.text_BLD[:batch]] * copies)
        return step_of(self.unet, self.grid, text_BLD).forward(torch.cat([self.latents_BCHW[:batch]] * copies))


def _bench(unet: Any, grid: tuple[int, int]) -> _Bench:
    noise = torch.Generator().manual_seed(SEED)
    width = unet.config.cross_attention_dim
    return _Bench(
        unet=unet,
        grid=grid,
        latents_BCHW=torch.randn(BATCH, 4, *grid, generator=noise),
        text_BLD=torch.randn(BATCH, 77, width, generator=noise),
    )


def _measure(bench: _Bench, repeats: int, progress: bool) -> list[dict[str, Any]]:
    descent, langevin = Backprop(iterations=1, threshold=None), Langevin(iterations=1)
    ways: dict[str, Callable[[], Any]] = {
        "energy step, peer style": bench.peer,
        "energy step, truncated": lambda: bench.guided(descent, 1),
        "Langevin step": lambda: bench.guided(langevin, 1),
        "CFG step": lambda: bench.plain(1, cfg=True),
        "conditional forward": lambda: bench.plain(1, cfg=False),
        f"energy step, truncated, batch of {BATCH}": lambda: bench.guided(descent, BATCH),
        f"Langevin step, batch of {BATCH}": lambda: bench.guided(langevin, BATCH),
        f"CFG step, batch of {BATCH}": lambda: bench.plain(BATCH, cfg=True),
    }
    kept: dict[str, int] = {}

    def metered(name: str) -> None:
        with saved_for_backward(bench.unet) as meter:
            ways[name]()
        kept[name] = meter.peak

    times = take_turns({name: partial(metered, name) for name in ways}, repeats, progress=progress)
    return [
        *(_row(name, time, kept[name]) for name, time in times.items()),
        *_ratios(times, kept),
        *_batch_ratios(times),
    ]


def _ratios(times: dict[str, Timing], kept: dict[str, int]) -> list[dict[str, Any]]:
    peer, truncated = times["energy step, peer style"], times["energy step, truncated"]
    langevin, cfg = times["Langevin step"], times["CFG step"]
    memory = {name: kept["energy step, peer style"] / max(1, kept[name]) for name in kept}
    return [
        _at_least("truncated step: times faster than peer style", peer / truncated, 2),
        _goal("truncated step: times less kept for backward", memory["energy step, truncated"], 5),
        _at_least("Langevin step: times faster than peer style", peer / langevin, 1.7),
        {"name": "Langevin step: times less kept for backward", "n": 1, "ratio": memory["Langevin step"]},
        _at_most("WinWinLay image in plain CFG images", _image(langevin, cfg) / (cfg * STEPS), 2.2),
        _ratio("peer-style WinWinLay image in plain CFG images", _image(peer, cfg) / (cfg * STEPS)),
    ]


def _batch_ratios(times: dict[str, Timing]) -> list[dict[str, Any]]:
    """How many times faster one batch is than its samples one after the other."""

    def gain(single: Timing, several: Timing) -> Timing:
        return single * BATCH / several

    names = ("energy step, truncated", "Langevin step", "CFG step")
    several = {name: times[f"{name}, batch of {BATCH}"] for name in names}
    gains = {name: gain(times[name], several[name]) for name in names}
    whole = _image(several["Langevin step"], several["CFG step"])
    gains["WinWinLay image"] = gain(_image(times["Langevin step"], times["CFG step"]), whole)
    return [_ratio(f"{name}: batch of {BATCH} against {BATCH} singles", each) for name, each in gains.items()]


def _image(energy_step: Timing, cfg: Timing) -> Timing:
    return cfg * STEPS + energy_step * (GUIDED_STEPS * ITERATIONS)


def _agreement(bench: _Bench) -> list[dict[str, Any]]:
    """Largest difference from the peer-style gradient and prediction, over the largest entry."""
    peer_gradient, peer_prediction = bench.peer()
    truncated, _ = _point(bench, "stop")
    detached, prediction = _point(bench, "detach")
    assert prediction is not None
    pairs = {
        "gradient, truncated against peer style": (truncated, peer_gradient),
        "gradient, Langevin step against peer style": (detached, peer_gradient),
        "prediction, Langevin step against peer style": (prediction, peer_prediction),
    }
    return [_difference(name, ours, theirs) for name, (ours, theirs) in pairs.items()]


def _point(bench: _Bench, cut: Literal["stop", "detach"]) -> tuple[Tensor, Tensor | None]:
    step = step_of(bench.unet, bench.grid, bench.text_BLD[:1])
    latents = bench.latents_BCHW[:1]
    with capture(bench.unet, guidance_layers(bench.unet), cut=cut) as recording:
        point = Landscape(recording, ENERGY, step, _first(step), like=latents, ended=set())(latents)
    return point.gradient_BCHW, point.prediction_BCHW


def _first(step: Step) -> Progress:
    return Progress(index=step.index, total=step.total, guided_index=0, guided_total=GUIDED_STEPS)


def _difference(name: str, ours: Tensor, theirs: Tensor) -> dict[str, Any]:
    error = float((ours - theirs).abs().max() / theirs.abs().max())
    return {"name": name, "n": 1, "relative_error": error, "goal": f"≤ {AGREE:.5f}", "met": error <= AGREE}


def _row(name: str, time: Timing, kept: int) -> dict[str, Any]:
    row = {"name": name, "n": len(time.seconds), "seconds": time.median, "seconds_ci": time.extremes}
    return {**row, "cpu_seconds": time.cpu_median, "bytes": kept}


def _ratio(name: str, ratio: Timing) -> dict[str, Any]:
    row = {"name": name, "n": len(ratio.seconds), "ratio": ratio.median, "ratio_ci": ratio.extremes}
    return {**row, "cpu_ratio": ratio.cpu_median}


def _at_least(name: str, ratio: Timing, goal: float) -> dict[str, Any]:
    return {**_ratio(name, ratio), "goal": f"≥ {goal:g}", "met": ratio.median >= goal}


def _at_most(name: str, ratio: Timing, goal: float) -> dict[str, Any]:
    return {**_ratio(name, ratio), "goal": f"≤ {goal:g}", "met": ratio.median <= goal}


def _goal(name: str, ratio: float, goal: float) -> dict[str, Any]:
    return {"name": name, "n": 1, "ratio": ratio, "goal": f"≥ {goal:g}", "met": ratio >= goal}


@contextmanager
def _threads(threads: int | None) -> Iterator[int]:
    before = torch.get_num_threads()
    torch.set_num_threads(threads or before)
    try:
        yield torch.get_num_threads()
    finally:
        torch.set_num_threads(before)

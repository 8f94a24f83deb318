"""Where to push: attention maps and boxes → one energy per sample, low when every phrase attends to its boxes.

    E_aef  = (1 − Σ_u m·a / Σ_u a)²                              Chen et al. 2024; WinWinLay eq. 2-4
    R_nap  = Σ_{u∈S} â log(â / τ),   τ ∝ exp(−λ d_u) over S      WinWinLay eq. 12
    E_naef = Σ_γ Σ_i (E_aef + ρ R_nap)                           WinWinLay eq. 13

for every layer γ and subject i (a phrase with its boxes), computed per head and per token of the phrase and averaged
over both. Subjects that share a phrase share one E_aef with the union of their boxes; their R_nap are averaged.

A box covers the cells of a layer's grid whose centres it contains. Along an axis where it contains none (it is thinner
than a cell) it owns the one row or column that its own centre lies in, so no box ever vanishes.

Not here: moving a latent (`updates.py`), recording maps (`painting/attention.py`).
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Literal, Protocol

import torch
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.layout import Box
from scenograph.painting.guidance.window import Progress
from scenograph.painting.tokens import TokenGroup, TokenLayout

Grid = tuple[int, int]
Reduce = Literal["sum", "mean"]
Distance = Literal["scale_free", "paper"]


class Energy(Protocol):
    """Maps of several layers → energy_B, differentiable, each entry depending on its own sample only."""

    def __call__(
        self, maps: Mapping[str, Tensor], grids: Mapping[str, Grid], tokens: Sequence[TokenLayout], progress: Progress
    ) -> Tensor:
        """maps: layer → maps_BHQT; grids: layer → (rows, columns); tokens: one layout per sample."""
        ...


@dataclass(frozen=True, kw_only=True)
class AttentionEnergy:
    """E_aef: the share of a phrase's attention outside its boxes, squared.

    reduce: "sum" over layers and subjects as in eq. 3, or their "mean" as the public layout-control code does.
    """

    reduce: Reduce = "sum"

    def __post_init__(self) -> None:
        _one_of("reduce", self.reduce, ("sum", "mean"))

    def __call__(
        self, maps: Mapping[str, Tensor], grids: Mapping[str, Grid], tokens: Sequence[TokenLayout], progress: Progress
    ) -> Tensor:
        total_B = sum(_aef(maps_BHQT, grids[layer], tuple(tokens)) for layer, maps_BHQT in maps.items())
        return _reduced(total_B, self.reduce, len(maps), tokens)


@dataclass(frozen=True, kw_only=True)
class NonLocalAttentionEnergy:
    """E_naef: E_aef, and a prior that spreads the attention over the whole box, fading with ρ.

    distance "scale_free" (default) d = ((u_x−c_x)/W)² + ((u_y−c_y)/H)²; "paper" as printed, d = (u_x−c_x)²/W +
    (u_y−c_y)²/H in the layer's grid cells, which gives big boxes the most peaked prior.
    lam: λ; None is 2 for "scale_free" (edge of the box .61 of its centre) and 1 for "paper".
    rho: (first, last), linear over the "guided" steps, or over "all" sampling steps.
    """

    reduce: Reduce = "sum"
    distance: Distance = "scale_free"
    lam: float | None = None
    rho: tuple[float, float] = (5.0, 0.0)
    rho_over: Literal["guided", "all"] = "guided"

    def __post_init__(self) -> None:
        _one_of("reduce", self.reduce, ("sum", "mean"))
        _one_of("distance", self.distance, ("scale_free", "paper"))
        _one_of("rho_over", self.rho_over, ("guided", "all"))
        for name, value in (("lam", self.lam), ("rho", min(self.rho))):
            check_range(name, value, 0)

    def __call__(
        self, maps: Mapping[str, Tensor], grids: Mapping[str, Grid], tokens: Sequence[TokenLayout], progress: Progress
    ) -> Tensor:
        subjects, rho = tuple(tokens), self.rho_at(progress)
        total_B = sum(_aef(maps_BHQT, grids[layer], subjects) for layer, maps_BHQT in maps.items())
        if rho != 0:
            lam = self.lam if self.lam is not None else {"scale_free": 2.0, "paper": 1.0}[self.distance]
            for layer, maps_BHQT in maps.items():
                total_B = total_B + rho * _nap(maps_BHQT, grids[layer], subjects, self.distance, lam)
        return _reduced(total_B, self.reduce, len(maps), tokens)

    def rho_at(self, progress: Progress) -> float:
        """ρ_n = first + (last − first) · n / (N − 1)."""
        guided = self.rho_over == "guided"
        index = progress.guided_index if guided else progress.index
        total = progress.guided_total if guided else progress.total
        first, last = self.rho
        return first + (last - first) * (index / (total - 1) if total > 1 else 0.0)


def above_third(maps: Mapping[str, Tensor], grids: Mapping[str, Grid], tokens: Sequence[TokenLayout]) -> Tensor:
    """share_B of in-box attention values above 1/3, over layers, heads and tokens.

    Below 1/3, maps that are softmaxed over tokens behave as Theorem 4.1 says (a step on E_aef widens the ratio of two
    in-box cells); above, the ratio shrinks.
    """
    share_B = torch.zeros(len(tokens))
    for layer, maps_BHQT in maps.items():
        rows = _group_rows(tuple(tokens), grids[layer], maps_BHQT.device, maps_BHQT.dtype)
        high_NHQ = (rows.read(maps_BHQT) > 1 / 3) * rows.mask_NQ[:, None]
        share_N = high_NHQ.sum((1, 2)) / (high_NHQ.shape[1] * rows.mask_NQ.sum(1))
        share_B = share_B.to(share_N) + rows.per_sample_BN @ share_N / len(maps)
    return share_B / _subject_counts(tokens, share_B)


def cells(box: Box, grid: Grid) -> tuple[range, range]:
    """(rows, columns) of a grid that a box covers: at least one of each (the rule is in the module docstring)."""
    return _span(box.y0, box.y1, grid[0]), _span(box.x0, box.x1, grid[1])


def _span(low: float, high: float, count: int) -> range:
    inside = [i for i in range(count) if low <= (i + 0.5) / count < high]
    if inside:
        return range(inside[0], inside[-1] + 1)
    nearest = min(int((low + high) / 2 * count), count - 1)
    return range(nearest, nearest + 1)


@dataclass(frozen=True, kw_only=True)
class _Rows:
    """What an energy term reads from one layer: N maps, one per (sample, subject, token) or (…, token, box)."""

    sample_N: Tensor
    token_N: Tensor
    mask_NQ: Tensor
    """1 inside, 0 outside."""
    per_sample_BN: Tensor
    """Weights that average a subject's rows and sum its sample's subjects."""
    log_prior_NQ: Tensor | None = None

    def read(self, maps_BHQT: Tensor) -> Tensor:
        """→ attention_NHQ"""
        return maps_BHQT.permute(0, 3, 1, 2)[self.sample_N, self.token_N]


def _aef(maps_BHQT: Tensor, grid: Grid, tokens: tuple[TokenLayout, ...]) -> Tensor:
    """E_aef of one layer, averaged over heads and tokens, summed over subjects → energy_B."""
    rows = _group_rows(tokens, grid, maps_BHQT.device, maps_BHQT.dtype)
    attention_NHQ = rows.read(maps_BHQT)
    inside_NH = (attention_NHQ * rows.mask_NQ[:, None]).sum(-1)
    everywhere_NH = attention_NHQ.sum(-1).clamp_min(torch.finfo(maps_BHQT.dtype).tiny)
    return rows.per_sample_BN @ ((1 - inside_NH / everywhere_NH) ** 2).mean(1)


def _nap(maps_BHQT: Tensor, grid: Grid, tokens: tuple[TokenLayout, ...], distance: Distance, lam: float) -> Tensor:
    """R_nap of one layer, averaged over heads, tokens and boxes, summed over subjects → energy_B."""
    rows = _box_rows(tokens, grid, distance, lam, maps_BHQT.device, maps_BHQT.dtype)
    assert rows.log_prior_NQ is not None
    inside_N1Q = rows.mask_NQ[:, None] > 0
    # A float32 softmax can underflow to 0, whose log would poison the gradient; outside cells must not reach log at
    # all.
    tiny = torch.finfo(maps_BHQT.dtype).tiny
    log_NHQ = torch.where(inside_N1Q, rows.read(maps_BHQT), 1.0).clamp_min(tiny).log()
    log_NHQ = torch.where(inside_N1Q, log_NHQ, -torch.inf).log_softmax(-1)  # log â: renormalised over the box
    log_ratio_NHQ = torch.where(inside_N1Q, log_NHQ - rows.log_prior_NQ[:, None], 0.0)
    return rows.per_sample_BN @ (log_NHQ.exp() * log_ratio_NHQ).sum(-1).mean(1)


@lru_cache(maxsize=64)
@torch.inference_mode(False)  # a later call that differentiates must be able to use what this one keeps
def _group_rows(tokens: tuple[TokenLayout, ...], grid: Grid, device: torch.device, dtype: torch.dtype) -> _Rows:
    """One row per (subject, token), with the union of the subject's boxes."""
    samples, positions, masks, weights = [], [], [], []
    for sample, group in _subjects(tokens):
        mask = torch.zeros(grid, dtype=dtype)
        for box in group.boxes:
            rows, columns = cells(box, grid)
            mask[rows.start : rows.stop, columns.start : columns.stop] = 1
        for token in group.tokens:
            samples.append(sample)
            positions.append(token)
            masks.append(mask.flatten())
            weights.append(1 / len(group.tokens))
    return _stack(samples, positions, masks, weights, len(tokens), device, dtype)


@lru_cache(maxsize=64)
@torch.inference_mode(False)
def _box_rows(
    tokens: tuple[TokenLayout, ...],
    grid: Grid,
    distance: Distance,
    lam: float,
    device: torch.device,
    dtype: torch.dtype,
) -> _Rows:
    """One row per (subject, token, box), with the box's log prior log τ (−∞ outside)."""
    samples, positions, masks, weights, priors = [], [], [], [], []
    for sample, group in _subjects(tokens):
        for box in group.boxes:
            log_prior = log_tau(box, grid, distance, lam).to(dtype)
            for token in group.tokens:
                samples.append(sample)
                positions.append(token)
                masks.append((log_prior > -torch.inf).flatten().to(dtype))
                priors.append(log_prior.flatten())
                weights.append(1 / (len(group.tokens) * len(group.boxes)))
    return _stack(samples, positions, masks, weights, len(tokens), device, dtype, priors)


def log_tau(box: Box, grid: Grid, distance: Distance, lam: float) -> Tensor:
    """log τ of a box on a grid of (rows, columns), float64; −∞ outside the box's cells."""
    height, width = grid
    rows, columns = cells(box, grid)
    y = (torch.tensor(rows, dtype=torch.float64) + 0.5) / height - box.center[1]
    x = (torch.tensor(columns, dtype=torch.float64) + 0.5) / width - box.center[0]
    if distance == "scale_free":
        along_y, along_x = (y / box.height) ** 2, (x / box.width) ** 2
    else:
        along_y, along_x = (y * height) ** 2 / (box.height * height), (x * width) ** 2 / (box.width * width)
    inside = -lam * (along_y[:, None] + along_x[None, :])
    full = torch.full(grid, -torch.inf, dtype=torch.float64)
    full[rows.start : rows.stop, columns.start : columns.stop] = inside - inside.flatten().logsumexp(0)
    return full


def _subjects(tokens: tuple[TokenLayout, ...]) -> Iterator[tuple[int, TokenGroup]]:
    return ((sample, group) for sample, layout in enumerate(tokens) for group in layout.groups)


def _stack(
    samples: list[int],
    positions: list[int],
    masks: list[Tensor],
    weights: list[float],
    batch: int,
    device: torch.device,
    dtype: torch.dtype,
    priors: list[Tensor] | None = None,
) -> _Rows:
    if not samples:
        raise GuidanceError("no sample of the batch has a phrase with a box; paint it without guidance")
    sample_N = torch.tensor(samples)
    # A matrix instead of index_add: deterministic on every device.
    per_sample_BN = (torch.arange(batch)[:, None] == sample_N).to(dtype) * torch.tensor(weights, dtype=dtype)
    return _Rows(
        sample_N=sample_N.to(device),
        token_N=torch.tensor(positions).to(device),
        mask_NQ=torch.stack(masks).to(device),
        per_sample_BN=per_sample_BN.to(device),
        log_prior_NQ=torch.stack(priors).to(device) if priors is not None else None,
    )


def _reduced(total_B: Tensor | int, reduce: Reduce, layers: int, tokens: Sequence[TokenLayout]) -> Tensor:
    if not isinstance(total_B, Tensor):
        raise GuidanceError("an energy needs the attention maps of at least one layer, got none")
    return total_B if reduce == "sum" else total_B / layers / _subject_counts(tokens, total_B)


def _subject_counts(tokens: Sequence[TokenLayout], like: Tensor) -> Tensor:
    """Subjects per sample, at least 1 so that a layout without instances has energy 0."""
    return torch.tensor([max(1, len(layout.groups)) for layout in tokens]).to(like)


def check_range(name: str, value: float | None, least: float) -> None:
    """Raises GuidanceError for a number below `least`, or none that is finite; None is a default."""
    if value is not None and not least <= value < math.inf:
        raise GuidanceError(f"{name} is {value!r}; expected a number from {least}")


def _one_of(name: str, value: str, choices: tuple[str, ...]) -> None:
    if value not in choices:
        raise GuidanceError(f"{name} is one of {', '.join(choices)}; got {value!r}")

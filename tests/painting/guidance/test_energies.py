"""Energies against a slow reference written out in loops, and what they are at maps one can foretell."""

from __future__ import annotations

import math
from collections.abc import Sequence

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.layout import Box
from scenograph.painting.guidance import AttentionEnergy, NonLocalAttentionEnergy, Progress
from scenograph.painting.guidance.energies import Distance, Grid, Reduce, above_third, cells, log_tau
from scenograph.painting.tokens import TokenLayout
from tests.painting.networks import LAYOUTS, group, token_layout

GRIDS: dict[str, Grid] = {"mid": (8, 8), "up": (16, 12)}
START = Progress(index=0, total=50, guided_index=0, guided_total=10)
END = Progress(index=9, total=50, guided_index=9, guided_total=10)


def random_maps(batch: int, dtype: torch.dtype = torch.float64, heads: int = 3, tokens: int = 13) -> dict[str, Tensor]:
    generator = torch.Generator().manual_seed(0)
    return {
        layer: (2 * torch.randn(batch, heads, rows * columns, tokens, generator=generator)).to(dtype).softmax(-1)
        for layer, (rows, columns) in GRIDS.items()
    }


def inside(box: Box, grid: Grid) -> list[tuple[int, int]]:
    """The rasterisation rule, cell by cell."""
    rows = [r for r in range(grid[0]) if box.y0 <= (r + 0.5) / grid[0] < box.y1]
    columns = [c for c in range(grid[1]) if box.x0 <= (c + 0.5) / grid[1] < box.x1]
    rows = rows or [min(grid[0] - 1, math.floor((box.y0 + box.y1) / 2 * grid[0]))]
    columns = columns or [min(grid[1] - 1, math.floor((box.x0 + box.x1) / 2 * grid[1]))]
    return [(r, c) for r in rows for c in columns]


def slow_prior(box: Box, grid: Grid, distance: str, lam: float) -> dict[tuple[int, int], float]:
    weights = {}
    for r, c in inside(box, grid):
        x, y = (c + 0.5) / grid[1] - (box.x0 + box.x1) / 2, (r + 0.5) / grid[0] - (box.y0 + box.y1) / 2
        width, height = box.x1 - box.x0, box.y1 - box.y0
        if distance == "paper":
            d = (x * grid[1]) ** 2 / (width * grid[1]) + (y * grid[0]) ** 2 / (height * grid[0])
        else:
            d = (x / width) ** 2 + (y / height) ** 2
        weights[r, c] = math.exp(-lam * d)
    return {cell: weight / sum(weights.values()) for cell, weight in weights.items()}


def slow(
    maps: dict[str, Tensor], layouts: Sequence[TokenLayout], rho: float, distance: str, lam: float, reduce: str
) -> list[float]:
    energies = []
    for sample, layout in enumerate(layouts):
        terms = []
        for layer, grid in GRIDS.items():
            for subject in layout.groups:
                values = []
                for token in subject.tokens:
                    for head in range(maps[layer].shape[1]):
                        a = maps[layer][sample, head, :, token].view(grid).tolist()
                        union = {cell for box in subject.boxes for cell in inside(box, grid)}
                        share = sum(a[r][c] for r, c in union) / sum(map(sum, a))
                        priors = []
                        for box in subject.boxes:
                            prior, total = (
                                slow_prior(box, grid, distance, lam),
                                sum(a[r][c] for r, c in inside(box, grid)),
                            )
                            hats = {(r, c): a[r][c] / total for r, c in prior}
                            priors.append(sum(hats[cell] * math.log(hats[cell] / prior[cell]) for cell in prior))
                        values.append((1 - share) ** 2 + rho * sum(priors) / len(priors))
                terms.append(sum(values) / len(values))
        energies.append(sum(terms) / (len(terms) if reduce == "mean" else 1))
    return energies


@pytest.mark.parametrize("reduce", ["sum", "mean"])
def test_aef_against_the_slow_reference(reduce: Reduce) -> None:
    maps = random_maps(4)
    energy_B = AttentionEnergy(reduce=reduce)(maps, GRIDS, LAYOUTS, START)
    assert energy_B.tolist() == pytest.approx(slow(maps, LAYOUTS, 0.0, "scale_free", 2.0, reduce), rel=1e-12)


@pytest.mark.parametrize("reduce", ["sum", "mean"])
@pytest.mark.parametrize(
    ("distance", "lam", "default"), [("scale_free", 2.0, None), ("paper", 1.0, None), ("paper", 3.0, 3.0)]
)
def test_naef_against_the_slow_reference(reduce: Reduce, distance: Distance, lam: float, default: float | None) -> None:
    maps = random_maps(4)
    energy = NonLocalAttentionEnergy(reduce=reduce, distance=distance, lam=default)
    middle = Progress(index=6, total=50, guided_index=3, guided_total=10)
    expected = slow(maps, LAYOUTS, 5 * (1 - 3 / 9), distance, lam, reduce)
    assert energy(maps, GRIDS, LAYOUTS, middle).tolist() == pytest.approx(expected, rel=1e-12)


def test_float32_follows_the_maps() -> None:
    maps = random_maps(4, torch.float32)
    energy_B = NonLocalAttentionEnergy()(maps, GRIDS, LAYOUTS, START)
    assert energy_B.dtype == torch.float32
    assert energy_B.tolist() == pytest.approx(slow(random_maps(4), LAYOUTS, 5.0, "scale_free", 2.0, "sum"), rel=1e-5)


def map_like(prior: Tensor, floor: float = 0.0) -> dict[str, Tensor]:
    """One layer whose token 1 has a given map."""
    maps = torch.zeros(1, 2, prior.numel(), 4, dtype=torch.float64)
    maps[..., 1] = prior.flatten() + floor
    return {"up": maps}


def test_perfect_maps_have_no_energy() -> None:
    """All attention inside the box: E_aef = 0. Map ∝ τ: R_nap = 0 too. Anything else costs."""
    box, layout = Box(0.25, 0.25, 0.75, 0.75), token_layout(group([1], (0.25, 0.25, 0.75, 0.75)))
    prior = log_tau(box, GRIDS["up"], "scale_free", 2.0).exp()
    naef, aef = NonLocalAttentionEnergy(), AttentionEnergy()
    assert aef(map_like(prior), GRIDS, [layout], START).item() == pytest.approx(0, abs=1e-20)
    assert naef(map_like(0.3 * prior), GRIDS, [layout], START).item() == pytest.approx(0, abs=1e-12)
    assert naef(map_like((prior > 0).double()), GRIDS, [layout], START).item() > 0.01
    assert naef(map_like(prior.roll(1, 0)), GRIDS, [layout], START).item() > 0.01
    spread = map_like(prior, floor=0.01)
    assert aef(spread, GRIDS, [layout], START).item() > 0
    assert naef(spread, GRIDS, [layout], END).item() == pytest.approx(
        aef(spread, GRIDS, [layout], END).item(), rel=1e-12
    )


def test_edge_and_corner_of_the_default_prior() -> None:
    """λ = 2: the middle of an edge has exp(−½) = .61 of the centre, a corner exp(−1) = .37."""
    tau = log_tau(Box(0.0, 0.0, 1.0, 1.0), (1001, 1001), "scale_free", 2.0).exp()
    assert float(tau[500, 0] / tau[500, 500]) == pytest.approx(math.exp(-0.5), abs=2e-3)
    assert float(tau[0, 0] / tau[500, 500]) == pytest.approx(math.exp(-1), abs=2e-3)


@pytest.mark.parametrize(("cells_wide", "ratio"), [(2, 0.61), (4, 0.37), (8, 0.14), (16, 0.02)])
def test_the_printed_prior_is_most_peaked_for_big_boxes(cells_wide: int, ratio: float) -> None:
    """exp(−W/4) from the centre to the edge of a box W cells wide: .61, .37, .14, .02."""
    edge = cells_wide**2 / 4 / cells_wide
    assert math.exp(-edge) == pytest.approx(ratio, abs=5e-3)
    tau = log_tau(Box(0.0, 0.0, cells_wide / 16, 1.0), (1, 16), "paper", 1.0).exp()[0, :cells_wide]
    expected = [math.exp(-((i + 0.5 - cells_wide / 2) ** 2) / cells_wide) for i in range(cells_wide)]
    assert tau.tolist() == pytest.approx([value / sum(expected) for value in expected], rel=1e-12)


@pytest.mark.parametrize(("n", "expected"), [(0, 5.0), (3, 5 * (1 - 3 / 9)), (9, 0.0)])
def test_rho_falls_over_the_guided_steps(n: int, expected: float) -> None:
    at = Progress(index=n + 2, total=50, guided_index=n, guided_total=10)
    assert NonLocalAttentionEnergy().rho_at(at) == pytest.approx(expected)
    assert NonLocalAttentionEnergy(rho_over="all").rho_at(at) == pytest.approx(5 * (1 - (n + 2) / 49))
    assert NonLocalAttentionEnergy().rho_at(Progress(index=0, total=1, guided_index=0, guided_total=1)) == 5.0


def test_dead_maps_give_finite_gradients() -> None:
    """A float32 softmax underflows to exactly 0: neither 0/0 nor log 0 may come out, nor NaN into the gradient."""
    maps = {"up": torch.zeros(1, 2, 192, 4, requires_grad=True)}
    layout = token_layout(group([1], (0.2, 0.2, 0.6, 0.6)))
    energy_B = NonLocalAttentionEnergy()(maps, GRIDS, [layout], START)
    (gradient,) = torch.autograd.grad(energy_B.sum(), maps["up"])
    assert energy_B.isfinite().all() and gradient.isfinite().all()


def test_each_energy_depends_on_its_own_sample_only() -> None:
    maps = {layer: value.requires_grad_() for layer, value in random_maps(4).items()}
    energy_B = NonLocalAttentionEnergy()(maps, GRIDS, LAYOUTS, START)
    (gradient,) = torch.autograd.grad(energy_B[1], maps["mid"])
    assert gradient[1].abs().sum() > 0
    assert gradient[[0, 2, 3]].abs().sum() == 0


def test_a_sample_without_instances_has_energy_zero() -> None:
    energy_B = NonLocalAttentionEnergy(reduce="mean")(random_maps(2), GRIDS, [LAYOUTS[0], token_layout()], START)
    assert energy_B[0] > 0 and energy_B[1] == 0


def test_shared_phrase_uses_the_union() -> None:
    """Attention on either twin is fine for E_aef; two subjects of one phrase would have fought."""
    left, right = (0.0, 0.0, 0.5, 1.0), (0.5, 0.0, 1.0, 1.0)
    maps = random_maps(1)
    shared = AttentionEnergy()(maps, GRIDS, [token_layout(group([1], left, right))], START)
    assert shared.item() == pytest.approx(0, abs=1e-20)
    apart = AttentionEnergy()(maps, GRIDS, [token_layout(group([1], left), group([1], right))], START)
    assert apart.item() > 0.5


def test_above_third() -> None:
    maps = {"mid": torch.full((2, 1, 64, 3), 0.1)}
    maps["mid"][0, 0, :8, 1] = 0.5  # the top row
    layouts = [token_layout(group([1], (0.0, 0.0, 1.0, 0.25)))] * 2
    assert above_third(maps, GRIDS, layouts).tolist() == pytest.approx([0.5, 0.0])


fractions = st.floats(0, 1, allow_nan=False).map(lambda value: round(value, 4))


@settings(deadline=None, max_examples=200)
@given(st.tuples(fractions, fractions, fractions, fractions), st.tuples(st.integers(1, 20), st.integers(1, 20)))
def test_every_box_owns_a_cell_near_it(sides: tuple[float, float, float, float], grid: Grid) -> None:
    x0, x1 = sorted(sides[:2])
    y0, y1 = sorted(sides[2:])
    if x0 == x1 or y0 == y1:
        return
    rows, columns = cells(Box(x0, y0, x1, y1), grid)
    assert len(rows) >= 1 and len(columns) >= 1
    assert 0 <= rows.start < rows.stop <= grid[0] and 0 <= columns.start < columns.stop <= grid[1]
    for span, low, high, count in ((rows, y0, y1, grid[0]), (columns, x0, x1, grid[1])):
        assert span.start / count <= high and span.stop / count >= low  # touches the box
        assert len(span) <= (high - low) * count + 1


@pytest.mark.parametrize(
    ("box", "expected"),
    [
        ((0.0, 0.0, 1.0, 1.0), (range(8), range(8))),
        ((0.25, 0.0, 0.5, 0.5), (range(4), range(2, 4))),
        ((0.26, 0.01, 0.27, 0.02), (range(1), range(2, 3))),
        ((0.99, 0.0, 1.0, 1.0), (range(8), range(7, 8))),
        ((0.0, 0.1, 0.99, 0.12), (range(1), range(8))),
    ],
)
def test_cells(box: tuple[float, float, float, float], expected: tuple[range, range]) -> None:
    assert cells(Box(*box), (8, 8)) == expected


def test_unknown_options() -> None:
    with pytest.raises(GuidanceError, match="reduce is one of sum, mean; got 'max'"):
        AttentionEnergy(reduce="max")  # type: ignore[arg-type]
    with pytest.raises(GuidanceError, match="distance"):
        NonLocalAttentionEnergy(distance="cells")  # type: ignore[arg-type]
    with pytest.raises(GuidanceError, match="at least one layer"):
        AttentionEnergy()({}, {}, LAYOUTS, START)


def test_what_inference_mode_computed_can_be_differentiated_later() -> None:
    """The cached masks and priors must not be inference tensors."""
    maps = {"mid": torch.rand(1, 2, 64, 7).softmax(-1)}
    subjects = [token_layout(group([3], (0.11, 0.22, 0.77, 0.88)))]
    energy = NonLocalAttentionEnergy()
    progress = Progress(index=0, total=50, guided_index=0, guided_total=10)
    with torch.inference_mode():
        inside = energy(maps, {"mid": (8, 8)}, subjects, progress)
    leaf = maps["mid"].clone().requires_grad_()
    outside = energy({"mid": leaf}, {"mid": (8, 8)}, subjects, progress)
    outside.sum().backward()
    assert leaf.grad is not None and leaf.grad.abs().max() > 0
    assert outside.tolist() == inside.tolist()

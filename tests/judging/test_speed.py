"""Bytes counted against graphs whose savings are known, and timing in turns."""

from __future__ import annotations

import time

import torch
from torch import Tensor, nn

from scenograph.judging.speed import Timing, saved_for_backward, take_turns


def leaf(count: int) -> Tensor:
    return torch.randn(count, requires_grad=True)


def test_a_storage_counts_once() -> None:
    x = leaf(1000)
    with saved_for_backward() as meter:
        y = x.exp()  # saves its output
        z = (y * y.view(10, 100).view(-1)).sum()  # saves the same storage twice more
    assert meter.now == meter.peak == 4000
    z.backward()
    assert x.grad is not None
    assert torch.allclose(x.grad, 2 * (2 * x).exp())


def test_the_peak_outlives_the_graph() -> None:
    x = leaf(1000)
    with saved_for_backward() as meter:
        x.exp().sum().backward()
        assert (meter.now, meter.peak) == (0, 4000)
        x.tanh().exp()  # two savings, gone with their graph
    assert (meter.now, meter.peak) == (0, 8000)


def test_weights_are_not_counted() -> None:
    network = nn.Linear(100, 10)
    x = leaf(100)
    with saved_for_backward() as everything:
        network(x)
    with saved_for_backward(network) as meter:
        network(x)  # keeps x for the weight's gradient, and the weight for x's
    assert meter.peak == 400
    assert everything.peak == 400 + 4000
    network.requires_grad_(False)
    with saved_for_backward(network) as frozen:
        network(x)
    assert frozen.peak == 0


def test_nothing_is_kept_without_a_graph() -> None:
    with saved_for_backward() as meter, torch.no_grad():
        leaf(1000).exp()
    assert meter.peak == 0


def test_ways_take_turns() -> None:
    order: list[str] = []

    def slow() -> None:
        order.append("slow")
        time.sleep(0.05)

    times = take_turns({"slow": slow, "quick": lambda: order.append("quick")}, 2)
    assert order == ["slow", "quick"] * 2
    assert times["slow"].median >= 0.05 > times["slow"].cpu_median  # sleeping takes no processor
    assert len(times["quick"].seconds) == 2


def test_timings_are_combined_round_by_round() -> None:
    a = Timing(seconds=(1.0, 2.0, 6.0), cpu=(1.0, 1.0, 1.0))
    b = Timing(seconds=(2.0, 4.0, 12.0), cpu=(4.0, 4.0, 4.0))
    assert (b / a).seconds == (2.0, 2.0, 2.0)
    assert (b / a).cpu_median == 4
    assert (a * 2 + b).seconds == (4.0, 8.0, 24.0)
    assert (b.median, b.extremes) == (4.0, [2.0, 12.0])

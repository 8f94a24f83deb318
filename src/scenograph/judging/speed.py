"""Seconds of several ways to do the same thing, and the bytes that autograd keeps for their backward pass.

Neighbours on a machine slow it down for minutes at a time. So the ways take turns, round by round, and a ratio is
taken within each round: what disturbs one way disturbs the other.

Bytes are counted where autograd saves a tensor, through `torch.autograd.graph.saved_tensors_hooks`: every storage once,
however many nodes and views share it, without the network's own weights, at the moment when most are alive. That is
what a graph costs beyond the plain forward; temporary buffers of single operations are not in it.
"""

from __future__ import annotations

import gc
import statistics
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from operator import add, truediv
from typing import Any

import torch
from torch import Tensor, nn
from tqdm import tqdm

__all__ = ["SavedBytes", "Timing", "saved_for_backward", "take_turns"]


@dataclass(frozen=True, kw_only=True)
class Timing:
    """Seconds of one way, one entry per round; rounds of one `take_turns` correspond.

    cpu: seconds of all threads together. Neighbours stretch it far less than the clock's.
    """

    seconds: tuple[float, ...]
    cpu: tuple[float, ...]

    @property
    def median(self) -> float:
        """Median over the rounds."""
        return statistics.median(self.seconds)

    @property
    def cpu_median(self) -> float:
        """The same of the processor's seconds."""
        return statistics.median(self.cpu)

    @property
    def extremes(self) -> list[float]:
        """[fastest, slowest] round."""
        return [min(self.seconds), max(self.seconds)]

    def __add__(self, other: Timing) -> Timing:
        """Both, one after the other, in every round."""
        return self._paired(add, other)

    def __mul__(self, times: float) -> Timing:
        """The same, so many times over."""
        return Timing(seconds=tuple(times * one for one in self.seconds), cpu=tuple(times * one for one in self.cpu))

    def __truediv__(self, other: Timing) -> Timing:
        """Round by round how many times longer than `other`: ratios in place of seconds."""
        return self._paired(truediv, other)

    def _paired(self, operation: Callable[[float, float], float], other: Timing) -> Timing:
        return Timing(
            seconds=tuple(map(operation, self.seconds, other.seconds)), cpu=tuple(map(operation, self.cpu, other.cpu))
        )


class SavedBytes:
    """What autograd holds for backward, in bytes: `now` and at the `peak`. Made by `saved_for_backward`."""

    def __init__(self, exclude: frozenset[int]) -> None:
        self.now = 0
        self.peak = 0
        self._exclude = exclude
        self._holders: Counter[int] = Counter()

    def hold(self, address: int, size: int) -> None:
        """One more node of the graph keeps the storage at this address."""
        if address in self._exclude:
            return
        self._holders[address] += 1
        if self._holders[address] == 1:
            self.now += size
            self.peak = max(self.peak, self.now)

    def release(self, address: int, size: int) -> None:
        """One of them let go."""
        if address in self._exclude:
            return
        self._holders[address] -= 1
        if self._holders[address] == 0:
            self.now -= size


class _Saved:
    """A saved tensor; alive exactly as long as autograd may still need it."""

    def __init__(self, tensor: Tensor, meter: SavedBytes) -> None:
        storage = tensor.untyped_storage()
        self.tensor, self._meter = tensor.detach(), meter  # with its own graph it would keep itself alive
        self._address, self._size = storage.data_ptr(), storage.nbytes()
        meter.hold(self._address, self._size)

    def __del__(self) -> None:
        self._meter.release(self._address, self._size)


@contextmanager
def saved_for_backward(*networks: nn.Module) -> Iterator[SavedBytes]:
    """Count what autograd saves inside the context, except the storages of these networks' weights and buffers."""
    own = [tensor for network in networks for tensor in (*network.parameters(), *network.buffers())]
    meter = SavedBytes(frozenset(tensor.untyped_storage().data_ptr() for tensor in own))
    with torch.autograd.graph.saved_tensors_hooks(lambda tensor: _Saved(tensor, meter), lambda saved: saved.tensor):
        yield meter


def take_turns(ways: Mapping[str, Callable[[], Any]], rounds: int, *, progress: bool = False) -> dict[str, Timing]:
    """Time every way once per round, in turn. Nothing is run for warming up: do that before."""
    clocks: dict[str, list[tuple[float, float]]] = {name: [] for name in ways}
    with tqdm(total=rounds * len(ways), disable=None if progress else True) as bar:
        for _ in range(rounds):
            for name, way in ways.items():
                bar.set_description(name)
                gc.collect()  # not inside somebody's seconds
                start, cpu_start = time.perf_counter(), time.process_time()
                way()
                clocks[name].append((time.perf_counter() - start, time.process_time() - cpu_start))
                bar.update()
    return {
        name: Timing(seconds=tuple(wall for wall, _ in each), cpu=tuple(cpu for _, cpu in each))
        for name, each in clocks.items()
    }

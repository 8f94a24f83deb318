"""What sharing the image tokens costs grounding: the leak of EchoGen's stage 1, measured (`unified.mask.Sharing`).

    scenograph bench leak --readme README.md     # trains what is missing: ways to share × seeds, equal and short

In the paper's sequence [X_g, X_i, X_g] the image tokens have seen the layout that grounding should find, and at use
that layout is not there. So grounding is measured alone, on drawn held-out scenes:

    acc50 …          Ref-L4's measures
    box_loss         nats per coordinate, grounding alone
    box_loss_shared  the same within the training sequence: what is lower there was copied through the image
    image_loss       nats per image token of painting, which sharing leaves exact; SHARED never drops its layout, the
                     others do in 30 of 100, so its figure is the better for that alone
    minutes          of training on the same number of images

Intervals of the pooled rows are over scenes and trainings, drawn together; three trainings say little of the latter,
which is why each has a row of its own in the file.

Cost: twelve trainings of 2000 steps, hours on two cores; a broken run goes on.
"""

from __future__ import annotations

import shlex
from collections.abc import Callable, Collection, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from scenograph.errors import ResultError
from scenograph.grounding.unified import UnifiedGrounder
from scenograph.judging.bootstrap import Estimate, Tally, difference, resamples
from scenograph.judging.results import check_markers, check_out, commit, write_results
from scenograph.recipes.bench_layouts import LayoutSet, drawn_set
from scenograph.recipes.bench_tables import leak_tables, write_tables
from scenograph.recipes.echogen_readings import grounding_tallies
from scenograph.recipes.echogen_rows import leak_training, train_row
from scenograph.training.loop import facts_of
from scenograph.unified.batch import Batch, collate
from scenograph.unified.mask import Sharing
from scenograph.unified.model import Unified, load_unified
from scenograph.unified.pictures import image_tokens, pixels
from scenograph.unified.scoring import states, targets, token_losses
from scenograph.unified.sequence import Role, shared_sequence

__all__ = ["WAYS", "LeakBench", "loss_tallies", "run"]

WAYS = tuple(one.value for one in Sharing)
_REFERENCE = Sharing.TWO_PASSES.value
_BATCH = 16


@dataclass(frozen=True, kw_only=True)
class LeakBench:
    """What is compared: ways to share, trainings of each, their length, and the scenes that are grounded."""

    rows: tuple[str, ...] = WAYS
    trainings: int = 3
    train_steps: int = 2000
    limit: int = 500
    resamples: int = 1000

    def command(self) -> str:
        """The command line of this comparison."""
        words = ["scenograph", "bench", "leak", "--rows", ",".join(self.rows), "--trainings", str(self.trainings)]
        return shlex.join([*words, "--train-steps", str(self.train_steps), "--limit", str(self.limit)])


def run(
    bench: LeakBench,
    *,
    run: Path,
    out: Path,
    readme: Path | None = None,
    report: Callable[[str], None] = lambda line: None,
) -> list[dict[str, Any]]:
    """Train what is missing, measure, write `out` and the table of `readme`. Raises ResultError for unknown ways."""
    revision = commit()
    if unknown := [way for way in bench.rows if way not in WAYS]:
        raise ResultError(f"no way to share is called {', '.join(unknown)}; there are: {', '.join(WAYS)}")
    check_out(out)
    if readme is not None:
        check_markers(readme, ["echogen-leak"])
    chosen = drawn_set(bench.limit)
    weights_RN = resamples(bench.limit, count=bench.resamples)
    picks_RS = resamples(bench.trainings, count=bench.resamples, seed=1) / bench.trainings
    rows: list[dict[str, Any]] = []
    pooled: dict[str, dict[str, Estimate]] = {}
    for way in bench.rows:
        measured = []
        for seed in range(bench.trainings):
            training = leak_training(Sharing(way), seed, bench.train_steps)
            report(f"{way}: training {seed + 1} of {bench.trainings}")
            unified = load_unified(train_row(training, run))
            tallies = _measured(unified, chosen)
            measured.append({name: tally.estimate(weights_RN) for name, tally in tallies.items()})
            facts = facts_of(run / training.recipe.name)
            seen = training.recipe.plan.steps * training.recipe.plan.batch
            told = {"images_seen": seen, "minutes": facts.get("wall time (min)")}
            rows.append(_row(f"{way} {seed + 1}", bench.limit, measured[-1]) | told)
        pooled[way] = {name: _pooled([one[name] for one in measured], picks_RS) for name in measured[0]}
        times = [row["minutes"] for row in rows[-bench.trainings :] if row["minutes"] is not None]
        minutes = {"minutes": float(np.mean(times))} if times else {}
        rows.append(_row(way, bench.limit, pooled[way]) | {"trainings": bench.trainings, **minutes})
    rows += _differences(pooled, bench.limit)
    what = "EchoGen's stage 1 by how the image tokens are shared: grounding alone, on drawn held-out scenes"
    write_results(out, what=what, command=bench.command(), seed=0, rows=rows, revision=revision)
    if readme is not None:
        write_tables(out, readme, leak_tables)
    return rows


def _measured(unified: Unified, chosen: LayoutSet) -> dict[str, Tally]:
    images = chosen.ceiling()
    # What leaks is in the image tokens; the tower has nothing of it.
    return {
        **grounding_tallies(chosen.scenes, images, UnifiedGrounder(unified, through="tokens")),
        **loss_tallies(unified, chosen),
    }


@torch.no_grad()
def loss_tallies(unified: Unified, chosen: LayoutSet) -> dict[str, Tally]:
    """Cross-entropies in nats per token, per scene: of painting, and of boxes alone and within the shared sequence."""
    images, model = chosen.ceiling(), unified.model
    found: dict[str, list[list[float]]] = {"image_loss": [], "box_loss": [], "box_loss_shared": []}
    for start in range(0, len(images), _BATCH):
        part = slice(start, start + _BATCH)
        tokens_BN = image_tokens(model, pixels(images[part], unified.side).to(model.device)).tolist()
        pairs = zip(chosen.layouts[part], tokens_BN, strict=True)
        batch = collate([shared_sequence(unified.codec, layout, ids) for layout, ids in pairs], device=model.device)
        found["image_loss"] += _losses(model, batch.painting(), {Role.IMAGE})
        found["box_loss"] += _losses(model, batch.grounding(), {Role.BOX})
        found["box_loss_shared"] += _losses(model, batch, {Role.BOX})
    return {name: Tally.of(rows) for name, rows in found.items()}


def _losses(model: Any, batch: Batch, roles: Collection[Role]) -> list[list[float]]:
    """The cross-entropy of every target, row by row."""
    losses_M, _ = token_losses(model, batch, states(model, batch), roles)
    counts = targets(batch, roles).sum(dim=1).tolist()
    return [part.tolist() for part in losses_M.split(counts)]


def _pooled(estimates: Sequence[Estimate], picks_RS: NDArray[np.float64]) -> Estimate:
    """The mean over trainings; a resample draws trainings as well as scenes."""
    samples_SR = np.stack([one.samples_R for one in estimates])
    value = float(np.mean([one.value for one in estimates]))
    return Estimate(value=value, samples_R=(picks_RS.T * samples_SR).sum(axis=0))


def _differences(pooled: Mapping[str, Mapping[str, Estimate]], n: int) -> list[dict[str, Any]]:
    """Every way with two passes, and dropping with the paper's own; paired by scene and seed."""
    pairs = [(way, _REFERENCE) for way in pooled if way != _REFERENCE]
    pairs += [(way, Sharing.SHARED.value) for way in (Sharing.DROPPED.value, Sharing.BLIND.value)]
    return [
        _row(f"{a} − {b}", n, {name: difference(pooled[a][name], pooled[b][name]) for name in pooled[a]})
        for a, b in pairs
        if a in pooled and b in pooled
    ]


def _row(name: str, n: int, values: Mapping[str, Estimate]) -> dict[str, Any]:
    row: dict[str, Any] = {"name": name, "n": n}
    for metric, one in values.items():
        row |= {metric: one.value, f"{metric}_ci": list(one.interval)}
    return row

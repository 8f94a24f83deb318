"""The loop under every training: schedule, gradient step, EMA, checkpoint, resume, log, curve.

A story drives it:

    run = Run(folder, plan, model)
    for step, batch in run.batches(make):        # continues after the last checkpoint
        loss, parts = ...
        run.update(loss, **parts)
    run.finish()

`make(step, rng)` prepares a batch in a process of its own while the steps before it compute; what it draws at random
must come from `rng` alone. A step may also use torch's global generator, which is stored with the checkpoint. So a
resumed run walks through the same states as one that was never stopped. Several processes run through `accelerate
launch`; each draws a batch of its own.
"""

from __future__ import annotations

import json
import os
import time
import warnings
from collections import defaultdict
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, nullcontext
from dataclasses import asdict, dataclass, replace
from itertools import pairwise
from math import cos, inf, pi
from pathlib import Path
from typing import Any, TypeVar

import numpy as np
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState, PartialState
from accelerate.utils import DistributedDataParallelKwargs, send_to_device
from PIL import Image
from torch import Tensor, nn
from torch.utils.data import DataLoader, IterableDataset
from tqdm import tqdm

from scenograph.errors import ScenographWarning, TrainingError
from scenograph.files import write_whole
from scenograph.models.loading import lacks
from scenograph.painting.attention import learning_kernels

__all__ = ["Plan", "Run", "begin", "facts_of", "save_atomically"]

T = TypeVar("T")


@dataclass(frozen=True, kw_only=True)
class Plan:
    """How long and how hard to train: AdamW, linear warm-up, cosine decay to `final_lr` of `lr`.

    `batch` is one process's; several processes draw different batches. Raises TrainingError where the gradients of
    the last `accumulate` steps would be no whole update.
    """

    steps: int
    batch: int
    lr: float
    seed: int = 0
    warmup: int = 200
    final_lr: float = 0.02
    weight_decay: float = 0.01
    betas: tuple[float, float] = (0.9, 0.99)
    clip: float = 1.0
    ema: float | None = 0.999
    accumulate: int = 1
    mixed_precision: str = "no"
    save_minutes: float = 3.0
    log_every: int = 25

    def __post_init__(self) -> None:
        if not 0 < self.lr < inf:
            raise TrainingError(f"the learning rate is {self.lr}; expected a positive number")
        if self.steps % self.accumulate:
            whole = self.accumulate * max(1, round(self.steps / self.accumulate))
            raise TrainingError(
                f"{self.steps} steps make no whole number of updates with the gradients of {self.accumulate} each; "
                f"expected a multiple, such as {whole}"
            )

    def lr_at(self, step: int) -> float:
        """The learning rate of a step."""
        if step < self.warmup:
            return self.lr * (step + 1) / self.warmup
        progress = (step - self.warmup) / max(1, self.steps - self.warmup)
        return self.lr * (self.final_lr + (1 - self.final_lr) * 0.5 * (1 + cos(pi * min(progress, 1.0))))


def save_atomically(value: Any, path: Path) -> None:
    """`torch.save` to a temporary name, then rename: a killed process never leaves half a file."""
    temporary = path.with_suffix(path.suffix + ".partial")
    torch.save(value, temporary)
    os.replace(temporary, path)


def _allow(mixed_precision: str) -> None:
    """Lets the next Accelerator have another precision than one before it in this process, which it would refuse."""
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != mixed_precision:
        AcceleratorState._reset_state()


def _computable(plan: Plan) -> Plan:
    """The plan in float32 where it asks for bfloat16 and the processor has no instructions for that."""
    if plan.mixed_precision != "bf16" or not lacks(PartialState().device, torch.bfloat16):
        return plan
    told = "this processor has no instructions for bfloat16: training in float32, which is far faster here"
    warnings.warn(told, ScenographWarning, stacklevel=3)
    return replace(plan, mixed_precision="no")


class _Made(IterableDataset[Any]):
    """The batches of steps first..last-1, in order."""

    def __init__(self, make: Callable[[int], Any], first: int, last: int) -> None:
        self.make, self.first, self.last = make, first, last

    def __iter__(self) -> Iterator[Any]:
        return map(self.make, range(self.first, self.last))


class Run:
    """One training in one folder: `checkpoint.pt`, `log.jsonl`, `loss.png`.

    `idle` says that a step may leave trainable parameters out: several processes must then look for them, or wait for
    their gradients forever.
    """

    def __init__(
        self, folder: str | Path, plan: Plan, model: nn.Module, *, what: str = "training", idle: bool = False
    ) -> None:
        plan = _computable(plan)
        self.folder, self.plan, self.what = Path(folder), plan, what
        self.folder.mkdir(parents=True, exist_ok=True)
        _allow(plan.mixed_precision)
        self.accelerator = Accelerator(
            gradient_accumulation_steps=plan.accumulate,
            mixed_precision=plan.mixed_precision,
            kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=idle)],
        )
        torch.manual_seed(plan.seed)
        self.parameters = [p for p in model.parameters() if p.requires_grad]
        optimizer = torch.optim.AdamW(self.parameters, lr=plan.lr, betas=plan.betas, weight_decay=plan.weight_decay)
        self.bare = model
        self.model, self.optimizer = self.accelerator.prepare(model, optimizer)
        self.ema = [p.detach().clone() for p in self.parameters] if plan.ema else None
        self.step, self.seconds = 0, 0.0
        # Every plan that was followed and the step it began at: a card must not claim one plan for a run of several.
        self.plans: list[tuple[int, dict[str, Any]]] = [(0, asdict(plan))]
        self._parts: dict[str, list[Tensor]] = defaultdict(list)
        self._resume()

    @property
    def device(self) -> torch.device:
        """Where batches go."""
        return self.accelerator.device

    def rng(self, step: int) -> np.random.Generator:
        """The only source of randomness for the batch of a step (and process)."""
        return np.random.default_rng([self.plan.seed, step, self.accelerator.process_index])

    def sample_rngs(self, step: int) -> list[np.random.Generator]:
        """One source of randomness for each sample of a step's batch, told apart across processes: two processes draw
        together what one draws with twice the batch.
        """
        first = self.accelerator.process_index * self.plan.batch
        return [np.random.default_rng([self.plan.seed, step, first + i]) for i in range(self.plan.batch)]

    def steps(self) -> Iterator[int]:
        """The steps left to do, with a progress bar and a checkpoint every few minutes."""
        bar = tqdm(total=self.plan.steps, initial=self.step, desc=self.what, mininterval=5, unit="step")
        saved = started = time.monotonic()
        already = self.seconds
        with self._kernels():
            while self.step < self.plan.steps:
                with self.accelerator.accumulate(self.model):
                    yield self.step
                self.step += 1
                self.seconds = already + time.monotonic() - started
                if self.step % self.plan.log_every == 0:
                    bar.set_postfix(self._log(), refresh=False)
                bar.update()
                # Between two updates, gradients are half added up, and no checkpoint holds those.
                if self.accelerator.sync_gradients and time.monotonic() - saved > 60 * self.plan.save_minutes:
                    self.save()
                    saved = time.monotonic()
        bar.close()

    def _kernels(self) -> AbstractContextManager[Any]:
        if any(getattr(module, "gradient_checkpointing", False) for module in self.bare.modules()):
            return nullcontext()
        return learning_kernels(self.device, torch.bfloat16 if self.plan.mixed_precision == "bf16" else torch.float32)

    def batches(self, make: Callable[[int, np.random.Generator], T]) -> Iterator[tuple[int, T]]:
        """`steps` with `make(step, rng)` of each, prepared ahead in a process of its own (a thread would hold the
        GIL)."""
        # Without batch_size the loader hands items on as they are; without a generator of its own it would draw from
        # torch's global one, and a resumed run would not be the same.
        source = _Made(lambda step: make(step, self.rng(step)), self.step, self.plan.steps)
        options: dict[str, Any] = {"num_workers": 1, "prefetch_factor": 4, "multiprocessing_context": "fork"}
        batches = iter(DataLoader(source, batch_size=None, generator=torch.Generator(), **options))
        for step in self.steps():
            yield step, send_to_device(next(batches), self.device)

    def update(self, loss: Tensor, **parts: Tensor) -> None:
        """One gradient step; `parts` are logged. A loss that is not finite stops the training with its step."""
        self._refuse_unless_finite("loss", loss)
        for group in self.optimizer.param_groups:
            group["lr"] = self.plan.lr_at(self.step)
        self.accelerator.backward(loss)
        if self.accelerator.sync_gradients:
            norm = self.accelerator.clip_grad_norm_(self.parameters, self.plan.clip)
            if self._scale() < 1:  # float16's scaler leaves out a step that overflows, and goes on with a smaller scale
                self._refuse_unless_finite("gradient norm", norm)
        self.optimizer.step()
        self.optimizer.zero_grad(set_to_none=True)
        if self.ema is not None and self.accelerator.sync_gradients:
            decay = min(self.plan.ema or 0.0, (1 + self.step) / (10 + self.step))
            torch._foreach_lerp_(self.ema, [p.detach() for p in self.parameters], 1 - decay)
        for name, value in {"loss": loss, **parts}.items():
            self._parts[name].append(value.detach())

    def _scale(self) -> float:
        """What losses are multiplied by for float16; 0 without."""
        return float(self.accelerator.scaler.get_scale()) if self.accelerator.scaler else 0.0

    def _refuse_unless_finite(self, what: str, value: Tensor) -> None:
        """The last checkpoint stays as it is: saving now would write what has just broken."""
        if not torch.isfinite(value):
            raise TrainingError(
                f"{self.what}: {what} is {value.item()} at step {self.step}; lower lr or look at the batch, then go on "
                f"from {self.folder / 'checkpoint.pt'}"
            )

    def use_ema(self) -> None:
        """Exchanges the trained parameters and their averages; calling it twice changes nothing."""
        if self.ema is None:
            return
        for parameter, average in zip(self.parameters, self.ema, strict=True):
            kept = parameter.detach().clone()
            parameter.data.copy_(average)
            average.copy_(kept)

    def finish(self) -> None:
        """Last checkpoint and curve; the model is left holding the averaged weights."""
        self.save()
        self.use_ema()

    def save(self) -> None:
        """Writes checkpoint and curve; only the main process does."""
        if not self.accelerator.is_main_process:
            return
        state = {
            "plan": asdict(self.plan),
            "plans": self.plans,
            "step": self.step,
            "seconds": self.seconds,
            "model": self.bare.state_dict(),
            "optimizer": self.optimizer.state_dict(),
            "scaler": self.accelerator.scaler.state_dict() if self.accelerator.scaler else None,
            "ema": self.ema,
            "torch_rng": torch.get_rng_state(),
            "cuda_rng": torch.cuda.get_rng_state_all() if torch.cuda.is_available() else [],
        }
        save_atomically(state, self.folder / "checkpoint.pt")
        self._draw_curve()

    def _resume(self) -> None:
        path = self.folder / "checkpoint.pt"
        if not path.exists():
            return
        state = torch.load(path, map_location=self.device, weights_only=True)
        if state["plan"]["seed"] != self.plan.seed or state["plan"]["batch"] != self.plan.batch:
            raise TrainingError(
                f"{path} was made by plan {state['plan']}, this is {asdict(self.plan)}; use another folder"
            )
        self.bare.load_state_dict(state["model"])
        self.optimizer.load_state_dict(state["optimizer"])
        if self.accelerator.scaler and state.get("scaler"):
            self.accelerator.scaler.load_state_dict(state["scaler"])
        if self.ema is not None:
            self.ema = [e.to(p.device) for e, p in zip(state["ema"], self.parameters, strict=True)]
        self.step, self.seconds = state["step"], state["seconds"]
        torch.set_rng_state(state["torch_rng"].cpu())
        if torch.cuda.is_available() and state.get("cuda_rng"):
            torch.cuda.set_rng_state_all([one.cpu() for one in state["cuda_rng"]])
        self.plans = state.get("plans") or [(0, state["plan"])]
        if asdict(self.plan) != self.plans[-1][1]:
            self.plans.append((self.step, asdict(self.plan)))
        self._forget_after(self.step)

    def _rows(self) -> list[dict[str, Any]]:
        """The log; a line that a killed process left half-written is not one."""
        path, rows = self.folder / "log.jsonl", []
        for line in path.read_text().splitlines() if path.exists() else []:
            try:
                rows.append(json.loads(line))
            except ValueError:
                continue
        return rows

    def _forget_after(self, step: int) -> None:
        """Takes steps out of the log that came after the checkpoint and will be done again."""
        if self.accelerator.is_main_process:
            kept = [json.dumps(row) + "\n" for row in self._rows() if row["step"] <= step]
            write_whole(self.folder / "log.jsonl", "".join(kept))

    def _log(self) -> dict[str, str]:
        means = {name: float(self._mean(values)) for name, values in self._parts.items()}
        self._parts.clear()
        row = {"step": self.step, "seconds": round(self.seconds, 1), "lr": self.plan.lr_at(self.step), **means}
        if self.accelerator.is_main_process:
            with (self.folder / "log.jsonl").open("a") as log:
                log.write(json.dumps(row) + "\n")
        return {name: f"{value:.4g}" for name, value in means.items()}

    def _mean(self, values: list[Tensor]) -> Tensor:
        """Over the steps since the last row, and over all processes."""
        mean = torch.stack(values).mean()
        if self.accelerator.num_processes > 1:
            mean = self.accelerator.reduce(mean, reduction="mean")  # type: ignore[assignment]
        return mean

    def _draw_curve(self) -> None:
        rows = self._rows()
        if not rows:
            return
        from matplotlib.figure import Figure

        figure = Figure(figsize=(7, 4), layout="constrained")
        axes = figure.subplots()
        for name in [k for k in rows[-1] if k not in ("step", "seconds", "lr")]:
            points = [(r["step"], r[name]) for r in rows if name in r]
            axes.plot(*zip(*points, strict=True), label=name, linewidth=1)
        axes.set(xlabel="step", title=self.what, yscale="log" if min(r["loss"] for r in rows) > 0 else "linear")
        axes.grid(alpha=0.3)
        axes.legend(fontsize=8)
        path = self.folder / "loss.png"
        figure.savefig(path, dpi=110)
        with Image.open(path) as drawn:  # a quarter of the bytes, which count where it is published
            drawn.convert("RGB").quantize(48).save(path, optimize=True)


def begin(model: nn.Module, start: str | Path | None) -> nn.Module:
    """The model with the weights of a published folder of its own class, or as it is when `start` is None.

    For going on where only the published weights are left: optimiser and schedule begin anew.
    """
    if start is not None:
        model.load_state_dict(type(model).from_pretrained(start).state_dict())  # type: ignore[attr-defined]
    return model


def facts_of(folder: str | Path) -> dict[str, Any]:
    """What a training did so far, for its card: seed, steps, batch, wall time … Empty before the first save."""
    path = Path(folder) / "checkpoint.pt"
    if not path.exists():
        return {}
    state = torch.load(path, map_location="cpu", weights_only=True)
    plan = state["plan"]
    plans = state.get("plans") or [(0, plan)]
    earlier = {"earlier plans": [f"until step {b}: {_changes(p, q)}" for (_, p), (b, q) in pairwise(plans)]}
    return {
        **(earlier if len(plans) > 1 else {}),
        "seed": plan["seed"],
        "steps": state["step"],
        "batch": plan["batch"],
        "learning rate": plan["lr"],
        "wall time (min)": round(state["seconds"] / 60, 1),
        "threads": torch.get_num_threads(),
        "parameters (M)": round(sum(t.numel() for t in state["model"].values()) / 1e6, 2),
    }


def _changes(before: dict[str, Any], after: dict[str, Any]) -> str:
    return ", ".join(f"{name} {value}" for name, value in before.items() if after[name] != value)

"""The loop: a resumed run walks through the same states as one that never stopped."""

import json
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from torch import nn

from scenograph.errors import ScenographWarning, TrainingError
from scenograph.training import loop
from scenograph.training.loop import Plan, Run, facts_of

PLAN = Plan(steps=12, batch=4, lr=1e-2, warmup=3, ema=0.9, log_every=4)


def train(folder: Path, plan: Plan, *, until: int | None = None, killed: bool = False) -> nn.Module:
    torch.manual_seed(0)
    model = nn.Sequential(nn.Linear(3, 8), nn.Dropout(0.2), nn.Linear(8, 1))
    run = Run(folder, plan, model)

    def make(step: int, rng: np.random.Generator) -> torch.Tensor:
        return torch.from_numpy(rng.standard_normal((plan.batch, 3), dtype="float32"))

    for step, x in run.batches(make):
        if until is not None and step == until:
            if not killed:
                run.save()
            return model
        run.update((run.model(x) - x.sum(1, keepdim=True)).square().mean())
    run.finish()
    return model


def test_resume_is_exact(tmp_path: Path) -> None:
    whole = train(tmp_path / "whole", PLAN)
    train(tmp_path / "parts", PLAN, until=7)
    torch.rand(5)  # whatever happens between two sessions
    parts = train(tmp_path / "parts", PLAN)
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b)
    one, two = (torch.load(tmp_path / f / "checkpoint.pt", weights_only=True) for f in ("whole", "parts"))
    assert all(torch.equal(a, b) for a, b in zip(one["ema"], two["ema"], strict=True))


def test_resume_is_exact_where_gradients_are_added_up(tmp_path: Path) -> None:
    plan = replace(PLAN, accumulate=2, save_minutes=0.0)
    whole = train(tmp_path / "whole", plan)
    train(tmp_path / "parts", plan, until=7, killed=True)
    assert torch.load(tmp_path / "parts" / "checkpoint.pt", weights_only=True)["step"] == 6, "not between two updates"
    parts = train(tmp_path / "parts", plan)
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b)


class _Scaling(Accelerator):
    """float16 with the loss scaled up as on an accelerator, on the CPU."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self.native_amp, self.scaler = True, torch.amp.GradScaler("cpu", init_scale=2.0**18, growth_interval=3)


@pytest.fixture
def half(monkeypatch: pytest.MonkeyPatch) -> Iterator[Plan]:
    monkeypatch.setattr(loop, "Accelerator", _Scaling)
    AcceleratorState._reset_state(True)
    yield replace(PLAN, mixed_precision="fp16", warmup=1)
    AcceleratorState._reset_state(True)


def test_an_overflow_in_float16_is_a_step_left_out(tmp_path: Path, half: Plan) -> None:
    before = train(tmp_path, half, until=0).state_dict()
    trained = train(tmp_path, half).state_dict()
    assert all(torch.isfinite(tensor).all() for tensor in trained.values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in trained.items())
    assert torch.load(tmp_path / "checkpoint.pt", weights_only=True)["scaler"]["scale"] < 2.0**18


def test_resume_is_exact_in_float16(tmp_path: Path, half: Plan) -> None:
    whole = train(tmp_path / "whole", half)
    train(tmp_path / "parts", half, until=7)
    parts = train(tmp_path / "parts", half)
    for a, b in zip(whole.state_dict().values(), parts.state_dict().values(), strict=True):
        assert torch.equal(a, b)


def test_trainings_of_one_process_have_each_their_precision(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "lacks", lambda device, dtype: False)
    for i, precision in enumerate(("no", "bf16", "no")):
        model, plan = nn.Linear(2, 1), replace(PLAN, steps=1, mixed_precision=precision)
        run = Run(tmp_path / str(i), plan, model)
        for _ in run.steps():
            run.update(run.model(torch.ones(4, 2)).square().mean())
        assert run.accelerator.mixed_precision == precision


def test_bfloat16_is_float32_where_the_processor_lacks_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "lacks", lambda device, dtype: dtype == torch.bfloat16)
    with pytest.warns(ScenographWarning, match="no instructions for bfloat16: training in float32"):
        run = Run(tmp_path, replace(PLAN, mixed_precision="bf16"), nn.Linear(2, 1))
    assert run.accelerator.mixed_precision == "no"
    assert run.plans[0][1]["mixed_precision"] == "no"  # what a card will say


def test_log_curve_and_facts(tmp_path: Path) -> None:
    train(tmp_path, PLAN)
    rows = [json.loads(line) for line in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [r["step"] for r in rows] == [4, 8, 12]
    assert (tmp_path / "loss.png").stat().st_size > 1000
    assert facts_of(tmp_path)["steps"] == 12
    assert facts_of(tmp_path / "nothing") == {}


def test_finish_leaves_the_average_and_swaps_back(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    run = Run(tmp_path, replace(PLAN, steps=3), model)
    for _ in run.steps():
        run.update(model(torch.ones(4, 2)).square().mean())
    raw = model.weight.detach().clone()
    run.use_ema()
    assert not torch.equal(model.weight, raw)
    run.use_ema()
    assert torch.equal(model.weight, raw)


def test_a_loss_that_is_not_finite_stops_with_its_step(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    run = Run(tmp_path, PLAN, model)
    with pytest.raises(TrainingError, match="step 0"):
        for _ in run.steps():
            run.update(model(torch.full((1, 2), float("nan"))).mean())


def test_another_plan_in_the_same_folder_is_refused(tmp_path: Path) -> None:
    train(tmp_path, PLAN)
    with pytest.raises(TrainingError, match="another folder"):
        train(tmp_path, replace(PLAN, batch=8))


def test_learning_rate_warms_up_and_decays() -> None:
    assert PLAN.lr_at(0) == pytest.approx(PLAN.lr / 3)
    assert PLAN.lr_at(3) == pytest.approx(PLAN.lr)
    assert PLAN.lr_at(12) == pytest.approx(PLAN.final_lr * PLAN.lr)


def test_a_broken_gradient_leaves_the_last_checkpoint_whole(tmp_path: Path) -> None:
    model = nn.Linear(2, 1)
    run = Run(tmp_path, replace(PLAN, save_minutes=0.0), model)
    with pytest.raises(TrainingError, match="gradient norm"):
        for step in run.steps():
            loss = model(torch.ones(4, 2)).square().mean()
            run.update(loss if step < 2 else loss + (loss.detach() * 0 + model.weight.sum() * 0).sqrt().sum())
    state = torch.load(tmp_path / "checkpoint.pt", weights_only=True)
    assert state["step"] == 2
    assert all(torch.isfinite(t).all() for t in state["model"].values())


def test_a_log_cut_short_or_ahead_of_the_checkpoint_is_mended(tmp_path: Path) -> None:
    train(tmp_path, PLAN, until=7)
    log = tmp_path / "log.jsonl"
    log.write_text(log.read_text() + '{"step": 8, "loss": 1.0}\n{"step": 9, "lo')
    train(tmp_path, PLAN)
    assert [json.loads(line)["step"] for line in log.read_text().splitlines()] == [4, 8, 12]


def test_a_changed_plan_is_on_the_card(tmp_path: Path) -> None:
    train(tmp_path, PLAN, until=7)
    train(tmp_path, replace(PLAN, lr=5e-3))
    assert facts_of(tmp_path)["earlier plans"] == ["until step 7: lr 0.01"]
    assert facts_of(tmp_path)["learning rate"] == 5e-3


def test_a_plan_ends_with_a_whole_update() -> None:
    with pytest.raises(TrainingError, match="expected a multiple, such as 16"):
        replace(PLAN, steps=10, accumulate=16)
    assert replace(PLAN, steps=32, accumulate=16).steps == 32

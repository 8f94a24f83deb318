"""Training gated layers: what learns, what does not, and that stopping, splitting and checkpointing change nothing."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import DDPMScheduler, StableDiffusionPipeline
from PIL import Image
from torch.utils.flop_counter import FlopCounterMode

from scenograph.errors import TrainingError
from scenograph.judging.clip import TransformersClip
from scenograph.layout import Box, Instance, Layout
from scenograph.models.families import FAMILIES
from scenograph.models.gated import add_gates, is_gate
from scenograph.painting.attention import observe
from scenograph.painting.painter import Painter
from scenograph.recipes import world as recipes
from scenograph.training import loop
from scenograph.training.alignment import decoder_layers, named
from scenograph.training.clip import build_clip
from scenograph.training.diffusion import step_weights
from scenograph.training.gligen import GligenRecipe, denoising_loss, train_gligen
from scenograph.training.goal import GoalRecipe, goal_loss, is_trained, late_or_early, train_goal
from scenograph.training.grounded import Grounded, draw_batch, encode_pictures
from scenograph.training.loop import Plan
from scenograph.training.scores import grounded_scores
from tests.recipes.fakes import DogJudge
from tests.tiny import tiny_sd_parts

PLAN = Plan(steps=3, batch=2, lr=1e-3, seed=5, warmup=1, log_every=1, ema=None)


def pipeline(*, gated: bool = False) -> Any:
    parts = tiny_sd_parts()
    if gated:
        parts["unet"] = add_gates(parts["unet"])
        with torch.no_grad():
            for name, parameter in parts["unet"].named_parameters():
                if name.endswith(("alpha_attn", "alpha_dense")):
                    parameter.fill_(0.5)
    return StableDiffusionPipeline(**parts)


def data() -> Grounded:
    layouts = [
        Layout(
            caption="a red dog and a cat",
            instances=(
                Instance(caption="a red dog", box=Box(0.1, 0.2, 0.5, 0.9), phrase="a red dog"),
                Instance(caption="a cat", box=Box(0.6, 0.1, 0.95, 0.5), phrase="a cat"),
            ),
        ),
        Layout(caption="a blue car", instances=(Instance(caption="a blue car", box=Box(0.3, 0.3, 0.8, 0.7)),)),
    ]
    latents = np.random.default_rng(0).standard_normal((2, 4, 16, 16)).astype(np.float16)
    return Grounded(latents_NCHW=latents, layout=lambda index, rng: layouts[index])


@pytest.fixture(scope="module")
def clip() -> TransformersClip:
    parts = tiny_sd_parts()
    return TransformersClip(build_clip(recipes.clip_b(), parts["text_encoder"]), parts["tokenizer"])


def state(unet: Any) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in unet.state_dict().items()}


def test_gligen_trains_its_gates_and_nothing_else(tmp_path: Path) -> None:
    made = pipeline()
    before = state(add_gates(made.unet, seed=PLAN.seed))
    unet = train_gligen(GligenRecipe(name="g", plan=PLAN), data(), made, tmp_path)
    changed = {name for name, tensor in unet.state_dict().items() if not torch.equal(tensor, before[name])}
    assert changed and all(is_gate(name) for name in changed)
    assert made.unet is unet and not any(p.requires_grad for p in unet.parameters())


def test_hints_train_gates_from_the_first_step(tmp_path: Path) -> None:
    made = pipeline()
    before = state(add_gates(made.unet, seed=PLAN.seed, ajar=True))
    recipe = GligenRecipe(name="g", plan=replace(PLAN, steps=2), ajar=True, hints=0.1)
    unet = train_gligen(recipe, data(), made, tmp_path)
    changed = {name for name, tensor in unet.state_dict().items() if not torch.equal(tensor, before[name])}
    # Behind a closed gate nothing but the gate would have a gradient.
    assert all(is_gate(name) for name in changed) and {"position_net.linears.0.weight"} <= changed
    assert not unet.mid_block._forward_hooks
    log = (tmp_path / "log.jsonl").read_text()
    assert all(f'"{part}"' in log for part in ("loss", "denoising", "pointing", "looking", "inside"))


def test_goal_trains_attention_and_gates_and_nothing_else(tmp_path: Path, clip: TransformersClip) -> None:
    made = pipeline(gated=True)
    before, vae, reader = state(made.unet), state(made.vae), state(clip.model)
    unet = train_goal(GoalRecipe(name="g", plan=PLAN), data(), made, clip, tmp_path)
    changed = {name for name, tensor in unet.state_dict().items() if not torch.equal(tensor, before[name])}
    assert {name for name in before if is_trained(name)} == changed
    assert not any("position_net" in name for name in changed)
    assert all(torch.equal(tensor, vae[name]) for name, tensor in made.vae.state_dict().items())
    assert all(torch.equal(tensor, reader[name]) for name, tensor in clip.model.state_dict().items())
    log = (tmp_path / "log.jsonl").read_text()
    assert all(f'"{part}"' in log for part in ("loss", "ldm", "inside", "outside", "local", "global"))


def losses(
    recipe: GoalRecipe, clip: TransformersClip, made: Any, **dropped: float
) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
    rngs = [np.random.default_rng([1, i]) for i in range(4)]
    drop = {"drop_caption": 0.0, "drop_grounding": 0.0} | dropped
    batch = draw_batch(data(), rngs, made.tokenizer, timesteps=1000, **drop)
    schedule = DDPMScheduler.from_config(made.scheduler.config)
    with observe(made.unet, decoder_layers(made.unet)) as observed:
        return goal_loss(recipe, batch, made, schedule, made.unet, clip, observed if recipe.beta else None)


@pytest.mark.parametrize("part", ["local", "global", "inside", "outside"])
def test_every_part_reaches_the_gated_layers(part: str, clip: TransformersClip) -> None:
    made = pipeline(gated=True)
    clip.model.requires_grad_(False)
    made.vae.requires_grad_(False)
    _, parts = losses(GoalRecipe(name="g", plan=PLAN), clip, made)
    parts[part].backward()  # type: ignore[no-untyped-call]
    reached = [n for n, p in made.unet.named_parameters() if ".fuser." in n and p.grad is not None and p.grad.any()]
    assert reached
    assert all(p.grad is None for p in made.vae.parameters())


def test_the_loss_is_the_weighted_sum(clip: TransformersClip) -> None:
    recipe = GoalRecipe(name="g", plan=PLAN, alpha=0.3, beta=0.2, local_weight=2.0)
    loss, parts = losses(recipe, clip, pipeline(gated=True))
    expected = parts["ldm"] + 0.3 * (2 * parts["local"] + parts["global"]) + 0.2 * (parts["inside"] + parts["outside"])
    assert loss.item() == pytest.approx(expected.item(), rel=1e-5)
    plain, parts = losses(replace(recipe, alpha=0.0, beta=0.0), clip, pipeline(gated=True))
    assert set(parts) == {"ldm"} and plain.item() == pytest.approx(parts["ldm"].item())


def test_weights_of_steps_have_a_mean_of_one() -> None:
    schedule = DDPMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    made, rngs = pipeline(), [np.random.default_rng(i) for i in range(6)]
    batch = draw_batch(data(), rngs, made.tokenizer, timesteps=1000, drop_caption=0.1, drop_grounding=0.1)
    seen = torch.zeros_like(batch.noise_BCHW)
    assert denoising_loss(schedule, batch, seen).item() == pytest.approx(batch.noise_BCHW.square().mean().item())
    weights_T = step_weights(schedule, torch.arange(1000), 5.0, 10.0)
    weights_B = weights_T[batch.t_B] / weights_T.mean()
    expected = (weights_B * batch.noise_BCHW.square().mean((1, 2, 3))).mean().item()
    assert denoising_loss(schedule, batch, seen, (5.0, 10.0)).item() == pytest.approx(expected)
    velocity = DDPMScheduler.from_config(schedule.config, prediction_type="v_prediction")
    with pytest.raises(TrainingError, match="are for epsilon, not v_prediction"):
        denoising_loss(velocity, batch, seen, (5.0, 10.0))


def test_half_of_what_loses_its_caption_loses_its_grounding() -> None:
    rngs = [np.random.default_rng(i) for i in range(600)]
    batch = draw_batch(data(), rngs, pipeline().tokenizer, timesteps=10, drop_caption=0.5, drop_grounding=0.1)
    ungrounded = {told: [not x.instances for x, y in zip(batch.layouts, batch.told, strict=True) if y == told]
                  for told in (True, False)}  # fmt: skip
    assert np.mean(ungrounded[True]) == pytest.approx(0.1, abs=0.06)
    assert np.mean(ungrounded[False]) == pytest.approx(0.5, abs=0.09)


def test_late_steps_are_left_out_of_the_semantics(clip: TransformersClip) -> None:
    recipe = GoalRecipe(name="g", plan=PLAN, max_timestep=-1)
    _, parts = losses(recipe, clip, pipeline(gated=True))
    assert parts["local"].item() == parts["global"].item() == 0
    weighted, _ = losses(replace(recipe, max_timestep=None, by_noise=True), clip, pipeline(gated=True))
    whole, _ = losses(replace(recipe, max_timestep=None), clip, pipeline(gated=True))
    assert weighted < whole


def test_only_what_the_caption_names_is_looked_for() -> None:
    tokenizer = pipeline().tokenizer
    words = [("a cat", None), ("a dog", None), ("a dog", None), ("a bird", "the bird")]
    boxes = [Box(0.1 * i, 0.2, 0.1 * i + 0.3, 0.6) for i in range(len(words))]
    instances = tuple(Instance(caption=c, phrase=p, box=b) for (c, p), b in zip(words, boxes, strict=True))
    (group,) = named(tokenizer, Layout(caption="A category with two Dogs", instances=instances)).groups
    ids = tokenizer("A category with two Dogs").input_ids
    assert group.phrase == "Dogs" and tokenizer.decode([ids[t] for t in group.tokens]).strip() == "dogs"
    assert group.boxes == tuple(boxes[1:3])


def test_what_was_dropped_is_not_asked(clip: TransformersClip, monkeypatch: pytest.MonkeyPatch) -> None:
    recipe = GoalRecipe(name="g", plan=PLAN)
    _, parts = losses(recipe, clip, pipeline(gated=True), drop_caption=1.0)
    assert parts["global"].item() == parts["inside"].item() == parts["outside"].item() == 0
    assert parts["local"] > 0
    _, parts = losses(recipe, clip, pipeline(gated=True), drop_grounding=1.0)
    assert parts["local"].item() == parts["inside"].item() == 0 and parts["global"] > 0
    monkeypatch.setattr("scenograph.training.goal.decoded", None)  # nothing is decoded that nobody reads
    _, parts = losses(recipe, clip, pipeline(gated=True), drop_caption=1.0, drop_grounding=1.0)
    assert parts["local"].item() == parts["global"].item() == 0


@pytest.mark.parametrize("kind", ["gligen", "goal"])
def test_mixed_precision_trains_float32_weights(
    kind: str, tmp_path: Path, clip: TransformersClip, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(loop, "lacks", lambda device, dtype: False)
    plan, made = replace(PLAN, mixed_precision="bf16"), pipeline(gated=True)
    before = state(made.unet)
    if kind == "goal":
        train_goal(GoalRecipe(name="g", plan=plan, checkpointing=True), data(), made, clip, tmp_path)
    else:
        train_gligen(GligenRecipe(name="g", plan=plan), data(), made, tmp_path)
    after = state(made.unet)
    assert all(tensor.dtype == torch.float32 and torch.isfinite(tensor).all() for tensor in after.values())
    assert any(not torch.equal(tensor, before[name]) for name, tensor in after.items())


def test_gradient_checkpointing_changes_no_gradient(clip: TransformersClip) -> None:
    gradients = []
    for checkpointing in (False, True):
        made = pipeline(gated=True)
        made.unet.train()
        if checkpointing:
            made.unet.enable_gradient_checkpointing()
        loss, _ = losses(GoalRecipe(name="g", plan=PLAN, alpha=1.0, beta=1.0), clip, made)
        loss.backward()  # type: ignore[no-untyped-call]
        gradients.append({n: p.grad for n, p in made.unet.named_parameters() if is_trained(n)})
    for name, gradient in gradients[0].items():
        assert torch.allclose(gradient, gradients[1][name], atol=1e-6), name


def test_a_stopped_training_goes_on_to_the_same_bits(tmp_path: Path, clip: TransformersClip) -> None:
    def train(folder: str, steps: int) -> dict[str, torch.Tensor]:
        recipe = GoalRecipe(name="g", plan=replace(PLAN, steps=steps, warmup=0, final_lr=1.0, ema=0.9))
        return state(train_goal(recipe, data(), pipeline(gated=True), clip, tmp_path / folder))

    whole = train("whole", 4)
    train("parts", 2)
    again = train("parts", 4)
    assert all(torch.equal(tensor, again[name]) for name, tensor in whole.items())


def test_two_samples_each_draw_what_four_draw_together() -> None:
    """The data side of "two processes equal one with double batch"; the loss side is `accelerate`'s mean."""
    both = [np.random.default_rng([5, 0, i]) for i in range(4)]
    halves = [[np.random.default_rng([5, 0, first + i]) for i in range(2)] for first in (0, 2)]
    made = pipeline()

    def draw(rngs: list[np.random.Generator]) -> Any:
        return draw_batch(data(), rngs, made.tokenizer, timesteps=1000, drop_caption=0.2, drop_grounding=0.2)

    whole, parts = draw(both), [draw(half) for half in halves]
    assert torch.equal(whole.noise_BCHW, torch.cat([p.noise_BCHW for p in parts]))
    assert whole.layouts == [layout for p in parts for layout in p.layouts]


def test_a_gligens_card_says_whether_boxes_work() -> None:
    painter = Painter(FAMILIES["sd"], pipeline(gated=True), name="tiny")
    found = grounded_scores(painter, DogJudge(), count=2, steps=1, gligen_beta=0.5)
    assert set(found) == {"layouts", "boxes: CFG scale", "boxes: β", "boxes: AP", "boxes: AP50", "boxes: mean IoU"}
    assert found["layouts"] == 2 and found["boxes: β"] == 0.5


def test_noise_of_ungrounded_steps_learns_without_gates(clip: TransformersClip) -> None:
    made = pipeline(gated=True)
    rngs = [np.random.default_rng(i) for i in range(40)]
    drawn = draw_batch(data(), rngs, made.tokenizer, timesteps=1000, drop_caption=0.1, drop_grounding=0.1)
    assert late_or_early(drawn, 3, 1.0, 1000) is drawn
    batches = [late_or_early(drawn, step, 0.6, 1000) for step in range(20)]
    assert [batch.gated for batch in batches].count(False) == 8
    early, late = (next(batch.t_B for batch in batches if batch.gated is gated) for gated in (True, False))
    assert 400 <= early.min() < 500 and 900 < early.max() < 1000
    assert 0 <= late.min() < 50 and 350 < late.max() < 400
    for gated in (True, False):
        part = next(batch for batch in batches if batch.gated is gated)
        part = part._replace(**{name: getattr(part, name)[:2] for name in part._fields if name != "gated"})
        schedule = DDPMScheduler.from_config(made.scheduler.config)
        made.unet.requires_grad_(True)
        loss, _ = goal_loss(GoalRecipe(name="g", plan=PLAN, beta=0), part, made, schedule, made.unet, clip, None)
        made.unet.zero_grad(set_to_none=True)
        loss.backward()  # type: ignore[no-untyped-call]
        learned = {is_gate(n) for n, p in made.unet.named_parameters() if p.grad is not None and is_trained(n)}
        assert learned == ({True, False} if gated else {False})


def test_goal_paints_at_gligen_s_price(tmp_path: Path, clip: TransformersClip) -> None:
    """The same calls of the UNet and the same FLOPs, which a GLIGEN without grounding does not have."""
    before, after = pipeline(gated=True), pipeline(gated=True)
    train_goal(GoalRecipe(name="g", plan=PLAN, grounded=0.6), data(), after, clip, tmp_path)
    layout, costs = data().layout(0, np.random.default_rng(0)), []
    for made, beta in ((before, 0.6), (after, 0.6), (before, 0.0)):
        calls: list[int] = []
        handle = made.unet.register_forward_hook(lambda *_, calls=calls: calls.append(1))
        painter = Painter(FAMILIES["sd"], made, name="tiny")
        with FlopCounterMode(display=False) as counter:
            painter.paint(layout, steps=5, gligen_beta=beta, progress=False)
        handle.remove()
        costs.append((len(calls), counter.get_total_flops()))
    assert costs[0] == costs[1] and costs[0][0] == costs[2][0] and costs[0][1] > costs[2][1]


def test_wrong_starts_are_one_line(tmp_path: Path, clip: TransformersClip) -> None:
    with pytest.raises(TrainingError, match="train gligen first"):
        train_goal(GoalRecipe(name="g", plan=PLAN), data(), pipeline(), clip, tmp_path)
    with pytest.raises(TrainingError, match="set alpha to 0"):
        train_goal(GoalRecipe(name="g", plan=PLAN), data(), pipeline(gated=True), None, tmp_path)


class _Folder:
    """Three pictures with a box each, as a data set reader hands them out."""

    def __init__(self, count: int = 3, side: int = 128, names: str = "") -> None:
        self.count, self.side, self.names = count, side, names

    def __len__(self) -> int:
        return self.count

    def __getitem__(self, index: int) -> tuple[Image.Image, Layout]:
        return Image.new("RGB", (self.side, self.side), (60 * index, 200, 30)), self.layout(index)

    def source(self, index: int) -> str:
        return f"{index} {self.side} {self.names}"

    def layout(self, index: int) -> Layout:
        dog = Instance(caption="a dog", box=Box(0.1, 0.1, 0.2 + 0.02 * index, 0.3))
        return Layout(caption="a dog", instances=(dog,))


def test_pictures_are_encoded_once(tmp_path: Path) -> None:
    made = pipeline()
    first = encode_pictures(_Folder(), made.vae, tmp_path / "latents.npy", batch=2)
    assert first.latents_NCHW.shape == (3, 4, 16, 16) and first.latents_NCHW.dtype == np.float16
    written = (tmp_path / "latents.npy").stat().st_mtime_ns
    encode_pictures(_Folder(), made.vae, tmp_path / "latents.npy")
    assert (tmp_path / "latents.npy").stat().st_mtime_ns == written
    with pytest.raises(TrainingError, match="another data set"):
        encode_pictures(_Folder(2), made.vae, tmp_path / "latents.npy")
    with pytest.raises(TrainingError, match="another data set"):
        encode_pictures(_Folder(names="the second is another"), made.vae, tmp_path / "latents.npy")
    with pytest.raises(TrainingError, match="another data set"):
        encode_pictures(_Folder(side=64), made.vae, tmp_path / "latents.npy")
    with pytest.raises(TrainingError, match="at least one"):
        encode_pictures(_Folder(0), made.vae, tmp_path / "none.npy")


def test_at_most_thirty_instances_the_largest() -> None:
    boxes = [Box(0.0, 0.0, 0.01 * (i + 1), 0.5) for i in range(40)]
    layout = Layout(caption="dogs", instances=tuple(Instance(caption="dog", box=box) for box in boxes))
    many = Grounded(latents_NCHW=np.zeros((1, 4, 16, 16), np.float16), layout=lambda index, rng: layout)
    made = pipeline()
    rngs = [np.random.default_rng(0)]
    batch = draw_batch(many, rngs, made.tokenizer, timesteps=10, drop_caption=0.0, drop_grounding=0.0)
    assert [i.box for i in batch.layouts[0].instances] == boxes[10:]


_SCRIPT = """
import sys
from tests.training.test_goal import *
torch.set_num_threads(1)
kind, batch, folder = sys.argv[1], int(sys.argv[2]), sys.argv[3]
plan = replace(PLAN, batch=batch, steps=3, warmup=0)
if kind == "gligen":
    train_gligen(GligenRecipe(name="g", plan=plan), data(), pipeline(), folder)
else:
    parts = tiny_sd_parts()
    torch.manual_seed(0)
    clip = TransformersClip(build_clip(recipes.clip_b(), parts["text_encoder"]), parts["tokenizer"])
    recipe = GoalRecipe(name="g", plan=plan, alpha=0.5, beta=0.5, drop_caption=0.3, drop_grounding=0.3, grounded=0.6)
    train_goal(recipe, data(), pipeline(gated=True), clip, folder)
"""


@pytest.mark.parametrize("kind", ["gligen", "goal"])
def test_two_processes_equal_one_with_double_batch(kind: str, tmp_path: Path) -> None:
    import json
    import os
    import subprocess
    import sys

    (tmp_path / "train.py").write_text(_SCRIPT)
    root = Path(__file__).parent.parent.parent
    env = {**os.environ, "PYTHONPATH": str(root), "OMP_NUM_THREADS": "1", "ACCELERATE_USE_CPU": "true"}
    # On CPUs `accelerate launch` needs MPI for more than one process; torchrun sets what accelerate reads just so.
    launch = ["torch.distributed.run", "--standalone", "--nproc_per_node", "2"]
    for module, batch, folder in ((launch, 2, "two"), ([], 4, "one")):
        start = [sys.executable, "-m", *module] if module else [sys.executable]
        command = [*start, str(tmp_path / "train.py"), kind, str(batch), str(tmp_path / folder)]
        done = subprocess.run(command, env=env, cwd=root, capture_output=True, text=True, timeout=180)
        assert done.returncode == 0, done.stderr[-2000:]
    rows = [
        [json.loads(line) for line in (tmp_path / f / "log.jsonl").read_text().splitlines()] for f in ("two", "one")
    ]
    assert len(rows[0]) == len(rows[1]) == 3
    for two, one in zip(*rows, strict=True):
        assert set(two) == set(one) and (kind == "gligen" or {"local", "global", "inside", "outside"} < set(two))
        for part in set(two) - {"seconds"}:
            assert two[part] == pytest.approx(one[part], rel=1e-3 if kind == "goal" else 1e-4), part
    states = [torch.load(tmp_path / f / "checkpoint.pt", weights_only=True)["model"] for f in ("two", "one")]
    for name, tensor in states[0].items():
        assert torch.allclose(tensor, states[1][name], atol=2e-4), name


def test_a_thing_that_only_the_cut_end_names_is_left_out() -> None:
    tokenizer = pipeline().tokenizer
    caption = "a dog in a room with " + "a red cup and a blue car, " * 12 + "and a dog"
    dogs = tuple(Instance(caption="a dog", box=Box(0.5 * i, 0.2, 0.5 * i + 0.4, 0.6)) for i in range(2))
    (group,) = named(tokenizer, Layout(caption=caption, instances=dogs)).groups
    assert group.boxes == (dogs[0].box,)

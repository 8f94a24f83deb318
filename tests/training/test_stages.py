"""The three stages of the unified model at tiny size: they learn, keep what is frozen, and go on to the same bits."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from scenograph.errors import TrainingError
from scenograph.judging.reward import box_reward, layout_reward
from scenograph.layout import Box, Instance, Layout
from scenograph.recipes import world as recipes
from scenograph.recipes.janus import stage_of
from scenograph.training import loop
from scenograph.training.cycle import CycleRecipe, grounded_boxes, train_cycle
from scenograph.training.djo import DjoRecipe, train_djo
from scenograph.training.loop import Plan
from scenograph.training.paired import Paired
from scenograph.training.pmtp import PmtpRecipe, candidate, shuffled, train_pmtp
from scenograph.unified.batch import collate
from scenograph.unified.losses import djo_loss, pmtp_loss
from scenograph.unified.mask import Sharing
from scenograph.unified.model import Unified
from scenograph.unified.passes import tower_features
from scenograph.unified.sampler import PAINTING, Sampling, sample_images
from scenograph.unified.scoring import image_log_probs
from scenograph.unified.sequence import ground_sequence, null_sequence, padded_null, paint_sequence, plan_sequence
from tests.unified.tiny import IMAGE_LENGTH, images, layout, text_codec, tiny_janus, world_codec

PLAN = Plan(steps=2, batch=3, lr=1e-2, seed=3, warmup=0, final_lr=1.0, log_every=1, ema=None)
LAYOUTS = [layout(), layout(("a red cat", (0.2, 0.2, 0.7, 0.9)), caption="a red cat"), layout(caption="two dogs")]


def unified() -> Unified:
    codec = world_codec()
    return Unified(tiny_janus(codec), codec)


def data() -> Paired:
    return Paired(
        tokens_KN=np.array(images(3), np.uint16),
        layout=lambda index, rng: LAYOUTS[index],
        pixels=lambda index: torch.zeros(3, 64, 64),
    )


def state(made: Unified) -> dict[str, torch.Tensor]:
    return {name: tensor.clone() for name, tensor in made.model.state_dict().items()}


def rows(folder: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (folder / "log.jsonl").read_text().splitlines()]


def stage(name: str, made: Unified, folder: Path, plan: Plan, **options: Any) -> Unified:
    if name == "pmtp":
        return train_pmtp(PmtpRecipe(name=name, plan=plan, **options), data(), made, folder)
    if name == "djo":
        return train_djo(DjoRecipe(name=name, plan=plan, **options), data(), made, folder)
    return train_cycle(CycleRecipe(name=name, plan=plan, group=2, **options), _drawn, made, folder)


def _drawn(rng: np.random.Generator) -> Layout:
    return LAYOUTS[int(rng.integers(len(LAYOUTS)))]


# What a stage has no use for: nobody looks through the tower in stages 1 and 3, and stage 3 says nothing in words.
IDLE = {"pmtp": {"aligner"}, "djo": set(), "cycle": {"aligner", "lm_head"}}


@pytest.mark.parametrize("name", ["pmtp", "djo", "cycle"])
def test_a_stage_trains_all_but_the_encoders(name: str, tmp_path: Path) -> None:
    made = unified()
    before = state(made)
    stage(name, made, tmp_path, PLAN)
    after = state(made)

    def part(parameter: str) -> str:
        return parameter.removeprefix("model.").split(".")[0]

    moved = {part(n) for n in before if not torch.equal(before[n], after[n])}
    assert {part(n) for n in before} - moved == {"vqmodel", "vision_model"} | IDLE[name]
    assert not any(p.requires_grad for p in made.model.parameters())
    assert len(rows(tmp_path)) == 2


@pytest.mark.parametrize("name", ["pmtp", "djo", "cycle"])
def test_a_stopped_stage_goes_on_to_the_same_bits(name: str, tmp_path: Path) -> None:
    def trained(folder: str, steps: int) -> dict[str, torch.Tensor]:
        # annealing follows the plan's length, so it is held still
        options = {"start": 0.5, "least": 0.4999} if name == "djo" else {}
        return state(stage(name, unified(), tmp_path / folder, replace(PLAN, steps=steps), **options))

    whole = trained("whole", 3)
    trained("parts", 1)
    again = trained("parts", 3)
    assert all(torch.equal(tensor, again[n]) for n, tensor in whole.items())


@pytest.mark.parametrize("sharing", list(Sharing))
def test_pmtp_learns_its_three_pictures(sharing: Sharing, tmp_path: Path) -> None:
    plan = replace(PLAN, steps=30, batch=6)
    stage("pmtp", unified(), tmp_path, plan, sharing=sharing, parse=0.2)
    first, last = rows(tmp_path)[0], rows(tmp_path)[-1]
    assert last["image"] < 0.8 * first["image"] and last["box"] < first["box"]


@pytest.mark.parametrize("sharing", [Sharing.BLIND, Sharing.TWO_PASSES])
def test_pmtp_learns_to_see_through_the_tower(sharing: Sharing, tmp_path: Path) -> None:
    """Which a model with random weights cannot when stage 2 asks it to."""
    made = unified()
    before = state(made)
    pictures = torch.randn(3, 3, 64, 64, generator=torch.Generator().manual_seed(0))
    seen = replace(data(), pixels=lambda index: pictures[index])
    plan = replace(PLAN, steps=25, batch=6)
    train_pmtp(PmtpRecipe(name="pmtp", plan=plan, sharing=sharing, tower=0.5, parse=0.0), seen, made, tmp_path)
    assert not torch.equal(before["model.aligner.fc1.weight"], state(made)["model.aligner.fc1.weight"])
    features_BND = tower_features(made.model, pictures)
    rows = collate([ground_sequence(made.codec, IMAGE_LENGTH, one.instances) for one in LAYOUTS])
    with torch.no_grad():
        right, wrong = (pmtp_loss(made.model, rows, Sharing.SHARED, features_BND=f) for f in
                        (features_BND, features_BND.roll(1, dims=0)))  # fmt: skip
    assert right.layout.box + 0.1 < wrong.layout.box


def test_pmtp_learns_what_cells_will_show(tmp_path: Path) -> None:
    """Each row's answers meet its own tokens: told apart, three pictures' answers are learnt in a few steps."""
    answers = torch.tensor([[4, 1, 0, 5, 2], [9, 2, 1, 0, 3], [-1] * 5])
    told = replace(data(), cells=lambda index: answers[index].expand(IMAGE_LENGTH, -1))
    plan = replace(PLAN, steps=40, batch=6)
    train_pmtp(PmtpRecipe(name="pmtp", plan=plan, cells=1.0, parse=0.3, drop=0.0), told, unified(), tmp_path)
    first, last = rows(tmp_path)[0], rows(tmp_path)[-1]
    assert all(last[part] < 0.3 * first[part] for part in ("cells", "own", "place"))
    with pytest.raises(TrainingError, match="set cells to 0"):
        train_pmtp(PmtpRecipe(name="pmtp", plan=plan, cells=1.0), data(), unified(), tmp_path / "unknown")


def test_djo_with_a_rollout_and_without_a_tower(tmp_path: Path) -> None:
    stage("djo", unified(), tmp_path / "rollout", PLAN, rollout=True)
    stage("djo", unified(), tmp_path / "blind", PLAN, tower=0.0)
    stage("djo", unified(), tmp_path / "seeing", PLAN, tower=1.0)
    assert all(row["loss"] > 0 for folder in ("rollout", "blind", "seeing") for row in rows(tmp_path / folder))


def test_a_rollout_is_replayed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was drawn freely is what the loss is told, with the noise that drew it."""
    drawn, told = [], []

    def sampled(*args: Any, **options: Any) -> Any:
        drawn.append(sample_images(*args, **options))
        return drawn[-1]

    def loss(*args: Any, **options: Any) -> Any:
        told.append(options)
        return djo_loss(*args, **options)

    monkeypatch.setattr("scenograph.training.djo.sample_images", sampled)
    monkeypatch.setattr("scenograph.training.djo.djo_loss", loss)
    stage("djo", unified(), tmp_path / "free", replace(PLAN, steps=1), rollout=True)
    noise_BNV = drawn[0].noise_BNV
    assert noise_BNV is not None and torch.equal(told[0]["noise_BNV"], noise_BNV)
    assert torch.equal(told[0]["drawn_BN"], drawn[0].tokens_BN)
    stage("djo", unified(), tmp_path / "forced", replace(PLAN, steps=1))
    assert told[1]["drawn_BN"] is None and len(drawn) == 1


def test_djo_goes_on_planning(tmp_path: Path) -> None:
    def planned(made: Unified) -> float:
        told = collate([plan_sequence(made.codec, one.caption, one.instances) for one in LAYOUTS])
        with torch.no_grad():
            return float(pmtp_loss(made.model, told, Sharing.SHARED).layout.mean)

    longer = replace(PLAN, steps=20)
    with_plans = stage("djo", unified(), tmp_path / "with", longer, tower=0.2, plan_rows=0.6)
    without = stage("djo", unified(), tmp_path / "without", longer, tower=0.2, plan_rows=0.0)
    assert planned(with_plans) < planned(without)


def test_the_ratio_is_one_on_the_first_update_and_moves_on_the_second(tmp_path: Path) -> None:
    stage("cycle", unified(), tmp_path, replace(PLAN, steps=4), updates=2, beta=0.1)
    ratios = [row["ratio"] for row in rows(tmp_path)]
    assert ratios[0] == pytest.approx(1, abs=1e-6) and ratios[2] == pytest.approx(1, abs=1e-6)
    assert abs(ratios[1] - 1) > 1e-7 or abs(ratios[3] - 1) > 1e-7


def test_djo_goes_on_painting_without_a_condition(tmp_path: Path) -> None:
    """What nothing was asked of is painted alike, whatever the layout; only rows that are not looped are such."""
    other = replace(data(), layout=lambda index, rng: layout(("a bus", (0.1, 0.1, 0.9, 0.6)), caption="a bus"))

    def image_loss(given: Paired, **options: Any) -> float:
        folder = tmp_path / str(len(list(tmp_path.iterdir())))
        train_djo(DjoRecipe(name="djo", plan=replace(PLAN, steps=1), **options), given, unified(), folder)
        return float(rows(folder)[0]["image"])

    assert image_loss(data(), tower=1, drop=1) == pytest.approx(image_loss(other, tower=1, drop=1), abs=1e-5)
    asked = image_loss(data(), tower=1, drop=0), image_loss(other, tower=1, drop=0)
    blind = {"tower": 0, "plan_rows": 0, "drop": 1}
    looped = image_loss(data(), **blind), image_loss(other, **blind)
    assert all(abs(one - two) > 1e-4 for one, two in (asked, looped))


def test_the_first_ratio_is_one_in_mixed_precision_too(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(loop, "lacks", lambda device, dtype: False)
    stage("cycle", unified(), tmp_path, replace(PLAN, steps=2, mixed_precision="bf16"), updates=2)
    ratios = [row["ratio"] for row in rows(tmp_path)]
    assert ratios[0] == 1 and ratios[1] != 1


def test_a_single_update_is_the_first_of_several(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It does without a pass for the old log-probs, which are its own."""
    made, passes = [unified(), unified()], []

    def counted(*args: Any, **options: Any) -> Any:
        passes.append(1)
        return image_log_probs(*args, **options)

    monkeypatch.setattr("scenograph.training.cycle.image_log_probs", counted)
    for updates, one in enumerate(made, start=1):
        passes.clear()
        stage("cycle", one, tmp_path / str(updates), replace(PLAN, steps=1), updates=updates)
        assert len(passes) == 1 + updates  # the loss's and the reference's, and for several updates the old policy's
    assert all(torch.equal(tensor, state(made[1])[name]) for name, tensor in state(made[0]).items())


def test_the_order_of_equal_captions_earns_nothing_and_costs_nothing() -> None:
    left, right = Box(0.0, 0.0, 0.4, 1.0), Box(0.6, 0.0, 1.0, 1.0)
    dogs = Layout(caption="two dogs", instances=tuple(Instance(caption="a dog", box=box) for box in (left, right)))
    assert layout_reward(dogs, [right, left]) == layout_reward(dogs, [left, right]) == pytest.approx(1)
    assert recipes.tiny_janus().sampling.guidance == PAINTING, "images are drawn as users draw them"


@pytest.mark.parametrize("frozen", [False, True])
def test_a_guided_rollout_is_scored_as_it_was_drawn(
    frozen: bool, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """By the distribution that drew it, guidance and cuts included; grounded by the asked model."""
    sampling = Sampling(guidance=2.0, temperature=0.9, top_k=10)
    drawn, scored, grounders = [], [], []

    def sampled(*args: Any, **options: Any) -> Any:
        drawn.append(sample_images(*args, **options))
        return drawn[-1]

    def logs(model: Any, *args: Any, **options: Any) -> Any:
        scored.append(image_log_probs(model, *args, **options))
        return scored[-1]

    def grounded(sees: Unified, *args: Any) -> Any:
        grounders.append(sees.model)
        return grounded_boxes(sees, *args)

    for name, spy in (("sample_images", sampled), ("image_log_probs", logs), ("grounded_boxes", grounded)):
        monkeypatch.setattr(f"scenograph.training.cycle.{name}", spy)
    made = unified()
    plan = replace(PLAN, steps=2)
    stage("cycle", made, tmp_path, plan, sampling=sampling, frozen_grounder=frozen, reward="mixed")
    # The reference's pass, then the loss's, of each of two rollouts; nothing has moved before the first.
    assert len(scored) == 4 and [model is made.model for model in grounders] == [not frozen] * 2
    for number in (0, 1, 3):
        torch.testing.assert_close(scored[number][0], drawn[number // 2].log_probs_BN, atol=1e-4, rtol=1e-4)
    assert not torch.allclose(scored[2][0], drawn[1].log_probs_BN, atol=1e-4), "the reference stays behind"


def test_alike_things_are_told_in_reading_order() -> None:
    boxes = [Box(0.5, 0.6, 0.9, 0.9), Box(0.1, 0.6, 0.4, 0.9), Box(0.3, 0.1, 0.6, 0.4)]
    dogs = tuple(Instance(caption="a dog", box=box) for box in boxes)
    cat = Instance(caption="a cat", box=Box(0.0, 0.0, 0.2, 0.2))
    told = [shuffled(Layout(caption="pets", instances=(*dogs, cat)), np.random.default_rng(i)) for i in range(20)]
    assert {[one.caption for one in order].index("a cat") for order in told} == {0, 1, 2, 3}
    for order in told:
        assert [one for one in order if one.caption == "a dog"] == [dogs[2], dogs[1], dogs[0]]


def test_digits_have_no_neighbours(tmp_path: Path) -> None:
    codec = text_codec()
    with pytest.raises(TrainingError, match="set near to 0"):
        train_pmtp(PmtpRecipe(name="pmtp", plan=PLAN, near=1.0), data(), Unified(tiny_janus(codec), codec), tmp_path)


def test_a_stage_says_which_it_was(tmp_path: Path) -> None:
    """And a published checkpoint, that has been through none, is guided by its own null."""
    ours, theirs = unified(), Unified(tiny_janus(text_codec()), text_codec())
    prefix = paint_sequence(theirs.codec, LAYOUTS[0])
    assert theirs.null(prefix) == padded_null(theirs.codec, prefix) != null_sequence(theirs.codec)
    assert ours.null(paint_sequence(ours.codec, LAYOUTS[0])) == null_sequence(ours.codec)
    theirs.model.config.scenograph_stage = "mine"
    assert theirs.null(prefix) == null_sequence(theirs.codec)
    for name in ("pmtp", "djo", "cycle"):
        made = stage(name, unified(), tmp_path / name, replace(PLAN, steps=1))
        made.model.save_pretrained(tmp_path / name / "saved")
        assert stage_of(tmp_path / name / "saved") == name
    assert stage_of(tmp_path) is None


def test_rewards_of_a_box() -> None:
    asked, apart = Box(0.0, 0.0, 0.5, 0.5), Box(0.5, 0.5, 1.0, 1.0)
    assert box_reward(asked, asked, "iou") == box_reward(asked, asked, "l1") == box_reward(asked, asked, "mixed") == 1
    assert box_reward(asked, apart, "iou") == 0 and box_reward(asked, apart, "l1") == 0.5
    assert box_reward(asked, apart, "mixed") == 0.25


def test_every_phrase_is_grounded_once() -> None:
    made = unified()
    tokens = torch.tensor(images(2))
    found = grounded_boxes(made, tokens, [["a dog", "a cat"], ["a red cat"]])
    assert [len(boxes) for boxes in found] == [2, 1]
    assert tokens.shape[1] == IMAGE_LENGTH


def test_candidates_are_empty_half_of_the_time_and_never_the_answer() -> None:
    rng = np.random.default_rng(0)
    made = [candidate(LAYOUTS[0], rng) for _ in range(400)]
    assert 0.42 < sum(not one for one in made) / 400 < 0.58
    for one in made:
        assert [i.box for i in one] != [i.box for i in LAYOUTS[0].instances] or not one
        assert all(0 <= side <= 1 for i in one for side in i.box)

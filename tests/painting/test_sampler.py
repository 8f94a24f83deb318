"""The denoising loop: equal to the stock pipelines without guidance, true to what guidance does with it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EDMDPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    LCMScheduler,
    PNDMScheduler,
    StableDiffusionPipeline,
    UNet2DConditionModel,
    UniPCMultistepScheduler,
)
from torch import Tensor

from scenograph.errors import GuidanceError
from scenograph.layout import Box, Layout
from scenograph.painting import Painter
from scenograph.painting.conditioning import encode
from scenograph.painting.guidance import Guidance, Langevin, NonLocalAttentionEnergy, Window
from scenograph.painting.guidance.step import Step
from scenograph.painting.sampler import Guide, sample
from scenograph.painting.schedulers import SCHEDULERS, make_scheduler, note_moved
from scenograph.painting.tokens import TokenGroup, TokenLayout
from tests.tiny import tiny_sd_parts

STOCK: dict[str, Any] = {
    "ddim": DDIMScheduler,
    "euler": EulerDiscreteScheduler,
    "dpm++": DPMSolverMultistepScheduler,
    "unipc": UniPCMultistepScheduler,
}
PROMPTS = ["a red dog and a cat", "a photo of a blue car", "a bird above a green chair", "a book with a clock"]
FAMILIES = ("sd", "sd-v", "sdxl")


def stock(painter: Painter, scheduler: str, prompts: list[str], seeds: list[int], **options: Any) -> Tensor:
    """Latents of the stock pipeline, its own __call__ from end to end."""
    pipeline = painter.pipeline
    own = pipeline.scheduler
    silent = {"clip_sample": False, "set_alpha_to_one": False} if scheduler == "ddim" else {}
    pipeline.scheduler = STOCK[scheduler].from_config(own.config, **silent)
    pipeline.set_progress_bar_config(disable=True)
    generators = [torch.Generator().manual_seed(seed) for seed in seeds]
    try:
        options = {"guidance_scale": 7.5, **options}
        images: Tensor = pipeline(prompts, generator=generators, output_type="latent", **options).images
        return images
    finally:
        pipeline.scheduler = own


def ours(
    painter: Painter,
    scheduler: str,
    prompts: list[str],
    seeds: list[int],
    *,
    steps: int = 5,
    cfg: float = 7.5,
    negative: str = "",
    size: tuple[int, int] = (128, 128),
    guidance: Guide | None = None,
    tokens: list[TokenLayout] | None = None,
) -> Tensor:
    """Latents of our loop, on the layer below Painter."""
    condition, uncondition = encode(painter.pipeline, prompts, [negative] * len(prompts), size)
    return sample(
        painter.pipeline,
        condition,
        uncondition,
        scheduler=make_scheduler(scheduler, painter.pipeline.scheduler)[1],
        generators=[torch.Generator().manual_seed(seed) for seed in seeds],
        size=size,
        steps=steps,
        cfg=cfg,
        guidance=guidance,
        tokens=tokens or [TokenLayout(groups=())] * len(prompts),
    )


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_equals_the_stock_pipeline_to_the_bit(painters: dict[str, Painter], family: str, scheduler: str) -> None:
    painter = painters[family]
    expected = stock(painter, scheduler, PROMPTS[:1], [3], num_inference_steps=7)
    assert torch.equal(ours(painter, scheduler, PROMPTS[:1], [3], steps=7), expected)


@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_equals_the_stock_batch_to_the_bit(painters: dict[str, Painter], family: str) -> None:
    painter = painters[family]
    expected = stock(painter, "euler", PROMPTS, [3, 1, 4, 1], num_inference_steps=3)
    assert torch.equal(ours(painter, "euler", PROMPTS, [3, 1, 4, 1], steps=3), expected)


VARIATIONS: dict[str, tuple[dict[str, Any], dict[str, Any]]] = {
    "cfg 1": ({"cfg": 1.0}, {"guidance_scale": 1.0}),
    "cfg 3": ({"cfg": 3.0}, {"guidance_scale": 3.0}),
    "negative prompt": ({"negative": "black bus"}, {"negative_prompt": ["black bus"]}),
    "landscape": ({"size": (192, 104)}, {"width": 192, "height": 104}),
}


@pytest.mark.parametrize("variation", VARIATIONS)
@pytest.mark.parametrize("scheduler", ["ddim", "euler"])
@pytest.mark.parametrize("family", FAMILIES)
def test_options_equal_the_stock_pipelines(
    painters: dict[str, Painter], family: str, scheduler: str, variation: str
) -> None:
    own_options, stock_options = VARIATIONS[variation]
    expected = stock(painters[family], scheduler, PROMPTS[:1], [5], num_inference_steps=3, **stock_options)
    assert torch.equal(ours(painters[family], scheduler, PROMPTS[:1], [5], steps=3, **own_options), expected)


@pytest.mark.parametrize("spacing", [{"use_karras_sigmas": True}, {"timestep_spacing": "trailing"}])
@pytest.mark.parametrize("scheduler", ["euler", "dpm++", "unipc"])
def test_the_checkpoints_scheduler_config_is_kept(
    painters: dict[str, Painter], scheduler: str, spacing: dict[str, Any]
) -> None:
    painter = painters["sd"]
    own = painter.pipeline.scheduler
    painter.pipeline.scheduler = EulerDiscreteScheduler.from_config(own.config, **spacing)
    try:
        expected = stock(painter, scheduler, PROMPTS[:1], [2], num_inference_steps=5)
        assert torch.equal(ours(painter, scheduler, PROMPTS[:1], [2], steps=5), expected)
    finally:
        painter.pipeline.scheduler = own


def test_one_pass_per_step_without_classifier_free_guidance(painters: dict[str, Painter]) -> None:
    batches: list[int] = []
    unet = painters["sd"].pipeline.unet
    handle = unet.register_forward_pre_hook(lambda _, args: batches.append(args[0].shape[0]))
    try:
        ours(painters["sd"], "ddim", PROMPTS[:1], [0], steps=3, cfg=1.0)
        assert batches == [1, 1, 1]
        ours(painters["sd"], "ddim", PROMPTS[:1], [0], steps=2)
        assert batches[3:] == [2, 2]
    finally:
        handle.remove()


def test_a_guidance_distilled_network_gets_the_scale_as_input(tmp_path: Path) -> None:
    """LCM and its kin: one pass, with the scale embedded; equal to the stock pipeline."""
    parts = tiny_sd_parts()
    torch.manual_seed(1)
    parts["unet"] = UNet2DConditionModel.from_config({**parts["unet"].config, "time_cond_proj_dim": 8})
    StableDiffusionPipeline(**parts).save_pretrained(tmp_path)
    painter = Painter.from_pretrained(tmp_path, device="cpu")
    expected = stock(painter, "ddim", PROMPTS[:2], [3, 4], num_inference_steps=3)
    assert torch.equal(ours(painter, "ddim", PROMPTS[:2], [3, 4], steps=3), expected)
    assert not torch.allclose(ours(painter, "ddim", PROMPTS[:2], [3, 4], steps=3, cfg=3.0), expected)


def test_the_loop_builds_no_graph_and_leaves_the_pipelines_scheduler_alone(painters: dict[str, Painter]) -> None:
    own = painters["sd"].pipeline.scheduler
    own.set_timesteps(9)
    latents = ours(painters["sd"], "unipc", PROMPTS[:1], [0], steps=2)
    assert not latents.requires_grad
    assert painters["sd"].pipeline.scheduler is own
    assert own.num_inference_steps == 9


@dataclass
class Recorder:
    """A guidance that keeps what it is shown and does `move` to it."""

    move: Callable[[Tensor, Step], Tensor]
    seen: list[tuple[Tensor, Step]] = field(default_factory=list)

    def guide(self, latents_BCHW: Tensor, step: Step) -> Tensor:
        self.seen.append((latents_BCHW.clone(), step))
        return self.move(latents_BCHW, step)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_guidance_that_moves_nothing_changes_no_bit(painters: dict[str, Painter], family: str, scheduler: str) -> None:
    plain = ours(painters[family], scheduler, PROMPTS[:2], [1, 2])
    same_object = ours(painters[family], scheduler, PROMPTS[:2], [1, 2], guidance=Recorder(lambda z, _: z))
    equal_object = ours(painters[family], scheduler, PROMPTS[:2], [1, 2], guidance=Recorder(lambda z, _: z + 0.0))
    assert torch.equal(plain, same_object)
    assert torch.equal(plain, equal_object)


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_guidance_sees_variance_preserving_latents(painters: dict[str, Painter], family: str, scheduler: str) -> None:
    """The UNet, trained on VP latents, must get the same input from the loop and from Step.forward."""
    inputs: list[Tensor] = []
    recorder = Recorder(lambda z, _: z)
    painter = painters[family]
    handle = painter.pipeline.unet.register_forward_pre_hook(lambda _, args: inputs.append(args[0].clone()))
    try:
        ours(painter, scheduler, PROMPTS[:1], [1], guidance=recorder)
    finally:
        handle.remove()
    assert [step.index for _, step in recorder.seen] == list(range(5))
    for (latents_BCHW, step), model_input in zip(recorder.seen, inputs, strict=True):
        torch.testing.assert_close(latents_BCHW, model_input[:1], rtol=1e-6, atol=1e-6)
        assert (step.total, step.grid) == (5, (16, 16))
    first = recorder.seen[0][0]
    assert abs(float(first.std()) - 1) < 0.06


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_alpha_bar_is_the_one_of_the_schedule(painters: dict[str, Painter], scheduler: str) -> None:
    recorder = Recorder(lambda z, _: z)
    ours(painters["sd"], scheduler, PROMPTS[:1], [1], guidance=recorder)
    made = make_scheduler(scheduler, painters["sd"].pipeline.scheduler)[1]
    made.set_timesteps(5)
    expected = [float(made.alphas_cumprod[int(t)]) for t in made.timesteps]
    assert [step.alpha_bar for _, step in recorder.seen] == pytest.approx(expected, rel=1e-4)
    assert expected == sorted(expected)


def test_alpha_bar_follows_karras_spacing(painters: dict[str, Painter]) -> None:
    """Karras σ lie between the training timesteps: ᾱ must come from the σ that the solver integrates over."""
    own = painters["sd"].pipeline.scheduler
    painters["sd"].pipeline.scheduler = DPMSolverMultistepScheduler.from_config(own.config, use_karras_sigmas=True)
    recorder = Recorder(lambda z, _: z)
    try:
        ours(painters["sd"], "dpm++", PROMPTS[:1], [1], guidance=recorder)
        made = make_scheduler("dpm++", painters["sd"].pipeline.scheduler)[1]
    finally:
        painters["sd"].pipeline.scheduler = own
    made.set_timesteps(5)
    for (_, step), sigma in zip(recorder.seen, made.sigmas, strict=False):
        assert math.sqrt((1 - step.alpha_bar) / step.alpha_bar) == pytest.approx(float(sigma), rel=1e-5)


@pytest.mark.parametrize("family", FAMILIES)
def test_forward_closures_are_the_two_halves_of_the_guided_prediction(
    painters: dict[str, Painter], family: str
) -> None:
    """The CFG forward of the loop = uncond + cfg · (cond − uncond) of the closures, and both differentiate."""
    outputs: list[Tensor] = []
    checked: list[float] = []
    unet = painters[family].pipeline.unet

    def check(latents_BCHW: Tensor, step: Step) -> Tensor:
        leaf = latents_BCHW.clone().requires_grad_()
        conditional, unconditional = step.forward(leaf), step.forward_uncond(leaf)
        (gradient,) = torch.autograd.grad((conditional - 2 * unconditional).square().sum(), leaf)
        checked.append(float(gradient.abs().max()))
        outputs.append(torch.cat([unconditional, conditional]).detach())
        return latents_BCHW

    hooked: list[Tensor] = []
    handle = unet.register_forward_hook(
        lambda _, args, output: hooked.append(output[0]) if args[0].shape[0] == 2 else None
    )
    try:
        ours(painters[family], "euler", PROMPTS[:1], [1], steps=2, negative="black bus", guidance=Recorder(check))
    finally:
        handle.remove()
    assert len(hooked) == len(outputs) == 2
    for both, expected in zip(outputs, hooked, strict=True):
        torch.testing.assert_close(both, expected, rtol=1e-4, atol=1e-4)
    assert min(checked) > 0
    assert all(not parameter.requires_grad for parameter in unet.parameters())


def moved_once(at: int, amount: float) -> Recorder:
    return Recorder(lambda z, step: z + amount if step.index == at else z)


def shift_after_a_move(painter: Painter, scheduler: Any, at: int = 2, amount: float = 0.5) -> float:
    """How much of a shift of the VP latent at one of 40 steps is there one step later, on average over the latent."""
    condition, uncondition = encode(painter.pipeline, PROMPTS[:1], [""], (128, 128))
    seen = []
    for recorder in (Recorder(lambda z, _: z), moved_once(at, amount)):
        sample(
            painter.pipeline,
            condition,
            uncondition,
            scheduler=scheduler.from_config(painter.pipeline.scheduler.config),
            generators=[torch.Generator().manual_seed(1)],
            size=(128, 128),
            steps=40,
            cfg=1.0,
            guidance=recorder,
            tokens=[TokenLayout(groups=())],
        )
        seen.append([latents for latents, _ in recorder.seen])
    for plain, moved in zip(seen[0][: at + 1], seen[1], strict=False):
        assert torch.equal(plain, moved)
    return float((seen[1][at + 1] - seen[0][at + 1]).mean()) / amount


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_moved_latent_is_not_undone(painters: dict[str, Painter], scheduler: str) -> None:
    assert shift_after_a_move(painters["sd"], SCHEDULERS[scheduler]) > 1  # √ᾱ grows from step to step


def test_the_stock_corrector_would_undo_it(painters: dict[str, Painter]) -> None:
    """UniPC's corrector recomputes the sample from the step before: the test above can fail."""
    assert shift_after_a_move(painters["sd"], UniPCMultistepScheduler) < 0.3


def after_a_jump(scheduler: Any, jump: float, *, at: int = 5, then: int = 3, moved: bool = True) -> list[Tensor]:
    """VP latents of two samples after step `at` and the `then` following ones, when x₀ jumps at `at` in the second.

    The network stands for one that sees x₀ = 0.3 everywhere, or 0.3 + jump since guidance moved the latent.
    """
    scheduler.set_timesteps(50)
    latents = torch.linspace(-2, 2, 8).view(2, 4, 1, 1)
    found = []
    for index, timestep in enumerate(scheduler.timesteps[: at + then + 1]):
        alpha_bar = float(scheduler.alphas_cumprod[int(timestep)])
        x0 = torch.tensor([0.3, 0.3 + (jump if index >= at else 0.0)]).view(2, 1, 1, 1)
        epsilon = (latents - math.sqrt(alpha_bar) * x0) / math.sqrt(1 - alpha_bar)
        note_moved(scheduler, torch.tensor([False, index == at]) if moved else None)
        latents = scheduler.step(epsilon, timestep, latents).prev_sample
        if index >= at:
            found.append(latents)
    return found


@pytest.mark.parametrize("name", ["dpm++", "unipc"])
def test_multistep_solvers_take_a_move_once(painters: dict[str, Painter], name: str) -> None:
    """A jump of x₀ is no slope of the trajectory: the response is DDIM's, not 1.4 times that."""
    made = make_scheduler(name, painters["sd"].pipeline.scheduler)[1]

    def response(*, moved: bool) -> list[float]:
        runs = [after_a_jump(made, jump, moved=moved) for jump in (0.0, 1.0)]
        assert all(torch.equal(still[0], jumped[0]) for still, jumped in zip(*runs, strict=True))
        return [float((jumped[1] - still[1]).mean()) for still, jumped in zip(*runs, strict=True)]

    expected, shift = [], 0.0
    for sigma, following in zip(made_sigmas(made)[5:9], made_sigmas(made)[6:10], strict=True):
        root, next_root = ((1 + level**2) ** -0.5 for level in (sigma, following))
        shift = next_root + next_root * following / (root * sigma) * (shift - root)  # DDIM's step, x₀ off by 1
        expected.append(shift)
    assert response(moved=True) == pytest.approx(expected, rel=1e-3)
    assert response(moved=False)[0] > 1.3 * expected[0]  # what the remembered predictions would add


def made_sigmas(scheduler: Any) -> list[float]:
    scheduler.set_timesteps(50)
    sigmas: list[float] = scheduler.sigmas.tolist()
    return sigmas


@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_a_sample_does_not_notice_that_its_neighbour_is_moved(painters: dict[str, Painter], scheduler: str) -> None:
    def move_second(latents_BCHW: Tensor, step: Step) -> Tensor:
        return latents_BCHW + torch.tensor([0.0, 0.3]).view(2, 1, 1, 1)

    plain = ours(painters["sd"], scheduler, PROMPTS[:2], [1, 2])
    moved = ours(painters["sd"], scheduler, PROMPTS[:2], [1, 2], guidance=Recorder(move_second))
    assert torch.equal(plain[0], moved[0])
    assert not torch.equal(plain[1], moved[1])


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_a_batch_of_four_equals_four_singles(painters: dict[str, Painter], family: str, scheduler: str) -> None:
    seeds = [7, 8, 9, 10]
    batch = ours(painters[family], scheduler, PROMPTS, seeds)
    for row, (prompt, seed) in enumerate(zip(PROMPTS, seeds, strict=True)):
        single = ours(painters[family], scheduler, [prompt], [seed])
        torch.testing.assert_close(batch[row], single[0], rtol=0, atol=1e-4)


@pytest.mark.parametrize("kind", ["dpm++", "ddim"])
def test_noise_of_guidance_leaves_the_samplers_noise_alone(painters: dict[str, Painter], kind: str) -> None:
    """A stochastic solver goes on drawing from the sample's generator; Langevin that hardly moves changes hardly."""
    painter = painters["sd"]
    own = painter.pipeline.scheduler
    painter.pipeline.scheduler = DPMSolverMultistepScheduler.from_config(own.config, algorithm_type="sde-dpmsolver++")
    layout = TokenLayout(groups=(TokenGroup(tokens=(2,), boxes=(Box(0.1, 0.1, 0.5, 0.5),), phrase="red"),))
    # The first step alone: there a multistep solver has no memory that a move could make it forget.
    update = Langevin(iterations=1, ratio=1e-9)
    guidance = Guidance(energy=NonLocalAttentionEnergy(), update=update, window=Window(steps=1))
    try:
        plain = ours(painter, kind, PROMPTS[:1], [3])
        moved = ours(painter, kind, PROMPTS[:1], [3], guidance=guidance, tokens=[layout])
    finally:
        painter.pipeline.scheduler = own
    assert guidance.log.steps
    torch.testing.assert_close(moved, plain, rtol=0, atol=1e-4)


def test_guidance_draws_other_noise_than_the_sampler_and_the_same_again(painters: dict[str, Painter]) -> None:
    drawn: list[Tensor] = []

    def draw(latents_BCHW: Tensor, step: Step) -> Tensor:
        drawn.append(torch.stack([torch.randn(latents_BCHW.shape[1:], generator=each) for each in step.generators]))
        return latents_BCHW

    for seeds in ([3, 4], [4]):
        ours(painters["sd"], "ddim", PROMPTS[: len(seeds)], seeds, steps=2, guidance=Recorder(draw))
    assert torch.equal(drawn[0][1], drawn[2][0]) and torch.equal(drawn[1][1], drawn[3][0])
    initial = torch.randn((4, 16, 16), generator=torch.Generator().manual_seed(3))
    for noise in (drawn[0][0], drawn[0][1], drawn[1][0]):
        assert abs(float((noise * initial).mean())) < 0.15


def test_half_precision_shows_guidance_float32(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    painter = Painter.from_pretrained(painters["sd"].name, device="cpu", dtype="bf16")
    recorder = Recorder(lambda z, step: z + 0.1 * step.forward(z))
    latents = ours(painter, "euler", PROMPTS[:1], [1], steps=2, guidance=recorder)
    assert latents.dtype == torch.bfloat16
    assert {seen.dtype for seen, _ in recorder.seen} == {torch.float32}


def test_a_latent_that_is_not_finite_is_refused(painters: dict[str, Painter]) -> None:
    with pytest.raises(GuidanceError, match="step 2 of 3"):
        ours(painters["sd"], "ddim", PROMPTS[:1], [1], steps=3, guidance=moved_once(1, math.nan))


def test_checkpoints_with_another_scheduler_get_ddim_without_clipping(painters: dict[str, Painter]) -> None:
    name, made = make_scheduler(None, PNDMScheduler(skip_prk_steps=True, steps_offset=1))
    assert (name, type(made)) == ("ddim", DDIMScheduler)
    assert made.config.clip_sample is False
    assert made.config.steps_offset == 1
    assert make_scheduler(None, painters["sdxl"].pipeline.scheduler)[0] == "euler"
    with pytest.raises(GuidanceError, match=r"unknown scheduler 'pndm'; expected one of: ddim, euler, dpm\+\+, unipc"):
        make_scheduler("pndm", painters["sd"].pipeline.scheduler)


def test_distilled_checkpoints_need_a_scheduler_by_name() -> None:
    lcm = LCMScheduler(beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012)
    with pytest.raises(GuidanceError, match=r"made for LCMScheduler, which is not here; name one of: ddim, euler"):
        make_scheduler(None, lcm)
    assert torch.equal(make_scheduler("ddim", lcm)[1].alphas_cumprod, lcm.alphas_cumprod)
    assert make_scheduler(None, EulerAncestralDiscreteScheduler())[0] == "ddim"


@pytest.mark.parametrize("name", [None, "ddim", "euler"])
def test_checkpoints_of_another_noise_are_refused(name: str | None) -> None:
    """EDM (Playground 2.5) and flow matching have no table of betas; DDIM's default one would paint garbage."""
    foreign = [
        EDMDPMSolverMultistepScheduler(),
        FlowMatchEulerDiscreteScheduler(),
        UniPCMultistepScheduler(prediction_type="flow_prediction", use_flow_sigmas=True),
        DDIMScheduler(prediction_type="sample"),
    ]
    for checkpoint in foreign:
        with pytest.raises(GuidanceError, match=rf"made for {type(checkpoint).__name__} with prediction type"):
            make_scheduler(name, checkpoint)

"""GLIGEN conditioning: the same pictures as diffusers' deprecated pipeline, and what that one cannot do."""

from __future__ import annotations

import warnings
from pathlib import Path
from typing import Any

import pytest
import torch
from diffusers import StableDiffusionGLIGENPipeline

from scenograph.errors import GuidanceError, LayoutError, ScenographWarning
from scenograph.layout import Box, Instance, Layout
from scenograph.models.gated import add_gates, is_gate
from scenograph.painting import Painter
from scenograph.painting.gligen import ground
from tests.tiny import tiny_sd_parts

DOG = Layout(
    caption="a red dog and a cat",
    instances=(
        Instance(caption="a red dog", box=Box(0.1, 0.2, 0.5, 0.9)),
        Instance(caption="cat", box=Box(0.6, 0.1, 0.95, 0.5)),
    ),
)
CAR = Layout(caption="a blue car", instances=(Instance(caption="a blue car", box=Box(0.3, 0.3, 0.8, 0.7)),))
EMPTY = Layout(caption="a dog", instances=())


def parts() -> dict[str, Any]:
    """tiny_sd with gated layers whose gates are open."""
    made = tiny_sd_parts()
    made["unet"] = add_gates(made["unet"], seed=1)
    with torch.no_grad():
        for name, parameter in made["unet"].named_parameters():
            if name.endswith(("alpha_attn", "alpha_dense")):
                parameter.fill_(0.8)
            if "null_" in name:
                parameter.normal_()
    return made


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("gligen")
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        StableDiffusionGLIGENPipeline(**parts()).save_pretrained(path)
    return path


@pytest.fixture(scope="module")
def painter(folder: Path) -> Painter:
    return Painter.from_pretrained(folder, device="cpu")


def latents(painter: Painter, layouts: Any, **options: Any) -> torch.Tensor:
    painted = painter.paint(layouts, output="latent", progress=False, steps=6, **options)
    return torch.stack([one.image for one in painted])


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.5, 1.0])
@pytest.mark.parametrize("cfg", [1.0, 7.5])
def test_it_equals_diffusers_pipeline(folder: Path, painter: Painter, beta: float, cfg: float) -> None:
    """≤ 1e-4 is asked; it is the same arithmetic, so nearly all bits agree."""
    stock: Any = StableDiffusionGLIGENPipeline.from_pretrained(folder, safety_checker=None)
    stock.set_progress_bar_config(disable=True)
    theirs = stock(
        prompt=DOG.prompt().text,
        gligen_phrases=[i.caption for i in DOG.instances],
        gligen_boxes=[list(i.box) for i in DOG.instances],
        gligen_scheduled_sampling_beta=beta,
        guidance_scale=cfg,
        num_inference_steps=6,
        generator=torch.Generator().manual_seed(3),
        output_type="latent",
    ).images
    ours = latents(painter, DOG, seeds=3, cfg=cfg, gligen_beta=beta)
    assert (ours - theirs).abs().max() <= 1e-5


def test_grounding_and_beta_change_the_picture(painter: Painter) -> None:
    """The identity above would hold for a model that ignores its boxes."""
    moved = Layout(
        caption=DOG.caption,
        instances=(*DOG.instances[::-1][:1], Instance(caption="a red dog", box=Box(0.5, 0.5, 0.9, 0.9))),
    )
    seen = [latents(painter, DOG, gligen_beta=beta) for beta in (0.0, 0.5, 1.0)] + [
        latents(painter, moved, gligen_beta=1.0)
    ]
    for a in range(4):
        for b in range(a):
            assert (seen[a] - seen[b]).abs().max() > 1e-3


def test_different_layouts_in_one_batch_equal_single_ones(painter: Painter) -> None:
    batch = latents(painter, [DOG, CAR, EMPTY], seeds=[1, 2, 3], gligen_beta=1.0)
    for row, layout in enumerate((DOG, CAR, EMPTY)):
        alone = latents(painter, layout, seeds=row + 1, gligen_beta=1.0)
        assert (batch[row] - alone[0]).abs().max() <= 1e-4


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpm++", "unipc"])
def test_it_combines_with_winwinlay(painter: Painter, scheduler: str) -> None:
    plain = latents(painter, DOG, gligen_beta=1.0, scheduler=scheduler)
    guided = latents(painter, DOG, gligen_beta=1.0, scheduler=scheduler, guidance="winwinlay")
    assert torch.isfinite(guided).all()
    assert (plain - guided).abs().max() > 1e-4


def test_closed_gates_are_the_plain_checkpoint(tmp_path: Path) -> None:
    from diffusers import StableDiffusionPipeline

    made = tiny_sd_parts()
    StableDiffusionPipeline(**made).save_pretrained(tmp_path / "plain")
    made["unet"] = add_gates(made["unet"])
    StableDiffusionPipeline(**made).save_pretrained(tmp_path / "gated")
    before = latents(Painter.from_pretrained(tmp_path / "plain", device="cpu"), DOG)
    after = latents(Painter.from_pretrained(tmp_path / "gated", device="cpu"), DOG, gligen_beta=1.0)
    assert torch.equal(before, after)


def test_more_than_thirty_instances_are_refused(painter: Painter) -> None:
    many = Layout(caption="dogs", instances=(Instance(caption="dog", box=Box(0.1, 0.1, 0.2, 0.2)),) * 31)
    with pytest.raises(LayoutError, match="31 instances, and GLIGEN takes at most 30"):
        painter.paint(many, progress=False, steps=1)


def test_beta_is_checked(painter: Painter, tmp_path: Path) -> None:
    with pytest.raises(GuidanceError, match="expected a share"):
        painter.paint(DOG, gligen_beta=1.5)
    from tests.tiny import tiny_sd

    with pytest.raises(GuidanceError, match="no gated layers"):
        Painter.from_pretrained(tiny_sd(tmp_path), device="cpu").paint(DOG, gligen_beta=0.3)


def test_a_share_without_a_step_is_told(painter: Painter) -> None:
    options: dict[str, Any] = {"output": "latent", "progress": False}
    with pytest.warns(ScenographWarning, match=r"gligen_beta 0\.3 of 3 steps is none"):
        painter.paint(DOG, steps=3, **options)
    with warnings.catch_warnings(action="error", category=ScenographWarning):
        painter.paint(DOG, steps=4, **options)
        painter.paint(DOG, steps=1, gligen_beta=0.0, **options)


def test_a_painting_is_painted_again_with_its_beta(painter: Painter) -> None:
    painting = painter.paint(DOG, progress=False, steps=2, gligen_beta=0.5)[0]
    assert painting.recipe()["gligen_beta"] == 0.5
    again = painter.repaint(painting.recipe())
    assert list(again.image.getdata()) == list(painting.image.getdata())


def test_phrases_are_embedded_as_the_pooled_text(painter: Painter) -> None:
    grounding = ground(painter.pipeline, [DOG, EMPTY])
    tokens = painter.pipeline.tokenizer(["a red dog"], padding=True, return_tensors="pt")
    alone = painter.pipeline.text_encoder(**tokens).pooler_output[0]
    assert (grounding.phrases_BND[0, 0] - alone).abs().max() < 1e-5
    assert grounding.masks_BN.sum(1).tolist() == [2, 0]
    assert grounding.boxes_BN4[0, 1].tolist() == pytest.approx(list(DOG.instances[1].box))


def test_a_gligen_is_not_guided_unless_asked(painter: Painter, tmp_path: Path) -> None:
    from tests.tiny import tiny_sd

    assert painter.defaults["method"] == "plain"
    assert Painter.from_pretrained(tiny_sd(tmp_path), device="cpu").defaults["method"] == "winwinlay"


def test_only_gates_are_new() -> None:
    plain = tiny_sd_parts()["unet"]
    gated = add_gates(plain)
    new = set(gated.state_dict()) - set(plain.state_dict())
    assert new and all(is_gate(name) for name in new)
    assert add_gates(gated) is gated

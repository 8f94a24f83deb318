"""Painter: layouts in, paintings out; recipes, LoRAs, errors."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from peft import LoraConfig, get_peft_model_state_dict
from safetensors.torch import save_file

from scenograph.errors import CheckpointError, GuidanceError, ImageError, LayoutError, PhraseError
from scenograph.layout import Box, Instance, Layout
from scenograph.models.embedded import WINWINLAY
from scenograph.painting import Painter
from scenograph.painting.guidance import Window, method
from scenograph.painting.schedulers import SCHEDULERS
from tests.heard import heard

FAMILIES = ("sd", "sd-v", "sdxl")


def latents(painter: Painter, layouts: Layout | list[Layout], **options: Any) -> torch.Tensor:
    """Painted latents_BCHW."""
    options = {"steps": 3, "progress": False, **options}
    return torch.stack([painting.image for painting in painter.paint(layouts, output="latent", **options)])


@pytest.mark.parametrize("family", FAMILIES)
def test_the_picture_equals_the_stock_pipelines(
    painters: dict[str, Painter], layouts: list[Layout], family: str
) -> None:
    painter = painters[family]
    (painting,) = painter.paint(layouts[0], seeds=4, steps=3, progress=False)
    painter.pipeline.set_progress_bar_config(disable=True)
    expected = painter.pipeline(
        layouts[0].caption, generator=torch.Generator().manual_seed(4), num_inference_steps=3, guidance_scale=7.5
    ).images[0]
    assert painting.image.tobytes() == expected.tobytes()
    assert painting.image.size == (128, 128)


def test_a_painting_tells_how_it_was_made(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    paintings = painters["sd"].paint(layouts, seeds=[1, 2, 3, 4], steps=2, template="A photo of {}", progress=False)
    assert [painting.layout for painting in paintings] == layouts
    assert [painting.seed for painting in paintings] == [1, 2, 3, 4]
    assert paintings[0].prompt == "A photo of a red dog and a cat"
    assert paintings[0].appended == ()
    assert paintings[3].appended == ("an apple",) or paintings[3].appended == ("a apple",)
    assert paintings[3].prompt.endswith(paintings[3].appended[0])
    assert {painting.method for painting in paintings} == {"plain"}
    assert paintings[0].settings["scheduler"] == "ddim"
    assert paintings[0].log == ()


def test_one_layout_with_many_seeds_is_painted_once_per_seed(
    painters: dict[str, Painter], layouts: list[Layout]
) -> None:
    both = latents(painters["sd"], layouts[0], seeds=[5, 6])
    assert both.shape == (2, 4, 16, 16)
    torch.testing.assert_close(both[1], latents(painters["sd"], layouts[0], seeds=6)[0], rtol=0, atol=1e-4)
    assert not torch.allclose(both[0], both[1], atol=0.1)


@pytest.mark.parametrize("family", FAMILIES)
def test_chunks_do_not_change_the_pictures(painters: dict[str, Painter], layouts: list[Layout], family: str) -> None:
    options: dict[str, Any] = {"seeds": [1, 2, 3, 4], "negative_prompt": ["", "black bus", "", "small"]}
    whole = latents(painters[family], layouts, batch_size=4, **options)
    for size in (1, 3):
        torch.testing.assert_close(
            latents(painters[family], layouts, batch_size=size, **options), whole, rtol=0, atol=1e-4
        )


@pytest.mark.parametrize("scheduler", SCHEDULERS)
@pytest.mark.parametrize("family", FAMILIES)
def test_guided_painting_moves_and_logs(
    painters: dict[str, Painter], layouts: list[Layout], family: str, scheduler: str
) -> None:
    options: dict[str, Any] = {"steps": 3, "scheduler": scheduler, "output": "latent", "progress": False}
    plain = painters[family].paint(layouts[:2], **options)
    guided = painters[family].paint(layouts[:2], guidance="winwinlay", **options)
    for before, after in zip(plain, guided, strict=True):
        assert torch.isfinite(after.image).all()
        assert float((after.image - before.image).abs().max()) > 0.1
        assert [step.index for step in after.log] == [0, 1, 2]
        assert all(len(values) == 1 for step in after.log for values in step.energy)
    assert guided[0].log != guided[1].log
    assert guided[0].method == "winwinlay"


@pytest.mark.parametrize("name", ["winwinlay", "layout-control", "naef+backprop"])
@pytest.mark.parametrize("scheduler", SCHEDULERS)
def test_scale_zero_is_plain(painters: dict[str, Painter], layouts: list[Layout], scheduler: str, name: str) -> None:
    plain = latents(painters["sd"], layouts[:2], scheduler=scheduler)
    guidance = method(name, scale=0.0)
    assert torch.equal(plain, latents(painters["sd"], layouts[:2], scheduler=scheduler, guidance=guidance))


@pytest.mark.parametrize(("family", "name"), [("sd", "winwinlay"), ("sdxl", "layout-control")])
def test_guided_batches_equal_singles_in_float64(
    painters: dict[str, Painter], layouts: list[Layout], family: str, name: str
) -> None:
    painter = Painter.from_pretrained(painters[family].name, device="cpu", dtype="float64")
    options: dict[str, Any] = {"guidance": name, "scheduler": "ddim", "steps": 2}
    batch = latents(painter, layouts, seeds=[1, 2, 3, 4], **options)
    assert batch.dtype == torch.float64
    for row, layout in enumerate(layouts):
        single = latents(painter, layout, seeds=row + 1, **options)
        torch.testing.assert_close(batch[row], single[0], rtol=0, atol=1e-6)


def test_a_guidance_gets_its_name_back(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    options: dict[str, Any] = {"steps": 2, "output": "latent", "progress": False}
    (named,) = painters["sd"].paint(layouts[0], guidance=method("layout-control"), **options)
    changed = method("winwinlay:r=0.2", scale=0.5, window=Window(start=1, steps=3))
    (spelled,) = painters["sd"].paint(layouts[0], guidance=changed, **options)
    assert (named.method, spelled.method) == ("layout-control", "winwinlay:r=0.2:scale=0.5:guided=[1, 4]")
    assert "scale=0.5" in spelled.settings["guidance"]
    assert changed is not None and painters["sd"].repaint(spelled.recipe()).method == spelled.method


def test_repainting_a_recipe_gives_the_same_picture(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    painter = painters["sdxl"]
    options: dict[str, Any] = {"steps": 2, "cfg": 4.0, "negative_prompt": "black bus", "width": 96, "height": 128}
    (first,) = painter.paint(layouts[3], seeds=11, guidance="winwinlay", scheduler="unipc", progress=False, **options)
    again = painter.repaint(first.recipe())
    assert again.image.tobytes() == first.image.tobytes()
    assert again.recipe() == first.recipe()


def test_a_recipe_for_another_painter_is_refused(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    (painting,) = painters["sd"].paint(layouts[0], steps=1, progress=False)
    with pytest.raises(GuidanceError, match="model"):
        painters["sdxl"].repaint(painting.recipe())
    with pytest.raises(GuidanceError, match="unknown method 'magic'"):
        painters["sd"].repaint({**painting.recipe(), "method": "magic"})


def test_a_guidance_that_no_name_makes_says_so(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    guidance = method("winwinlay", layers=lambda name: "up" in name)
    (painting,) = painters["sd"].paint(layouts[0], guidance=guidance, steps=1, progress=False)
    assert painting.method == "custom"
    with pytest.raises(GuidanceError, match="no name that makes it again; paint with Guidance"):
        painters["sd"].repaint(painting.recipe())


def test_layers_that_are_not_there_are_found_before_painting(
    painters: dict[str, Painter], layouts: list[Layout]
) -> None:
    with pytest.raises(GuidanceError, match="no cross-attention layer 'midblock'; this network has down_blocks"):
        painters["sd"].paint(layouts[0], guidance="winwinlay:layers=midblock", output="nothing")


@pytest.mark.parametrize("scheduler", ["ddim", "euler", "dpm++", "unipc"])
def test_as_many_steps_as_the_scheduler_has(
    painters: dict[str, Painter], layouts: list[Layout], scheduler: str
) -> None:
    """With leading timesteps and an offset of 1, as SD has them, the first of 1000 would be level 1001."""
    options: dict[str, Any] = {"scheduler": scheduler, "output": "nothing"}
    painters["sd"].paint(layouts[0], steps=998, **options)
    with pytest.raises(GuidanceError, match="steps is 1000; expected fewer"):
        painters["sd"].paint(layouts[0], steps=1000, **options)


def test_a_recipe_tells_how_the_checkpoint_was_loaded(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    tiled = Painter.from_pretrained(painters["sd"].name, device="cpu", tiling=True)
    recipe = tiled.paint(layouts[0], steps=1, progress=False)[0].recipe()
    assert (recipe["tiling"], recipe["variant"], recipe["config"]) == (True, None, None)
    with pytest.raises(GuidanceError, match="the recipe has tiling True, this painter False; load the same"):
        painters["sd"].repaint(recipe)
    del recipe["template"], recipe["width"]
    with pytest.raises(GuidanceError, match="the recipe lacks template, width; it cannot be painted again"):
        tiled.repaint(recipe)


def test_numpy_numbers_are_numbers(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    whole = [np.int64(7), np.int64(2), np.int32(96)]
    options: dict[str, Any] = {"output": "latent", "progress": False}
    (painting,) = painters["sd"].paint(layouts[0], seeds=whole[0], steps=whole[1], width=whole[2], **options)  # type: ignore[arg-type]
    (plain,) = painters["sd"].paint(layouts[0], seeds=7, steps=2, width=96, **options)
    assert json.loads(json.dumps(painting.recipe())) == plain.recipe()
    assert torch.equal(painting.image, plain.image)
    both = painters["sd"].paint(layouts[0], seeds=np.arange(2), steps=1, **options)  # type: ignore[arg-type]
    assert [painting.seed for painting in both] == [0, 1]


def test_guided_painting_inside_inference_mode_leaves_nothing_behind(
    painters: dict[str, Painter], layouts: list[Layout]
) -> None:
    """What it caches must serve a later call outside: inference tensors could not be differentiated through."""
    layout = Layout(caption="a cat", instances=(Instance(caption="a cat", box=Box(0.12, 0.34, 0.56, 0.78)),))
    options: dict[str, Any] = {"guidance": "winwinlay", "steps": 1}
    with torch.inference_mode():
        loaded = Painter.from_pretrained(painters["sd"].name, device="cpu")
        inside = latents(loaded, layout, **options)
    for painter in (loaded, painters["sd"]):
        assert torch.equal(latents(painter, layout, **options), inside)


def test_offloaded_parts_are_freed_when_painting_fails(
    painters: dict[str, Painter], layouts: list[Layout], monkeypatch: pytest.MonkeyPatch
) -> None:
    freed: list[bool] = []
    monkeypatch.setattr(painters["sd"].pipeline, "maybe_free_model_hooks", lambda: freed.append(True))

    def fail(*_: object, **__: object) -> None:
        raise RuntimeError("out of memory")

    monkeypatch.setattr(painters["sd"].pipeline.vae, "decode", fail)
    with pytest.raises(RuntimeError, match="out of memory"):
        painters["sd"].paint(layouts[0], steps=1, progress=False)
    assert freed == [True]


def test_tiling_and_slicing_decode_the_same_small_picture(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    painter = Painter.from_pretrained(painters["sd"].name, device="cpu", tiling=True)
    assert painter.pipeline.vae.use_tiling and painter.pipeline.vae.use_slicing
    (tiled,) = painter.paint(layouts[0], steps=2, progress=False)
    (whole,) = painters["sd"].paint(layouts[0], steps=2, progress=False)
    assert tiled.image.tobytes() == whole.image.tobytes()


def test_offload_without_an_accelerator_is_one_clear_line(painters: dict[str, Painter]) -> None:
    if torch.cuda.is_available() or torch.backends.mps.is_available():
        pytest.skip("an accelerator is here")
    with pytest.raises(CheckpointError, match="offload needs cuda or mps"):
        Painter.from_pretrained(painters["sd"].name, offload=True)


def lora_weights(painter: Painter, *, strength: float = 0.3) -> dict[str, torch.Tensor]:
    """A LoRA of the painter's UNet as peft names it: strong enough to see, too weak to saturate."""
    lora = LoraConfig(r=2, lora_alpha=2, target_modules=["to_q", "to_k", "to_v", "to_out.0"])
    fresh = Painter.from_pretrained(painter.name, device="cpu").pipeline
    fresh.unet.add_adapter(lora)
    generator = torch.Generator().manual_seed(0)
    return {
        name: strength * torch.randn(value.shape, generator=generator)
        for name, value in get_peft_model_state_dict(fresh.unet).items()
    }


def write_lora(painter: Painter, path: Path, *, strength: float = 0.3) -> Path:
    """The same in the diffusers format."""
    weights = lora_weights(painter, strength=strength)
    path.mkdir(parents=True)
    save_file({f"unet.{name}": value for name, value in weights.items()}, path / "pytorch_lora_weights.safetensors")
    return path / "pytorch_lora_weights.safetensors"


def kohya_name(name: str) -> str:
    stem, _, end = name.partition(".lora_")
    half = {"A.weight": "lora_down.weight", "B.weight": "lora_up.weight"}[end]
    return f"lora_unet_{stem.replace('.', '_')}.{half}"


def test_peft_and_kohya_loras_equal_the_diffusers_ones(
    painters: dict[str, Painter], layouts: list[Layout], tmp_path: Path
) -> None:
    """At half their strength, which each format writes down in its own place."""
    weights = lora_weights(painters["sd"], strength=0.6)
    wanted = {f"unet.{name}": value * (0.5 if ".lora_B." in name else 1) for name, value in weights.items()}
    save_file(wanted, tmp_path / "diffusers.safetensors")
    kohya = {kohya_name(name): value for name, value in weights.items()}
    stems = {name.rpartition(".lora_")[0] for name in kohya}
    save_file(kohya | {f"{stem}.alpha": torch.tensor(1.0) for stem in stems}, tmp_path / "kohya.safetensors")
    for folder, prefix in (("peft", "base_model.model."), ("bare", "")):
        (tmp_path / folder).mkdir()
        renamed = {prefix + name: value.clone() for name, value in weights.items()}
        save_file(renamed, tmp_path / folder / "adapter_model.safetensors")
        (tmp_path / folder / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 1}')

    def painted(source: Path) -> torch.Tensor:
        painter = Painter.from_pretrained(painters["sd"].name, device="cpu")
        painter.load_lora(source)
        return latents(painter, layouts[0], steps=1)

    expected = painted(tmp_path / "diffusers.safetensors")
    assert float((expected - latents(painters["sd"], layouts[0], steps=1)).abs().max()) > 0.01
    for name in ("kohya.safetensors", "peft", "bare", "peft/adapter_model.safetensors"):
        torch.testing.assert_close(painted(tmp_path / name), expected, rtol=0, atol=1e-5)
    (tmp_path / "peft" / "adapter_config.json").write_text('{"r": 2, "lora_alpha": 1, "use_dora": true}')
    with pytest.raises(CheckpointError, match=r"adapter_config\.json has use_dora, which is not read here"):
        painted(tmp_path / "peft")


@pytest.mark.parametrize("family", ["sd", "sdxl"])
def test_loras_change_the_picture_by_their_scale(
    painters: dict[str, Painter], layouts: list[Layout], tmp_path: Path, family: str
) -> None:
    file = write_lora(painters[family], tmp_path / "lora")
    plain = latents(painters[family], layouts[0], steps=1)

    def with_lora(source: Path, *scales: float) -> torch.Tensor:
        painter = Painter.from_pretrained(painters[family].name, device="cpu")
        for scale in scales:
            painter.load_lora(source, scale)
        assert all(not weight.requires_grad for weight in painter.pipeline.unet.parameters())
        assert painter.loras == [(str(source), scale) for scale in scales]
        return latents(painter, layouts[0], steps=1)

    full = with_lora(file, 1.0)
    assert float((full - plain).abs().max()) > 0.01
    assert torch.equal(full, with_lora(file.parent, 1.0))
    torch.testing.assert_close(with_lora(file, 0.0), plain, rtol=0, atol=1e-5)
    torch.testing.assert_close(with_lora(file, 0.5, 0.5), full, rtol=0, atol=1e-3)  # half twice is once


def test_guidance_runs_through_a_lora(painters: dict[str, Painter], layouts: list[Layout], tmp_path: Path) -> None:
    painter = Painter.from_pretrained(painters["sd"].name, device="cpu")
    painter.load_lora(write_lora(painter, tmp_path / "lora"))
    guided = painter.paint(layouts[0], guidance="winwinlay", steps=1, output="latent", progress=False)[0]
    base = painters["sd"].paint(layouts[0], guidance="winwinlay", steps=1, output="latent", progress=False)[0]
    assert guided.log[0].energy[0] != base.log[0].energy[0]
    assert guided.recipe()["loras"] == [[painter.loras[0][0], 1.0]]


def test_bad_loras_are_one_line_and_leave_the_painter_usable(
    painters: dict[str, Painter], layouts: list[Layout], tmp_path: Path
) -> None:
    painter = Painter.from_pretrained(painters["sd"].name, device="cpu")
    foreign = write_lora(painters["sdxl"], tmp_path / "xl")
    junk = tmp_path / "junk.safetensors"
    junk.write_bytes(b"\x05\0\0\0\0\0\0\0hello")
    for source in (foreign, junk, tmp_path / "nowhere.safetensors", tmp_path / "x.bin", tmp_path):
        with heard() as said, pytest.raises(CheckpointError) as caught:
            painter.load_lora(source)
        assert said.getvalue() == ""
        assert len(str(caught.value).splitlines()) == 1
    assert painter.loras == []
    assert torch.equal(latents(painter, layouts[0]), latents(painters["sd"], layouts[0]))
    good = write_lora(painter, tmp_path / "good")
    with heard() as said:
        painter.load_lora(good)
        painter.load_lora(good)
    assert said.getvalue() == ""


BAD: dict[str, tuple[dict[str, Any], type[Exception], str]] = {
    "width": ({"width": 100}, ImageError, "width is 100; expected a multiple of 8 pixels"),
    "height": ({"height": 0}, ImageError, "height is 0; expected a multiple of 8"),
    "steps": ({"steps": 0}, GuidanceError, "steps is 0; expected a whole number from 1"),
    "cfg": ({"cfg": float("nan")}, GuidanceError, "cfg is nan"),
    "scheduler": ({"scheduler": "heun"}, GuidanceError, "unknown scheduler 'heun'; expected one of"),
    "method": ({"guidance": "winwin"}, GuidanceError, "unknown method 'winwin'; known: plain, winwinlay"),
    "seeds": ({"seeds": [1, 2, 3]}, GuidanceError, "got 3 seeds for 2 layouts"),
    "seed": ({"seeds": -1}, GuidanceError, "seed -1 is not usable"),
    "negatives": ({"negative_prompt": ["a"]}, GuidanceError, "got 1 negative prompts for 2 layouts"),
    "batch": ({"batch_size": 0}, GuidanceError, "batch_size is 0"),
    "template": ({"template": "photo"}, LayoutError, "template"),
    "long negative": ({"negative_prompt": "dog " * 80}, PhraseError, "has 82 tokens .* at most 77: shorten"),
}


@pytest.mark.parametrize("case", BAD)
def test_bad_arguments_are_one_clear_line(painters: dict[str, Painter], layouts: list[Layout], case: str) -> None:
    options, error, text = BAD[case]
    with pytest.raises(error, match=text) as caught:
        painters["sd"].paint(layouts[:2], **{"steps": 1, "progress": False, **options})
    assert "\n" not in str(caught.value)


def test_no_layouts_and_other_types_are_refused(painters: dict[str, Painter]) -> None:
    for bad in ([], ["a dog"], "a dog"):
        with pytest.raises(LayoutError, match="expected one Layout or a non-empty sequence"):
            painters["sd"].paint(bad)  # type: ignore[arg-type]


def test_a_prompt_beyond_the_window_is_refused_not_cut(painters: dict[str, Painter]) -> None:
    box = Box(0, 0, 1, 1)
    fits = Layout(caption="dog " * 75, instances=(Instance(caption="dog", box=box),))
    assert latents(painters["sd"], fits, steps=1).shape == (1, 4, 16, 16)
    long = Layout(caption="dog " * 76, instances=(Instance(caption="dog", box=box),))
    with pytest.raises(PhraseError, match=r"has 78 tokens .* expected at most 77"):
        painters["sd"].paint(long, steps=1, progress=False)


def test_strict_refuses_what_would_be_appended(painters: dict[str, Painter], layouts: list[Layout]) -> None:
    with pytest.raises(PhraseError, match="apple"):
        painters["sd"].paint(layouts, steps=1, strict=True, progress=False)


def test_the_embedded_painter_has_options_of_its_own_where_none_are_asked_for() -> None:
    assert Painter.from_pretrained("tiny-sd", device="cpu").defaults == {"method": WINWINLAY, "cfg": 7.5}
    gligen = Painter.from_pretrained("tiny-gligen", device="cpu")
    assert gligen.defaults == {"method": "plain", "cfg": 4.0, "gligen_beta": 0.6}
    assert method(WINWINLAY) != method("winwinlay")

"""Every training story takes real steps at tiny size, resumes exactly, and saves what stock classes load."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from torch import nn
from transformers import (
    AutoModelForImageClassification,
    AutoModelForObjectDetection,
    CLIPTextModel,
    CLIPTokenizer,
    VisionTextDualEncoderModel,
)

from scenograph.datasets.drawn import DrawnScenes, draw_scenes
from scenograph.judging.attributes import MARGIN, crop, pixels_of
from scenograph.recipes import world as recipes
from scenograph.training.clip import crop_regions, train_clip
from scenograph.training.detector import train_detector
from scenograph.training.diffusion import cache_latents, stable_diffusion, train_diffusion
from scenograph.training.loop import Run
from scenograph.training.reader import GROUPS, train_reader
from scenograph.training.text import train_text_tower
from scenograph.training.tokenizer import MAX_TOKENS, train_tokenizer
from scenograph.training.vae import train_vae


@pytest.fixture(scope="module")
def drawn(tmp_path_factory: pytest.TempPathFactory) -> DrawnScenes:
    return draw_scenes(tmp_path_factory.mktemp("scenes"), 12, seed=1, workers=1)


@pytest.fixture(scope="module")
def tokenizer() -> CLIPTokenizer:
    return train_tokenizer(captions=300, vocabulary=700)


def short(recipe: Any, **changes: Any) -> Any:
    return replace(recipe, plan=replace(recipe.plan, steps=2, batch=4, log_every=1), **changes)


def equal(a: nn.Module, b: nn.Module) -> bool:
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


def test_tokenizer_gives_offsets_and_pads(tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    tokenizer.save_pretrained(tmp_path)
    again = CLIPTokenizer.from_pretrained(tmp_path)
    text = "a red potted plant"
    enc = again(text, padding="max_length", return_offsets_mapping=True)
    assert len(enc["input_ids"]) == MAX_TOKENS == again.model_max_length
    words = [text[a:b] for a, b in enc["offset_mapping"] if b]
    assert words == text.split()


def test_text_tower_and_clip(drawn: DrawnScenes, tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    recipe = short(recipes.text_b(), width=32, layers=1)
    tower = train_text_tower(recipe, tokenizer, tmp_path / "text")
    before = {k: v.clone() for k, v in tower.state_dict().items()}
    clip = train_clip(short(recipes.clip_b(), width=32, layers=1, patch=32), drawn, tokenizer, tower, tmp_path / "clip")
    assert all(torch.equal(before[k], v) for k, v in clip.text_model.state_dict().items()), "the text tower is frozen"
    clip.save_pretrained(tmp_path / "saved")
    assert equal(VisionTextDualEncoderModel.from_pretrained(tmp_path / "saved"), clip)


def test_vae_and_diffusion_make_a_stock_folder(drawn: DrawnScenes, tokenizer: CLIPTokenizer, tmp_path: Path) -> None:
    vae = train_vae(short(recipes.vae(), channels=(8, 8, 16, 16)), drawn, tmp_path / "vae")
    latents = cache_latents(vae, drawn, tmp_path / "latents.npy", count=8)
    assert np.array_equal(cache_latents(vae, drawn, tmp_path / "latents.npy", count=12)[:8], latents)
    assert latents.shape == (8, 4, 16, 16)
    tower = train_text_tower(short(recipes.text_b(), width=32, layers=1), tokenizer, tmp_path / "text")
    recipe = short(recipes.tiny_sd(), channels=(16, 32))
    unet = train_diffusion(recipe, drawn, latents, tokenizer, tower, tmp_path / "sd")
    assert not any(p.requires_grad for p in tower.parameters())
    stable_diffusion(unet, vae, tokenizer, tower).save_pretrained(tmp_path / "saved")
    stock = StableDiffusionPipeline.from_pretrained(tmp_path / "saved")
    assert isinstance(stock.text_encoder, CLIPTextModel)
    assert stock("a red dog", num_inference_steps=2, output_type="np").images.shape == (1, 128, 128, 3)


@pytest.mark.parametrize("name", ["detector_a", "detector_b"])
def test_detectors(name: str, drawn: DrawnScenes, tmp_path: Path) -> None:
    model = train_detector(short(getattr(recipes, name)()), drawn, tmp_path / "run")
    model.save_pretrained(tmp_path / "saved")
    assert AutoModelForObjectDetection.from_pretrained(tmp_path / "saved").config.id2label[0] == "person"


@pytest.mark.parametrize("name", ["reader_a", "reader_b"])
def test_readers(name: str, drawn: DrawnScenes, tmp_path: Path) -> None:
    model = train_reader(short(getattr(recipes, name)()), drawn, tmp_path / "run")
    model.save_pretrained(tmp_path / "saved")
    labels = AutoModelForImageClassification.from_pretrained(tmp_path / "saved").config.id2label.values()
    assert list(labels) == [f"{group}:{one}" for group, names in GROUPS.items() for one in names]


def test_an_interrupted_story_ends_in_the_same_weights(
    drawn: DrawnScenes, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    recipe = short(recipes.vae(), channels=(8, 8, 16, 16))
    recipe = replace(recipe, plan=replace(recipe.plan, steps=4, save_minutes=0.0))
    whole = train_vae(recipe, drawn, tmp_path / "whole")

    class Killed(Exception):
        pass

    def dying(run: Run, *args: Any, **kwargs: Any) -> None:
        if run.step == 2:
            raise Killed
        update(run, *args, **kwargs)

    update = Run.update
    with monkeypatch.context() as patch, pytest.raises(Killed):
        patch.setattr(Run, "update", dying)
        train_vae(recipe, drawn, tmp_path / "parts")
    assert equal(train_vae(recipe, drawn, tmp_path / "parts"), whole)


@pytest.mark.parametrize("margin", [0.0, 0.25])
def test_regions_are_cut_where_the_boxes_are(margin: float) -> None:
    at = (torch.arange(128) + 0.5) / 128
    places = torch.stack([at.expand(128, 128), at[:, None].expand(128, 128), torch.zeros(128, 128)])[None]
    x0, y0, x1, y1 = 0.5, 0.25, 0.75, 0.5
    cut = crop_regions(places, torch.tensor([[x0, y0, x1, y1]]), margin=margin, size=16)
    steps = (torch.arange(16) + 0.5) / 16
    wide, high = (x1 - x0) * (1 + 2 * margin), (y1 - y0) * (1 + 2 * margin)
    assert torch.allclose(cut[0, 0, 0], (x0 + x1 - wide) / 2 + wide * steps, atol=1e-4)
    assert torch.allclose(cut[0, 1, :, 0], (y0 + y1 - high) / 2 + high * steps, atol=1e-4)


def test_readers_are_trained_on_what_the_judge_cuts_out(drawn: DrawnScenes) -> None:
    scene = drawn.scene(0)
    o, picture = scene.objects[-1], scene.draw()
    box = torch.tensor([list(o.box)])
    pixels = torch.from_numpy(np.array(picture)).permute(2, 0, 1)[None].float() / 127.5 - 1
    trained, judged = crop_regions(pixels, box, margin=MARGIN, size=64)[0], pixels_of(crop(picture, o.box), 64)
    assert float((trained - judged).abs().mean()) < 0.12

"""tiny-sd: the epsilon-prediction loss of latent diffusion (Ho et al. 2020; Rombach et al. 2022) on drawn scenes.

Latents are encoded once and read from disk; the text tower is frozen. Captions are told anew each time a scene is
met, one in ten is empty (for classifier-free guidance), and the result is an SD-1.x folder that stock diffusers loads.
The middle block also tells what each cell shows (`training.patches`), and the words of a caption look at what they
name (`training.token_supervision`).
"""

from __future__ import annotations

from dataclasses import dataclass, replace
from pathlib import Path
from random import Random
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from diffusers import AutoencoderKL, DDIMScheduler, StableDiffusionPipeline, UNet2DConditionModel
from torch import Tensor, nn
from tqdm import tqdm
from transformers import CLIPTextModel, CLIPTokenizer

from scenograph.datasets.drawn import DrawnScenes
from scenograph.errors import TrainingError
from scenograph.painting.attention import cross_attentions, observe
from scenograph.training.loop import Plan, Run, begin
from scenograph.training.patches import ANSWERS, patch_answers, patch_loss
from scenograph.training.token_supervision import phrase_cells, token_loss
from scenograph.training.vae import encode_scenes
from scenograph.world.scenes import Scene, retell

__all__ = [
    "DiffusionRecipe",
    "build_unet",
    "cache_latents",
    "noise_schedule",
    "stable_diffusion",
    "step_weights",
    "train_diffusion",
]


_PIECE = 4096


@dataclass(frozen=True, kw_only=True)
class DiffusionRecipe:
    """Sizes and plan of one latent diffusion model."""

    name: str
    plan: Plan
    channels: tuple[int, int] = (96, 144)
    layers: int = 1
    heads: int = 4
    scenes: int = 100_000
    drop_caption: float = 0.1
    patches: float = 0.03  # the weight of what the cells tell
    tokens: float = 0.05  # the weight of where the words look
    token_pixels: float = 0.5  # of L_pixel in it
    snr_gamma: float | None = 5.0  # Hang et al. 2023: min-SNR weighting; None is the plain mean
    structure: float = 10.0  # at most this much more weight for the noisy steps, which decide what stands where


def build_unet(recipe: DiffusionRecipe, *, text_width: int) -> UNet2DConditionModel:
    """Two levels: mid block 8 x 8, up block with cross-attention 16 x 16, the grids that guidance reads in SD 1.5."""
    torch.manual_seed(recipe.plan.seed)
    unet = UNet2DConditionModel(
        sample_size=16,
        layers_per_block=recipe.layers,
        block_out_channels=recipe.channels,
        down_block_types=("CrossAttnDownBlock2D", "DownBlock2D"),
        up_block_types=("UpBlock2D", "CrossAttnUpBlock2D"),
        cross_attention_dim=text_width,
        attention_head_dim=recipe.heads,
        norm_num_groups=16,
    )
    return unet.to(memory_format=torch.channels_last)


def noise_schedule() -> DDIMScheduler:
    """SD's own schedule with an exact end: DDIM, scaled linear, epsilon."""
    return DDIMScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        clip_sample=False,
        set_alpha_to_one=False,
        steps_offset=1,
        prediction_type="epsilon",
    )


def cache_latents(vae: AutoencoderKL, drawn: DrawnScenes, path: str | Path, *, count: int) -> np.ndarray:
    """Scaled latents of the first `count` drawn scenes, float16 (count, 4, 16, 16).

    Encoded once into `path`; what is missing there is added, so a longer training only encodes the rest.
    """
    path = Path(path)
    latents = np.load(path) if path.exists() else np.zeros((0, 4, 16, 16), np.float16)
    if len(latents) and not np.allclose(latents[:4], _scaled(vae, drawn.images_NHWC[:4]), atol=1e-2):
        raise TrainingError(f"{path} holds latents of another autoencoder; delete it and encode again")
    images = drawn.images_NHWC
    for start in tqdm(range(len(latents), count, _PIECE), desc="encoding", mininterval=5):
        latents = np.concatenate([latents, _scaled(vae, images[start : min(start + _PIECE, count)])])
        temporary = path.with_suffix(".partial.npy")
        np.save(temporary, latents)
        temporary.rename(path)
    return latents[:count]


def _scaled(vae: AutoencoderKL, images_NHWC: np.ndarray) -> np.ndarray:
    latents: np.ndarray = (encode_scenes(vae, images_NHWC).astype(np.float32) * vae.config.scaling_factor).astype("f2")
    return latents


def _retold(scene: Scene, words: Random) -> Scene:
    """The scene with a freshly told caption, mostly."""
    return scene if words.random() < 0.3 else replace(scene, described=retell(scene, words))


def step_weights(schedule: Any, t_B: Tensor, gamma: float | None, structure: float) -> Tensor:
    """Weights of the epsilon errors: min-SNR at little noise, those of v-prediction at much of it.

    An epsilon error shrinks with the noise: the plain mean hardly looks at the steps that decide what stands where.
    1 + 1/SNR weighs them as v-prediction does (Salimans & Ho 2022), up to `structure`.
    """
    alpha_bar = schedule.alphas_cumprod[t_B]
    snr = alpha_bar / (1 - alpha_bar)
    fine = torch.ones(len(t_B)) if gamma is None else snr.clamp(max=gamma) / snr
    return fine * (1 + 1 / snr).clamp(max=structure)


class _Teller(nn.Module):
    """The UNet, and what its middle block tells of every cell."""

    def __init__(self, unet: UNet2DConditionModel) -> None:
        super().__init__()
        self.unet = unet
        self.patches = nn.Linear(unet.config.block_out_channels[-1], ANSWERS)
        unet.mid_block.register_forward_hook(self._keep)

    def _keep(self, block: nn.Module, args: object, features_BCHW: Tensor) -> None:
        self._features_BCHW = features_BCHW

    def forward(self, noisy: Tensor, t_B: Tensor, text: Tensor) -> tuple[Tensor, Tensor]:
        noise: Tensor = self.unet(noisy, t_B, encoder_hidden_states=text).sample
        told_BPK: Tensor = self.patches(self._features_BCHW.flatten(2).transpose(1, 2))
        return noise, told_BPK


def train_diffusion(
    recipe: DiffusionRecipe,
    drawn: DrawnScenes,
    latents: np.ndarray,
    tokenizer: CLIPTokenizer,
    text_encoder: CLIPTextModel,
    folder: str | Path,
    *,
    start: Path | None = None,
) -> UNet2DConditionModel:
    """Trains (or goes on training) and returns the UNet with averaged weights."""
    unet = build_unet(recipe, text_width=text_encoder.config.hidden_size)
    begin(unet, start)
    run = Run(folder, recipe.plan, _Teller(unet), what=recipe.name)
    schedule = noise_schedule()
    text_encoder.requires_grad_(False).eval()

    def make(step: int, rng: np.random.Generator) -> tuple[Tensor, ...]:
        indices = np.sort(rng.choice(len(latents), recipe.plan.batch, replace=False))
        z = torch.from_numpy(latents[indices].astype(np.float32)).contiguous(memory_format=torch.channels_last)
        noise = torch.from_numpy(rng.standard_normal(z.shape, dtype=np.float32))
        t_B = torch.from_numpy(rng.integers(0, schedule.config.num_train_timesteps, len(z)))
        words = Random(int(rng.integers(1 << 62)))
        scenes = [_retold(scene, words) for scene in drawn.scenes(indices)]
        told_B = torch.tensor([words.random() >= recipe.drop_caption for _ in scenes])
        captions = [s.described.caption if told else "" for s, told in zip(scenes, told_B, strict=True)]
        ids_BT = tokenizer(captions, padding="max_length", truncation=True, return_tensors="pt").input_ids
        words_BNT, cells_BNHW = phrase_cells(scenes, tokenizer, ids_BT.shape[1], z.shape[-1])
        answers_BP3 = patch_answers(scenes, z.shape[-1] // 2)
        return z, noise, t_B, ids_BT, answers_BP3, words_BNT, cells_BNHW * told_B.view(-1, 1, 1, 1)

    with observe(unet, cross_attentions(unet)) as observed:
        for _, (z, noise, t_B, ids_BT, answers_BP3, words_BNT, cells_BNHW) in run.batches(make):
            with torch.no_grad():
                text = text_encoder(ids_BT)[0]
            seen, told_BPK = run.model(schedule.add_noise(z, noise, t_B), t_B, text)
            error_B = F.mse_loss(seen, noise, reduction="none").mean((1, 2, 3))
            denoising = (step_weights(schedule, t_B, recipe.snr_gamma, recipe.structure) * error_B).mean()
            patches = patch_loss(told_BPK, answers_BP3)
            tokens, share = token_loss(observed.maps(), words_BNT, cells_BNHW, pixel_weight=recipe.token_pixels)
            loss = denoising + recipe.patches * patches + recipe.tokens * tokens
            run.update(loss, mse=error_B.mean(), denoising=denoising, patches=patches, tokens=tokens, inside=share)
    run.finish()
    return unet.eval()


def stable_diffusion(
    unet: UNet2DConditionModel, vae: AutoencoderKL, tokenizer: CLIPTokenizer, text_encoder: CLIPTextModel
) -> StableDiffusionPipeline:
    """The parts as a stock SD-1.x pipeline."""
    return StableDiffusionPipeline(
        vae=vae,
        text_encoder=text_encoder,
        tokenizer=tokenizer,
        unet=unet,
        scheduler=noise_schedule(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )

"""The image tokens of tiny-janus: transformers' JanusVQVAE on drawn scenes, 64 tokens of a codebook for 128 px.

Nearly all of its arithmetic is in the layers at 32 px and above, and tokens need many pictures to learn what to say. So
it learns in three parts. First the shallow layers, down to 16 px and back, as an autoencoder through a narrow noisy
layer that is thrown away. Then, on what they make of every picture, computed once, the deep layers with the codebook:
some 20 times as many pictures in the same time. At last the decoder alone, on whole pictures; the tokens stay.

The codebook is van den Oord et al. 2017 with what keeps it alive (Yu et al. 2022): latents and entries are compared by
their direction in few dimensions, and entries that nothing chose for a while begin anew from latents of the batch.
Decoding normalises the entries, so training does too. 64 tokens cannot hold every pixel, and a mean of pixels spends
them on large areas and leaves things a blur that nobody can name. So the deep layers also tell what the place of every
token shows, and the decoder is also held to how a frozen CLIP's image tower sees the picture, cell by cell.
"""

from __future__ import annotations

from contextlib import AbstractContextManager, nullcontext
from dataclasses import dataclass, replace
from functools import partial
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.nn.functional as F
from accelerate.utils import broadcast
from torch import Tensor, nn
from tqdm import tqdm

from scenograph.datasets.drawn import DrawnScenes
from scenograph.models.loading import lacks
from scenograph.training.loop import Plan, Run
from scenograph.training.patches import ANSWERS, patch_answers, patch_loss
from scenograph.training.vae import cut_scenes, differences
from scenograph.world.scenes import CANVAS

__all__ = ["VqRecipe", "decode_deep", "decode_shallow", "encode_deep", "encode_shallow", "train_vq"]

_PIECE = 64  # pictures encoded at once


@dataclass(frozen=True, kw_only=True)
class VqRecipe:
    """Plan of the tokens, and from it of the parts before and after; sizes are `unified.model.tiny_config`'s.

    Attributes:
        plan: of the deep layers and the codebook.
        shallow, decoder: steps of the shallow autoencoder and of the decoder alone, as shares of the plan's.
        pictures: whole pictures in a batch of these two.
        scenes: pictures whose shallow features the deep layers learn from; they are held in memory.
        narrow, noise: channels of the layer thrown away, each in -1 … 1, and the deviation of its noise.
        cells: the weight of what the places of tokens show.
        semantic: the weight of what the tower sees.
        patience: steps after which an entry that nothing chose begins anew.
    """

    name: str
    plan: Plan
    scenes: int
    shallow: float = 0.15
    decoder: float = 0.25
    pictures: int = 4
    narrow: int = 8
    noise: float = 0.1
    squared: float = 2.0
    objects: float = 3.0
    commitment: float = 0.25
    cells: float = 0.2
    semantic: float = 2.0
    patience: int = 100

    def whole(self, share: float) -> Plan:
        """The plan of a part on whole pictures."""
        return replace(self.plan, steps=round(share * self.plan.steps), batch=self.pictures, warmup=50, ema=0.995)


def train_vq(
    recipe: VqRecipe,
    vq: Any,
    drawn: DrawnScenes,
    folder: str | Path,
    *,
    tower: nn.Module | None = None,
    frozen: bool = False,
) -> Any:
    """Trains (or goes on training) a JanusVQVAE; returns it with averaged weights, unit entries, in eval mode.

    `tower`, a SiglipVisionModel for pictures of a scene's size, says what they mean; without it only pixels count.
    `frozen` leaves the tokens as they are, for a language model that reads them already: only the decoder learns.
    """
    vq.train()
    if not frozen:
        shallow = _train_shallow(recipe, vq, drawn, Path(folder) / "shallow")
        _train_tokens(recipe, vq, shallow, drawn, Path(folder))
    _train_decoder(recipe, vq, drawn, Path(folder) / "decoder", tower)
    return vq.requires_grad_(True).eval()


def encode_shallow(encoder: Any, x_BCHW: Tensor) -> Tensor:
    """The first part of a JanusVQVAE's encoder: pixels → features before the last halving."""
    x_BCHW = encoder.conv_in(x_BCHW)
    for i, level in enumerate(encoder.down[:-1]):
        if i:
            x_BCHW = encoder.down[i - 1].downsample(x_BCHW)
        for block in level.block:
            x_BCHW = block(x_BCHW)
    return x_BCHW


def encode_deep(encoder: Any, x_BCHW: Tensor) -> Tensor:
    """The rest of it: features → latents."""
    x_BCHW = encoder.down[-2].downsample(x_BCHW)
    for block, attention in zip(encoder.down[-1].block, encoder.down[-1].attn, strict=True):
        x_BCHW = attention(block(x_BCHW))
    return encoder.conv_out(F.silu(encoder.norm_out(encoder.mid(x_BCHW))))


def decode_deep(decoder: Any, z_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The first part of a JanusVQVAE's decoder: latents → features at the latents' size, and after one doubling."""
    first, second = decoder.up[0], decoder.up[1]
    x_BCHW = decoder.mid(decoder.conv_in(z_BCHW))
    for block, attention in zip(first.block, first.attn, strict=True):
        x_BCHW = attention(block(x_BCHW))
    y_BCHW = first.upsample(x_BCHW)
    for block in second.block:
        y_BCHW = block(y_BCHW)
    return x_BCHW, y_BCHW


def decode_shallow(decoder: Any, x_BCHW: Tensor) -> Tensor:
    """The rest of it: features → pixels."""
    for i, level in enumerate(decoder.up[2:], 2):
        x_BCHW = decoder.up[i - 1].upsample(x_BCHW)
        for block in level.block:
            x_BCHW = block(x_BCHW)
    return decoder.conv_out(F.silu(decoder.norm_out(x_BCHW)))


def _half(x: Tensor) -> AbstractContextManager[Any]:
    """1.6 times as fast on a CPU with AMX; neighbours in the codebook are told apart outside of it."""
    return nullcontext() if lacks(x.device, torch.bfloat16) else torch.autocast(x.device.type, torch.bfloat16)


class _Shallow(nn.Module):
    """The shallow layers as an autoencoder."""

    def __init__(self, vq: Any, narrow: int, noise: float) -> None:
        super().__init__()
        self.vq: Any = vq
        self.noise = noise
        encoded, decoded = vq.encoder.down[-2].block[-1].out_channels, vq.decoder.up[1].block[-1].out_channels
        self.narrow, self.widen = nn.Conv2d(encoded, narrow, 1), nn.Conv2d(narrow, decoded, 1)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        with _half(x_BCHW):
            z_BCHW = self.narrow(encode_shallow(self.vq.encoder, x_BCHW)).tanh()
            z_BCHW = z_BCHW + self.noise * torch.randn_like(z_BCHW)
            return decode_shallow(self.vq.decoder, self.widen(z_BCHW)).float()


class _Tokens(nn.Module):
    """The deep layers and the codebook, with how long each entry has been idle."""

    idle_V: Tensor

    def __init__(self, vq: Any) -> None:
        super().__init__()
        self.vq: Any = vq
        self.tells = nn.Conv2d(vq.decoder.up[0].block[-1].out_channels, ANSWERS, 1)
        self.register_buffer("idle_V", torch.zeros(vq.quantize.num_embeddings))

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor, Tensor, Tensor, Tensor]:
        """(features, logits of cells (B, N, ANSWERS), commitment terms of latents and of entries, unit latents (M, C),
        chosen ids (M,))."""
        with _half(x_BCHW):
            z_BCHW = self.vq.quant_conv(encode_deep(self.vq.encoder, x_BCHW))
        z_BCHW = F.normalize(z_BCHW.float(), dim=1)
        entry_BCHW, ids_M = _nearest(self.vq, z_BCHW)
        with _half(x_BCHW):
            through = z_BCHW + (entry_BCHW - z_BCHW).detach()
            small, seen = decode_deep(self.vq.decoder, self.vq.post_quant_conv(through))
            told = self.tells(small).flatten(2).transpose(1, 2)
        bound = F.mse_loss(z_BCHW, entry_BCHW.detach()), F.mse_loss(entry_BCHW, z_BCHW.detach())
        unit_MC = z_BCHW.detach().permute(0, 2, 3, 1).flatten(0, 2)
        return seen.float(), told.float(), torch.stack(bound), unit_MC, ids_M


class _Decoder(nn.Module):
    """A picture through its tokens; only the decoder learns."""

    def __init__(self, vq: Any) -> None:
        super().__init__()
        self.vq: Any = vq

    def forward(self, x_BCHW: Tensor) -> Tensor:
        with _half(x_BCHW):
            with torch.no_grad():
                z_BCHW = self.vq.quant_conv(self.vq.encoder(x_BCHW))
            entry_BCHW, _ = _nearest(self.vq, F.normalize(z_BCHW.float(), dim=1))
            return self.vq.decoder(self.vq.post_quant_conv(entry_BCHW)).float()


def _nearest(vq: Any, z_BCHW: Tensor) -> tuple[Tensor, Tensor]:
    """The unit entries that unit latents are nearest to, of the latents' shape, and their ids."""
    codebook_VC = F.normalize(vq.quantize.embedding.weight, dim=-1)
    z_BHWC = z_BCHW.permute(0, 2, 3, 1)
    ids_M = (z_BHWC.flatten(0, 2) @ codebook_VC.T).argmax(-1)
    return codebook_VC[ids_M].view(z_BHWC.shape).permute(0, 3, 1, 2), ids_M


def _learns(*parts: nn.Module) -> None:
    for part in parts:
        part.requires_grad_(True)


def _train_shallow(recipe: VqRecipe, vq: Any, drawn: DrawnScenes, folder: Path) -> _Shallow:
    plan = recipe.whole(recipe.shallow)
    torch.manual_seed(plan.seed)
    model = _Shallow(vq, recipe.narrow, recipe.noise).requires_grad_(False)
    _learns(
        model.narrow,
        model.widen,
        vq.encoder.conv_in,
        *vq.encoder.down[:-2],
        vq.encoder.down[-2].block,
        vq.decoder.up[1].upsample,
        *vq.decoder.up[2:],
        vq.decoder.norm_out,
        vq.decoder.conv_out,
    )
    run = Run(folder, plan, model, what=f"{recipe.name} shallow")
    for _, (x, objects) in run.batches(partial(_pictures, drawn, recipe.pictures)):
        parts = differences(recipe.objects, run.model(x), x, objects)
        run.update(parts["absolute"] + recipe.squared * parts["squared"], **parts)
    run.finish()
    return model.requires_grad_(False)


def _pictures(drawn: DrawnScenes, batch: int, step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
    x, objects = cut_scenes(drawn, drawn.images_NHWC, rng, batch, CANVAS)
    return x.contiguous(), objects  # which these layers like better than channels_last


def _train_tokens(recipe: VqRecipe, vq: Any, shallow: _Shallow, drawn: DrawnScenes, folder: Path) -> None:
    torch.manual_seed(recipe.plan.seed)
    model = _Tokens(vq)
    _learns(
        model.tells,
        vq.encoder.down[-2].downsample,
        vq.encoder.down[-1],
        vq.encoder.mid,
        vq.encoder.norm_out,
        vq.encoder.conv_out,
        vq.quant_conv,
        vq.quantize,
        vq.post_quant_conv,
        vq.decoder.conv_in,
        vq.decoder.mid,
        vq.decoder.up[0],
        vq.decoder.up[1].block,
    )
    run = Run(folder, recipe.plan, model, what=f"{recipe.name} tokens")
    if run.step < recipe.plan.steps:
        shallow.to(run.device)
        features, answers = _features(shallow, drawn, min(recipe.scenes, drawn.count), run.device)

        def make(step: int, rng: np.random.Generator) -> tuple[Tensor, Tensor]:
            chosen = rng.integers(0, len(features), recipe.plan.batch)
            return torch.from_numpy(features[chosen]), torch.from_numpy(answers[chosen]).long()

        for _, (x, told_BN3) in run.batches(make):
            _tokens_step(recipe, run, model, shallow, x.float(), told_BN3)
    run.finish()
    with torch.no_grad():
        vq.quantize.embedding.weight.copy_(F.normalize(vq.quantize.embedding.weight, dim=-1))
    model.requires_grad_(False)


def _tokens_step(
    recipe: VqRecipe, run: Run, model: _Tokens, shallow: _Shallow, x_BCHW: Tensor, told_BN3: Tensor
) -> None:
    with torch.no_grad():
        wanted = shallow.widen(shallow.narrow(x_BCHW).tanh())
        size = wanted.std()
    seen, logits_BNK, bound, z_MC, ids_M = run.model(x_BCHW)
    side = round(told_BN3.shape[1] ** 0.5)
    objects = F.interpolate((told_BN3[..., :1] >= 0).float().mT.unflatten(2, (side, side)), wanted.shape[2:])
    parts = differences(recipe.objects, seen / size, wanted / size, objects)
    parts["cells"] = patch_loss(logits_BNK, told_BN3)
    used = torch.bincount(ids_M, minlength=len(model.idle_V)) > 0
    loss = parts["absolute"] + recipe.squared * parts["squared"] + recipe.commitment * bound[0] + bound[1]
    run.update(loss + recipe.cells * parts["cells"], bound=bound[0], used=used.float().mean(), **parts)
    _wake(recipe, model, run, used, z_MC)


@torch.no_grad()
def _features(shallow: _Shallow, drawn: DrawnScenes, count: int, device: torch.device) -> tuple[np.ndarray, np.ndarray]:
    """What the shallow layers make of the first scenes, float16 (K, C, H, W), and what their cells show, (K, N, 3)."""
    features, answers = [], []
    for start in tqdm(range(0, count, _PIECE), desc="features", mininterval=5):
        part = np.arange(start, min(start + _PIECE, count))
        x = torch.from_numpy(np.array(drawn.images_NHWC[part])).permute(0, 3, 1, 2) / 127.5 - 1
        with _half(x):
            seen = encode_shallow(shallow.vq.encoder, x.to(device))
        features.append(seen.half().cpu().numpy())
        answers.append(patch_answers(drawn.scenes(part), seen.shape[-1] // 2).numpy().astype(np.int8))
    return np.concatenate(features), np.concatenate(answers)


def _train_decoder(recipe: VqRecipe, vq: Any, drawn: DrawnScenes, folder: Path, tower: nn.Module | None) -> None:
    vq.requires_grad_(False)
    _learns(vq.decoder, vq.post_quant_conv)
    run = Run(folder, recipe.whole(recipe.decoder), _Decoder(vq), what=f"{recipe.name} decoder")
    if tower is not None:
        tower.requires_grad_(False).eval().to(run.device)
    for _, (x, objects) in run.batches(partial(_pictures, drawn, recipe.pictures)):
        seen = run.model(x)
        parts = differences(recipe.objects, seen, x, objects)
        loss = parts["absolute"] + recipe.squared * parts["squared"]
        if tower is not None:
            parts["meaning"] = _meaning(tower, seen, x)
            loss = loss + recipe.semantic * parts["meaning"]
        run.update(loss, **parts)
    run.finish()


def _meaning(tower: nn.Module, seen_BCHW: Tensor, x_BCHW: Tensor) -> Tensor:
    """1 − the cosine of a picture's states and its copy's, the mean over cells and layers."""
    with torch.no_grad():
        wanted = tower(pixel_values=x_BCHW, output_hidden_states=True).hidden_states[1:]
    got = tower(pixel_values=seen_BCHW, output_hidden_states=True).hidden_states[1:]
    return 1 - torch.stack([F.cosine_similarity(a, b, dim=-1).mean() for a, b in zip(got, wanted, strict=True)]).mean()


@torch.no_grad()
def _wake(recipe: VqRecipe, model: _Tokens, run: Run, used_V: Tensor, z_MC: Tensor) -> None:
    """Put idle entries where latents are; their average follows, or it would return them at the end.

    Several processes put the same entries in the same places.
    """
    model.idle_V += 1
    model.idle_V[run.accelerator.reduce(used_V.float()) > 0] = 0
    asleep = (model.idle_V > recipe.patience).nonzero().flatten()
    if not len(asleep):
        return
    new_MC = broadcast(z_MC[torch.randint(len(z_MC), (len(asleep),))])
    weight = model.vq.quantize.embedding.weight
    weight[asleep] = new_MC
    model.idle_V[asleep] = 0
    if run.ema is not None:
        place = next(i for i, p in enumerate(run.parameters) if p is weight)
        run.ema[place][asleep] = new_MC

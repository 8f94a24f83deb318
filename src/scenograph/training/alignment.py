"""GOAL's two alignment losses (eq. 4-15): what a one-step estimate shows, and where attention looks.

DSAlign reads the clean picture that a single noise prediction promises, whole and box by box, through a frozen CLIP.
MAAlign asks of the cross-attention map of each instance's words that its peak lies in the instance's box and that
nothing outside comes near it. Both are plain functions of tensors that carry the UNet's graph.
"""

from __future__ import annotations

import math
from collections.abc import Collection, Mapping, Sequence
from dataclasses import replace
from typing import Any, NamedTuple

import torch
import torch.nn.functional as F
from torch import Tensor

from scenograph.errors import PhraseError, TrainingError
from scenograph.judging.clip import TransformersClip
from scenograph.layout import Box, Layout
from scenograph.painting.attention import cross_attentions, grid_of
from scenograph.painting.guidance.energies import cells
from scenograph.painting.tokens import TokenLayout, locate

__all__ = [
    "Semantics",
    "attention_alignment",
    "decoded",
    "decoder_layers",
    "masked",
    "named",
    "one_step_estimate",
    "spherical_distance",
    "up_block_sides",
]

ARTICLES = ("a", "an", "the")
_CELLS = 16  # along a side of the maps that GOAL reads


def one_step_estimate(
    noisy_BCHW: Tensor, seen_BCHW: Tensor, alpha_bar_B: Tensor, prediction_type: str = "epsilon"
) -> Tensor:
    """The clean latents that a prediction promises: (z_t − √(1−ᾱ_t) ε) / √ᾱ_t (eq. 4); of a velocity
    √ᾱ_t z_t − √(1−ᾱ_t) v, which also holds where nothing but noise is left (ᾱ = 0).
    """
    signal_B111 = alpha_bar_B.view(-1, 1, 1, 1).sqrt()
    noise_B111 = (1 - alpha_bar_B.view(-1, 1, 1, 1)).sqrt()
    if prediction_type == "v_prediction":
        return signal_B111 * noisy_BCHW - noise_B111 * seen_BCHW
    return (noisy_BCHW - noise_B111 * seen_BCHW) / signal_B111


def decoded(vae: Any, latents_BCHW: Tensor) -> Tensor:
    """Latents → pixels_BCHW in [0, 1], with a graph through the frozen decoder."""
    pixels_BCHW: Tensor = vae.decode((latents_BCHW / vae.config.scaling_factor).to(vae.dtype)).sample
    return (pixels_BCHW.float() / 2 + 0.5).clamp(0, 1)


def spherical_distance(first_ND: Tensor, second_ND: Tensor) -> Tensor:
    """D_sp of unit vectors, (N,): arcsin(‖p − x‖ / 2)² (eq. 7), the square of half the angle between them."""
    chord_N = (first_ND - second_ND).square().sum(-1).clamp(1e-12, 4 - 1e-6).sqrt()
    return (chord_N / 2).arcsin().square()


def masked(pixels_CHW: Tensor, box: Box) -> Tensor:
    """The picture with black outside a box (eq. 5); a box below a pixel keeps one."""
    rows, columns = cells(box, (pixels_CHW.shape[1], pixels_CHW.shape[2]))
    mask_HW = torch.zeros_like(pixels_CHW[0])
    mask_HW[rows.start : rows.stop, columns.start : columns.stop] = 1
    return pixels_CHW * mask_HW


class Semantics(NamedTuple):
    """DSAlign over a CLIP: its image tower at its own size, differentiable, weights frozen.

    Attributes:
        cropped: show CLIP the box alone, enlarged to the full frame, instead of the frame with black around it.
    """

    clip: TransformersClip
    cropped: bool = False

    def local(self, pixels_BCHW: Tensor, layouts: Sequence[Layout]) -> Tensor:
        """D_local of every sample, (B,): the mean over its instances; 0 without instances (eq. 6)."""
        pairs = [(row, one) for row, layout in enumerate(layouts) for one in layout.instances]
        zeros_B = pixels_BCHW.new_zeros(len(layouts))
        if not pairs:
            return zeros_B
        cut = self._cropped if self.cropped else masked
        regions = torch.stack([cut(pixels_BCHW[row], one.box) for row, one in pairs])
        distance_N = spherical_distance(self._texts([one.caption for _, one in pairs]), self._images(regions))
        counts_N = torch.tensor([len(layouts[row].instances) for row, _ in pairs], device=distance_N.device)
        rows_N = torch.tensor([row for row, _ in pairs], device=distance_N.device)
        return zeros_B.index_add(0, rows_N, distance_N / counts_N)

    def whole(self, pixels_BCHW: Tensor, captions: Sequence[str]) -> Tensor:
        """D_global of every sample, (B,) (eq. 8)."""
        return spherical_distance(self._texts(captions), self._images(pixels_BCHW))

    def _cropped(self, pixels_CHW: Tensor, box: Box) -> Tensor:
        rows, columns = cells(box, (pixels_CHW.shape[1], pixels_CHW.shape[2]))
        part = pixels_CHW[None, :, rows.start : rows.stop, columns.start : columns.stop]
        return F.interpolate(part, size=pixels_CHW.shape[1:], mode="bilinear", align_corners=False)[0]

    def _images(self, pixels_BCHW: Tensor) -> Tensor:
        clip, size = self.clip, (self.clip.size, self.clip.size)
        if pixels_BCHW.shape[2:] != size:
            pixels_BCHW = F.interpolate(pixels_BCHW, size=size, mode="bicubic", antialias=True, align_corners=False)
        mean, std = (0.5,) * 3, (0.5,) * 3  # the embedded CLIPs read [-1, 1]
        if clip.processor is not None:
            mean, std = clip.processor.image_mean, clip.processor.image_std
        mean_C11, std_C11 = (pixels_BCHW.new_tensor(v).view(-1, 1, 1) for v in (mean, std))
        pixels = ((pixels_BCHW - mean_C11) / std_C11).to(clip.model.dtype)
        features_BD = clip.model.get_image_features(pixel_values=pixels).pooler_output
        return F.normalize(features_BD.float(), dim=-1)

    def _texts(self, texts: Sequence[str]) -> Tensor:
        return self.clip.text_features(texts).clone().to(self.clip.model.device)


def decoder_layers(unet: Any, side: int | None = None) -> tuple[str, ...]:
    """The cross-attention layers of the up block whose maps come nearest to 16 x 16 cells: GOAL's choice, `up_blocks.1`
    of SD 1.x at 512 px.

    side: cells along a side of the latents; None is the UNet's own size. Raises TrainingError when no up block attends.
    """
    attending = cross_attentions(unet)
    sides = {p: s for p, s in up_block_sides(unet, side).items() if any(n.startswith(p) for n in attending)}
    if not sides:
        raise TrainingError("no up block of this UNet attends to words; choose the layers by name")
    nearest = min(sides, key=lambda prefix: abs(math.log(sides[prefix] / _CELLS)))
    return tuple(name for name in attending if name.startswith(nearest))


def up_block_sides(unet: Any, side: int | None = None) -> dict[str, int]:
    """How names of an up block's layers begin ("up_blocks.1.") → cells along a side of its maps, of latents of `side`
    or of the UNet's own size."""
    last = len(unet.config.up_block_types) - 1
    return {f"up_blocks.{i}.": (side or unet.config.sample_size) // 2 ** (last - i) for i in range(last + 1)}


def named(tokenizer: Any, layout: Layout) -> TokenLayout:
    """The tokens of the instances that the caption names within the text encoder's window, what is beyond being cut; a
    training does not extend its captions.
    """
    if (whole := _located(tokenizer, layout)) is not None:
        return whole
    told, found = layout.instances[:0], TokenLayout(groups=())
    for one in layout.instances:
        # With those before it: of two things of one name, the second may stand for a word that is cut.
        more = replace(layout, instances=(*told, one))
        located = _located(tokenizer, more)
        if located is not None:
            told, found = more.instances, located
    return found


def _located(tokenizer: Any, layout: Layout) -> TokenLayout | None:
    """None unless the caption names every instance, within the window."""
    prompt = layout.prompt()
    if prompt.appended:
        return None
    try:
        return locate(tokenizer, prompt, layout)
    except PhraseError:
        return None


def attention_alignment(
    maps: Mapping[str, Tensor],
    grid: tuple[int, int],
    tokens: Sequence[TokenLayout],
    content: Sequence[Collection[int]],
) -> tuple[Tensor, Tensor]:
    """(L_in, L_out) of MAAlign, each (B,): the mean over a sample's instances; 0 for one without (eq. 12-13).

    Heads and layers are averaged before the maximum. Instances that share tokens are kept in by their own box and out
    by the union of their boxes.

    Args:
        maps: layer → maps_BHQT, all of one grid size.
        grid: (height, width) of the latents.
        tokens: where each sample's instances are named; no groups: the sample is left out.
        content: of each sample the token positions that carry meaning; a group without any keeps all of its own.
    """
    mean_BQT = torch.stack([one.mean(1) for one in maps.values()]).mean(0)
    rows, columns = grid_of(mean_BQT.shape[1], grid)
    inside_B, outside_B = [], []
    for map_QT, layout, meaning in zip(mean_BQT, tokens, content, strict=True):
        inside, outside = [], []
        for group in layout.groups:
            chosen = [t for t in group.tokens if t in meaning] or list(group.tokens)
            map_TQ = map_QT[:, chosen].T
            masks_NQ = torch.stack([_mask(box, rows, columns, map_TQ) for box in group.boxes])
            peaks_NT = (map_TQ[None] * masks_NQ[:, None]).amax(-1)
            beyond_T = (map_TQ * (1 - masks_NQ.amax(0))).amax(-1)
            inside += list((1 - peaks_NT).mean(1))
            outside += [beyond_T.mean()] * len(group.boxes)
        zero = map_QT.new_zeros(())
        inside_B.append(torch.stack(inside).mean() if inside else zero)
        outside_B.append(torch.stack(outside).mean() if outside else zero)
    return torch.stack(inside_B), torch.stack(outside_B)


def _mask(box: Box, rows: int, columns: int, like: Tensor) -> Tensor:
    across, along = cells(box, (rows, columns))
    mask_HW = like.new_zeros(rows, columns)
    mask_HW[across.start : across.stop, along.start : along.stop] = 1
    return mask_HW.flatten()

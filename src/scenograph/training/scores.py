"""What an embedded model is worth, measured on held-out drawn scenes when its training ends and written on its card."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any

import numpy as np
import torch
from diffusers import AutoencoderKL
from PIL import Image

from scenograph.judging.attributes import AttributeReader, crop
from scenograph.judging.clip import TransformersClip, first_of, twin_accuracy
from scenograph.judging.detection import Coco, Detector, mean_iou
from scenograph.layout import Layout
from scenograph.painting.painter import Painter
from scenograph.unified.pictures import nearest_entries, pictures
from scenograph.world.captions import attributes_of
from scenograph.world.scenes import CANVAS, Scene, scene_at, twin_captions
from scenograph.world.vocabulary import COLOURS, NOUNS

__all__ = [
    "clip_scores",
    "detector_scores",
    "grounded_scores",
    "held_out",
    "painter_scores",
    "prompt_layouts",
    "reader_scores",
    "vae_scores",
    "vq_scores",
]

_HELD_OUT = 7  # the seed of every held-out sequence used here


def held_out(count: int) -> list[Scene]:
    """Held-out scenes: arrangements no painter and no judge B was trained on, with every combination of attributes."""
    return [scene_at(i, seed=_HELD_OUT, split="test") for i in range(count)]


def vae_scores(vae: AutoencoderKL, *, count: int = 256) -> dict[str, float]:
    """Mean PSNR in dB of reconstructions through the latent mean."""
    pictures = np.stack([np.asarray(s.draw()) for s in held_out(count)])
    x = torch.from_numpy(pictures).permute(0, 3, 1, 2).float() / 127.5 - 1
    with torch.no_grad():
        seen = torch.cat([vae.decode(vae.encode(part).latent_dist.mean).sample for part in x.split(16)])
    return {"PSNR (dB)": _psnr(seen, x)}


def _psnr(seen_BCHW: torch.Tensor, x_BCHW: torch.Tensor) -> float:
    """The mean over pictures of pixels in -1 … 1."""
    error_B = ((seen_BCHW.clamp(-1, 1) - x_BCHW) / 2).square().mean((1, 2, 3))
    return float((-10 * error_B.log10()).mean())


def vq_scores(vq: Any, detector: Detector, *, count: int = 500) -> dict[str, float]:
    """Mean PSNR in dB of pictures through their tokens, the percent of the codebook that they use, and COCO AP on them:
    nothing that is made of these tokens can be found better.
    """
    scenes = held_out(count)
    x = torch.stack([torch.from_numpy(np.asarray(s.draw()).copy()) for s in scenes]).permute(0, 3, 1, 2) / 127.5 - 1
    with torch.no_grad():
        ids = torch.cat([nearest_entries(vq, part) for part in x.split(16)])
        seen = torch.cat([vq.decode(part) for part in ids.split(16)])
    asked = [s.layout for s in scenes]
    return {
        "PSNR (dB)": _psnr(seen, x),
        "codebook used (%)": 100 * len(ids.unique()) / vq.quantize.num_embeddings,
        "AP of reconstructions": Coco(asked, detector.detect(pictures(seen), tuple(NOUNS))).scores["ap"],
    }


def clip_scores(clip: TransformersClip, *, count: int = 1500) -> dict[str, float]:
    """Percent of scenes whose caption beats its attribute-swapped twin, and whose caption is first of 100.

    A twin has exactly the words of its caption in another order; scenes without one (a single object, say) do not
    count.
    """
    scenes = held_out(count)
    images_ND = clip.image_features([s.draw() for s in scenes])
    twins = [twin_captions(s, Random(i)) for i, s in enumerate(scenes)]
    swapped = [i for i, (t, f) in enumerate(twins) if t.caption != f and _words(t.caption) == _words(f)]
    true_ND = clip.text_features([twins[i][0].caption for i in swapped])
    false_ND = clip.text_features([twins[i][1] for i in swapped])
    captions_ND = clip.text_features([s.described.caption for s in scenes])
    return {
        "true caption beats its twin (%)": twin_accuracy(images_ND[swapped], true_ND, false_ND),
        "scenes with a twin": float(len(swapped)),
        "true caption first of 100 (%)": first_of(images_ND, captions_ND, group=100),
    }


def _words(caption: str) -> list[str]:
    """The words in order of the alphabet; "a" and "an" are the same."""
    return sorted("a" if w == "an" else w for w in caption.replace(",", "").split())


def detector_scores(detector: Detector, *, count: int = 500) -> dict[str, float]:
    """COCO AP and mean IoU on drawn scenes, full boxes; objects hardly seen are asked for too."""
    scenes = held_out(count)
    asked = [s.layout for s in scenes]
    seen = detector.detect([s.draw() for s in scenes], tuple(NOUNS))
    return {**{k.upper(): v for k, v in Coco(asked, seen).scores.items()}, "mean IoU": mean_iou(asked, seen)}


def reader_scores(reader: AttributeReader, *, count: int = 500) -> dict[str, float]:
    """Percent of right answers on the boxes of objects of which at least half is seen."""
    wanted, cuts = [], []
    for scene in held_out(count):
        picture, shares = scene.draw(), scene.truth().visible_share
        for o, share in zip(scene.objects, shares, strict=True):
            if share >= 0.5:
                wanted.append({k: getattr(o, k) for k in ("noun", "colour", "texture", "shape") if getattr(o, k)})
                cuts.append(crop(picture, o.box))
    got = reader.read(cuts)
    pairs = {
        kind: [g[kind] == w[kind] for g, w in zip(got, wanted, strict=True) if kind in w]
        for kind in ("noun", "colour", "texture", "shape")
    }
    scores = {f"{kind} (%)": 100 * float(np.mean(hits)) for kind, hits in pairs.items()}
    attributes = pairs["colour"] + pairs["texture"] + pairs["shape"]
    return {**scores, "attributes (%)": 100 * float(np.mean(attributes))}


def prompt_layouts(count: int, *, objects: int, seed: int = 0) -> list[Layout]:
    """Prompts with 1 or 2 coloured objects and no boxes, to see what a painter draws by itself."""
    layouts = []
    for i in range(count):
        rng = Random(f"prompts/{seed}/{objects}/{i}")
        nouns = rng.sample(list(NOUNS), objects)
        phrases = [f"{_a(c)} {n}" for n, c in zip(nouns, rng.choices(list(COLOURS), k=objects), strict=True)]
        layouts.append(Layout(caption="a photo of " + " and ".join(phrases), instances=(), size=(CANVAS, CANVAS)))
    return layouts


def _a(word: str) -> str:
    return f"{'an' if word[0] in 'aeiou' else 'a'} {word}"


def painter_scores(
    painter: Painter, detector: Detector, reader: AttributeReader, *, count: int = 200, steps: int = 25
) -> dict[str, float]:
    """Unguided pictures of one- and two-object prompts: percent with the right noun(s), and with the right colour."""
    singles, doubles = prompt_layouts(count, objects=1), prompt_layouts(count, objects=2)
    nouns, colours = _rendered(painter, singles, detector, reader, steps)
    both, _ = _rendered(painter, doubles, detector, reader, steps)
    return {
        "prompts of each kind": float(count),
        "one object: right noun (%)": 100 * float(np.mean(nouns)),
        "one object: right colour (%)": 100 * float(np.mean(colours)),
        "two objects: both nouns (%)": 100 * float(np.mean(both)),
    }


def grounded_scores(
    painter: Painter,
    detector: Detector,
    *,
    count: int = 200,
    steps: int = 25,
    cfg: float = 7.5,
    gligen_beta: float = 1.0,
) -> dict[str, float]:
    """COCO AP and mean IoU of a GLIGEN's pictures of held-out layouts, and how they were painted."""
    asked = [s.layout for s in held_out(count)]
    seeds = list(range(count))
    paintings = painter.paint(
        asked, seeds=seeds, steps=steps, cfg=cfg, gligen_beta=gligen_beta, batch_size=25, progress=False
    )
    seen = detector.detect([p.image for p in paintings], tuple(NOUNS))
    keys = ("ap", "ap50")
    return {
        "layouts": float(count),
        "boxes: CFG scale": cfg,
        "boxes: β": gligen_beta,
        **{f"boxes: {k.upper()}": v for k, v in Coco(asked, seen).scores.items() if k in keys},
        "boxes: mean IoU": mean_iou(asked, seen),
    }


def _rendered(
    painter: Painter, layouts: Sequence[Layout], detector: Detector, reader: AttributeReader, steps: int
) -> tuple[list[bool], list[bool]]:
    """Per prompt: whether every asked noun is detected (score over 0.5), and the colours of what was detected."""
    paintings = painter.paint(layouts, seeds=list(range(len(layouts))), steps=steps, batch_size=25, progress=False)
    nouns, colours = [], []
    images: list[Image.Image] = [p.image for p in paintings]
    for layout, image, seen in zip(layouts, images, detector.detect(images, tuple(NOUNS)), strict=True):
        asked = [attributes_of(part) for part in layout.caption.split(" and ")]
        sure = [i for i in seen.instances if (i.score or 0) > 0.5]
        found = {i.label: i for i in sorted(sure, key=lambda i: i.score or 0)}
        nouns.append(all(a["noun"] in found for a in asked))
        read = reader.read([crop(image, found[a["noun"]].box) for a in asked if a["noun"] in found])
        wanted = [a["colour"] for a in asked if a["noun"] in found]
        colours.append(nouns[-1] and [r["colour"] for r in read] == wanted)
    return nouns, colours

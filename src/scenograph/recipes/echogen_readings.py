"""What EchoGen's tables read beside AP, FID, CLIP and LayoutSAM-Eval: the model's own echo, and grounding on drawn
scenes.

    reward      stage 3's: mean IoU of the boxes that the model itself grounds on the image tokens it draws. Painter and
                grounder share weights and can collude, so it stands beside judge A's numbers, never for them
    acc50 …     Ref-L4's measures on drawn scenes, one expression at a time

Tokens are drawn again for the reward: many come back changed from a picture that is encoded. An expression is
asked for on a drawn scene only when nothing else there answers to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import torch
from PIL import Image

from scenograph.judging.bootstrap import Tally
from scenograph.judging.detection import Detector
from scenograph.judging.referring import PhraseGrounder, grounded_boxes, referring_tallies
from scenograph.judging.reward import layout_reward
from scenograph.layout import Layout
from scenograph.training import cycle
from scenograph.unified.model import Unified
from scenograph.unified.sampler import Sampling, sample_images
from scenograph.unified.sequence import paint_sequence
from scenograph.world.captions import attributes_of
from scenograph.world.scenes import Scene

__all__ = ["GROUNDING", "REWARDED", "grounding_tallies", "referring_layout", "reward_tally"]

GROUNDING = ("acc50", "acc75", "acc90", "macc")
"""The measures of grounding drawn scenes."""
REWARDED = 250
"""Layouts that the reward is measured on, the first."""
_BATCH = 16


@torch.no_grad()
def reward_tally(unified: Unified, layouts: Sequence[Layout], seeds: Sequence[int], sampling: Sampling) -> Tally:
    """In percent, of the first `REWARDED` layouts; the others count nothing."""
    earned: list[list[float]] = []
    for start in range(0, min(len(layouts), REWARDED), _BATCH):
        part = slice(start, min(start + _BATCH, REWARDED))
        prefixes = [paint_sequence(unified.codec, one) for one in layouts[part]]
        nulls = [unified.null(one) for one in prefixes] if sampling.is_guided else None
        drawn = sample_images(unified.model, prefixes, nulls=nulls, sampling=sampling, seeds=seeds[part])
        phrases = [[one.caption for one in layout.instances] for layout in layouts[part]]
        found = cycle.grounded_boxes(unified, drawn.tokens_BN, phrases)
        earned += [[100 * layout_reward(one, boxes)] for one, boxes in zip(layouts[part], found, strict=True)]
    return Tally.of([*earned, *([] for _ in layouts[REWARDED:])])


def referring_layout(scene: Scene) -> Layout:
    """The scene's layout with the instances alone whose caption fits nothing else in it."""
    told = [attributes_of(one.caption) for one in scene.layout.instances]
    looks = [
        {"noun": o.noun, "colour": o.colour, "texture": o.texture, "shape": o.shape or "none"} for o in scene.objects
    ]
    fits = [sum(said.items() <= look.items() for look in looks) for said in told]
    kept = [one for one, count in zip(scene.layout.instances, fits, strict=True) if count == 1]
    return replace(scene.layout, instances=tuple(kept))


def grounding_tallies(
    scenes: Sequence[Scene], images: Sequence[Image.Image], grounder: PhraseGrounder | Detector
) -> dict[str, Tally]:
    """`GROUNDING` on drawn scenes, per scene."""
    asked = [referring_layout(scene) for scene in scenes]
    found = referring_tallies(asked, grounded_boxes(images, asked, grounder))
    return {name: found[name] for name in GROUNDING}

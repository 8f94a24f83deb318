"""What EchoGen's tables read beside AP, FID, CLIP and LayoutSAM-Eval: the model's own echo, and grounding on drawn
scenes.

    own_iou     the reward: mean IoU of the boxes that the model itself grounds on its pictures. Painter and grounder
                share weights and can collude, so it stands beside judge A's numbers, never for them
    acc50 …     Ref-L4's measures on drawn scenes, one expression at a time

The reward grounds the image tokens that were drawn; here the kept picture is encoded again. An expression is asked for
on a drawn scene only when nothing else there answers to it.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

from PIL import Image

from scenograph.judging.bootstrap import Tally
from scenograph.judging.detection import Detector
from scenograph.judging.referring import PhraseGrounder, grounded_boxes, referring_tallies
from scenograph.layout import Layout
from scenograph.world.captions import attributes_of
from scenograph.world.scenes import Scene

__all__ = ["GROUNDING", "grounding_tallies", "own_tally", "referring_layout"]

GROUNDING = ("acc50", "acc75", "acc90", "macc")
"""The measures of grounding drawn scenes."""


def own_tally(images: Sequence[Image.Image], asked: Sequence[Layout], grounder: PhraseGrounder | Detector) -> Tally:
    """Mean IoU in percent of the asked boxes and those that come back, all expressions of a picture asked at once."""
    sized = [replace(layout, size=image.size) for layout, image in zip(asked, images, strict=True)]
    return referring_tallies(sized, grounded_boxes(images, sized, grounder, together=True))["iou"]


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

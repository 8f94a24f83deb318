"""What an echo earns: how well the boxes of a layout come back from a picture painted from it (EchoGen, stage 3).

A discrepancy d = 1 − IoU or mean |Δside| enters as 1 − d: rewards are maximised.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

from scenograph.judging.referring import in_asked_order
from scenograph.layout import Box, Instance, Layout

__all__ = ["Reward", "box_reward", "layout_reward"]

Reward = Literal["iou", "l1", "mixed"]
"""IoU, 1 − ℓ1, or their mean."""


def box_reward(asked: Box, found: Box, reward: Reward = "iou") -> float:
    """How well a box came back, 0 to 1."""
    iou = asked.iou(found)
    if reward == "iou":
        return iou
    l1 = 1 - sum(abs(a - b) for a, b in zip(asked, found, strict=True)) / 4
    return l1 if reward == "l1" else (iou + l1) / 2


def layout_reward(layout: Layout, boxes: Sequence[Box], reward: Reward = "iou") -> float:
    """The mean reward of a layout's boxes, found in the order of its instances; of equal captions any may be any's."""
    asked = layout.instances
    seen = [Instance(caption=one.caption, box=box) for one, box in zip(asked, boxes, strict=True)]
    back = in_asked_order(asked, seen)
    earned = [box_reward(one.box, box, reward) for one, box in zip(asked, back, strict=True) if box]
    return sum(earned) / len(earned)

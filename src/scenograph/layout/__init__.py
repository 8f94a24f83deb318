"""The noun of scenograph: Box, Instance, Layout, and their files and formats. Pure Python, no torch, no NumPy.

    Layout("a black dog and two cats")
      └─ Instance(caption="a black dog", label="dog", phrase=None)
           └─ Box(x0, y0, x1, y1)   fractions of the canvas, origin top-left

Other conventions enter and leave by name: `Box.from_xywh`, `from_pixels`, `from_thousandths`, `Layout.from_coco`,
`from_gligen`, and the `to_…` of each. Bad input is a `LayoutError` in one line; nothing is clamped or repaired unasked.
"""

from scenograph.layout.box import Box
from scenograph.layout.files import load_layouts, save_layouts
from scenograph.layout.instance import Instance
from scenograph.layout.layout import MAX_INSTANCES, Layout
from scenograph.layout.prompt import Prompt
from scenograph.layout.schema import SCHEMA, schema
from scenograph.layout.words import head_noun

__all__ = [
    "MAX_INSTANCES",
    "SCHEMA",
    "Box",
    "Instance",
    "Layout",
    "Prompt",
    "head_noun",
    "load_layouts",
    "save_layouts",
    "schema",
]

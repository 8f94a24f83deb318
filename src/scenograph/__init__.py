"""scenograph: text to layout, layout to image, image to layout, with every step measurable.

Importing the package is cheap: only the layout and the errors come with it. What needs torch is imported by its own
name, as in `from scenograph.painting import Painter`.
"""

from scenograph.errors import ScenographError
from scenograph.layout import Box, Instance, Layout, load_layouts, save_layouts

__all__ = ["Box", "Instance", "Layout", "ScenographError", "__version__", "load_layouts", "save_layouts"]

__version__ = "0.1.0"

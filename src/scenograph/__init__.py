"""scenograph: text to layout, layout to image, image to layout, with every step measurable.

Importing the package is cheap: only the layout noun and the errors come with it. Whatever needs torch is imported by name,
e.g. ``from scenograph.painting import Painter``.
"""

__version__ = "0.1.0"

"""WinWinLay on Stable Diffusion 1.5, from Python. Downloads the checkpoint (about 4 GB) on first use.

python examples/sd15_winwinlay.py [MODEL]
"""

import sys

from scenograph import Box, Instance, Layout
from scenograph.drawing import draw_layout
from scenograph.painting import Painter
from scenograph.painting.guidance import method
from scenograph.painting.metadata import save_png

MODEL = sys.argv[1] if len(sys.argv) > 1 else "stable-diffusion-v1-5/stable-diffusion-v1-5"

layout = Layout(
    caption="a cat and a dog on a sofa",
    instances=(
        Instance(caption="a cat", box=Box(0.05, 0.25, 0.45, 0.85)),
        Instance(caption="a dog", box=Box(0.55, 0.25, 0.95, 0.85)),
    ),
)

painter = Painter.from_pretrained(MODEL)
# The method by name takes the paper's defaults; here with twice the inner iterations.
painting = painter.paint(layout, guidance=method("winwinlay", iterations=8), seeds=1)[0]
save_png(painting, "cat-and-dog.png")
draw_layout(layout, painting.image).save("cat-and-dog-boxes.png")
for step in painting.log:
    energies = [values[0] for values in step.energy if values[0] is not None]
    print(f"step {step.index}: energy {energies[0]:.3f} → {energies[-1]:.3f}")

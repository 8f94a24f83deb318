"""WinWinLay (Li, Hu, Liu and Wang, ICML 2025, "Control and Realism"): non-local energy, adaptive update.

Defaults are the paper's: the first 10 of 50 steps, O = 4, r = 0.06, ρ 5 → 0, middle block and first up block. λ is not
given there; `NonLocalAttentionEnergy` says what stands in.
"""

from __future__ import annotations

from typing import Literal

from scenograph.painting.attention import Layers
from scenograph.painting.guidance.energies import AttentionEnergy, Distance, NonLocalAttentionEnergy
from scenograph.painting.guidance.guide import Guidance
from scenograph.painting.guidance.updates import Langevin
from scenograph.painting.guidance.window import Window

Score = Literal["conditional", "unconditional", "cfg"]


def winwinlay(
    *,
    window: Window | None = None,
    layers: Layers | None = None,
    scale: float = 1.0,
    distance: Distance = "scale_free",
    lam: float | None = None,
    rho: tuple[float, float] = (5.0, 0.0),
    rho_over: Literal["guided", "all"] = "guided",
    iterations: int = 4,
    ratio: float = 0.06,
    nu: float = 1.0,
    score: Score = "conditional",
) -> Guidance:
    """E_naef with the Langevin update: the paper's method (Table 2, last row)."""
    return Guidance(
        energy=NonLocalAttentionEnergy(distance=distance, lam=lam, rho=rho, rho_over=rho_over),
        update=Langevin(iterations=iterations, ratio=ratio, nu=nu, score=score),
        window=window or Window(),
        layers=layers,
        scale=scale,
    )


def aef_adaptive(
    *,
    window: Window | None = None,
    layers: Layers | None = None,
    scale: float = 1.0,
    iterations: int = 4,
    ratio: float = 0.06,
    nu: float = 1.0,
    score: Score = "conditional",
) -> Guidance:
    """E_aef with the Langevin update (Table 2, third row)."""
    return Guidance(
        energy=AttentionEnergy(),
        update=Langevin(iterations=iterations, ratio=ratio, nu=nu, score=score),
        window=window or Window(),
        layers=layers,
        scale=scale,
    )

"""Layout-control (Chen, Laina and Vedaldi, WACV 2024, "backward guidance") and its mixtures with WinWinLay's energy.

E is the mean over layers and subjects, z ← z − 30 (1−ᾱ) ∇E, up to 5 times in each of the first 10 steps, until E < 0.2.
In the public code the first success ends guidance for the whole picture, because its loss is never reset; that is
`layout_control()`. `layout_control(reset_stop=True)` starts every sampling step afresh.
"""

from __future__ import annotations

from typing import Literal

from scenograph.painting.attention import Layers
from scenograph.painting.guidance.energies import AttentionEnergy, Distance, NonLocalAttentionEnergy
from scenograph.painting.guidance.guide import Guidance
from scenograph.painting.guidance.updates import Backprop
from scenograph.painting.guidance.window import Window


def layout_control(
    *,
    window: Window | None = None,
    layers: Layers | None = None,
    scale: float = 1.0,
    eta: float = 30.0,
    iterations: int = 5,
    threshold: float | None = 0.2,
    reset_stop: bool = False,
) -> Guidance:
    """E_aef with gradient descent (Table 2, first row)."""
    return Guidance(
        energy=AttentionEnergy(reduce="mean"),
        update=Backprop(eta=eta, iterations=iterations, threshold=threshold, reset_stop=reset_stop),
        window=window or Window(),
        layers=layers,
        scale=scale,
    )


def layout_control_reset(
    *,
    window: Window | None = None,
    layers: Layers | None = None,
    scale: float = 1.0,
    eta: float = 30.0,
    iterations: int = 5,
    threshold: float | None = 0.2,
) -> Guidance:
    """Layout-control whose stopping rule starts afresh at every sampling step; also Table 2's aef + backprop."""
    return layout_control(
        window=window, layers=layers, scale=scale, eta=eta, iterations=iterations, threshold=threshold, reset_stop=True
    )


def naef_backprop(
    *,
    window: Window | None = None,
    layers: Layers | None = None,
    scale: float = 1.0,
    distance: Distance = "scale_free",
    lam: float | None = None,
    rho: tuple[float, float] = (5.0, 0.0),
    rho_over: Literal["guided", "all"] = "guided",
    eta: float = 30.0,
    iterations: int = 5,
    threshold: float | None = 0.2,
    matched: bool = False,
) -> Guidance:
    """E_naef with gradient descent (Table 2, second row).

    matched: the control that steps in E_naef's direction exactly as far as E_aef would have stepped from there, and
    stops when E_aef would have stopped. What is left of the gain is not step size.
    """
    length = AttentionEnergy(reduce="mean") if matched else None
    return Guidance(
        energy=NonLocalAttentionEnergy(reduce="mean", distance=distance, lam=lam, rho=rho, rho_over=rho_over),
        update=Backprop(eta=eta, iterations=iterations, threshold=threshold, step_length_of=length),
        window=window or Window(),
        layers=layers,
        scale=scale,
    )

"""Recipes of the embedded small world, in the order in which they are trained."""

from __future__ import annotations

from scenograph.training.clip import ClipRecipe
from scenograph.training.loop import Plan
from scenograph.training.vae import VaeRecipe

__all__ = ["clip_a", "clip_b", "vae"]


def clip_b() -> ClipRecipe:
    """Text tower of every embedded painter, and the CLIP that may select and train: `scenograph train clip-b`."""
    return ClipRecipe(name="clip-b", plan=Plan(steps=4000, batch=64, lr=1e-3, seed=11, warmup=200, ema=0.998))


def clip_a() -> ClipRecipe:
    """The CLIP that reports: wider, shallower, another seed and other data (every split): `scenograph train clip-a`."""
    plan = Plan(steps=4000, batch=64, lr=1e-3, seed=12, warmup=200, ema=0.998)
    return ClipRecipe(name="clip-a", plan=plan, width=160, text_layers=3, vision_layers=4)


def vae() -> VaeRecipe:
    """Autoencoder of every embedded diffusion model: `scenograph train vae`."""
    return VaeRecipe(name="vae", plan=Plan(steps=5000, batch=16, lr=1e-3, seed=1, warmup=100, ema=0.998, weight_decay=0.0))

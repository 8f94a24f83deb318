"""Painter: layouts in, paintings out. The front door of `painting`.

It loads a checkpoint, turns layouts into prompts, batches them, runs the one denoising loop and decodes. Text encoding,
VAE, LoRA loading, offload and tiling are the stock pipeline's; guidance and the loop are ours.

Sizes: a picture is painted at the checkpoint's own size unless `width` and `height` say otherwise. `Layout.size` is the
size of the picture a layout was *read* from (a COCO photograph, say), and boxes are fractions, so it does not decide.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any, Literal

import torch

from scenograph import __version__
from scenograph.errors import CheckpointError, GuidanceError, ImageError
from scenograph.layout import Layout, Prompt
from scenograph.models.embedded import PREFERRED
from scenograph.models.families import Family, default_size
from scenograph.models.gated import is_gated
from scenograph.models.loading import freeze, load_pipeline
from scenograph.models.loras import add_lora
from scenograph.painting.attention import choose_layers
from scenograph.painting.conditioning import check_length, decode, encode
from scenograph.painting.gligen import check_grounding, checked_beta, ground
from scenograph.painting.guidance import Guidance, name_of
from scenograph.painting.guidance import method as named_method
from scenograph.painting.guidance.log import Series, StepLog
from scenograph.painting.jobs import Job, checked_numbers, jobs_of, whole_number
from scenograph.painting.metadata import NEEDED, SETTINGS
from scenograph.painting.sampler import sample
from scenograph.painting.schedulers import checked_scheduler, make_scheduler
from scenograph.painting.tokens import locate

Output = Literal["pil", "latent", "nothing"]
_NAMELESS = "custom"


@dataclass(frozen=True, kw_only=True)
class Painting:
    """One picture and all that is needed to paint it again."""

    image: Any
    """PIL image; with output="latent" the latents_CHW, on the CPU."""
    layout: Layout
    prompt: str
    """What the text encoder read."""
    appended: tuple[str, ...]
    """Instance captions that the layout's caption does not name; they stand at the end of the prompt."""
    seed: int
    method: str
    """A name that `guidance.method` takes, or "custom" for a guidance that no name makes."""
    log: tuple[StepLog, ...] = ()
    """What guidance did to this sample, step by step; empty for plain pictures."""
    settings: dict[str, Any] = field(default_factory=dict)
    """`metadata.SETTINGS` and what else the recipe holds: model, variant, config, dtype, loras, tiling, guidance."""

    def recipe(self) -> dict[str, Any]:
        """Everything but the picture, as JSON values: what `metadata.save_png` writes and `Painter.repaint` reads."""
        return {
            "scenograph": __version__,
            "layout": self.layout.to_dict(),
            "prompt": self.prompt,
            "appended": list(self.appended),
            "seed": self.seed,
            "method": self.method,
            **self.settings,
        }


class Painter:
    """A loaded checkpoint that paints layouts.

    Attributes:
        name: what the checkpoint was called.
        family: its row of FAMILIES.
        variant, config: how it was loaded, see `from_pretrained`.
        pipeline: the stock diffusers pipeline that holds the parts.
        loras: (path or id, scale) of the LoRAs on it.
        defaults: method, guidance scale and the like where a command asks for none.
    """

    def __init__(
        self, family: Family, pipeline: Any, *, name: str, variant: str | None = None, config: str | None = None
    ) -> None:
        self.family = family
        self.pipeline = freeze(pipeline)
        self.name, self.variant, self.config = name, variant, config
        self.loras: list[tuple[str, float]] = []
        method = "plain" if is_gated(pipeline.unet) else "winwinlay"
        self.defaults = {"method": method, "cfg": 7.5} | PREFERRED.get(name, {})

    @classmethod
    def from_pretrained(
        cls,
        name: str | Path,
        *,
        device: torch.device | str | None = None,
        dtype: torch.dtype | str | None = None,
        variant: str | None = None,
        config: str | Path | None = None,
        offload: bool = False,
        tiling: bool = False,
    ) -> Painter:
        """Load a hub id, a folder, a .safetensors file or an embedded model; see `models.loading.load_pipeline`.

        offload: keep each network on the CPU until it runs (needs cuda or mps). tiling: decode large canvases in tiles
        and batches one by one, in less memory.

        Raises CheckpointError or DependencyError.
        """
        # What will be offloaded must not be moved first: it may not fit.
        place = "cpu" if offload else device
        dtype = _offload_dtype(dtype) if offload else dtype
        family, pipeline = load_pipeline(name, device=place, dtype=dtype, variant=variant, config=config)
        painter = cls(family, pipeline, name=str(name), variant=variant, config=None if config is None else str(config))
        if offload:
            painter.enable_offload(device)
        if tiling:
            painter.enable_tiling()
        return painter

    def enable_offload(self, device: torch.device | str | None = None) -> None:
        """Keep each network on the CPU until it runs. Raises CheckpointError without an accelerator to run it on."""
        try:
            self.pipeline.enable_model_cpu_offload(**({} if device is None else {"device": device}))
        except (RuntimeError, ValueError, ImportError) as error:
            raise CheckpointError(f"cannot offload to the CPU: {error}; offload needs cuda or mps") from error

    def enable_tiling(self) -> None:
        """Decode large canvases in tiles and batches one by one."""
        self.pipeline.vae.enable_tiling()
        self.pipeline.vae.enable_slicing()

    def load_lora(self, path_or_id: str | Path, scale: float = 1.0) -> None:
        """Put a LoRA (diffusers, peft or kohya safetensors; a file, folder or hub id) on top of those already loaded.

        Raises CheckpointError when it is missing, a pickle, or does not fit this checkpoint.
        """
        add_lora(self.pipeline, path_or_id, [weight for _, weight in self.loras], float(scale))
        self.loras.append((str(path_or_id), float(scale)))

    @torch.inference_mode(False)  # guidance differentiates, whatever the caller does around it
    def paint(
        self,
        layouts: Layout | Sequence[Layout],
        *,
        guidance: Guidance | str | None = None,
        seeds: int | Sequence[int] = 0,
        steps: int = 50,
        cfg: float = 7.5,
        negative_prompt: str | Sequence[str] = "",
        scheduler: str | None = None,
        width: int | None = None,
        height: int | None = None,
        template: str = "{}",
        strict: bool = False,
        gligen_beta: float | None = None,
        progress: bool = True,
        output: Output = "pil",
        batch_size: int = 4,
    ) -> list[Painting]:
        """Paint layouts, several different ones at once.

        Args:
            layouts: one or many. One layout with many seeds is painted once per seed.
            guidance: a Guidance, a name of `guidance.METHODS`, or None for plain text-to-image.
            seeds: one for all, or one per layout. A seed gives the same picture alone and in any batch.
            cfg: classifier-free guidance scale; at 1 or below the unconditional pass is left out.
            negative_prompt: one for all, or one per layout.
            scheduler: "ddim", "euler", "dpm++" or "unipc"; None: the checkpoint's own of these, else DDIM.
            width, height: pixels; default the checkpoint's own.
            template: the prompt around the caption, such as "A photo of {}".
            strict: refuse captions that do not name every instance, instead of appending what is missing.
            gligen_beta: share of the steps, from the first, that a GLIGEN checkpoint is grounded in; None: 0.3.
            progress: a bar on stderr, where that is a terminal.
            output: "pil" images, "latent" tensors, or "nothing": everything is checked and no picture painted.
            batch_size: how many samples go through the UNet at once.

        Raises LayoutError, PhraseError, GuidanceError or ImageError for input that cannot be painted.
        """
        jobs = jobs_of(layouts, seeds, negative_prompt)
        size = self._canvas(width, height)
        steps, batch_size = checked_numbers(steps=steps, cfg=cfg, batch_size=batch_size)
        beta = checked_beta(self.pipeline.unet, gligen_beta, steps)
        method, guidance = self._method(guidance)
        settings = {
            **{"steps": steps, "cfg": cfg, "template": template, "strict": strict},
            "scheduler": checked_scheduler(scheduler, self.pipeline.scheduler, steps),
            **{"width": size[0], "height": size[1], "gligen_beta": beta if is_gated(self.pipeline.unet) else None},
            "guidance": None if guidance is None else repr(guidance),
            **self._state(),
        }
        work = [(job, job.layout.prompt(strict=strict, template=template)) for job in jobs]
        self._check_words(work, guided=guidance is not None, grounded=bool(beta))
        paintings: list[Painting] = []
        try:
            for batch in _chunks(work, batch_size) if output != "nothing" else ():
                painted = self._paint_batch(batch, guidance, settings, progress=progress, output=output)
                paintings += _paintings(batch, *painted, method, settings)
        finally:
            self.pipeline.maybe_free_model_hooks()
        return paintings

    def _check_words(self, work: Sequence[tuple[Job, Prompt]], *, guided: bool, grounded: bool) -> None:
        """Raises PhraseError or LayoutError for what the text encoder or the gated layers could not read whole."""
        check_length(self.pipeline, [prompt.text for _, prompt in work], "prompt")
        check_length(self.pipeline, [job.negative for job, _ in work], "negative prompt")
        if guided:
            for job, prompt in work:
                locate(self.pipeline.tokenizer, prompt, job.layout)
        if grounded:
            check_grounding(self.pipeline, [job.layout for job, _ in work])

    def _state(self) -> dict[str, Any]:
        """What of a recipe belongs to the painter, not to the call."""
        return {
            "model": self.name,
            "variant": self.variant,
            "config": self.config,
            "tiling": bool(self.pipeline.vae.use_tiling),
            "dtype": str(self.pipeline.unet.dtype).removeprefix("torch."),
            "loras": [list(lora) for lora in self.loras],
        }

    def repaint(self, recipe: dict[str, Any], *, progress: bool = False) -> Painting:
        """Paint a recipe (`metadata.read_recipe`) again; it must name this checkpoint, loaded like this one.

        Raises GuidanceError when the recipe is not whole, belongs to another painter or to a guidance without a name.
        """
        missing = [key for key in NEEDED if key not in recipe]
        if missing:
            raise GuidanceError(f"the recipe lacks {', '.join(missing)}; it cannot be painted again")
        if recipe["method"] == _NAMELESS:
            written = recipe.get("guidance")
            raise GuidanceError(
                f"the recipe's guidance has no name that makes it again; paint with {written} in Python"
            )
        for key, value in self._state().items():
            if recipe.get(key) != value:
                raise GuidanceError(f"the recipe has {key} {recipe.get(key)!r}, this painter {value!r}; load the same")
        return self.paint(
            Layout.from_dict(recipe["layout"]),
            guidance=recipe["method"],
            seeds=recipe["seed"],
            progress=progress,
            gligen_beta=recipe.get("gligen_beta"),
            **{key: recipe[key] for key in SETTINGS},
        )[0]

    def _paint_batch(
        self,
        batch: Sequence[tuple[Job, Prompt]],
        guidance: Guidance | None,
        settings: dict[str, Any],
        *,
        progress: bool,
        output: Output,
    ) -> tuple[list[Any], list[tuple[StepLog, ...]]]:
        """Images (or latents) and guidance logs of one batch."""
        size = settings["width"], settings["height"]
        texts, negatives = [prompt.text for _, prompt in batch], [job.negative for job, _ in batch]
        tokens = []
        if guidance is not None:
            tokens = [locate(self.pipeline.tokenizer, prompt, job.layout) for job, prompt in batch]
        condition, uncondition = encode(self.pipeline, texts, negatives, size)
        if settings["gligen_beta"]:
            grounding = ground(self.pipeline, [job.layout for job, _ in batch])
            condition = replace(condition, grounding=grounding)
            uncondition = replace(uncondition, grounding=grounding.null())
        latents_BCHW = sample(
            self.pipeline,
            condition,
            uncondition,
            scheduler=make_scheduler(settings["scheduler"], self.pipeline.scheduler)[1],
            # CPU generators: a seed gives the same noise on every device.
            generators=[torch.Generator("cpu").manual_seed(job.seed) for job, _ in batch],
            size=size,
            steps=settings["steps"],
            cfg=settings["cfg"],
            grounded=settings["gligen_beta"] or 0.0,
            guidance=guidance,
            tokens=tokens,
            progress=progress,
        )
        logs = [() if guidance is None else _log_of(guidance.log.steps, row) for row in range(len(batch))]
        return (list(latents_BCHW.cpu()) if output == "latent" else decode(self.pipeline, latents_BCHW)), logs

    def _method(self, guidance: Guidance | str | None) -> tuple[str, Guidance | None]:
        """(name, guidance): names are looked up in METHODS, a Guidance that a name would make gets that name.

        Raises GuidanceError for an unknown name, and for layers that this checkpoint does not have.
        """
        made = named_method(guidance) if isinstance(guidance, str) else guidance
        if made is not None and made.layers is not None:
            choose_layers(self.pipeline.unet, made.layers)
        if isinstance(guidance, str):
            return guidance, made
        return ("plain" if made is None else name_of(made) or _NAMELESS), made

    def _canvas(self, width: int | None, height: int | None) -> tuple[int, int]:
        """(width, height) in pixels. Raises ImageError when they do not fit the VAE's grid."""
        own = default_size(self.pipeline)
        factor = self.pipeline.vae_scale_factor
        chosen = []
        for what, value, default in (("width", width, own[0]), ("height", height, own[1])):
            pixels = default if value is None else whole_number(value)
            if pixels is None or pixels < factor or pixels % factor:
                raise ImageError(f"{what} is {value!r}; expected a multiple of {factor} pixels, such as {default}")
            chosen.append(pixels)
        return chosen[0], chosen[1]


def _paintings(
    batch: Sequence[tuple[Job, Prompt]],
    images: Sequence[Any],
    logs: Sequence[tuple[StepLog, ...]],
    method: str,
    settings: dict[str, Any],
) -> Iterator[Painting]:
    for (job, prompt), image, log in zip(batch, images, logs, strict=True):
        yield Painting(
            image=image,
            layout=job.layout,
            prompt=prompt.text,
            appended=prompt.appended,
            seed=job.seed,
            method=method,
            log=log,
            settings={**settings, "negative_prompt": job.negative},
        )


def _log_of(steps: Sequence[StepLog], row: int) -> tuple[StepLog, ...]:
    """One sample's share of a batch's log."""

    def own(series: Series) -> Series:
        return tuple((values[row],) for values in series)

    return tuple(
        StepLog(
            index=step.index,
            energy=own(step.energy),
            gradient_norm=own(step.gradient_norm),
            moved=own(step.moved),
            score_norm=own(step.score_norm),
            cosine=own(step.cosine),
            above_third=step.above_third[row : row + 1],
        )
        for step in steps
    )


def _offload_dtype(dtype: torch.dtype | str | None) -> torch.dtype | str | None:
    """What loads on the CPU to run on an accelerator takes the accelerator's default."""
    return torch.float16 if dtype is None and torch.cuda.is_available() else dtype


def _chunks(items: Sequence[Any], count: int) -> Iterator[Sequence[Any]]:
    for start in range(0, len(items), count):
        yield items[start : start + count]

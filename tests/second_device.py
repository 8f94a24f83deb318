"""A made-up accelerator, "gpu", whose memory is the CPU's: finds tensors that are left on the wrong side.

    python -m tests.second_device CASE…

Operations run on the CPU, but refuse, as CUDA does, tensors of both devices together (numbers, and the indices of a
tensor, may come from the CPU), and numpy arrays of what is on the "gpu". It is no test of kernels, memory or precision.
Registering a device changes the process for good, so `test_second_device.py` runs every case in one of its own.
"""

from __future__ import annotations

import sys
import tempfile
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import torch
from torch.overrides import TorchFunctionMode
from torch.utils._pytree import tree_flatten, tree_map
from torch.utils.backend_registration import _setup_privateuseone_for_python_backend

# The made-up tensors cannot be told to forget their gradients' history; that is what inference mode adds to no_grad.
torch.inference_mode = lambda mode=True: torch.no_grad()  # type: ignore
_setup_privateuseone_for_python_backend("gpu")
torch.__future__.set_swap_module_params_on_conversion(True)  # `Module.to` keeps its parameters, as with real devices

GPU = torch.device("gpu:0")
_CROSSING = ("aten::_to_copy", "aten::copy_", "aten::_local_scalar_dense", "aten::equal")
_library = torch.library.Library("_", "IMPL")


class WrongDeviceError(RuntimeError):
    """Tensors of two devices met."""


class OnGpu(torch.Tensor):
    """A tensor that says it is on the "gpu", around one that is not."""

    _held: torch.Tensor

    @staticmethod
    def __new__(cls, held: torch.Tensor) -> OnGpu:
        made: OnGpu = torch.Tensor._make_wrapper_subclass(  # type: ignore[attr-defined]
            cls,
            held.size(),
            strides=held.stride(),
            storage_offset=held.storage_offset(),
            dtype=held.dtype,
            device=GPU,
            requires_grad=held.requires_grad,
        )
        made._held = held
        return made

    @classmethod
    def __torch_dispatch__(cls, func: Any, *given: Any) -> Any:  # type: ignore[override]
        _, args, kwargs = (*given, {}, {})[:3]
        return _run(func, args, kwargs or {})

    def __repr__(self) -> str:  # type: ignore[override]
        return f"OnGpu({self._held})"

    def __format__(self, spec: str) -> str:
        return format(self._held, spec)

    def tolist(self) -> Any:
        return self._held.tolist()

    def numpy(self, *args: Any, **kwargs: Any) -> Any:
        raise WrongDeviceError("a numpy array of a tensor on the gpu; expected .cpu() before")

    __array__ = numpy


class _Making(TorchFunctionMode):
    """What a backend in Python cannot do: make tensors from lists, or larger than they began, take lists as indices."""

    _MADE = (torch.tensor, torch.as_tensor, torch.arange, torch.linspace, torch.eye, torch.randperm)

    def __torch_function__(self, func: Any, types: Any, args: Any = (), kwargs: Any = None) -> Any:
        kwargs = dict(kwargs or {})
        if func in self._MADE and kwargs.get("device") and not isinstance(next(iter(args), None), torch.Tensor):
            return func(*args, **(kwargs | {"device": "cpu"})).to(kwargs["device"])
        if func is torch.Tensor.new_tensor:
            return torch.tensor(args[1], dtype=kwargs.get("dtype", args[0].dtype)).to(args[0].device)
        if func in (torch.Tensor.__getitem__, torch.Tensor.__setitem__):
            args = (args[0], _index(args[1]), *args[2:])
        return func(*args, **kwargs)


def _index(value: Any) -> Any:
    if isinstance(value, tuple):
        return tuple(_index(one) for one in value)
    return torch.tensor(value, dtype=None if value else torch.long) if isinstance(value, list) else value


def _run(func: Any, args: Any, kwargs: dict[str, Any]) -> Any:
    """An operation on the tensors held, wrapped again if any was on the "gpu" or the result is asked for there."""
    name = func._schema.name
    tensors = [one for one in tree_flatten((args, kwargs))[0] if isinstance(one, torch.Tensor)]
    ours = [one for one in tensors if isinstance(one, OnGpu)]
    others = [one for one in tensors if not isinstance(one, OnGpu) and one.dim()]
    if ours and others and name not in _CROSSING and "index" not in name:
        shapes = [f"{one.device.type} {tuple(one.shape)}" for one in tensors]
        raise WrongDeviceError(f"{name} of tensors on both devices: {', '.join(shapes)}")
    there = bool(ours)
    held = [torch.device("cpu") if isinstance(one, torch.device) else _held(one) for one in args]
    named = {key: _held(one) for key, one in kwargs.items()}
    asked = [one for one in (*args, kwargs.get("device")) if isinstance(one, torch.device)]
    if asked:
        there = asked[0].type == "gpu"
    if "device" in named and named["device"] is not None:
        named["device"] = torch.device("cpu")
    out = func(*held, **named)
    if name == "aten::copy_":
        return args[0]
    same = {id(one._held): one for one in ours}  # operations in place give back what they were given

    def wrapped(one: Any) -> Any:
        if id(one) in same:
            return same[id(one)]
        return OnGpu(one) if there and isinstance(one, torch.Tensor) else one

    return tree_map(wrapped, out)


def _held(value: Any) -> Any:
    return tree_map(lambda one: one._held if isinstance(one, OnGpu) else one, value)


_library.fallback(lambda op, *args, **kwargs: _run(op, args, kwargs), "PrivateUse1")
_Making().__enter__()


def painting(folder: Path) -> None:
    """SD and SDXL, guided and not, by all schedulers; and GLIGEN."""
    from scenograph.models.gated import add_gates
    from scenograph.painting import Painter
    from tests.tiny import tiny_sd, tiny_sd_parts, tiny_sdxl
    from tests.unified.tiny import layout

    layouts = [layout(("a red cat", (0.2, 0.2, 0.7, 0.9)), caption="a red cat"), layout(caption="two dogs")]

    def paint(painter: Painter, **options: Any) -> None:
        painter.paint(layouts, steps=2, progress=False, **options)

    painter = Painter.from_pretrained(tiny_sd(folder / "sd"), device="gpu")
    for method in ("plain", "winwinlay", "layout-control", "naef+backprop-matched"):
        paint(painter, guidance=method, seeds=[1, 2])
    for scheduler in ("euler", "dpm++", "unipc"):
        paint(painter, guidance="winwinlay:O=1", scheduler=scheduler, negative_prompt="dull")
    paint(Painter.from_pretrained(tiny_sdxl(folder / "sdxl"), device="gpu"), guidance="winwinlay:O=1")
    from diffusers import StableDiffusionPipeline

    parts = tiny_sd_parts()
    StableDiffusionPipeline(**{**parts, "unet": add_gates(parts["unet"])}).save_pretrained(folder / "gligen")
    gligen = Painter.from_pretrained(folder / "gligen", device="gpu")
    paint(gligen, guidance="winwinlay:O=1", gligen_beta=0.5)


def unified(folder: Path) -> None:
    """A Janus that paints, grounds, plans, and understands; a seed draws the picture that it draws on the CPU."""
    import numpy as np

    from scenograph.grounding.unified import UnifiedGrounder
    from scenograph.painting.unified import UnifiedPainter
    from scenograph.planning.unified_planner import UnifiedPlanner
    from scenograph.unified.model import load_unified
    from tests.unified.tiny import layout, tiny_janus, world_codec

    codec = world_codec()
    tiny_janus(codec).save_pretrained(folder)
    codec.tokenizer.save_pretrained(folder)
    model = load_unified(folder, device="gpu")
    layouts = [layout(("a red cat", (0.2, 0.2, 0.7, 0.9)), caption="a red cat"), layout(caption="two dogs")]
    here, there = (
        [one.image for one in UnifiedPainter(each, name="tiny").paint(layouts, seeds=[1, 2], cfg=2.0, progress=False)]
        for each in (load_unified(folder, device="cpu"), model)
    )
    assert all(np.abs(np.asarray(a, int) - np.asarray(b, int)).max() <= 2 for a, b in zip(here, there, strict=True))
    UnifiedGrounder(model).ground(there, [["a red cat"], ["two dogs", "a dog"]])
    planner = UnifiedPlanner(model)
    planner.plan("a red dog and a cat", seed=1)


def judging(folder: Path) -> None:
    """Every kind of model that judges or detects."""
    from scenograph.grounding.detector import load_detector
    from scenograph.judging.attributes import AttributeReader
    from scenograph.judging.clip import TransformersClip
    from scenograph.judging.depth import TransformersDepth
    from scenograph.judging.judge import judge_images
    from scenograph.judging.preference import PickScore
    from scenograph.judging.vlm import TransformersVLM
    from scenograph.judging.vqa import BlipVQA
    from scenograph.world.scenes import scene_at
    from tests.judging import checkpoints as made

    scenes = [scene_at(index, seed=9, split="test", count=2) for index in range(2)]
    images, layouts = [scene.draw() for scene in scenes], [scene.layout for scene in scenes]
    reader = AttributeReader.from_pretrained(made.save_reader(folder / "reader"), device="gpu")
    clip = TransformersClip.from_pretrained(made.save_clip(folder / "clip"), device="gpu")
    for model in (made.rt_detr(), made.d_fine()):
        detector = load_detector(made.save_detector(model, folder / type(model).__name__), device="gpu")
        judge_images(images, layouts, detector, reader, clip)
    for save in (made.save_grounding_dino, made.save_owlv2):
        load_detector(save(folder / save.__name__), device="gpu").detect(images, ["dog", "bench"])
    BlipVQA.from_pretrained(made.save_blip(folder / "blip"), device="gpu").yes(images, ["a red dog?", "a bench?"])
    for save in (made.save_dpt, made.save_glpn):
        TransformersDepth.from_pretrained(save(folder / save.__name__), device="gpu").nearness(images)
    vlm = TransformersVLM.from_pretrained(made.save_llava(folder / "llava"), device="gpu")
    vlm.answers([(images[0], "is there a dog?")])
    PickScore(clip).scores(images, [layout.caption for layout in layouts])


def training(folder: Path) -> None:
    """A few steps of every training that people run on data of their own, and of the unified model's three stages."""
    from accelerate.state import PartialState

    from scenograph.judging.clip import TransformersClip
    from scenograph.recipes.world import clip_b
    from scenograph.training.clip import build_clip
    from scenograph.training.gligen import GligenRecipe, train_gligen
    from scenograph.training.goal import GoalRecipe, train_goal
    from scenograph.training.loop import Plan
    from tests.tiny import tiny_sd_parts
    from tests.training import test_goal, test_stages

    PartialState()
    PartialState._shared_state["device"] = GPU
    plan = Plan(steps=2, batch=2, lr=1e-3, seed=5, warmup=1, log_every=1)
    train_gligen(
        GligenRecipe(name="gligen", plan=plan, ajar=True, hints=0.1),
        test_goal.data(),
        test_goal.pipeline(),
        folder / "a",
    )
    clip = TransformersClip(build_clip(clip_b(), tiny_sd_parts()["text_encoder"]), tiny_sd_parts()["tokenizer"])
    goal = GoalRecipe(name="goal", plan=plan, alpha=0.1, beta=0.1, grounded=0.6)
    train_goal(goal, test_goal.data(), test_goal.pipeline(gated=True), clip, folder / "b")
    generator = torch.Generator
    torch.Generator = lambda device="cpu": generator()  # type: ignore[misc,assignment]  # backends in Python have none
    for name in ("pmtp", "djo", "cycle"):
        test_stages.stage(name, test_stages.unified(), folder / name, plan)


CASES: Mapping[str, Callable[[Path], None]] = {
    "painting": painting,
    "unified": unified,
    "judging": judging,
    "training": training,
}

if __name__ == "__main__":
    for case in sys.argv[1:]:
        with tempfile.TemporaryDirectory() as folder:
            CASES[case](Path(folder))

"""What the unified model costs: `scenograph bench unified`, `results/speed_unified.json`.

* training: one sequence that paints and grounds over the same image tokens, against two passes, forward and backward of
  the stage 1 loss on one model at the real token counts (576 for the image, about 60 for a layout);
* sampling: our loop against transformers' `generate`, images by greedy choice at equal guidance, batch, cache and
  dtype, on tiny-janus' size and on a language model of more than 100 M; both must draw the same tokens.

Weights are random: they are as fast as trained ones. Neighbours slow a machine down for minutes, so the ways take turns
and ratios are taken within a round.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from transformers import JanusConfig, JanusForConditionalGeneration

from scenograph.judging.results import commit, write_results
from scenograph.judging.speed import Timing, take_turns
from scenograph.layout import Box, Instance, Layout
from scenograph.models.embedded import WEIGHTS
from scenograph.recipes.janus import tiny_codec
from scenograph.unified.batch import Batch, collate
from scenograph.unified.losses import pmtp_loss
from scenograph.unified.mask import Sharing
from scenograph.unified.model import freeze_encoders, tiny_config
from scenograph.unified.sampler import Sampling, sample_images
from scenograph.unified.sequence import Segment, TokenSequence, padded_null, paint_sequence, shared_sequence
from scenograph.unified.tokens import Codec

__all__ = ["run"]

SEED = 0
_GUIDANCE = 3.0
_BATCHES = (1, 4, 16)
_REAL_IMAGE = 576
_MID = {"hidden_size": 896, "intermediate_size": 2432, "num_hidden_layers": 12}  # 115 M with its embeddings
_LAYOUT = Layout(
    caption="a red cup and a green apple next to a yellow pizza in a room",
    instances=(
        Instance(caption="a red cup", box=Box(0.1, 0.2, 0.3, 0.5)),
        Instance(caption="a green striped apple", box=Box(0.4, 0.5, 0.6, 0.7)),
        Instance(caption="a yellow pizza", box=Box(0.6, 0.1, 0.95, 0.4)),
        Instance(caption="a small purple clock", box=Box(0.7, 0.6, 0.9, 0.8)),
    ),
)


def run(*, out: Path, rounds: int = 5, progress: bool = True) -> dict[str, Any]:
    """Measure and write the results file; rows have the median over the rounds and [fastest, slowest]."""
    revision = commit()
    codec = tiny_codec(WEIGHTS / "tiny-sd" / "tokenizer")
    rows = _training(codec, rounds, progress)
    for name, changes, goal in (("tiny-janus", {}, 1.5), ("115 M", _MID, 1.0)):
        rows += _sampling(codec, name, changes, goal, rounds, progress)
    what = "the unified model: one shared sequence against two passes, our sampler against transformers' generate"
    return write_results(out, what=what, command="scenograph bench unified", seed=SEED, rows=rows, revision=revision)


def _model(codec: Codec, changes: dict[str, Any], image_tokens: int | None = None) -> Any:
    """tiny-janus with another language model or number of image tokens."""
    config = tiny_config(codec).to_dict()
    config["text_config"] |= {**changes, "max_position_embeddings": 2048}
    width = config["text_config"]["hidden_size"]
    if changes:
        config["text_config"] |= {
            "num_attention_heads": width // 64,
            "num_key_value_heads": width // 64,
            "head_dim": 64,
        }
    config["vision_config"]["projection_dim"] = width
    config["vision_config"]["num_image_tokens"] = image_tokens or config["vision_config"]["num_image_tokens"]
    config["vq_config"] |= {"projection_dim": width, "image_token_embed_dim": width}
    torch.manual_seed(SEED)
    model = JanusForConditionalGeneration(JanusConfig(**config)).eval()
    names = {"bos_token_id": codec.bos, "eos_token_id": codec.eos, "pad_token_id": codec.pad, "max_length": None}
    model.generation_config.update(**names)
    model.generation_config.generation_kwargs = {"boi_token_id": codec.id_of("<begin_of_image>")}
    return model


def _training(codec: Codec, rounds: int, progress: bool) -> list[dict[str, Any]]:
    model = freeze_encoders(_model(codec, {}, _REAL_IMAGE))
    image = torch.randint(1024, (_REAL_IMAGE,), generator=torch.Generator().manual_seed(SEED)).tolist()
    batch = collate([shared_sequence(codec, _LAYOUT, image)] * 4)
    tokens = int((batch.segments_BT != Segment.PAD).sum())
    ways = {name: _step(model, batch, sharing) for name, sharing in _WAYS.items()}
    for way in ways.values():
        way()
    times = take_turns(ways, rounds, progress=progress)
    rows = [_row(name, time, tokens) for name, time in times.items()]
    ratio = times["stage 1 step, two passes"] / times["stage 1 step, shared sequence"]
    return [*rows, _ratio("training: shared sequence against two passes", ratio, 1.6)]


_WAYS = {"stage 1 step, shared sequence": Sharing.SHARED, "stage 1 step, two passes": Sharing.TWO_PASSES}


def _step(model: Any, batch: Batch, sharing: Sharing) -> Callable[[], None]:
    def step() -> None:
        pmtp_loss(model, batch, sharing).total.backward()  # type: ignore[no-untyped-call]
        model.zero_grad(set_to_none=True)

    return step


def _sampling(
    codec: Codec, name: str, changes: dict[str, Any], goal: float, rounds: int, progress: bool
) -> list[dict[str, Any]]:
    model = _model(codec, changes)
    rows = []
    for count in _BATCHES if goal > 1 else _BATCHES[:2]:
        prefixes = [paint_sequence(codec, _LAYOUT)] * count
        ours, theirs = _ours(model, codec, prefixes), _theirs(model, codec, prefixes)
        if not torch.equal(ours(), theirs()):
            raise RuntimeError(f"{name}: the two samplers drew different tokens; their speeds cannot be compared")
        labels = [f"{name}, batch {count}: {who}" for who in ("ours", "generate")]
        times = take_turns(dict(zip(labels, (ours, theirs), strict=True)), rounds, progress=progress)
        tokens = count * model.config.vision_config.num_image_tokens
        rows += [_row(label, time, tokens) for label, time in times.items()]
        ratio = times[labels[1]] / times[labels[0]]
        rows.append(_ratio(f"sampling: {name}, batch {count}", ratio, goal))
    return rows


def _ours(model: Any, codec: Codec, prefixes: list[TokenSequence]) -> Callable[[], Tensor]:
    sampling = Sampling(guidance=_GUIDANCE, temperature=0)
    nulls = [padded_null(codec, one) for one in prefixes]
    return lambda: sample_images(model, prefixes, nulls=nulls, sampling=sampling, seeds=[0] * len(prefixes)).tokens_BN


def _theirs(model: Any, codec: Codec, prefixes: list[TokenSequence]) -> Callable[[], Tensor]:
    batch = collate(prefixes, side="left")
    real_BT = batch.segments_BT != Segment.PAD
    ids_BT = batch.ids_BT.masked_fill(~real_BT, codec.pad)

    def generate() -> Tensor:
        with torch.no_grad():
            drawn: Tensor = model.generate(
                ids_BT,
                attention_mask=real_BT.long(),
                do_sample=False,
                generation_mode="image",
                guidance_scale=_GUIDANCE,
            )
        return drawn

    return generate


def _row(name: str, time: Timing, tokens: int) -> dict[str, Any]:
    row = {"name": name, "n": len(time.seconds), "seconds": time.median, "seconds_ci": time.extremes}
    return {**row, "tokens_per_second": tokens / time.median}


def _ratio(name: str, ratio: Timing, goal: float) -> dict[str, Any]:
    row = {"name": name, "n": len(ratio.seconds), "ratio": ratio.median, "ratio_ci": ratio.extremes}
    return {**row, "goal": f"≥ {goal:g}", "met": ratio.median >= goal}

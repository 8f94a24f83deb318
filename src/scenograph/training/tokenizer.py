"""The small world's tokenizer: CLIP's byte-level BPE with about 900 entries, learned from captions.

CLIP's own 49 k vocabulary alone would cost more parameters than all else. The class and the files are CLIP's, so stock
pipelines load it; unknown words fall apart into letters.
"""

from __future__ import annotations

from collections.abc import Iterator
from random import Random

from tokenizers.models import BPE
from tokenizers.pre_tokenizers import ByteLevel
from tokenizers.trainers import BpeTrainer
from transformers import CLIPTokenizer

from scenograph.world.captions import COUNT_WORDS
from scenograph.world.scenes import retell, scene_at

__all__ = ["MAX_TOKENS", "train_tokenizer"]

MAX_TOKENS = 64
_START, _END = "<|startoftext|>", "<|endoftext|>"


def _captions(count: int, seed: int) -> Iterator[str]:
    rng = Random(seed)
    for index in range(count):
        scene = scene_at(index, seed=seed)
        yield scene.described.caption
        yield retell(scene, rng).caption
    yield from COUNT_WORDS


def train_tokenizer(*, vocabulary: int = 900, captions: int = 20_000, seed: int = 0) -> CLIPTokenizer:
    """Learns merges from drawn captions; deterministic."""
    blank = CLIPTokenizer()
    learner = blank.backend_tokenizer
    learner.model = BPE(continuing_subword_prefix="", end_of_word_suffix="</w>", unk_token=_END)
    trainer = BpeTrainer(
        vocab_size=vocabulary - 2,
        min_frequency=2,
        special_tokens=[],
        initial_alphabet=ByteLevel.alphabet(),
        end_of_word_suffix="</w>",
        show_progress=False,
    )
    learner.train_from_iterator(_captions(captions, seed), trainer)
    import json

    model = json.loads(learner.to_str())["model"]
    pieces = sorted((p for p in model["vocab"] if p not in (_START, _END)), key=lambda p: model["vocab"][p])
    letters = [c for c in sorted(ByteLevel.alphabet())]
    pieces = list(dict.fromkeys([*letters, *(c + "</w>" for c in letters), *pieces]))
    vocab = {piece: i for i, piece in enumerate([*pieces, _START, _END])}
    merges = [tuple(m) if not isinstance(m, str) else tuple(m.split(" ")) for m in model["merges"]]
    return CLIPTokenizer(vocab=vocab, merges=merges, model_max_length=MAX_TOKENS)

"""Constrained decoding: models that know nothing still answer with layouts."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from tokenizers import Tokenizer, decoders, models, pre_tokenizers, trainers
from transformers import GPT2Config, GPT2LMHeadModel, LlamaConfig, LlamaForCausalLM, PreTrainedTokenizerFast

from scenograph.errors import CheckpointError, PlanError
from scenograph.layout import Layout
from scenograph.planning.examples import Examples
from scenograph.planning.local_model import LocalPlanner
from scenograph.planning.prompting import LONGEST_CAPTION


@pytest.fixture(scope="module")
def tokenizer() -> PreTrainedTokenizerFast:
    """A byte-level BPE as Llama 3, GPT-2 and Qwen have, with merges across JSON's punctuation."""
    raw = Tokenizer(models.BPE())
    raw.pre_tokenizer = pre_tokenizers.ByteLevel(add_prefix_space=False)
    raw.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=400, special_tokens=["<s>", "</s>"], initial_alphabet=pre_tokenizers.ByteLevel.alphabet()
    )
    text = [json.dumps({"objects": [{"caption": "a red cat", "x": 10, "y": 20}]}, separators=(",", ":"))] * 4
    raw.train_from_iterator(text, trainer)
    return PreTrainedTokenizerFast(tokenizer_object=raw, bos_token="<s>", eos_token="</s>")


def llama(seed: int, vocabulary: int, context: int = 4096) -> LlamaForCausalLM:
    torch.manual_seed(seed)
    config = LlamaConfig(
        vocab_size=vocabulary,
        hidden_size=16,
        intermediate_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        max_position_embeddings=context,
        bos_token_id=0,
        eos_token_id=1,
    )
    return LlamaForCausalLM(config).eval()


@pytest.mark.parametrize("part", range(4))
def test_a_random_model_answers_100_of_100_times_with_a_layout(part: int, tokenizer: PreTrainedTokenizerFast) -> None:
    """Four random models, 25 answers each: some greedy, some hot, all accepted without repair."""
    temperature = (0.0, 0.7, 1.0, 5.0)[part]
    most = 2
    made = 0
    planner = LocalPlanner((llama(part, len(tokenizer)), tokenizer), temperature=temperature, max_instances=most)
    for seed in range(25):
        plan = planner.plan(f"{seed} cats and a dog", seed=seed)
        again = Layout.from_json(plan.layout.to_json())
        assert again == plan.layout
        assert not plan.changes
        assert len(again.instances) <= most
        assert all(1 <= len(i.caption) <= LONGEST_CAPTION and i.caption.strip() for i in again.instances)
        made += 1
    assert made == 25


def test_the_vocabulary_may_be_padded_beyond_the_tokenizer(tokenizer: PreTrainedTokenizerFast) -> None:
    planner = LocalPlanner((llama(0, len(tokenizer) + 100), tokenizer), max_instances=1)
    assert len(planner.plan("a cat").layout.instances) <= 1


def test_the_same_seed_gives_the_same_plan_and_another_seed_another(tokenizer: PreTrainedTokenizerFast) -> None:
    planner = LocalPlanner((llama(3, len(tokenizer)), tokenizer), temperature=1.0, max_instances=2)
    state = torch.get_rng_state()
    first = planner.plan("a cat", seed=1)
    assert planner.plan("a cat", seed=1) == first
    assert len({planner.plan("a cat", seed=seed).layout for seed in range(6)}) > 1
    assert torch.equal(state, torch.get_rng_state())
    assert first.usage is not None and first.usage.tokens_out > 0 and first.usage.requests == 1


def test_an_answer_too_long_for_the_context_ends_after_an_object(tokenizer: PreTrainedTokenizerFast) -> None:
    """With room for one object at worst and far more allowed, whatever is cut is cut at an object and is said."""
    asked = LocalPlanner((llama(1, len(tokenizer)), tokenizer)).show_prompt("cats")
    model = llama(1, len(tokenizer), context=len(tokenizer(asked)["input_ids"]) + 400)
    reluctant = torch.nn.Linear(16, len(tokenizer))  # it hardly ever ends its list
    with torch.no_grad():
        reluctant.weight.copy_(model.lm_head.weight)
        for token, index in tokenizer.get_vocab().items():
            reluctant.bias[index] = -20.0 if "]" in token else 0.0
    model.lm_head = reluctant
    plan = LocalPlanner((model, tokenizer), temperature=1.0, max_instances=50).plan("cats")
    assert "context" in plan.changes[0]
    assert plan.layout.instances


def test_no_room_for_an_answer_is_one_line(tokenizer: PreTrainedTokenizerFast) -> None:
    planner = LocalPlanner((llama(0, len(tokenizer), context=256), tokenizer))
    with pytest.raises(PlanError, match=r"of the model's 256 tokens .* fewer --shots"):
        planner.plan("a cat")


def test_a_folder_in_transformers_format_loads(tmp_path: Path, tokenizer: PreTrainedTokenizerFast) -> None:
    """Another class than Llama, through AutoModelForCausalLM."""
    config = GPT2Config(vocab_size=len(tokenizer), n_positions=3000, n_embd=16, n_layer=1, n_head=2)
    GPT2LMHeadModel(config).save_pretrained(tmp_path)
    tokenizer.save_pretrained(tmp_path)
    planner = LocalPlanner(str(tmp_path), max_instances=2, examples=Examples.shipped(), shots=1, device="cpu")
    assert "Description: a red cup" in planner.show_prompt("a red cup")
    assert planner.plan("a red cup", size=(640, 480)).layout.size == (640, 480)


def test_a_chat_template_is_used_with_and_without_a_system_turn(tokenizer: PreTrainedTokenizerFast) -> None:
    model = llama(0, len(tokenizer))
    turns = "{% for m in messages %}<{{ m.role }}>{{ m.content }}{% endfor %}"
    turns += "{% if add_generation_prompt %}<assistant>{% endif %}"
    strict = (
        "{% if messages[0].role == 'system' %}{{ raise_exception('System role not supported') }}{% endif %}" + turns
    )
    try:
        tokenizer.chat_template = turns
        text = LocalPlanner((model, tokenizer)).show_prompt("a cat")
        assert text.startswith("<system>") and text.endswith("<user>a cat<assistant>")
        tokenizer.chat_template = strict
        text = LocalPlanner((model, tokenizer)).show_prompt("a cat")
        assert text.startswith("<user>You arrange") and text.endswith("\n\na cat<assistant>")
    finally:
        tokenizer.chat_template = None


@pytest.mark.parametrize(
    ("options", "message"),
    [({"temperature": -1.0}, "temperature is -1"), ({"max_instances": 0}, "max_instances is 0")],
)
def test_bad_options_are_one_line(options: dict[str, float], message: str) -> None:
    with pytest.raises(PlanError, match=message):
        LocalPlanner("owner/name", **options)  # type: ignore[arg-type]


def test_a_missing_model_is_one_line(tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="no language model"):
        LocalPlanner(str(tmp_path / "nothing")).plan("a cat")
    with pytest.raises(PlanError, match="prompt is empty"):
        LocalPlanner(str(tmp_path / "nothing")).plan("  ")

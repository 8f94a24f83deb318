"""The planner in one's own memory: any transformers causal language model, decoded inside a grammar.

llguidance says before each token which ones the answer's form still allows, so the answer of any model, a random one
too, is a layout and needs no repair. The form is `prompting.answer_schema` without white space and without the
characters that JSON escapes; what it bounds, it bounds in bytes, and a token is at least one: the answer always ends.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

from scenograph.errors import DependencyError, PlanError
from scenograph.planning.examples import Examples, shots
from scenograph.planning.plan import Plan, Usage
from scenograph.planning.prompting import LONGEST_CAPTION, answer_schema, messages, to_layout

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel, PreTrainedTokenizerFast

__all__ = ["LocalPlanner"]

# A caption begins with a letter or digit of any language: neither empty nor blank, and nothing to escape.
_CAPTION = rf"[\p{{L}}\p{{N}}][\p{{L}}\p{{M}}\p{{N}} ,.'()/&-]{{0,{LONGEST_CAPTION - 1}}}"
_OBJECT_BYTES = len('{"caption":"","x":999,"y":999,"w":1000,"h":1000},') + 4 * LONGEST_CAPTION
_FRAME_BYTES = len('{"objects":[]}') + 1  # and the end token


@dataclass
class LocalPlanner:
    """Asks a causal language model for a layout.

    Attributes:
        model: a hub id or a folder in transformers' format, or (model, its fast tokenizer).
        examples: where in-context examples come from; None shows none.
        shots: how many of them.
        temperature: 0 takes the likeliest token, and every seed gives the same layout.
        max_instances: no layout gets more. One whose answer would outgrow the model's context is ended after the last
            object that fits, and the plan's changes say so.
        device: None is the best there is.
    """

    model: str | Path | tuple[Any, Any]
    examples: Examples | None = None
    shots: int = 4
    temperature: float = 0.7
    max_instances: int = 20
    device: torch.device | str | None = None
    _loaded: tuple[PreTrainedModel, PreTrainedTokenizerFast] | None = field(default=None, init=False, repr=False)
    _form: tuple[Any, str] | None = field(default=None, init=False, repr=False)

    def __post_init__(self) -> None:
        if self.temperature < 0:
            raise PlanError(f"temperature is {self.temperature:g}; expected 0 or more")
        if self.max_instances < 1:
            raise PlanError(f"max_instances is {self.max_instances}; expected 1 or more")

    def show_prompt(self, prompt: str) -> str:
        """What would be asked, as the model's text."""
        _, tokenizer = self._parts()
        return _as_text(tokenizer, self._messages(prompt))

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        """The plan of one prompt, the same for the same seed.

        Raises:
            PlanError: the prompt is empty, or leaves no room for an answer in the model's context.
            CheckpointError: the model cannot be loaded.
        """
        if not prompt.strip():
            raise PlanError("the prompt is empty; expected a sentence such as 'three cats to the left of a dog'")
        model, tokenizer = self._parts()
        asked = tokenizer(_as_text(tokenizer, self._messages(prompt)), add_special_tokens=False, return_tensors="pt")
        length = asked["input_ids"].shape[1]
        room = _room(model, length, self.max_instances)
        answer, written = self._decoded(asked, room, seed)
        changes: tuple[str, ...] = ()
        if not answer.endswith("]}"):
            answer = answer[: answer.rindex("}") + 1] + "]}"
            changes = ("ended the answer after the last object that fits into the model's context",)
        usage = Usage(requests=1, tokens_in=length, tokens_out=written)
        return Plan(layout=to_layout(answer, prompt, size), changes=changes, usage=usage)

    def _messages(self, prompt: str) -> list[dict[str, str]]:
        return messages(prompt, shots(self.examples, prompt, self.shots))

    def _parts(self) -> tuple[PreTrainedModel, PreTrainedTokenizerFast]:
        if self._loaded is None:
            if isinstance(self.model, tuple):
                self._loaded = self.model
            else:
                from transformers import AutoModelForCausalLM, AutoTokenizer

                from scenograph.judging.checkpoints import checkpoint

                found = checkpoint(self.model, "language model")
                tokenizer = found.part(AutoTokenizer)
                self._loaded = found.model(AutoModelForCausalLM, self.device, dtype="auto"), tokenizer
            if not getattr(self._loaded[1], "is_fast", False):
                raise PlanError("the model's tokenizer has no fast version; name a model with a tokenizer.json")
        return self._loaded

    def _decoded(self, asked: Any, room: int, seed: int) -> tuple[str, int]:
        """The model's answer in at most `room` tokens, and how many there were."""
        import torch
        from transformers import LogitsProcessorList

        model, tokenizer = self._parts()
        allowed = self._allowed(asked["input_ids"].shape[1])
        settings: dict[str, Any] = {"do_sample": self.temperature > 0, "temperature": self.temperature or None}
        with torch.random.fork_rng(devices=[model.device] if model.device.type == "cuda" else []), torch.no_grad():
            torch.manual_seed(seed)
            written = model.generate(  # type: ignore[operator]
                **{name: asked[name].to(model.device) for name in ("input_ids", "attention_mask")},
                logits_processor=LogitsProcessorList([allowed]),
                max_new_tokens=room,
                num_beams=1,
                top_k=0,  # neither cuts away what the form needs
                top_p=1.0,
                repetition_penalty=1.0,
                eos_token_id=tokenizer.eos_token_id,
                pad_token_id=tokenizer.eos_token_id,
                **settings,
            )[0, asked["input_ids"].shape[1] :]
        return tokenizer.decode(written, skip_special_tokens=True, clean_up_tokenization_spaces=False), len(written)

    def _allowed(self, start: int) -> Callable[[torch.Tensor, torch.Tensor], torch.Tensor]:
        """A logits processor that leaves what the answer's form allows after the tokens from `start` on."""
        if self._form is None:
            self._form = _form(*self._parts(), self.max_instances)
        return _Allowed(*self._form, start)


class _Allowed:
    def __init__(self, tokens: Any, grammar: str, start: int) -> None:
        from llguidance import LLMatcher

        self.matcher, self.seen = LLMatcher(tokens, grammar), start

    def __call__(self, input_ids: torch.Tensor, scores: torch.Tensor) -> torch.Tensor:
        import numpy as np
        import torch

        self.matcher.consume_tokens(input_ids[0, self.seen :].tolist())
        self.seen = input_ids.shape[1]
        bits = np.unpackbits(np.frombuffer(self.matcher.compute_bitmask(), dtype=np.uint8), bitorder="little")
        allowed = torch.zeros(scores.shape[1], dtype=torch.bool)
        known = min(len(bits), len(allowed))
        allowed[:known] = torch.from_numpy(bits[:known]).bool()
        if self.matcher.is_error() or not allowed.any():
            raise PlanError(f"the model cannot write an answer of the asked form ({self.matcher.get_error()})")
        return scores.masked_fill(~allowed.to(scores.device), float("-inf"))


def _form(model: Any, tokenizer: Any, most: int) -> tuple[Any, str]:
    """llguidance's view of the vocabulary, and the compiled form of an answer with at most `most` objects."""
    try:
        from llguidance import LLMatcher
        from llguidance.hf import from_tokenizer
    except ImportError:
        raise DependencyError("llguidance is missing; pip install llguidance") from None
    if tokenizer.eos_token_id is None:
        raise PlanError("the model's tokenizer has no end token; expected a tokenizer with eos_token")
    schema = answer_schema(most=most)
    caption = schema["properties"]["objects"]["items"]["properties"]["caption"]
    del caption["minLength"], caption["maxLength"]
    caption["pattern"] = f"^{_CAPTION}$"
    tokens = from_tokenizer(tokenizer, n_vocab=max(len(tokenizer), model.config.get_text_config().vocab_size))
    return tokens, LLMatcher.grammar_from_json_schema(schema, overrides={"whitespace_flexible": False})


def _room(model: Any, asked: int, most: int) -> int:
    """Tokens for the answer: what `most` objects can take at worst, as far as the model's context holds them."""
    wanted = most * _OBJECT_BYTES + _FRAME_BYTES
    context = getattr(model.config.get_text_config(), "max_position_embeddings", None)
    if context is None:
        return wanted
    room = min(wanted, int(context) - asked)
    if room < _OBJECT_BYTES + _FRAME_BYTES:
        raise PlanError(
            f"the prompt takes {asked} of the model's {context} tokens and leaves too few for an answer; "
            "expected a shorter prompt or fewer --shots"
        )
    return room


def _as_text(tokenizer: Any, chat: list[dict[str, str]]) -> str:
    """The chat in the model's own template; without one, as plain questions and answers."""
    if tokenizer.chat_template is None:
        names = {"system": "", "user": "Description: ", "assistant": "Layout: "}
        return "\n".join(names[turn["role"]] + turn["content"] for turn in chat) + "\nLayout: "
    try:
        text = tokenizer.apply_chat_template(chat, add_generation_prompt=True, tokenize=False)
    except Exception as error:  # jinja2's own: some templates refuse a system turn
        if "system" not in str(error).lower():
            raise PlanError(f"the model's chat template fails: {error}") from None
        first = {"role": "user", "content": f"{chat[0]['content']}\n\n{chat[1]['content']}"}
        text = tokenizer.apply_chat_template([first, *chat[2:]], add_generation_prompt=True, tokenize=False)
    return str(text)

"""Vision-language models that answer yes or no about a crop: the judges of LayoutSAM-Eval.

`TransformersVLM` is any model of transformers for pictures and text with a chat template (LLaVA, Qwen-VL, InternVL,
SmolVLM, MiniCPM-V 4.6, …); `EndpointVLM` one behind an endpoint. The paper's judge, MiniCPM-V-2.6, is no class of
transformers: its checkpoint brings its own code, which is not run here. Serve it (vLLM does) and ask the endpoint.

An answer with "Yes" or "yes" in it is a yes, as in the official script. That script samples its answers from one seed;
here they are greedy, so that they do not depend on who else was asked.
"""

from __future__ import annotations

import base64
import io
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import torch
from PIL import Image

from scenograph.errors import CheckpointError
from scenograph.judging.checkpoints import checkpoint
from scenograph.judging.layoutsam import Question
from scenograph.models.endpoint import Endpoint

__all__ = ["EndpointVLM", "TransformersVLM", "says_yes"]

_ANSWER_TOKENS = 16


def says_yes(answer: str) -> bool:
    """ "Yes." and "Yes, it is" are a yes; "YES" is none to the official script."""
    return "Yes" in answer or "yes" in answer


class TransformersVLM:
    """A chat model of transformers, `AutoModelForImageTextToText` with its processor."""

    def __init__(self, model: Any, processor: Any, *, batch_size: int = 8) -> None:
        if not getattr(processor, "chat_template", None):
            raise CheckpointError("this VLM has no chat template; expected one trained for chats (…-Instruct, …-chat)")
        self.model, self.processor, self.batch_size = model.eval(), processor, batch_size
        processor.tokenizer.padding_side = "left"  # answers begin where questions end
        if processor.tokenizer.pad_token is None:
            processor.tokenizer.pad_token = processor.tokenizer.eos_token

    @classmethod
    def from_pretrained(cls, name: str | Path, *, device: str | None = None, batch_size: int = 8) -> TransformersVLM:
        """Load a folder or a hub id, in the precision it is stored in. Raises CheckpointError when that fails."""
        from transformers import AutoModelForImageTextToText, AutoProcessor

        source = checkpoint(name, "VLM")
        model = source.model(AutoModelForImageTextToText, device, dtype="auto")
        return cls(model, source.part(AutoProcessor), batch_size=batch_size)

    def yes(self, questions: Sequence[Question]) -> list[bool]:
        """Whether the answer is yes, for every question."""
        return [says_yes(answer) for answer in self.answers([(one.crop(), one.text) for one in questions])]

    @torch.inference_mode()
    def answers(self, asked: Sequence[tuple[Image.Image, str]]) -> list[str]:
        """What the model says to each picture and text, greedily."""
        said: list[str] = []
        for start in range(0, len(asked), self.batch_size):
            chats = [[{"role": "user", "content": _content(*pair)}] for pair in asked[start : start + self.batch_size]]
            inputs = self.processor.apply_chat_template(
                chats,
                add_generation_prompt=True,
                tokenize=True,
                return_dict=True,
                return_tensors="pt",
                processor_kwargs={"padding": True},
            ).to(self.model.device, dtype=self.model.dtype)
            tokens_BT = self.model.generate(
                **inputs,
                max_new_tokens=_ANSWER_TOKENS,
                do_sample=False,
                pad_token_id=self.processor.tokenizer.pad_token_id,
            )
            new_BT = tokens_BT[:, inputs["input_ids"].shape[1] :]
            said += self.processor.tokenizer.batch_decode(new_BT, skip_special_tokens=True)
        return said


def _content(picture: Image.Image, text: str) -> list[dict[str, Any]]:
    return [{"type": "image", "image": picture}, {"type": "text", "text": text}]


@dataclass(kw_only=True)
class EndpointVLM(Endpoint):
    """A chat model behind `chat/completions` that takes pictures.

    Attributes:
        workers: how many questions are asked at once.
    """

    workers: int = 8
    _plain: bool = field(default=False, init=False, repr=False)  # the endpoint takes no temperature

    def yes(self, questions: Sequence[Question]) -> list[bool]:
        """Whether the answer is yes, for every question. Raises CheckpointError when the endpoint does not answer."""
        with ThreadPoolExecutor(self.workers) as pool:
            return list(pool.map(self._one, questions))

    def _one(self, question: Question) -> bool:
        content = [{"type": "text", "text": question.text}, _picture(question.crop())]
        asked = {"model": self.model, "messages": [{"role": "user", "content": content}]}
        plain = self._plain
        try:
            reply = self._ask(**asked) if plain else self._ask(**asked, temperature=0)
        except _RefusedError:
            if plain:
                raise
            reply, self._plain = self._ask(**asked), True
        choices = getattr(reply, "choices", None)
        if not choices:
            raise CheckpointError(f"{self.place} answered without a choice; expected a chat model")
        return says_yes(choices[0].message.content or "")

    def _ask(self, **asked: Any) -> Any:
        with self.explained():
            create: Any = self.client().chat.completions.create
            return create(**asked)

    def refused(self, message: str, code: object) -> CheckpointError:
        """Told apart, because the temperature may be to blame."""
        return _RefusedError(message)


class _RefusedError(CheckpointError):
    pass


def _picture(image: Image.Image) -> dict[str, Any]:
    file = io.BytesIO()
    image.save(file, format="PNG")
    encoded = base64.b64encode(file.getvalue()).decode()
    return {"type": "image_url", "image_url": {"url": f"data:image/png;base64,{encoded}"}}

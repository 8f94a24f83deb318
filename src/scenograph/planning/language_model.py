"""The planner behind an endpoint: any server that speaks the OpenAI chat protocol, through the official client.

The client itself waits and asks again on 429, 5xx, time-outs and broken connections. What it cannot know is done here:
an endpoint without structured output is asked without it, an answer that is no layout is sent back with what is wrong,
and what is still broken at the end is repaired, with every change said.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from scenograph.errors import PlanError
from scenograph.layout import Layout
from scenograph.planning.examples import Examples, shots
from scenograph.planning.plan import Plan, Usage
from scenograph.planning.prompting import answer_schema, loose_layout, messages, to_layout

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

__all__ = ["EndpointPlanner"]

_KEYS = ("SCENOGRAPH_API_KEY", "OPENAI_API_KEY")


def _formats() -> Iterator[dict[str, Any]]:
    """How an answer's shape is asked for, the strictest first; an endpoint that refuses one gets the next."""
    schema = answer_schema()
    del schema["properties"]["objects"]["items"]["properties"]["caption"]["minLength"]  # not in every strict mode
    del schema["properties"]["objects"]["items"]["properties"]["caption"]["maxLength"]
    yield {
        "response_format": {"type": "json_schema", "json_schema": {"name": "layout", "strict": True, "schema": schema}}
    }
    yield {"response_format": {"type": "json_object"}}
    yield {}


@dataclass
class EndpointPlanner:
    """Asks a chat model for a layout.

    Attributes:
        model: its name at the endpoint.
        base_url: None is OpenAI's own. With another, a missing key is no mistake: local servers need none.
        api_key: None takes $SCENOGRAPH_API_KEY, else $OPENAI_API_KEY.
        examples: where in-context examples come from; None shows none.
        shots: how many of them.
        temperature: None leaves it to the endpoint.
        timeout: seconds for one answer.
        retries: how often the client asks again after an error, and how often an unusable answer is sent back.
        price_in, price_out: of a million tokens, for `Usage.cost`.
    """

    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    examples: Examples | None = None
    shots: int = 8
    temperature: float | None = None
    timeout: float = 60.0
    retries: int = 2
    price_in: float | None = None
    price_out: float | None = None
    _allowed: int = field(default=0, init=False, repr=False)  # the place in `_formats` that the endpoint accepts

    def show_prompt(self, prompt: str) -> str:
        """What would be asked, as text."""
        return "\n\n".join(f"[{m['role']}]\n{m['content']}" for m in self._messages(prompt))

    def plan(self, prompt: str, *, seed: int = 0, size: tuple[int, int] | None = None) -> Plan:
        """The plan of one prompt; the endpoint may or may not heed the seed.

        Raises:
            PlanError: the prompt is empty, the endpoint does not answer, refuses, or answers nothing that can be used.
        """
        if not prompt.strip():
            raise PlanError("the prompt is empty; expected a sentence such as 'three cats to the left of a dog'")
        client, chat = self._client(), self._messages(prompt)
        usage, answer = Usage(cost=None if self.price_in is None and self.price_out is None else 0.0), ""
        for _ in range(self.retries + 1):
            reply = self._ask(client, chat, seed)
            usage = self._added(usage, reply)
            answer, wrong = _read(reply)
            if not wrong:
                try:
                    return Plan(layout=to_layout(answer, prompt, size), usage=usage)
                except PlanError as error:
                    wrong = str(error)
            chat = [
                *chat,
                {"role": "assistant", "content": answer},
                {"role": "user", "content": f"This cannot be used: {wrong}. Answer again, with the whole JSON only."},
            ]
        return self._repaired(answer, prompt, size, usage)

    def _messages(self, prompt: str) -> list[dict[str, str]]:
        return messages(prompt, shots(self.examples, prompt, self.shots))

    def _client(self) -> OpenAI:
        from openai import OpenAI

        key = self.api_key or next((os.environ[name] for name in _KEYS if os.environ.get(name)), None)
        if key is None and self.base_url is None:
            raise PlanError(f"no key for the endpoint; set ${_KEYS[1]}, or name your own server with --base-url")
        return OpenAI(api_key=key or "none", base_url=self.base_url, timeout=self.timeout, max_retries=self.retries)

    def _ask(self, client: OpenAI, chat: list[dict[str, str]], seed: int) -> ChatCompletion:
        """One answer, in the strictest format that the endpoint takes. Raises PlanError."""
        import openai

        given: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        formats = list(_formats())
        while True:
            last = self._allowed == len(formats) - 1
            asked = given if last else given | {"seed": seed}
            try:
                create: Any = client.chat.completions.create
                reply: ChatCompletion = create(model=self.model, messages=chat, **asked, **formats[self._allowed])
                return reply
            except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
                if last:
                    raise PlanError(f"{self._place} refuses the request ({_said(error)}); check --llm") from None
                self._allowed += 1
            except openai.APITimeoutError:
                raise PlanError(f"{self._place} gave no answer in {self.timeout:g} s; try a larger --timeout") from None
            except openai.APIConnectionError as error:
                why = error.__cause__ or error
                raise PlanError(f"cannot reach {self._place} ({why}); check --base-url and the network") from None
            except openai.APIStatusError as error:
                raise PlanError(
                    f"{self._place} answers {error.status_code} ({_said(error)}); check the key, --llm and --base-url"
                ) from None
            except ValueError as error:  # the body is no JSON of the protocol
                raise PlanError(f"{self._place} does not speak the OpenAI protocol ({error})") from None

    @property
    def _place(self) -> str:
        return self.base_url or "the OpenAI endpoint"

    def _added(self, usage: Usage, reply: ChatCompletion) -> Usage:
        read, written = 0, 0
        if getattr(reply, "usage", None) is not None and reply.usage is not None:
            read, written = reply.usage.prompt_tokens or 0, reply.usage.completion_tokens or 0
        cost = usage.cost
        if cost is not None:
            cost += ((self.price_in or 0.0) * read + (self.price_out or 0.0) * written) / 1e6
        return Usage(
            requests=usage.requests + 1,
            tokens_in=usage.tokens_in + read,
            tokens_out=usage.tokens_out + written,
            cost=cost,
        )

    def _repaired(self, answer: str, prompt: str, size: tuple[int, int] | None, usage: Usage) -> Plan:
        from scenograph.planning.repair import repair

        loose = loose_layout(answer, prompt)
        if not loose["instances"]:
            raise PlanError(
                f"{self._place} answered {usage.requests} times without a usable layout, at last {answer!r:.80}"
            )
        repaired = repair(loose)
        layout = Layout(caption=prompt, instances=repaired.layout.instances, size=size)
        return Plan(layout=layout, changes=repaired.changes, usage=usage)


def _read(reply: ChatCompletion) -> tuple[str, str]:
    """The answer's text, and what is wrong with it at first sight. Raises PlanError for a refusal."""
    if not getattr(reply, "choices", None):
        return "", "the answer is empty"
    choice = reply.choices[0]
    refusal = getattr(choice.message, "refusal", None)
    if refusal:
        raise PlanError(f"the model refuses: {refusal:.120}; word the prompt otherwise")
    text = choice.message.content or ""
    if choice.finish_reason == "length":
        return text, "the answer ends too early; use fewer words"
    return text, "" if text.strip() else "the answer is empty"


def _said(error: Any) -> str:
    """What the endpoint says of its error, on one line and short."""
    body = getattr(error, "body", None)
    text = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(text or error).split())[:160]

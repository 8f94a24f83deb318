"""The planner behind an endpoint: any server that speaks the OpenAI chat protocol, through the official client.

The client itself waits and asks again on 429, 5xx, time-outs and broken connections. What it cannot know is done here:
an endpoint without structured output is asked without it, an answer that is no layout is sent back with what is wrong,
and what is still broken at the end is repaired, with every change said.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, ClassVar

from scenograph.errors import PlanError, ScenographError
from scenograph.layout import Layout
from scenograph.models.endpoint import Endpoint
from scenograph.planning.examples import Examples, shots
from scenograph.planning.plan import Plan, Usage
from scenograph.planning.prompting import answer_schema, loose_layout, messages, to_layout

if TYPE_CHECKING:
    from openai import OpenAI
    from openai.types.chat import ChatCompletion

__all__ = ["EndpointPlanner"]


def _formats() -> Iterator[dict[str, Any]]:
    """How an answer's shape is asked for, the strictest first; who refuses one gets the next, then none."""
    schema = answer_schema()
    del schema["properties"]["objects"]["items"]["properties"]["caption"]["minLength"]  # not in every strict mode
    del schema["properties"]["objects"]["items"]["properties"]["caption"]["maxLength"]
    yield {
        "response_format": {"type": "json_schema", "json_schema": {"name": "layout", "strict": True, "schema": schema}}
    }
    yield {"response_format": {"type": "json_object"}}


class _RefusedError(PlanError):
    """The endpoint refuses a request: its format, or all of it."""


@dataclass(kw_only=True)
class EndpointPlanner(Endpoint):
    """Asks a chat model for a layout.

    Attributes:
        examples: where in-context examples come from; None shows none.
        shots: how many of them.
        temperature: None leaves it to the endpoint.
        retries: how often the client asks again after an error, and how often an unusable answer is sent back.
        price_in, price_out: of a million tokens, for `Usage.cost`.
    """

    error: ClassVar[type[ScenographError]] = PlanError
    timeout: float = 60.0
    retries: int = 2
    examples: Examples | None = None
    shots: int = 8
    temperature: float | None = None
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
        client, chat = self.client(), self._messages(prompt)
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

    def _ask(self, client: OpenAI, chat: list[dict[str, str]], seed: int) -> ChatCompletion:
        """One answer, in the strictest format that the endpoint takes. Raises PlanError."""
        given: dict[str, Any] = {} if self.temperature is None else {"temperature": self.temperature}
        create: Any = client.chat.completions.create
        known = self._allowed
        for strict in list(_formats())[known:]:
            try:
                with self.explained():
                    return create(model=self.model, messages=chat, seed=seed, **given, **strict)  # type: ignore[no-any-return]
            except _RefusedError:
                self._allowed += 1
        try:
            with self.explained():
                return create(model=self.model, messages=chat, **given)  # type: ignore[no-any-return]
        except PlanError:
            self._allowed = known  # it is the prompt that is refused, not the format
            raise

    def refused(self, message: str, code: object) -> PlanError:
        """Perhaps only the format is refused."""
        return _RefusedError(message)

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
                f"{self.place} answered {usage.requests} times without a usable layout, at last {answer!r:.80}"
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

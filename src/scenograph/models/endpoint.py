"""A model behind an endpoint that speaks the OpenAI protocol, through the official client.

The client itself waits and asks again on 429, 5xx, time-outs and broken connections. Here: whose key is taken, and the
client's errors as one line each. What is asked is for whoever derives from `Endpoint`.
"""

from __future__ import annotations

import os
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from threading import Lock
from typing import TYPE_CHECKING, Any, ClassVar

from scenograph.errors import CheckpointError, ScenographError

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Endpoint"]

_KEYS = ("SCENOGRAPH_API_KEY", "OPENAI_API_KEY")


@dataclass(kw_only=True)
class Endpoint:
    """Where a model is asked; from any thread.

    Attributes:
        model: its name there.
        base_url: None is OpenAI's own. With another, a missing key is no mistake: local servers need none.
        api_key: None takes $SCENOGRAPH_API_KEY, else $OPENAI_API_KEY.
        timeout: seconds for one answer.
        retries: how often the client asks again after an error.
        error: what is raised.
    """

    error: ClassVar[type[ScenographError]] = CheckpointError
    model: str
    base_url: str | None = None
    api_key: str | None = field(default=None, repr=False)
    timeout: float = 180.0
    retries: int = 4
    _client: OpenAI | None = field(default=None, init=False, repr=False, compare=False)
    _lock: Lock = field(default_factory=Lock, init=False, repr=False, compare=False)

    @property
    def place(self) -> str:
        """What messages call it."""
        return self.base_url or "the OpenAI endpoint"

    def client(self) -> OpenAI:
        """The client, made once. Raises `error` without a key where one is needed."""
        with self._lock:
            if self._client is None:
                self._client = self._connected()
            return self._client

    def _connected(self) -> OpenAI:
        from openai import OpenAI

        key = self.api_key or next((os.environ[name] for name in _KEYS if os.environ.get(name)), None)
        if key is None and self.base_url is None:
            raise self.error(f"no key for the endpoint; set ${_KEYS[1]}, or name your own server with --base-url")
        return OpenAI(api_key=key or "none", base_url=self.base_url, timeout=self.timeout, max_retries=self.retries)

    def refused(self, message: str, code: object) -> ScenographError:
        """What is raised when this request is refused (400, 422); `code` is the provider's own."""
        return self.error(message)

    @contextmanager
    def explained(self) -> Iterator[None]:
        """The client's errors as one line: `refused` for what concerns this request, else `error`."""
        import openai

        try:
            yield
        except (openai.BadRequestError, openai.UnprocessableEntityError) as error:
            why = f"{self.place} refuses the request ({_said(error)}); check the model and the prompt"
            raise self.refused(why, getattr(error, "code", None)) from None
        except openai.APITimeoutError:
            raise self.error(f"{self.place} gave no answer in {self.timeout:g} s; try again later") from None
        except openai.APIConnectionError as error:
            why = str(error.__cause__ or error)
            raise self.error(f"cannot reach {self.place} ({why}); check --base-url and the network") from None
        except openai.APIStatusError as error:
            advice = "check the key, the model and --base-url"
            raise self.error(f"{self.place} answers {error.status_code} ({_said(error)}); {advice}") from None
        except ScenographError:
            raise
        except ValueError as error:  # the body is no JSON of the protocol
            raise self.error(f"{self.place} does not speak the OpenAI protocol ({error})") from None


def _said(error: Any) -> str:
    """What the endpoint says of its error, on one line and short."""
    body = getattr(error, "body", None)
    text = body.get("message") if isinstance(body, dict) else None
    return " ".join(str(text or error).split())[:160]

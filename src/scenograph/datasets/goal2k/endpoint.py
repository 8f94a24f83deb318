"""Endpoints that speak the OpenAI protocol, through the official client: pictures of prompts.

What `models.endpoint` cannot know is done here: an endpoint that refuses a parameter is asked without it, a picture
may come as base64 or as an address, and a prompt that the provider will not paint is told apart from an endpoint that
does not work.
"""

from __future__ import annotations

import base64
import binascii
import io
import urllib.request
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any
from urllib.parse import urlparse

from PIL import Image

from scenograph.errors import DatasetError
from scenograph.layout import Layout
from scenograph.models import endpoint

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Endpoint", "ImageEndpoint", "Painted", "RefusedError"]

_POLICY = {"content_policy_violation", "moderation_blocked", "content_filter"}
_MOST_BYTES = 64 * 2**20


class RefusedError(DatasetError):
    """This prompt was refused; others may do. `for_good` where the provider's policy says so."""

    def __init__(self, message: str, *, for_good: bool) -> None:
        super().__init__(message)
        self.for_good = for_good


@dataclass(frozen=True, kw_only=True)
class Painted:
    """A picture, and what is to be remembered of its making."""

    image: Image.Image
    details: dict[str, Any]


class Endpoint(endpoint.Endpoint):
    """Where a model is asked for a data set; what is refused is told apart."""

    error = DatasetError

    def refused(self, message: str, code: object) -> RefusedError:
        """For good where the provider's policy says so."""
        return RefusedError(message, for_good=code in _POLICY)


@dataclass(kw_only=True)
class ImageEndpoint(Endpoint):
    """A painter behind `images/generations`; it paints a layout's caption, from any thread.

    Attributes:
        size: "1024x1024"; what is allowed depends on the model.
        quality: None leaves it to the endpoint.
    """

    size: str = "1024x1024"
    quality: str | None = None
    _form: int = field(default=0, init=False, repr=False)  # the place in `_forms` that the endpoint accepts

    def paint(self, layouts: Sequence[Layout], *, seeds: Sequence[int]) -> Iterator[Painted]:
        """A picture for every layout, each as it comes. The seed goes to servers of one's own only: OpenAI takes none.

        Raises RefusedError or DatasetError.
        """
        for layout, seed in zip(layouts, seeds, strict=True):
            yield self._one(self.client(), layout.caption, seed)

    def _forms(self, seed: int) -> list[dict[str, Any]]:
        """How a picture is asked for, with most said first; an endpoint that refuses one form gets the next."""
        plain = {"response_format": "b64_json"}
        own = [] if self.base_url is None else [plain | {"extra_body": {"seed": seed}}]
        return [*own, plain, {}]

    def _one(self, client: OpenAI, prompt: str, seed: int) -> Painted:
        forms = self._forms(seed)
        given: dict[str, Any] = {"model": self.model, "prompt": prompt, "n": 1, "size": self.size}
        given |= {} if self.quality is None else {"quality": self.quality}
        for number in range(self._form, len(forms)):
            try:
                with self.explained():
                    generate: Any = client.images.generate
                    reply = generate(**given, **forms[number])
                    image, revised = self._read(reply)
            except RefusedError as error:
                if error.for_good or number == len(forms) - 1:
                    raise
                continue
            self._form = number
            details: dict[str, Any] = {"size": self.size, "quality": self.quality, "revised_prompt": revised}
            details["seed"] = seed if "extra_body" in forms[number] else None
            usage = getattr(reply, "usage", None)
            details["usage"] = usage.model_dump() if usage is not None else None
            return Painted(image=image, details={key: value for key, value in details.items() if value is not None})
        raise AssertionError("the last form either answers or is refused")

    def _read(self, reply: Any) -> tuple[Image.Image, str | None]:
        """(picture, the prompt as the provider changed it). Raises DatasetError."""
        items = getattr(reply, "data", None)
        if not items:
            raise DatasetError(f"{self.place} answered without a picture; check the model")
        encoded, address = getattr(items[0], "b64_json", None), getattr(items[0], "url", None)
        try:
            if not encoded and not address:
                raise ValueError("neither b64_json nor url")
            data = base64.b64decode(encoded, validate=True) if encoded else self._fetched(str(address))
            with Image.open(io.BytesIO(data)) as image:
                image.load()
                return image.convert("RGB"), getattr(items[0], "revised_prompt", None)
        except (OSError, ValueError, SyntaxError, binascii.Error, Image.DecompressionBombError) as error:
            raise DatasetError(f"{self.place} answered with no readable picture ({error}); check the model") from None

    def _fetched(self, address: str) -> bytes:
        """What lies at an address that the endpoint named."""
        if urlparse(address).scheme not in ("http", "https"):
            raise ValueError(f"the address {address[:60]!r} is not of the web")
        with urllib.request.urlopen(address, timeout=self.timeout) as reply:
            data: bytes = reply.read(_MOST_BYTES)
        return data

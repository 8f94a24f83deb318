"""Prompt: the text for the text encoder, and where in it each instance is named.

Attention guidance steers the tokens of a phrase, so every instance needs a span of characters in the prompt. Many
instances are named in their layout's caption already, but of the captions of real COCO layouts only one in five names
them all; whatever is missing is appended (", a black dog") and the result says so. Characters become tokens elsewhere,
through the tokenizer's own offsets; counting words is what goes wrong in the public implementations.
"""

from collections.abc import Sequence
from dataclasses import dataclass

from scenograph.errors import LayoutError, PhraseError
from scenograph.layout.instance import Instance
from scenograph.layout.values import show
from scenograph.layout.words import bare, occurrences, plural, without_article

__all__ = ["Prompt", "compose_prompt"]

Span = tuple[int, int]


@dataclass(frozen=True, kw_only=True, slots=True)
class Prompt:
    """A prompt whose every instance can be pointed at.

    Attributes:
        text: what the text encoder reads.
        spans: for each instance in order, the characters (start, stop) of `text` that name it. Instances that share a
            phrase have equal spans.
        appended: the captions that were not to be found and stand at the end of `text` now; empty for a caption that
            names everything.
    """

    text: str
    spans: tuple[Span, ...]
    appended: tuple[str, ...]


def compose_prompt(caption: str, instances: Sequence[Instance], *, strict: bool, template: str) -> Prompt:
    """The prompt of a layout; see `Layout.prompt` for the rules."""
    if template.count("{}") != 1:
        raise LayoutError(f"template is {show(template)}; expected a text with {{}} once, where the caption goes")
    named = [_places(caption, instance) for instance in instances]
    if strict and () in named:
        index = named.index(())
        words = instances[index].phrase or instances[index].caption
        raise PhraseError(
            f"instances[{index}] {show(words)} is not named in the caption {show(caption)}; "
            "name it there, set its phrase to words that are there, or allow it to be appended"
        )
    found = _assign(named)
    last = max((stop for _, stop in found.values()), default=0)
    ending = caption[last:] if len(found) == len(named) else caption[last:].rstrip(" \t\r\n.")
    body = caption[:last] + ending or caption
    appended: dict[str, Span] = {}
    for index, instance in enumerate(instances):
        if index not in found:
            addition = bare(instance.caption)
            if addition not in appended:
                appended[addition] = (len(body) + 2, len(body) + 2 + len(addition))
                body += f", {addition}"
            found[index] = appended[addition]
    before, after = template.split("{}")
    spans = tuple((found[i][0] + len(before), found[i][1] + len(before)) for i in range(len(named)))
    return Prompt(text=before + body + after, spans=spans, appended=tuple(appended))


def _places(caption: str, instance: Instance) -> tuple[Span, ...]:
    """Where `caption` names `instance`: by its explicit phrase only, else by its caption, label or plural label."""
    if instance.phrase is not None:
        return tuple(occurrences(instance.phrase, caption))
    whole = bare(instance.caption)
    phrases = (whole, without_article(whole), instance.label, plural(instance.label))
    return next((tuple(spans) for phrase in phrases if (spans := occurrences(phrase, caption))), ())


def _assign(named: Sequence[tuple[Span, ...]]) -> dict[int, Span]:
    """Instance index → its span, for the instances that are named at all.

    As many places as instances: one each, in order ("a dog and a dog"); otherwise all share the first ("three cats").
    Longer phrases choose first, so that "dog" does not take the words of "a black dog" while another dog is mentioned.
    """
    found: dict[int, Span] = {}
    for places in sorted({p for p in named if p}, key=lambda p: (p[0][0] - p[0][1], p)):
        owners = [index for index, other in enumerate(named) if other == places]
        taken = list(found.values())
        free = [(a, b) for a, b in places if all(b <= start or stop <= a for start, stop in taken)] or list(places)
        spans = free if len(free) == len(owners) else free[:1] * len(owners)
        found.update(zip(owners, spans, strict=True))
    return found

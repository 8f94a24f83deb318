"""Stage 1, optional: a language model words the template prompts anew, as the paper's GPT-4 wrote them.

A new wording must ask for the same: the grammar planner reads the same nouns, counts and attributes out of it, and
every relation that it read before. A wording that does not is asked for again, and after three the template's own words
stay.
Every answer is kept in `rewordings.jsonl` as soon as it is there.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from typing import Any

from tqdm import tqdm

from scenograph.datasets.goal2k.asked import asked_of
from scenograph.datasets.goal2k.endpoint import Endpoint, RefusedError
from scenograph.datasets.goal2k.journal import Journal
from scenograph.errors import DatasetError
from scenograph.planning.grammar import read

__all__ = ["reword_all", "same_request"]

_TRIES = 3
_LONGEST = 60  # words
_INSTRUCTIONS = """You word prompts for a text-to-image model. Say the given prompt as one natural English sentence that
describes a photo. Keep every object with its own noun, every number, colour, material, shape, action and relation; add
no object and no attribute. Answer with the sentence alone."""


def same_request(one: str, other: str) -> bool:
    """Whether two prompts ask for the same things, counts, attributes and relations, as the grammar reads them."""

    def things(prompt: str) -> Counter[Any]:
        return Counter((a.noun, a.count, tuple(sorted(a.attributes))) for a in asked_of(prompt))

    def relations(prompt: str) -> set[Any]:
        statement = read(prompt).statement
        return {(r.name, *(statement.things[i].noun for i in (r.subject, *r.objects))) for r in statement.relations}

    return things(one) == things(other) and relations(one) <= relations(other)


def reword_all(
    rows: Sequence[Mapping[str, Any]],
    journal: Journal,
    endpoint: Endpoint | None,
    *,
    painted: Collection[str] = (),
    progress: bool = True,
) -> list[dict[str, Any]]:
    """The rows, template prompts with their new wording as "prompt" and the old as "original".

    Without an endpoint nobody is asked, and what was worded before stays so; what is painted keeps its words.

    Raises DatasetError when the endpoint does not answer, or the kept wordings are another model's.
    """
    if endpoint is not None:
        others = {row["model"] for row in journal} - {endpoint.model}
        if others:
            raise DatasetError(f"{journal.path} holds wordings of {', '.join(sorted(others))}; name another run folder")
        settled = {*journal.rows, *painted}
        missing = [row for row in rows if row["source"] == "template" and row["id"] not in settled]
        for row in tqdm(missing, desc="wording", unit="prompt", disable=not progress or not missing, mininterval=0.5):
            journal.add({"id": row["id"], "model": endpoint.model, **_worded(endpoint, row["prompt"])})
    return [_with(row, journal.rows.get(row["id"])) for row in rows]


def _with(row: Mapping[str, Any], wording: Mapping[str, Any] | None) -> dict[str, Any]:
    if wording is None or wording.get("prompt") is None or row["source"] != "template":
        return dict(row)
    return {**row, "prompt": wording["prompt"], "original": row["prompt"], "worded_by": wording["model"]}


def _worded(endpoint: Endpoint, prompt: str) -> dict[str, Any]:
    """{"prompt": the new wording or None, "requests": how often was asked, "rejected": what did not ask the same}."""
    chat = [{"role": "system", "content": " ".join(_INSTRUCTIONS.split())}, {"role": "user", "content": prompt}]
    client, rejected = endpoint.client(), list[str]()
    for tried in range(1, _TRIES + 1):
        try:
            with endpoint.explained():
                create: Any = client.chat.completions.create
                reply = create(model=endpoint.model, messages=chat)
        except RefusedError as error:
            if not error.for_good:
                raise
            return {"prompt": None, "requests": tried, "rejected": rejected}
        text = _text(reply)
        if 0 < len(text.split()) <= _LONGEST and same_request(prompt, text):
            return {"prompt": text, "requests": tried, "rejected": rejected}
        rejected.append(text[:200])
        wrong = "This does not ask for exactly the same objects, numbers, attributes and relations. Try simpler words."
        chat = [*chat, {"role": "assistant", "content": text}, {"role": "user", "content": wrong}]
    return {"prompt": None, "requests": _TRIES, "rejected": rejected}


def _text(reply: Any) -> str:
    choices = getattr(reply, "choices", None)
    text = (choices[0].message.content or "") if choices else ""
    return " ".join(text.split()).strip('"“”')

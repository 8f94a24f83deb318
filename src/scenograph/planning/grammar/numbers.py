"""Numbers in a row of words: digits, number words, and the bounds before them ("at least twelve")."""

from __future__ import annotations

import re

from scenograph.layout import MAX_INSTANCES
from scenograph.planning.grammar.lexicon import COUNTS

__all__ = ["capped", "number_at"]

_BOUNDS = {
    ("more", "than"): "{}+1-", ("over",): "{}+1-", ("at", "least"): "{}-", ("at", "most"): "1-{}",
    ("less", "than"): "1-{}-1", ("fewer", "than"): "1-{}-1", ("up", "to"): "1-{}", ("exactly",): "{}-{}",
    ("no", "more", "than"): "1-{}", ("about",): "{}-{}", ("approximately",): "{}-{}", ("around",): "{}-{}",
    ("no", "fewer", "than"): "{}-", ("not", "more", "than"): "1-{}", ("only",): "{}-{}", ("just",): "{}-{}",
}  # fmt: skip


def number_at(words: list[str], at: int) -> tuple[str, str, int] | None:
    """A number in digits or words, with a bound before it: "at least 12", "twenty-five", "two hundred"."""
    for bound, ends in _BOUNDS.items():
        if words[at] == bound[0] and tuple(words[at : at + len(bound)]) == bound:
            exact = _exact(words, at + len(bound))
            if exact:
                return "COUNT", _ends(ends, exact[0]), len(bound) + exact[1]
    first = words[at]
    if first[0].isdigit() and re.fullmatch(r"\d+[-–]\d+", first):
        low, high = (int(part[:9]) for part in re.split("[-–]", first))
        return "COUNT", f"{min(low, high)}-{max(low, high)}", 1
    exact = _exact(words, at)
    return ("COUNT", f"{exact[0]}-{exact[0]}", exact[1]) if exact else None


def _ends(ends: str, number: int) -> str:
    shifted = ends.replace("{}+1", str(number + 1)).replace("{}-1", str(max(1, number - 1)))
    return shifted.replace("{}", str(number))


def _exact(words: list[str], at: int) -> tuple[int, int] | None:
    """(number, how many words) where a plain number stands; one alone is left to the word groups."""
    if at >= len(words):
        return None
    first = _value(words[at])
    if first is None:
        return None
    total, length = first, 1
    following = _value(words[at + 1]) if at + 1 < len(words) else None
    if following in (100, 1000) and first < following and words[at] not in ("a", "an"):
        total, length = first * following, 2
    elif following is not None and 20 <= first < 100 and first % 10 == 0 and 0 < following < 10:
        total, length = first + following, 2
    return (
        None if length == 1 and not words[at][0].isdigit() and total <= 12 and words[at] != "dozen" else (total, length)
    )


def _value(word: str) -> int | None:
    digits = word.replace(",", "").replace(" ", "")
    if digits.isascii() and digits.isdigit():
        return int(digits[:9])
    if "-" in word:
        tens, _, unit = word.partition("-")
        ten, one = _value(tens), _value(unit)
        return ten + one if ten and one and ten in range(20, 100, 10) and one < 10 else None
    count = COUNTS.get(word)
    if count is None or word in ("a", "an", "one", "another", "both", "this", "single", "every", "each", "lone"):
        return 1 if word == "one" else None
    low, _, high = count.partition("-")
    return int(low) if low == high and low != "0" else None


def capped(count: str) -> tuple[int, int | None]:
    """(least, most) of a count's ends, as many as a layout may hold."""
    low, _, high = count.partition("-")
    least = min(int(low), MAX_INSTANCES)
    return least, max(least, min(int(high), MAX_INSTANCES)) if high else None

"""Which asked instances need a combination of noun, colour and texture that no painter was trained on.

A score over all instances hides whether attributes bind to nouns they were never seen with. The split (`world.split`)
keeps a share of the combinations from every painter; here instances are told apart by it, so that both halves are
reported. An instance counts when its caption states a colour; a texture that is not stated is plain, as in the world's
own captions. Instances without a colour, or of nouns the world does not have, belong to neither half.
"""

from __future__ import annotations

from collections.abc import Callable

from scenograph.layout import Instance
from scenograph.world.captions import attributes_of
from scenograph.world.split import combination_held_out
from scenograph.world.vocabulary import NOUNS

__all__ = ["HALVES", "is_held_out"]


def is_held_out(instance: Instance) -> bool | None:
    """Whether the instance asks for a held-out combination; None when it asks for no combination."""
    asked = attributes_of(instance.caption)
    noun = instance.label if instance.label in NOUNS else asked.get("noun")
    if noun is None or "colour" not in asked:
        return None
    return combination_held_out(noun, asked["colour"], asked.get("texture", "plain"))


HALVES: dict[str, Callable[[Instance], bool]] = {
    "seen": lambda one: is_held_out(one) is False,
    "held_out": lambda one: is_held_out(one) is True,
}
"""Ending of a metric's name → the instances it is about."""

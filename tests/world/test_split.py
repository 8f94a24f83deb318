"""The split is frozen: a changed digest would make every earlier result incomparable."""

from hashlib import sha256
from itertools import product

from scenograph.layout import Box
from scenograph.world.split import combination_held_out, layout_held_out, layout_key
from scenograph.world.vocabulary import COLOURS, NOUNS, TEXTURES

COMBINATIONS = list(product(NOUNS, COLOURS, TEXTURES))


def test_combinations_are_frozen() -> None:
    bits = "".join("01"[combination_held_out(*c)] for c in COMBINATIONS)
    assert sha256(bits.encode()).hexdigest()[:16] == "3053bf733b391f32"


def test_every_word_stays_in_training() -> None:
    kept = [c for c in COMBINATIONS if not combination_held_out(*c)]
    for position, words in enumerate((NOUNS, COLOURS, TEXTURES)):
        assert {c[position] for c in kept} == set(words)
    assert 0.08 < 1 - len(kept) / len(COMBINATIONS) < 0.16


def test_layout_key_ignores_order_and_small_moves() -> None:
    dog, cat = ("dog", Box(0.1, 0.1, 0.5, 0.5)), ("cat", Box(0.6, 0.5, 0.9, 0.9))
    moved = ("dog", Box(0.11, 0.1, 0.51, 0.5))
    assert layout_key([dog, cat]) == layout_key([cat, moved])
    assert layout_key([dog, cat]) != layout_key([("cat", dog[1]), ("dog", cat[1])])
    assert layout_held_out([dog, cat]) == layout_held_out([cat, moved])

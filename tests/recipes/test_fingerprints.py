"""Digests that keep the pictures of one run apart from another's."""

from __future__ import annotations

from pathlib import Path

import torch
from torch import nn

from scenograph.recipes.fingerprints import code_digest, weights_digest


def test_weights_of_one_name_are_told_apart() -> None:
    one, two = nn.Linear(3, 2), nn.Linear(3, 2)
    two.load_state_dict(one.state_dict())
    assert weights_digest([one]) == weights_digest([two]) != weights_digest([one, two])
    with torch.no_grad():
        two.weight.copy_(two.weight.flip(0))  # the same sum
    assert weights_digest([one]) != weights_digest([two])


def test_code_is_told_apart_by_its_text_and_place(tmp_path: Path) -> None:
    (tmp_path / "part").mkdir()
    (tmp_path / "part" / "a.py").write_text("x = 1\n")
    (tmp_path / "b.py").write_text("x = 1\n")
    before = code_digest("part", "b.py", root=tmp_path)
    assert before == code_digest("part", "b.py", root=tmp_path)
    assert code_digest("part", root=tmp_path) != code_digest("b.py", root=tmp_path)
    (tmp_path / "part" / "a.py").write_text("x = 2\n")
    assert before != code_digest("part", "b.py", root=tmp_path)
    assert code_digest("unified") != code_digest("painting")


def test_a_digest_does_not_depend_on_the_number_of_threads() -> None:
    threads = torch.get_num_threads()
    layer = nn.Linear(512, 1024)  # long enough that torch adds it up in several threads
    digests = set()
    try:
        for count in (1, 2, 3):
            torch.set_num_threads(count)
            digests.add(weights_digest([layer]))
    finally:
        torch.set_num_threads(threads)
    assert len(digests) == 1

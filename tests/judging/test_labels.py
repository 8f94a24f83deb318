"""Labels made by hand: the file, and agreement of a reading with them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from scenograph.errors import ResultError
from scenograph.judging.labels import Agreement, agreement, fingerprint, pooled, read_labels
from scenograph.judging.statement import Relation, Statement, Thing

LABELS = Path(__file__).parent.parent.parent / "benchmarks" / "t2i_compbench_labels.jsonl"
RED, BLUE, DOG = (
    Thing(noun="car", attributes=("red",)),
    Thing(noun="car", attributes=("blue",)),
    Thing(noun="dog", least=2, most=2),
)


def said(
    *things: Thing,
    relations: tuple[Relation, ...] = (),
    settings: tuple[str, ...] = (),
    absent: tuple[str, ...] = (),
) -> Statement:
    return Statement(things=things, relations=relations, settings=settings, absent=absent)


def test_our_labels_can_be_read_and_agree_with_themselves() -> None:
    labels = read_labels(LABELS)
    assert len(labels) == 200 and all(agreement(one.statement, one.statement).exact for one in labels)
    assert sum(one.argued for one in labels) < len(labels) / 2


def test_order_does_not_matter_and_looks_pair() -> None:
    left = Relation(name="left of", subject=0, objects=(1,))
    label = said(RED, BLUE, relations=(left,))
    assert agreement(said(BLUE, RED, relations=(Relation(name="left of", subject=1, objects=(0,)),)), label).exact
    assert agreement(said(RED, BLUE, relations=(Relation(name="right of", subject=1, objects=(0,)),)), label).exact
    assert not agreement(said(BLUE, RED, relations=(left,)), label).exact


def test_next_to_has_no_order() -> None:
    label = said(RED, DOG, relations=(Relation(name="next to", subject=0, objects=(1,)),))
    assert agreement(said(RED, DOG, relations=(Relation(name="next to", subject=1, objects=(0,)),)), label).exact


def test_parts() -> None:
    label = said(RED, DOG, settings=("street",))
    read = said(
        Thing(noun="cars", least=2, most=2, attributes=("red", "light-blue")),
        Thing(noun="tree", attributes=("tall",)),
        relations=(Relation(name="behind", subject=0, objects=(1,)),),
        settings=("Streets",),
    )
    found = agreement(read, label)
    assert found.parts == {
        "objects": (1, 2, 2),
        "counts": (0, 1, 1),
        "attributes": (1, 4, 1),
        "relations": (0, 1, 0),
        "settings": (1, 1, 1),
    }
    assert not found.exact


def test_settings_and_absent_things() -> None:
    assert agreement(said(DOG, settings=("park",)), said(DOG)).exact
    assert not agreement(said(DOG, absent=("cat",)), said(DOG)).exact
    assert agreement(said(DOG, absent=("cats",)), said(DOG, absent=("cat",))).exact


def test_pooled() -> None:
    one = Agreement(parts={"objects": (1, 2, 4), "relations": (0, 0, 0)}, absent=True)
    assert list(pooled([one, one], "objects")) == pytest.approx([0.5, 0.25, 1 / 3])
    assert all(value != value for value in pooled([one], "relations"))


def test_fingerprint() -> None:
    assert fingerprint(" a dog\n") == fingerprint("a dog") and len(fingerprint("a dog")) == 12


def test_what_is_no_label_is_refused(tmp_path: Path) -> None:
    path = tmp_path / "labels.jsonl"
    path.write_text('\n{"file": "a.txt"}\n')
    with pytest.raises(ResultError, match="line 2: is no label"):
        read_labels(path)
    row = {"file": "a", "line": 1, "sha256": "", "objects": [], "settings": [], "absent": []}
    path.write_text(json.dumps({**row, "relations": [["on", 0, 1]]}))
    with pytest.raises(ResultError, match="line 1"):
        read_labels(path)
    with pytest.raises(ResultError, match="cannot be read"):
        read_labels(tmp_path / "none.jsonl")

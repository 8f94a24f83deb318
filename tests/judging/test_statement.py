"""Statements: every relation true and false, groups, extras, attributes that tell two things of one noun apart."""

import pytest

from scenograph.errors import ResultError
from scenograph.judging.statement import (
    RELATIONS,
    Comparison,
    Relation,
    RelationName,
    Statement,
    Thing,
    assigned,
    check,
    holds,
)
from scenograph.layout import Box, Instance, Layout


def at(x: float, y: float, w: float = 0.1, h: float = 0.1) -> Box:
    return Box(x - w / 2, y - h / 2, x + w / 2, y + h / 2)


def layout(*placed: tuple[str, Box], labels: tuple[str, ...] = ()) -> Layout:
    named = labels or (None,) * len(placed)
    return Layout(
        caption="a picture",
        instances=tuple(
            Instance(caption=c, box=b, label=n)  # type: ignore[arg-type]
            for (c, b), n in zip(placed, named, strict=True)
        ),
    )


def two(name: RelationName, first: Thing | None = None, second: Thing | None = None) -> Statement:
    things = (first or Thing(noun="cat"), second or Thing(noun="dog"))
    return Statement(things=things, relations=(Relation(name=name, subject=0, objects=(1,)),))


MIDDLE = at(0.5, 0.5, 0.2, 0.2)
TRUE: list[tuple[RelationName, Box]] = [
    ("left of", at(0.2, 0.5)),
    ("left of", at(0.2, 0.75)),
    ("right of", at(0.8, 0.3)),
    ("above", at(0.6, 0.2)),
    ("below", at(0.4, 0.8)),
    ("on", at(0.5, 0.35)),
    ("on", at(0.55, 0.33)),
    ("in front of", at(0.55, 0.6)),
    ("behind", at(0.5, 0.45, 0.3, 0.2)),
    ("next to", at(0.7, 0.5)),
    ("next to", at(0.2, 0.55)),
    ("inside", at(0.5, 0.5)),
    ("inside", at(0.55, 0.45)),
    ("around", at(0.5, 0.5, 0.4, 0.3)),
]
FALSE: list[tuple[RelationName, Box]] = [
    ("left of", at(0.2, 0.85)),  # more below than left
    ("left of", at(0.8, 0.5)),
    ("right of", at(0.2, 0.5)),
    ("above", at(0.8, 0.3)),
    ("above", MIDDLE),
    ("below", at(0.4, 0.2)),
    ("on", at(0.5, 0.2)),  # floats
    ("on", at(0.5, 0.65)),
    ("on", at(0.75, 0.38)),  # beside
    ("in front of", at(0.9, 0.6)),  # does not overlap
    ("in front of", at(0.5, 0.5)),  # stands farther back
    ("behind", at(0.55, 0.6)),
    ("next to", at(0.5, 0.7)),
    ("next to", at(0.95, 0.85)),
    ("next to", at(0.05, 0.5, 0.04)),  # too far: a gap of 0.33
    ("inside", at(0.6, 0.5)),
    ("inside", at(0.5, 0.5, 0.3, 0.3)),
    ("around", at(0.5, 0.5)),
]


@pytest.mark.parametrize(("name", "box"), TRUE)
def test_relation_holds(name: RelationName, box: Box) -> None:
    assert holds(name, box, MIDDLE)
    assert check(two(name), layout(("a cat", box), ("a dog", MIDDLE))).strict


@pytest.mark.parametrize(("name", "box"), FALSE)
def test_relation_does_not_hold(name: RelationName, box: Box) -> None:
    assert not holds(name, box, MIDDLE)
    checked = check(two(name), layout(("a cat", box), ("a dog", MIDDLE)))
    assert checked.relations == (False,)
    assert not checked.strict


@pytest.mark.parametrize(
    ("name", "back"),
    [("left of", "right of"), ("above", "below"), ("in front of", "behind"), ("inside", "around")],
)
@pytest.mark.parametrize("box", [at(0.3, 0.5), at(0.7, 0.45), at(0.5, 0.2), at(0.52, 0.58), MIDDLE, at(0.5, 0.5)])
def test_each_relation_is_its_inverse_turned_round(name: RelationName, back: RelationName, box: Box) -> None:
    assert holds(name, box, MIDDLE) == holds(back, MIDDLE, box)
    assert not (holds(name, box, MIDDLE) and holds(back, box, MIDDLE))


@pytest.mark.parametrize("box", [at(0.3, 0.5), at(0.7, 0.45), at(0.5, 0.2), MIDDLE])
def test_next_to_is_symmetric(box: Box) -> None:
    assert holds("next to", box, MIDDLE) == holds("next to", MIDDLE, box)


def test_the_diagonal_is_no_direction() -> None:
    assert not any(holds(name, at(0.25, 0.25), at(0.5, 0.5)) for name in ("left of", "right of", "above", "below"))


def test_between() -> None:
    left, right = at(0.2, 0.5), at(0.8, 0.6)
    assert holds("between", at(0.5, 0.55), left, right)
    assert holds("between", at(0.5, 0.55), right, left)
    assert not holds("between", at(0.1, 0.5), left, right)
    assert not holds("between", at(0.5, 0.95), left, right)
    assert not holds("between", at(0.5, 0.5), left, left)


def test_between_two_of_one_thing() -> None:
    statement = two("between", Thing(noun="cat"), Thing(noun="dog", least=2, most=2))
    pair = (("a dog", at(0.2, 0.5)), ("a dog", at(0.8, 0.5)))
    assert check(statement, layout(("a cat", at(0.5, 0.5)), *pair)).strict
    assert not check(statement, layout(("a cat", at(0.95, 0.5)), *pair)).strict


def test_directions_hold_for_every_pair() -> None:
    statement = two("left of", Thing(noun="cat", least=2, most=2))
    dog = ("a dog", at(0.6, 0.5))
    assert check(statement, layout(("a cat", at(0.1, 0.4)), ("a cat", at(0.3, 0.6)), dog)).strict
    assert not check(statement, layout(("a cat", at(0.1, 0.4)), ("a cat", at(0.9, 0.6)), dog)).strict


def test_other_relations_need_one_object_for_each_subject() -> None:
    statement = two("next to", Thing(noun="cat", least=2, most=2), Thing(noun="dog", least=2, most=2))
    dogs = (("a dog", at(0.2, 0.3)), ("a dog", at(0.8, 0.8)))
    assert check(statement, layout(("a cat", at(0.35, 0.3)), ("a cat", at(0.65, 0.8)), *dogs)).strict
    assert not check(statement, layout(("a cat", at(0.35, 0.3)), ("a cat", at(0.5, 0.05)), *dogs)).strict


def test_a_ring_encloses() -> None:
    statement = two("around", Thing(noun="chair", least=3, most=3), Thing(noun="table"))
    chairs = [at(0.2, 0.5), at(0.8, 0.5), at(0.5, 0.9)]
    inside = [("a chair", b) for b in chairs] + [("a table", at(0.5, 0.6))]
    outside = [("a chair", b) for b in chairs] + [("a table", at(0.5, 0.1))]
    assert check(statement, layout(*inside)).strict
    assert not check(statement, layout(*outside)).strict


def test_a_relation_to_nothing_does_not_hold() -> None:
    assert check(two("left of"), layout(("a dog", MIDDLE))).relations == (False,)


@pytest.mark.parametrize(
    ("least", "most", "number", "kept"),
    [(2, 2, 2, True), (2, 2, 1, False), (2, 2, 3, False), (2, None, 5, True), (2, None, 1, False), (0, 3, 0, True)],
)
def test_counts(least: int, most: int | None, number: int, kept: bool) -> None:
    statement = Statement(things=(Thing(noun="cat", least=least, most=most),))
    placed = [("a cat", at(0.1 + 0.15 * i, 0.5)) for i in range(number)]
    assert check(statement, layout(*placed)).counts == (kept,)


@pytest.mark.parametrize(("name", "kept"), [("more", True), ("fewer", False), ("equal", False)])
def test_comparisons(name: str, kept: bool) -> None:
    things = (Thing(noun="cat", most=None), Thing(noun="dog", most=None))
    statement = Statement(things=things, comparisons=(Comparison(name=name, first=0, second=1),))  # type: ignore[arg-type]
    placed = (("a cat", at(0.2, 0.2)), ("a cat", at(0.2, 0.6)), ("a dog", at(0.7, 0.5)))
    assert check(statement, layout(*placed)).comparisons == (kept,)


def test_extras_and_absent_things_are_named() -> None:
    statement = Statement(things=(Thing(noun="cat"),), absent=("dog",))
    checked = check(statement, layout(("a cat", at(0.2, 0.2)), ("two dogs", at(0.7, 0.5))))
    assert checked.extras == ("dog",)
    assert checked.absent == (False,)
    assert not checked.strict


def test_labels_are_compared_in_the_singular_and_in_any_case() -> None:
    statement = Statement(things=(Thing(noun="teddy bear"),))
    assert check(statement, layout(("toys", at(0.2, 0.2)), labels=("Teddy  Bears",))).strict


def test_attributes_decide_between_things_of_one_noun() -> None:
    things = (Thing(noun="cup", attributes=("red",)), Thing(noun="cup", attributes=("light-blue",)))
    statement = Statement(things=things, relations=(Relation(name="left of", subject=0, objects=(1,)),))
    right = layout(("a light blue cup", at(0.8, 0.5)), ("a red cup", at(0.2, 0.5)))
    wrong = layout(("a light blue cup", at(0.2, 0.5)), ("a red cup", at(0.8, 0.5)))
    assert assigned(statement, right) == (1, 0)
    assert check(statement, right).strict
    assert not check(statement, wrong).strict


def test_things_of_one_look_share_their_instances_in_order() -> None:
    things = (Thing(noun="dog"), Thing(noun="dog"))
    statement = Statement(things=things, relations=(Relation(name="right of", subject=0, objects=(1,)),))
    placed = (("a dog", at(0.8, 0.5)), ("a dog", at(0.2, 0.5)))
    assert assigned(statement, layout(*placed)) == (0, 1)
    assert check(statement, layout(*placed)).strict
    assert not check(statement, layout(*placed[::-1])).strict


def test_an_empty_statement_wants_an_empty_layout() -> None:
    assert check(Statement(), layout()).strict
    assert not check(Statement(), layout(("a cat", MIDDLE))).strict


def test_statements_refuse_what_they_cannot_mean() -> None:
    with pytest.raises(ResultError, match="3 to 2 times"):
        Thing(noun="cat", least=3, most=2)
    with pytest.raises(ResultError, match="names things"):
        Statement(things=(Thing(noun="cat"),), relations=(Relation(name="on", subject=0, objects=(1,)),))
    with pytest.raises(ResultError, match="names things"):
        two("left of").__class__(
            things=(Thing(noun="cat"),) * 3, relations=(Relation(name="left of", subject=0, objects=(1, 2)),)
        )
    with pytest.raises(ResultError, match="no relation 'near'"):
        two("near")  # type: ignore[arg-type]


def test_every_relation_is_tested_here() -> None:
    assert {name for name, _ in TRUE} | {"between"} == set(RELATIONS)

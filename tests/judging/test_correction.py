"""Acc and ReAcc: what is right, every way of breaking a layout, and repairers good, idle and failing."""

from __future__ import annotations

import pytest

from scenograph.errors import LayoutError, PlanError
from scenograph.judging.correction import CORRUPTIONS, Broken, accuracy, broken, reaccuracy, right
from scenograph.judging.statement import Relation, Statement, Thing
from scenograph.layout import Box, Instance, Layout

STATEMENT = Statement(
    things=(Thing(noun="cat", least=2, most=2), Thing(noun="dog")),
    relations=(Relation(name="left of", subject=0, objects=(1,)),),
)
LAYOUT = Layout(
    caption="two cats to the left of a dog",
    instances=(
        Instance(caption="a cat", box=Box(0.05, 0.4, 0.2, 0.6)),
        Instance(caption="a cat", box=Box(0.25, 0.4, 0.4, 0.6)),
        Instance(caption="a dog", box=Box(0.7, 0.4, 0.95, 0.6)),
    ),
)


def test_right() -> None:
    assert right(LAYOUT, STATEMENT) and right(LAYOUT.to_dict(), STATEMENT)
    assert not right(None, STATEMENT) and not right("nonsense", STATEMENT)
    assert not right(LAYOUT, Statement(things=STATEMENT.things[:1]))


def test_accuracy() -> None:
    def plan(prompt: str) -> Layout:
        if prompt == "never":
            raise PlanError("no answer")
        return LAYOUT

    items = [("two cats to the left of a dog", STATEMENT), ("a dog", Statement(things=(Thing(noun="dog"),)))]
    assert accuracy([*items, ("never", STATEMENT)], plan) == [True, False, False]


@pytest.mark.parametrize("way", CORRUPTIONS)
@pytest.mark.parametrize("seed", range(12))
def test_every_way_breaks_and_repeats(way: str, seed: int) -> None:
    given = broken(LAYOUT, way, STATEMENT, seed=seed)
    if way == "swapped" and given is None:
        return  # the same kind was not to be had
    assert given is not None and not right(given, STATEMENT)
    assert given == broken(LAYOUT, way, STATEMENT, seed=seed)
    assert LAYOUT.to_dict()["instances"][0]["box"] == [0.05, 0.4, 0.2, 0.6]
    if way in ("outside", "inverted", "collapsed"):
        with pytest.raises(LayoutError):
            Layout.from_dict(given)
    else:
        assert Layout.from_dict(given)
    assert len(given["instances"]) == {"dropped": 2, "doubled": 4}.get(way, 3)


def test_seeds_differ() -> None:
    assert len({str(broken(LAYOUT, "outside", STATEMENT, seed=seed)) for seed in range(8)}) > 4


def test_what_cannot_be_broken_is_left_out() -> None:
    nothing = Layout(caption="nothing", instances=())
    assert broken(nothing, "dropped", Statement()) is None
    one = Layout(caption="a dog", instances=LAYOUT.instances[2:])
    assert broken(one, "swapped", Statement(things=STATEMENT.things[1:])) is None
    some = Statement(things=(Thing(noun="dog", least=0, most=None),))
    assert broken(one, "doubled", some) is None and broken(one, "dropped", some) is None


def test_reaccuracy() -> None:
    def perfect(given: Broken, statement: Statement) -> Layout:
        return LAYOUT

    def idle(given: Broken, statement: Statement) -> Broken:
        return given

    def failing(given: Broken, statement: Statement) -> Broken:
        raise PlanError("cannot")

    for repair, share in ((perfect, True), (idle, False), (failing, False)):
        outcomes = reaccuracy([(STATEMENT, LAYOUT)] * 3, repair)
        assert {one.right for one in outcomes} == {share}
        assert {one.way for one in outcomes} == set(CORRUPTIONS) and {one.item for one in outcomes} == {0, 1, 2}
    assert [one.way for one in reaccuracy([(STATEMENT, LAYOUT)], perfect, ways=("dropped",))] == ["dropped"]

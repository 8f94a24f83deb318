"""A broken layout → a valid one that keeps its statement, changed as little as can be, with every change said.

This is also the task of MIGLoRA's ReAcc: a planner is given back a layout that is wrong and has to correct it. First
the boxes are made valid (`salvage`), then what is stated to be absent or is not stated at all goes, missing instances
come, and at last the fewest boxes move the shortest way that makes every relation true (`moving`).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from scenograph.errors import PlanError
from scenograph.judging.statement import Statement, assigned, check
from scenograph.layout import MAX_INSTANCES, Box, Instance, Layout
from scenograph.layout.values import show
from scenograph.planning.arrange import arrange
from scenograph.planning.counts import expected_counts
from scenograph.planning.moving import misfits, moved, spot
from scenograph.planning.salvage import salvage
from scenograph.planning.wording import caption_of, name_of, phrase_in

__all__ = ["Repaired", "repair"]


@dataclass(frozen=True, kw_only=True)
class Repaired:
    """A valid layout, and one sentence for each change; without changes it is the layout that came in."""

    layout: Layout
    changes: tuple[str, ...] = ()


def repair(
    broken: object,
    *,
    statement: Statement | None = None,
    caption: str | None = None,
    size: tuple[int, int] | None = None,
) -> Repaired:
    """The nearest layout that is valid and, with a statement, keeps it.

    Args:
        broken: a Layout, JSON text or bytes, or what they hold.
        statement: what the layout should show; None makes it valid and no more.
        caption: of the layout, where it has none.
        size: (width, height) in pixels of the canvas, for boxes in pixels.

    Returns:
        A layout for which `check(statement, …).strict` holds, unless the statement contradicts itself; then the last
        sentence says so.

    Raises:
        PlanError: no instance can be read and no statement says what there should be, or the statement asks for more
            instances than a layout may hold.
    """
    if isinstance(broken, Layout):
        layout, changes = broken, []
    else:
        read = salvage(broken, caption=caption, size=size)
        if read is None:
            return _anew(broken, statement, caption, size)
        layout, changes = read[0], list(read[1])
    if statement is None or check(statement, layout).strict:
        return Repaired(layout=layout, changes=tuple(changes))
    layout = _without_strangers(statement, layout, changes)
    layout = _counted(statement, layout, changes)
    layout = moved(statement, layout, changes)
    if not check(statement, layout).strict:
        layout = _placed_again(statement, layout, changes)
    return Repaired(layout=layout, changes=tuple(changes))


def _anew(broken: object, statement: Statement | None, caption: str | None, size: tuple[int, int] | None) -> Repaired:
    if statement is None:
        raise PlanError(
            f"no instance can be read from {show(broken)}; expected a layout with instances: "
            "ask the model again, or give the statement to plan from"
        )
    words = caption or ", ".join(name_of(i, statement) for i in range(len(statement.things))) or "nothing"
    arranged = arrange(statement, words, size=size)
    return Repaired(
        layout=arranged.layout,
        changes=("placed everything that is stated: no instance could be read", *arranged.changes),
    )


def _without_strangers(statement: Statement, layout: Layout, changes: list[str]) -> Layout:
    """Only instances that the statement speaks of."""
    things = assigned(statement, layout)
    kept = []
    for instance, thing in zip(layout.instances, things, strict=True):
        if thing is not None and statement.things[thing].most != 0:
            kept.append(instance)
        else:
            reason = "the statement asks for none" if thing is not None else "nothing stated asks for it"
            absent = any(noun.lower() == instance.label.lower() for noun in statement.absent)
            changes.append(f"removed {instance.caption!r}: {'it is stated to be absent' if absent else reason}")
    return layout if len(kept) == len(layout.instances) else replace(layout, instances=tuple(kept))


def _counted(statement: Statement, layout: Layout, changes: list[str]) -> Layout:
    """As many of each thing as are stated: the worst fitting go, missing ones come where they fit best."""
    things = assigned(statement, layout)
    present = [sum(t == index for t in things) for index in range(len(statement.things))]
    counts = expected_counts(statement, start=present)
    if sum(counts) > MAX_INSTANCES:
        raise PlanError(f"the statement asks for {sum(counts)} things; expected at most {MAX_INSTANCES}: ask for fewer")
    for index, (have, want) in enumerate(zip(present, counts, strict=True)):
        for _ in range(have - want):
            layout = _less(statement, layout, index, want, changes)
        for _ in range(want - have):
            layout = _more(statement, layout, index, want, changes)
    return layout


def _less(statement: Statement, layout: Layout, thing: int, want: int, changes: list[str]) -> Layout:
    things = assigned(statement, layout)
    worst = max(
        (i for i, t in enumerate(things) if t == thing), key=lambda i: (misfits(statement, layout, things, i), i)
    )
    changes.append(f"removed {layout.instances[worst].caption!r}: {_only(statement, thing, want)}")
    return replace(layout, instances=(*layout.instances[:worst], *layout.instances[worst + 1 :]))


def _more(statement: Statement, layout: Layout, thing: int, want: int, changes: list[str]) -> Layout:
    """One more instance of a thing, after those that are there, else in the statement's order."""
    things = assigned(statement, layout)
    stated = statement.things[thing]
    box: Box = spot(statement, layout, things, thing)
    words = caption_of(stated)
    instance = Instance(caption=words, label=stated.noun, box=box, phrase=phrase_in(stated, layout.caption))
    after = max((i + 1 for i, t in enumerate(things) if t is not None and t <= thing), default=0)
    changes.append(f"added {words!r}: {_only(statement, thing, want)}")
    return replace(layout, instances=(*layout.instances[:after], instance, *layout.instances[after:]))


def _only(statement: Statement, thing: int, want: int) -> str:
    return f"there should be {want} of {name_of(thing, statement)!r}" if want != 1 else "there should be one"


def _placed_again(statement: Statement, layout: Layout, changes: list[str]) -> Layout:
    """Where moving does not help: everything placed anew, with the instances' own words."""
    arranged = arrange(statement, layout.caption, size=layout.size)
    wanted, had = check(statement, arranged.layout), check(statement, layout)
    if sum(wanted.relations) <= sum(had.relations) and all(had.counts):
        return _given_up(arranged.changes, layout, changes)
    changes.append("placed everything anew: no shorter way makes all relations true")
    places: Sequence[int | None] = assigned(statement, arranged.layout)
    old = assigned(statement, layout)
    instances = list(arranged.layout.instances)
    for thing in range(len(statement.things)):
        mine = [i for i, t in zip(layout.instances, old, strict=True) if t == thing]
        slots = [i for i, t in enumerate(places) if t == thing]
        for instance, slot in zip(mine, slots, strict=False):
            instances[slot] = replace(instance, box=instances[slot].box)
    return _given_up(arranged.changes, replace(layout, instances=tuple(instances)), changes)


def _given_up(sentences: Sequence[str], layout: Layout, changes: list[str]) -> Layout:
    changes += sentences or ["the statement could not be kept whole"]
    return layout

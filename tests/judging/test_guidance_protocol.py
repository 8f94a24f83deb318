"""The comparison end to end: painters that draw rectangles, an echo for a detector."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from scenograph.errors import ResultError
from scenograph.grounding.echo import EchoGrounder
from scenograph.judging.bootstrap import Estimate, Tally
from scenograph.judging.clip import TransformersClip
from scenograph.judging.guidance_protocol import CEILING, Judges, Paint, _shares, compare, paint_all
from scenograph.judging.results import render_table, write_results
from scenograph.layout import Box, Instance, Layout
from scenograph.world.split import combination_held_out
from tests.judging.checkpoints import save_dual_encoder
from tests.judging.test_attributes import MiddlePixel, painted


def random_layouts(count: int) -> list[Layout]:
    rng = np.random.default_rng(0)
    layouts = []
    for _ in range(count):
        x, y = rng.uniform(0, 0.5, 2).tolist()
        colour = str(rng.choice(["red", "blue"]))
        one = Instance(caption=f"a {colour} dog", box=Box(x, y, x + 0.4, y + 0.4))
        layouts.append(Layout(caption=f"a photo of a {colour} dog", instances=(one,)))
    return layouts


LAYOUTS = random_layouts(12)


def draw(layout: Layout, *, colour: str | None = None) -> Image.Image:
    (one,) = layout.instances
    return painted((colour or one.caption.split()[1], (one.box.x0, one.box.y0, one.box.x1, one.box.y1)))


class Painter:
    """Draws the asked box in the asked colour, or always in red; can break down; remembers what it was asked."""

    def __init__(self, *, colour: str | None = None, breaks_after: int | None = None) -> None:
        self.colour, self.breaks_after = colour, breaks_after
        self.seeds: list[int] = []

    def __call__(self, layouts: Sequence[Layout], seeds: Sequence[int]) -> list[Image.Image]:
        if self.breaks_after is not None and len(self.seeds) >= self.breaks_after:
            raise KeyboardInterrupt
        self.seeds += seeds
        return [draw(layout, colour=self.colour) for layout in layouts]


@pytest.fixture(scope="module")
def judges(tmp_path_factory: pytest.TempPathFactory) -> Judges:
    clip = TransformersClip.from_pretrained(save_dual_encoder(tmp_path_factory.mktemp("clip")))
    return Judges(detector=EchoGrounder(LAYOUTS), reader=MiddlePixel(), clip=clip)


def test_end_to_end(judges: Judges, tmp_path: Path) -> None:
    drawn = [draw(layout) for layout in LAYOUTS]
    lines: list[str] = []
    rows = compare(
        LAYOUTS,
        {"right": Painter(), "all red": Painter(colour="red")},
        judges,
        reference=drawn[::-1],
        folder=tmp_path / "pictures",
        ceiling=drawn,
        pairs=[("right", "all red")],
        batch_size=5,
        count=50,
        report=lines.append,
    )
    right, red, ceiling, gap = rows
    assert [row["name"] for row in rows] == ["right", "all red", CEILING, "right − all red"]
    assert all(row["n"] == 12 for row in rows)
    assert right["ap"] == right["ap50"] == right["mean_iou"] == pytest.approx(100)
    assert right["ap_ci"] == pytest.approx([100, 100])
    blue = sum("blue" in layout.caption for layout in LAYOUTS)
    assert (right["attributes"], red["attributes"]) == (100, pytest.approx(100 * (12 - blue) / 12))
    assert red["attributes_ci"][0] < red["attributes"] < red["attributes_ci"][1]
    assert red["attributes_share"] == pytest.approx(red["attributes"])
    assert red["attributes_share_ci"] == pytest.approx(red["attributes_ci"])  # the ceiling is 100 in every resample
    assert right["found"] == red["found"] == 100
    colours = {"red": combination_held_out("dog", "red", "plain"), "blue": combination_held_out("dog", "blue", "plain")}
    held_out = sum(colours["blue" if "blue" in layout.caption else "red"] for layout in LAYOUTS)
    assert (red["instances_seen"], red["instances_held_out"]) == (12 - held_out, held_out)
    if held_out < 12:
        assert red["found_seen"] == right["attributes_detected_seen"] == 100
    assert gap["attributes"] == pytest.approx(100 - red["attributes"]) and gap["attributes_ci"][0] > 0
    assert (gap["ap"], gap["ap_ci"]) == (0, [0, 0])
    assert right["world_fid"] == pytest.approx(0, abs=1e-3) and red["world_fid"] > 1
    assert {k: v for k, v in right.items() if k not in ("name", "seconds")} == {
        k: pytest.approx(v) for k, v in ceiling.items() if k != "name" and "_floor" not in k
    }
    assert right["seconds"] > 0 and "seconds" not in ceiling
    assert ceiling["clip_s_floor_ci"][0] <= ceiling["clip_s_floor"] <= ceiling["clip_s_floor_ci"][1]
    assert "shape" not in right and "world_kid_ci" not in right
    assert lines[0] == f"{CEILING}: judging" and "right: 5 of 12" in lines[1]
    write_results(tmp_path / "r.json", what="w", command="c", seed=0, rows=rows)
    assert "| right | 100.0 [100.0, 100.0] |" in render_table(tmp_path / "r.json", {"ap": "AP"})


class Counting(MiddlePixel):
    """Counts how often it is asked."""

    asked = 0

    def read(self, crops: Sequence[Image.Image]) -> list[dict[str, str]]:
        self.asked += 1
        return super().read(crops)


def test_readings_are_kept_for_the_same_pictures_and_judges_only(judges: Judges, tmp_path: Path) -> None:
    drawn = [draw(layout) for layout in LAYOUTS]
    reader = Counting()
    counting = Judges(detector=judges.detector, reader=reader, clip=judges.clip)

    def rows(judged_by: str | None, **methods: Paint) -> tuple[list[dict[str, object]], int]:
        before = reader.asked
        told = compare(
            LAYOUTS,
            methods,
            counting,
            reference=drawn[::-1],
            ceiling=drawn,
            folder=tmp_path,
            count=20,
            judged_by=judged_by,
        )
        return told, reader.asked - before

    one, each = rows("judge 1", one=Painter())
    again, asked = rows("judge 1", one=Painter())
    assert each and asked == 0 and again == one
    _, asked = rows("judge 1", one=Painter(), two=Painter(colour="red"))
    assert asked == each / 2  # the second method's alone
    assert rows("judge 2", one=Painter())[1] == each
    assert rows(None, one=Painter())[1] == each
    other = "red" if "blue" in LAYOUTS[0].caption else "blue"
    draw(LAYOUTS[0], colour=other).save(tmp_path / "one" / "00000.png")
    assert rows("judge 2", one=Painter())[1] == each / 2
    (tmp_path / "one" / "reading.npz").write_bytes(b"PK half a file")
    assert rows("judge 2", one=Painter())[1] == each / 2


def test_more_metrics_enter_rows_and_the_differences_of_those_that_have_them(judges: Judges, tmp_path: Path) -> None:
    drawn = [draw(layout) for layout in LAYOUTS]
    asked: list[str] = []

    def also(name: str, images: Sequence[Image.Image]) -> dict[str, Tally]:
        asked.append(name)
        assert len(images) == len(LAYOUTS)
        places = {"place": Tally.of([float(i)] for i in range(len(images)))}
        return places if name == CEILING else {**places, name: Tally.of([1.0] for _ in images)}

    methods = {"one": Painter(), "two": Painter()}
    options = {"reference": drawn, "ceiling": drawn, "pairs": [("one", "two")], "count": 20, "also": also}
    one, two, ceiling, gap = compare(LAYOUTS, methods, judges, folder=tmp_path, **options)  # type: ignore[arg-type]
    assert sorted(asked) == sorted([CEILING, "one", "two"])
    assert one["place"] == ceiling["place"] == 5.5 and one["place_ci"][0] < 5.5 < one["place_ci"][1]
    assert (one["one"], two["two"]) == (1, 1) and "two" not in one
    assert gap["place"] == 0 and "one" not in gap and "two" not in gap


def test_clip_shares_count_from_what_other_captions_get() -> None:
    best = {
        "clip_s": Estimate(value=0.9, samples_R=np.array([0.9, 0.8])),
        "ap": Estimate(value=50.0, samples_R=np.array([50.0, 0.0])),
    }
    floors = {"clip_s_floor": Estimate(value=0.5, samples_R=np.array([0.5, 0.6]))}
    measured = {
        "clip_s": Estimate(value=0.6, samples_R=np.array([0.7, 0.6])),
        "ap": Estimate(value=25.0, samples_R=np.array([20.0, 1.0])),
    }
    shares = _shares(measured, best, floors)
    assert shares["clip_s_share"].value == pytest.approx(25)
    assert shares["clip_s_share"].samples_R.tolist() == pytest.approx([50, 0])
    assert shares["ap_share"].value == 50 and shares["ap_share"].samples_R[0] == 40
    assert np.isnan(shares["ap_share"].samples_R[1])
    worthless = {**best, "clip_s": Estimate(value=0.4, samples_R=np.array([0.4, 0.4]))}
    assert "clip_s_share" not in _shares(measured, worthless, floors)


def test_a_broken_run_continues_where_it_stopped(tmp_path: Path) -> None:
    seeds = list(range(100, 112))
    with pytest.raises(KeyboardInterrupt):
        paint_all(Painter(breaks_after=5), LAYOUTS, seeds, tmp_path, batch_size=5)
    rest = Painter()
    images, seconds = paint_all(rest, LAYOUTS, seeds, tmp_path, batch_size=5)
    assert rest.seeds == list(range(105, 112))
    assert [list(i.getdata()) for i in images] == [list(draw(layout).getdata()) for layout in LAYOUTS]
    idle = Painter()
    assert paint_all(idle, LAYOUTS, seeds, tmp_path)[1] == seconds
    assert idle.seeds == []


def test_pictures_of_another_run_are_refused(tmp_path: Path) -> None:
    paint_all(Painter(), LAYOUTS[:2], [0, 1], tmp_path, "steps 50")
    for layouts, seeds, settings in (
        (LAYOUTS[1:3], [0, 1], "steps 50"),
        (LAYOUTS[:2], [0, 2], "steps 50"),
        (LAYOUTS[:2], [0, 1], "steps 25"),
    ):
        with pytest.raises(ResultError, match="holds pictures of other layouts, seeds or settings"):
            paint_all(Painter(), layouts, seeds, tmp_path, settings)


def test_mistakes_are_named(judges: Judges, tmp_path: Path) -> None:
    methods: dict[str, Paint] = {"plain": Painter()}
    with pytest.raises(ResultError, match="at least 2 layouts, got 1"):
        compare(LAYOUTS[:1], methods, judges, reference=[], folder=tmp_path)
    with pytest.raises(ResultError, match="pairs name guided; the methods are plain"):
        compare(LAYOUTS, methods, judges, reference=[], folder=tmp_path, pairs=[("guided", "plain")])
    with pytest.raises(ResultError, match="got 1 for 12 layouts"):
        compare(LAYOUTS, methods, judges, reference=[], folder=tmp_path, ceiling=[draw(LAYOUTS[0])])
    with pytest.raises(ResultError, match="painting 2 layouts for plain gave 0 images"):
        paint_all(lambda layouts, seeds: [], LAYOUTS[:2], [0, 1], tmp_path / "plain")

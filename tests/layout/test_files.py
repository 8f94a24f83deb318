"""Layout files: three shapes in, two out, and one clear line for every kind of damage."""

import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from scenograph.errors import LayoutError
from scenograph.layout import Layout, load_layouts, save_layouts
from tests.layout.strategies import layouts

GOOD = '{"caption": "ein Hündchen, 猫", "instances": [{"caption": "a dog", "box": [0.1, 0.1, 0.5, 0.5]}]}'


def with_box(box: str) -> str:
    return GOOD.replace("[0.1, 0.1, 0.5, 0.5]", box)


@pytest.mark.parametrize(
    ("text", "count"),
    [
        (GOOD, 1),
        ("\ufeff" + GOOD, 1),
        (json.dumps(json.loads(GOOD), indent=2), 1),
        (f"[{GOOD},\n{GOOD}]", 2),
        (f"{GOOD}\n\n{GOOD}\r\n{GOOD}\n", 3),
        (GOOD.replace("ein", "\u2028"), 1),
    ],
)
def test_shapes_of_a_file(tmp_path: Path, text: str, count: int) -> None:
    path = tmp_path / "layouts.any"
    path.write_bytes(text.encode())
    assert len(load_layouts(path)) == count
    assert load_layouts(str(path))[-1].instances[0].label == "dog"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (GOOD[:50], "line 1, column 47: the JSON ends too early, as if cut short"),
        (GOOD[:-1], "the JSON ends too early"),
        (json.dumps(json.loads(GOOD), indent=2)[:-3], "line 13, column 3: the JSON ends too early"),
        (b"\x89PNG\r\n\x1a\n\x00\x00", "byte 0 is 0x89, which is not UTF-8 text"),
        (GOOD.encode("utf-16"), "not UTF-8 text"),
        ("", "it is empty"),
        (" \n\n", "it is empty"),
        ("[]", "the array is empty"),
        ("[" * 100_000, "nests too deeply"),
        ("3", "layout is 3 (int)"),
        ("{'caption': 'dog'}", "line 1, column 2: no valid JSON here"),
        (GOOD + "}", "line 1, column 97: no valid JSON here (Extra data)"),
        (json.dumps(json.loads(GOOD), indent=2) + "\n]", "Extra data"),
        (with_box("[NaN, 0, 1, 1]"), "NaN is no JSON number"),
        (with_box("[0, 0, 1, -Infinity]"), "-Infinity is no JSON number"),
        (with_box("[0, 0, 1e999, 1]"), "instances[0]: box x1 is inf"),
        (with_box("[" + "9" * 5000 + ", 0, 1, 1]"), "more than 4300 digits"),
        (with_box("[" + "9" * 4000 + ", 0, 1, 1]"), "expected a finite number"),
        (with_box('[0, 0, 1, 1], "box": [0, 0, 1, 1]'), "key 'box' stands twice"),
        (with_box("[0.5, 0, 0.2, 1]"), "instances[0]: box [0.5, 0.0, 0.2, 1.0] is inverted"),
        (with_box("[10, 20, 300, 400]"), "looks like pixels"),
        (GOOD.replace("ein", "\\ud800"), "half of a surrogate pair"),
        (f"{GOOD}\n\n{with_box('[0, 0, 0, 1]')}\n", "line 3: instances[0]: box [0.0, 0.0, 0.0, 1.0] has no area"),
        (f"{GOOD}\n{GOOD[:60]}", "line 2, column 58: the JSON ends too early"),
        (f"{GOOD}\n{GOOD}\n{with_box('[NaN, 0, 1, 1]')}", "line 3: NaN"),
        (
            f"[{GOOD}, {with_box('[0, 0, 2, 2]')}]",
            "layouts[1]: instances[0]: box [0.0, 0.0, 2.0, 2.0] looks like pixels",
        ),
    ],
)
def test_damaged_files(tmp_path: Path, data: str | bytes, message: str) -> None:
    path = tmp_path / "scene.json"
    path.write_bytes(data if isinstance(data, bytes) else data.encode())
    with pytest.raises(LayoutError) as caught:
        load_layouts(path)
    assert str(caught.value).startswith(f"{path}: ")
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
    assert len(str(caught.value)) < 400 + len(str(path))


def test_no_such_file(tmp_path: Path) -> None:
    for path in (tmp_path, tmp_path / "none.json", "nul\0byte"):
        with pytest.raises(LayoutError, match="cannot be read"):
            load_layouts(path)


@given(layouts_=st.lists(layouts(), min_size=1, max_size=4), suffix=st.sampled_from([".json", ".jsonl", ""]))
def test_files_lose_nothing(tmp_path_factory: pytest.TempPathFactory, layouts_: list[Layout], suffix: str) -> None:
    path = tmp_path_factory.getbasetemp() / f"layouts{suffix}"
    save_layouts(path, layouts_)
    assert load_layouts(path) == layouts_


def test_what_is_saved(tmp_path: Path) -> None:
    layout = Layout.from_json(GOOD)
    save_layouts(tmp_path / "many.jsonl", [layout, layout])
    assert (tmp_path / "many.jsonl").read_text(encoding="utf-8") == f"{GOOD}\n{GOOD}\n"
    save_layouts(tmp_path / "one.json", [layout])
    assert json.loads((tmp_path / "one.json").read_text(encoding="utf-8")) == json.loads(GOOD)
    save_layouts(tmp_path / "two.json", [layout, layout])
    assert len(json.loads((tmp_path / "two.json").read_text(encoding="utf-8"))) == 2


def test_nothing_or_nowhere_to_save(tmp_path: Path) -> None:
    with pytest.raises(LayoutError, match="no layouts to save"):
        save_layouts(tmp_path / "none.jsonl", [])
    with pytest.raises(LayoutError, match="cannot be written"):
        save_layouts(tmp_path / "missing" / "x.json", [Layout.from_json(GOOD)])


@given(st.binary(max_size=60) | st.text(max_size=60).map(lambda text: text.encode("utf-8", "surrogatepass")))
def test_any_bytes_are_a_layout_or_a_layout_error(data: bytes) -> None:
    _read(data)


@given(st.data())
def test_a_damaged_layout_is_a_layout_or_a_layout_error(data: st.DataObject) -> None:
    text = bytearray(GOOD.encode())
    for _ in range(data.draw(st.integers(1, 4))):
        text[data.draw(st.integers(0, len(text) - 1))] = data.draw(st.integers(0, 255))
    del text[data.draw(st.integers(0, len(text))) :]
    _read(bytes(text))


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from(["caption", "instances", "box", "size", "label", "score", "x"]), inner, max_size=4
        )
    ),
    max_leaves=20,
)


@given(json_values)
def test_any_json_is_a_layout_or_a_layout_error(value: object) -> None:
    _read(json.dumps(value).encode())


def _read(data: bytes) -> None:
    """Only a LayoutError of one line may come out, or a layout that is good."""
    try:
        layout = Layout.from_json(data)
    except LayoutError as error:
        assert len(str(error).splitlines()) == 1
    else:
        assert Layout.from_json(layout.to_json()) == layout

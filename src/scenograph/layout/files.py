"""Layout files: one JSON object, a JSON array, or JSON Lines with a layout a line; read by content, saved by suffix."""

from collections.abc import Iterable
from pathlib import Path

from scenograph.errors import LayoutError
from scenograph.files import write_whole
from scenograph.layout import jsontext
from scenograph.layout.layout import Layout
from scenograph.layout.values import located

__all__ = ["load_layouts", "save_layouts"]


def load_layouts(path: str | Path) -> list[Layout]:
    """The layouts in a file, at least one.

    Raises:
        LayoutError: the file cannot be read, is empty or damaged, or a layout in it is not valid; the message names the
            file, the line or the layout, and the instance.
    """
    with located(str(path)):
        try:
            data = Path(path).read_bytes()
        except (OSError, ValueError) as error:  # ValueError: a zero byte in the name
            reason = getattr(error, "strerror", None) or error
            raise LayoutError(f"cannot be read ({reason}); expected a JSON or JSON Lines file of layouts") from None
        values = jsontext.parse_lines(jsontext.decode(data))
        if len(values) == 1 and isinstance(values[0][1], list):
            values = [(f"layouts[{index}]", item) for index, item in enumerate(values[0][1])]
        if not values:
            raise LayoutError("the array is empty; expected at least one layout")
        layouts = []
        for where, value in values:
            if where:
                with located(where):
                    layouts.append(Layout.from_dict(value))
            else:
                layouts.append(Layout.from_dict(value))
    return layouts


def save_layouts(path: str | Path, layouts: Iterable[Layout]) -> None:
    """Write layouts: `.json` holds one object or, for several, an array; any other suffix holds JSON Lines. The file is
    written whole or not at all.

    Raises:
        LayoutError: there is nothing to write, or the file cannot be written.
    """
    layouts = list(layouts)
    if not layouts:
        raise LayoutError(f"{path}: no layouts to save; expected at least one")
    if Path(path).suffix != ".json":
        text = "".join(layout.to_json() + "\n" for layout in layouts)
    elif len(layouts) == 1:
        text = layouts[0].to_json(indent=2) + "\n"
    else:
        text = "[\n" + ",\n".join(layout.to_json() for layout in layouts) + "\n]\n"
    try:
        write_whole(path, text)
    except OSError as error:
        raise LayoutError(
            f"{path}: cannot be written ({error.strerror}); give a file in a folder that exists"
        ) from None

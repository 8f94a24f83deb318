"""The recipe behind the table of typical sizes, on pictures made so that the answer is known."""

import json
from pathlib import Path

import pytest

from scenograph.recipes.noun_sizes import main, measure


def test_a_camera_that_comes_near_does_not_change_the_sizes(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    rows = []
    for near in (0.5, 0.7, 0.9, 1.0, 1.2):
        cup, bus = 0.1 * near, 0.4 * near
        boxes = [("cup", [0.0, 0.0, cup, cup]), ("bus", [0.5 - bus / 2, 0.5, 0.5 + bus / 2, 0.5 + bus])]
        instances = [{"caption": name, "box": box} for name, box in boxes]
        rows.append(json.dumps({"width": 640, "height": 320, "instances": instances}))
    path = tmp_path / "layouts.jsonl"
    path.write_text("\n".join(rows))
    sizes = measure(path)
    assert sizes["bus"][0] / sizes["cup"][0] == pytest.approx(4, rel=0.01)
    assert sizes["cup"][1] == pytest.approx(2)
    main([str(path)])
    assert capsys.readouterr().out.startswith("bus 0.")

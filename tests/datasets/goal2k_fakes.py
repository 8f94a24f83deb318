"""A painter, a grounder and a server for builds without models, as small as they can be."""

from __future__ import annotations

import base64
import io
import json
import threading
from collections.abc import Callable, Iterator, Sequence
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import numpy as np
from PIL import Image

from scenograph.datasets.goal2k.build import Built, Goal2K, build
from scenograph.datasets.goal2k.endpoint import Painted
from scenograph.layout import Box, Instance, Layout

SIZE = (96, 64)
Answer = Callable[[dict[str, Any]], tuple[int, Any]]
"""The body of a request → status and what is sent back."""


class FixedPainter:
    """Paints the seed as a colour, and keeps a line for every picture in a file, as a bill."""

    def __init__(self, bill: Path, spoil: Callable[[int, str], None] = lambda count, prompt: None) -> None:
        self.bill, self.spoil = bill, spoil

    def paint(self, layouts: Sequence[Layout], *, seeds: Sequence[int]) -> Iterator[Painted]:
        for layout, seed in zip(layouts, seeds, strict=True):
            self.spoil(len(self.billed()), layout.caption)
            with self.bill.open("a") as file:
                file.write(layout.caption + "\n")
            colour = np.random.default_rng(seed).integers(40, 220, 3)
            yield Painted(image=Image.new("RGB", SIZE, tuple(colour.tolist())), details={"seed": seed})

    def billed(self) -> list[str]:
        return self.bill.read_text().splitlines() if self.bill.exists() else []


class FixedGrounder:
    """Sees every word asked for once, side by side; `labels` are all it knows."""

    def __init__(
        self, labels: tuple[str, ...] | None = None, spoil: Callable[[int], None] = lambda count: None
    ) -> None:
        self.labels, self.spoil, self.asked = labels, spoil, list[list[str]]()

    def detect(self, images: Sequence[Image.Image], vocabulary: Sequence[str]) -> list[Layout]:
        self.spoil(len(self.asked))
        self.asked.append(list(vocabulary))
        share = 1 / max(1, len(vocabulary))
        boxes = [Box(i * share, 0.25, (i + 1) * share, 0.75) for i in range(len(vocabulary))]
        instances = [
            Instance(caption=word, label=word, box=box, score=0.9) for word, box in zip(vocabulary, boxes, strict=True)
        ]
        return [Layout(caption="seen", instances=tuple(instances), size=image.size) for image in images]


def png(colour: tuple[int, int, int] = (200, 30, 30)) -> str:
    """A picture as an endpoint sends it."""
    file = io.BytesIO()
    Image.new("RGB", (32, 32), colour).save(file, format="PNG")
    return base64.b64encode(file.getvalue()).decode()


class Server:
    """Answers every POST by a function of its body: (status, JSON or bytes). Keeps what it was asked."""

    def __init__(self, answer: Answer) -> None:
        self.answer, self.asked = answer, list[dict[str, Any]]()
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"]))) | {"path": self.path}
                outer.asked.append(request)
                self.reply(*outer.answer(request))

            def do_GET(self) -> None:
                self.reply(200, base64.b64decode(png((10, 200, 10))))

            def reply(self, status: int, body: Any) -> None:
                data = body if isinstance(body, bytes) else json.dumps(body).encode()
                self.send_response(status)
                self.send_header("Content-Type", "application/json")
                self.send_header("Content-Length", str(len(data)))
                self.send_header("retry-after-ms", "1")
                self.end_headers()
                self.wfile.write(data)

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.root = f"http://127.0.0.1:{self.server.server_port}"
        self.url = f"{self.root}/v1"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()

    def stop(self) -> None:
        self.server.shutdown()
        self.server.server_close()

    def prompts(self) -> list[str]:
        return [asked["prompt"] for asked in self.asked if "prompt" in asked]


def failure(status: int, message: str, code: str | None = None) -> tuple[int, Any]:
    return status, {"error": {"message": message, "type": "x", "param": None, "code": code}}


def built(
    folder: Path, *, painter: Any = None, grounder: Any = None, names: tuple[str, str] = ("p", "g"), **plan: Any
) -> Built:
    wording = plan.pop("wording", None)
    asked = Goal2K(folder=folder, **({"count": 6} | plan))
    return build(
        asked,
        lambda: painter or FixedPainter(folder / "bill"),
        lambda: grounder or FixedGrounder(),
        painter_name=names[0],
        grounder_name=names[1],
        wording=wording,
        progress=False,
    )


def rows_of(path: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in path.read_text().splitlines()]


def rewrite(path: Path, change: Callable[[list[str]], list[str] | None]) -> None:
    """Edit the cells of every picture's line of a review."""
    lines = []
    for line in path.read_text().splitlines():
        cells = line.split("\t")
        if not line.startswith("#") and cells[0] != "id":
            cells = change(cells) or cells
        lines.append("\t".join(cells))
    path.write_text("\n".join(lines) + "\n")


def decide(path: Path, *verdicts: str) -> None:
    left = iter(verdicts)
    rewrite(path, lambda cells: [cells[0], next(left, "accept"), *cells[2:]])

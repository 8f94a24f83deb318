"""The endpoint planner against a real HTTP server that speaks the OpenAI chat protocol, well and badly."""

from __future__ import annotations

import json
import threading
import time
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from scenograph.errors import PlanError
from scenograph.layout import Layout
from scenograph.planning.examples import Examples
from scenograph.planning.language_model import EndpointPlanner

OBJECTS = [
    {"caption": "a cat", "x": 100, "y": 200, "w": 300, "h": 400},
    {"caption": "a dog", "x": 600, "y": 200, "w": 900, "h": 400},
]
GOOD = json.dumps({"objects": OBJECTS})
Reply = dict[str, Any]


def answer(content: str | None, *, finish: str = "stop", refusal: str | None = None, usage: bool = True) -> Reply:
    message = {"role": "assistant", "content": content, "refusal": refusal}
    body: dict[str, Any] = {"id": "1", "object": "chat.completion", "created": 1, "model": "m"}
    body["choices"] = [{"index": 0, "finish_reason": finish, "message": message}]
    if usage:
        body["usage"] = {"prompt_tokens": 1000, "completion_tokens": 50, "total_tokens": 1050}
    return {"status": 200, "body": body}


def failure(status: int, message: str = "no") -> Reply:
    return {"status": status, "body": {"error": {"message": message, "type": "x", "param": None, "code": None}}}


class Server:
    """Answers requests from a list, then with its last entry for ever; keeps what it was asked."""

    def __init__(self) -> None:
        self.replies: list[Reply | Callable[[dict[str, Any]], Reply]] = []
        self.asked: list[dict[str, Any]] = []
        self.headers: list[dict[str, str]] = []
        outer = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                request = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
                outer.asked.append(request | {"path": self.path})
                outer.headers.append({k.lower(): v for k, v in self.headers.items()})
                reply = outer.replies.pop(0) if len(outer.replies) > 1 else outer.replies[0]
                reply = reply(request) if callable(reply) else reply
                time.sleep(reply.get("wait", 0))
                data = reply["body"] if isinstance(reply["body"], bytes) else json.dumps(reply["body"]).encode()
                try:
                    self.send_response(reply["status"])
                    self.send_header("Content-Type", "application/json")
                    self.send_header("Content-Length", str(reply.get("length", len(data))))
                    self.send_header("retry-after-ms", "1")
                    self.end_headers()
                    self.wfile.write(data)
                except OSError:
                    pass  # the client did not wait

            def log_message(self, *_: object) -> None:
                pass

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self.server.server_port}/v1"
        threading.Thread(target=self.server.serve_forever, daemon=True).start()


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    for name in ("OPENAI_API_KEY", "SCENOGRAPH_API_KEY"):
        monkeypatch.delenv(name, raising=False)
    running = Server()
    yield running
    running.server.shutdown()
    running.server.server_close()


def planner(server: Server, **options: Any) -> EndpointPlanner:
    return EndpointPlanner(model="m", base_url=server.url, **options)


def test_an_answer_becomes_a_layout(server: Server) -> None:
    server.replies = [answer(GOOD)]
    plan = planner(server, price_in=2.0, price_out=10.0, temperature=0.5).plan(
        "a cat and a dog", seed=7, size=(640, 640)
    )
    assert plan.layout.caption == "a cat and a dog" and plan.layout.size == (640, 640) and not plan.changes
    assert [tuple(i.box) for i in plan.layout.instances] == [(0.1, 0.2, 0.4, 0.6), (0.6, 0.2, 1.0, 0.6)]
    assert Layout.from_json(plan.layout.to_json()) == plan.layout
    assert plan.usage is not None
    assert (plan.usage.requests, plan.usage.tokens_in, plan.usage.tokens_out) == (1, 1000, 50)
    assert plan.usage.cost == pytest.approx(0.0025)
    (asked,) = server.asked
    assert asked["path"] == "/v1/chat/completions" and asked["model"] == "m"
    assert (asked["seed"], asked["temperature"]) == (7, 0.5)
    assert asked["response_format"]["json_schema"]["strict"] is True
    assert asked["messages"][-1] == {"role": "user", "content": "a cat and a dog"}


def test_in_context_examples_are_the_nearest(server: Server) -> None:
    server.replies = [answer(GOOD)]
    examples = Examples.shipped()
    planner(server, examples=examples, shots=3).plan("a bird on top of a truck")
    shown = [m["content"] for m in server.asked[0]["messages"] if m["role"] == "user"][:-1]
    assert len(shown) == 3 and shown[-1] == "a bird on top of a bus"


@pytest.mark.parametrize("status", [429, 500, 503])
def test_a_passing_error_is_asked_again(server: Server, status: int) -> None:
    server.replies = [failure(status), failure(status), answer(GOOD)]
    assert len(planner(server).plan("a cat and a dog").layout.instances) == 2
    assert len(server.asked) == 3


@pytest.mark.parametrize(
    ("status", "message"), [(500, "answers 500"), (429, "answers 429"), (401, "check the key"), (404, "the model")]
)
def test_a_lasting_error_is_one_line(server: Server, status: int, message: str) -> None:
    server.replies = [failure(status, "something\nlong")]
    with pytest.raises(PlanError, match=message) as raised:
        planner(server, retries=1).plan("a cat")
    assert "\n" not in str(raised.value) and "something long" in str(raised.value)
    assert len(server.asked) == (1 if status < 429 else 2)


@pytest.mark.parametrize(
    "bad",
    [
        answer('{"objects": [{"caption": "a cat", "x": 1'),
        answer("Here is your layout: a cat on the left."),
        answer(GOOD[:70], finish="length"),
        answer('{"objects": [{"caption": "a cat", "x": 0.1, "y": 0, "w": 1, "h": 1}]}'),
        answer('{"objects": [{"caption": "  ", "x": 1, "y": 0, "w": 1, "h": 1}]}'),
        answer('{"objects": [{"caption": "a cat", "x": 1, "y": 0, "w": 0, "h": 1}]}'),
        answer(json.dumps({"objects": OBJECTS * 501})),
        answer('{"objects": [{"caption": "a \\ud83d cat", "x": 1, "y": 0, "w": 1, "h": 1}]}'),
        answer("[]"),
        answer(""),
        answer(None),
    ],
)
def test_an_unusable_answer_is_sent_back(server: Server, bad: Reply) -> None:
    server.replies = [bad, answer(GOOD)]
    plan = planner(server).plan("a cat and a dog")
    assert len(plan.layout.instances) == 2 and not plan.changes
    assert plan.usage is not None and plan.usage.requests == 2 and plan.usage.tokens_in == 2000
    roles = [m["role"] for m in server.asked[1]["messages"]]
    assert (
        roles[-3:] == ["user", "assistant", "user"] and "cannot be used" in server.asked[1]["messages"][-1]["content"]
    )


def test_what_stays_broken_is_repaired_and_said(server: Server) -> None:
    half = '{"objects":[{"caption":"a cat","x":100,"y":200,"w":300,"h":-100},{"caption":"a do'
    server.replies = [answer(half, finish="length")]
    plan = planner(server, retries=1).plan("a cat and a dog")
    assert [i.caption for i in plan.layout.instances] == ["a cat"] and plan.changes
    assert len(server.asked) == 2


def test_what_cannot_be_repaired_is_one_line(server: Server) -> None:
    server.replies = [answer("I would rather not\nsay.")]
    with pytest.raises(PlanError, match="answered 2 times without a usable layout"):
        planner(server, retries=1).plan("a cat")


def test_a_slow_endpoint_is_left(server: Server) -> None:
    server.replies = [answer(GOOD) | {"wait": 3.0}]
    started = time.monotonic()
    with pytest.raises(PlanError, match=r"no answer in 0\.2 s"):
        planner(server, timeout=0.2, retries=1).plan("a cat")
    assert time.monotonic() - started < 3 and len(server.asked) == 2


def test_a_refusal_is_said(server: Server) -> None:
    server.replies = [answer(None, refusal="I cannot help with that.")]
    with pytest.raises(PlanError, match=r"refuses: I cannot help with that\."):
        planner(server).plan("a cat")


def test_an_endpoint_without_structured_output_is_asked_without(server: Server) -> None:
    def picky(request: dict[str, Any]) -> Reply:
        kind = request.get("response_format", {}).get("type")
        return answer(GOOD) if kind is None and "seed" not in request else failure(400, f"{kind} is unknown")

    server.replies = [picky]
    asking = planner(server)
    assert len(asking.plan("a cat and a dog").layout.instances) == 2
    kinds = [a.get("response_format", {}).get("type") for a in server.asked]
    assert kinds == ["json_schema", "json_object", None]
    asking.plan("a cat and a dog")
    assert len(server.asked) == 4  # it is remembered


def test_a_refused_prompt_leaves_the_others_their_format(server: Server) -> None:
    def careful(request: dict[str, Any]) -> Reply:
        bad = "bomb" in request["messages"][-1]["content"]
        return failure(400, "the content filter") if bad else answer(GOOD)

    server.replies = [careful]
    asking = planner(server)
    with pytest.raises(PlanError, match="content filter"):
        asking.plan("a bomb")
    asking.plan("a cat and a dog")
    assert server.asked[-1]["response_format"]["type"] == "json_schema" and "seed" in server.asked[-1]


def test_a_request_refused_in_every_form_is_one_line(server: Server) -> None:
    server.replies = [failure(400, "no such model")]
    with pytest.raises(PlanError, match="no such model"):
        planner(server).plan("a cat")


@pytest.mark.parametrize(
    "body", [b"<html>Welcome to our proxy</html>", b'{"choices": []}', b"{}", b'{"choices": [{"mess', b"null"]
)
def test_a_server_of_another_kind_is_one_line(server: Server, body: bytes) -> None:
    server.replies = [{"status": 200, "body": body}]
    with pytest.raises(PlanError):
        planner(server, retries=0).plan("a cat")


def test_half_a_body_is_one_line(server: Server) -> None:
    server.replies = [answer(GOOD) | {"length": 100_000}]
    with pytest.raises(PlanError):
        planner(server, timeout=1.0, retries=0).plan("a cat")


def test_usage_may_be_missing(server: Server) -> None:
    server.replies = [answer(GOOD, usage=False)]
    usage = planner(server).plan("a cat and a dog").usage
    assert usage is not None and (usage.requests, usage.tokens_in, usage.cost) == (1, 0, None)


def test_nobody_there() -> None:
    with pytest.raises(PlanError, match=r"cannot reach http://127\.0\.0\.1:1/v1"):
        EndpointPlanner(model="m", base_url="http://127.0.0.1:1/v1", retries=0).plan("a cat")


def test_keys(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    with pytest.raises(PlanError, match="OPENAI_API_KEY"):
        EndpointPlanner(model="m").plan("a cat")
    server.replies = [answer(GOOD)]
    monkeypatch.setenv("OPENAI_API_KEY", "sk-secret")
    asking = planner(server)
    asking.plan("a cat and a dog")
    assert server.headers[0]["authorization"] == "Bearer sk-secret"
    assert "sk-secret" not in repr(asking) + repr(planner(server, api_key="sk-secret"))


def test_an_empty_prompt_asks_nobody(server: Server) -> None:
    with pytest.raises(PlanError, match="empty"):
        planner(server).plan(" \n")
    assert not server.asked

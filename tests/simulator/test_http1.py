"""The HTTP server on the wire, with callers that behave and callers that do not."""

from __future__ import annotations

import pytest

from aceproxy.simulator import Simulator
from aceproxy.simulator.http1 import BadRequestError, parse_head
from tests.simulator.wire import Wire, ask

VERSION = "/webui/api/service?method=get_version"


async def test_answers_look_like_the_engines(simulator: Simulator) -> None:
    reply = await ask(simulator, VERSION)
    assert reply.head.startswith(b"HTTP/1.1 200 OK\r\nServer: BaseHTTP/0.6 Python/3.8.16\r\nDate: ")
    assert reply.headers["content-type"] == "application/json"
    assert reply.headers["access-control-allow-origin"] == "*"
    assert int(reply.headers["content-length"]) == len(reply.body)


async def test_a_connection_serves_one_request_after_the_other(simulator: Simulator) -> None:
    wire = await Wire.open(simulator)
    for _ in range(3):
        wire.send(VERSION)
        assert (await wire.reply()).json["error"] is None
    wire.send(VERSION, headers="Connection: close\r\n")
    assert (await wire.reply()).status == 200
    assert await wire.rest() == b""
    await wire.close()


async def test_requests_sent_together_are_answered_in_order(simulator: Simulator) -> None:
    wire = await Wire.open(simulator)
    wire.send(VERSION)
    wire.send("/nowhere")
    assert [(await wire.reply()).status, (await wire.reply()).status] == [200, 404]
    await wire.close()


async def test_head_has_the_headers_and_no_body(simulator: Simulator) -> None:
    wire = await Wire.open(simulator)
    wire.send(VERSION, method="HEAD")
    reply = await wire.reply(with_body=False)
    assert int(reply.headers["content-length"]) > 50
    wire.send(VERSION, headers="Connection: close\r\n")
    assert (await wire.rest()).startswith(b"HTTP/1.1 200")
    await wire.close()


async def test_http_1_0_is_closed_after_the_answer(simulator: Simulator) -> None:
    wire = await Wire.open(simulator)
    wire.writer.write(f"GET {VERSION} HTTP/1.0\r\n\r\n".encode())
    assert b'"error": null' in await wire.rest()
    await wire.close()


@pytest.mark.parametrize(
    ("sent", "status"),
    [
        (b"\x16\x03\x01\x02\x00\x01\r\n\r\n", 400),
        (b"GET /\r\n\r\n", 400),
        (b"GET / HTTP/3.0\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nno colon\r\n\r\n", 400),
        (b"GET / HTTP/1.1\r\nbad : space\r\n\r\n", 400),
        (b"GET http://[::bad/ HTTP/1.1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: -1\r\n\r\n", 400),
        (b"POST / HTTP/1.1\r\nContent-Length: 99999999\r\n\r\n", 413),
        (b"POST / HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", 411),
        (b"GET / HTTP/1.1\r\nX: " + b"x" * 40_000, 431),
        (b"BREW /ace/getstream HTTP/1.1\r\n\r\n", 501),
    ],
)
async def test_bad_requests_are_refused_and_nobody_else_notices(simulator: Simulator, sent: bytes, status: int) -> None:
    wire = await Wire.open(simulator)
    wire.writer.write(sent)
    assert (await wire.reply()).status == status
    await wire.close()
    assert (await ask(simulator, VERSION)).status == 200


async def test_a_caller_that_expects_100_continue_gets_it(simulator: Simulator) -> None:
    wire = await Wire.open(simulator)
    wire.send("/ace/getstream?format=json", method="POST", headers="Content-Length: 3\r\nExpect: 100-continue\r\n")
    assert (await wire.head())[0] == 100
    wire.writer.write(b"abc")
    assert (await wire.reply()).json["error"] == "failed to load content"
    await wire.close()


def test_the_first_of_two_equal_headers_counts() -> None:
    assert parse_head(b"GET / HTTP/1.1\r\nA: 1\r\na: 2")[3] == {"a": "1"}
    with pytest.raises(BadRequestError):
        parse_head(b"G3T / HTTP/1.1")

"""The tests' own judges must be able to find fault; a judge that always nods proves nothing."""

from __future__ import annotations

import json
import socket
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import pytest

from tests.system.oracle import PACKET, faults_in, place_in, preamble_packets
from tests.system.players import Crowd

PAT = bytes.fromhex("4740001000 00b00d0001c100000001e100") + bytes(4)
PMT = bytes.fromhex("4741001000 02b0120001c10000e101f0001be101f000") + bytes(4)


def packet(pid: int, counter: int, fill: int) -> bytes:
    """Return a packet with a payload."""
    return bytes([0x47, pid >> 8, pid & 255, 0x10 | counter & 15]) + fill.to_bytes(4, "big") * 46


def stream(count: int) -> bytes:
    """Return tables and `count` numbered packets."""
    tables = PAT.ljust(PACKET, b"\xff") + PMT.ljust(PACKET, b"\xff")
    return tables + b"".join(packet(0x101, number, number) for number in range(count))


def test_a_sound_stream_has_no_faults() -> None:
    assert faults_in(stream(100)) == []
    assert preamble_packets(stream(100)) == 2


def test_a_missing_a_doubled_and_a_shifted_packet_are_found() -> None:
    whole = stream(100)
    assert faults_in(whole[: 50 * PACKET] + whole[51 * PACKET :]) == ["packet 50: PID 257 goes from 15 to 1"]
    assert faults_in(whole[: 50 * PACKET + 3] + whole[50 * PACKET + 4 :]) == ["packet 51 has no sync byte"]
    assert faults_in(whole[: 50 * PACKET] + whole[40 * PACKET :]) != []


def test_a_body_is_found_in_its_source_or_not_at_all() -> None:
    whole = stream(100)
    assert place_in(whole, whole[: 2 * PACKET] + whole[30 * PACKET :]) == (30 * PACKET, 2)
    with pytest.raises(AssertionError):
        place_in(whole, whole[: 60 * PACKET] + whole[61 * PACKET :])
    with pytest.raises(AssertionError):
        place_in(whole, whole[: 60 * PACKET + 9] + b"x" + whole[60 * PACKET + 10 :])


@pytest.fixture
def serve() -> Iterator[Callable[[list[bytes]], str]]:
    """Return a function that serves one body to the first caller, the next to the second, and so on."""
    servers: list[ThreadingHTTPServer] = []

    def start(bodies: list[bytes]) -> str:
        left = list(bodies)

        class Answers(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                body = left.pop(0)
                self.send_response(200)
                self.end_headers()
                self.wfile.write(body)
                self.connection.shutdown(socket.SHUT_RD)
                released.wait(10)

            def log_message(self, format: str, *args: Any) -> None:  # noqa: A002 - as http.server has it
                """Say nothing."""

        server = ThreadingHTTPServer(("127.0.0.1", 0), Answers)
        servers.append(server)
        threading.Thread(target=server.serve_forever, args=(0.05,), daemon=True).start()
        return f"http://127.0.0.1:{server.server_port}/"

    released = threading.Event()
    yield start
    released.set()
    for server in servers:
        server.shutdown()
        server.server_close()


def verdict(url: str, bodies: list[bytes]) -> dict[str, Any]:
    """Let a crowd of two read two bodies."""
    crowd = Crowd(url)
    for number, body in enumerate(bodies):
        crowd.connect()
        while crowd.players[number].received < len(body) and not crowd.players[number].fault:
            crowd.turn()
    found: dict[str, Any] = json.loads(json.dumps(crowd.verdict()))
    for player in crowd.players:
        player.connection.close()
    return found


def test_the_crowd_accepts_equal_bytes_and_notices_one_that_differs(serve: Callable[[list[bytes]], str]) -> None:
    whole = stream(2000)
    late = whole[: 2 * PACKET] + whole[700 * PACKET :]
    good = verdict(serve([whole, late]), [whole, late])
    assert (good["faults"], good["not_placed"], good["uncompared_bytes"], good["with_tables_first"]) == ([], 0, 0, 2)
    assert good["bad_starts"] == []
    spoilt = bytearray(late)
    spoilt[-5] ^= 1
    bad = verdict(serve([whole, bytes(spoilt)]), [whole, bytes(spoilt)])
    assert bad["fault_count"] == 1
    assert "differs" in bad["faults"][0]

"""A small HTTP client of the tests' own: whole answers, and media bodies that are read in the background."""

from __future__ import annotations

import http.client
import json
import socket
import threading
import time
from dataclasses import dataclass
from typing import Any
from urllib.parse import urlsplit

import pytest

KEPT_BYTES = 256 << 20


@dataclass(frozen=True)
class Reply:
    """A whole answer. Names of headers are in lower case."""

    status: int
    headers: dict[str, str]
    body: bytes

    def json(self) -> Any:
        """Return the body as JSON."""
        return json.loads(self.body)

    @property
    def reason(self) -> str:
        """The reason of an error answer, whose shape is checked on the way."""
        assert self.headers["content-type"] == "application/json; charset=utf-8"
        answer = self.json()
        assert set(answer) == {"error"}
        assert set(answer["error"]) == {"reason", "message", "fault", "detail"}
        assert answer["error"]["message"]
        assert answer["error"]["fault"] in ("client", "proxy", "engine", "swarm", "none")
        return str(answer["error"]["reason"])


def ask(method: str, url: str, *, limit_s: float = 20.0, body: bytes | None = None, secret: str | None = None) -> Reply:
    """Send one request and return the whole answer. The path goes out as it is, also where it is no legal one."""
    parts = urlsplit(url)
    connection = http.client.HTTPConnection(parts.hostname or "", parts.port, timeout=limit_s)
    try:
        headers = {} if secret is None else {"Authorization": f"Bearer {secret}"}
        connection.request(method, url.partition(parts.netloc)[2] or "/", body=body, headers=headers)
        answer = connection.getresponse()
        told = {name.lower(): value for name, value in answer.getheaders()}
        return Reply(answer.status, told, answer.read())
    finally:
        connection.close()


def raw(port: int, request: bytes, limit_s: float = 20.0) -> bytes:
    """Send bytes on a new connection and return what comes until it is closed."""
    with socket.create_connection(("127.0.0.1", port), timeout=limit_s) as connection:
        connection.sendall(request)
        answer = bytearray()
        while part := connection.recv(65536):
            answer += part
        return bytes(answer)


class Viewer:
    """A player that decodes nothing: reads a media body in a thread of its own and keeps it.

    `status`, `headers` and `first_byte_s` are set once the answer has begun; `body` grows; `ended` is set at the end,
    `broken` tells whether that was a reset.
    """

    def __init__(self, url: str, *, start_limit_s: float = 40.0, receive_bytes: int = 0) -> None:
        """Connect, ask, and return with the headers. `receive_bytes` makes the socket's buffer small."""
        parts = urlsplit(url)
        self.body = bytearray()
        self.arrivals: list[tuple[float, int]] = []  # monotonic time, and how many bytes there were then
        self.ended = threading.Event()
        self.broken = False
        self.began_at = time.monotonic()
        self._socket = socket.socket()
        if receive_bytes:
            self._socket.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        self._socket.settimeout(start_limit_s)
        self._socket.connect((parts.hostname or "", parts.port or 80))
        path = url.partition(parts.netloc)[2]
        self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: viewer\r\n\r\n".encode())
        head = bytearray()
        while b"\r\n\r\n" not in head:
            part = self._socket.recv(65536)
            if not part:
                pytest.fail(f"the connection ended in the headers: {bytes(head)!r}")
            head += part
        self.first_byte_s = time.monotonic() - self.began_at
        lines, _, rest = bytes(head).partition(b"\r\n\r\n")
        first, *others = lines.decode("latin-1").split("\r\n")
        self.status = int(first.split()[1])
        self.headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in others)}
        self.body += rest
        self.arrivals.append((time.monotonic(), len(rest)))
        self._thread = threading.Thread(target=self._read, daemon=True)
        self._thread.start()

    def _read(self) -> None:
        self._socket.settimeout(None)
        try:
            while len(self.body) < KEPT_BYTES and (part := self._socket.recv(262144)):
                self.body += part
                self.arrivals.append((time.monotonic(), len(self.body)))
        except OSError:
            self.broken = True
        self.ended.set()

    def wait_bytes(self, count: int, limit_s: float = 40.0) -> None:
        """Wait until `count` bytes of the body have come in all."""
        deadline_at = time.monotonic() + limit_s
        while len(self.body) < count:
            if self.ended.is_set():
                pytest.fail(f"ended after {len(self.body)} of {count} bytes")
            if time.monotonic() > deadline_at:
                pytest.fail(f"{len(self.body)} of {count} bytes within {limit_s:g} s")
            time.sleep(0.01)

    def wait_more(self, count: int, limit_s: float = 40.0) -> None:
        """Wait for `count` bytes more than there are now."""
        self.wait_bytes(len(self.body) + count, limit_s)

    def wait_end(self, limit_s: float = 30.0) -> None:
        """Wait for the end of the body."""
        if not self.ended.wait(limit_s):
            pytest.fail(f"the body has not ended within {limit_s:g} s; {len(self.body)} bytes came")

    def leave(self) -> None:
        """Close the connection."""
        try:
            self._socket.shutdown(socket.SHUT_RDWR)
        except OSError:
            self.broken = True  # the other side was quicker
        self._socket.close()
        self._thread.join(5)

    def __enter__(self) -> Viewer:
        """Use it as a context: it leaves at the end."""
        return self

    def __exit__(self, *_: object) -> None:
        """Leave."""
        self.leave()

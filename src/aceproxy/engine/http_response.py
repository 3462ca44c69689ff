"""The parts of HTTP/1.1 that reading an engine's media body needs: a response head and chunked framing.

Rules: RFC 9112 §2-§7, read by a client that asked one question on a connection of its own. Whatever could be read in
two ways is an error, not a guess: a second reader of one playback is sent two responses mixed into each other
(engine-api §4.1), and that must never pass for media.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass, field

HEAD_LIMIT_BYTES = 16 << 10
HEADER_LIMIT = 100  # header lines of one response
_SIZE_LINE_LIMIT = 256  # bytes of a chunk's size line, extensions included
_TRAILER_LIMIT_BYTES = 4096
STATUS_LINE_START = b"HTTP/1."

_STATUS_LINE = re.compile(r"HTTP/1\.[01] ([1-5][0-9]{2})(?: .*)?")
_HEADER = re.compile(r"([!#$%&'*+.^_`|~0-9A-Za-z-]+):[ \t]*(.*?)[ \t]*")
_SIZE = re.compile(rb"([0-9a-fA-F]{1,8})[ \t]*(?:;.*)?")


class BrokenResponseError(Exception):
    """The bytes are not the HTTP response they should be; the message says why."""


@dataclass(frozen=True, slots=True)
class ResponseHead:
    """Status and headers of a response; names in lower case. `length` is None where the connection's end ends it."""

    status: int
    headers: dict[str, str] = field(default_factory=dict)
    length: int | None = None
    chunked: bool = False


def head_end(received: bytes | bytearray) -> int:
    """Return where the body begins, behind the empty line; -1 while there is none."""
    ends = [place + len(mark) for mark in (b"\r\n\r\n", b"\n\n") if (place := received.find(mark)) >= 0]
    return min(ends, default=-1)


def parse_head(head: bytes) -> ResponseHead:
    """Read a response head, its empty line included. Raises BrokenResponseError."""
    lines = head.decode("latin-1").replace("\r\n", "\n").rstrip("\n").split("\n")
    status = _STATUS_LINE.fullmatch(lines[0])
    if status is None:
        raise BrokenResponseError("no HTTP status line")
    if len(lines) > HEADER_LIMIT:
        raise BrokenResponseError("too many headers")
    headers: dict[str, str] = {}
    for line in lines[1:]:
        header = _HEADER.fullmatch(line)
        if header is None:
            two = line.startswith(STATUS_LINE_START.decode())
            raise BrokenResponseError("two responses in one" if two else "a malformed header")
        name = header[1].lower()
        if name == "content-length" and headers.get(name, header[2]) != header[2]:
            raise BrokenResponseError("two different lengths")
        headers[name] = header[2]
    coding = headers.get("transfer-encoding", "").lower()
    if coding not in ("", "chunked", "identity") or headers.get("content-encoding", "identity").lower() != "identity":
        raise BrokenResponseError("an encoding that was not asked for")
    length = headers.get("content-length")
    if length is not None and not re.fullmatch(r"[0-9]{1,18}", length):
        raise BrokenResponseError("a malformed length")
    chunked = coding == "chunked"
    return ResponseHead(int(status[1]), headers, None if chunked or length is None else int(length), chunked)


class ChunkDecoder:
    """Takes chunked framing (RFC 9112 §7.1) off a body. Feed it what arrives; `ended` is True behind the last chunk."""

    def __init__(self) -> None:
        self.ended = False
        self._line = bytearray()  # an unfinished size line, the line end behind a chunk, or a trailer line
        self._left = 0  # bytes of the current chunk still to come
        self._after_chunk = False  # the next line must be the empty one behind a chunk
        self._trailer_bytes: int | None = None  # counted once the last chunk was seen

    def feed(self, received: memoryview) -> Iterator[memoryview]:
        """Give the body bytes in `received`, as views into it.

        Raises BrokenResponseError; bytes behind the end of the body are broken as well.
        """
        place = 0
        while place < len(received):
            if self.ended:
                raise BrokenResponseError("bytes behind the last chunk")
            if self._left:
                part = received[place : place + self._left]
                place += len(part)
                self._left -= len(part)
                self._after_chunk = self._left == 0
                yield part
                continue
            taken = bytes(received[place : place + _SIZE_LINE_LIMIT])
            newline = taken.find(b"\n")
            self._line += taken if newline < 0 else taken[: newline + 1]
            place += len(taken) if newline < 0 else newline + 1
            if newline >= 0:
                self._finish_line()
            elif len(self._line) > _SIZE_LINE_LIMIT:
                raise BrokenResponseError("a chunk size that does not end")

    def _finish_line(self) -> None:
        line = bytes(self._line).rstrip(b"\r\n")
        self._line.clear()
        if self._trailer_bytes is not None:
            self._trailer_bytes += len(line)
            if self._trailer_bytes > _TRAILER_LIMIT_BYTES:
                raise BrokenResponseError("too long a trailer")
            self.ended = not line
        elif self._after_chunk:
            if line:
                raise BrokenResponseError("a chunk longer than its size")
            self._after_chunk = False
        else:
            size = _SIZE.fullmatch(line)
            if size is None:
                raise BrokenResponseError("a malformed chunk size")
            self._left = int(size[1], 16)
            if self._left == 0:
                self._trailer_bytes = 0

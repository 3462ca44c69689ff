"""The bench's own check: damage of every kind, done on purpose, must be found, and only that.

A verifier that finds nothing proves nothing. Each case sends a broadcast with one fault to one client of load.c.
"""

from __future__ import annotations

import contextlib
import json
import socket
import subprocess
import tempfile
import threading
from collections.abc import Iterator
from pathlib import Path

from bench.building import Programs
from bench.processes import Child

PACKET = 188
SECONDS = 5
LIMIT_S = 20.0
FRAME = 213  # packets of a frame at 8 Mbit/s
SECOND = 25 * FRAME
HEAD = b"HTTP/1.1 200 OK\r\nConnection: close\r\n\r\n"
COUNTS = ("clean_starts", "sync_lost", "foreign", "cc_errors", "repeats", "skips_clean", "skips_dirty", "breaks")


def self_check(programs: Programs) -> int:
    """Run all cases; returns 0 if each is judged as it should be, else 1."""
    with tempfile.TemporaryDirectory(prefix="aceproxy-bench-") as name:
        folder = Path(name)
        media = folder / "media.ts"
        command: list[str | Path] = [programs.source, "--file", media, "--seconds", str(SECONDS)]
        subprocess.run(command, check=True, timeout=LIMIT_S)
        bad = 0
        for case, (damaged, wanted) in _cases(media.read_bytes()).items():
            found = _judge(programs, folder, damaged)
            expected = {count: wanted.get(count, int(count == "clean_starts")) for count in COUNTS}
            right = found == expected
            bad += not right
            print(f"{'ok  ' if right else 'BAD '} {case}" + ("" if right else f": {found}, not {expected}"))
    return int(bad > 0)


def _cases(good: bytes) -> dict[str, tuple[bytes, dict[str, int]]]:
    """Return what is sent, and the counts that differ from those of a whole broadcast."""
    at, key = 1000 * PACKET, 2 * SECOND * PACKET
    other = bytearray(good)
    other[at + 11] ^= 1  # in the mark: the channel's number
    return {
        "nothing is wrong": (good, {}),
        "a packet is missing": (good[:at] + good[at + PACKET :], {"skips_dirty": 1}),
        "a byte is missing": (good[: at + 50] + good[at + 51 :], {"sync_lost": 1, "skips_dirty": 1}),
        "packets come twice": (good[:at] + good[900 * PACKET :], {"repeats": 1}),
        "a PAT is missing": (good[: 2 * FRAME * PACKET] + good[(2 * FRAME + 1) * PACKET :], {"cc_errors": 1}),
        "a skip to PAT, PMT, keyframe": (good[:at] + good[key:], {"skips_clean": 1}),
        "a skip to a keyframe without tables": (
            good[:at] + good[key + 2 * PACKET :],
            {"skips_dirty": 1, "cc_errors": 2},
        ),
        "a skip that is marked": (good[:at] + _breaks(good, key) + good[key:], {"skips_clean": 1, "breaks": 3}),
        "a mark of other counters than follow": (
            good[:at] + _breaks(good, key + SECOND * PACKET) + good[key:],
            {"skips_clean": 1, "breaks": 3, "cc_errors": _differing(good, key, key + SECOND * PACKET)},
        ),
        "a start inside a packet": (good[77 * PACKET + 13 :], {"clean_starts": 0, "sync_lost": 1}),
        "another channel's packet": (bytes(other), {"foreign": 1, "skips_dirty": 1}),
    }


def _heads_at(good: bytes, key: int) -> list[bytes]:
    """Return the first four bytes of the PAT, the PMT and the picture at a keyframe."""
    return [good[key + number * PACKET :][:4] for number in range(3)]


def _breaks(good: bytes, key: int) -> bytes:
    """Return the packets that say that the counters of all PIDs begin anew with those at a keyframe."""
    heads = _heads_at(good, key)
    marks = [bytes((0x47, head[1] & 0x1F, head[2], 0x20 | (head[3] - 1) & 0x0F, 183, 0x80)) for head in heads]
    return b"".join([mark.ljust(PACKET, b"\xff") for mark in marks])


def _differing(good: bytes, key: int, other: int) -> int:
    """Return of how many PIDs the counters at two keyframes differ."""
    pairs = zip(_heads_at(good, key), _heads_at(good, other), strict=True)
    return sum((one[3] ^ another[3]) & 0x0F > 0 for one, another in pairs)


def _judge(programs: Programs, folder: Path, body: bytes) -> dict[str, int]:
    """Let load.c receive `body` and return what it counted."""
    with _serving(body) as port:
        command: list[str | Path] = [programs.load, "--port", str(port), "--ramp-s", "0", "--warm-s", "0"]
        with Child("load", [*command, "--measure-s", "0.5"], folder / "load.log") as load:
            load.wait_line("window ends", LIMIT_S)
            load.ask_to_end()
            load.wait_end(LIMIT_S)
            counted = json.loads(load.lines[-1])
    return {count: counted[count] for count in COUNTS}


@contextlib.contextmanager
def _serving(body: bytes) -> Iterator[int]:
    """Answer one request with `body` and keep the connection open until the `with` ends."""
    listener = socket.create_server(("127.0.0.1", 0))
    listener.settimeout(LIMIT_S)
    over = threading.Event()

    def serve() -> None:
        with contextlib.suppress(OSError):
            connection, _ = listener.accept()
            with connection:
                connection.settimeout(LIMIT_S)
                connection.recv(4096)
                connection.sendall(HEAD + body)
                over.wait(LIMIT_S)

    thread = threading.Thread(target=serve, name="serve", daemon=True)
    thread.start()
    try:
        yield int(listener.getsockname()[1])
    finally:
        over.set()
        thread.join(LIMIT_S)
        listener.close()

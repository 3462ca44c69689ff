"""Streams for the tests: hand-made packets, public captures, and encodes made by ffmpeg on the spot."""

from __future__ import annotations

import json
import os
import shutil
import subprocess
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

Keyframes = list[tuple[int | None, int | None]]

SAMPLES = Path(__file__).resolve().parents[3] / "shared" / "samples"


@pytest.fixture(scope="session")
def sample() -> Callable[[str], bytes]:
    """Return a function that reads a capture by its file name, or skips the test."""

    def read(name: str) -> bytes:
        path = SAMPLES / name
        if not path.exists():
            pytest.skip(f"no capture {name} beside this checkout")
        return path.read_bytes()

    return read


def _tool(name: str) -> str:
    """Return the path of ffmpeg or ffprobe; without it skip, but fail where everything must run."""
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("CI") == "true":
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


@pytest.fixture(scope="session")
def encode(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], bytes]:
    """Return a function that runs ffmpeg with the given arguments and returns the transport stream it makes."""
    made: dict[str, bytes] = {}
    folder = tmp_path_factory.mktemp("encodes")

    def run(arguments: str) -> bytes:
        if arguments not in made:
            path = folder / f"{len(made)}.ts"
            command = [_tool("ffmpeg"), "-v", "error", "-y", *arguments.split(), "-f", "mpegts", str(path)]
            subprocess.run(command, check=True, stdin=subprocess.DEVNULL, timeout=60)
            made[arguments] = path.read_bytes()
        return made[arguments]

    return run


@pytest.fixture
def probe(tmp_path: Path) -> Callable[[bytes], dict[str, list[dict[str, object]]]]:
    """Return a function that gives ffprobe's view of a transport stream: its streams and packets."""

    def run(stream: bytes) -> dict[str, list[dict[str, object]]]:
        path = tmp_path / "probed.ts"
        path.write_bytes(stream)
        command = [_tool("ffprobe"), "-v", "quiet", "-f", "mpegts", "-of", "json", "-show_streams", "-show_packets"]
        done = subprocess.run([*command, str(path)], check=True, capture_output=True, timeout=60)
        answer: dict[str, list[dict[str, object]]] = json.loads(done.stdout)
        return answer

    return run


@pytest.fixture
def keyframes(probe: Callable[[bytes], dict[str, list[dict[str, object]]]]) -> Callable[[bytes, int], Keyframes]:
    """Return a function that gives offset and PTS of the packets of a PID that ffprobe calls keyframes."""

    def run(stream: bytes, pid: int) -> Keyframes:
        answer = probe(stream)
        index = next(entry["index"] for entry in answer["streams"] if int(str(entry["id"]), 16) == pid)
        found: Keyframes = []
        for packet in answer["packets"]:
            if packet["stream_index"] == index and "K" in str(packet["flags"]):
                pts = int(str(packet["pts"])) % (1 << 33) if "pts" in packet else None
                found.append((int(str(packet["pos"])) if "pos" in packet else None, pts))
        return found

    return run


@pytest.fixture(scope="session")
def ts_packet() -> Callable[..., bytes]:
    """Return a maker of packets: `(pid, counter, payload, start=, flags=, scrambling=, error=)`.

    A payload shorter than 184 bytes is stuffed by an adaptation field; None makes a packet of adaptation field only;
    `flags` are those of the adaptation field.
    """

    def make(
        pid: int,
        counter: int,
        payload: bytes | None,
        *,
        start: bool = False,
        flags: int | None = None,
        scrambling: int = 0,
        error: bool = False,
    ) -> bytes:
        body = payload or b""
        room = 184 - len(body)
        adaptation = b""
        if room or flags is not None:
            assert room >= (1 if flags is None else 2)
            adaptation = bytes([room - 1]) + (bytes([flags or 0]) + b"\xff" * (room - 2) if room > 1 else b"")
        control = (0x20 if adaptation else 0) | (0x10 if payload is not None else 0)
        head = bytes(
            [
                0x47,
                (0x80 if error else 0) | (0x40 if start else 0) | pid >> 8,
                pid & 0xFF,
                scrambling << 6 | control | counter & 0x0F,
            ]
        )
        packet = head + adaptation + body
        assert len(packet) == 188
        return packet

    return make


def _crc(content: bytes) -> bytes:
    """Return the CRC of ISO/IEC 13818-1 annex A, bit by bit."""
    register = 0xFFFFFFFF
    for byte in content:
        for bit in range(8):
            feedback = register >> 31 ^ (byte >> (7 - bit)) & 1
            register = (register << 1 & 0xFFFFFFFF) ^ (0x04C11DB7 if feedback else 0)
    return register.to_bytes(4, "big")


@pytest.fixture(scope="session")
def section() -> Callable[..., bytes]:
    """Return a maker of sections: `(table_id, extension, body, version=, number=, last=, current=)`."""

    def make(
        table_id: int,
        extension: int,
        body: bytes,
        *,
        version: int = 0,
        number: int = 0,
        last: int = 0,
        current: bool = True,
    ) -> bytes:
        length = len(body) + 9
        content = bytes(
            [
                table_id,
                0xB0 | length >> 8,
                length & 0xFF,
                extension >> 8,
                extension & 0xFF,
                0xC0 | version << 1 | current,
                number,
                last,
            ]
        )
        return content + body + _crc(content + body)

    return make


@pytest.fixture(scope="session")
def pat(section: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return a maker of PAT sections: `({program_number: pid}, **section's)`."""

    def make(programs: dict[int, int], **rest: int) -> bytes:
        body = b"".join(
            number.to_bytes(2, "big") + (0xE000 | pid).to_bytes(2, "big") for number, pid in programs.items()
        )
        return section(0, 1, body, **rest)

    return make


@pytest.fixture(scope="session")
def pmt(section: Callable[..., bytes]) -> Callable[..., bytes]:
    """Return a maker of PMT sections: `(program_number, [(stream_type, pid, descriptors)], **section's)`."""

    def make(program: int, streams: list[tuple[int, int, bytes]], *, outer: bytes = b"", **rest: int) -> bytes:
        body = b"\xe1\x00" + (0xF000 | len(outer)).to_bytes(2, "big") + outer
        for stream_type, pid, loop in streams:
            body += bytes([stream_type]) + (0xE000 | pid).to_bytes(2, "big")
            body += (0xF000 | len(loop)).to_bytes(2, "big") + loop
        return section(2, program, body, **rest)

    return make


@pytest.fixture(scope="session")
def carry(ts_packet: Callable[..., bytes]) -> Callable[..., list[bytes]]:
    """Return a function that puts sections, one after the other, into packets of a PID: `(pid, counter, *sections)`."""

    def run(pid: int, counter: int, *sections: bytes) -> list[bytes]:
        return [
            ts_packet(pid, counter + index, payload, start=start)
            for index, (payload, start) in enumerate(_payloads(list(sections)))
        ]

    return run


def _payloads(sections: list[bytes]) -> Iterator[tuple[bytes, bool]]:
    """Yield the payloads that carry sections without gaps, and whether a section starts in each."""
    content = b"".join(sections)
    starts = [sum(len(section) for section in sections[:index]) for index in range(len(sections))]
    at = 0
    while at < len(content):
        pointer = next((start - at for start in starts if at <= start < at + 183), None)
        if pointer is None:
            size = 183 if at + 183 in starts else 184  # a section may only start in a packet with a pointer
            piece = content[at : at + size]
            yield piece if at + size < len(content) else piece.ljust(184, b"\xff"), False
            at += size
        else:
            yield (bytes([pointer]) + content[at : at + 183]).ljust(184, b"\xff"), True
            at += 183


@pytest.fixture(scope="session")
def pes() -> Callable[..., bytes]:
    """Return a maker of PES packets of unbounded length: `(content, pts, dts, scrambled=, stream_id=)`."""

    def ticks(mark: int, stamp: int) -> bytes:
        high, middle, low = stamp >> 29 & 0x0E, stamp >> 14 & 0xFFFE, stamp << 1 & 0xFFFE
        return bytes((mark << 4 | high | 1,)) + (middle | 1).to_bytes(2, "big") + (low | 1).to_bytes(2, "big")

    def make(
        content: bytes,
        pts: int | None = None,
        dts: int | None = None,
        *,
        scrambled: bool = False,
        stream_id: int = 0xE0,
    ) -> bytes:
        stamps = b"" if pts is None else ticks(2 if dts is None else 3, pts)
        stamps += b"" if dts is None else ticks(1, dts)
        which = {0: 0, 5: 0x80, 10: 0xC0}[len(stamps)]
        flags = bytes([0x80 | (0x10 if scrambled else 0), which, len(stamps)])
        return b"\x00\x00\x01" + bytes([stream_id]) + b"\x00\x00" + flags + stamps + content

    return make


@pytest.fixture(scope="session")
def spread(ts_packet: Callable[..., bytes]) -> Callable[..., list[bytes]]:
    """Return a function that puts a PES packet into packets: `(pid, counter, packet, flags=, scrambling=)`."""

    def run(pid: int, counter: int, packet: bytes, *, flags: int = 0, scrambling: int = 0) -> list[bytes]:
        pieces = [packet[:182], *(packet[at : at + 184] for at in range(182, len(packet), 184))]
        return [
            ts_packet(
                pid,
                counter + index,
                piece,
                start=index == 0,
                flags=flags if index == 0 else None,
                scrambling=scrambling,
            )
            for index, piece in enumerate(pieces)
        ]

    return run

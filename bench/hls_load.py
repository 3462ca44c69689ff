"""Many HLS viewers in one process: `python -m bench.hls_load --port P --path LIST --clients N ...`.

Each has one connection, begins three target durations before the end of the list, asks for lists as RFC 8216 §6.3.4 has
it and for every segment in turn, and keeps count of whether what it has would have lasted. Speaks like load.c: prints
`window begins`, `window ends`, and on SIGTERM one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import json
import posixpath
import signal
import time
from dataclasses import dataclass, field

BUFFER_BYTES = 512 << 10
ANSWER_S = 20.0
SETTLE_S = 40.0
PACKET = 188
TARGETS_BEHIND = 3
_SHARED = memoryview(bytearray(BUFFER_BYTES))  # what was received is looked at before anything else is


class Connection(asyncio.BufferedProtocol):
    """A connection that takes one answer after the other; of large bodies only the head is kept."""

    def __init__(self) -> None:
        self.body = bytearray()
        self.received = 0
        self._head = bytearray()
        self._left = -1
        self._kept = 0
        self._answer: asyncio.Future[int] | None = None
        self._status = 0
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """See asyncio."""
        assert isinstance(transport, asyncio.Transport)
        self._transport = transport

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio."""
        if self._answer is not None and not self._answer.done():
            self._answer.set_exception(exc or ConnectionResetError("closed"))

    def get_buffer(self, _sizehint: int) -> memoryview:
        """See asyncio."""
        return _SHARED

    def buffer_updated(self, nbytes: int) -> None:
        """See asyncio."""
        self.received += nbytes
        part = _SHARED[:nbytes]
        if self._left < 0:
            self._head += part
            end = self._head.find(b"\r\n\r\n")
            if end < 0:
                return
            head, rest = bytes(self._head[:end]).decode("latin-1"), bytes(self._head[end + 4 :])
            self._head.clear()
            lines = head.split("\r\n")
            self._status = int(lines[0].split()[1])
            fields = dict(line.lower().split(": ", 1) for line in lines[1:])
            self._left = int(fields.get("content-length", "0"))
            part = memoryview(rest)
        self._left -= len(part)
        room = self._kept - len(self.body)
        if room > 0:
            self.body += part[:room]
        if self._left <= 0 and self._answer is not None and not self._answer.done():
            self._answer.set_result(self._status)

    async def get(self, path: str, port: int, keep: int) -> int:
        """Ask, and return the status once the whole answer is there; the first `keep` bytes of it are in `body`."""
        assert self._transport is not None
        self.body.clear()
        self._left, self._kept = -1, keep
        self._answer = asyncio.get_running_loop().create_future()
        self._transport.write(f"GET {path} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\nUser-Agent: bench\r\n\r\n".encode())
        async with asyncio.timeout(ANSWER_S):  # not wait_for: in Python 3.11 it swallows a cancellation now and then
            return await self._answer


@dataclass(slots=True)
class Viewer:
    """What one viewer has seen."""

    bytes_before: int = 0
    bytes_window: int = 0
    segments: int = 0
    stalled_s: float = 0.0
    longest_stall_s: float = 0.0
    first_byte_s: float = 0.0
    clean_start: bool = False
    faults: dict[str, int] = field(default_factory=dict)

    def fault(self, name: str) -> None:
        """Count one."""
        self.faults[name] = self.faults.get(name, 0) + 1


def entries_of(text: str) -> tuple[int, list[tuple[int, float, str]]]:
    """Return the target duration of a list, and number, duration and address of each segment."""
    target, number, duration_s = 0, 0, 0.0
    found: list[tuple[int, float, str]] = []
    for line in text.splitlines():
        name, _, value = line.partition(":")
        if name == "#EXT-X-TARGETDURATION":
            target = int(value)
        elif name == "#EXT-X-MEDIA-SEQUENCE":
            number = int(value)
        elif name == "#EXTINF":
            duration_s = float(value.partition(",")[0])
        elif line and not line.startswith("#"):
            found.append((number, duration_s, line))
            number += 1
    return target, found


class Play:
    """One viewer at work."""

    def __init__(self, port: int, path: str, viewer: Viewer) -> None:
        self.connection = Connection()
        self._port = port
        self._path = path
        self._viewer = viewer
        self._next: int | None = None
        self._ends_at = 0.0  # when what it has will have been played; 0 before it plays

    async def run(self) -> None:
        """Watch, for ever."""
        began_at = time.monotonic()
        await asyncio.get_running_loop().create_connection(lambda: self.connection, "127.0.0.1", self._port)
        await self._follow_master()
        while True:
            asked_at = time.monotonic()
            if await self.connection.get(self._path, self._port, 64 << 10) != 200:
                self._viewer.fault("refused")
                await asyncio.sleep(1.0)
                continue
            target_s, entries = entries_of(self.connection.body.decode())
            is_new = await self._take(target_s, entries, began_at)
            wait_s = target_s if is_new else target_s / 2
            await asyncio.sleep(max(0.0, asked_at + wait_s - time.monotonic()))

    async def _follow_master(self) -> None:
        if self._path.endswith("shared.m3u8"):
            return
        await self.connection.get(self._path, self._port, 64 << 10)
        variant = self.connection.body.decode().splitlines()[-1]
        self._path = posixpath.join(posixpath.dirname(self._path.partition("?")[0]), variant)

    async def _take(self, target_s: int, entries: list[tuple[int, float, str]], began_at: float) -> bool:
        """Take the segments that are new; tells whether there were any."""
        if self._next is None:
            behind_s, at = 0.0, len(entries)
            while at and behind_s < TARGETS_BEHIND * target_s:
                at -= 1
                behind_s += entries[at][1]
            self._next = entries[at][0]
        if entries and entries[0][0] > self._next:
            self._viewer.fault("skips_dirty")
            self._next = entries[0][0]
        is_new = False
        for number, duration_s, address in entries:
            if number == self._next:
                is_new = True
                self._next += 1
                await self._fetch(address, duration_s, began_at)
        return is_new

    async def _fetch(self, address: str, duration_s: float, began_at: float) -> None:
        viewer = self._viewer
        path = posixpath.normpath(posixpath.join(posixpath.dirname(self._path.partition("?")[0]), address))
        status = await self.connection.get(path, self._port, 3 * PACKET)
        now = time.monotonic()
        head = bytes(self.connection.body)
        if status != 200:
            viewer.fault("failed")
            return
        if len(head) < 3 * PACKET or head[::PACKET] != b"\x47\x47\x47" or head[1:3] != b"\x40\x00":
            viewer.fault("sync_lost")
        elif not viewer.segments:
            viewer.clean_start = bool(head[2 * PACKET + 5] & 0x40)
            viewer.first_byte_s = now - began_at
        viewer.segments += 1
        if self._ends_at and now > self._ends_at:
            viewer.stalled_s += now - self._ends_at
            viewer.longest_stall_s = max(viewer.longest_stall_s, now - self._ends_at)
        self._ends_at = max(self._ends_at, now) + duration_s


async def _wait_long_list(port: int, path: str) -> None:
    """Start the stream, and wait until its list is as long as a live list should be: this source sends no burst."""
    connection = Connection()
    await asyncio.get_running_loop().create_connection(lambda: connection, "127.0.0.1", port)
    shared = posixpath.join(posixpath.dirname(path), "shared.m3u8")
    async with asyncio.timeout(SETTLE_S):
        while True:
            if await connection.get(shared, port, 64 << 10) == 200:
                target_s, entries = entries_of(connection.body.decode())
                if sum(duration_s for _, duration_s, _ in entries) >= TARGETS_BEHIND * target_s:
                    return
            await asyncio.sleep(0.5)


def _spread(values: list[float]) -> dict[str, float]:
    values = sorted(values)
    if not values:
        return {"count": 0, "p50": 0.0, "p99": 0.0, "max": 0.0, "min": 0.0}
    at = [values[min(len(values) - 1, int(share * len(values)))] for share in (0.5, 0.99)]
    return {"count": len(values), "min": values[0], "p50": at[0], "p99": at[1], "max": values[-1]}


async def _main(given: argparse.Namespace) -> None:
    loop = asyncio.get_running_loop()
    asked = asyncio.Event()
    loop.add_signal_handler(signal.SIGTERM, asked.set)
    await _wait_long_list(given.port, given.path)
    viewers = [Viewer() for _ in range(given.clients)]
    plays = [Play(given.port, given.path, viewer) for viewer in viewers]
    tasks = []
    for play in plays:
        tasks.append(loop.create_task(play.run()))
        await asyncio.sleep(given.ramp_s / len(plays))
    await asyncio.sleep(given.warm_s)
    for viewer, play in zip(viewers, plays, strict=True):
        viewer.bytes_before = play.connection.received
        viewer.longest_stall_s = viewer.stalled_s = 0.0
    print("window begins", flush=True)
    began_at, cpu_s = time.monotonic(), time.process_time()
    await asyncio.sleep(given.measure_s)
    window_s, cpu_s = time.monotonic() - began_at, time.process_time() - cpu_s
    for viewer, play in zip(viewers, plays, strict=True):
        viewer.bytes_window = play.connection.received - viewer.bytes_before
    print("window ends", flush=True)
    async with asyncio.timeout(ANSWER_S):
        await asked.wait()
    ended_early = sum(task.done() for task in tasks)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    print(json.dumps(_document(viewers, window_s, cpu_s, ended_early)), flush=True)


def _document(viewers: list[Viewer], window_s: float, cpu_s: float, ended_early: int) -> dict[str, object]:
    names = ("sync_lost", "foreign", "cc_errors", "repeats", "skips_dirty", "refused", "failed")
    return {
        "window_s": window_s,
        "window_bytes": sum(viewer.bytes_window for viewer in viewers),
        "own_cpu_s": cpu_s,
        "rate_bps": _spread([viewer.bytes_window * 8 / window_s for viewer in viewers]),
        "stall_ms": _spread([viewer.longest_stall_s * 1e3 for viewer in viewers]),
        "first_byte_ms": _spread([viewer.first_byte_s * 1e3 for viewer in viewers]),
        "skips_clean": 0,
        "served": sum(viewer.segments > 0 for viewer in viewers),
        "clean_starts": sum(viewer.clean_start for viewer in viewers),
        "ended_early": ended_early,
        **{name: sum(viewer.faults.get(name, 0) for viewer in viewers) for name in names},
    }


def main() -> None:
    """Play and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("--port", type=int)
    parser.add_argument("--path")
    parser.add_argument("--clients", type=int)
    for name in ("ramp-s", "warm-s", "measure-s"):
        parser.add_argument(f"--{name}", type=float)
    gc.freeze()
    asyncio.run(_main(parser.parse_args()))


if __name__ == "__main__":
    main()

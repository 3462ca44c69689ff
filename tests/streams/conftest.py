"""What the tests of the streams share: packets, rings, a pump with sockets, and a time line."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import AsyncIterator, Callable, Iterator
from datetime import UTC, datetime

import pytest

from aceproxy.errors import Reason
from aceproxy.streams.block import JoinPoint
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.pump import Pump, PumpLimits
from aceproxy.streams.ring import Ring, RingLimits
from aceproxy.streams.sending import Sending
from aceproxy.streams.timeline import Timeline
from aceproxy.streams.uring import Uring
from tests.waiting import until

PACKET = 188
NOON = datetime(2026, 11, 22, 12, tzinfo=UTC)
PREAMBLE = b"\x47\x40\x00\x10" + b"P" * 184


class Feed:
    """Appends numbered packets to a ring, with a join point every so many."""

    def __init__(self, ring: Ring, per_second: int = 100, point_every: int = 50) -> None:
        self.ring = ring
        self.count = 0
        self._per_second = per_second
        self._point_every = point_every

    @staticmethod
    def packet(number: int) -> bytes:
        """Return packet `number`: a PID that is not PAT, and its number all over."""
        return b"\x47\x01\x00" + bytes([0x10 | number & 15]) + number.to_bytes(4, "big") * 46

    def send(self, packets: int) -> None:
        """Append so many packets."""
        for _ in range(packets):
            media_s = self.count / self._per_second
            point = JoinPoint(self.ring.head, media_s, PREAMBLE) if self.count % self._point_every == 0 else None
            self.ring.append(memoryview(self.packet(self.count)), media_s, point)
            self.count += 1
        self.ring.advance_edge(self.count / self._per_second)


def numbers(data: bytes) -> list[int | str]:
    """Return what whole packets were received: their numbers, `PSI` for a preamble."""
    assert len(data) % PACKET == 0
    found: list[int | str] = []
    for start in range(0, len(data), PACKET):
        packet = data[start : start + PACKET]
        if packet == PREAMBLE:
            found.append("PSI")
            continue
        number = int.from_bytes(packet[4:8], "big")
        assert packet == Feed.packet(number)
        found.append(number)
    return found


@pytest.fixture
def limits() -> RingLimits:
    """Small limits: blocks of a second, five seconds in all."""
    return RingLimits(block_s=1.0, block_bytes=1 << 20, ring_s=5.0, ring_bytes=1 << 20, burst_s=1.0)


@pytest.fixture
def ring(limits: RingLimits) -> Iterator[Ring]:
    """An empty ring."""
    ring = Ring(limits)
    yield ring
    ring.clear()


@pytest.fixture
def feed(ring: Ring) -> Feed:
    """A feed of the ring."""
    return Feed(ring)


class Listener:
    """A client on a socket pair, with a receive buffer as small as the system allows."""

    def __init__(self, pump: Pump, ring: Ring) -> None:
        ours, self.socket = socket.socketpair()
        ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 4096)
        ours.setblocking(False)
        self.socket.setblocking(False)
        self.ended: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        join = ring.join()
        assert join is not None
        self.outlet = Outlet(ring, join, ours, self.ended.set_result)
        ours.close()
        pump.add(self.outlet)

    def read(self) -> bytes:
        """Take what has arrived."""
        parts: list[bytes] = []
        while True:
            try:
                part = self.socket.recv(65536)
            except BlockingIOError:
                break
            if not part:
                break
            parts.append(part)
        return b"".join(parts)

    async def read_packets(self, count: int) -> list[int | str]:
        """Read until so many packets have come."""
        data = b""

        def enough() -> bool:
            nonlocal data
            data += self.read()
            return len(data) >= count * PACKET

        await until(enough)
        return numbers(data)


def with_uring() -> Sending:
    """Return what sends to any number of sockets through io_uring; skips the test where that cannot be had."""
    try:
        Uring().close()
    except OSError as error:
        pytest.skip(f"no io_uring here: {error.strerror}")
    return Sending(io_uring=True, least=1)


@pytest.fixture
def sending() -> Sending:
    """How the pump sends: as it does to few clients."""
    return Sending(io_uring=False)


@pytest.fixture
async def pump(sending: Sending) -> AsyncIterator[Pump]:
    """A running pump that finds clients stalled after half a second."""
    pump = Pump(PumpLimits(batch_bytes=4096, stall_s=0.5), sending)
    pump.start()
    yield pump
    pump.close()


Listen = Callable[[Ring], Listener]


@pytest.fixture
async def listen(pump: Pump) -> AsyncIterator[Listen]:
    """Makes clients of the pump, and closes their sockets."""
    made: list[Listener] = []

    def make(ring: Ring) -> Listener:
        made.append(Listener(pump, ring))
        return made[-1]

    yield make
    for one in made:
        one.socket.close()


class Clock:
    """A clock that is set by hand."""

    def __init__(self) -> None:
        self.now = 100.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """The clock of `timeline`."""
    return Clock()


@pytest.fixture
def timeline(clock: Clock) -> Timeline:
    """An empty time line, all of whose events are at noon."""
    return Timeline(clock, lambda: NOON)

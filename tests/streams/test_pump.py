"""The pump and its outlets on real sockets: nobody loses a byte, nobody feels another."""

from __future__ import annotations

import asyncio
import errno
import gc
import socket
import time
import weakref
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import psutil
import pytest

from aceproxy.errors import Reason
from aceproxy.streams import outlet as outlet_module
from aceproxy.streams import sending as sending_module
from aceproxy.streams.audience import SWEEP_S, Stage
from aceproxy.streams.block import Block
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.pump import Pump, PumpLimits
from aceproxy.streams.ring import Ring, RingLimits
from aceproxy.streams.sending import Sending
from aceproxy.streams.uring import Uring
from tests.streams.conftest import Feed, Listen, Listener, numbers, with_uring
from tests.waiting import until


@pytest.fixture(params=["write", "io_uring"])
def sending(request: pytest.FixtureRequest) -> Sending:
    """Both ways; which one may not be seen from outside."""
    return Sending(io_uring=False) if request.param == "write" else with_uring()


async def test_a_client_gets_the_tables_and_then_every_packet(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    feed.send(60)
    client = listen(ring)
    assert await client.read_packets(61) == ["PSI", *range(60)]
    feed.send(40)
    pump.appended(ring)
    assert await client.read_packets(40) == list(range(60, 100))
    assert client.outlet.lag_bytes == 0
    assert client.outlet.skips == 0


async def test_a_few_bytes_wait_for_more_only_while_more_is_to_come_at_once(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    feed.send(1)
    client = listen(ring)
    await client.read_packets(2)
    feed.send(1)
    pump.appended(ring, drained=False)
    await asyncio.sleep(0.05)
    assert client.read() == b""
    feed.send(21)  # 22 packets are more than the 4096 bytes of a batch
    pump.appended(ring, drained=False)
    assert await client.read_packets(22) == list(range(1, 23))
    feed.send(1)
    pump.appended(ring)
    assert await client.read_packets(1) == [23]


async def test_a_client_that_does_not_read_costs_the_others_nothing(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    feed.send(1)
    frozen, reader = listen(ring), listen(ring)
    got = await reader.read_packets(2)
    for _ in range(30):
        feed.send(50)
        pump.appended(ring)
        got += await reader.read_packets(50)
    assert got == ["PSI", *range(1501)]
    assert not frozen.ended.done()
    assert frozen.outlet.watched


async def test_full_and_broken_sockets_among_others_are_told_apart_from_them(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen, sending: Sending, request: pytest.FixtureRequest
) -> None:
    feed.send(1)
    clients = [listen(ring) for _ in range(9)]
    for client in clients:
        await client.read_packets(2)
    frozen, gone = (clients[0], clients[4]), (clients[1], clients[5], clients[8])
    others = [client for client in clients if client not in frozen + gone]
    for client in gone:
        client.socket.close()
    for number in range(1, 41):
        feed.send(1)
        pump.appended(ring)
        for client in others:
            assert await client.read_packets(1) == [number]
    for client in gone:
        assert await client.ended is Reason.CLIENT_LEFT
    for client in frozen:
        assert not client.outlet.is_at_edge
        assert await client.read_packets(40) == list(range(1, 41))
    await until(lambda: all(client.outlet.is_at_edge for client in frozen))
    feed.send(1)
    pump.appended(ring)
    for client in (*others, *frozen):
        assert await client.read_packets(1) == [41]
    assert sending.uses_uring == request.node.name.endswith("[io_uring]")


async def test_a_client_that_fell_off_the_ring_goes_on_at_a_packet_with_tables_first(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    feed.send(1)
    slow = listen(ring)

    def is_full() -> bool:
        feed.send(10)
        pump.appended(ring)
        return slow.outlet.watched

    await until(is_full)
    feed.send(1500 - feed.count)
    pump.appended(ring)
    await until(lambda: slow.outlet.skips == 1)
    assert slow.outlet.block is None  # it keeps no old block while it does not read
    data = b""

    def caught_up() -> bool:
        nonlocal data
        data += slow.read()
        return slow.outlet.is_at_edge and slow.outlet.sent_bytes == len(data)

    await until(caught_up)
    got = numbers(data + slow.read())
    gap = got.index("PSI", 1)
    before, after = got[1:gap], got[gap + 1 :]
    assert before == list(range(len(before)))
    assert after == list(range(int(after[0]), 1500))
    assert int(after[0]) % 50 == 0
    assert slow.outlet.skips == 1


async def test_a_piece_over_several_blocks_reaches_everybody_whole(pump: Pump, limits: RingLimits) -> None:
    """Also those whose socket takes a part of it only, wherever in the blocks that ends."""
    ring = Ring(replace(limits, block_bytes=7 * 188, ring_bytes=1 << 20, ring_s=1000.0))
    feed = Feed(ring)
    feed.send(1)
    fast, slow = Listener(pump, ring), Listener(pump, ring)
    got = await fast.read_packets(2)
    slowly = await slow.read_packets(2)
    for step in range(1, 40):
        feed.send(step)
        pump.appended(ring)
        got += await fast.read_packets(step)
        if step % 3 == 0:  # until then what it has not read fills its socket
            slowly += await slow.read_packets(feed.count + 1 - len(slowly))
    assert got == slowly == ["PSI", *range(feed.count)]
    for client in (fast, slow):
        pump.end(client.outlet, Reason.KICKED)
        await client.ended
        client.socket.close()
    ring.clear()


async def test_where_all_clients_are_behind_nothing_keeps_a_block_that_was_dropped(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    pump.set_limits(PumpLimits(batch_bytes=4096, stall_s=60.0))
    feed.send(1)
    frozen = listen(ring)
    await frozen.read_packets(2)
    feed.send(1)
    pump.appended(ring)
    await frozen.read_packets(1)  # at the live edge; from now on it reads nothing
    blocks: list[weakref.ref[Block]] = []
    while len(blocks) < 20:
        feed.send(50)
        pump.appended(ring)
        blocks += [weakref.ref(block) for block in ring.blocks() if all(block is not one() for one in blocks)]
        await until(lambda: ring.delivered == ring.head)
    assert frozen.outlet.watched

    def are_gone() -> bool:
        feed.send(1)
        pump.appended(ring)
        gc.collect()
        held = [block for one in blocks if (block := one()) is not None]
        return not any(block.dropped for block in held)

    await until(are_gone)
    assert not frozen.ended.done()


async def test_a_client_that_takes_nothing_for_too_long_is_closed_as_stalled(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    feed.send(1)
    stalled = listen(ring)
    feed.send(1500)
    pump.appended(ring)
    assert await stalled.ended is Reason.STALLED_CLIENT
    assert stalled.outlet.fd == -1


@pytest.fixture
def tcp() -> Iterator[tuple[socket.socket, socket.socket]]:
    """Two ends of a TCP connection: ours with a large buffer, the player's with a small one."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket() as player:
        player.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
        player.connect(server.getsockname())
        ours, _ = server.accept()
        with ours:
            ours.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
            ours.setblocking(False)
            yield ours, player


async def fill(pump: Pump, ring: Ring, connection: socket.socket) -> Outlet:
    """Send to a connection that nobody reads until it takes no more, between two sweeps and after."""
    feed = Feed(ring)
    feed.send(1)
    join = ring.join()
    assert join is not None
    outlet = Outlet(ring, join, connection, lambda _: None)
    pump.add(outlet)
    feed.send(20_000)
    pump.appended(ring)
    sent = -1

    def is_full() -> bool:
        nonlocal sent
        before, sent = sent, outlet.sent_bytes
        since_at = outlet.blocked_at
        return before == sent and since_at is not None and time.monotonic() - since_at > 2 * SWEEP_S

    await until(is_full)
    return outlet


async def test_a_client_that_reads_less_than_the_system_tells_of_counts_as_reading(
    limits: RingLimits,
    sending: Sending,
    tcp: tuple[socket.socket, socket.socket],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(outlet_module, "UNSENT_BYTES", (1 << 31) - 1)  # as where the system has no such limit
    ring = Ring(replace(limits, ring_s=1000.0, ring_bytes=8 << 20))
    pump = Pump(PumpLimits(batch_bytes=4096, stall_s=1000.0), sending)
    pump.start()
    outlet = await fill(pump, ring, tcp[0])
    room = outlet.sent_bytes
    left = room // 8
    while left > 0:
        left -= len(await asyncio.to_thread(tcp[1].recv, min(left, 4096)))
    await until(lambda: outlet.sent_bytes > room)
    assert outlet.lag_bytes > 0
    pump.close()
    ring.clear()


async def test_the_system_holds_little_for_a_client_that_does_not_read(
    limits: RingLimits, sending: Sending, tcp: tuple[socket.socket, socket.socket]
) -> None:
    ring = Ring(replace(limits, ring_s=1000.0, ring_bytes=8 << 20))
    pump = Pump(PumpLimits(batch_bytes=4096, stall_s=1000.0), sending)
    pump.start()
    outlet = await fill(pump, ring, tcp[0])
    assert outlet.sent_bytes < outlet_module.UNSENT_BYTES + (256 << 10)
    assert outlet.lag_bytes > 2 << 20
    pump.close()
    ring.clear()


async def test_a_silent_source_is_not_held_against_a_client(pump: Pump, ring: Ring, feed: Feed, listen: Listen) -> None:
    feed.send(5)
    client, stalled = listen(ring), listen(ring)
    await client.read_packets(6)
    await stalled.read_packets(6)
    feed.send(1500)
    pump.appended(ring)
    await until(lambda: len(client.read()) > 0)

    def read_on() -> bool:
        client.read()
        return stalled.ended.done()

    await until(read_on)  # the one that did not read is closed in the meantime, the patient one is not
    assert not client.ended.done()


async def test_a_client_that_left_is_noticed_while_sending(pump: Pump, ring: Ring, feed: Feed, listen: Listen) -> None:
    feed.send(1)
    client = listen(ring)
    await client.read_packets(2)
    client.socket.close()
    feed.send(10)
    pump.appended(ring)
    assert await client.ended is Reason.CLIENT_LEFT


async def test_the_first_reason_wins_and_is_told_once(pump: Pump, ring: Ring, feed: Feed, listen: Listen) -> None:
    feed.send(1)
    client = listen(ring)
    pump.end(client.outlet, Reason.KICKED)
    pump.end(client.outlet, Reason.CLIENT_LEFT)
    pump.forget(ring, Reason.STOPPED)
    assert await client.ended is Reason.KICKED


async def test_an_end_before_the_start_is_an_end(pump: Pump, ring: Ring, feed: Feed, listen: Listen) -> None:
    feed.send(1)
    client = listen(ring)
    pump.end(client.outlet, Reason.KICKED)
    assert await client.ended is Reason.KICKED
    assert client.outlet.fd == -1


async def test_a_finished_ring_is_sent_to_its_end_before_the_clients_are_ended(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen
) -> None:
    feed.send(400)
    client = listen(ring)
    ring.finished = Reason.SOURCE_ENDED
    pump.appended(ring)
    join = ring.join()
    assert join is not None
    first = (join.block.start + join.position) // 188
    assert await client.read_packets(1 + 400 - first) == ["PSI", *range(first, 400)]
    assert await client.ended is Reason.SOURCE_ENDED


async def test_closing_ends_everybody_and_leaves_no_descriptor(ring: Ring, feed: Feed, sending: Sending) -> None:
    before = psutil.Process().num_fds()
    pump = Pump(PumpLimits(batch_bytes=4096, stall_s=5), sending)
    pump.start()
    feed.send(100)
    ends: list[asyncio.Future[Reason]] = []
    sockets: list[socket.socket] = []
    outlets: list[Outlet] = []
    for _ in range(20):
        ours, theirs = socket.socketpair()
        ours.setblocking(False)
        end: asyncio.Future[Reason] = asyncio.get_running_loop().create_future()
        join = ring.join()
        assert join is not None
        outlets.append(Outlet(ring, join, ours, end.set_result))
        pump.add(outlets[-1])
        ends.append(end)
        sockets += [ours, theirs]
    await until(lambda: all(outlet.sent_bytes for outlet in outlets))
    pump.close()
    assert [await end for end in ends] == [Reason.SHUTDOWN] * 20
    for one in sockets:
        one.close()
    assert psutil.Process().num_fds() == before


async def test_a_mistake_in_one_turn_costs_only_that_client(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    feed.send(1)
    other = listen(ring)
    await other.read_packets(2)

    def broken(*_: Any) -> memoryview:
        raise RuntimeError("made for this test")

    monkeypatch.setattr(Block, "view", broken)
    victim = listen(ring)
    assert await victim.ended is Reason.INTERNAL
    monkeypatch.undo()
    feed.send(1)
    pump.appended(ring)
    assert await other.read_packets(1) == [1]
    assert "sending to a client failed" in caplog.text


async def test_a_client_that_cannot_be_waited_for_costs_the_others_nothing(
    pump: Pump, ring: Ring, feed: Feed, listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    feed.send(1)
    victim, reader, other = (listen(ring) for _ in range(3))
    for client in (victim, reader, other):
        await client.read_packets(2)
    await until(lambda: all(client.outlet.is_at_edge for client in (victim, reader, other)))

    def refuse(*_: Any) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")  # fs.epoll.max_user_watches

    monkeypatch.setattr(Stage, "watch", refuse)
    got = {reader: [0], other: [0]}
    while not victim.ended.done():
        feed.send(10)
        pump.appended(ring)
        for client, its in got.items():
            its += [number for number in await client.read_packets(10) if isinstance(number, int)]
    assert await victim.ended is Reason.INTERNAL
    monkeypatch.undo()
    feed.send(1)
    pump.appended(ring)
    for client, its in got.items():
        its += [number for number in await client.read_packets(1) if isinstance(number, int)]
        assert its == list(range(feed.count))
    assert "a client cannot be waited for" in caplog.text


async def test_when_sending_fails_who_took_what_is_unknown_and_the_pump_goes_on(
    pump: Pump,
    ring: Ring,
    feed: Feed,
    listen: Listen,
    monkeypatch: pytest.MonkeyPatch,
    caplog: Any,
) -> None:
    feed.send(1)
    victims = [listen(ring) for _ in range(2)]
    for client in victims:
        await client.read_packets(2)
    await until(lambda: all(client.outlet.is_at_edge for client in victims))

    def fail(*_: Any) -> None:
        raise MemoryError

    with monkeypatch.context() as patch:
        patch.setattr(sending_module, "write_to_each", fail)
        patch.setattr(Uring, "send", fail)
        feed.send(1)
        pump.appended(ring)
        for client in victims:
            assert await client.ended is Reason.CLIENT_LEFT
    assert "sending to clients failed" in caplog.text
    later = listen(ring)
    assert await later.read_packets(3) == ["PSI", 0, 1]
    feed.send(1)
    pump.appended(ring)
    assert await later.read_packets(1) == [2]


async def come_and_go(pump: Pump, limits: RingLimits) -> weakref.ref[Ring]:
    """Be the only client of a ring, be behind, and leave; returns what is left of the ring."""
    ring = Ring(limits)
    feed = Feed(ring)
    feed.send(1)
    client = Listener(pump, ring)

    def is_full() -> bool:
        feed.send(10)
        pump.appended(ring)
        return client.outlet.watched

    await until(is_full)
    await until(lambda: not pump._commands and not pump._awake)
    client.socket.close()  # it is the selector that tells the pump of this
    assert await client.ended is Reason.CLIENT_LEFT
    ring.clear()
    return weakref.ref(ring)


async def test_a_ring_is_let_go_of_with_its_last_client_though_nothing_else_wakes_the_pump(
    pump: Pump, limits: RingLimits
) -> None:
    left = await come_and_go(pump, limits)

    def is_gone() -> bool:
        gc.collect()
        return left() is None

    await until(is_gone)

"""Clients that lose their place in a real broadcast: what they are sent of the old one and at the new one."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from itertools import count
from pathlib import Path

import pytest

from aceproxy.mpegts.h264 import units_of
from aceproxy.streams import skips
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import Ring, RingLimits
from tests.mpegts.splicing import PACKET, media, pieces, read
from tests.streams.conftest import Listen, Listener
from tests.system.cutting import encode
from tests.waiting import until

LIGHT = media("light", 0, 60)


def fill(ring: Ring, pump: Pump) -> Ingest:
    """Let a source send the first quarter of the broadcast."""
    ingest = Ingest(ring, lambda: 0.0)
    send(ingest, LIGHT[: len(LIGHT) // PACKET // 4 * PACKET])
    pump.appended(ring)
    return ingest


def send(ingest: Ingest, stream: bytes) -> None:
    """Let the source send this."""
    for part in pieces(stream):
        ingest.room()[: len(part)] = part
        ingest.filled(len(part))


async def lose_all(ring: Ring, pump: Pump, ingest: Ingest, *slow: Listener) -> None:
    """Let the source go on until all have lost their place."""
    await until(lambda: all(one.outlet.watched for one in slow))
    at = len(LIGHT) // PACKET // 4 * PACKET
    send(ingest, LIGHT[at : 3 * at])
    pump.appended(ring)
    await until(lambda: all(one.outlet.skips == 1 for one in slow))


async def all_of(listener: Listener, data: bytes = b"") -> bytes:
    """Read until the client is at the live edge; `data` is what was read before."""

    def caught_up() -> bool:
        nonlocal data
        data += listener.read()
        outlet = listener.outlet
        return outlet.is_at_edge and outlet.sent_bytes == len(data)

    await until(caught_up)
    return data


@pytest.fixture
def ring(limits: RingLimits) -> Ring:
    """A ring of ten seconds, entered two seconds behind the live edge."""
    return Ring(replace(limits, ring_bytes=64 << 20, ring_s=10.0, burst_s=2.0))


async def test_whoever_is_moved_forward_gets_whole_access_units_on_both_sides(
    pump: Pump, ring: Ring, listen: Listen
) -> None:
    ingest = fill(ring, pump)
    slow = listen(ring)
    await lose_all(ring, pump, ingest, slow)
    assert slow.outlet.block is None
    assert 0 < ring.owed_bytes <= 64 << 10
    data = await all_of(slow)
    assert ring.owed_bytes == 0
    seen = read(data, max_step_s=60)
    assert seen.faults == []
    original = {unit.content for units in read(LIGHT).units.values() for unit in units}
    for units in seen.units.values():
        assert {unit.content for unit in units[:-1]} <= original  # the newest one may not be complete
    ring.clear()


async def test_all_that_skip_to_one_place_are_sent_the_same_bytes(pump: Pump, ring: Ring, listen: Listen) -> None:
    ingest = fill(ring, pump)
    slow = [listen(ring) for _ in range(3)]
    await lose_all(ring, pump, ingest, *slow)
    ends = set()
    for one in slow:
        data = await all_of(one)
        mark = next(at for at in range(0, len(data), PACKET) if data[at + 3] & 0x30 == 0x20 and data[at + 5] & 0x80)
        ends.add(data[mark:])
    assert len(ends) == 1
    ring.clear()


async def test_what_is_owed_is_bounded_and_forgotten_with_the_client(
    pump: Pump, ring: Ring, listen: Listen, monkeypatch: pytest.MonkeyPatch
) -> None:
    ingest = fill(ring, pump)
    slow = [listen(ring) for _ in range(3)]
    await until(lambda: all(one.outlet.watched for one in slow))
    monkeypatch.setattr(skips, "OWED_BYTES", 200)
    await lose_all(ring, pump, ingest, *slow)
    assert ring.owed_bytes <= 3 * PACKET
    for one in slow[1:]:
        one.socket.close()
    assert set((await all_of(slow[0]))[::PACKET]) == {0x47}  # the packet is finished all the same
    await until(lambda: all(one.ended.done() for one in slow[1:]))
    assert ring.owed_bytes == 0
    ring.clear()


async def test_where_no_entry_can_be_made_the_tables_must_do(
    pump: Pump, ring: Ring, listen: Listen, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    def refuse(tables: bytes) -> None:
        raise RuntimeError("no entry today")

    monkeypatch.setattr(skips, "EntryMaker", refuse)
    ingest = fill(ring, pump)
    slow = listen(ring)
    await lose_all(ring, pump, ingest, slow)
    data = await all_of(slow)
    assert data[-50 * PACKET :] in LIGHT
    assert "without an entry" in caplog.text
    ring.clear()


async def test_entries_and_rings_are_let_go_of(pump: Pump, ring: Ring, listen: Listen) -> None:
    ingest = fill(ring, pump)
    slow = listen(ring)
    await lose_all(ring, pump, ingest, slow)
    await all_of(slow)
    kept = pump._skips
    assert kept._entries
    kept.tidy(1e12)
    assert not kept._entries
    ring.clear()


async def test_a_new_client_of_h264_without_idr_pictures_begins_with_one(
    pump: Pump, ring: Ring, listen: Listen, tmp_path: Path
) -> None:
    open_gop = "-f lavfi -i testsrc2=s=128x96:r=25 -t 6 -c:v libx264 -g 24 -bf 3 -x264-params open-gop=1"
    stream = encode(open_gop, tmp_path)
    send(Ingest(ring, lambda: 0.0), stream)
    client = listen(ring)
    data = await all_of(client)
    seen = read(data)
    assert seen.faults == []
    first, *following = [{unit[0] & 31 for unit in units_of(unit.content)} for unit in seen.units[0x100]]
    assert 5 in first
    assert len(following) > 40
    assert not any(5 in kinds for kinds in following)
    assert data[3] & 0x30 != 0x20  # no mark: nothing came before
    assert client.outlet.skips == 0
    ring.clear()


@pytest.mark.parametrize("pid", [0x14, 0x700])
async def test_the_counter_of_a_pid_that_comes_seldom_is_said_to_begin_anew_as_well(
    pump: Pump, ring: Ring, listen: Listen, pid: int
) -> None:
    """Nothing of it comes behind the join point for a while, but something did before."""
    first, end = (len(LIGHT) // PACKET * part // 4 * PACKET for part in (1, 3))
    middle = end - 4000 * PACKET  # six seconds
    counters = count()
    ingest = Ingest(ring, lambda: 0.0)
    send(ingest, LIGHT[: first - 2000 * PACKET])
    for at in range(first - 2000 * PACKET, first, 50 * PACKET):
        send(ingest, LIGHT[at : at + 50 * PACKET] + seldom(pid, counters))
    pump.appended(ring)
    slow = listen(ring)
    await until(lambda: slow.outlet.watched)
    send(ingest, LIGHT[first:middle] + seldom(pid, counters) + seldom(pid, counters) + LIGHT[middle:end])
    pump.appended(ring)
    await until(lambda: slow.outlet.skips == 1)
    data = await all_of(slow)
    send(ingest, seldom(pid, counters) + LIGHT[end : end + 1000 * PACKET])
    pump.appended(ring)
    await until(lambda: slow.outlet.sent_bytes > len(data))  # it is at the edge also while that is on its way
    data = await all_of(slow, data)
    seen = [at for at in range(0, len(data), PACKET) if data[at + 1 : at + 3] == pid.to_bytes(2, "big")]
    assert len(seen) > 2
    assert read(data, max_step_s=60).faults == []
    ring.clear()


def seldom(pid: int, counters: Iterator[int]) -> bytes:
    """Return the next packet of a PID."""
    return bytes((0x47, pid >> 8, pid & 0xFF, 0x10 | next(counters) & 15)) + bytes(184)

"""What faults of the media do on the wire; functions are called after the faults."""

from __future__ import annotations

import asyncio
import time
from itertools import pairwise

import pytest

from aceproxy.simulator import Content, Simulator
from aceproxy.simulator.clips import Stamp, scan
from tests.simulator.wire import (
    LIMIT_S,
    QUIET_S,
    Wire,
    ask,
    content,
    local,
    media_target,
    open_media,
    playing,
    start,
    stat,
    until_silent,
)
from tests.waiting import until

PACKET = 188


async def early_500(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    simulator.set_fault("early-500", "2")
    replies = [await ask(simulator, local(response["playback_url"])) for _ in range(3)]
    assert [one.status for one in replies] == [500, 500, 302]
    assert replies[0].body == b"start timeout"


async def headers_held(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("headers-held", times=1)
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await until(lambda: simulator.requests[-1][1].startswith("/content/"))
    assert await wire.silent_for(0.2 + QUIET_S)
    other = await open_media(simulator, response)
    assert (await other.head())[0] == 200
    await wire.close()
    await other.close()


async def empty_body(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("empty-body", "2")
    target = await media_target(simulator, await start(simulator, light))
    for _ in range(2):
        reply = await ask(simulator, target)
        assert (reply.status, reply.body) == (200, b"")
    simulator.set_fault("empty-body")
    for _ in range(3):
        assert (await ask(simulator, target)).body == b""
    simulator.clear_faults()
    wire = await playing(simulator, light)
    await wire.read(PACKET)
    await wire.close()


async def html_body(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("html-body", "1")
    target = await media_target(simulator, await start(simulator, light))
    reply = await ask(simulator, target)
    assert (reply.status, reply.headers["content-type"]) == (200, "text/html")
    assert b"<html>" in reply.body
    wire = await playing(simulator, light)
    await wire.read(PACKET)
    await wire.close()


async def stall_after(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    simulator.set_fault("stall-after", "0.2", light.infohash)
    await until_silent(wire)
    shown = (await stat(simulator, response))["response"]
    assert (shown["status"], shown["speed_down"]) == ("buf", 0)
    assert simulator.playbacks[0].readers == 1
    simulator.clear_faults("stall-after")
    await wire.read(PACKET)
    assert (await stat(simulator, response))["response"]["status"] == "dl"
    await wire.close()
    await stall_in_hls(simulator, content(simulator, "Other"))


async def stall_in_hls(simulator: Simulator, other: Content) -> None:
    """The list of a stalled broadcast does not grow."""
    simulator.set_fault("stall-after", "0", other.infohash)
    response = await start(simulator, other, hls=True)
    lists = set()
    begun = time.monotonic()
    while time.monotonic() - begun < 3.0:
        lists.add((await ask(simulator, local(response["playback_url"]))).body)
    assert len(lists) == 1


async def frozen_after(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    simulator.set_fault("frozen-after", "0.2", light.infohash)
    await until_silent(wire)
    shown = (await stat(simulator, response))["response"]
    assert shown["status"] == "dl"
    assert shown["speed_down"] > 0
    simulator.clear_faults("frozen-after")
    await wire.read(PACKET)
    await wire.close()


async def forgotten_after(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    simulator.set_fault("forgotten-after", "0.2", times=1)
    await until_silent(wire)
    assert (await stat(simulator, response))["error"] == "unknown playback session id"
    assert not wire.reader.at_eof()
    await wire.close()


async def slow_media(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("slow-media", "tenth", times=1)
    slow = await playing(simulator, light)
    slow_bytes = len(await slow.read_for(1.0))
    assert 0 < slow_bytes < 0.3 * light.bitrate_bps / 8
    await slow.close()


async def drip_media(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("drip-media", times=1)
    wire = await Wire.open(simulator)
    target = await media_target(simulator, await start(simulator, light))
    wire.send(target)
    pieces: list[int] = []
    async with asyncio.timeout(LIMIT_S):
        while sum(pieces) < 20_000:
            pieces.append(len(await wire.reader.read(65536)))
    assert pieces[0] < 20  # of the head
    assert len(pieces) > 10
    await wire.close()


async def rst_after(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("rst-after", "0.2", times=1)
    wire = await playing(simulator, light)
    with pytest.raises(ConnectionResetError):
        await wire.rest()
    await wire.close()
    again = await playing(simulator, light)
    assert len(await again.read_for(0.5)) > 0
    assert not again.reader.at_eof()
    await again.close()


async def eof_after(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("eof-after", "0.2")
    wire = await playing(simulator, light)
    stream = await wire.rest()
    assert len(stream) > 0
    assert len(stream) % PACKET == 0
    assert len(simulator.active_playbacks) == 1
    await wire.close()


async def pauses(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("pauses", "0.5")
    wire = await playing(simulator, light)
    await until_silent(wire)
    await wire.read(PACKET * 20)
    await wire.close()


async def loop(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    simulator.set_fault("loop", "0.5", light.infohash)
    stream = await wire.read(int(light.bitrate_bps / 8 * 4.5) // PACKET * PACKET)
    period = int(light.bitrate_bps / 8 * 0.5) // PACKET * PACKET
    assert stream[-period:] == stream[-2 * period : -period]
    first = (await stat(simulator, response))["response"]["livepos"]["live_last"]
    begun = time.monotonic()
    await until(lambda: time.monotonic() > begun + 1.1)
    assert (await stat(simulator, response))["response"]["livepos"]["live_last"] == first
    await wire.close()
    hls = await start(simulator, light, "h", hls=True)
    lists = {(await ask(simulator, local(hls["playback_url"]))).body for _ in range(3)}
    begun = time.monotonic()
    await until(lambda: time.monotonic() > begun + 2.5)
    assert lists == {(await ask(simulator, local(hls["playback_url"]))).body}


async def repeats(simulator: Simulator, light: Content) -> None:
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    await wire.head()
    simulator.set_fault("repeats", "0.5", light.infohash)
    stream = await wire.read(int(light.bitrate_bps / 8 * 4.5) // PACKET * PACKET)
    period = int(light.bitrate_bps / 8 * 0.5) // PACKET * PACKET
    assert stream[-period:] == stream[-2 * period : -period]
    edges = []
    for _ in range(2):
        edges.append(int((await stat(simulator, response))["response"]["livepos"]["live_last"]))
        await wire.read_for(1.1)
    assert edges[0] < edges[1]
    await wire.close()


async def garbage(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("garbage", times=1)
    wire = await playing(simulator, light)
    stream = await wire.read(PACKET * 1000)
    assert stream[::PACKET].count(0x47) < 50
    await wire.close()
    again = await playing(simulator, light, "q")
    assert (await again.read(PACKET * 1000))[::PACKET].count(0x47) == 1000
    await again.close()


async def garbage_first(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("garbage-first", "0.3")
    wire = await playing(simulator, light)
    stream = await wire.read_for(1.5)
    assert stream[: PACKET * 20 : PACKET].count(0x47) < 5
    assert stream[-(len(stream) % PACKET) - PACKET * 100 :: PACKET].count(0x47) >= 100
    await wire.close()


def clocks(stream: bytes, kind: Stamp) -> list[int]:
    return [place.ticks for place in scan(stream[: len(stream) // PACKET * PACKET])[0] if place.kind is kind]


async def clock_jumps(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("clock-jumps", "0.4")
    wire = await playing(simulator, light)
    stream = await wire.read_for(1.5)
    for kind in (Stamp.PCR, Stamp.PTS):
        steps = [(later - one) % (1 << 33) for one, later in pairwise(clocks(stream, kind))]
        assert sum(90_000 * 10_700 < step < 90_000 * 10_900 for step in steps) == 1
    await wire.close()


async def clock_stuck(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("clock-stuck")
    wire = await playing(simulator, light)
    stream = await wire.read(PACKET * 1000)
    assert len(set(clocks(stream, Stamp.PCR))) == 1
    assert len(set(clocks(stream, Stamp.PTS) + clocks(stream, Stamp.PTS_WITH_DTS))) > 20
    await wire.close()


async def garbage_between(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("garbage-between", "0.5")
    wire = await playing(simulator, light)
    stream = await wire.read(300_000)
    at = aligned = lost = 0
    while at + 2 * PACKET < len(stream):
        if stream[at] == stream[at + PACKET] == 0x47:
            aligned, at = aligned + 1, at + PACKET
        else:
            lost, at = lost + 1, at + 1
    assert aligned > 1000
    assert 2 * 800 < lost < 10 * 1500
    await wire.close()


async def one_packet_per_second(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("one-packet-per-second")
    wire = await playing(simulator, light)
    assert len(await wire.read_for(2.5)) in (2 * PACKET, 3 * PACKET)
    await wire.close()


async def no_keyframes(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("no-keyframes")
    wire = await playing(simulator, light)
    stream = await wire.read(int(light.bitrate_bps / 8 * 3.5) // PACKET * PACKET)
    places, entries = scan(stream)
    assert entries == []
    assert b"\x00\x00\x01\x65" not in stream
    assert b"\x00\x00\x01\x67" not in stream
    pictures = sum(place.kind in (Stamp.PTS, Stamp.PTS_WITH_DTS) for place in places)
    assert pictures > 60
    await wire.close()


async def mp4_bytes(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("mp4-bytes")
    wire = await playing(simulator, light)
    stream = await wire.read(200_000)
    assert stream[4:8] == b"ftyp"
    assert b"mdat" in stream[:100]
    assert 0x47 not in stream[100:]
    await wire.close()


async def chunked_body(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("chunked-body")
    response = await start(simulator, light)
    wire = await open_media(simulator, response)
    _, headers, _ = await wire.head()
    assert headers["transfer-encoding"] == "chunked"
    for _ in range(5):
        async with asyncio.timeout(LIMIT_S):
            length = int((await wire.reader.readline()).strip(), 16)
        chunk = await wire.read(length + 2)
        assert (chunk[0], chunk[-2:], length % PACKET) == (0x47, b"\r\n", 0)
    await ask(simulator, local(response["command_url"]) + "?method=stop")
    assert (await wire.rest()).endswith(b"\r\n0\r\n\r\n")
    await wire.close()


async def second_reader(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("second-reader", "ok")
    response = await start(simulator, light)
    first, second = await open_media(simulator, response), await open_media(simulator, response)
    await first.head()
    assert (await second.head())[2].count(b"HTTP/1.1 200 OK") == 1
    simulator.set_fault("second-reader")
    third = await open_media(simulator, response)
    assert (await third.head())[2].startswith(b"HTTP/1.1 200 OK\r\nHTTP/1.1 200 OK\r\n")
    for wire in (first, second, third):
        await wire.close()


async def list_403(simulator: Simulator, light: Content) -> None:
    simulator.set_fault("list-403", times=1)
    target = local((await start(simulator, light, hls=True))["playback_url"])
    assert [(await ask(simulator, target)).status for _ in range(2)] == [403, 200]

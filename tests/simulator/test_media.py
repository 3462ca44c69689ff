"""Progressive media on the wire: pace, sameness, readers, ends, files."""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable
from itertools import pairwise
from typing import Any

import pytest

from aceproxy.simulator import Content, Simulator, SimulatorConfig
from aceproxy.simulator.clips import Stamp, scan
from aceproxy.simulator.media import LiveReader
from tests.simulator.wire import LIMIT_S, Wire, ask, content, local, media_target, open_media, playing, start, stat
from tests.waiting import until

Run = Callable[..., Awaitable[Simulator]]
PACKET = 188


def sync_offsets(stream: bytes) -> list[int]:
    """Return where a sync byte is missing."""
    return [offset for offset in range(0, len(stream), PACKET) if stream[offset] != 0x47]


async def media(simulator: Simulator, name: str, pid: str = "p") -> Wire:
    """Start a playback and open its stream past the head."""
    wire = await open_media(simulator, await start(simulator, content(simulator, name), pid))
    status, headers, _ = await wire.head()
    assert status == 200
    assert headers["content-type"] == "video/mp2t"
    assert "content-length" not in headers
    return wire


async def test_a_live_stream_is_packets_that_need_not_start_at_a_keyframe(simulator: Simulator) -> None:
    wire = await media(simulator, "Light")
    stream = await wire.read(PACKET * 1500)
    assert sync_offsets(stream) == []
    assert stream[1:3] != b"\x40\x00", "it would start with a PAT only if it were aligned"
    await wire.close()


async def test_the_past_comes_at_once_and_then_real_time(run: Run) -> None:
    simulator = await run(burst_s=2.0)
    light = content(simulator, "Light")
    rate = light.bitrate_bps / 8
    wire = await media(simulator, "Light")
    begun = time.monotonic()
    await wire.read(int(rate * 1.9))
    assert time.monotonic() - begun < 1.7
    await wire.read(int(rate * 1.0))
    taken = time.monotonic() - begun
    assert 0.8 <= taken < 20.0
    await wire.close()


async def test_two_readers_see_the_same_bytes(simulator: Simulator) -> None:
    first, second = await media(simulator, "Light", "a"), await media(simulator, "Light", "b")
    one, two = await first.read(PACKET * 2500), await second.read(PACKET * 2500)
    at = one.find(two[: PACKET * 4])
    assert at >= 0
    assert at % PACKET == 0
    assert two.startswith(one[at:])
    await first.close()
    await second.close()


async def test_a_reopened_stream_is_the_same_broadcast_further_on(simulator: Simulator) -> None:
    first = await media(simulator, "Light", "a")
    one = await first.read(PACKET * 2000)
    await first.close()
    second = await media(simulator, "Light", "b")
    two = await second.read(PACKET * 2500)
    at = one.find(two[: PACKET * 4])
    assert at > 0
    assert two.startswith(one[at:])
    assert len(two) > len(one) - at
    await second.close()


async def test_stop_ends_every_stream_of_the_content_with_a_plain_eof(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    responses = [await start(simulator, light, pid) for pid in ("a", "b")]
    wires = [await open_media(simulator, response) for response in responses]
    for wire in wires:
        await wire.head()
        await wire.read(PACKET)
    reply = await ask(simulator, local(responses[0]["command_url"]) + "?method=stop")
    assert reply.json == {"response": "ok", "error": None}
    for wire in wires:
        await wire.rest()
        await wire.close()
    assert [one.stop_reason for one in simulator.playbacks] == ["stopped", "stopped_by_other"]
    assert simulator.active_playbacks == ()


async def test_records_count_bytes_and_readers(simulator: Simulator) -> None:
    wire = await media(simulator, "Light")
    await wire.read(PACKET * 1000)
    record = simulator.playbacks[0]
    assert record.pid == "p"
    assert record.bytes_sent >= PACKET * 1000
    assert (record.readers, record.max_readers, record.stopped_at) == (1, 1, None)
    await wire.close()
    await until(lambda: simulator.playbacks[0].readers == 0)
    assert simulator.playbacks[0].max_readers == 1


async def test_a_token_of_an_ended_session_is_not_found(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"))
    target = await media_target(simulator, response)
    await ask(simulator, local(response["command_url"]) + "?method=stop")
    reply = await ask(simulator, target)
    assert (reply.status, reply.body) == (404, b"download not found")
    again = await ask(simulator, local(response["playback_url"]))
    assert (again.status, again.body) == (500, b"download not found")


@pytest.mark.parametrize("policy", ["corrupt", "steal", "ok"])
async def test_a_second_reader_of_one_playback(run: Run, policy: str) -> None:
    simulator = await run(second_reader=policy)
    response = await start(simulator, content(simulator, "Light"))
    first = await open_media(simulator, response)
    await first.head()
    second = await open_media(simulator, response)
    _, _, raw = await second.head()
    assert raw.count(b"HTTP/1.1 200 OK\r\n") == (2 if policy == "corrupt" else 1)
    if policy == "steal":
        await first.rest()
    else:
        await first.read(PACKET * 1500)
    if policy == "corrupt":
        await second.rest()
    else:
        await second.read(PACKET * 1500)
    assert simulator.playbacks[0].max_readers == (1 if policy == "corrupt" else 2)
    await first.close()
    await second.close()


@pytest.mark.parametrize(
    ("option", "first_goes_on"), [("allow_multiple_threads_reading", True), ("stop_prev_read_thread", False)]
)
async def test_a_start_can_say_what_a_second_reader_gets(
    simulator: Simulator, option: str, first_goes_on: bool
) -> None:
    response = await start(simulator, content(simulator, "Light"), extra=f"&{option}=1")
    first = await open_media(simulator, response)
    await first.head()
    second = await open_media(simulator, response)
    assert (await second.head())[2].count(b"HTTP/1.1") == 1
    if first_goes_on:
        await first.read(PACKET * 1500)
    else:
        await first.rest()
    await first.close()
    await second.close()


async def test_headers_are_held_until_there_is_data(run: Run) -> None:
    simulator = await run(prebuffer_s=0.5)
    response = await start(simulator, content(simulator, "Light"))
    wire = await open_media(simulator, response)
    assert await wire.silent_for(0.25)
    assert (await stat(simulator, response))["response"]["status"] == "prebuf"
    assert (await wire.head())[0] == 200
    assert (await stat(simulator, response))["response"]["status"] == "dl"
    await wire.close()


async def test_headers_are_not_held_longer_than_the_limit(run: Run) -> None:
    simulator = await run(prebuffer_s=60.0, hold_limit_s=0.2)
    wire = await open_media(simulator, await start(simulator, content(simulator, "Light")))
    reply = await wire.reply()
    assert (reply.status, reply.body) == (500, b"start timeout")
    await wire.close()


async def test_waiting_for_headers_keeps_a_session_alive(run: Run) -> None:
    simulator = await run(prebuffer_s=1.5, idle_timeout_s=0.6)
    wire = await open_media(simulator, await start(simulator, content(simulator, "Light")))
    assert (await wire.head())[0] == 200
    await wire.close()


async def test_an_early_request_can_fail_fast_and_work_later(run: Run) -> None:
    simulator = await run(not_ready="fast500", prebuffer_s=0.6, start_timeout_s=0.2)
    response = await start(simulator, content(simulator, "Light"))
    target = local(response["playback_url"])
    first = await ask(simulator, target)
    assert (first.status, first.body, first.headers["content-type"]) == (500, b"download not found", "text/plain")
    bodies = []
    begun = time.monotonic()
    while (reply := await ask(simulator, target)).status == 500:
        bodies.append(reply.body)
        assert time.monotonic() - begun < LIMIT_S
    assert b"start timeout" in bodies
    assert reply.status == 302


async def test_the_stream_can_come_without_a_second_redirect(run: Run) -> None:
    simulator = await run(deliver_at_r=True)
    response = await start(simulator, content(simulator, "Light"))
    wire = await Wire.open(simulator)
    wire.send(local(response["playback_url"]))
    assert (await wire.head())[0] == 200
    await wire.read(PACKET)
    await wire.close()


async def test_head_of_a_stream_adds_no_reader(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"))
    reply = await ask(simulator, await media_target(simulator, response), method="HEAD")
    assert (reply.status, reply.headers["content-type"]) == (200, "video/mp2t")
    assert simulator.playbacks[0].max_readers == 0


async def test_a_reader_that_takes_nothing_is_not_buffered_for_and_goes_on_at_the_edge(run: Run) -> None:
    simulator = await run(contents=(Content("Clock", "clock"),), lag_window_s=0.0, burst_s=3.0)
    wire = await media(simulator, "Clock")
    begun = time.monotonic()
    await until(lambda: time.monotonic() > begun + 3.5)
    held = simulator.playbacks[0].bytes_sent
    assert held < 3.5 * 5_740_016 / 8, "less than the burst and what came since"
    await until(lambda: simulator.playbacks[0].readers == 1)
    stream = await wire.read(held // PACKET * PACKET + PACKET * 1000)
    clocks = [place for place in scan(stream)[0] if place.kind is Stamp.PCR]
    contiguous_s = (clocks[-1].offset - clocks[0].offset) / (5_740_016 / 8)
    assert (clocks[-1].ticks - clocks[0].ticks) / 90_000 > contiguous_s + 1
    await wire.close()


async def film(simulator: Simulator) -> tuple[str, dict[str, Any]]:
    """Start the file; return the target of its stream and the start's answer."""
    response = await start(simulator, content(simulator, "Film"))
    assert response["is_live"] == 0
    return await media_target(simulator, response), response


async def test_a_file_has_a_length_and_ranges(simulator: Simulator) -> None:
    target, _ = await film(simulator)
    whole = await ask(simulator, target)
    size = len(whole.body)
    assert whole.status == 200
    assert whole.headers["accept-ranges"] == "bytes"
    assert int(whole.headers["content-length"]) == size == 3 * 256_056
    assert sync_offsets(whole.body) == []
    for wish, first, last in (("100-299", 100, 299), (f"{size - 5}-", size - 5, size - 1), ("-7", size - 7, size - 1)):
        part = await ask(simulator, target, headers=f"Range: bytes={wish}\r\n")
        assert part.status == 206
        assert part.headers["content-range"] == f"bytes {first}-{last}/{size}"
        assert part.body == whole.body[first : last + 1]
    assert (await ask(simulator, target, headers=f"Range: bytes={size}-\r\n")).status == 416
    assert (await ask(simulator, target, headers="Range: lines=1-2\r\n")).status == 200
    head = await ask(simulator, target, method="HEAD")
    assert int(head.headers["content-length"]) == size


async def test_delivery_can_swing_around_the_rate(run: Run) -> None:
    simulator = await run(jitter=0.5, burst_s=1.0)
    wire = await media(simulator, "Light")
    assert sync_offsets(await wire.read(PACKET * 800)) == []
    (reader,) = simulator._engine.table.active()[0].readers
    assert isinstance(reader, LiveReader)
    lags = [reader._jitter_s(reader.started_at + step / 10) for step in range(101)]
    rates = [1 - (after - before) / 0.1 for before, after in pairwise(lags)]
    assert (round(min(rates), 1), round(max(rates), 1)) == (0.5, 1.5)
    assert min(lags) >= 0
    assert lags[100] == pytest.approx(0, abs=1e-6)
    await wire.close()


async def test_at_the_live_edge_a_reader_writes_once_a_tick(run: Run) -> None:
    simulator = await run(contents=(Content("Clock", "clock"),), burst_s=0.0, tick_s=0.04)
    wire = await media(simulator, "Clock")
    await wire.read(PACKET)
    (reader,) = simulator._engine.table.active()[0].readers
    assert isinstance(reader, LiveReader)
    positions = set()
    begun = time.monotonic()
    while (now := time.monotonic()) < begun + 1.0:
        positions.add(reader.position)
        await wire.reader.read(65536)
    assert 8 <= len(positions) <= 2 + (now - begun) / 0.04
    await wire.close()


async def test_engines_in_step_send_the_same_bytes_at_the_same_time() -> None:
    config = SimulatorConfig.fast(in_step=True)
    async with Simulator(config) as one, Simulator(config) as other:
        streams = []
        for simulator in (one, other):
            wire = await playing(simulator, content(simulator, "Clock One"))
            streams.append(await wire.read(2000 * 188))
            await wire.close()
    begin = streams[1][: 100 * 188]  # one packet alone may be a null packet, of which there are many
    assert begin in streams[0]
    at = streams[0].index(begin)
    assert streams[1].startswith(streams[0][at:])
    assert at < 400_000, "they are less than a second apart"

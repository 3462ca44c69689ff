"""HLS: lists and segments on the wire."""

from __future__ import annotations

import asyncio
import math
import re
from collections.abc import Awaitable, Callable
from itertools import pairwise

import pytest

from aceproxy.simulator import Simulator
from aceproxy.simulator.clips import pid_at, scan
from tests.simulator.wire import Reply, ask, content, local, start, stat
from tests.waiting import until

Run = Callable[..., Awaitable[Simulator]]
ENTRY = re.compile(r"#EXTINF:(\d+\.\d{6}),\n(http://engine\.test:6878(/ace/c/[0-9a-f]{40}/(\d+)\.ts))\n")


async def first_list(simulator: Simulator, name: str = "Light", pid: str = "p") -> tuple[str, Reply]:
    """Start HLS; return the list's target and its first answer."""
    response = await start(simulator, content(simulator, name), pid, hls=True)
    target = local(response["playback_url"])
    return target, await ask(simulator, target)


async def test_a_list_is_as_documented(simulator: Simulator) -> None:
    _, reply = await first_list(simulator)
    assert reply.status == 200
    assert reply.headers["content-type"] == "application/vnd.apple.mpegurl"
    text = reply.body.decode()
    assert text.startswith("#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:")
    assert "#EXT-X-MEDIA-SEQUENCE:0\n" in text
    assert "ENDLIST" not in text
    entries = ENTRY.findall(text)
    assert [int(number) for *_, number in entries] == list(range(len(entries)))
    assert len(entries) >= 2
    target_duration = int(text.split("TARGETDURATION:")[1].split("\n")[0])
    assert target_duration == math.ceil(max(float(duration) for duration, *_ in entries))


async def test_segments_follow_each_other_and_begin_with_tables_and_a_keyframe(simulator: Simulator) -> None:
    _, reply = await first_list(simulator)
    entries = ENTRY.findall(reply.body.decode())
    segments = [await ask(simulator, path) for _, _, path, _ in entries]
    pictures = 0
    for segment, (duration, *_) in zip(segments, entries, strict=True):
        assert segment.headers["content-type"] == "video/mp2t"
        assert int(segment.headers["content-length"]) == len(segment.body)
        assert [pid_at(segment.body, at) for at in (0, 188, 376)] == [0, 0x1000, 0x100]
        places, found = scan(segment.body)
        assert found[0].offset == 0
        pids = [pid_at(segment.body, one.offset // 188 * 188) for one in places if "pts" in one.kind.value]
        frames = pids.count(0x100)
        pictures += frames
        # what was begun before the cut ends behind it: a picture or so
        assert abs(frames / 25 - float(duration)) < 0.3
    assert abs(pictures / 25 - sum(float(duration) for duration, *_ in entries)) < 0.3
    joined = b"".join(segment.body for segment in segments)
    counters = [joined[at + 3] & 15 for at in range(0, len(joined), 188) if pid_at(joined, at) == 0x101]
    assert all((b - a) % 16 == 1 for a, b in pairwise(counters))


async def test_any_number_of_readers_get_the_same_segment(simulator: Simulator) -> None:
    _, reply = await first_list(simulator)
    path = ENTRY.findall(reply.body.decode())[0][2]
    bodies = await asyncio.gather(*(ask(simulator, path) for _ in range(5)))
    assert len({one.body for one in bodies}) == 1
    head = await ask(simulator, path, method="HEAD")
    assert int(head.headers["content-length"]) == len(bodies[0].body)


async def test_the_window_moves_and_what_left_it_is_gone(run: Run) -> None:
    simulator = await run(hls_segment_s=1.0, hls_window=3, hls_history_s=3.0, segment_gone=500)
    target, reply = await first_list(simulator)
    infohash = content(simulator, "Light").infohash
    sequence = 0
    async with asyncio.timeout(20):
        while sequence < 4:
            text = (await ask(simulator, target)).body.decode()
            sequence = int(text.split("MEDIA-SEQUENCE:")[1].split("\n")[0])
            assert len(ENTRY.findall(text)) <= 3
    gone = await ask(simulator, f"/ace/c/{infohash}/0.ts")
    assert (gone.status, gone.body) == (500, b"download not found")
    assert (await ask(simulator, f"/ace/c/{infohash}/{sequence}.ts")).status == 200
    assert reply.status == 200


@pytest.mark.parametrize("number", ["9999", "9" * 30])
async def test_a_segment_that_is_not_there_is_404(simulator: Simulator, number: str) -> None:
    await first_list(simulator)
    reply = await ask(simulator, f"/ace/c/{content(simulator, 'Light').infohash}/{number}.ts")
    assert (reply.status, reply.body) == (404, b"download not found")


async def test_a_list_asked_for_too_early_times_out(run: Run) -> None:
    simulator = await run(prebuffer_s=30.0, start_timeout_s=0.2)
    _, reply = await first_list(simulator)
    assert (reply.status, reply.body) == (500, b"start timeout")
    assert reply.headers["access-control-allow-origin"] == "*"


async def test_another_player_takes_the_list_away_and_counts_from_zero(simulator: Simulator) -> None:
    first, _ = await first_list(simulator, pid="a")
    second, reply = await first_list(simulator, pid="b")
    refused = await ask(simulator, first)
    assert (refused.status, refused.body) == (403, b"Forbidden")
    assert "#EXT-X-MEDIA-SEQUENCE:0\n" in reply.body.decode()
    assert (await ask(simulator, second)).status == 200
    assert [one.stop_reason for one in simulator.playbacks] == ["superseded", None]


async def test_a_superseding_player_takes_over_the_download_without_prebuffering_again(run: Run) -> None:
    simulator = await run(prebuffer_s=1.0, start_timeout_s=5.0)
    assert (await first_list(simulator, pid="a"))[1].status == 200
    response = await start(simulator, content(simulator, "Light"), "b", hls=True)
    assert (await stat(simulator, response))["response"]["status"] == "dl"


async def test_sharing_can_be_chosen_for_hls(run: Run) -> None:
    simulator = await run(second_pid_hls="share")
    first, _ = await first_list(simulator, pid="a")
    second, _ = await first_list(simulator, pid="b")
    assert [(await ask(simulator, target)).status for target in (first, second)] == [200, 200]


async def test_after_a_stop_the_list_is_500_and_segments_are_gone(simulator: Simulator) -> None:
    response = await start(simulator, content(simulator, "Light"), hls=True)
    target = local(response["playback_url"])
    path = ENTRY.findall((await ask(simulator, target)).body.decode())[0][2]
    await ask(simulator, local(response["command_url"]) + "?method=stop")
    reply = await ask(simulator, target)
    assert (reply.status, reply.body) == (500, b"download not found")
    assert (await ask(simulator, path)).status == 404


async def test_fetching_segments_keeps_the_session_alive(run: Run) -> None:
    simulator = await run(idle_timeout_s=1.0)
    _, reply = await first_list(simulator)
    path = ENTRY.findall(reply.body.decode())[-1][2]
    started = asyncio.get_running_loop().time()
    while asyncio.get_running_loop().time() - started < 2.0:
        assert (await ask(simulator, path)).status == 200
    await until(lambda: simulator.active_playbacks == ())
    assert simulator.playbacks[0].bytes_sent > 0


async def test_radio_and_file_have_lists_too(simulator: Simulator) -> None:
    _, radio = await first_list(simulator, "Radio", "r")
    assert len(ENTRY.findall(radio.body.decode())) >= 2
    _, film = await first_list(simulator, "Film", "f")
    text = film.body.decode()
    assert text.endswith("#EXT-X-ENDLIST\n")
    entries = ENTRY.findall(text)
    assert sum(float(duration) for duration, *_ in entries) == pytest.approx(24.0)
    sizes = [len((await ask(simulator, path)).body) for _, _, path, _ in entries]
    assert sum(sizes) == 3 * 256_056

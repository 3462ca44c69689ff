"""Recordings over HTTP, in one process with a simulated engine: ranges, viewers, playbacks, failures."""

from __future__ import annotations

import asyncio
import contextlib
import io
import json
import random
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest

from aceproxy.app import App
from aceproxy.checking import PLAYS, check_link
from aceproxy.engine.links import Link, LinkKind, parse_link
from aceproxy.engine.media import RangeRefusedError
from aceproxy.entries import EngineEntry
from aceproxy.settings import Settings
from aceproxy.simulator import Content, ContentFile, Simulator, SimulatorConfig
from aceproxy.streams import begun
from aceproxy.streams.spans import Facts, Span
from aceproxy.web.recordings import FARTHEST, read_span
from tests.conftest import Answer, MakeApp, ask
from tests.system.fake_engine import FakeEngine
from tests.waiting import until

Slow = Callable[..., Awaitable[Answer]]
LONG_S = 400.0  # of a film of 288 MB, far more than sockets hold


@pytest.fixture
async def films(tmp_path: Path) -> AsyncIterator[Simulator]:
    """An engine with recordings only, but for one live channel."""
    page = tmp_path / "page.html"
    page.write_bytes(random.Random(7).randbytes(300_000))
    nothing = tmp_path / "nothing.ts"
    nothing.touch()
    contents = (
        Content("Film", "light", live=False, duration_s=32),
        Content("Series", live=False, files=(ContentFile("a.ts", "light", 16), ContentFile("b.mp4", "radio", 40))),
        Content("Long", "clock", live=False, duration_s=LONG_S),
        Content("Odd", live=False, files=(ContentFile("page.html", path=page),)),
        Content("Live", "light"),
        Content("Nothing", live=False, files=(ContentFile("nothing.ts", path=nothing),)),
    )
    async with Simulator(SimulatorConfig.fast(contents=contents)) as simulator:
        yield simulator


@pytest.fixture
async def slow() -> AsyncIterator[Slow]:
    """Opens recordings and leaves their bodies to be read; leaves them at the end of the test."""
    opened: list[Answer] = []

    async def start(app: App, target: str, headers: str = "") -> Answer:
        answer = await ask(app, target, stream=True, headers=headers)
        opened.append(answer)
        assert answer.status == 200, answer.body
        return answer

    yield start
    for answer in opened:
        answer.close()


def bytes_of(films: Simulator, number: int, index: int = 0) -> bytes:
    """Return what a file consists of."""
    file = films._engine.channels[films.contents[number].infohash].files[index]
    return file.read(0, file.size_bytes)


def long_part(films: Simulator, first: int, count: int) -> bytes:
    """Return a part of the long film; negative places count from its end."""
    file = films._engine.channels[films.contents[2].infohash].files[0]
    return file.read(first if first >= 0 else file.size_bytes + first, count)


def link(films: Simulator, number: int = 0, extra: str = "") -> str:
    """Return the address of a recording."""
    return f"/ace/getstream?id={films.contents[number].content_id}{extra}"


async def part(app: App, target: str, wanted: str, headers: str = "") -> Answer:
    """Ask for a range."""
    return await ask(app, target, headers=f"Range: {wanted}\r\n{headers}")


def open_playbacks(films: Simulator) -> list[Any]:
    """Return the playbacks that are not stopped."""
    return [one for one in films.playbacks if one.stopped_at is None]


async def test_a_recording_is_a_file_with_a_length(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    whole = bytes_of(films, 0)
    answer = await ask(app, link(films))
    assert answer.status == 200
    assert answer.body == whole
    assert answer.headers["content-length"] == str(len(whole))
    assert answer.headers["accept-ranges"] == "bytes"
    assert answer.headers["content-type"] == "video/mp2t"
    assert app.hub.ended[0].reason == "recording"
    assert app.hub.counters.streams_failed == 0
    assert app.hub.counters.outbound_bytes == len(whole)


async def test_the_first_viewer_goes_on_with_the_playback_that_told_that_it_is_a_recording(
    films: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(engines=[films.url])
    for wanted in ("bytes=100-199", "bytes=5000-"):
        assert (await part(app, link(films), wanted)).body == bytes_of(films, 0)[slice(*_span(wanted))]
    assert [one.stopped_at for one in films.playbacks] == [None]
    assert [engine.streams for engine in app.pool.snapshot()] == [1]


async def test_of_several_first_viewers_each_has_a_playback_of_its_own(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    answers = await asyncio.gather(*(ask(app, link(films), headers=f"User-Agent: {name}\r\n") for name in "abc"))
    assert {answer.body for answer in answers} == {bytes_of(films, 0)}
    assert [one.stopped_at for one in films.playbacks] == [None] * 3


async def test_what_was_begun_for_nobody_is_stopped(
    films: Simulator, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(begun, "CLAIM_S", 0.1)
    app = await make_app(engines=[films.url])
    for _ in range(2):  # known as a recording from the second time on: no engine is asked
        refused = await ask(app, link(films).replace("getstream", "manifest.m3u8"))
        assert refused.reason == "recording"
    await until(lambda: films.active_playbacks == ())
    assert [engine.streams for engine in app.pool.snapshot()] == [0]


async def test_what_was_begun_is_stopped_with_the_program_and_gives_way_to_a_broadcast(
    films: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(engines=[films.url], engine_max_streams=1)
    as_list = link(films).replace("getstream", "manifest.m3u8")
    assert (await ask(app, as_list)).reason == "recording"
    assert len(films.active_playbacks) == 1
    live = await ask(app, link(films, 4), stream=True)
    assert live.status == 200
    live.close()
    other = await make_app(engines=[films.url])
    assert (await ask(other, as_list)).reason == "recording"
    await other.close()
    await app.close()
    await until(lambda: films.active_playbacks == ())


async def test_when_the_engine_is_gone_before_the_first_byte_another_one_plays(make_app: MakeApp) -> None:
    film = Content("Film", "light", live=False, duration_s=8)
    async with (
        Simulator(SimulatorConfig.fast(contents=(film,))) as first,
        Simulator(SimulatorConfig.fast(contents=(film,))) as second,
    ):
        app = await make_app(engines=[first.url, second.url])
        target = f"/ace/getstream?id={film.content_id}"
        assert (await ask(app, target.replace("getstream", "manifest.m3u8"))).reason == "recording"
        (begun_on,) = [one for one in (first, second) if one.playbacks]
        await begun_on.stop()
        assert (await ask(app, target)).status == 200
        assert sorted(len(one.playbacks) for one in (first, second)) == [1, 1]


def _span(wanted: str) -> tuple[int, int | None]:
    first, _, last = wanted.removeprefix("bytes=").partition("-")
    return int(first), int(last) + 1 if last else None


async def test_ranges_are_those_that_were_asked_for(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    whole = bytes_of(films, 0)
    size = len(whole)
    for wanted, first, stop in (
        ("bytes=0-0", 0, 1),
        ("bytes=1000-1999", 1000, 2000),
        (f"bytes={size - 1}-", size - 1, size),
        ("bytes=-500", size - 500, size),
        (f"bytes=-{size * 2}", 0, size),
        (f"bytes=5-{size * 2}", 5, size),
        ("Bytes = 7 - 9", 7, 10),
    ):
        answer = await part(app, link(films), wanted)
        assert (wanted, answer.status) == (wanted, 206)
        assert answer.headers["content-range"] == f"bytes {first}-{stop - 1}/{size}"
        assert answer.headers["content-length"] == str(stop - first)
        assert answer.body == whole[first:stop]
    for ignored in ("bytes=5-1", "bytes=-", "bytes=a-b", "items=0-5", "bytes=0-1,5-9", "bytes=0-1 x"):
        answer = await part(app, link(films), ignored)
        assert (ignored, answer.status, len(answer.body)) == (ignored, 200, size)


async def test_what_is_not_there_is_a_416(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    size = len(bytes_of(films, 0))
    for _ in range(2):  # at first contact, when only the engine knows, and later
        answer = await part(app, link(films), f"bytes={size}-")
        assert (answer.status, answer.reason) == (416, "range_not_satisfiable")
        assert answer.headers["content-range"] == f"bytes */{size}"
    assert (await part(app, link(films), "bytes=-0")).status == 416
    assert (await part(app, link(films), f"bytes={size - 1}-")).status == 206


async def test_head_tells_the_length_and_starts_nothing(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    await until(lambda: app.pool.snapshot()[0].state == "up")
    answer = await ask(app, link(films), "HEAD")
    assert answer.status == 200
    assert answer.headers["content-length"] == str(len(bytes_of(films, 0)))
    assert answer.headers["accept-ranges"] == "bytes"
    assert films.playbacks == ()
    first = await part(app, link(films), "bytes=0-9")
    again = await ask(app, link(films), "HEAD", headers="Range: bytes=0-9\r\n")
    assert (again.status, again.headers["content-length"]) == (200, answer.headers["content-length"])
    assert again.headers["etag"] == answer.headers["etag"] == first.headers["etag"]
    live = await ask(app, link(films, 4), "HEAD")
    assert live.headers["accept-ranges"] == "none"
    assert "content-length" not in live.headers


async def test_a_recording_of_no_bytes_is_an_empty_file_at_once(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url], start_timeout_s=300)  # longer than the test may take
    for _ in range(2):  # at first contact, and later
        answer = await ask(app, link(films, 5))
        assert (answer.status, answer.headers["content-length"], answer.body) == (200, "0", b"")
    assert (await ask(app, link(films, 5), "HEAD")).headers["content-length"] == "0"
    refused = await part(app, link(films, 5), "bytes=0-")
    assert (refused.status, refused.headers["content-range"]) == (416, "bytes */0")
    assert len(films.playbacks) == 1


async def test_a_place_beyond_all_numbers_is_beyond_the_end(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    whole = bytes_of(films, 0)
    for far in ("1" + "0" * 18, "1" + "0" * 20, "9" * 5000):
        for _ in range(2):  # at first contact, when only the engine knows, and later
            assert (await part(app, link(films), f"bytes={far}-")).status == 416
        assert (await part(app, link(films), f"bytes=9-{far}")).body == whole[9:]
        assert (await part(app, link(films), f"bytes=-{far}")).body == whole
        assert (await part(app, link(films), f"bytes={far}-5")).status == 200
    assert (await part(app, link(films), f"bytes={'0' * 30}7-{'0' * 30}9")).body == whole[7:10]


async def test_if_range_gives_the_part_of_this_version_only(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    tag = (await part(app, link(films), "bytes=0-0")).headers["etag"]
    assert (await part(app, link(films), "bytes=0-9", f"If-Range: {tag}\r\n")).status == 206
    assert (await part(app, link(films), "bytes=0-9", 'If-Range: "other"\r\n')).status == 200
    assert (await part(app, link(films), "bytes=0-9", "If-Range: Mon, 23 Nov 2026 00:00:00 GMT\r\n")).status == 200


async def test_the_files_of_a_link_are_listed_and_play_by_index(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    await until(lambda: app.pool.snapshot()[0].state == "up")
    series = films.contents[1]
    listed = (await ask(app, f"/api/aceproxy/files?id={series.content_id}")).json
    assert (listed["title"], listed["infohash"], listed["is_live"]) == ("Series", series.infohash, False)
    assert [(one["index"], one["name"], one["mime"]) for one in listed["files"]] == [
        (0, "a.ts", "video/mp2t"),
        (1, "b.mp4", "video/mp4"),
    ]
    for file in listed["files"]:
        answer = await ask(app, file["url"].removeprefix("http://test"))
        assert answer.body == bytes_of(films, 1, file["index"])
        assert len(answer.body) == file["size_bytes"]
        assert answer.headers["content-type"] == file["mime"]
    missing = await ask(app, link(films, 1, "&_idx=2"))
    assert (missing.status, missing.reason) == (404, "content_not_found")
    assert (await ask(app, link(films, 1, "&_idx=2"), "HEAD")).status == 404
    assert (await ask(app, link(films, 1, "&_idx=1"), "HEAD")).status == 200
    live = (await ask(app, f"/api/aceproxy/files?infohash={films.contents[4].infohash}")).json
    assert (live["is_live"], [one["name"] for one in live["files"]]) == (True, ["Live"])
    assert (await ask(app, "/api/aceproxy/files?id=" + "5" * 40)).reason == "content_not_found"
    assert (await ask(app, "/api/aceproxy/files")).reason == "no_link"


async def test_only_media_types_are_passed_on(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    answer = await ask(app, link(films, 3))
    assert answer.headers["content-type"] == "application/octet-stream"
    assert answer.headers["x-content-type-options"] == "nosniff"
    assert answer.body == bytes_of(films, 3)


async def test_a_player_that_seeks_keeps_its_playback_and_another_has_its_own(
    films: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(engines=[films.url], recording_linger_s=0.4)
    for first in (0, 700_000, 3000, 1_500_000, 99):
        assert (await part(app, link(films), f"bytes={first}-{first + 9}")).status == 206
    assert len(open_playbacks(films)) == 1
    assert (await part(app, link(films), "bytes=0-9", "User-Agent: another\r\n")).status == 206
    assert (await part(app, link(films, extra="&pid=x"), "bytes=0-9")).status == 206
    listed = (await ask(app, "/api/aceproxy/recordings")).json["recordings"]
    assert sorted((one["state"], one["sent_bytes"]) for one in listed) == [("idle", 10), ("idle", 10), ("idle", 50)]
    assert len(open_playbacks(films)) == 3
    await until(lambda: app.recordings.all == [])
    await until(lambda: not open_playbacks(films) or films.active_playbacks == ())
    assert all(engine.streams == 0 for engine in app.pool.snapshot())


async def test_two_requests_of_one_player_at_once_are_both_served(
    films: Simulator, make_app: MakeApp, slow: Slow
) -> None:
    app = await make_app(engines=[films.url])
    first = await slow(app, link(films, 2))
    second = await part(app, link(films, 2), "bytes=-1000")
    assert second.body == long_part(films, -1000, 1000)
    assert await first.reader.readexactly(3_000_000) == long_part(films, 0, 3_000_000)
    others = [await slow(app, link(films, 2)) for _ in range(3)]
    refused = await ask(app, link(films, 2))
    assert (refused.status, refused.reason) == (503, "too_many_clients")
    for answer in (first, *others):
        answer.close()


async def test_the_engine_is_read_no_faster_than_the_viewer_reads(
    films: Simulator, make_app: MakeApp, slow: Slow
) -> None:
    app = await make_app(engines=[films.url])
    viewer = await slow(app, link(films, 2))
    other = await slow(app, link(films, 2), "User-Agent: other\r\n")
    await viewer.reader.readexactly(1_000_000)
    (mine, _) = app.recordings.all

    seen: list[list[int]] = [[]]

    def held_up() -> bool:
        """Whether the engine has sent nothing for the last fifty looks."""
        seen.append([one.bytes_sent for one in open_playbacks(films)])
        return len(seen) > 50 and seen[-50] == seen[-1] and min(seen[-1]) > 1_000_000

    await until(held_up)
    assert max(one.bytes_sent for one in open_playbacks(films)) < 60_000_000
    assert mine.position is not None
    whole = await other.reader.readexactly(20_000_000)
    assert whole == long_part(films, 0, 20_000_000)
    viewer.close()
    await until(lambda: sorted(one.reading is None for one in app.recordings.all) == [False, True])
    await other.reader.readexactly(1_000_000)
    other.close()


async def test_what_the_engine_breaks_off_goes_on_where_it_was(films: Simulator, make_app: MakeApp, slow: Slow) -> None:
    app = await make_app(engines=[films.url], silence_s=0.5)
    viewer = await slow(app, link(films, 2))
    received = bytearray()
    for name in ("rst-after", "eof-after", "session-vanishes"):
        films.set_fault(name, value="0.05", times=1)
        goal = len(received) + 12_000_000
        while len(received) < goal or films.faults:  # the engine has its fault while it is being read
            received += await asyncio.wait_for(viewer.reader.read(1 << 20), 10)
    assert received == long_part(films, 0, len(received))
    (recording,) = app.recordings.all
    assert recording.reading is not None
    viewer.close()
    await until(lambda: recording.reading is None)


async def test_an_engine_that_falls_silent_is_left_for_another_one_in_the_middle(make_app: MakeApp, slow: Slow) -> None:
    film = Content("Film", "clock", live=False, duration_s=LONG_S)
    async with (
        Simulator(SimulatorConfig.fast(contents=(film,))) as first,
        Simulator(SimulatorConfig.fast(contents=(film,))) as second,
    ):
        app = await make_app(engines=[first.url, second.url], silence_s=0.5, start_timeout_s=60, recover_s=60)
        viewer = await slow(app, link(first))
        received = bytearray(await viewer.reader.readexactly(1_000_000))
        used, other = (first, second) if open_playbacks(first) else (second, first)
        used.set_fault("hung")
        while not other.playbacks or len(received) < 20_000_000:
            received += await asyncio.wait_for(viewer.reader.read(1 << 20), 30)
        assert received == other._engine.channels[film.infohash].files[0].read(0, len(received))
        assert len(other.playbacks) == 1
        viewer.close()


async def test_the_next_part_comes_from_another_engine_when_the_first_one_hangs(make_app: MakeApp) -> None:
    film = Content("Film", "light", live=False, duration_s=8)
    async with (
        Simulator(SimulatorConfig.fast(contents=(film,))) as first,
        Simulator(SimulatorConfig.fast(contents=(film,))) as second,
    ):
        app = await make_app(engines=[first.url, second.url], start_timeout_s=3, engine_probe_s=600)
        target = link(first)
        assert (await part(app, target, "bytes=0-99")).status == 206
        used = first if open_playbacks(first) else second
        used.set_fault("hung")
        assert (await part(app, target, "bytes=100-199")).status == 504
        assert (await part(app, target, "bytes=100-199")).status == 206


async def test_a_recording_that_another_engine_calls_live_is_cut_and_no_second_answer_follows(
    make_app: MakeApp, slow: Slow
) -> None:
    film = Content("Film", "clock", live=False, duration_s=LONG_S)
    async with Simulator(SimulatorConfig.fast(contents=(film,))) as first:
        app = await make_app(engines=[first.url], recover_s=60)
        viewer = await slow(app, link(first))
        received = bytearray(await viewer.reader.readexactly(1_000_000))
        whole = first._engine.channels[film.infohash].files[0]
        async with Simulator(SimulatorConfig.fast(contents=(Content("Film", "clock"),))) as second:
            app.pool.add(EngineEntry(url=second.url))
            await first.stop()
            with contextlib.suppress(ConnectionResetError):
                while more := await asyncio.wait_for(viewer.reader.read(1 << 20), 30):
                    received += more
            assert second.playbacks
    assert received == whole.read(0, len(received))


async def test_a_recording_that_cannot_go_on_is_cut_and_not_ended(
    films: Simulator, make_app: MakeApp, slow: Slow
) -> None:
    app = await make_app(engines=[films.url], recover_s=0.3, start_timeout_s=1)
    viewer = await slow(app, link(films, 2))
    await viewer.reader.readexactly(1_000_000)
    await films.stop()
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(viewer.reader.readexactly(280_000_000), 20)
    await until(lambda: all(one.reading is None for one in app.recordings.all))


async def test_recordings_and_streams_give_way_to_each_other(films: Simulator, make_app: MakeApp, slow: Slow) -> None:
    app = await make_app(engines=[films.url], engine_max_streams=1, linger_s=30, recording_linger_s=30)
    assert (await part(app, link(films), "bytes=0-9")).status == 206
    live = await ask(app, link(films, 4), stream=True)
    assert live.status == 200
    refused = await part(app, link(films), "bytes=0-9")
    assert (refused.status, refused.reason) == (503, "at_capacity")
    live.close()
    await until(lambda: app.hub.streams[0].state == "lingering")
    assert (await part(app, link(films), "bytes=0-9")).status == 206
    assert app.hub.ended[0].reason == "gave_way"
    viewer = await slow(app, link(films, 2))
    busy = await ask(app, link(films, 4))
    assert (busy.status, busy.reason) == (503, "at_capacity")
    viewer.close()


async def test_a_recording_is_in_the_history_and_a_check_does_not_touch_it(
    films: Simulator, make_app: MakeApp, slow: Slow
) -> None:
    app = await make_app(engines=[films.url], recording_linger_s=0.1)
    content = films.contents[2]
    viewer = await slow(app, link(films, 2), "User-Agent: Kodi\r\n")
    await viewer.reader.readexactly(1_000_000)
    begun = films.playbacks
    settings = Settings.model_validate({"engines": [films.url], "listen": f"127.0.0.1:{app.port}"})
    for text, infohash in ((content.content_id, False), (content.infohash, True)):
        printed = io.StringIO()
        with contextlib.redirect_stdout(printed):
            assert await check_link(settings, text, infohash=infohash, watch_s=1, as_json=True) == PLAYS
        report = json.loads(printed.getvalue())
        assert (report["is_watched"], report["state"]) == (True, "recording")
    assert len(films.playbacks) == len(begun)
    assert len(films.active_playbacks) == 1
    app.recorder.checkpoint()
    (running,) = (await ask(app, "/api/aceproxy/history")).json["streams"]
    assert (running["is_over"], running["reason"]) == (False, None)
    viewer.close()
    await until(lambda: not app.recordings.all)
    (entry,) = (await ask(app, "/api/aceproxy/history")).json["streams"]
    assert (entry["id"], entry["is_over"], entry["reason"]) == (running["id"], True, "linger_over")
    assert (entry["stream_id"], entry["engine"]) == (content.content_id, films.url)
    assert entry["outbound_bytes"] >= 1_000_000
    assert 0 < entry["start_s"] < entry["lasted_s"]
    assert [(one["agent"], one["sent_bytes"]) for one in entry["viewers"]] == [("Kodi", entry["outbound_bytes"])]


async def test_what_was_live_after_all_leaves_no_recording_in_the_history(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url], linger_s=0.1)
    live = Link(LinkKind.CONTENT_ID, films.contents[4].content_id)
    app.recordings.learn(live, Facts())
    answer = await ask(app, link(films, 4), stream=True)
    assert answer.status == 200
    await answer.reader.readexactly(188)
    answer.close()
    await until(lambda: not app.hub.streams)
    (entry,) = (await ask(app, "/api/aceproxy/history")).json["streams"]
    assert entry["visits"] == 1


async def test_an_admin_ends_a_viewers_playback(films: Simulator, make_app: MakeApp, slow: Slow) -> None:
    app = await make_app(engines=[films.url])
    viewer = await slow(app, link(films, 2))
    (listed,) = (await ask(app, "/api/aceproxy/recordings")).json["recordings"]
    assert (listed["state"], listed["address"]) == ("reading", "127.0.0.1")
    (seen,) = (await ask(app, "/api/aceproxy/recordings", address="127.0.0.2")).json["recordings"]
    assert seen["address"].startswith("hidden-")
    target = f"/api/aceproxy/recordings/{listed['recording_id']}"
    assert (await ask(app, target, "DELETE", admin=False)).reason == "sign_in_needed"
    answer = await ask(app, target, "DELETE")
    assert answer.json == {"ended": True, "recording_id": listed["recording_id"]}
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await asyncio.wait_for(viewer.reader.readexactly(280_000_000), 20)
    await until(lambda: films.active_playbacks == ())
    assert (await ask(app, target, "DELETE")).reason == "client_not_found"


async def test_a_viewer_that_takes_nothing_for_too_long_is_cut(films: Simulator, make_app: MakeApp, slow: Slow) -> None:
    app = await make_app(engines=[films.url], recording_pause_s=0.3, recording_linger_s=0.1)
    await slow(app, link(films, 2))
    await until(lambda: app.recordings.all == [])


async def test_a_session_of_a_recording(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    start = link(films, extra="&format=json&pid=p")
    session = (await ask(app, start)).json["response"]
    assert (session["is_live"], session["infohash"]) == (0, films.contents[0].infohash)
    assert (await ask(app, start)).json["response"] == session  # it is known to be a recording now
    media = session["playback_url"].removeprefix("http://test")
    stat = session["stat_url"].removeprefix("http://test")
    told = (await ask(app, stat)).json["response"]
    assert (told["status"], told["is_live"], told["selected_file_index"]) == ("dl", 0, 0)
    whole = bytes_of(films, 0)
    answer = await part(app, media, "bytes=5-8")
    assert (answer.status, answer.body) == (206, whole[5:9])
    assert (await ask(app, media, "HEAD")).headers["content-length"] == str(len(whole))
    command = session["command_url"].removeprefix("http://test")
    assert (await ask(app, f"{command}?method=stop")).json["response"] == "ok"
    await until(lambda: films.active_playbacks == ())
    assert (await part(app, media, "bytes=5-8")).reason == "session_unknown"


async def test_a_recording_through_two_proxies(films: Simulator, make_app: MakeApp) -> None:
    first = await make_app(engines=[films.url])
    await until(lambda: first.pool.snapshot()[0].state == "up")
    second = await make_app(engines=[f"http://127.0.0.1:{first.port}"], recording_linger_s=0.2)
    await until(lambda: second.pool.snapshot()[0].state == "up")
    whole = bytes_of(films, 0)
    assert (await ask(second, link(films))).body == whole
    assert (await part(second, link(films), "bytes=500000-500099")).body == whole[500_000:500_100]
    assert (await part(second, link(films), f"bytes={len(whole)}-")).status == 416
    assert len(open_playbacks(films)) == 1
    await until(lambda: len(first.sessions) == 0)
    await until(lambda: films.active_playbacks == ())


async def test_a_recording_is_not_cut_for_hls(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    for _ in range(2):
        refused = await ask(app, link(films).replace("getstream", "manifest.m3u8"))
        assert (refused.status, refused.reason) == (501, "recording")
    told = await ask(app, link(films, extra="&format=json").replace("getstream", "manifest.m3u8"))
    assert told.json["error"].startswith("recording: ")
    await until(lambda: films.active_playbacks == ())


async def test_an_engine_that_tells_no_length_and_knows_no_ranges(make_app: MakeApp, slow: Slow) -> None:
    """Some builds may send a file like a broadcast: then it is passed on as it comes, from the beginning."""
    engine = FakeEngine(is_live=0)
    try:
        media = random.Random(3).randbytes(400_000)
        film = engine.add(media, len(media))
        film.release.set()
        film.close.set()
        app = await make_app(engines=[engine.url], recover_s=0.2)
        for headers in ("", "Range: bytes=1000-\r\n"):
            answer = await slow(app, f"/ace/getstream?infohash={film.infohash}", headers)
            assert (answer.headers["accept-ranges"], "content-length" in answer.headers) == ("none", False)
            assert unchunked(await asyncio.wait_for(answer.reader.read(), 20)) == media
    finally:
        await asyncio.to_thread(engine.stop)


def unchunked(body: bytes) -> bytes:
    """Take chunked framing off a whole body."""
    whole = b""
    while body:
        size, _, body = body.partition(b"\r\n")
        count = int(size, 16)
        whole, body = whole + body[:count], body[count + 2 :]
    return whole


async def test_what_was_a_recording_and_is_live_now_plays_live(films: Simulator, make_app: MakeApp) -> None:
    app = await make_app(engines=[films.url])
    app.recordings.learn(parse_link(films.contents[4].content_id), Facts())
    answer = await ask(app, link(films, 4), stream=True)
    assert (answer.status, answer.headers["accept-ranges"]) == (200, "none")
    assert (await answer.reader.readexactly(188))[0] == 0x47
    assert app.recordings.all == []
    answer.close()


@pytest.mark.parametrize(
    ("header", "span"),
    [
        ("bytes=0-", Span(0)),
        ("bytes=3-4", Span(3, 4)),
        ("bytes=-7", Span(suffix=7)),
        ("", Span()),
        ("bytes=4-3", Span()),
        ("bytes=1-2,3-4", Span()),
        ("bytes=" + "9" * 19 + "-", Span(FARTHEST)),
        ("bytes=-" + "9" * 5000, Span(suffix=FARTHEST)),
        ("bytes=" + "9" * 20 + "-" + "9" * 19, Span()),
    ],
)
def test_range_headers_are_read_strictly(header: str, span: Span) -> None:
    assert read_span(header) == span


def test_a_span_is_cut_to_the_file() -> None:
    assert Span().settled(10) == Span()
    assert Span(2).settled(10) == Span(2, 9)
    assert Span(2, 99).settled(10) == Span(2, 9)
    assert Span(suffix=3).settled(10) == Span(7, 9)
    assert Span(suffix=30).settled(10) == Span(0, 9)
    assert Span(2).settled(None) == Span(2)
    for bad in (Span(10), Span(suffix=0)):
        with pytest.raises(RangeRefusedError):
            bad.settled(10)

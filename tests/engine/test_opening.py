"""Opening a playback: what the simulator cannot play, and cancellation wherever it may strike."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable

import aiohttp
import pytest

from aceproxy.engine import opening
from aceproxy.engine.api import EngineApi, EngineLimits, Playback
from aceproxy.engine.links import parse_link
from aceproxy.engine.opened import EngineWatch, Opened, StartProgress
from aceproxy.engine.opening import open_playback
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import AceProxyError, Reason
from aceproxy.simulator import Simulator
from tests.waiting import until

Serve = Callable[[Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]], Awaitable[str]]

HEX = "0a4848271c91ce2d8965ce416267c25047dc8141"
MEDIA = b"G" * 5000


class Sink:
    def __init__(self) -> None:
        self.memory = memoryview(bytearray(64 << 10))
        self.used = 0

    def room(self) -> memoryview:
        return self.memory

    def filled(self, n: int) -> None:
        self.used += n


def ignore(_: object) -> None:
    """Hear and forget."""


async def opened(
    api: EngineApi,
    stopper: PlaybackStopper,
    link: str = HEX,
    limit_s: float = 3.0,
    on_progress: Callable[[StartProgress], None] = ignore,
    on_playback: Callable[[Playback], None] = ignore,
    watch: EngineWatch | None = None,
) -> Opened:
    return await open_playback(
        api,
        parse_link(link),
        {},
        Sink(),
        deadline_at=asyncio.get_running_loop().time() + limit_s,
        on_progress=on_progress,
        on_playback=on_playback,
        stopper=stopper,
        watch=watch,
    )


class Watch:
    """What a slot knows of its engine."""

    def __init__(self) -> None:
        self.gone = asyncio.Event()
        self.slow = 0

    def note_slow(self) -> None:
        self.slow += 1


class Script:
    """An engine that answers as a test says; keeps the paths it was asked for."""

    def __init__(self, stat: dict[str, object] | None = None, *, is_forbidden: bool = False, **start: object) -> None:
        self.stat = stat
        self.is_forbidden = is_forbidden  # all media
        self.start: dict[str, object] = {
            "playback_url": f"http://127.0.0.1:6878/ace/r/{HEX}/aa",
            "stat_url": f"http://127.0.0.1:6878/ace/stat/{HEX}/aa",
            "command_url": f"http://127.0.0.1:6878/ace/cmd/{HEX}/aa?x=1",
            "infohash": HEX,
            **start,
        }
        self.asked: list[str] = []

    async def converse(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        path = (await reader.readuntil(b"\r\n\r\n")).split(b" ")[1].decode()
        self.asked.append(path)
        if path.startswith("/ace/r/"):
            if self.is_forbidden:
                writer.write(b"HTTP/1.1 403 Forbidden\r\nContent-Length: 9\r\n\r\nForbidden")
                return
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + MEDIA)
            await reader.read()
            return
        told = self.start if "getstream" in path else self.stat if "/stat/" in path else "ok"
        writer.write(b"HTTP/1.1 200 OK\r\n\r\n" + json.dumps({"response": told, "error": None}).encode())

    def count(self, part: str) -> int:
        return sum(part in path for path in self.asked)


async def test_an_engine_that_never_says_dl_is_asked_for_media_when_half_of_the_time_is_over(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits, stopper: PlaybackStopper
) -> None:
    script = Script({"status": "buf", "peers": 5})
    api = EngineApi(await serve(script.converse), session, limits)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    result = await opened(api, stopper, limit_s=2.0)
    assert 0.9 < loop.time() - began_at < 1.9
    result.reader.close()
    stopper.stop_nowait(result.playback)


@pytest.mark.parametrize("status", [None, ["dl"], 5, "DL!", ""])
async def test_an_engine_that_tells_no_status_is_asked_for_media_at_once(
    status: object, serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits, stopper: PlaybackStopper
) -> None:
    script = Script({"status": status, "peers": None, "livepos": "x"})
    api = EngineApi(await serve(script.converse), session, limits)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    result = await opened(api, stopper, limit_s=60.0)
    assert loop.time() - began_at < 25  # not when half of the time is over
    result.reader.close()
    stopper.stop_nowait(result.playback)


async def test_a_direct_file_without_a_stat_url_is_opened_at_once(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits, stopper: PlaybackStopper
) -> None:
    script = Script(stat_url=None, command_url=None)
    api = EngineApi(await serve(script.converse), session, limits)
    result = await opened(api, stopper)
    result.reader.close()
    assert await stopper.stop_nowait(result.playback) is True  # there is nobody to be told
    assert script.count("/stat/") == script.count("/cmd/") == 0


@pytest.mark.parametrize(
    ("message", "reason", "starts"),
    [
        ("Cannot load transport file", Reason.CONTENT_NOT_FOUND, 1),
        ("You have to install Ace Stream 4 or newer", Reason.ENGINE_OPTION_MISSING, 1),
        ("something odd", Reason.ENGINE_ERROR, 3),
        ("", Reason.ENGINE_ERROR, 3),
    ],
)
async def test_an_error_in_the_stat_is_told_and_the_playback_stopped(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits, stopper: PlaybackStopper,
    message: str, reason: Reason, starts: int,
) -> None:  # fmt: skip
    script = Script({"status": "err", "error_message": message})
    api = EngineApi(await serve(script.converse), session, limits)
    with pytest.raises(AceProxyError) as caught:
        await opened(api, stopper, link=f"acestream:?infohash={HEX}")
    assert caught.value.reason is reason
    await stopper.drain(1.0)
    assert script.count("getstream") == script.count("method=stop") == starts
    assert all("?x=1&method=stop" in path for path in script.asked if "/cmd/" in path)


@pytest.mark.parametrize(("running", "is_stopped"), [("ours", True), ("another", False), (None, False)])
async def test_a_playback_whose_media_is_forbidden_is_stopped_where_that_ends_no_other(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits, stopper: PlaybackStopper,
    running: str | None, is_stopped: bool,
) -> None:  # fmt: skip
    stat = {"status": "dl", "peers": 5, "playback_session_id": running}
    script = Script(stat, is_forbidden=True, playback_session_id="ours")
    api = EngineApi(await serve(script.converse), session, limits)
    with pytest.raises(AceProxyError) as caught:
        await opened(api, stopper, link=f"acestream:?infohash={HEX}", limit_s=0.8)
    assert (caught.value.reason, caught.value.detail) == (Reason.SESSION_LOST, "HTTP 403: Forbidden")
    await stopper.drain(1.0)
    started = script.count("getstream")
    assert started >= 2
    stopped = script.count("method=stop")  # of the last one it may not have been known yet when the time was over
    assert stopped >= started - 1 if is_stopped else stopped <= 1


async def test_an_encrypted_broadcast_may_show_only_in_the_stat(
    serve: Serve, session: aiohttp.ClientSession, limits: EngineLimits, stopper: PlaybackStopper
) -> None:
    script = Script({"status": "prebuf", "is_encrypted": 1})
    with pytest.raises(AceProxyError):  # this engine has no lists
        await opened(EngineApi(await serve(script.converse), session, limits), stopper)
    first = next(path for path in script.asked if "/ace/manifest.m3u8" in path)
    assert "format=json" in first
    assert script.count("method=stop") == 1


async def test_a_callback_that_fails_costs_no_playback(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    def fail(_: object) -> None:
        raise LookupError

    content_id = simulator.contents[0].content_id
    with pytest.raises(LookupError):
        await opened(api, stopper, content_id, on_playback=fail)

    def fail_later(progress: StartProgress) -> None:
        if progress.status == "prebuf":
            raise LookupError

    with pytest.raises(LookupError):
        await opened(api, stopper, content_id, on_progress=fail_later)
    assert await stopper.drain(2.0) == 0
    assert simulator.active_playbacks == ()
    assert len(simulator.playbacks) == 2


async def test_a_start_that_is_answered_after_it_was_given_up_is_stopped(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    simulator.set_fault("slow-start", "0.4")
    with pytest.raises(AceProxyError) as caught:
        await opened(api, stopper, simulator.contents[0].content_id, limit_s=0.1)
    assert caught.value.reason is Reason.ENGINE_TIMEOUT
    assert stopper.pending == 1
    assert await stopper.drain(2.0) == 0
    assert [playback.stop_reason for playback in simulator.playbacks] == ["stopped"]


async def test_a_start_waits_for_the_stop_of_the_same_broadcast_only(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    first = await opened(api, stopper, simulator.contents[0].content_id)
    first.reader.close()
    simulator.set_fault("stop-hang")
    stop = stopper.stop_nowait(first.playback)
    order: list[str] = []
    stop.add_done_callback(lambda _: order.append("stopped"))
    other = await opened(
        api, stopper, simulator.contents[1].content_id, on_playback=lambda _: order.append("other started")
    )
    again = await opened(
        api, stopper, simulator.contents[0].content_id, on_playback=lambda _: order.append("started again")
    )
    assert order == ["other started", "stopped", "started again"]
    assert len(simulator.active_playbacks) == 2
    simulator.clear_faults()
    for one in (other, again):
        one.reader.close()
        stopper.stop_nowait(one.playback)


async def cancel_and_check(opening: asyncio.Task[Opened], stopper: PlaybackStopper, simulator: Simulator) -> None:
    """Cancel; whatever had been reached, nothing may be left."""
    opening.cancel()
    await asyncio.wait({opening}, timeout=1.0)
    assert opening.done()
    if not opening.cancelled():
        result = opening.result()
        result.reader.close()
        stopper.stop_nowait(result.playback)
    simulator.clear_faults()
    assert await stopper.drain(3.0) == 0
    assert simulator.active_playbacks == ()


@pytest.mark.parametrize(
    ("fault", "value", "until"),
    [
        ("slow-start", "0.3", "asking the engine"),  # in the start call
        ("never-starts", None, "prebuf"),  # between polls
        ("stat-hang", None, "on_playback"),  # in a poll
        ("headers-held", None, "dl"),  # in the media request
        ("empty-body", None, "an empty body"),  # in a wait before another media request
        ("python-error", None, "KeyError"),  # in a wait before another start
        ("got-newer-download", None, "got newer download"),
        ("json-hang", None, "asking the engine"),
    ],
)
async def test_cancelling_leaves_nothing_whatever_is_being_waited_for(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator, fault: str, value: str | None, until: str
) -> None:
    simulator.set_fault(fault, value, times=1 if fault == "python-error" else None)
    reached = asyncio.Event()

    def note(progress: StartProgress) -> None:
        if until in progress.detail or until == progress.status:
            reached.set()

    opening = asyncio.ensure_future(
        opened(
            api,
            stopper,
            simulator.contents[0].content_id,
            30,
            on_progress=note,
            on_playback=lambda _: reached.set() if until == "on_playback" else None,
        )
    )
    async with asyncio.timeout(30):
        await reached.wait()
    if fault == "python-error":  # what an engine starts and cannot tell stays, until it ends by itself
        opening.cancel()
        await asyncio.wait({opening})
        await stopper.drain(1.0)
        assert opening.cancelled()
        return
    await cancel_and_check(opening, stopper, simulator)


async def test_cancelling_leaves_nothing_at_any_turn_of_the_loop(
    api: EngineApi, stopper: PlaybackStopper, simulator: Simulator
) -> None:
    content_id = simulator.contents[0].content_id
    reached_ends = set()
    for turns in range(0, 240, 6):
        opening = asyncio.ensure_future(opened(api, stopper, content_id))
        for _ in range(turns):
            await asyncio.sleep(0.0005 if turns % 12 else 0)
        await cancel_and_check(opening, stopper, simulator)
        reached_ends.add(opening.cancelled())
    assert len(simulator.playbacks) > 5  # it was not only the very beginning that was cancelled
    assert True in reached_ends


# --- an engine that is gone while it is asked ---


async def test_a_slow_answer_is_told_once_and_waited_for(
    simulator: Simulator, api: EngineApi, stopper: PlaybackStopper, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(opening, "SLOW_ANSWER_S", 0.1)
    simulator.set_fault("slow-start", "0.4")
    watch = Watch()
    found = await opened(api, stopper, simulator.contents[0].content_id, watch=watch)
    assert watch.slow == 1
    stopper.stop_nowait(found.playback)
    found.reader.close()


@pytest.mark.parametrize("fault", ["json-hang", "never-starts", "headers-held"])
async def test_an_engine_that_is_gone_is_not_waited_for_whatever_it_was_asked(
    fault: str, simulator: Simulator, api: EngineApi, stopper: PlaybackStopper
) -> None:
    simulator.set_fault(fault)
    watch = Watch()
    trying = asyncio.create_task(opened(api, stopper, simulator.contents[0].content_id, limit_s=30.0, watch=watch))
    await until(lambda: any("getstream" in path for _, path in simulator.requests))
    watch.gone.set()
    async with asyncio.timeout(20):
        with pytest.raises(AceProxyError) as caught:
            await trying
    assert caught.value.reason is Reason.ENGINE_TIMEOUT
    simulator.clear_faults()
    await until(lambda: all(playback.stopped_at is not None for playback in simulator.playbacks))


async def test_a_playback_that_is_opened_as_the_engine_goes_is_stopped(
    simulator: Simulator, api: EngineApi, stopper: PlaybackStopper
) -> None:
    """Cancelled at every moment of an opening: nothing is left open (checked by the fixtures too)."""
    for steps in range(0, 60, 3):
        watch = Watch()
        trying = asyncio.create_task(opened(api, stopper, simulator.contents[0].content_id, watch=watch))
        for _ in range(steps):
            await asyncio.sleep(0)
        trying.cancel()
        done = (await asyncio.gather(trying, return_exceptions=True))[0]
        if isinstance(done, Opened):
            done.reader.close()
            stopper.stop_nowait(done.playback)
    await until(lambda: all(playback.stopped_at is not None for playback in simulator.playbacks))
    await until(lambda: not stopper.open_playbacks)

"""Every failure of engine-api §9 that an HTTP engine can produce, as seen through `open_playback`. Numbers are rows."""

from __future__ import annotations

import asyncio
import dataclasses
from collections.abc import Awaitable, Callable

import pytest

from aceproxy.engine.api import EngineApi, Playback
from aceproxy.engine.links import Link, LinkKind, parse_link
from aceproxy.engine.media import MediaEnd, NotYet, open_media
from aceproxy.engine.opened import Opened, StartProgress
from aceproxy.engine.opening import open_playback
from aceproxy.engine.stopper import PlaybackStopper
from aceproxy.errors import AceProxyError, Reason
from aceproxy.simulator import Simulator, SimulatorConfig


class Sink:
    """Room for the newest bytes; counts all."""

    def __init__(self) -> None:
        self.memory = memoryview(bytearray(256 << 10))
        self.used = 0

    def room(self) -> memoryview:
        return self.memory

    def filled(self, n: int) -> None:
        self.used += n


class Viewer:
    """Opens playbacks on one engine and keeps what it was told."""

    def __init__(self, api: EngineApi, stopper: PlaybackStopper) -> None:
        self.api = api
        self.stopper = stopper
        self.progress: list[StartProgress] = []
        self.playbacks: list[Playback] = []
        self.sink = Sink()
        self.readers: list[Opened] = []
        self.took_s = 0.0

    async def open(self, link: Link, limit_s: float = 3.0) -> Opened:
        loop = asyncio.get_running_loop()
        began_at = loop.time()
        try:
            opened = await open_playback(
                self.api,
                link,
                {},
                self.sink,
                deadline_at=began_at + limit_s,
                on_progress=self.progress.append,
                on_playback=self.playbacks.append,
                stopper=self.stopper,
            )
        finally:
            self.took_s = loop.time() - began_at
        self.readers.append(opened)
        return opened

    async def fail(self, link: Link, limit_s: float = 3.0) -> AceProxyError:
        with pytest.raises(AceProxyError) as caught:
            await self.open(link, limit_s)
        return caught.value

    def close(self) -> None:
        for opened in self.readers:
            opened.reader.close()
            self.stopper.stop_nowait(opened.playback)


async def until(condition: Callable[[], bool | Awaitable[bool]], limit_s: float = 30.0) -> None:
    async with asyncio.timeout(limit_s):
        while True:
            met = condition()
            if met if isinstance(met, bool) else await met:
                return
            await asyncio.sleep(0.01)


@pytest.fixture
def viewer(api: EngineApi, stopper: PlaybackStopper) -> Viewer:
    return Viewer(api, stopper)


@pytest.fixture(autouse=True)
async def all_is_stopped(viewer: Viewer, simulator: Simulator) -> object:
    """After every test: whatever was started on the engine is stopped there, whatever went wrong."""
    yield
    viewer.close()
    simulator.clear_faults()
    assert await viewer.stopper.drain(2.0) == 0
    await until(lambda: not simulator.active_playbacks)


@pytest.fixture
def link(simulator: Simulator) -> Link:
    return parse_link(simulator.contents[0].content_id)


async def test_a_start_delivers_and_tells_how_far_it_is(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    opened = await viewer.open(link)
    assert viewer.sink.used > 0
    assert opened.link_used == link
    assert opened.playback.infohash == simulator.contents[0].infohash
    assert [playback.pid for playback in viewer.playbacks] == [opened.playback.pid]
    assert {"starting", "prebuf", "dl"} == {progress.status for progress in viewer.progress}
    assert any(progress.peers for progress in viewer.progress)
    received = opened.reader.received_bytes
    await until(lambda: opened.reader.received_bytes > received)
    assert simulator.playbacks[0].max_readers == 1


async def test_1_an_unknown_content_id_is_told_at_once_and_tried_once_as_an_infohash(
    viewer: Viewer, simulator: Simulator
) -> None:
    error = await viewer.fail(Link(LinkKind.CONTENT_ID, "0" * 40), 30)
    assert (error.reason, error.detail) == (Reason.CONTENT_NOT_FOUND, "failed to load content")
    assert viewer.took_s < 10
    starts = [target for _, target in simulator.requests if target.startswith("/ace/getstream")]
    assert ["content_id=" in target for target in starts] == [True, False]


async def test_1_an_unknown_infohash_is_told_at_once(viewer: Viewer, simulator: Simulator) -> None:
    assert (await viewer.fail(Link(LinkKind.INFOHASH, "0" * 40), 30)).reason is Reason.CONTENT_NOT_FOUND
    assert len(simulator.requests) == 1


async def test_1_an_infohash_given_as_content_id_plays(viewer: Viewer, simulator: Simulator) -> None:
    infohash = simulator.contents[0].infohash
    opened = await viewer.open(Link(LinkKind.CONTENT_ID, infohash))
    assert opened.link_used == Link(LinkKind.INFOHASH, infohash)


async def test_1_an_infohash_given_as_content_id_may_take_its_time_once_it_shows_life(
    viewer: Viewer, stopper: PlaybackStopper
) -> None:
    async with Simulator(SimulatorConfig.fast(prebuffer_s=1.0)) as slow:
        viewer.api = EngineApi(slow.url, viewer.api._session, viewer.api.limits)
        await viewer.open(Link(LinkKind.CONTENT_ID, slow.contents[0].infohash), 1.7)
        viewer.close()
        await stopper.drain(1.0)


async def test_1_an_infohash_without_any_life_counts_as_an_unknown_content_id(
    viewer: Viewer, simulator: Simulator
) -> None:
    simulator.set_fault("never-starts")
    error = await viewer.fail(Link(LinkKind.CONTENT_ID, simulator.contents[0].infohash), 2.0)
    assert (error.reason, error.detail) == (Reason.CONTENT_NOT_FOUND, "failed to load content")
    assert viewer.took_s < 1.9  # not the whole limit


async def test_3_a_start_call_that_hangs_is_an_engine_timeout(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("json-hang")
    assert (await viewer.fail(link, 0.3)).reason is Reason.ENGINE_TIMEOUT
    assert viewer.took_s < viewer.api.limits.answer_timeout_s
    assert (await viewer.fail(link, 30)).reason is Reason.ENGINE_TIMEOUT  # its own limit comes first
    assert viewer.took_s < 15


async def test_3_a_broadcast_without_peers_is_told_so(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("never-starts")
    error = await viewer.fail(link, 0.5)
    assert (error.reason, error.detail) == (Reason.NO_PEERS, "prebuffering 0 %, 0 peers")


async def test_3_headers_that_are_held_for_ever_are_no_data(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("headers-held")
    assert (await viewer.fail(link, 1.0)).reason is Reason.NO_DATA
    assert viewer.took_s < 10


@pytest.mark.parametrize("not_ready", ["hold", "fast500"])
async def test_4_a_slow_prebuffering_is_told_with_its_progress(
    not_ready: str, session: object, stopper: PlaybackStopper, viewer: Viewer
) -> None:
    config = SimulatorConfig.fast(prebuffer_s=60.0, not_ready=not_ready)
    async with Simulator(config) as slow:
        viewer.api = EngineApi(slow.url, viewer.api._session, viewer.api.limits)
        error = await viewer.fail(parse_link(slow.contents[0].content_id), 0.6)
        await stopper.drain(1.0)
        assert not slow.active_playbacks
    assert error.reason is Reason.START_TIMEOUT
    assert error.detail.startswith("prebuffering ")
    assert error.detail.endswith(" peers")


async def test_4_early_errors_of_the_media_url_are_tried_again(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    simulator.set_fault("early-500", "3")
    await viewer.open(link)
    assert viewer.sink.used > 0
    assert len(viewer.playbacks) == 1
    assert any("start timeout" in progress.detail for progress in viewer.progress)


async def test_4_errors_of_the_media_url_that_stay_lead_to_another_playback(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    simulator.set_fault("early-500", "7")
    await viewer.open(link, 5)
    assert len({playback.pid for playback in viewer.playbacks}) == 2


async def test_5_silence_after_the_start_is_visible_and_nothing_else(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    simulator.set_fault("stall-after", "0.1")
    opened = await viewer.open(link)
    loop = asyncio.get_running_loop()
    await until(lambda: loop.time() - opened.reader.last_byte_at > 0.3)
    ended = asyncio.ensure_future(opened.reader.wait_ended())
    await asyncio.wait({ended}, timeout=0.05)
    assert not ended.done()
    opened.reader.close()
    assert await ended is MediaEnd.CLOSED


async def test_6_empty_bodies_are_tried_again(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("empty-body", "2")
    await viewer.open(link)
    assert len(viewer.playbacks) == 1


async def test_6_only_empty_bodies_are_no_data(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("empty-body")
    error = await viewer.fail(link, 1.0)
    assert (error.reason, error.detail) == (Reason.NO_DATA, "an empty body")
    tries = sum(target.startswith("/ace/r/") for _, target in simulator.requests)
    assert 3 <= tries <= 14  # with waits of 50 ms at first, that grow


async def test_7_a_playback_that_another_player_replaced_ends_and_is_known_as_lost(
    viewer: Viewer, stopper: PlaybackStopper
) -> None:
    async with Simulator(SimulatorConfig.fast(second_pid_progressive="supersede")) as jealous:
        viewer.api = EngineApi(jealous.url, viewer.api._session, viewer.api.limits)
        link = parse_link(jealous.contents[0].content_id)
        first = await viewer.open(link)
        await viewer.open(link)
        async with asyncio.timeout(30):
            assert await first.reader.wait_ended() in (MediaEnd.EOF, MediaEnd.RESET)
        with pytest.raises(AceProxyError) as caught:
            await viewer.api.stat(first.playback)
        assert caught.value.reason is Reason.SESSION_LOST
        viewer.close()
        await stopper.drain(1.0)


async def test_8_every_start_has_a_player_id_of_its_own(viewer: Viewer, simulator: Simulator) -> None:
    opened = [await viewer.open(parse_link(content.content_id)) for content in simulator.contents[:3]]
    assert len({one.playback.pid for one in opened}) == 3
    assert len(simulator.active_playbacks) == 3


@pytest.mark.parametrize("policy", ["corrupt", "steal"])
async def test_9_what_a_second_reader_gets_is_never_taken_for_media(
    viewer: Viewer, link: Link, simulator: Simulator, policy: str
) -> None:
    simulator.set_fault("second-reader", policy)
    first = await viewer.open(link)
    sink = Sink()
    again = open_media(
        first.playback.playback_url,
        viewer.api.url,
        sink,
        connect_timeout_s=1.0,
        deadline_at=asyncio.get_running_loop().time() + 2,
    )
    if policy == "corrupt":
        with pytest.raises(NotYet) as caught:
            await again
        assert caught.value.reason is Reason.ENGINE_ERROR
        assert sink.used == 0
    else:
        reader = await again
        assert await first.reader.wait_ended() in (MediaEnd.EOF, MediaEnd.RESET)
        reader.close()


async def test_10_a_session_lost_while_starting_leads_to_another_playback_at_once(
    viewer: Viewer, stopper: PlaybackStopper
) -> None:
    async with Simulator(SimulatorConfig.fast(prebuffer_s=0.4)) as forgetful:
        forgetful.set_fault("session-vanishes", "0.15")
        viewer.api = EngineApi(forgetful.url, viewer.api._session, viewer.api.limits)
        opening = asyncio.ensure_future(viewer.open(parse_link(forgetful.contents[0].content_id)))
        await until(lambda: len(viewer.playbacks) == 2)
        forgetful.clear_faults()
        opened = await opening
        assert opened.playback.pid == viewer.playbacks[-1].pid
        assert len({playback.pid for playback in viewer.playbacks}) == len(viewer.playbacks) >= 2
        viewer.close()
        await stopper.drain(1.0)


async def test_10_the_first_lost_session_costs_no_wait(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    viewer.api.limits = dataclasses.replace(viewer.api.limits, retry_first_s=30.0)
    simulator.set_fault("got-newer-download", times=1)
    await viewer.open(link)


async def test_10_sessions_that_are_lost_again_and_again_are_told_at_the_deadline(
    viewer: Viewer, stopper: PlaybackStopper
) -> None:
    async with Simulator(SimulatorConfig.fast(prebuffer_s=30.0)) as forgetful:
        forgetful.set_fault("session-vanishes", "0")
        viewer.api = EngineApi(forgetful.url, viewer.api._session, viewer.api.limits)
        error = await viewer.fail(parse_link(forgetful.contents[0].content_id), 1.0)
        assert error.reason in (Reason.SESSION_LOST, Reason.START_TIMEOUT)
        assert 3 <= len(viewer.playbacks) <= 8  # at once, then with growing waits
        await stopper.drain(1.0)


async def test_10_a_stop_by_somebody_else_ends_the_body(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    opened = await viewer.open(link)
    assert await viewer.api.stop(opened.playback)
    async with asyncio.timeout(30):
        assert await opened.reader.wait_ended() is MediaEnd.EOF
    assert await viewer.api.stop(opened.playback)  # it does not know it any more: as good as stopped


async def test_11_a_missing_option_is_told_at_once(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("missing-option", "start")
    error = await viewer.fail(link, 30)
    assert error.reason is Reason.ENGINE_OPTION_MISSING
    assert "proxyServer" in error.detail
    assert viewer.took_s < 10


async def test_14_a_loop_shows_in_a_live_position_that_stands_still(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    opened = await viewer.open(link)
    simulator.set_fault("loop", "1")
    before = (await viewer.api.stat(opened.playback)).livepos
    received = opened.reader.received_bytes
    await until(lambda: opened.reader.received_bytes > received)
    after = (await viewer.api.stat(opened.playback)).livepos
    assert before is not None
    assert after is not None
    assert after.last_utc == before.last_utc is not None


async def test_15_got_newer_download_once_is_cured_by_another_start(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    simulator.set_fault("got-newer-download", times=1)
    await viewer.open(link)
    assert viewer.progress[-1].tries == 2


async def test_15_got_newer_download_for_ever_is_a_lost_session(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    simulator.set_fault("got-newer-download")
    error = await viewer.fail(link, 0.5)
    assert (error.reason, error.detail) == (Reason.SESSION_LOST, "got newer download")


async def test_16_an_engine_that_hangs_is_an_engine_timeout(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("hung")
    assert (await viewer.fail(link, 0.5)).reason is Reason.ENGINE_TIMEOUT


async def test_16_an_engine_that_hangs_in_the_middle_of_a_start_is_an_engine_timeout(
    viewer: Viewer, stopper: PlaybackStopper
) -> None:
    async with Simulator(SimulatorConfig.fast(prebuffer_s=30.0)) as engine:
        viewer.api = EngineApi(engine.url, viewer.api._session, viewer.api.limits)
        opening = asyncio.ensure_future(viewer.fail(parse_link(engine.contents[0].content_id), 2.0))
        await until(lambda: any(progress.status == "prebuf" for progress in viewer.progress))
        engine.set_fault("hung")
        error = await opening
        assert error.reason is Reason.ENGINE_TIMEOUT
        engine.clear_faults()
        await stopper.drain(1.0)


async def test_17_an_engine_that_is_down_is_told_at_once(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("down")
    assert (await viewer.fail(link, 30)).reason is Reason.ENGINE_UNREACHABLE
    assert viewer.took_s < 10


async def test_17_an_engine_that_dies_during_a_start_is_told_soon(viewer: Viewer, stopper: PlaybackStopper) -> None:
    async with Simulator(SimulatorConfig.fast(prebuffer_s=30.0)) as engine:
        viewer.api = EngineApi(engine.url, viewer.api._session, viewer.api.limits)
        opening = asyncio.ensure_future(viewer.fail(parse_link(engine.contents[0].content_id), 30))
        await until(lambda: any(progress.status == "prebuf" for progress in viewer.progress))
        engine.set_fault("down")
        assert (await opening).reason is Reason.ENGINE_UNREACHABLE
        assert viewer.took_s < 15


@pytest.mark.parametrize("how", ["close", "403"])
async def test_18_an_engine_that_refuses_remote_access_is_told_at_once(
    viewer: Viewer, link: Link, simulator: Simulator, how: str
) -> None:
    simulator.set_fault("remote-refused", how)
    assert (await viewer.fail(link, 30)).reason is Reason.ENGINE_REFUSED
    assert viewer.took_s < 10


@pytest.mark.parametrize("fault", ["python-error", "text-answer", "truncated-json"])
async def test_19_answers_nobody_understands_are_tried_three_times(
    viewer: Viewer, link: Link, simulator: Simulator, fault: str
) -> None:
    simulator.set_fault(fault)
    error = await viewer.fail(link, 30)
    assert error.reason is Reason.ENGINE_ERROR
    assert error.detail
    assert viewer.took_s < 15
    assert len([target for _, target in simulator.requests if "getstream" in target]) == 3
    # the engine did start these playbacks, but nobody can know: they end by themselves there
    simulator.clear_faults()
    for record in simulator.active_playbacks:
        assert record.readers == 0
    await simulator.stop()


@pytest.mark.parametrize("fault", ["python-error", "text-answer", "truncated-json"])
async def test_19_one_answer_nobody_understands_does_no_harm(
    viewer: Viewer, stopper: PlaybackStopper, fault: str
) -> None:
    async with Simulator(SimulatorConfig.fast()) as engine:
        viewer.api = EngineApi(engine.url, viewer.api._session, viewer.api.limits)
        engine.set_fault(fault, times=1)
        await viewer.open(parse_link(engine.contents[0].content_id))
        viewer.close()
        await stopper.drain(1.0)


async def test_22_an_engine_that_sends_players_elsewhere_is_not_followed(
    viewer: Viewer, link: Link, simulator: Simulator
) -> None:
    simulator.set_fault("foreign-redirect", "http://cdn.example/live/chunklist.m3u8")
    error = await viewer.fail(link, 30)
    assert (error.reason, error.detail) == (Reason.ENGINE_REDIRECTED, "cdn.example")
    assert viewer.took_s < 10


async def test_an_encrypted_broadcast_is_read_as_a_list(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("encrypted")
    opened = await viewer.open(link)
    assert opened.playback.is_list
    assert opened.playback.playback_url.endswith(".m3u8")
    assert [(one.output, one.stop_reason) for one in simulator.playbacks] == [("ts", "stopped"), ("hls", None)]
    assert await viewer.api.stop(opened.playback)


async def test_a_wrong_host_in_the_engines_urls_does_no_harm(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("wrong-host", "192.0.2.1:6878")
    opened = await viewer.open(link)
    assert opened.playback.playback_url.startswith(simulator.url)
    assert await viewer.api.stop(opened.playback)


@pytest.mark.parametrize(
    ("fault", "value"),
    [
        ("extra-fields", None),
        ("chunked-body", None),
        ("livepos", "missing"),
        ("livepos", "ints"),
        ("slow-start", "0.3"),
    ],
)
async def test_harmless_oddities_do_no_harm(
    viewer: Viewer, link: Link, simulator: Simulator, fault: str, value: str | None
) -> None:
    simulator.set_fault(fault, value)
    opened = await viewer.open(link)
    received = opened.reader.received_bytes
    await until(lambda: opened.reader.received_bytes > received)


async def test_a_stat_that_hangs_does_not_keep_media_away(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("stat-hang")
    await viewer.open(link, 5)
    assert viewer.sink.used > 0


@pytest.mark.parametrize(("fault", "end"), [("rst-after", MediaEnd.RESET), ("eof-after", MediaEnd.EOF)])
async def test_a_body_that_breaks_off_is_told_how(
    viewer: Viewer, link: Link, simulator: Simulator, fault: str, end: MediaEnd
) -> None:
    simulator.set_fault(fault, "0.1")
    opened = await viewer.open(link)
    async with asyncio.timeout(30):
        assert await opened.reader.wait_ended() is end


async def test_a_stop_that_hangs_keeps_nobody_waiting(viewer: Viewer, link: Link, simulator: Simulator) -> None:
    simulator.set_fault("stop-hang")
    opened = await viewer.open(link)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    task = viewer.stopper.stop_nowait(opened.playback)
    assert not task.done()
    assert await task is False
    assert loop.time() - began_at < viewer.api.limits.stop_timeout_s + 10
    viewer.readers.clear()
    opened.reader.close()

"""A stream whose link is lost falls back to a link that plays as a stream of its own: it reads that stream."""

from __future__ import annotations

import asyncio
from typing import NamedTuple

import pytest

from aceproxy.errors import Reason
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator
from aceproxy.streams.shared import SharedSource, delivers_to
from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import EventKind
from tests.conftest import Answer, MakeApp
from tests.waiting import until
from tests.web.test_recovery_over_http import QUICK, Play, channel, events, read_for, url_of
from tests.web.test_streams_over_http import PACKET

SOON = {**QUICK, "reopen_s": 1.0, "linger_s": 0.3}


class Shared(NamedTuple):
    """A stream that reads another one: the answers of both, both streams, and what came until then."""

    answer: Answer
    other: Answer
    first: Stream
    second: Stream
    data: bytes
    its_data: bytes


def lose_first(sim: Simulator) -> None:
    """Have the first channel end and not start again."""
    infohash = channel(sim, "Light One").infohash
    sim.set_fault("load-failed", infohash=infohash)
    sim.set_fault("eof-after", value="0", infohash=infohash)


def broken(data: bytes) -> int:
    """Count the continuity errors of what a client got."""
    checker = ContinuityChecker()
    checker.feed(data[: len(data) // PACKET * PACKET])
    return len(checker.errors)


async def recovered(answer: Answer, other: Answer, stream: Stream) -> tuple[bytes, bytes]:
    """Read both answers until the stream has another source; return what came."""

    def is_back() -> bool:
        return stream.recoveries == 1

    return await asyncio.gather(read_for(answer, is_back), read_for(other, is_back))


@pytest.fixture(name="shared")
async def shared_fixture(sim: Simulator, make_app: MakeApp, play: Play) -> Shared:
    """Play two channels, one the fallback of the other, which is lost then and reads it."""
    app = await make_app(**SOON)
    answer = await play(app, url_of(sim, fallback=channel(sim, "Light Two").content_id))
    other = await play(app, url_of(sim, "Light Two"))
    first, second = app.hub.streams
    lose_first(sim)
    return Shared(answer, other, first, second, *await recovered(answer, other, first))


async def test_it_is_read_and_no_engine_plays_it_twice(sim: Simulator, shared: Shared) -> None:
    answer, other, first, second, data, its_data = shared
    data += await answer.reader.readexactly(2000 * PACKET)
    its_data += await other.reader.readexactly(2000 * PACKET)
    assert isinstance(first.source, SharedSource)
    assert first.source.stream is second
    assert (broken(data), broken(its_data)) == (0, 0)
    infohash = channel(sim, "Light Two").infohash
    assert sum(one.infohash == infohash for one in sim.playbacks) == 1, "the engine plays it once"
    [told] = events(first, EventKind.SHARED)
    assert told.details["stream"] == second.stream_id
    assert (len(first.clients), len(second.clients)) == (1, 1)
    assert first.supply.engine_words == sim.url


async def test_the_one_that_is_read_lives_on_without_clients_until_nobody_reads_it(
    shared: Shared,
) -> None:
    answer, other, first, second, *_ = shared
    other.writer.close()
    await read_for(answer, lambda: not second.clients)
    until_s = first.intake.media_s + 4 * SOON["linger_s"]
    await read_for(answer, lambda: first.intake.media_s > until_s)
    assert second.state is State.LIVE
    answer.writer.close()
    await until(lambda: second.state is State.CLOSED)
    assert second.close_reason is Reason.LINGER_OVER


async def test_when_it_is_lost_as_well_the_first_link_is_tried_again(sim: Simulator, shared: Shared) -> None:
    answer, _, first, second, data, _ = shared
    sim.clear_faults()
    second.close(Reason.STOPPED)
    data += await read_for(answer, lambda: first.recoveries == 2)  # to what came before: that may end within a packet
    assert not broken(data)
    assert not isinstance(first.source, SharedSource)
    assert first.state is State.LIVE


async def test_neither_is_read_by_the_other_in_a_circle(shared: Shared) -> None:
    _, _, first, second, *_ = shared
    assert delivers_to(second, first)
    assert not delivers_to(first, second)
    assert not delivers_to(first, first)


async def test_one_that_turns_out_to_play_by_another_name_is_read_as_well(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**SOON)
    second_channel = channel(sim, "Light Two")
    answer = await play(app, url_of(sim, fallback=second_channel.content_id))
    other = await play(app, f"/ace/getstream?infohash={second_channel.infohash}")
    first, second = app.hub.streams
    lose_first(sim)
    data, its_data = await recovered(answer, other, first)
    its_data += await other.reader.readexactly(2000 * PACKET)
    assert isinstance(first.source, SharedSource)
    assert (broken(data), broken(its_data)) == (0, 0)
    assert (second.state, second.recoveries) == (State.LIVE, 0)

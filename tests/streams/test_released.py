"""What is left of a stream that is over: its time line, not its buffers."""

from __future__ import annotations

import gc
import weakref

import pytest

from aceproxy.simulator import Content, Simulator, SimulatorConfig
from aceproxy.streams import giving_back
from aceproxy.streams.relay import Relay
from tests.conftest import MakeApp, ask
from tests.waiting import until


async def test_a_stream_that_is_over_gives_its_memory_back_though_its_time_line_is_kept(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(linger_s=0.0)
    answer = await ask(app, f"/ace/getstream?id={sim.contents[0].content_id}", stream=True)
    await answer.reader.readexactly(188)
    [stream] = app.hub.streams
    stream_id, gone = stream.stream_id, weakref.ref(stream.intake)
    answer.close()
    del stream
    await until(lambda: not app.hub.streams)

    def is_gone() -> bool:
        gc.collect()
        return gone() is None

    await until(is_gone)
    told = await ask(app, f"/api/aceproxy/streams/{stream_id}/timeline")
    assert {"live", "client_left", "ended"} <= {event["kind"] for event in told.json["events"]}


async def test_what_was_read_of_a_recording_for_a_viewer_who_left_is_freed_without_looking_for_cycles(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    film = Content("Film", "light", live=False, duration_s=60)
    relays: list[weakref.ref[Relay]] = []
    made = Relay.__init__

    def make(self: Relay) -> None:
        made(self)
        relays.append(weakref.ref(self))

    monkeypatch.setattr(Relay, "__init__", make)
    monkeypatch.setattr(giving_back, "LOOK_S", 3600.0)  # which would look for cycles
    async with Simulator(SimulatorConfig.fast(contents=(film,))) as engine:
        app = await make_app(engines=engine.url)
        gc.collect()
        gc.disable()
        try:
            for _ in range(3):
                answer = await ask(app, f"/ace/getstream?id={film.content_id}", stream=True)
                await answer.reader.readexactly(100_000)
                answer.close()
            assert len(relays) == 3
            await until(lambda: all(relay() is None for relay in relays))
        finally:
            gc.enable()

"""What is left of a stream that is over: its time line, not its buffers."""

from __future__ import annotations

import gc
import weakref

from aceproxy.simulator import Simulator
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

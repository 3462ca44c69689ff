"""The control routes."""

from __future__ import annotations

import json

import pytest

from aceproxy.simulator import Fault, Simulator
from tests.simulator.wire import ask, content, open_media, start

FAULTS = "/simulator/faults"


async def test_the_explanation_is_one_paragraph(simulator: Simulator) -> None:
    reply = await ask(simulator, "/simulator/")
    assert reply.headers["content-type"] == "text/plain; charset=utf-8"
    assert reply.body.count(b"\n") == 1
    assert b"simulator" in reply.body


async def test_the_state_shows_contents_playbacks_and_readers(simulator: Simulator) -> None:
    light = content(simulator, "Light")
    wire = await open_media(simulator, await start(simulator, light))
    await wire.head()
    await wire.read(188)
    state = (await ask(simulator, "/simulator/state")).json
    assert [one["name"] for one in state["contents"]] == [one.name for one in simulator.contents]
    assert state["contents"][0]["link"] == f"acestream://{light.content_id}"
    assert state["readers"] == 1
    (playback,) = state["playbacks"]
    assert (playback["pid"], playback["infohash"], playback["stopped_s_ago"]) == ("p", light.infohash, None)
    assert playback["bytes_sent"] > 0
    await wire.close()


async def test_faults_are_set_shown_and_cleared(simulator: Simulator) -> None:
    infohash = content(simulator, "Light").infohash
    wish = json.dumps({"name": "stall-after", "value": 2, "infohash": infohash, "times": 3}).encode()
    reply = await ask(simulator, FAULTS, method="POST", body=wish)
    assert reply.json == {"faults": [{"name": "stall-after", "value": "2", "infohash": infohash, "times_left": 3}]}
    assert simulator.faults == (Fault("stall-after", "2", infohash, 3),)
    await ask(simulator, FAULTS, method="POST", body=b'{"name": "list-403"}')
    assert (await ask(simulator, f"{FAULTS}?name=stall-after", method="DELETE")).status == 200
    assert simulator.faults == (Fault("list-403"),)
    await ask(simulator, FAULTS, method="DELETE")
    assert not simulator.faults


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"[]",
        b'{"name": 5}',
        b'{"name": "stal-after"}',
        b'{"name": "loop", "speed": 1}',
        b'{"name": "loop", "value": [1]}',
        b'{"name": "loop", "infohash": 5}',
        b'{"name": "loop", "times": "x"}',
        b"[" * 100_000,
    ],
)
async def test_what_is_no_fault_is_400_with_a_reason(simulator: Simulator, body: bytes) -> None:
    reply = await ask(simulator, FAULTS, method="POST", body=body)
    assert reply.status == 400
    assert len(reply.body) > 10
    assert simulator.faults == ()


async def test_other_methods_and_places_are_refused(simulator: Simulator) -> None:
    assert (await ask(simulator, FAULTS)).status == 405
    assert (await ask(simulator, f"{FAULTS}?name=no", method="DELETE")).status == 400
    assert (await ask(simulator, "/simulator/x")).status == 404


async def test_control_works_while_the_engine_is_hung_and_leaves_no_trace(simulator: Simulator) -> None:
    simulator.set_fault("hung")
    assert (await ask(simulator, FAULTS, method="DELETE")).status == 200
    assert simulator.faults == ()
    assert simulator.requests == []

"""What the operator reads afterwards: the story of a stream through real faults, with whose fault each step was."""

from __future__ import annotations

import re
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest

from tests.system.calls import Viewer
from tests.system.oracle import faults_in
from tests.system.programs import Engine, Proxy, wait_for

Keep = Callable[[Proxy], Proxy]
View = Callable[..., Viewer]
PATIENCE = (
    "silence_s=6",
    "stuck_s=5",
    "quiet_s=1",
    "stat_poll_s=0.5",
    "retry_first_s=0.3",
    "recover_s=4",
    "linger_s=0.3",
)
OF_CLIENTS = ("client_joined", "client_skipped", "client_left", "deserted", "revisited")
CLOCK = "Clock One"
CLOCK_BPS = 5_740_016


@pytest.fixture
def proxy(programs: Keep, engine: Engine, tmp_path: Path) -> Proxy:
    """Return a proxy that loses patience soon."""
    return programs(Proxy(tmp_path, engine.url, *PATIENCE))


def story(proxy: Proxy, stream_id: str) -> list[dict[str, Any]]:
    """Return the events of a stream, running or over."""
    told = proxy.get(f"/api/aceproxy/streams/{stream_id}/timeline")
    events: list[dict[str, Any]] = told["events"]
    assert [event["seq"] for event in events] == list(range(1, told["last_seq"] + 1))  # nothing was lost
    afters = [event["after_s"] for event in events]
    assert afters == sorted(afters)
    assert all(event["message"] and event["at"].endswith("Z") for event in events)
    return events


def of_kinds(events: list[dict[str, Any]], *kinds: str) -> list[dict[str, Any]]:
    return [event for event in events if event["kind"] in kinds]


def test_a_stall_a_recovery_and_the_end_are_told_with_whose_fault_they_were(
    engine: Engine, proxy: Proxy, view: View
) -> None:
    stream_id = engine.id_of(CLOCK)
    engine.set_fault("stall-after", "5", name=CLOCK)
    viewer = view(proxy.play(engine, CLOCK))
    viewer.wait_bytes(CLOCK_BPS // 8)
    stalled = wait_for(lambda: of_kinds(story(proxy, stream_id), "stall_began"), "the stall", 20)
    engine.clear_faults()
    wait_for(lambda: of_kinds(story(proxy, stream_id), "recovered", "stall_ended"), "the recovery", 20)
    viewer.wait_more(CLOCK_BPS // 8 * 2)
    engine.end()
    wait_for(viewer.ended.is_set, "the end of the viewer", 20)
    wait_for(lambda: proxy.stream(stream_id) == {}, "the end of the stream", 5)
    events = story(proxy, stream_id)
    kinds = [event["kind"] for event in events]
    for event in events:
        print(event["after_s"], event["kind"], event["fault"], event["reason"], event["details"])

    # the start
    start = ["start_asked", "engine_chosen", "engine_answered", "first_byte", "live", "client_joined"]
    assert [kind for kind in kinds if kind not in ("prebuffering", "engine_ready")][: len(start)] == start
    live = of_kinds(events, "live")[0]
    assert live["details"]["engine"] == engine.url
    assert live["details"]["start_s"] == pytest.approx(live["after_s"], abs=0.1)
    # the stall: told once, when it was some seconds old, and as what it is: the swarm's, for the engine says it waits
    (stall,) = stalled
    assert stall["fault"] == "swarm"
    assert 3.0 <= stall["details"]["silent_s"] < 5.0
    # the end: the engine was killed
    losses = of_kinds(events, "source_lost")
    assert losses[-1]["reason"] == "source_ended"
    assert losses[-1]["fault"] == "engine"
    failed = [event for event in events if event["kind"] == "engine_failed" and event["seq"] > losses[-1]["seq"]]
    assert {event["reason"] for event in failed} == {"engine_unreachable"}
    (ended,) = of_kinds(events, "ended")
    assert (ended["reason"], ended["fault"]) == ("source_ended", "engine")
    assert [event["reason"] for event in of_kinds(events, "client_left")] == ["source_ended"]
    assert faults_in(viewer.body[: len(viewer.body) // 188 * 188]) == []

    # the log has each transition once
    lines = [line for line in proxy.err.splitlines() if f"[{stream_id[:8]}]" in line]
    for kind, words in (
        ("start_asked", "Somebody asked for the broadcast"),
        ("live", "The broadcast plays"),
        ("stall_began", "No more data comes from the engine"),
        ("source_lost", "The source is lost"),
        ("recovered", "The broadcast is back"),
        ("ended", "closed: source_ended"),
    ):
        assert len([line for line in lines if words in line]) == kinds.count(kind), (kind, lines)

    # the history tells the same
    (entry,) = proxy.get("/api/aceproxy/history")["streams"]
    assert (entry["reason"], entry["fault"], entry["stalls"]) == ("source_ended", "engine", 1)
    assert entry["recoveries"] == kinds.count("recovered")
    assert entry["stalled_s"] >= 3.0
    kept = proxy.get(f"/api/aceproxy/history/{entry['id']}")["events"]
    assert kept == [event for event in events if event["kind"] not in OF_CLIENTS]
    # and what was learnt of the link
    (link,) = proxy.get("/api/aceproxy/links")["links"]
    assert link["key"] == f"content_id:{stream_id}"
    assert link["last_reason"] == "source_ended"
    assert link["losses"] >= 1


def test_an_engine_that_claims_to_deliver_is_told_as_the_one_at_fault(engine: Engine, proxy: Proxy, view: View) -> None:
    stream_id = engine.id_of(CLOCK)
    engine.set_fault("frozen-after", "4", name=CLOCK)
    viewer = view(proxy.play(engine, CLOCK))
    (stall,) = wait_for(lambda: of_kinds(story(proxy, stream_id), "stall_began"), "the stall", 20)
    assert stall["fault"] == "engine"
    assert stall["details"]["engine_status"] == "dl"
    wait_for(lambda: of_kinds(story(proxy, stream_id), "recovered"), "the recovery", 20)
    engine.clear_faults()
    viewer.wait_more(CLOCK_BPS // 8)
    told = of_kinds(story(proxy, stream_id), "stall_began", "source_lost", "recovered", "spliced", "stall_ended")
    kinds = [event["kind"] for event in told]
    assert kinds[:2] == ["stall_began", "source_lost"]
    assert set(kinds[2:]) == {"recovered", "spliced"}
    assert re.fullmatch(r"https?://127\.0\.0\.1:\d+", str(of_kinds(told, "recovered")[0]["details"]["engine"]))
    assert not viewer.ended.is_set()

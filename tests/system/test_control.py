"""The API while streams run: what it tells, and that a DELETE does what it says."""

from __future__ import annotations

import dataclasses
from collections.abc import Callable
from typing import Any

import pytest

from aceproxy.logs import LogLine
from aceproxy.streams.snapshot import ClientSnapshot, CodecSnapshot, EndedClient, EndedStream, StreamSnapshot
from aceproxy.web import models
from tests.system.calls import Viewer
from tests.system.oracle import faults_in
from tests.system.programs import Engine, Proxy, wait_for

View = Callable[..., Viewer]
UNKNOWN = "ab" * 20


def names(kind: type[Any]) -> set[str]:
    """Return the fields of a model or a snapshot."""
    if dataclasses.is_dataclass(kind):
        return {field.name for field in dataclasses.fields(kind)}
    return set(kind.model_fields)


@pytest.fixture
def two(engine: Engine, proxy: Proxy, view: View) -> list[Viewer]:
    """Return two viewers of one channel that both receive."""
    viewers = [view(proxy.play(engine, "Light One")) for _ in range(2)]
    for viewer in viewers:
        viewer.wait_bytes(200_000)
    return viewers


def test_deleting_a_stream_stops_it_on_the_engine_and_ends_its_clients(
    engine: Engine, proxy: Proxy, two: list[Viewer], view: View
) -> None:
    other = view(proxy.play(engine, "Light Two"))
    stream_id = engine.id_of("Light One")
    reply = proxy.ask("DELETE", f"/api/aceproxy/streams/{stream_id}")
    assert (reply.status, reply.json()) == (200, {"stopped": True, "stream_id": stream_id, "clients_ended": 2})
    for viewer in two:
        viewer.wait_end(3)
    wait_for(lambda: not engine.running("Light One"), "the stop on the engine", 3)
    assert [one["stop_reason"] for one in engine.playbacks("Light One")] == ["stopped"]
    recent = proxy.get("/api/aceproxy/streams")["recent"]
    assert [(one["stream_id"], one["reason"]) for one in recent] == [(stream_id, "stopped")]
    assert proxy.get("/api/aceproxy/stats")["clients_closed_by_reason"] == {"stopped": 2}
    assert proxy.ask("DELETE", f"/api/aceproxy/streams/{stream_id}").reason == "stream_not_running"
    other.wait_more(100_000)
    again = view(proxy.play(engine, "Light One"))
    again.wait_bytes(100_000)


def test_deleting_a_client_ends_only_that_one(engine: Engine, proxy: Proxy, two: list[Viewer], view: View) -> None:
    stream_id = engine.id_of("Light One")
    path = f"/api/aceproxy/streams/{stream_id}/clients"
    client_id = proxy.stream(stream_id)["clients"][0]["client_id"]
    reply = proxy.ask("DELETE", f"{path}/{client_id}")
    assert (reply.status, reply.json()) == (200, {"kicked": True, "stream_id": stream_id, "client_id": client_id})
    wait_for(lambda: any(viewer.ended.is_set() for viewer in two), "the end of the kicked one", 3)
    stayed = [viewer for viewer in two if not viewer.ended.is_set()]
    assert len(stayed) == 1
    stayed[0].wait_more(200_000)
    assert faults_in(stayed[0].body) == []
    ended = proxy.stream(stream_id)["ended_clients"]
    assert [(one["client_id"], one["reason"]) for one in ended] == [(client_id, "kicked")]
    assert proxy.ask("DELETE", f"{path}/{client_id}").reason == "client_not_found"
    assert proxy.ask("DELETE", f"/api/aceproxy/streams/{UNKNOWN}/clients/{client_id}").reason == "stream_not_running"
    assert len(engine.playbacks()) == 1


def test_the_streams_route_tells_what_the_models_promise(engine: Engine, proxy: Proxy, two: list[Viewer]) -> None:
    two[1].leave()
    stream_id = engine.id_of("Light One")
    wait_for(lambda: proxy.stream(stream_id)["ended_clients"], "the end of one")
    wait_for(lambda: proxy.stream(stream_id)["engine_stat"]["peers"], "the engine's stat")
    answer = proxy.get("/api/aceproxy/streams")
    assert set(answer) == names(models.Streams)
    assert (answer["total_streams"], answer["total_clients"]) == (1, 1)
    stream = answer["streams"][0]
    assert set(stream) == names(StreamSnapshot)
    assert set(stream["clients"][0]) == names(ClientSnapshot)
    assert set(stream["ended_clients"][0]) == names(EndedClient)
    assert (stream["state"], stream["engine"], stream["is_active"]) == ("live", engine.url, True)
    assert stream["infohash"] == engine.infohash_of("Light One")
    assert {codec["codec"] for codec in stream["codecs"]} == {"h264", "aac"}
    assert set(stream["codecs"][0]) == names(CodecSnapshot)
    assert stream["inbound_bytes"] >= 200_000
    assert stream["outbound_bytes"] >= 400_000
    assert stream["clients"][0]["agent"] == "viewer"
    assert stream["clients"][0]["address"] == "127.0.0.1"
    assert proxy.stream(engine.infohash_of("Light One"))["stream_id"] == stream_id


def test_stats_health_and_status_tell_what_the_models_promise(engine: Engine, proxy: Proxy, two: list[Viewer]) -> None:
    health = proxy.wait_engine("healthy")
    assert set(health) == names(models.Health)
    assert set(health["engines"][0]) == names(models.EngineModel)
    told = health["engines"][0]
    assert (told["url"], told["state"], told["reachable"], told["version"]) == (engine.url, "up", True, "3.2.3")
    assert told["streams"] == 1
    stats = proxy.get("/api/aceproxy/stats")
    assert set(stats) == names(models.Stats)
    assert (stats["total_streams"], stats["total_clients"], stats["clients_served"]) == (1, 2, 2)
    assert stats["streams_by_state"]["live"] == 1
    assert stats["outbound_bytes"] >= 400_000
    assert proxy.get("/ace/status") == {"streams": 1}
    one = proxy.get(f"/ace/status?infohash={engine.infohash_of('Light One')}")
    assert one == {"clients": 2, "stream_id": engine.id_of("Light One"), "state": "live"}
    assert proxy.ask("GET", f"/ace/status?id={UNKNOWN}").reason == "stream_not_running"
    assert proxy.ask("GET", "/ace/status?id=xyz").reason == "bad_link"
    two[0].leave()
    wait_for(lambda: proxy.get("/ace/status?id=" + engine.id_of("Light One"))["clients"] == 1, "one client less")


def test_a_stream_that_nobody_watches_lingers_and_is_stopped(engine: Engine, proxy: Proxy, two: list[Viewer]) -> None:
    for viewer in two:
        viewer.leave()
    wait_for(lambda: not engine.running(), "the stop on the engine", 5)
    recent = wait_for(lambda: proxy.get("/api/aceproxy/streams")["recent"], "the end of the stream")
    assert set(recent[0]) == names(EndedStream)
    assert (recent[0]["reason"], recent[0]["fault"]) == ("linger_over", "none")


def test_the_log_tail_is_bounded_and_refuses_nonsense(engine: Engine, proxy: Proxy, two: list[Viewer]) -> None:
    tail = proxy.get("/api/logs/tail?lines=3")
    assert set(tail) == names(models.LogTail)
    assert len(tail["lines"]) == tail["returned_lines"] == 3
    assert tail["total_lines"] > 3
    assert set(tail["lines"][0]) == names(LogLine)
    everything = proxy.get("/api/logs/tail?lines=999999")["lines"]
    assert engine.id_of("Light One") in {line["stream"] for line in everything}
    assert proxy.get("/api/logs/tail?lines=0")["returned_lines"] == 0
    for nonsense in ("abc", "-1", "1.5", "%D9%A3", "9" * 50, ""):
        reply = proxy.ask("GET", f"/api/logs/tail?lines={nonsense}")
        assert (reply.status, reply.reason) == (400, "bad_parameter"), nonsense
    assert len(two) == 2


def test_unknown_places_and_methods_are_told_in_the_one_shape(proxy: Proxy) -> None:
    for path in ("/api/nothing", "/static/../cli.py", "/static/nothing.js", "/ace/nothing", "//", "/api/aceproxy"):
        reply = proxy.ask("GET", path)
        assert (reply.status, reply.reason) == (404, "not_found"), path
    for method, path in (("POST", "/api/health"), ("DELETE", "/api/aceproxy/streams"), ("PUT", "/")):
        assert proxy.ask(method, path).reason == "method_not_allowed"
    page = proxy.ask("GET", "/")
    assert (page.status, page.headers["content-type"]) == (200, "text/html; charset=utf-8")
    assert page.headers["x-content-type-options"] == "nosniff"

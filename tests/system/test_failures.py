"""Starts that fail: the right status and reason within the deadline, never an empty 200, and nothing left behind."""

from __future__ import annotations

import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import pytest

from tests.system.calls import Reply, Viewer, ask
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]
DEADLINES = ("start_timeout_s=3", "answer_timeout_s=2", "stat_timeout_s=1", "retry_first_s=0.3", "linger_s=0.3")
DEADLINE_S = 3.0
GRACE_S = 1.5


@dataclass(frozen=True)
class Case:
    """A fault on a channel of its own, and what it must be answered with."""

    fault: str
    value: str | None
    status: int
    reasons: tuple[str, ...]
    retry_after: bool
    most_s: float = DEADLINE_S + GRACE_S


CASES = (
    Case("load-failed", None, 404, ("content_not_found",), True, 2.0),
    Case("json-hang", None, 504, ("engine_timeout",), True),
    Case("never-starts", None, 504, ("no_peers",), True),
    Case("headers-held", None, 504, ("no_data", "start_timeout"), True),
    Case("empty-body", None, 504, ("no_data",), True),
    Case("html-body", None, 502, ("engine_error",), True),
    Case("garbage", None, 502, ("not_mpegts",), False),
    Case("mp4-bytes", None, 502, ("not_mpegts",), False),
    Case("missing-option", "start", 502, ("engine_option_missing",), False, 2.0),
    Case("foreign-redirect", None, 502, ("engine_redirected",), False, 2.0),
    Case("python-error", None, 502, ("engine_error",), True),
    Case("text-answer", None, 502, ("engine_error",), True),
    Case("truncated-json", None, 502, ("engine_error",), True),
    Case("got-newer-download", None, 502, ("session_lost", "engine_error"), True),
)
NO_HANDLE = {"python-error", "text-answer", "truncated-json"}  # the answer told no address to which a stop could go
Outcome = tuple[Reply, float]


def timed(method: str, url: str) -> Outcome:
    """Send a request and return the answer and how long it took."""
    began_at = time.monotonic()
    return ask(method, url, limit_s=20), time.monotonic() - began_at


@pytest.fixture(scope="module")
def broken(module_programs: Keep, tmp_path_factory: pytest.TempPathFactory) -> tuple[Engine, Proxy]:
    """Return an engine on which each case has a channel, and a proxy with short deadlines."""
    folder = tmp_path_factory.mktemp("broken")
    engine = Engine(folder, "--channels", str(len(CASES)))
    module_programs(engine)
    for number, case in enumerate(CASES, 1):
        engine.set_fault(case.fault, case.value, name=f"Channel {number:03d}")
    proxy = Proxy(folder, engine.url, *DEADLINES, "keyframe_wait_s=1")
    module_programs(proxy)
    return engine, proxy


@pytest.fixture(scope="module")
def outcomes(broken: tuple[Engine, Proxy]) -> dict[str, Outcome]:
    """Ask for all broken channels at once while a sound one plays, and return what was answered."""
    engine, proxy = broken
    found: dict[str, Outcome] = {}

    def play(number: int, case: Case) -> None:
        found[case.fault] = timed("GET", proxy.play(engine, f"Channel {number:03d}"))

    with Viewer(proxy.play(engine, "Light One")) as sound:
        threads = [threading.Thread(target=play, args=pair) for pair in enumerate(CASES, 1)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(25)
        sound.wait_more(100_000, limit_s=3)
        assert sound.status == 200
        assert not sound.ended.is_set()
    return found


@pytest.mark.parametrize("case", CASES, ids=lambda case: case.fault)
def test_a_fault_of_the_start_is_told_honestly(case: Case, outcomes: dict[str, Outcome]) -> None:
    reply, took_s = outcomes[case.fault]
    assert (reply.status, reply.reason in case.reasons) == (case.status, True), (reply.status, reply.body)
    assert ("retry-after" in reply.headers) == case.retry_after
    if case.retry_after:
        assert int(reply.headers["retry-after"]) > 0
    assert took_s < case.most_s


def test_failed_starts_leave_no_playback_and_other_channels_play(
    broken: tuple[Engine, Proxy], outcomes: dict[str, Outcome], view: View
) -> None:
    engine, proxy = broken
    assert len(outcomes) == len(CASES)
    faults = {engine.infohash_of(f"Channel {number:03d}"): case.fault for number, case in enumerate(CASES, 1)}
    wait_for(
        lambda: {faults.get(one["infohash"]) for one in engine.running()} <= NO_HANDLE,
        "the stop of everything that was started",
    )
    viewer = view(proxy.play(engine, "Light Two"))
    assert viewer.status == 200
    viewer.wait_bytes(300_000)


def test_an_unknown_id_is_404_and_remembered(broken: tuple[Engine, Proxy]) -> None:
    engine, proxy = broken
    reply, took_s = timed("GET", f"{proxy.url}/ace/getstream?id={'0123456789' * 4}")
    assert (reply.status, reply.reason) == (404, "content_not_found")
    assert reply.headers["retry-after"] == "30"
    assert took_s < 2
    again, took_s = timed("GET", f"{proxy.url}/ace/getstream?id={'0123456789' * 4}")
    assert again.reason == "content_not_found"
    assert took_s < 0.5
    assert not [one for one in engine.playbacks() if one["infohash"] == "0123456789" * 4]


def test_content_that_fails_to_load_once_plays_a_little_later(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, *DEADLINES, "bad_link_memory_s=1")
    programs(proxy)
    engine.set_fault("load-failed", "1", name="Light One")
    url = proxy.play(engine, "Light One")
    assert ask("GET", url).reason == "content_not_found"
    other = view(proxy.play(engine, "Light Two"))
    other.wait_bytes(100_000)
    assert ask("HEAD", url).status == 200
    viewer = wait_for(lambda: (one := view(url)).status == 200 and one, "the channel to play", 10)
    assert isinstance(viewer, Viewer)
    viewer.wait_bytes(100_000)
    assert len(engine.playbacks("Light One")) == 1


def test_an_engine_that_is_off_is_503_at_once(programs: Keep, tmp_path: Path) -> None:
    with socket.socket() as unused:
        unused.bind(("127.0.0.1", 0))  # bound, not listening: refused
        proxy = Proxy(tmp_path, f"http://127.0.0.1:{unused.getsockname()[1]}", *DEADLINES)
        programs(proxy)
        reply, took_s = timed("GET", f"{proxy.url}/ace/getstream?id={'ab' * 20}")
    assert (reply.status, reply.reason) == (503, "engine_unreachable")
    assert int(reply.headers["retry-after"]) > 0
    assert took_s < DEADLINE_S
    assert proxy.get("/api/aceproxy/streams")["total_streams"] == 0


def test_an_engine_that_hangs_is_504_and_plays_when_it_is_back(
    programs: Keep, engine: Engine, view: View, tmp_path: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, *DEADLINES)
    programs(proxy)
    proxy.wait_engine("healthy")
    engine.set_fault("hung")
    reply, took_s = timed("GET", proxy.play(engine, "Light One"))
    assert (reply.status, reply.reason) == (504, "engine_timeout")
    assert int(reply.headers["retry-after"]) > 0
    assert took_s < DEADLINE_S + GRACE_S
    health = proxy.wait_engine("unhealthy")
    assert health["engines"][0]["state"] == "hung"
    engine.clear_faults()
    proxy.wait_engine("healthy")
    for name in ("Light Two", "Light One"):
        viewer = view(proxy.play(engine, name))
        assert viewer.status == 200
        viewer.wait_bytes(100_000)


def test_callers_who_wait_for_one_start_share_its_failure(broken: tuple[Engine, Proxy]) -> None:
    engine, proxy = broken
    number = next(number for number, case in enumerate(CASES, 1) if case.fault == "never-starts")
    before = len(engine.playbacks(f"Channel {number:03d}"))
    replies: list[Reply] = []
    url = proxy.play(engine, f"Channel {number:03d}")
    threads = [threading.Thread(target=lambda: replies.append(ask("GET", url, limit_s=20))) for _ in range(10)]
    for thread in threads:
        thread.start()
    wait_for(lambda: [s for s in proxy.get("/api/aceproxy/streams")["streams"] if s["waiting"] == 10], "ten callers")
    for thread in threads:
        thread.join(10)
    assert [reply.reason for reply in replies] == ["no_peers"] * 10
    assert len(engine.playbacks(f"Channel {number:03d}")) == before + 1

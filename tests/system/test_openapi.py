"""The API against its own description, asked by schemathesis, while streams play that must not feel it."""

from __future__ import annotations

import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

from aceproxy.mpegts.continuity import ContinuityChecker
from tests.system.calls import Viewer
from tests.system.programs import Engine, Proxy

SCHEMATHESIS = Path(sys.executable).parent / "schemathesis"
# Not asked: event streams, which have no end, and what makes the program call addresses that the tool invents.
LEFT_OUT = ("get_api_events", "get_api_logs_stream", "post_api_aceproxy_engines")
# Not checked: that everything a schema allows is taken (it cannot say "one of these two", or that a link must exist).
UNCHECKED = ("positive_data_acceptance",)
EXAMPLES = 8
LIMIT_S = 90.0


def run_schemathesis(proxy: Proxy, folder: Path, *options: str) -> str:
    """Ask every operation of the description; return what the tool says, if all is as described."""
    command = [SCHEMATHESIS, "run", f"{proxy.url}/api/openapi.json", "--checks", "all", "--seed", "1"]
    command += ["--phases", "examples,coverage,fuzzing", "--max-examples", str(EXAMPLES), "--continue-on-failure"]
    command += ["--request-timeout", "5", "--no-shrink", "--warnings", "off", "--exclude-checks", ",".join(UNCHECKED)]
    command += [part for name in LEFT_OUT for part in ("--exclude-operation-id", name)]
    done = subprocess.run(
        [str(part) for part in (*command, *options)],
        cwd=folder,
        capture_output=True,
        text=True,
        timeout=LIMIT_S,
        check=False,
    )
    assert done.returncode == 0, done.stdout[-6000:] + done.stderr[-2000:]
    return done.stdout


def as_admin(proxy: Proxy) -> tuple[str, str]:
    """Options for asking as admin."""
    return "--header", f"Authorization: Bearer {proxy.secret}"


def test_the_api_is_as_described_and_streams_do_not_feel_being_asked(
    engine: Engine, proxy: Proxy, view: Callable[..., Viewer], tmp_path: Path
) -> None:
    proxy.wait_engine()
    viewers = [view(proxy.play(engine, name)) for name in ("Clock One", "Clock Two") for _ in range(2)]
    for viewer in viewers:
        viewer.wait_bytes(500_000)
    # only what changes nothing: the tool finds ids of streams and engines in answers, and uses them to stop and drain
    assert "Tested" in run_schemathesis(proxy, tmp_path, *as_admin(proxy), "--include-method", "GET")
    for viewer in viewers:
        viewer.wait_more(500_000)
        assert not viewer.ended.is_set()
        assert_unbroken(bytes(viewer.body))
    streams = proxy.get("/api/aceproxy/streams")
    assert [len(stream["clients"]) for stream in streams["streams"]] == [2, 2]
    assert {client["skips"] for stream in streams["streams"] for client in stream["clients"]} == {0}
    assert len(engine.playbacks()) == 2
    assert "Traceback" not in proxy.err


def test_changes_are_as_described(engine: Engine, proxy: Proxy, view: Callable[..., Viewer], tmp_path: Path) -> None:
    proxy.wait_engine()
    viewer = view(proxy.play(engine, "Light One"))
    viewer.wait_bytes(10_000)
    assert "Tested" in run_schemathesis(proxy, tmp_path, *as_admin(proxy), "--exclude-method", "GET")
    assert proxy.get("/api/health")["version"]
    assert "Traceback" not in proxy.err


def test_a_stranger_is_refused_as_described(engine: Engine, programs: Callable[[Proxy], Proxy], tmp_path: Path) -> None:
    proxy = programs(Proxy(tmp_path, engine.url, "trusted_networks=192.0.2.0/24"))
    assert "Tested" in run_schemathesis(proxy, tmp_path, "--phases", "coverage", "--mode", "positive")
    assert proxy.ask("GET", "/api/aceproxy/streams").status == 401


def assert_unbroken(body: bytes) -> None:
    """No packet is missing, repeated or torn."""
    checker = ContinuityChecker()
    checker.feed(memoryview(body))
    assert (checker.total, checker.damaged) == (0, 0)
    assert checker.packets > 2000

"""The programs under test as a user runs them: subprocesses, found by what they print, ended by their own id."""

from __future__ import annotations

import json
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, TypeVar

import pytest

from tests.system.calls import Reply, ask

ROOT = Path(__file__).resolve().parents[2]
SAMPLES = ROOT.parent / "shared" / "samples"
ACEPROXY = Path(sys.executable).parent / "aceproxy"
START_LIMIT_S = 40.0
POLL_S = 0.02

T = TypeVar("T")


def wait_for(condition: Callable[[], T | None], what: str, limit_s: float = 30.0) -> T:
    """Poll until `condition()` is true and return its value; fail with `what` when that takes too long."""
    deadline_at = time.monotonic() + limit_s
    while True:
        value = condition()
        if value:
            return value
        if time.monotonic() > deadline_at:
            pytest.fail(f"not within {limit_s:g} s: {what}; last seen: {value!r}")
        time.sleep(POLL_S)


def tool(name: str) -> str:
    """Return the path of a program of the system; without it skip, but fail where everything must run (env CI)."""
    found = shutil.which(name)
    if found:
        return found
    if os.environ.get("CI"):
        pytest.fail(f"{name} is not installed")
    pytest.skip(f"{name} is not installed")


def clean_environment(extra: Mapping[str, str] | None = None) -> dict[str, str]:
    """Return this environment without settings of the program, plus `extra`."""
    kept = {name: value for name, value in os.environ.items() if not name.startswith("ACEPROXY_")}
    return {**kept, "PYTHONUNBUFFERED": "1", "NO_COLOR": "1", **(extra or {})}


class Program:
    """A process of ours, with its output in files."""

    def __init__(
        self,
        command: Sequence[str | Path],
        folder: Path,
        *,
        env: Mapping[str, str] | None = None,
        nobody: bool = False,
    ) -> None:
        """Start it. `nobody`: as the user nobody where we are root (VLC refuses to run as root)."""
        folder.mkdir(parents=True, exist_ok=True)
        number = sum(1 for _ in folder.glob("*.out"))
        self.out_path = folder / f"{number}.out"
        self.err_path = folder / f"{number}.err"
        user = "nobody" if nobody and os.getuid() == 0 else None
        with self.out_path.open("wb") as out, self.err_path.open("wb") as err:
            self.process = subprocess.Popen(
                [str(part) for part in command],
                stdin=subprocess.DEVNULL,
                stdout=out,
                stderr=err,
                cwd=ROOT if user is None else "/",
                env=clean_environment(env),
                start_new_session=True,
                user=user,
                extra_groups=None if user is None else [],
            )

    @property
    def pid(self) -> int:
        """Its process id."""
        return self.process.pid

    @property
    def out(self) -> str:
        """What it has written to standard output so far."""
        return self.out_path.read_text(errors="replace")

    @property
    def err(self) -> str:
        """What it has written to standard error so far."""
        return self.err_path.read_text(errors="replace")

    def find(self, pattern: str, limit_s: float = START_LIMIT_S) -> str:
        """Wait for a match in what it writes and return its first group."""

        def look() -> re.Match[str] | None:
            found = re.search(pattern, self.out) or re.search(pattern, self.err)
            if found is None and self.process.poll() is not None:
                pytest.fail(f"ended with {self.process.returncode} before {pattern!r}\n{self.out}\n{self.err}")
            return found

        return wait_for(look, f"{pattern!r} in the output of {self.process.args!r}", limit_s).group(1)

    def signal(self, number: signal.Signals) -> None:
        """Send a signal, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(number)

    def wait(self, limit_s: float) -> int:
        """Wait for its end and return the exit status; fail if it takes too long."""
        try:
            return self.process.wait(limit_s)
        except subprocess.TimeoutExpired:
            pytest.fail(f"{self.process.args!r} still runs after {limit_s:g} s\n{self.err[-3000:]}")

    def end(self) -> None:
        """Make sure that it is gone: politely, then with force."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGCONT)
            self.process.terminate()
            try:
                self.process.wait(5)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait(5)


class Engine(Program):
    """The engine simulator in a process of its own."""

    def __init__(self, folder: Path, *arguments: str, port: int = 0) -> None:
        """Start it and wait until it listens."""
        super().__init__(
            [sys.executable, "-m", "aceproxy.simulator", "--listen", f"127.0.0.1:{port}", "--fast", *arguments],
            folder / "engine",
        )
        self.url = self.find(r"(http://127\.0\.0\.1:\d+)")
        self.port = int(self.url.rpartition(":")[2])
        self.contents: dict[str, dict[str, Any]] = {one["name"]: one for one in self.state()["contents"]}

    def state(self) -> dict[str, Any]:
        """Return what `/simulator/state` tells."""
        found: dict[str, Any] = ask("GET", f"{self.url}/simulator/state").json()
        return found

    def id_of(self, name: str) -> str:
        """Return the content id of a channel."""
        return str(self.contents[name]["content_id"])

    def infohash_of(self, name: str) -> str:
        """Return the infohash of a channel."""
        return str(self.contents[name]["infohash"])

    def playbacks(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return every playback that was ever started, of one channel or of all."""
        found: list[dict[str, Any]] = self.state()["playbacks"]
        return [one for one in found if name is None or one["infohash"] == self.infohash_of(name)]

    def running(self, name: str | None = None) -> list[dict[str, Any]]:
        """Return the playbacks that are not stopped."""
        return [one for one in self.playbacks(name) if one["stopped_s_ago"] is None]

    def set_fault(self, fault: str, value: str | None = None, *, name: str | None = None) -> None:
        """Set a fault, for one channel or for all."""
        order = {"name": fault, "value": value, "infohash": self.infohash_of(name) if name else None}
        reply = ask("POST", f"{self.url}/simulator/faults", body=json.dumps(order).encode())
        assert reply.status == 200, reply.body

    def clear_faults(self) -> None:
        """Take all faults away."""
        assert ask("DELETE", f"{self.url}/simulator/faults").status == 200


class Proxy(Program):
    """`aceproxy serve` on a port of its own."""

    def __init__(self, folder: Path, engine_url: str | None, *sets: str, env: Mapping[str, str] | None = None) -> None:
        """Start it with settings `NAME=VALUE` and wait until it serves. Without an URL `env` says which engines."""
        arguments = [] if engine_url is None else ["--engine", engine_url]
        for pair in ("engine_probe_s=0.5", *sets):
            arguments += ["--set", pair]
        super().__init__(
            [ACEPROXY, "serve", "--listen", "127.0.0.1:0", *arguments],
            folder / "proxy",
            env=env,
        )
        self.port = int(self.find(r"serves on port (\d+)"))
        self.url = f"http://127.0.0.1:{self.port}"
        self._state_dir = next((pair.partition("=")[2] for pair in sets if pair.startswith("state_dir=")), None)

    @property
    def secret(self) -> str:
        """The admin secret: from its file, else from the sign-in link that was printed."""
        if self._state_dir is not None:
            return (Path(self._state_dir) / "admin-secret").read_text().strip()
        return self.find(r"/sign-in#(\S+)")

    def ask(self, method: str, path: str, limit_s: float = 20.0) -> Reply:
        """Send a request and return the whole answer; what changes something is asked as admin."""
        secret = None if method in ("GET", "HEAD", "OPTIONS") else self.secret
        return ask(method, self.url + path, limit_s=limit_s, secret=secret)

    def get(self, path: str) -> dict[str, Any]:
        """Return the JSON of an API route that must answer with 200."""
        reply = self.ask("GET", path)
        assert reply.status == 200, (path, reply.status, reply.body[:500])
        found: dict[str, Any] = reply.json()
        return found

    def play(self, engine: Engine, name: str) -> str:
        """Return the address at which a channel of the engine plays."""
        return f"{self.url}/ace/getstream?id={engine.id_of(name)}"

    def stream(self, stream_id: str) -> dict[str, Any]:
        """Return the snapshot of one stream, empty if it is not running."""
        reply = self.ask("GET", f"/api/aceproxy/streams/{stream_id}")
        found: dict[str, Any] = reply.json().get("stream", {})
        return found

    def wait_engine(self, status: str = "healthy", limit_s: float = 30.0) -> dict[str, Any]:
        """Wait until health has this status and return it."""

        def look() -> dict[str, Any] | None:
            health = self.get("/api/health")
            return health if health["status"] == status else None

        return wait_for(look, f"health {status}", limit_s)

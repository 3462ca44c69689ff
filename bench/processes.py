"""Starting and ending processes of our own. Every wait has a deadline; only what was started here is ended."""

from __future__ import annotations

import contextlib
import socket
import subprocess
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from types import TracebackType

import psutil

POLL_S = 0.02
END_S = 12.0  # from the polite signal to the impolite one; the proxy's own shutdown may take 10 s


class ProcessError(Exception):
    """A process did not do what it was started for; the message says which and what."""


class Child:
    """A process of ours. Its standard output is kept line by line, its standard error goes to a file."""

    def __init__(
        self,
        name: str,
        command: Sequence[str | Path],
        log: Path,
        *,
        environment: Mapping[str, str] | None = None,
    ) -> None:
        """Start `command`. Raises ProcessError if there is no such program."""
        self.name = name
        self.lines: list[str] = []
        self._changed = threading.Condition()
        self._log = log
        with log.open("wb") as errors:
            try:
                self._process = subprocess.Popen(
                    [str(part) for part in command],
                    stdin=subprocess.DEVNULL,
                    stdout=subprocess.PIPE,
                    stderr=errors,
                    text=True,
                    env=environment,
                )
            except OSError as error:
                raise ProcessError(f"cannot start {name}: {error}") from error
        self.pid = self._process.pid
        self._reader = threading.Thread(target=self._read, name=f"read {name}", daemon=True)
        self._reader.start()

    def __enter__(self) -> Child:
        """Give the process to a `with`."""
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """End the process."""
        self.end()

    @property
    def running(self) -> bool:
        """Whether it has not ended yet."""
        return self._process.poll() is None

    def wait_line(self, wanted: str, timeout_s: float) -> str:
        """Wait for a line of output that begins with `wanted` and return it. Raises ProcessError."""
        deadline_at = time.monotonic() + timeout_s
        seen = 0
        with self._changed:
            while True:
                all_said = not self._reader.is_alive()  # before the lines are looked at: none may come in between
                for line in self.lines[seen:]:
                    if line.startswith(wanted):
                        return line
                seen = len(self.lines)
                left_s = deadline_at - time.monotonic()
                if left_s <= 0 or all_said:
                    raise ProcessError(f"{self.name} did not say {wanted!r}; {self.last_words()}")
                self._changed.wait(min(left_s, 0.5))

    def wait_end(self, timeout_s: float) -> None:
        """Wait until it ends by itself. Raises ProcessError."""
        try:
            self._process.wait(timeout_s)
        except subprocess.TimeoutExpired:
            raise ProcessError(f"{self.name} did not end within {timeout_s:g} s") from None
        self._reader.join(1.0)

    def ask_to_end(self) -> None:
        """Send SIGTERM and go on."""
        with contextlib.suppress(ProcessLookupError):
            self._process.terminate()

    def end(self) -> None:
        """End it and its children, politely first."""
        family = []
        with contextlib.suppress(psutil.NoSuchProcess):
            family = psutil.Process(self.pid).children(recursive=True) if self.running else []
        self.ask_to_end()
        try:
            self._process.wait(END_S)
        except subprocess.TimeoutExpired:
            self._process.kill()
            self._process.wait(END_S)
        for process in family:
            with contextlib.suppress(psutil.NoSuchProcess):
                process.kill()
        self._reader.join(1.0)

    def last_words(self) -> str:
        """Return the end of its standard error."""
        with self._log.open("rb") as log:
            log.seek(max(0, self._log.stat().st_size - 2000))
            return log.read().decode("utf-8", "replace").strip()

    def _read(self) -> None:
        assert self._process.stdout is not None
        for line in self._process.stdout:
            with self._changed:
                self.lines.append(line.rstrip("\n"))
                self._changed.notify_all()


def free_port() -> int:
    """Return a port of the loopback that is free now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def wait_until(true: Callable[[], bool], timeout_s: float) -> bool:
    """Wait until `true()`; say whether it became so in time."""
    deadline_at = time.monotonic() + timeout_s
    while not true():
        if time.monotonic() >= deadline_at:
            return False
        time.sleep(POLL_S)
    return True


def wait_port(child: Child, port: int, timeout_s: float) -> None:
    """Wait until something listens on the port. Raises ProcessError if it does not, or if `child` is gone."""

    def connects() -> bool:
        try:
            socket.create_connection(("127.0.0.1", port), 1.0).close()
        except OSError:
            return not child.running
        return True

    if not wait_until(connects, timeout_s) or not child.running:
        raise ProcessError(f"{child.name} does not serve on port {port}: {child.last_words()}")

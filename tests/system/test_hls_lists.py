"""HLS lists in real time, through the loss of a source: every rule is kept, and no segment is missing."""

from __future__ import annotations

import threading
import time
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.hls.checking import ListChecker
from tests.system.calls import ask
from tests.system.programs import Engine, Program, Proxy, tool, wait_for

LIST_LIMIT_S = 60.0


def grows(count: Callable[[], int], by: int, what: str) -> None:
    """Wait until `count()` is larger by so much than now."""
    least = count() + by
    wait_for(lambda: count() >= least, what, LIST_LIMIT_S)


class ListReader:
    """A player that decodes nothing: reads lists as a player does, takes each new segment, and judges both."""

    def __init__(self, base: str, address: str) -> None:
        master = ask("GET", base + address, limit_s=20)
        assert master.status == 200, master.body
        self._base = base
        self._address = address.rpartition("/")[0] + "/" + master.body.decode().splitlines()[-1]
        self.checker = ListChecker()
        self.faults: list[str] = []
        self.segments: dict[int, bytes] = {}
        self.ended = threading.Event()
        self._over = threading.Event()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def stop(self) -> None:
        """Stop reading."""
        self._over.set()
        self._thread.join(10)

    def _run(self) -> None:
        while not self._over.wait(0.25):
            answer = ask("GET", self._base + self._address)
            if answer.status != 200:
                self.faults.append(f"list: {answer.status} {answer.body[:100]!r}")
                continue
            now = time.monotonic()
            self.faults += self.checker.take(answer.body.decode(), now)
            for uri in self.checker.owed(now):
                self._have(uri)
            if self.checker.last is not None and self.checker.last.ended:
                self.ended.set()

    def _have(self, uri: str) -> None:
        """Take a segment that must be there; of one that was taken already, only see that it still is."""
        number = int(uri.rpartition("/")[2].removesuffix(".ts"))
        known = number in self.segments
        folder = self._address.partition("?")[0].rpartition("/")[0].split("/")
        parts = uri.split("/")
        while parts[0] == "..":
            parts.pop(0)
            folder.pop()
        got = ask("HEAD" if known else "GET", self._base + "/".join([*folder, *parts]))
        if got.status != 200:
            self.faults.append(f"{uri}: {got.status}")
        elif not known:
            self.segments[number] = got.body


@pytest.mark.timeout(240)
def test_lists_keep_every_rule_through_a_loss_of_the_source(
    programs: Callable[[Proxy], Proxy], engine: Engine, tmp_path: Path
) -> None:
    """In real time over HTTP; half an hour of it, simulated, is tests/hls/test_half_hour.py."""
    proxy = programs(Proxy(tmp_path, engine.url, "retry_first_s=0.2", "block_s=0.5", "hls_segments=4"))
    content = engine.id_of("Light One")
    reader = ListReader(proxy.url, f"/hls/{content}/index.m3u8")
    wait_for(lambda: len(reader.segments) >= 3, "three segments")
    engine.set_fault("rst-after", "0")
    wait_for(lambda: proxy.stream(content)["state"] == "recovering", "the loss of the source")
    grows(lambda: reader.checker.lists, 2, "lists meanwhile")
    engine.clear_faults()
    wait_for(lambda: proxy.stream(content)["state"] == "live", "the source again")
    grows(lambda: len(reader.segments), 3, "further segments")
    reader.stop()
    assert reader.faults == []
    numbers = sorted(reader.segments)
    assert numbers == list(range(numbers[0], numbers[-1] + 1))
    whole = b"".join(reader.segments[number] for number in numbers)
    assert len(whole) % 188 == 0
    assert whole[::188] == b"\x47" * (len(whole) // 188)
    if reader.checker.breaks == 0:  # joined without a seam
        (tmp_path / "whole.ts").write_bytes(whole)
        ffmpeg = Program(
            [tool("ffmpeg"), "-nostdin", "-v", "error", "-i", tmp_path / "whole.ts", "-f", "null", "-"], tmp_path / "x"
        )
        assert (ffmpeg.wait(40), ffmpeg.err) == (0, "")

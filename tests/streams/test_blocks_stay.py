"""Whatever anybody reads of any block at any time is what was appended there, whatever is received behind it."""

from __future__ import annotations

import contextlib
import errno
import mmap
import random
from dataclasses import replace

import pytest

from aceproxy.streams import block as block_module
from aceproxy.streams.block import Block, JoinPoint
from tests.streams import sources_at_random
from tests.streams.sources_at_random import LIMITS, Walk

SEEDS = 60
HELD = 12  # blocks that somebody holds at once, dropped by the ring or not


class Watched(Walk):
    """A walk with readers: they hold some blocks for a while, and look at them again and again."""

    def __post_init__(self) -> None:
        """Begin with readers of nothing."""
        super().__post_init__()
        self.given = bytearray()
        self.refused = 0
        self._held: list[tuple[Block, memoryview]] = []
        self._readers = random.Random(self.seed)
        self._take, self.ingest.filled = self.ingest.filled, self._filled  # type: ignore[method-assign]  # as intakes do

    def let_go(self) -> None:
        """Read everything once more, and let go of it."""
        for block in self._ring.blocks():
            self._look(block, block.view(0, block.size))
        self._held.clear()
        self.ingest.close()
        self._ring.clear()

    def _filled(self, count: int) -> None:
        try:
            self._take(count)
        except OSError:  # no memory: the source is closed, and another one opened
            self.refused += 1
            self.ingest.begin_source()

    def _appended(self, part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        data = bytes(part)
        super()._appended(part, media_s, point)
        self.given += data
        assert self._ring.head == len(self.given)
        newest = self._ring.newest
        assert newest is not None
        self._look(newest, newest.view(newest.size - len(data), len(data)), newest.size - len(data))
        for block, view in self._held:
            self._look(block, view)
        if self._readers.random() < 0.2:
            self._held.append((newest, newest.view(0, newest.size)))
        if self._held and (len(self._held) > HELD or self._readers.random() < 0.1):
            del self._held[self._readers.randrange(len(self._held))]

    def _look(self, block: Block, view: memoryview, at: int = 0) -> None:
        start = block.start + at
        if view != self.given[start : start + len(view)]:
            self.found.append(f"seed {self.seed}: other bytes in block {block.number}, dropped: {block.dropped}")


@pytest.fixture(params=[(20_000, 200_000), (100_000, 1 << 20), (1 << 20, 2 << 20), (1 << 20, 8 << 20)])
def small_blocks(request: pytest.FixtureRequest, monkeypatch: pytest.MonkeyPatch) -> None:
    """Blocks and rings of some sizes."""
    block_bytes, ring_bytes = request.param
    limits = replace(LIMITS, block_bytes=block_bytes, ring_bytes=ring_bytes, ring_s=5.0)
    monkeypatch.setattr(sources_at_random, "LIMITS", limits)


@pytest.mark.usefixtures("small_blocks")
def test_what_lies_in_a_block_stays_as_long_as_anybody_holds_it() -> None:
    found: list[str] = []
    for seed in range(SEEDS):
        walk = Watched(seed)
        walk.run()
        walk.let_go()
        found += walk.found
    assert found == []


@pytest.mark.usefixtures("small_blocks")
def test_it_stays_as_well_where_there_is_no_memory_now_and_then(monkeypatch: pytest.MonkeyPatch) -> None:
    found, refused, rng, new_memory = [], 0, random.Random(1), block_module._new_memory

    def sometimes(length: int) -> mmap.mmap:
        if rng.random() < 0.5:
            raise OSError(errno.ENOMEM, "Cannot allocate memory")
        return new_memory(length)

    monkeypatch.setattr(block_module, "_new_memory", sometimes)
    for seed in range(SEEDS):
        walk = Watched(seed)
        with contextlib.suppress(OSError):  # at its very end
            walk.run()
        walk.let_go()
        refused += walk.refused
        found += [what for what in walk.found if "other bytes" in what]  # what is lost shows in the counters
    assert found == []
    assert refused > 0

"""Where jumps of continuity counters come from: what each engine sent is compared with what went into the ring.

`watch` observes every stream of the process, before and behind the splicer. A jump of the output has a cause if the
source made the very same one, if it lies where one source ends and the next begins, or if something was taken out on
purpose. One without a cause is a mistake of the program, and is told in the log with all that surrounds it.
"""

from __future__ import annotations

import time
from collections import Counter, deque
from collections.abc import Mapping
from typing import Any, NamedTuple
from weakref import WeakKeyDictionary, ref

from aceproxy.logs import StreamLog
from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES, Buffer
from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ingest import Ingest
from aceproxy.streams.intake import Intake
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.ring import Ring

KEPT = 5000  # jumps
TOLD_RUNS = 60  # runs of packets of one PID, about an unexplained jump
BEHIND_S = 40.0  # a client at the end of the ring, with what its socket holds
ENGINE, SPLICE, UNKNOWN = "the engine sent it so", "a source changed", "unexplained"
MOVED = "a client was moved forward"


class Jump(NamedTuple):
    """A counter that did not go on: loop time, PID, the counter before and the one that came."""

    at: float
    pid: int
    before: int
    got: int


class Counters:
    """The counters of one sequence of packets."""

    def __init__(self) -> None:
        self._last: dict[int, int] = {}

    def feed(self, packets: Buffer) -> list[Jump]:
        """Take whole packets; return the jumps among them."""
        now, found, last = time.monotonic(), [], self._last
        data = bytes(packets)
        for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
            pid = (data[at + 1] & 0x1F) << 8 | data[at + 2]
            control = data[at + 3]
            if pid == NULL_PID or not control & 0x10:
                continue
            before, got = last.get(pid), control & 15
            last[pid] = got
            if before is not None and got not in ((before + 1) & 15, before):
                found.append(Jump(now, pid, before, got))
        return found


class StreamWatch:
    """One stream, before and behind the splicer."""

    def __init__(self) -> None:
        self._sent = Counters()  # by the present source
        self._given = Counters()  # to the ring
        self._due: Counter[tuple[int, int]] = Counter()  # PID and width of jumps the source made
        self._fresh_pids: set[int] = set()  # on which the present source has given something already
        self.sources = 0
        self.pid_map: Mapping[int, int] = {}  # PIDs that the present source has, and others that are sent for them

    def begin_source(self) -> None:
        """Another source follows."""
        self.sources += 1
        self._sent = Counters()
        self._due.clear()
        self._fresh_pids.clear()

    def received(self, part: Buffer) -> None:
        """Take whole packets that the source sent."""
        for jump in self._sent.feed(part):
            self._due[jump.pid, (jump.got - jump.before) & 15] += 1

    def appended(self, part: Buffer) -> list[tuple[Jump, str]]:
        """Take what goes into the ring; return its jumps with their causes."""
        found = []
        for jump in self._given.feed(part):
            own = [pid for pid, sent in self.pid_map.items() if sent == jump.pid]
            keys = [(pid, (jump.got - jump.before) & 15) for pid in (jump.pid, *own)]
            due = next((key for key in keys if self._due[key]), None)
            if self.sources > 1 and jump.pid not in self._fresh_pids:
                self._fresh_pids.add(jump.pid)
                found.append((jump, SPLICE))  # of the very width of one that the source makes elsewhere, it may be
            elif due is not None:
                self._due[due] -= 1
                found.append((jump, ENGINE))
            else:
                found.append((jump, UNKNOWN))
        data = bytes(part)
        self._fresh_pids.update(
            (data[at + 1] & 0x1F) << 8 | data[at + 2]
            for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES)
            if data[at + 3] & 0x10  # a clock alone has no counter of its own
        )
        return found

    def told(self) -> str:
        """Say what else is known, for one who looks for the cause of a jump."""
        due = {f"{pid}+{width}": count for (pid, width), count in self._due.items() if count}
        return f"source {self.sources}, PIDs given {sorted(self._fresh_pids)}, jumps the source made {due}"


class JumpLog:
    """The jumps of all streams of this process, and when clients were moved forward."""

    def __init__(self) -> None:
        self.jumps: deque[tuple[Jump, str]] = deque(maxlen=KEPT)
        self.skipped_at: deque[float] = deque(maxlen=KEPT)
        self.ingests: WeakKeyDictionary[Ring, ref[Ingest]] = WeakKeyDictionary()
        self._watches: WeakKeyDictionary[Ring, StreamWatch] = WeakKeyDictionary()
        self._logs: WeakKeyDictionary[Ring, StreamLog] = WeakKeyDictionary()

    def of(self, ring: Ring) -> StreamWatch:
        """Return the watch of one stream."""
        if ring not in self._watches:
            self._watches[ring] = StreamWatch()
        return self._watches[ring]

    def tell(self, ring: Ring, part: memoryview, media_s: float) -> None:
        """Tell of an unexplained jump in `part`, which goes into the ring next."""
        found = self.ingests.get(ring)
        ingest = found() if found is not None else None
        if ingest is None or ring not in self._logs:
            return
        splicer = ingest._splicer  # noqa: SLF001 - observed from outside
        self._logs[ring].warning(
            "a counter jumps without a cause in %s bytes at %s (%.2f s): %s; rewritten: %s, holding: %s; %s; %s",
            len(part),
            ring.head,
            media_s,
            splicer.splice,
            splicer._rewriter is not None,  # noqa: SLF001 - the same
            ingest.guard.holding,
            self.of(ring).told(),
            " ".join(_counters_of(bytes(part))),
        )

    def note_log(self, ring: Ring, log: StreamLog) -> None:
        """Tell of the jumps of a ring in the log of its stream."""
        self._logs[ring] = log

    def pid_map_of(self, ring: Ring) -> Mapping[int, int]:
        """Return the PIDs that the present source of a stream has, and those that are sent for them."""
        found = self.ingests.get(ring)
        ingest = found() if found is not None else None
        rewriter = ingest._splicer._rewriter if ingest is not None else None  # noqa: SLF001 - observed from outside
        return rewriter.pid_map if rewriter is not None else {}

    def told(self) -> dict[str, object]:
        """Return all of it for JSON."""
        return {"jumps": [[*jump, cause] for jump, cause in self.jumps], "skipped_at": list(self.skipped_at)}


def _counters_of(data: bytes) -> list[str]:
    """Return PID and counters of the packets with a payload, runs of one PID together, of the first ones."""
    found: list[str] = []
    last = None
    for at in range(0, len(data) - PACKET_BYTES + 1, PACKET_BYTES):
        pid, control = (data[at + 1] & 0x1F) << 8 | data[at + 2], data[at + 3]
        if pid == NULL_PID or not control & 0x10:
            continue
        if pid == last:
            found[-1] = f"{found[-1].partition('..')[0]}..{control & 15}"
        else:
            found.append(f"{pid}:{control & 15}")
        last = pid
    return found[:TOLD_RUNS]


def watch() -> JumpLog:
    """Observe all streams that this process will have."""
    log = JumpLog()
    take, begin, append = Ingest._take, Intake._begin_anew, Ring.append  # noqa: SLF001 - whole packets, not yet spliced
    lose_place = Outlet.lose_place  # where a client is moved forward

    def taken(self: Ingest, count: int) -> None:
        log.ingests[self._ring] = ref(self)
        log.of(self._ring).received(self._view[self._fed : self._fed + count])
        take(self, count)

    def begin_anew(self: Intake) -> None:
        begin(self)
        log.of(self.ring).begin_source()
        log.note_log(self.ring, self._log)

    def appended(self: Ring, part: memoryview, media_s: float, point: JoinPoint | None = None) -> None:
        watch = log.of(self)
        watch.pid_map = log.pid_map_of(self)
        found = watch.appended(part)
        log.jumps.extend(found)
        if any(cause == UNKNOWN for _, cause in found):
            log.tell(self, part, media_s)
        append(self, part, media_s, point)

    def moved(self: Outlet, rest: bytes) -> None:
        log.skipped_at.append(time.monotonic())
        lose_place(self, rest)

    Ingest._take = taken  # type: ignore[method-assign]  # noqa: SLF001 - observed from outside, for this process only
    Intake._begin_anew = begin_anew  # type: ignore[method-assign]  # noqa: SLF001 - the same
    Ring.append = appended  # type: ignore[method-assign]  # the same
    Outlet.lose_place = moved  # type: ignore[method-assign]  # the same
    return log


def causes_of(seen: list[tuple[float, int, int, int]], told: dict[str, Any]) -> dict[str, int]:
    """Count the causes of the jumps that players saw: those of the ring, and that a player was moved forward."""
    in_ring: dict[tuple[int, int, int], list[tuple[float, str]]] = {}
    for at, pid, before, got, cause in told["jumps"]:
        in_ring.setdefault((pid, before, got), []).append((at, cause))
    causes: Counter[str] = Counter()
    for at, pid, before, got in seen:
        same = [cause for since_at, cause in in_ring.get((pid, before, got), ()) if 0 <= at - since_at + 1 < BEHIND_S]
        if same:
            causes[same[-1]] += 1
        else:
            was_moved = any(-1 < at - moved_at < BEHIND_S for moved_at in told["skipped_at"])
            causes[MOVED if was_moved else UNKNOWN] += 1
    return dict(causes)

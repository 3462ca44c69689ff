"""The API's latency during a chaos run, in a process of its own: `python -m bench.probing PORT RATE SECONDS ROUTE...`.

Open loop: each route has its own connection and its own schedule, and a request's time counts from the moment it was
due, so that an answer that holds up the next ones is felt in theirs. Prints one JSON object, times in milliseconds.
"""

from __future__ import annotations

import asyncio
import gc
import json
import sys
from dataclasses import dataclass, field

ANSWER_S = 10.0
ANSWER_LIMIT_BYTES = 8 << 20


@dataclass(slots=True)
class RouteTimes:
    """What one route did. `late_ms` is by how much the prober itself sent too late."""

    times_ms: list[float] = field(default_factory=list)
    late_ms: list[float] = field(default_factory=list)
    errors: int = 0
    answer_bytes: int = 0

    def summary(self) -> dict[str, float]:
        """Return the percentiles."""
        times, late = sorted(self.times_ms), sorted(self.late_ms)
        return {
            "count": len(times),
            "errors": self.errors,
            "answer_bytes": self.answer_bytes,
            "p50": _at(times, 0.5),
            "p99": _at(times, 0.99),
            "max": _at(times, 1.0),
            "late_p99": _at(late, 0.99),
        }


def _at(ordered: list[float], share: float) -> float:
    return round(ordered[min(len(ordered) - 1, int(share * len(ordered)))], 3) if ordered else -1.0


async def _read_answer(reader: asyncio.StreamReader) -> int:
    """Read one answer and return its length; raises ValueError unless it is a 200 with a length."""
    head = (await reader.readuntil(b"\r\n\r\n")).lower()
    if not head.startswith(b"http/1.1 200"):
        raise ValueError(head[:40])
    place = head.index(b"content-length:") + 15
    length = int(head[place : head.index(b"\r\n", place)])
    await reader.readexactly(length)
    return length


async def _probe(port: int, route: str, first_at: float, rate: float, count: int) -> RouteTimes:
    loop = asyncio.get_running_loop()
    result = RouteTimes()
    request = f"GET {route} HTTP/1.1\r\nHost: 127.0.0.1:{port}\r\n\r\n".encode()
    writer: asyncio.StreamWriter | None = None
    reader = asyncio.StreamReader()
    for number in range(count):
        due_at = first_at + number / rate
        behind = loop.time() > due_at  # the answer before took that long: not the prober's fault
        await asyncio.sleep(max(0.0, due_at - loop.time()))
        if not behind:
            result.late_ms.append((loop.time() - due_at) * 1000)
        try:
            async with asyncio.timeout(ANSWER_S):
                if writer is None:
                    reader, writer = await asyncio.open_connection("127.0.0.1", port, limit=ANSWER_LIMIT_BYTES)
                writer.write(request)
                result.answer_bytes = await _read_answer(reader)
            result.times_ms.append((loop.time() - due_at) * 1000)
        except (OSError, ValueError, EOFError, TimeoutError):
            result.errors += 1
            result.times_ms.append((loop.time() - due_at) * 1000)
            if writer is not None:
                writer.close()
            writer = None
    if writer is not None:
        writer.close()
    return result


async def _run(port: int, rate: float, seconds: float, routes: list[str]) -> dict[str, dict[str, float]]:
    start_at = asyncio.get_running_loop().time() + 0.1
    offsets = [start_at + place / rate / len(routes) for place in range(len(routes))]
    count = max(1, int(rate * seconds))
    probes = (_probe(port, route, at, rate, count) for route, at in zip(routes, offsets, strict=True))
    results = await asyncio.gather(*probes)
    return {route: result.summary() for route, result in zip(routes, results, strict=True)}


def main(arguments: list[str]) -> None:
    """Probe as the command line says."""
    port, rate, seconds, *routes = arguments
    gc.disable()  # a pause of ours must not look like one of theirs
    print(json.dumps(asyncio.run(_run(int(port), float(rate), float(seconds), routes))))


if __name__ == "__main__":
    main(sys.argv[1:])

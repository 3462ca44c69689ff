"""Asks routes in an open loop: `python -m tests.system.probing URL --seconds S --rate R PATH…`.

Requests are sent when they are due, whether earlier ones have been answered or not, and latency counts from that
moment: a server that stands still cannot hide it. Prints one line of JSON, milliseconds by route.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from urllib.parse import urlsplit

ANSWER_LIMIT_S = 10.0


class Prober:
    """Sends and measures."""

    def __init__(self, host: str, port: int) -> None:
        """Nothing is sent yet."""
        self._host = host
        self._port = port
        self.latencies_ms: dict[str, list[float]] = {}
        self.failures: list[str] = []
        self._spare: list[tuple[asyncio.StreamReader, asyncio.StreamWriter]] = []

    async def probe(self, path: str, due_at: float) -> None:
        """Send one request and note how long after `due_at` its answer was complete."""
        loop = asyncio.get_running_loop()
        try:
            async with asyncio.timeout(ANSWER_LIMIT_S):
                status = await self._ask(path)
        except (OSError, TimeoutError, asyncio.IncompleteReadError, ValueError) as error:
            self.failures.append(f"{path}: {error!r}")
            return
        self.latencies_ms.setdefault(path, []).append((loop.time() - due_at) * 1000)
        if status != 200:
            self.failures.append(f"{path}: status {status}")

    async def _ask(self, path: str) -> int:
        if self._spare:
            reader, writer = self._spare.pop()
        else:
            reader, writer = await asyncio.open_connection(self._host, self._port, limit=1 << 22)
        writer.write(f"GET {path} HTTP/1.1\r\nHost: {self._host}\r\n\r\n".encode())
        head = (await reader.readuntil(b"\r\n\r\n")).decode("latin-1").lower()
        length = int(head.partition("content-length:")[2].split()[0])
        await reader.readexactly(length)
        self._spare.append((reader, writer))
        return int(head.split()[1])

    def close(self) -> None:
        """Close the connections."""
        for _, writer in self._spare:
            writer.close()

    def verdict(self) -> dict[str, object]:
        """Return milliseconds by route and the failures."""
        routes = {
            path: {"count": len(found), "p50": _share(found, 0.5), "p99": _share(found, 0.99), "max": _share(found, 1)}
            for path, found in self.latencies_ms.items()
        }
        return {"routes": routes, "failures": self.failures[:10], "failure_count": len(self.failures)}


def _share(values: list[float], share: float) -> float:
    ordered = sorted(values)
    return round(ordered[min(len(ordered) - 1, int(len(ordered) * share))], 2)


async def probe_all(url: str, paths: list[str], rate: float, seconds: float) -> dict[str, object]:
    """Send `rate` requests a second to each path for so many seconds, evenly spread."""
    parts = urlsplit(url)
    prober = Prober(parts.hostname or "", parts.port or 80)
    loop = asyncio.get_running_loop()
    began_at = loop.time()
    async with asyncio.TaskGroup() as group:
        for number in range(int(rate * seconds)):
            for place, path in enumerate(paths):
                due_at = began_at + (number + place / len(paths)) / rate
                await asyncio.sleep(due_at - loop.time())
                group.create_task(prober.probe(path, due_at))
    prober.close()
    return prober.verdict()


def main(arguments: list[str]) -> None:
    """Probe and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("paths", nargs="+")
    parser.add_argument("--rate", type=float, default=20.0)
    parser.add_argument("--seconds", type=float, default=10.0)
    given = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(probe_all(given.url, given.paths, given.rate, given.seconds))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

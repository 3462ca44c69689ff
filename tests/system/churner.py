"""Clients that come and go: `python -m tests.system.churner --count N --seconds S URL…`.

Each joins one of the channels at a moment of its own, stays a while and leaves: with a proper end, with a reset, or
before the answer has come. Every channel has somebody at all times. Prints one line of JSON.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import socket
import struct
import sys
from urllib.parse import urlsplit

SEED = 7
START_LIMIT_S = 15.0


async def visit(url: str, after_s: float, stay_s: float, way: str) -> str:
    """Join after a while, read, and leave in one of the ways; returns what was seen."""
    await asyncio.sleep(after_s)
    parts = urlsplit(url)
    reader, writer = await asyncio.open_connection(parts.hostname, parts.port)
    try:
        writer.write(f"GET {url.partition(parts.netloc)[2]} HTTP/1.1\r\nHost: {parts.netloc}\r\n\r\n".encode())
        await writer.drain()
        if way == "early":
            return "left early"
        async with asyncio.timeout(START_LIMIT_S):
            head = await reader.readuntil(b"\r\n\r\n")
        if b" 200 " not in head[:16]:
            return head[:40].decode("latin-1")
        try:
            async with asyncio.timeout(stay_s):
                while await reader.read(65536):
                    pass
        except TimeoutError:
            return "played"
        return "ended by the server"
    finally:
        if way == "reset":
            connection: socket.socket = writer.get_extra_info("socket")
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        writer.close()


async def churn(urls: list[str], count: int, seconds: float) -> dict[str, int]:
    """Send `count` clients to the channels within `seconds`; count what they saw."""
    chance = random.Random(SEED)
    visits = [visit(url, 0, seconds, "end") for url in urls]
    for number in range(count - len(urls)):
        after_s = 0.5 + chance.random() * (seconds - 1.5)
        stay_s = chance.random() * min(2.0, seconds - after_s)
        visits.append(visit(urls[number % len(urls)], after_s, stay_s, chance.choice(["end", "reset", "early"])))
    seen: dict[str, int] = {}
    for outcome in await asyncio.gather(*visits):
        seen[outcome] = seen.get(outcome, 0) + 1
    return seen


def main(arguments: list[str]) -> None:
    """Churn and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("urls", nargs="+")
    parser.add_argument("--count", type=int, default=200)
    parser.add_argument("--seconds", type=float, default=8.0)
    given = parser.parse_args(arguments)
    print(json.dumps(asyncio.run(churn(given.urls, given.count, given.seconds))), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

"""Operators of the chaos run: who drains, adds and removes engines, changes settings, disconnects, looks, and errs."""

from __future__ import annotations

import asyncio
import json
import random
import time
from collections.abc import Awaitable, Callable
from urllib.parse import quote

from bench.chaos_crowd import rest
from bench.chaos_fates import Fates
from bench.chaos_wire import NoHeadError, Wire, fetch, reason_in

CALL_S = 20.0
LISTEN_S = 30.0  # an event stream says something at least every 15 s
MEAN_PAUSE_S = 0.5
EVENT_STREAMS = ("/api/events", "/api/events?stream={stream}", "/api/logs/stream?level=debug")
KNOWN_ERRORS = frozenset({400, 401, 403, 404, 405, 406, 408, 409, 411, 413, 415, 416, 421, 429, 503, 507})
CHANGES: dict[str, tuple[object, ...]] = {
    "burst_s": (1, 6), "ring_s": (8, 30), "linger_s": (0, 5), "log_level": ("debug", "info"),
    "standby_clients": (2, 50), "hls_segments": (3, 6), "max_lingering": (0, 10), "stat_poll_s": (0.5, 5),
    "block_s": (1, 4), "splice_wait_s": (0.5, 4), "batch_s": (0.05, 0.2), "engine_probe_s": (1, 3),
    "standby_bytes": (1 << 20, 8 << 20), "max_listeners": (4, 100),
}  # fmt: skip
PAGES = (
    "/", "/metrics", "/api/aceproxy/history", "/api/aceproxy/links", "/api/aceproxy/engines", "/api/settings",
    "/api/logs/tail?lines=1000&search=chaos", "/api/logs/download", "/ace/status", "/api/openapi.json", "/readyz",
)  # fmt: skip
BAD_CALLS: tuple[tuple[str, str, bytes], ...] = (
    ("GET", "/api/nothing", b""),
    ("GET", "/api/aceproxy/streams/%00%ff%2e%2e", b""),
    ("GET", "/api/aceproxy/streams/" + "a" * 5000, b""),
    ("GET", "/api/logs/tail?lines=99999999999999999999", b""),
    ("GET", "/api/logs/tail?lines=-1&level=loud&before=x", b""),
    ("GET", "/api/aceproxy/history?limit=potato", b""),
    ("GET", "/static/../../etc/passwd", b""),
    ("GET", "/hls/zz/0/0.ts", b""),
    ("GET", "/ace/r/zz/zz", b""),
    ("GET", "/ace/stat/" + "0" * 40 + "/0", b""),
    ("GET", "/ace/getstream?id=" + "g" * 40, b""),
    ("GET", "/ace/getstream?id=" + "0" * 40 + "&infohash=" + "1" * 40, b""),
    ("GET", "/server/api?method=no_such_method", b""),
    ("PUT", "/api/health", b"{}"),
    ("PATCH", "/api/settings", b"[1, 2"),
    ("PATCH", "/api/settings", b'{"no_such_setting": 1}'),
    ("PATCH", "/api/settings", b'{"ring_s": -5}'),
    ("PATCH", "/api/settings", b'{"ring_s": ' + b"9" * 400 + b"}"),
    ("PATCH", "/api/settings", b"[" * 5000),
    ("POST", "/api/aceproxy/engines", b'{"url": "ftp://example"}'),
    ("POST", "/api/aceproxy/engines", b'{"url": "http://127.0.0.1:1", "weight": "NaN"}'),
    ("POST", "/api/aceproxy/engines", b"\xff\xfe"),
    ("POST", "/api/aceproxy/engines", b"x" * 70_000),
    ("DELETE", "/api/aceproxy/engines/nobody", b""),
    ("DELETE", "/api/aceproxy/streams/" + "0" * 40, b""),
    ("POST", "/api/tokens", b'{"name": ""}'),
)


class Operators:
    """They act, one after another, on everything the API lets them. `ports` are those of the engines."""

    def __init__(self, port: int, secret: str, ports: list[int], rng: random.Random, fates: Fates) -> None:
        self.slowest: tuple[float, str] = (0.0, "")
        self.calls = 0
        self.events = 0
        self._port = port
        self._secret = secret
        self._ports = ports
        self._random = rng
        self._fates = fates
        self._leaving = asyncio.Event()
        self._deeds: tuple[Callable[[], Awaitable[None]], ...] = (
            self._drain, self._drain, self._remove, self._change, self._change, self._disconnect, self._stop_stream,
            self._end_recording, self._err, self._err, self._err, self._look, self._look,
        )  # fmt: skip

    async def run(self) -> None:
        """Go on until `leave`; then everything is put back as it was."""
        async with asyncio.TaskGroup() as group:
            for address in (EVENT_STREAMS[0], *EVENT_STREAMS):
                group.create_task(self._listen(address))
            await self._act()
        await self._put_back()

    def leave(self) -> None:
        """Have all go."""
        self._leaving.set()

    async def _act(self) -> None:
        while not self._leaving.is_set():
            try:
                await self._random.choice(self._deeds)()
            except TimeoutError:
                self._fates.wrong("a call of the API was not answered")
            except (OSError, NoHeadError, EOFError) as error:
                self._fates.wrong(f"a call of the API was broken off ({type(error).__name__})")
            await self._rest(self._random.expovariate(1 / MEAN_PAUSE_S))

    async def _rest(self, seconds: float) -> None:
        await rest(seconds, self._leaving)

    async def _call(self, method: str, target: str, body: bytes = b"", *, is_bad: bool = False) -> object:
        """Make a call as admin; return its JSON. What is answered against the rules is noted."""
        headers = f"Authorization: Bearer {self._secret}\r\n"
        if body or method in ("POST", "PATCH"):
            headers += f"Content-Type: application/json\r\nContent-Length: {len(body)}\r\n"
        began_at = time.monotonic()
        wire = await Wire.open(self._port)
        try:
            wire.ask(target, "chaos/operator", method=method, headers=f"Connection: close\r\n{headers}")
            wire.writer.write(body)
            head = await wire.head(CALL_S)
            answer = await wire.body(head, CALL_S)
        finally:
            wire.close()
        self.calls += 1
        self.slowest = max(self.slowest, (round(time.monotonic() - began_at, 3), f"{method} {target[:60]}"))
        if head.status >= 400 and (head.status not in KNOWN_ERRORS or reason_in(answer) in (None, "internal")):
            self._fates.wrong(f"{method} {target[:60]}: {head.status} {answer[:80]!r}")
        if is_bad and head.status < 400:
            self._fates.wrong(f"{method} {target[:60]} {body[:60]!r}: {head.status}, though it makes no sense")
        try:
            return json.loads(answer)
        except ValueError:
            return None

    def _label(self, number: int) -> str:
        return quote(f"127.0.0.1:{self._ports[number]}", safe="")

    async def _drain(self) -> None:
        """Drain an engine for a while; the others take its streams."""
        label = self._label(self._random.randrange(len(self._ports)))
        await self._call("POST", f"/api/aceproxy/engines/{label}/drain")
        await self._rest(self._random.uniform(0.5, 6.0))
        await self._call("POST", f"/api/aceproxy/engines/{label}/undrain")

    async def _remove(self) -> None:
        """Remove an engine, and add it again."""
        number = self._random.randrange(len(self._ports))
        await self._call("DELETE", f"/api/aceproxy/engines/{self._label(number)}")
        await self._rest(self._random.uniform(0.5, 6.0))
        await self._add(number)

    async def _add(self, number: int) -> None:
        body = json.dumps({"url": f"http://127.0.0.1:{self._ports[number]}"}).encode()
        await self._call("POST", "/api/aceproxy/engines", body)
        await self._call("POST", f"/api/aceproxy/engines/{self._label(number)}/undrain")

    async def _change(self) -> None:
        """Change a setting, or take a change back."""
        name = self._random.choice(list(CHANGES))
        value = self._random.choice((None, *CHANGES[name]))
        await self._call("PATCH", "/api/settings", json.dumps({name: value}).encode())

    async def _streams(self) -> list[dict[str, object]]:
        found = await self._call("GET", "/api/aceproxy/streams")
        streams = found.get("streams", []) if isinstance(found, dict) else []
        return [one for one in streams if isinstance(one, dict)]

    async def _disconnect(self) -> None:
        """Disconnect a client."""
        streams = [one for one in await self._streams() if one["clients"]]
        if streams:
            stream = self._random.choice(streams)
            client = self._random.choice(list(stream["clients"]))  # type: ignore[call-overload]  # a list, as documented
            await self._call("DELETE", f"/api/aceproxy/streams/{stream['stream_id']}/clients/{client['client_id']}")

    async def _stop_stream(self) -> None:
        """Stop a stream, seldom."""
        streams = await self._streams()
        if streams and self._random.random() < 0.2:
            await self._call("DELETE", f"/api/aceproxy/streams/{self._random.choice(streams)['stream_id']}")

    async def _end_recording(self) -> None:
        found = await self._call("GET", "/api/aceproxy/recordings")
        recordings = found.get("recordings", []) if isinstance(found, dict) else []
        if recordings and self._random.random() < 0.3:
            one = self._random.choice(recordings)["recording_id"]
            await self._call("DELETE", f"/api/aceproxy/recordings/{one}")

    async def _err(self) -> None:
        method, target, body = self._random.choice(BAD_CALLS)
        await self._call(method, target, body, is_bad=method != "GET")

    async def _look(self) -> None:
        """Look at what pages show."""
        await self._call("GET", self._random.choice(PAGES))
        for stream in (await self._streams())[:1]:
            await self._call("GET", f"/api/aceproxy/streams/{stream['stream_id']}/timeline")
            await self._call("GET", f"/api/aceproxy/streams/{stream['stream_id']}/still.jpg")

    async def _listen(self, address: str) -> None:
        """Keep an event stream open; one that falls silent is a mistake."""
        while not self._leaving.is_set():
            streams = []
            try:
                streams = await self._streams() if "{stream}" in address else []
                stream = str(streams[0]["stream_id"]) if streams else "0" * 40
                await self._hear(address.replace("{stream}", stream), self._random.uniform(3.0, 60.0))
            except TimeoutError:
                self._fates.wrong(f"{address} fell silent")
            except (OSError, NoHeadError, EOFError) as error:
                self._fates.seen[f"event stream broken off ({type(error).__name__})"] += 1
            await self._rest(self._random.uniform(0.1, 2.0))

    async def _hear(self, address: str, seconds: float) -> None:
        wire = await Wire.open(self._port)
        try:
            wire.ask(address, "chaos/dashboard", headers=f"Authorization: Bearer {self._secret}\r\n")
            head = await wire.head(CALL_S)
            if head.status != 200:
                self._fates.seen[f"event stream refused {reason_in(await wire.body(head))}"] += 1
                return
            until_at = time.monotonic() + seconds
            while time.monotonic() < until_at and not self._leaving.is_set():
                async with asyncio.timeout(LISTEN_S):
                    part = await wire.reader.read(64 * 1024)
                if not part:
                    self._fates.seen["event stream ended"] += 1
                    return
                self.events += part.count(b"\nevent: ")
        finally:
            wire.close()

    async def _put_back(self) -> None:
        """Leave engines and settings as they were."""
        for number in range(len(self._ports)):
            await self._add(number)
        await self._call("PATCH", "/api/settings", json.dumps(dict.fromkeys(CHANGES)).encode())


class Observer:
    """Looks at the lists of streams every second, as a dashboard does: the most that was shown of each client."""

    def __init__(self, port: int) -> None:
        self.shown: dict[str, dict[str, float]] = {}
        self._port = port

    async def run(self) -> None:
        """Look on until cancelled."""
        while True:
            try:
                _, body = await fetch(self._port, "/api/aceproxy/streams", "chaos/observer", limit_s=CALL_S)
                streams = json.loads(body)["streams"]
            except (OSError, ValueError, KeyError, EOFError, TimeoutError, NoHeadError):
                streams = []
            for client in (one for stream in streams for one in [*stream["clients"], *stream["ended_clients"]]):
                told = self.shown.setdefault(client["agent"], {"lag_bytes": 0.0, "skips": 0.0})
                for name in told:
                    told[name] = max(told[name], client.get(name, 0.0))
            await asyncio.sleep(1.0)

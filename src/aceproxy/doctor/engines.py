"""What the doctor asks the engines."""

from __future__ import annotations

import asyncio
import time

from aceproxy.doctor.findings import Finding, Status
from aceproxy.engine.api import EngineApi, EngineLimits, engine_session
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import redact
from aceproxy.settings import Settings

OLDEST_ENGINE = (3, 1)
START_COMMAND = "docker run --rm -p 127.0.0.1:6878:6878 -e ALLOW_REMOTE_ACCESS=yes martinbjeldbak/acestream-http-proxy"


async def look_at_engines(settings: Settings) -> list[Finding]:
    """Ask every engine for its version, all at once."""
    limits = EngineLimits.from_settings(settings)
    async with engine_session(limits) as session:
        apis = [EngineApi(entry.url, session, limits) for entry in settings.engines]
        return list(await asyncio.gather(*(_look_at_engine(api) for api in apis)))


async def _look_at_engine(api: EngineApi) -> Finding:
    name = f"engine {api.url}"
    began_at = time.monotonic()
    try:
        version = (await api.version()).version
    except AceProxyError as error:
        advice = {
            Reason.ENGINE_UNREACHABLE: f"Start it and check address and firewall. In a container: {START_COMMAND}",
            Reason.ENGINE_REFUSED: "Start the engine with --bind-all (the community's image: ALLOW_REMOTE_ACCESS=yes).",
            Reason.ENGINE_TIMEOUT: "It takes connections and does not answer: restart it.",
        }.get(error.reason, "Is it an AceStream engine? Its own log may tell more.")
        return Finding(name, Status.FAILURE, redact(error.message), advice)
    took_ms = (time.monotonic() - began_at) * 1000
    words = f"version {redact(version) or 'unknown'}, answers in {took_ms:.0f} ms"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < OLDEST_ENGINE:
        return Finding(name, Status.WARNING, words, "It is very old; 3.1 and newer are known to work.")
    return Finding(name, Status.OK, words)

"""What is said on one connection of the simulated engine: its requests, the routes that answer them, who is refused."""

from __future__ import annotations

import asyncio
import contextlib
import ipaddress
import re
from collections.abc import Awaitable, Callable

from aceproxy.simulator import routes_media, routes_service, routes_session, routes_start
from aceproxy.simulator.engine import Engine
from aceproxy.simulator.faults import Fault
from aceproxy.simulator.http1 import Answer, BadRequestError, Connection, Request, text_answer
from aceproxy.simulator.routes_control import control

METHODS = ("GET", "HEAD", "POST")
Route = Callable[..., Awaitable[Answer | None]]
PLACE = r"([0-9a-f]{40})/([0-9a-f]+)"
ROUTES: tuple[tuple[re.Pattern[str], Route], ...] = tuple(
    (re.compile(pattern), route)
    for pattern, route in (
        (rf"/ace/r/{PLACE}", routes_media.progressive),
        (r"/content/([0-9a-f]{40})/(\d+\.\d+)", routes_media.content),
        (rf"/ace/m/{PLACE}\.m3u8", routes_media.hls_list),
        (r"/ace/c/([0-9a-f]{40})/(\d+)\.ts", routes_media.hls_segment),
        (rf"/ace/stat/{PLACE}", routes_session.stat),
        (rf"/ace/cmd/{PLACE}", routes_session.command),
        (rf"/ace/event/{PLACE}", routes_session.events),
        (r"/webui/api/service", routes_service.service),
        (r"/server/api", routes_service.server_api),
        (r"/search", routes_service.search),
    )
)


class Conversations:
    """Answers the requests of connections for one engine."""

    def __init__(
        self, engine: Engine, set_fault: Callable[[Fault], None], clear_faults: Callable[[str | None], None]
    ) -> None:
        """`set_fault` and `clear_faults` are what the control routes change faults with."""
        self._engine = engine
        self._set_fault = set_fault
        self._clear_faults = clear_faults

    async def hold(self, connection: Connection) -> None:
        """Answer the requests of one connection until it ends."""
        try:
            while not connection.gone:
                request = await connection.read_request(self._engine.config.keep_alive_s)
                if request is None:
                    break
                answer = await self._dispatch(request, connection)
                if answer is None:
                    break
                await connection.answer(answer, with_body=request.method != "HEAD")
                if not answer.sized or not request.keep_alive:
                    break
            await connection.close()
        except BadRequestError as error:
            await connection.answer(text_answer(error.status, str(error)))
            await connection.close()
        except ConnectionError:
            connection.abort()
        except asyncio.CancelledError:
            connection.abort()
            raise

    async def _dispatch(self, request: Request, connection: Connection) -> Answer | None:
        """Return the answer to a request; None when the connection is to be closed, answered or not."""
        engine = self._engine
        connection.drip_s = 0.0
        if request.path.startswith("/simulator/"):
            return control(engine, request, connection, self._set_fault, self._clear_faults)
        engine.requests.append((request.method, request.target))
        drip = engine.faults.use("drip-answers")
        connection.drip_s = drip.seconds if drip is not None else 0.0
        hung = engine.faults.find("hung")
        if hung is not None:
            await connection.pause(routes_start.FOREVER_S, lambda: hung.cleared)
            return None
        refusal = self._refusal(connection)
        if refusal is not None:
            return text_answer(403, "Forbidden", cors=False) if refusal == "403" else None
        if request.method not in METHODS:
            return text_answer(501, f"Unsupported method ({request.method[:20]})", cors=False)
        if request.path in ("/ace/getstream", "/ace/manifest.m3u8"):
            return await routes_start.start(engine, request, connection)
        for pattern, route in ROUTES:
            match = pattern.fullmatch(request.path)
            if match:
                return await route(engine, request, connection, *match.groups())
        return text_answer(404, "Not Found", cors=False)

    def _refusal(self, connection: Connection) -> str | None:
        """Return how a caller from afar is refused, None if it is not (engine-api §1, §15 rule 14)."""
        fault = self._engine.faults.use("remote-refused")
        if fault is not None:
            return fault.value
        with contextlib.suppress(ValueError):
            address = ipaddress.ip_address(connection.peer_host)
            if address.is_loopback or self._engine.config.allow_remote:
                return None
            if address.is_private and self._engine.config.allow_intranet:
                return None
        return self._engine.config.refusal

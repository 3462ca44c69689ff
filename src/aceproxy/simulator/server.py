"""The simulated engine as a server: listening, one task for each connection, shutdown."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import socket
from collections.abc import Awaitable
from types import TracebackType
from typing import Self

from aceproxy.simulator.config import SimulatorConfig
from aceproxy.simulator.contents import Content
from aceproxy.simulator.conversations import Conversations
from aceproxy.simulator.engine import Engine
from aceproxy.simulator.faults import ActiveFault, Fault
from aceproxy.simulator.http1 import HEAD_LIMIT_BYTES, Connection
from aceproxy.simulator.playbacks import Playback

logger = logging.getLogger(__name__)
SWEEP_S = 0.05
STOP_LIMIT_S = 1.5
BACKLOG = 1024
ACCEPT_TURNS = 3  # of the event loop: a connection is made, told of, and given up


class Simulator:
    """An AceStream engine over real HTTP, with its broadcast and its faults.

    Every method and property belongs to the event loop's thread. Use it as `async with Simulator(config) as simulator`
    or call `start` and `stop`. One object is started once.
    """

    def __init__(self, config: SimulatorConfig | None = None) -> None:
        """Build it stopped. Raises ValueError for contents that cannot be told apart."""
        self.config = config or SimulatorConfig()
        self._engine = Engine(self.config)
        self._conversations = Conversations(self._engine, self._set, self.clear_faults)
        self._listener: socket.socket | None = None
        self._server: asyncio.Server | None = None
        self._stopped = False
        self._port = self.config.port
        self._connections: dict[asyncio.Task[None], Connection] = {}
        self._tasks: set[asyncio.Task[None]] = set()

    # what is shown

    @property
    def port(self) -> int:
        """The port it listens on (0 before the start, if a free one was asked for)."""
        return self._port

    @property
    def url(self) -> str:
        """Its address, without a slash at the end."""
        host = f"[{self.config.host}]" if ":" in self.config.host else self.config.host
        return f"http://{host}:{self._port}"

    @property
    def contents(self) -> tuple[Content, ...]:
        """Everything it can play."""
        return self._engine.contents

    @property
    def playbacks(self) -> tuple[Playback, ...]:
        """A record of every playback ever started, oldest first (bounded: the last 2048)."""
        return self._engine.table.records()

    @property
    def active_playbacks(self) -> tuple[Playback, ...]:
        """The playbacks that were not stopped."""
        return tuple(session.record() for session in self._engine.table.active())

    @property
    def requests(self) -> list[tuple[str, str]]:
        """Method and target of the requests answered, oldest first, control routes left out (the last 4096)."""
        return list(self._engine.requests)

    @property
    def faults(self) -> tuple[Fault, ...]:
        """The faults set now."""
        return tuple(active.fault for active in self._engine.faults.all())

    @property
    def connection_count(self) -> int:
        """How many connections are open."""
        return len(self._connections)

    # start and stop

    async def start(self) -> None:
        """Load the clips and listen. Raises OSError when the port is taken."""
        await asyncio.to_thread(self._engine.open)
        listener = self._bind()
        await self._serve(listener)
        self._spawn(self._sweep())
        self._apply_down()

    async def stop(self) -> None:
        """Close everything within 2 s, readers or not. May be called twice."""
        self._stopped = True
        await self._accept_the_last()
        self._close_port()
        self._engine.table.end_all("shutdown", self._engine.now())
        tasks = {*self._tasks, *self._connections}
        for connection in self._connections.values():
            connection.abort()
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks, timeout=STOP_LIMIT_S)
        await asyncio.sleep(0)  # transports close their sockets in the next turn of the loop

    async def __aenter__(self) -> Self:
        """Start."""
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Stop."""
        await self.stop()

    # faults

    def set_fault(
        self, name: str, value: str | None = None, infohash: str | None = None, times: int | None = None
    ) -> None:
        """Set a fault from now on. Raises FaultError."""
        self._set(Fault(name, value, infohash, times))

    def clear_faults(self, name: str | None = None) -> None:
        """Take away the faults called `name`, or all.

        Raises FaultError for an unknown name, and OSError when `down` is over but the port was taken meanwhile.
        """
        self._engine.faults.clear(name)
        self._apply_down()

    def _set(self, fault: Fault) -> None:
        self._engine.faults.set(fault, self._engine.now())
        self._apply_down()

    def _apply_down(self) -> None:
        """Close or open the port, as the fault `down` wants it."""
        down = self._engine.faults.find("down")
        if down is None:
            if self._listener is None and not self._stopped:
                self._spawn(self._serve(self._bind()))
            return
        if self._listener is not None:
            self._refuse()
            self._engine.table.end_all("engine_down", self._engine.now())
            for connection in self._connections.values():
                connection.abort()
        if down.value != "inf":
            self._spawn(self._up_again(down))

    async def _up_again(self, down: ActiveFault) -> None:
        await asyncio.sleep(down.seconds)
        while not down.cleared:
            with contextlib.suppress(OSError):  # another socket holds the port for a moment
                self.clear_faults("down")
                return
            await asyncio.sleep(SWEEP_S)

    # listening

    def _bind(self) -> socket.socket:
        """Open the port; callers can connect from here on."""
        family = socket.AF_INET6 if ":" in self.config.host else socket.AF_INET
        listener = socket.create_server((self.config.host, self._port), family=family, backlog=BACKLOG)
        self._port = listener.getsockname()[1]
        self._listener = listener
        return listener

    async def _serve(self, listener: socket.socket) -> None:
        """Accept connections, unless the port was closed again before this could begin."""
        if self._listener is not listener:
            return
        server = await asyncio.start_server(self._accept, sock=listener, limit=HEAD_LIMIT_BYTES)
        if self._listener is listener:
            self._server = server
        else:
            server.close()

    async def _accept_the_last(self) -> None:
        """Accept no more, and let go of what is just being accepted: asyncio forgets it when the server is closed."""
        if self._server is not None:
            for listener in self._server.sockets:
                asyncio.get_running_loop().remove_reader(listener.fileno())
        for _ in range(2 * ACCEPT_TURNS):  # of a port that was closed a moment ago too
            await asyncio.sleep(0)

    def _refuse(self) -> None:
        """Close the port from this moment on; the server only once nothing is just being accepted."""
        server, listener = self._server, self._listener
        if server is None or listener is None:
            self._close_port()
            return
        self._server = self._listener = None
        asyncio.get_running_loop().remove_reader(listener.fileno())
        with contextlib.suppress(OSError):
            listener.shutdown(socket.SHUT_RDWR)
        self._spawn(_close_soon(server))

    def _close_port(self) -> None:
        if self._server is not None:
            self._server.close()
        elif self._listener is not None:
            self._listener.close()
        self._server = self._listener = None

    def _spawn(self, job: Awaitable[None]) -> None:
        task = asyncio.ensure_future(job)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    def _accept(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        connection = Connection(reader, writer)
        if self._stopped or self._listener is None or len(self._connections) >= self.config.max_connections:
            connection.abort()
            return
        task = asyncio.get_running_loop().create_task(self._conversations.hold(connection))
        self._connections[task] = connection
        task.add_done_callback(self._conversation_over)

    def _conversation_over(self, task: asyncio.Task[None]) -> None:
        self._connections.pop(task).abort()
        if not task.cancelled() and (error := task.exception()) is not None:
            logger.error("a connection ended by a mistake of the simulator", exc_info=error)

    async def _sweep(self) -> None:
        while True:
            self._engine.table.sweep(self._engine.now())
            await asyncio.sleep(SWEEP_S)


async def _close_soon(server: asyncio.Server) -> None:
    for _ in range(ACCEPT_TURNS):
        await asyncio.sleep(0)
    server.close()

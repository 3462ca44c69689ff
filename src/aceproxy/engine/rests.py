"""Rests between reads of one connection: what arrives meanwhile waits in the kernel and costs no wake-up.

Engines send in small pieces. A connection that rests is read again at a multiple of the rest, so that one wake-up of
the event loop serves all of them; and it is read then and there, without being registered with the selector for that.
"""

from __future__ import annotations

import asyncio
import logging
import math
import os
from collections.abc import Callable

log = logging.getLogger(__name__)


class Rests:
    """Makes a connection's reads rest. Belongs to the event loop.

    `protocol` is the connection's own. `resume` lets the transport go on reading where its owner wants that; `reset`
    hears that the connection failed.
    """

    def __init__(
        self,
        transport: asyncio.Transport,
        protocol: asyncio.BufferedProtocol,
        rest_s: float,
        resume: Callable[[], None],
        reset: Callable[[OSError], None],
    ) -> None:
        self._loop = asyncio.get_running_loop()
        self._transport = transport
        self._protocol = protocol
        self._rest_s = rest_s
        self._resume = resume
        self._reset = reset
        self._timer: asyncio.TimerHandle | None = None
        socket = transport.get_extra_info("socket")
        is_plain = socket is not None and transport.get_extra_info("sslcontext") is None
        self._descriptor = socket.fileno() if is_plain else -1

    def begin(self) -> None:
        """Read nothing until the next multiple of the rest, then read once."""
        self._transport.pause_reading()
        beat = math.floor(self._loop.time() / self._rest_s) + 1
        self._timer = self._loop.call_at(beat * self._rest_s, self._read)

    def end(self) -> None:
        """Rest no longer; who ends it sees to it that reading goes on."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _read(self) -> None:
        """Read what has come. The transport goes on where nothing has, or so much that more may be there at once."""
        self._timer = None
        if self._transport.is_closing():
            return
        count = 0
        try:
            if self._descriptor >= 0:
                count = os.readv(self._descriptor, [self._protocol.get_buffer(-1)])
            if count:
                self._protocol.buffer_updated(count)
        except (BlockingIOError, InterruptedError):
            pass  # a source that is silent is not asked again and again
        except OSError as error:
            self._reset(error)
            return
        except Exception:
            log.exception("reading a source failed")
            self._transport.abort()
            return
        if self._timer is None:
            self._resume()  # at the end of the connection as well: the transport deals with that

"""One run of ffmpeg that copies a broadcast's pictures and turns its sound into AAC.

ffmpeg reads from one end of a pair of sockets; the other end is an ordinary outlet of the ring, so the pump feeds it
like any player: it is never waited for, and skips to a join point when it is too slow. What it writes goes into an
intake. When this program goes, however that happens, ffmpeg reads the end of its input and ends as well.

A broadcast is hostile: ffmpeg gets nothing but its bytes, and may open nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import shutil
import socket
import time

from aceproxy.engine.media import ByteSink
from aceproxy.errors import AceProxyError, Reason
from aceproxy.logs import StreamLog
from aceproxy.streams.outlet import Outlet
from aceproxy.streams.pump import Pump
from aceproxy.streams.ring import Join, Ring

READ_BYTES = 64 << 10  # one read; asyncio holds at most four times as much
WORDS_READ_BYTES = 4 << 10
WORDS_LIMIT = 40  # lines of ffmpeg's that one run may write into the log
LINE_LIMIT = 300
AUDIO_BPS = 192_000


def find_ffmpeg() -> str | None:
    """Return the path of ffmpeg, None where it is not installed."""
    return shutil.which("ffmpeg")


def command() -> list[str]:
    """Return the call of ffmpeg, with low priority where that can be had. Raises NO_TRANSCODER without ffmpeg."""
    ffmpeg, nice = find_ffmpeg(), shutil.which("nice")
    if ffmpeg is None:
        raise AceProxyError(Reason.NO_TRANSCODER)
    return [
        *([nice, "-n", "5"] if nice is not None else []),
        *(ffmpeg, "-nostdin", "-hide_banner", "-nostats", "-loglevel", "error"),
        *("-protocol_whitelist", "pipe", "-copyts", "-analyzeduration", "2000000", "-f", "mpegts", "-i", "pipe:0"),
        *("-map", "0:v:0?", "-map", "0:a?", "-c:v", "copy", "-c:a", "aac", "-ac", "2", "-b:a", str(AUDIO_BPS)),
        *("-max_interleave_delta", "1000000", "-muxdelay", "0", "-muxpreload", "0", "-flush_packets", "1"),
        *("-mpegts_copyts", "1", "-f", "mpegts", "pipe:1"),
    ]


class Transcoder:
    """One process, from `begin` to the end of `task`, whose result says why it ended. Belongs to the event loop."""

    def __init__(self, ring: Ring, join: Join, pump: Pump, sink: ByteSink, log: StreamLog) -> None:
        """Prepare a run over `ring` from `join` on, into `sink`."""
        self.paused = False
        self.out_bytes = 0
        self.out_at = self.began_at = time.monotonic()
        self.pid: int | None = None
        self._ring = ring
        self._join = join
        self._pump = pump
        self._sink = sink
        self._log = log
        self._outlet: Outlet | None = None
        self._may_read = asyncio.Event()
        self._may_read.set()
        self.task: asyncio.Task[AceProxyError] | None = None

    @property
    def lag_bytes(self) -> int:
        """Bytes of the ring that ffmpeg has not taken yet."""
        return self._outlet.lag_bytes if self._outlet is not None else 0

    @property
    def has_parts(self) -> bool:
        """See `Pausable`."""
        return False

    def pause(self) -> None:
        """Read nothing until `resume`."""
        self.paused = True
        self._may_read.clear()

    def resume(self) -> None:
        """Go on reading."""
        self.paused = False
        self._may_read.set()

    def begin(self) -> asyncio.Task[AceProxyError]:
        """Start the run's task; it is ended by `close`."""
        self.task = asyncio.get_running_loop().create_task(self._run(), name="transcoder")
        return self.task

    def close(self) -> None:
        """End the run; waits for nothing. Idempotent."""
        if self.task is not None:
            self.task.cancel()

    async def settle(self) -> None:
        """Wait, after `close`, until the process is gone."""
        if self.task is not None:
            await asyncio.gather(self.task, return_exceptions=True)

    async def _run(self) -> AceProxyError:
        near, far = socket.socketpair()
        near.setblocking(False)
        try:
            try:
                process = await asyncio.create_subprocess_exec(
                    *command(), stdin=far.fileno(), stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.PIPE,
                    limit=2 * READ_BYTES,
                )  # fmt: skip
            finally:
                far.close()
        except AceProxyError as error:
            near.close()
            return error
        except OSError as error:
            near.close()
            return AceProxyError(Reason.TRANSCODER_FAILED, f"ffmpeg could not be started: {error.strerror}")
        except BaseException:
            near.close()
            raise
        self.pid = process.pid
        words = asyncio.ensure_future(self._log_words(process.stderr))
        try:
            self._feed(near)
            await self._read(process.stdout)
            return AceProxyError(Reason.TRANSCODER_FAILED, f"ffmpeg ended with status {await process.wait()}")
        except OSError as error:
            return AceProxyError(Reason.TRANSCODER_FAILED, error.strerror or "")
        finally:
            self._let_go(near)
            await _end(process, words)

    def _feed(self, near: socket.socket) -> None:
        """Let the pump write the ring into ffmpeg's input. Raises OSError when descriptors are out."""
        self._outlet = Outlet(self._ring, self._join, near, lambda _: self._fed(near))
        self._pump.add(self._outlet)

    def _fed(self, near: socket.socket) -> None:
        """Hear that nothing more will be written: ffmpeg gets the end of its input."""
        self._outlet = None
        near.close()

    def _let_go(self, near: socket.socket) -> None:
        if self._outlet is not None:
            self._pump.end(self._outlet, Reason.STOPPED)
        near.close()

    async def _read(self, out: asyncio.StreamReader | None) -> None:
        """Pass on what ffmpeg writes, to the end."""
        assert out is not None
        while chunk := await out.read(READ_BYTES):
            await self._may_read.wait()
            self.out_bytes += len(chunk)
            self.out_at = time.monotonic()
            part = memoryview(chunk)
            while part:
                room = self._sink.room()
                count = min(len(room), len(part))
                room[:count] = part[:count]
                self._sink.filled(count)
                part = part[count:]

    async def _log_words(self, err: asyncio.StreamReader | None) -> None:
        """Write what ffmpeg complains about into the log, as far as it is bearable; read it to the end in any case."""
        assert err is not None
        lines = 0
        while words := await err.read(WORDS_READ_BYTES):
            for line in words.decode(errors="replace").splitlines():
                text = "".join(char for char in line if char.isprintable())[:LINE_LIMIT]
                if text and lines < WORDS_LIMIT:
                    lines += 1
                    self._log.info("ffmpeg: %s", text)


async def _end(process: asyncio.subprocess.Process, words: asyncio.Future[None]) -> None:
    """Kill a process and wait until it is gone, also when the one who waits is cancelled meanwhile."""
    with contextlib.suppress(ProcessLookupError):
        process.kill()
    ending = asyncio.gather(_drain(process.stdout), words, process.wait(), return_exceptions=True)
    while not ending.done():
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.wait({ending})


async def _drain(out: asyncio.StreamReader | None) -> None:
    """Read what is left in a pipe: asyncio waits for its end."""
    while out is not None and await out.read(READ_BYTES):
        pass

"""Stills: the newest whole keyframe of a ring as a small JPEG, decoded by ffmpeg where that is installed.

Made only when somebody asks, one at a time, by a process of low priority in its own time limit. A broadcast is hostile:
ffmpeg gets nothing but the bytes, on its standard input, and may open nothing else.
"""

from __future__ import annotations

import asyncio
import contextlib
import logging
import shutil
import subprocess
import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from aceproxy.streams.block import Block
from aceproxy.streams.ring import Ring
from aceproxy.streams.stream import Stream

FRESH_S = 8.0  # a still is given out for so long before a new one is made
FAILED_S = 30.0  # so long nobody tries again where none could be made
MAKE_S = 4.0  # for one run of ffmpeg
WAITING_LIMIT = 30  # stills that may wait for their turn
KEPT_LIMIT = 200
MEDIA_LIMIT = 4 << 20  # bytes of media given to ffmpeg
MEDIA_LEAST = 64 << 10  # behind the newest keyframe, when nothing says yet that it is whole
PICTURE_LIMIT = 1 << 20  # bytes of a JPEG; a still has some ten thousand
HEIGHT = 270

log = logging.getLogger(__name__)


@dataclass(frozen=True, slots=True)
class Piece:
    """Where a keyframe lies: the tables before it, and the blocks that hold it, from offset `start` to `end`."""

    preamble: bytes
    blocks: tuple[Block, ...]
    start: int
    end: int

    def read(self) -> bytes:
        """Return the media. For any thread; the blocks are kept alive by being held."""
        parts = [self.preamble]
        for block in self.blocks:
            begin = max(self.start, block.start)
            if begin < min(self.end, block.end):
                parts.append(block.read(begin - block.start, min(self.end, block.end) - begin))
        return b"".join(parts)


@dataclass(slots=True)
class _Kept:
    """A still, or that there is none; `head`: the ring's head when it was made."""

    picture: bytes | None
    made_at: float
    head: int


def newest_keyframe(ring: Ring) -> Piece | None:
    """Return the newest keyframe that is whole: up to the next one, or with enough behind it. None where none is."""
    blocks = ring.blocks()
    points = [point for block in blocks for point in block.points]
    if not points:
        return None
    last = points[-1]
    if ring.head - last.offset >= MEDIA_LEAST or len(points) == 1:
        point, end = last, ring.head
    else:
        point, end = points[-2], last.offset
    end = min(end, point.offset + MEDIA_LIMIT)
    return Piece(point.preamble, blocks, point.offset, end) if end > point.offset else None


class StillMaker:
    """Makes stills and keeps the newest of each stream. Event loop only, but for its one thread."""

    def __init__(self, *, is_wanted: bool = True) -> None:
        self._kept: dict[str, _Kept] = {}
        self._making: dict[str, asyncio.Task[bytes | None]] = {}
        self._thread = ThreadPoolExecutor(max_workers=1, thread_name_prefix="stills")
        self._decoder = _Decoder() if is_wanted else None

    async def still(self, stream: Stream) -> bytes | None:
        """Return a still of the stream as JPEG, None where none is to be had. Cancel-safe: the still is made anyway."""
        kept = self._kept.get(stream.stream_id)
        if kept is not None and self._is_good(kept, stream):
            return kept.picture
        making = self._making.get(stream.stream_id)
        if making is None:
            if self._decoder is None or len(self._making) >= WAITING_LIMIT:
                return None if kept is None else kept.picture
            making = asyncio.create_task(self._make(stream), name="still")
            self._making[stream.stream_id] = making
        return await asyncio.shield(making)

    def close(self) -> None:
        """End what is being made."""
        for making in self._making.values():
            making.cancel()
        if self._decoder is not None:
            self._decoder.close()
        self._thread.shutdown(wait=False, cancel_futures=True)

    def _is_good(self, kept: _Kept, stream: Stream) -> bool:
        age_s = time.monotonic() - kept.made_at
        if kept.picture is None:
            return age_s < FAILED_S
        return age_s < FRESH_S or kept.head == stream.ring.head

    async def _make(self, stream: Stream) -> bytes | None:
        picture = None
        head = stream.ring.head
        piece = newest_keyframe(stream.ring)
        try:
            if piece is not None and self._decoder is not None:
                loop = asyncio.get_running_loop()
                picture = await loop.run_in_executor(self._thread, self._decoder.decode, piece)
        except (OSError, RuntimeError) as error:
            log.debug("no still of %s: %s", stream.stream_id, error)
        finally:
            del self._making[stream.stream_id]
        while len(self._kept) >= KEPT_LIMIT:
            del self._kept[next(iter(self._kept))]
        self._kept.pop(stream.stream_id, None)
        if piece is not None:  # where nothing has come yet, the next one who asks may have more luck
            self._kept[stream.stream_id] = _Kept(picture, time.monotonic(), head)
        return picture


class _Decoder:
    """Runs ffmpeg. `decode` belongs to one thread, `close` to any."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._closed = False

    def decode(self, piece: Piece) -> bytes | None:
        """Return the picture at the start of a piece as JPEG, None where ffmpeg is not there or makes none."""
        command = _command()
        if command is None:
            return None
        with self._lock:
            if self._closed:
                return None
            pipe = subprocess.PIPE
            self._process = subprocess.Popen(command, stdin=pipe, stdout=pipe, stderr=subprocess.DEVNULL)  # noqa: S603 - no outside text in it
        with self._process as process:
            try:
                picture, _ = process.communicate(piece.read(), timeout=MAKE_S)
            except subprocess.TimeoutExpired:
                picture = b""
            finally:
                with self._lock:
                    self._process = None
                    process.kill()  # does nothing to one that has ended
        return picture if picture.startswith(b"\xff\xd8") and len(picture) <= PICTURE_LIMIT else None

    def close(self) -> None:
        """End the run that is under way, and refuse others."""
        with self._lock:
            self._closed = True
            if self._process is not None:
                with contextlib.suppress(OSError):
                    self._process.kill()


def _command() -> list[str] | None:
    """Return the call of ffmpeg, with low priority where that can be had; None where ffmpeg is not installed."""
    ffmpeg, nice = shutil.which("ffmpeg"), shutil.which("nice")
    if ffmpeg is None:
        return None
    return [
        *([nice, "-n", "10"] if nice is not None else []),
        *(ffmpeg, "-nostdin", "-hide_banner", "-loglevel", "quiet", "-threads", "1"),
        *("-protocol_whitelist", "pipe", "-f", "mpegts", "-i", "pipe:0"),
        *("-map", "0:v:0", "-frames:v", "1"),
        *("-vf", f"scale=w=trunc({HEIGHT}*dar/2)*2:h={HEIGHT},setsar=1,format=yuvj420p"),
        *("-c:v", "mjpeg", "-q:v", "6", "-f", "image2pipe", "pipe:1"),
    ]

"""A source that is a list: its segments are fetched one after another and given to the sink as one transport stream.

For broadcasts that an engine gives only as HLS (encrypted ones, engine-api §3.2), and for those whose start an engine
answers with a redirect to an origin (§3.4). The face is that of `media.MediaReader`.
"""

from __future__ import annotations

import asyncio
import logging
from contextlib import aclosing

from aceproxy.engine.body import ByteSink, MediaEnd, NotYet
from aceproxy.engine.fetching import Fetcher, FetchError
from aceproxy.engine.playlist import MediaList, PlaylistError, Segment, parse_playlist
from aceproxy.engine.rests import Beats
from aceproxy.errors import AceProxyError, Reason

START_SEGMENTS = 3  # behind the live edge, as RFC 8216 §6.3.3 wants it
LIST_LIMIT_BYTES = 512 << 10
SEGMENT_LIMIT_BYTES = 64 << 20
LIST_TIMEOUT_S = 15.0  # an engine's list request waits until enough is there (engine-api §4.2)
SEGMENT_TIMEOUT_S = 60.0
FAILURES_LIMIT = 5  # lists in a row that could not be had
FAILURE_WAIT_S = 1.0
VARIANT_HOPS = 2
COVER = 1.5  # target durations from one segment's end to the next one's: it has to be made, listed and asked for
COVER_LIMIT_S = 30.0  # whatever the list says of its target duration

log = logging.getLogger(__name__)


class ListReader:
    """Reads a list until it ends or fails, into `sink`. Made by `open_list`; the owner must `close` it."""

    def __init__(self, fetcher: Fetcher, url: str, first: MediaList, sink: ByteSink) -> None:
        """Begin to fetch segments, the last START_SEGMENTS of the `first` list (all of a complete one)."""
        self.url = url
        self.received_bytes = 0
        self.detail = ""
        self.started = asyncio.Event()  # the first bytes are in the sink
        self._fetcher = fetcher
        self._list = first
        self._sink = sink
        self._loop = asyncio.get_running_loop()
        self._last_byte_at = self._loop.time()
        self._going = asyncio.Event()
        self._going.set()
        self._ended: asyncio.Future[MediaEnd] = self._loop.create_future()
        segments = first.segments
        begin = segments if first.is_complete else segments[-START_SEGMENTS:]
        self._next = begin[0].sequence if begin else 0
        self._task = self._loop.create_task(self._run(), name="read list")

    @property
    def last_byte_at(self) -> float:
        """The event loop's time when the last bytes arrived; now, until the next segment is overdue."""
        cover_s = min(COVER * self._list.target_s, COVER_LIMIT_S)
        return min(self._loop.time(), self._last_byte_at + cover_s)

    async def wait_ended(self) -> MediaEnd:
        """Wait until nothing more will come. Cancel-safe."""
        return await asyncio.shield(self._ended)

    def pause(self) -> None:
        """Take nothing more from the network until `resume`."""
        self._going.clear()

    def resume(self) -> None:
        """Go on after `pause`; the time in between does not count as silence."""
        self._last_byte_at = self._loop.time()
        self._going.set()

    def rest_between_reads(self, rest_s: float, below_bytes: int, beats: Beats) -> None:
        """Of no effect: segments come in large pieces anyway."""

    def close(self) -> None:
        """Stop at once; the sink is not called any more. May be called again."""
        self._task.cancel()
        self._end(MediaEnd.CLOSED, "closed")

    async def _run(self) -> None:
        try:
            await self._follow()
        except asyncio.CancelledError:
            self._end(MediaEnd.CLOSED, "closed")
            raise
        except (FetchError, PlaylistError, AceProxyError) as error:
            self._end(MediaEnd.BROKEN, str(error)[:200])
        except OSError as error:  # the sink has no memory
            self._end(MediaEnd.BROKEN, f"the media cannot be kept: {error.strerror}")
        except Exception:
            log.exception("reading a list failed")
            self._end(MediaEnd.BROKEN, "a mistake in reading the list")

    async def _follow(self) -> None:
        """Take what is new, ask for the list again, and so on."""
        while True:
            asked_at = self._loop.time()
            before = self._next
            for segment in self._fresh():
                await self._take(segment)
            if self._list.is_complete:
                self._end(MediaEnd.EOF, "the list is complete")
                return
            wait_s = self._list.target_s / (2 if self._next > before else 4)
            await asyncio.sleep(max(0.0, asked_at + wait_s - self._loop.time()))
            self._list = await self._reload()

    def _fresh(self) -> tuple[Segment, ...]:
        """The segments that were not taken yet. A list that began anew is taken from its end."""
        segments = self._list.segments
        if segments and segments[-1].sequence + 1 < self._next:
            log.info("a list began anew at segment %d", segments[0].sequence)
            self._next = segments[-START_SEGMENTS:][0].sequence
        return tuple(one for one in segments if one.sequence >= self._next)

    async def _take(self, segment: Segment) -> None:
        """Give one segment to the sink; one that cannot be had is left out."""
        await self._going.wait()
        self._next = segment.sequence + 1
        try:
            async with aclosing(self._fetcher.chunks(segment.url, SEGMENT_LIMIT_BYTES, SEGMENT_TIMEOUT_S)) as chunks:
                async for chunk in chunks:
                    self._give(memoryview(chunk))
                    await self._going.wait()
        except FetchError as error:
            log.info("segment %d could not be had: %s", segment.sequence, error)

    def _give(self, chunk: memoryview) -> None:
        self._last_byte_at = self._loop.time()
        self.received_bytes += len(chunk)
        while chunk and not self._ended.done():
            room = self._sink.room()
            count = min(len(room), len(chunk))
            room[:count] = chunk[:count]
            self._sink.filled(count)
            chunk = chunk[count:]
        self.started.set()

    async def _reload(self) -> MediaList:
        """Ask for the list again; failures are borne for a while. Raises FetchError, PlaylistError, AceProxyError."""
        for failures in range(1, FAILURES_LIMIT + 1):
            try:
                text, _ = await self._fetcher.text(self.url, LIST_LIMIT_BYTES, LIST_TIMEOUT_S)
                found = parse_playlist(text, self.url)
            except (FetchError, PlaylistError) as error:
                is_final = isinstance(error, FetchError) and error.status == 403
                if is_final or failures == FAILURES_LIMIT:
                    raise
                await asyncio.sleep(FAILURE_WAIT_S * failures)
                continue
            if isinstance(found, MediaList):
                return found
            raise PlaylistError("the list has become a master list")
        raise AssertionError("the last failure is raised")

    def _end(self, how: MediaEnd, detail: str) -> None:
        if not self._ended.done():
            self.detail = detail
            self._ended.set_result(how)
        self.started.set()


async def open_list(fetcher: Fetcher, url: str, sink: ByteSink, *, deadline_at: float) -> ListReader:
    """Fetch a list and return its reader when the first bytes of a segment are in the sink.

    Of a master list the best variant is taken. Raises NotYet where a later try may succeed, the deadline included;
    AceProxyError with SESSION_LOST, ENCRYPTED (its segments are), NOT_MPEGTS (no list, or other segments), or what
    `fetcher` says of an address that is not allowed. Cancel-safe.
    """
    loop = asyncio.get_running_loop()
    for _ in range(VARIANT_HOPS + 1):
        try:
            timeout_s = max(0.1, min(LIST_TIMEOUT_S, deadline_at - loop.time()))
            text, url = await fetcher.text(url, LIST_LIMIT_BYTES, timeout_s)
            found = parse_playlist(text, url)
        except FetchError as error:
            if error.status == 403:
                raise AceProxyError(Reason.SESSION_LOST, f"list: {error}") from error
            raise NotYet(Reason.START_TIMEOUT, f"list: {error}") from error
        except PlaylistError as error:
            reason = Reason.ENCRYPTED if error.encrypted else Reason.NOT_MPEGTS
            raise AceProxyError(reason, str(error)) from error
        if isinstance(found, MediaList):
            break
        url = found[0].url
    else:
        raise AceProxyError(Reason.NOT_MPEGTS, "lists of lists of lists")
    if not found.segments:
        raise NotYet(Reason.NO_DATA, "a list without segments")
    reader = ListReader(fetcher, url, found, sink)
    try:
        async with asyncio.timeout_at(deadline_at):
            await reader.started.wait()
    except TimeoutError:
        reader.close()
        raise NotYet(Reason.NO_DATA, "a list, but no segment until the deadline") from None
    except BaseException:
        reader.close()
        raise
    if not reader.received_bytes:
        reader.close()
        raise NotYet(Reason.NO_DATA, reader.detail or "no segment could be had")
    return reader

"""The hub: which streams there are. Finding or creating one never waits, so it needs no lock."""

from __future__ import annotations

import asyncio
import logging
import time
from collections import deque
from collections.abc import Callable, Mapping, Sequence

from aceproxy.engine.links import Link, LinkKind, StreamKey
from aceproxy.errors import REASONS, AceProxyError, Reason
from aceproxy.streams.begun import drop
from aceproxy.streams.client import Client, Place, Visitor
from aceproxy.streams.counters import Counters, ended_stream
from aceproxy.streams.derived import DerivedStream, variant_id
from aceproxy.streams.link_memory import LinkMemory
from aceproxy.streams.owner import MetAnother, MetRecording
from aceproxy.streams.past import PastTimelines, TimelineOf, timeline_of
from aceproxy.streams.places import Places
from aceproxy.streams.pump import Pump
from aceproxy.streams.snapshot import EndedStream
from aceproxy.streams.source import Upstream
from aceproxy.streams.states import State
from aceproxy.streams.stream import Stream
from aceproxy.streams.timeline import Event
from aceproxy.ticks import tick

log = logging.getLogger(__name__)

ENDED_STREAMS = 50  # streams remembered after their end
SAMPLE_S = 1.0  # between two measurements of rates


class Hub:
    """Keeps the streams by all names they are known by. Used on the event loop only; nothing but `close` waits."""

    def __init__(self, upstream: Upstream, pump: Pump) -> None:
        self.counters = Counters()
        self.version = 0  # grows whenever a stream or client comes, changes its state or goes
        self.ended: deque[EndedStream] = deque(maxlen=ENDED_STREAMS)
        self.timelines = PastTimelines()
        self.on_settled: list[Callable[[Stream], None]] = []  # called with every stream that is over, clients and all
        self.make_way_elsewhere: Callable[[], bool] = lambda: False  # frees a slot that no stream holds
        self.take_recording: Callable[[Link, MetRecording], None] = lambda _, met: drop(met, upstream.stopper)
        self._upstream = upstream
        self._settings = upstream.settings
        self._pump = pump
        self.places = Places(upstream.settings)
        self._streams: dict[str, Stream] = {}  # by stream_id
        self._by_key: dict[str, Stream] = {}  # by every alias
        self._memory = LinkMemory(upstream.settings)
        self._tasks: set[asyncio.Task[None]] = set()
        self._closing = False

    @property
    def streams(self) -> list[Stream]:
        """The streams that are not closed, oldest first."""
        return list(self._streams.values())

    @property
    def client_count(self) -> int:
        """Clients of all streams."""
        return sum(len(stream.clients) for stream in self._streams.values())

    def find(self, link: Link) -> Stream | None:
        """Return the running stream of a link, by any of its names, or the one that plays it as a fallback."""
        stream = self._by_key.get(link.key)
        if stream is None and (infohash := self._memory.infohash(link)):
            stream = self._by_key.get(_infohash_key(infohash, link.index))
        if stream is None:
            # People give infohashes as ids; 40 equal digits never name two broadcasts.
            stream = self._streams.get(link.stream_id)
        return stream or self._find_fallback(link)

    def find_by_id(self, stream_id: str) -> Stream | None:
        """Return the running stream with this id, stream key or other name."""
        name = stream_id.lower()
        found = self._streams.get(name) or self._by_key.get(stream_id) or self._by_key.get(name)
        return found or self._by_key.get(f"content_id:{name}") or self._by_key.get(f"infohash:{name}")

    def find_timeline(self, name: str) -> TimelineOf | None:
        """Return the time line of the running stream with this name, or of the last one that had it."""
        stream = self.find_by_id(name)
        return timeline_of(stream) if stream is not None else self.timelines.find(name)

    def find_or_start(self, link: Link, params: Mapping[str, str], fallbacks: Sequence[Link] = ()) -> Stream:
        """Return the stream of a link, started if it is not running. The caller then waits for `ready`.

        `fallbacks`: further links of the same broadcast, best first. A stream that runs already learns them as well.
        One that plays the link as a fallback is as good: an engine would have to play it twice otherwise.

        Raises AceProxyError at once if the link failed just now, there are too many clients or the program is leaving.
        """
        if self._closing:
            raise AceProxyError(Reason.SHUTDOWN)
        self.check_room()
        stream = self.find(link)
        if stream is not None:
            stream.supply.add_links(fallbacks)
            return stream
        links = [link, *fallbacks]
        self._memory.refuse_if_all_failed(links)
        return self._begin(Stream(links, params, self._upstream, self._pump, self))

    def derive(self, parent: Stream) -> Stream:
        """Return the stream with the pictures of `parent`, which is live, and its sound as AAC; started if need be.

        Raises AceProxyError if there are too many of that kind or the program is leaving.
        """
        if self._closing:
            raise AceProxyError(Reason.SHUTDOWN)
        known = self._streams.get(variant_id(parent))
        if known is not None:
            return known
        others = [stream for stream in self._streams.values() if isinstance(stream, DerivedStream)]
        if len(others) >= self._settings.max_transcoders:
            idle = [stream for stream in self._idle_streams() if stream in others]
            if not idle:
                raise AceProxyError(Reason.TRANSCODERS_BUSY, f"{self._settings.max_transcoders}")
            idle[0].close(Reason.GAVE_WAY)
        return self._begin(DerivedStream(parent, self._upstream, self._pump, self))

    def _begin(self, stream: Stream) -> Stream:
        self._streams[stream.stream_id] = stream
        self._by_key[stream.key] = stream
        self.counters.streams_started += 1
        self.changed()
        task = stream.begin()
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)
        return stream

    async def sample_rates(self) -> None:
        """Measure the rates of streams and clients once a second, for ever. Cancel-safe."""
        last_at = time.monotonic()
        while True:
            await tick(SAMPLE_S)
            now = time.monotonic()
            self._sample(now - last_at)
            last_at = now

    def _sample(self, elapsed_s: float) -> None:
        """Measure once. A method of its own, or the last stream would be held until there is another one."""
        for stream in self.streams:
            try:
                stream.sample(elapsed_s)
            except Exception:
                stream.log.exception("measuring failed")

    async def close(self) -> None:
        """End all streams; returns when their tasks are over. Playbacks are stopped by the stopper."""
        self._closing = True
        for stream in self.streams:
            stream.close(Reason.SHUTDOWN)
        if self._tasks:
            await asyncio.wait(set(self._tasks))

    # --- StreamOwner ---

    def changed(self) -> None:
        """A stream has another state, or a client came or went."""
        self.version += 1

    def check_room(self) -> None:
        """Raise TOO_MANY_CLIENTS if there can be no further client."""
        if self.client_count >= self._settings.max_clients:
            raise AceProxyError(Reason.TOO_MANY_CLIENTS, f"{self._settings.max_clients}")

    def admit(self, stream: Stream, visitor: Visitor) -> Place:
        """Give a visitor a place; a stream that was started for nobody else is given up if there is none for it."""
        try:
            return self.places.take(visitor, stream.stream_id)
        except AceProxyError:
            if stream.state is State.STARTING and not (stream.waiting or stream.holder_count):
                stream.close(Reason.GAVE_WAY)
            raise

    def end_ticket(self, ticket_id: str, reason: Reason) -> int:
        """End all clients with a token; returns how many. Who waits for a start with it is ended when it begins."""
        ended = 0
        self.places.revoke(ticket_id)
        for stream in self.streams:
            for client in list(stream.clients.values()):
                if client.ticket is not None and client.ticket.ticket_id == ticket_id:
                    stream.end_client(client, reason)
                    ended += 1
        return ended

    def might_be_running(self, stream: Stream) -> bool:
        """Whether the broadcast may already run under a name of another kind, so that asking first is worth it."""
        kind = stream.link.kind
        if kind is LinkKind.INFOHASH or self._memory.infohash(stream.link):
            return False
        return any(
            other is not stream and other.infohash and not any(alias.startswith(f"{kind}:") for alias in other.aliases)
            for other in self._streams.values()
        )

    def find_infohash(self, infohash: str) -> Stream | None:
        """Return the running stream of an infohash."""
        return self._by_key.get(_infohash_key(infohash, 0))

    def infohash_known(self, stream: Stream, infohash: str) -> None:
        """Learn the infohash of a stream; if that broadcast is running already, send the newcomers there."""
        if self._streams.get(stream.stream_id) is not stream:
            return  # it was closed while the engine answered
        self._memory.learn_infohash(stream.aliases, infohash)
        own_key = _infohash_key(infohash, stream.link.index)
        other = self._by_key.get(own_key)
        playing = self._find_fallback(Link(LinkKind.INFOHASH, infohash, stream.link.index))
        if other is None and playing is not None and playing is not stream:
            raise MetAnother(playing)
        if other is not None and other is not stream:
            other.aliases |= stream.aliases
            for alias in stream.aliases:
                self._by_key[alias] = other
            raise MetAnother(other)
        stream.aliases.add(own_key)
        self._by_key[own_key] = stream

    def met_recording(self, stream: Stream, met: MetRecording) -> None:
        """Pass on what a stream that turned out to be a recording has begun."""
        self.take_recording(stream.link, met)

    def make_way(self, asking: Stream | None) -> bool:
        """Close the stream that has been without clients for the longest; False if all others have some.

        `asking` is who needs the place, None if it is no stream.
        """
        idle = [stream for stream in self._idle_streams() if stream is not asking]
        if not idle:
            return asking is not None and self.make_way_elsewhere()
        idle[0].close(Reason.GAVE_WAY)
        return True

    def became_idle(self, stream: Stream) -> None:
        """Keep the number of streams without clients in bounds."""
        idle = self._idle_streams()
        for surplus in idle[: max(0, len(idle) - self._settings.max_lingering)]:
            surplus.close(Reason.GAVE_WAY)

    def client_ended(self, stream: Stream, client: Client, reason: Reason) -> None:
        """Count a client that is gone."""
        self.counters.add_client(client, reason)
        stream.log.info(
            "client %s (%s) ended: %s after %d bytes, %d skips",
            client.client_id,
            client.address,
            reason,
            client.sent_bytes,
            client.skips,
        )

    def noted(self, stream: Stream, event: Event) -> None:
        """Pass on what was added to a time line."""
        self.timelines.tell(stream.stream_id, event)

    def closed(self, stream: Stream, reason: Reason, detail: str) -> None:
        """Forget a stream that is over, and remember why."""
        self._streams.pop(stream.stream_id, None)
        self.timelines.keep(timeline_of(stream))
        for key in [key for key, value in self._by_key.items() if value is stream]:
            del self._by_key[key]
        self.counters.add_stream(stream, reason)
        error = AceProxyError(reason, detail)
        self._memory.note_failure(stream.link, error)
        self.changed()
        is_ordinary = REASONS[reason].fault == "none" or reason is Reason.SHUTDOWN
        level = logging.INFO if is_ordinary else logging.WARNING
        stream.log.log(level, "closed: %s", error)
        self.ended.appendleft(ended_stream(stream, error))

    def settled(self, stream: Stream) -> None:
        """Tell those who remember streams."""
        for remember in self.on_settled:
            remember(stream)

    # --- own ---

    def _idle_streams(self) -> list[Stream]:
        """Streams without clients, the one that has been so for the longest first."""
        idle = [(stream.life.idle_at, stream) for stream in self._streams.values() if stream.life.idle_at is not None]
        return [stream for _, stream in sorted(idle, key=lambda pair: pair[0])]

    def _find_fallback(self, link: Link) -> Stream | None:
        """Return the stream of another link that plays this one now, for its own was lost."""
        infohash = link.digest if link.kind is LinkKind.INFOHASH else self._memory.infohash(link)
        return next((stream for stream in self._streams.values() if stream.plays_as_fallback(link, infohash)), None)


def _infohash_key(infohash: str, index: int) -> StreamKey:
    return Link(LinkKind.INFOHASH, infohash, index).key

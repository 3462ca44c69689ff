"""All recordings that are being watched, and what is known of those that were. Belongs to the event loop."""

from __future__ import annotations

import asyncio
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
from dataclasses import dataclass

from aceproxy.engine.links import Link, LinkKind
from aceproxy.engine.opened import KeptPlayback
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.begun import BegunPlaybacks, drop
from aceproxy.streams.client import Visitor
from aceproxy.streams.hub import Hub
from aceproxy.streams.recording import NotARecording, Reading, Recording
from aceproxy.streams.source import Upstream
from aceproxy.streams.spans import Facts, Span

KNOWN_LIMIT = 1000  # recordings whose facts are remembered
PER_VIEWER = 4  # playbacks of one recording that one viewer may have; players rarely need two
HANDOVER_S = 0.3  # how long a request waits for the one it probably replaces
HANDOVER_POLL_S = 0.02


@dataclass(frozen=True, slots=True)
class Viewer:
    """Who watches a recording: `name` is what the requests of one player have in common."""

    name: str
    visitor: Visitor


class Recordings:
    """Keeps a playback for each viewer of a recording."""

    def __init__(self, upstream: Upstream, hub: Hub) -> None:
        self._upstream = upstream
        self._hub = hub
        self.on_end: list[Callable[[Recording, Reason], None]] = []  # called with every playback that is about to end
        self._known: OrderedDict[str, Facts] = OrderedDict()  # by link key
        self._of_viewer: dict[tuple[str, str], list[Recording]] = {}
        self._timer: asyncio.TimerHandle | None = None
        self._begun = BegunPlaybacks(upstream.stopper)
        hub.take_recording = self.adopt

    @property
    def all(self) -> list[Recording]:
        """All playbacks of recordings."""
        return [recording for recordings in self._of_viewer.values() for recording in recordings]

    def facts(self, link: Link) -> Facts | None:
        """Return what is known of a link if it is known to be a recording."""
        return self._known.get(link.key)

    def learn(self, link: Link, facts: Facts) -> None:
        """Remember that a link is a recording."""
        for key in (link.key, *([Link(LinkKind.INFOHASH, facts.infohash, link.index).key] if facts.infohash else [])):
            self._known[key] = facts
            self._known.move_to_end(key)
        while len(self._known) > KNOWN_LIMIT:
            self._known.popitem(last=False)

    def adopt(self, link: Link, met: KeptPlayback) -> None:
        """Learn that `link` is a recording from the playback that was begun of it, and keep that for its viewer."""
        playback = met.playback
        self.learn(link, Facts(playback.infohash))
        is_own = playback.key in (link.key, Link(LinkKind.INFOHASH, link.value, link.index).key)
        if is_own and met.slot is not None and not playback.is_encrypted and not playback.is_list:
            self._begun.keep(link, met)
        else:
            drop(met, self._upstream.stopper)

    def of_viewer(self, viewer_name: str, link: Link) -> list[Recording]:
        """Return the playbacks that a viewer has of a recording."""
        return list(self._of_viewer.get((viewer_name, link.key), ()))

    async def open(self, viewer: Viewer, link: Link, params: Mapping[str, str], span: Span) -> Reading:
        """Open a part of a recording for a viewer, on the playback it has, or a new one.

        Raises AceProxyError, RangeRefusedError, NotARecording. Cancel-safe; the caller must `give_back` the reading.
        """
        self._hub.check_room()
        facts = self.facts(link)
        span.settled(facts.size_bytes if facts is not None else None)  # no engine is needed to refuse
        recording = await self._take(viewer, link, params)
        if facts is not None and recording.facts.size_bytes is None:
            recording.facts = facts
        try:
            reading = await recording.open(span)
        except NotARecording:
            self._known.pop(link.key, None)
            self._end(viewer.name, recording, None)
            raise
        except BaseException as error:
            recording.is_opening = False
            recording.idle_at = time.monotonic()
            if recording.engine_url is None:
                failed = error.reason if isinstance(error, AceProxyError) else Reason.CLIENT_LEFT
                self._end(viewer.name, recording, failed)
            self._watch()
            raise
        self.learn(link, recording.facts)
        self._hub.counters.clients_served += 1
        return reading

    def give_back(self, reading: Reading) -> None:
        """Take a reading back: the playback waits a while for the viewer's next request."""
        reading.close()
        sent = (reading.recording.position or reading.first) - reading.first
        self._hub.counters.inbound_bytes += sent
        self._hub.counters.outbound_bytes += sent
        self._watch()

    def end(self, recording_id: str) -> bool:
        """End a viewer's playback at once; False if there is none of that id."""
        for (name, _), recordings in list(self._of_viewer.items()):
            for recording in recordings:
                if recording.recording_id == recording_id:
                    self._end(name, recording, Reason.STOPPED)
                    return True
        return False

    def end_viewer(self, viewer_name: str, link: Link) -> None:
        """End what a viewer has of a recording."""
        for recording in self.of_viewer(viewer_name, link):
            self._end(viewer_name, recording, Reason.CLIENT_LEFT)

    def end_ticket(self, ticket_id: str) -> int:
        """End what plays with a player's token; returns how many playbacks that were."""
        ended = 0
        for (name, _), recordings in list(self._of_viewer.items()):
            for recording in list(recordings):
                if recording.visitor.ticket is not None and recording.visitor.ticket.ticket_id == ticket_id:
                    self._end(name, recording, Reason.TOKEN_REVOKED)
                    ended += 1
        return ended

    def make_way(self) -> bool:
        """End the playback that has been without a reader for longest; False if all are being read."""
        idle = [
            (recording.idle_at, name, recording)
            for (name, _), recordings in self._of_viewer.items()
            for recording in recordings
            if recording.reading is None and recording.engine_url is not None and not recording.is_opening
        ]
        if not idle:
            return self._begun.make_way()
        _, name, recording = min(idle, key=lambda one: one[0])
        self._end(name, recording, Reason.GAVE_WAY)
        return True

    def close(self) -> None:
        """End everything; the playbacks are stopped in the background."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        self._begun.close()
        for (name, _), recordings in list(self._of_viewer.items()):
            for recording in list(recordings):
                self._end(name, recording, Reason.SHUTDOWN)

    async def _take(self, viewer: Viewer, link: Link, params: Mapping[str, str]) -> Recording:
        """Return a playback of the viewer that nobody reads, and mark it as being opened."""
        place = (viewer.name, link.key)
        loop = asyncio.get_running_loop()
        limit_at = loop.time() + HANDOVER_S
        while True:
            own = self._of_viewer.get(place, [])
            free = next((one for one in own if one.reading is None and not one.is_opening), None)
            if free is not None:
                free.is_opening = True
                return free
            if not own or loop.time() >= limit_at:
                break
            await asyncio.sleep(HANDOVER_POLL_S)  # a player that seeks closes its last request about now
        if len(own) >= PER_VIEWER:
            raise AceProxyError(Reason.TOO_MANY_CLIENTS, f"{PER_VIEWER} requests of one player for one recording")
        taken = self._hub.places.take(viewer.visitor, link.stream_id)
        recording = Recording(self._upstream, link, params, viewer.visitor, self._make_way_for_recording)
        recording.place = taken
        if (begun := self._begun.take(link)) is not None:
            recording.adopt(begun)
        recording.is_opening = True
        self._of_viewer.setdefault(place, []).append(recording)
        return recording

    def _make_way_for_recording(self) -> bool:
        return self.make_way() or self._hub.make_way(None)

    def _end(self, name: str, recording: Recording, reason: Reason | None) -> None:
        """End a playback; without a reason it was none of a recording, and nobody needs to hear of it."""
        if reason is not None and not recording.closed:
            for hear in self.on_end:
                hear(recording, reason)
        recording.close()
        if recording.place is not None:
            recording.place.leave()
        own = self._of_viewer.get((name, recording.link.key), [])
        if recording in own:
            own.remove(recording)
        if not own:
            self._of_viewer.pop((name, recording.link.key), None)

    def _watch(self) -> None:
        """End the playbacks whose viewer did not come back; look again when the next one is due."""
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
        linger_s = self._upstream.settings.recording_linger_s
        now = time.monotonic()
        left_s: list[float] = []
        for (name, _), recordings in list(self._of_viewer.items()):
            for recording in list(recordings):
                if recording.reading is not None or recording.is_opening:
                    continue
                left = recording.idle_at + linger_s - now
                if left <= 0:
                    self._end(name, recording, Reason.LINGER_OVER)
                else:
                    left_s.append(left)
        if left_s:
            self._timer = asyncio.get_running_loop().call_later(min(left_s) + 0.01, self._watch)

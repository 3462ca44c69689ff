"""Whom a stream belongs to, who holds it, and where it sends those who came to the wrong place."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aceproxy.engine.links import Link
from aceproxy.engine.opened import KeptPlayback
from aceproxy.errors import Reason
from aceproxy.streams.client import Client, Place, Visitor
from aceproxy.streams.timeline import Event

if TYPE_CHECKING:
    from aceproxy.streams.stream import Stream


class StreamOwner(Protocol):
    """Who keeps the streams, as a stream sees it. Nothing here waits."""

    def changed(self) -> None:
        """A stream has another state, or a client came or went."""

    def check_room(self) -> None:
        """Raise TOO_MANY_CLIENTS if there can be no further client."""

    def admit(self, stream: Stream, visitor: Visitor) -> Place:
        """Give a visitor a place. Raises TOO_MANY_FOR_ADDRESS, TOO_MANY_FOR_TOKEN or TOO_MANY_CLIENTS."""

    def might_be_running(self, stream: Stream) -> bool:
        """Whether the broadcast may already run under another kind of name."""

    def find_infohash(self, infohash: str) -> Stream | None:
        """Return the running stream of an infohash."""

    def find(self, link: Link) -> Stream | None:
        """Return the running stream of a link, by any of its names."""

    def infohash_known(self, stream: Stream, infohash: str) -> None:
        """The engine has told the broadcast's infohash. May raise MetAnother."""

    def met_recording(self, stream: Stream, met: MetRecording) -> None:
        """What was started turned out to be a recording; its playback and slot are the owner's from now on."""

    def make_way(self, asking: Stream) -> bool:
        """Free a playback that nobody watches for `asking`; False if there is none."""

    def became_idle(self, stream: Stream) -> None:
        """The last client left."""

    def client_ended(self, stream: Stream, client: Client, reason: Reason) -> None:
        """A client is gone."""

    def noted(self, stream: Stream, event: Event) -> None:
        """Something was added to the stream's time line."""

    def closed(self, stream: Stream, reason: Reason, detail: str) -> None:
        """The stream is over; clients may still be ending."""

    def settled(self, stream: Stream) -> None:
        """The stream is over and its last client is gone."""


class Holder(Protocol):
    """Who keeps a stream alive without playing it, as a stream sees it."""

    def stream_closed(self, reason: Reason, detail: str) -> None:
        """The stream is over. Must not wait."""


class MetAnother(Exception):  # noqa: N818 - not an error: two links turned out to name one broadcast
    """The broadcast is already running as `stream`: go there."""

    def __init__(self, stream: Stream) -> None:
        super().__init__(stream.stream_id)
        self.stream = stream


class PlaysElsewhere(MetAnother):
    """A fallback link is already playing as `stream`; the one that met it has clients and stays apart: read it."""


class MetRecording(KeptPlayback):
    """The engine says that this is a recording: each viewer plays it apart, the first one on this very playback."""

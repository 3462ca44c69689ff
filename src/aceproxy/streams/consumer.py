"""Whom a supply works for."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

from aceproxy.engine.api import Playback
from aceproxy.engine.links import Link

if TYPE_CHECKING:
    from aceproxy.streams.stream import Stream


class Consumer(Protocol):
    """The stream, as its supply sees it. Nothing here waits."""

    infohash: str | None

    @property
    def client_count(self) -> int:
        """How many watch."""

    @property
    def has_clients(self) -> bool:
        """Whether anybody watches, or waits to."""

    def infohash_known(self, at: int, infohash: str) -> None:
        """The engine has told the infohash of link number `at`. May raise MetAnother, or AceProxyError."""

    def neighbour(self, link: Link) -> Stream | None:
        """Return another stream that plays this link now and can be read instead; None while there has been no data."""

    def playback_started(self, playback: Playback) -> None:
        """A playback was started; it has yet to deliver."""

    def should_ask_first(self) -> bool:
        """Whether the broadcast may already run under another kind of name."""

    def make_way(self) -> bool:
        """Have a playback freed that nobody watches; False if there is none."""

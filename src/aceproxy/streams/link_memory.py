"""What the hub remembers of links: which infohash an engine told of them, and which failed just now."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Iterable, Sequence

from aceproxy.engine.links import Link
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings

KNOWN_LINKS = 2000  # links of each kind of memory; the one that was learnt first is forgotten
REMEMBERED = (Reason.CONTENT_NOT_FOUND, Reason.ENGINE_OPTION_MISSING)  # failures that asking again does not mend


class LinkMemory:
    """Infohashes and failures of links, bounded. Used on the event loop only."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._infohashes: OrderedDict[str, str] = OrderedDict()  # by link key
        self._bad: OrderedDict[str, tuple[float, AceProxyError]] = OrderedDict()  # by link key: until when, why

    def infohash(self, link: Link) -> str | None:
        """Return the infohash that an engine told of this link."""
        return self._infohashes.get(link.key)

    def learn_infohash(self, keys: Iterable[str], infohash: str) -> None:
        """Keep the infohash of all names of a broadcast."""
        for key in keys:
            self._infohashes[key] = infohash
            self._infohashes.move_to_end(key)
        while len(self._infohashes) > KNOWN_LINKS:
            self._infohashes.popitem(last=False)

    def note_failure(self, link: Link, error: AceProxyError) -> None:
        """Keep, for `bad_link_memory_s`, what asking again does not mend."""
        if error.reason not in REMEMBERED or not self._settings.bad_link_memory_s:
            return
        self._bad[link.key] = (time.monotonic() + self._settings.bad_link_memory_s, error)
        while len(self._bad) > KNOWN_LINKS:
            self._bad.popitem(last=False)

    def refuse_if_all_failed(self, links: Sequence[Link]) -> None:
        """Raise the first link's failure if every one of them failed just now."""
        failures = [self._failure(link) for link in links]
        first = failures[0]
        if first is not None and None not in failures:
            raise AceProxyError(first.reason, first.detail)

    def _failure(self, link: Link) -> AceProxyError | None:
        until_at, error = self._bad.get(link.key, (0.0, None))
        if error is not None and time.monotonic() >= until_at:
            del self._bad[link.key]
            return None
        return error

"""What a request asks to have played, however it is to be delivered: the link, its fallbacks, whether a standby."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from aiohttp import web

from aceproxy.engine.links import Link, check_url_host, engine_params, fallback_links, link_from_query
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.hub import Hub
from aceproxy.streams.stream import Stream


@dataclass(frozen=True, slots=True)
class Asked:
    """A broadcast as a request names it. `fallbacks`, best first, are further links of it."""

    link: Link
    fallbacks: tuple[Link, ...]
    standby: bool
    params: Mapping[str, str]

    def find_or_start(self, hub: Hub) -> Stream:
        """Return the stream, started if need be; one that runs learns what is new. Raises what the hub raises."""
        stream = hub.find_or_start(self.link, self.params, self.fallbacks)
        stream.supply.asks_standby |= self.standby
        return stream


def asked_by(request: web.Request, settings: Settings, link: Link | None = None) -> Asked:
    """Read what a request asks for; `link` where its path names it and not its query.

    Raises AceProxyError for a link that is none or is not allowed, for too many fallbacks, and for a `standby` that is
    neither 0 nor 1.
    """
    query = list(request.query.items())
    link = link or link_from_query(query)
    fallbacks = fallback_links(query, link)
    for one in (link, *fallbacks):
        check_url_host(one, settings.url_hosts)
    standby = request.query.get("standby", "0")
    if standby not in ("0", "1"):
        raise AceProxyError(Reason.BAD_PARAMETER, "standby is 0 or 1")
    return Asked(link, fallbacks, standby == "1", engine_params(query))

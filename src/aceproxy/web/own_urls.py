"""Absolute URLs of our own, for whoever asks: by the name, port and prefix under which they know us.

Scheme and host are those that the guard found (`Host`, or what a trusted proxy says of it). A port or prefix that a
reverse proxy tells apart (`X-Forwarded-Port`, `X-Forwarded-Prefix`) is added if it is a trusted one. All of it is
outside text that ends up in playlists: what does not look right is left out.
"""

from __future__ import annotations

import re
from collections.abc import Iterable

from aiohttp import web

from aceproxy.access.networks import Networks
from aceproxy.settings import Settings
from aceproxy.web.callers import caller_of

_HOST = re.compile(r"(?:[A-Za-z0-9][A-Za-z0-9._-]{0,252}|\[[0-9A-Fa-f:.]{2,45}\])(?::[0-9]{1,5})?")
_PORT = re.compile(r"[0-9]{1,5}")
_HAS_PORT = re.compile(r":[0-9]{1,5}$")
_PREFIX = re.compile(r"(?:/[A-Za-z0-9_~-][A-Za-z0-9._~-]{0,63}){1,8}")
_DEFAULT_PORTS = {"http": "80", "https": "443"}


class OwnUrls:
    """Writes URLs of ours; `trusted_proxies` is the setting of that name."""

    def __init__(self, trusted_proxies: Iterable[str]) -> None:
        self._trusted = Networks(trusted_proxies)

    def settings_changed(self, settings: Settings) -> None:
        """Believe the proxies that are trusted now."""
        self._trusted.become(settings.trusted_proxies)

    def base(self, request: web.Request) -> str:
        """Return what goes before a path of ours: `http://tv.example:6880`, or with a prefix behind it."""
        origin = caller_of(request).origin
        host = origin.host if _HOST.fullmatch(origin.host) else _own_address(request)
        if (request.remote or "") not in self._trusted:
            return f"{origin.scheme}://{host}"
        port = _last(request, "X-Forwarded-Port")
        if _PORT.fullmatch(port) and port != _DEFAULT_PORTS[origin.scheme] and not _HAS_PORT.search(host):
            host += f":{port}"
        prefix = _last(request, "X-Forwarded-Prefix").rstrip("/")
        return f"{origin.scheme}://{host}" + (prefix if _PREFIX.fullmatch(prefix) else "")


def _last(request: web.Request, name: str) -> str:
    """The last of several values: the one that the proxy next to us wrote."""
    return ",".join(request.headers.getall(name, [])).rpartition(",")[2].strip()


def _own_address(request: web.Request) -> str:
    """Return the address that the connection itself reached, where no name can be used."""
    name = request.transport.get_extra_info("sockname") if request.transport is not None else None
    if not isinstance(name, tuple):
        return "localhost"
    host = f"[{name[0]}]" if ":" in str(name[0]) else str(name[0])
    return f"{host}:{name[1]}"

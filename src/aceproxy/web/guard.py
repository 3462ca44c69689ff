"""The guard: every request passes it before it reaches a route.

It finds out who asks and refuses who lacks the right, names that are not ours, and what pages of other sites send.
"""

from __future__ import annotations

import hashlib
import hmac

from aiohttp import web

from aceproxy.access.networks import Networks
from aceproxy.access.secret import AdminSecret
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.web.answers import Serve
from aceproxy.web.callers import CALLER, Caller
from aceproxy.web.forwarded import Forwarding, Origin
from aceproxy.web.hosts import Hosts
from aceproxy.web.rights import Right, Role, right_for

SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 §9.2.1


class Guard:
    """Decides about every request. Keeps nothing about any of them."""

    def __init__(self, settings: Settings, secret: AdminSecret) -> None:
        self._forwarding = Forwarding(settings.trusted_proxies)
        self._trusted = Networks(settings.trusted_networks)
        self._hosts = Hosts(settings.allowed_hosts)
        self._secret = _digest(secret.value)

    @web.middleware
    async def check(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        """Serve the request if whoever asks may do that. Raises AceProxyError with the reason if not."""
        origin = self._forwarding.origin(request)
        self._hosts.check(request.headers.get("Host", ""))
        self._hosts.check(origin.host)
        caller = request[CALLER] = self._identify(request, origin)
        right = right_for(request)
        if not caller.has(right):
            raise _refusal(caller, right)
        if request.method not in SAFE_METHODS:
            _check_same_site(request, origin)
        return await handler(request)

    def _identify(self, request: web.Request, origin: Origin) -> Caller:
        """Say who asks: by what they know, else by the network they are in."""
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            if not hmac.compare_digest(_digest(given.strip()), self._secret):
                raise AceProxyError(Reason.BAD_CREDENTIALS)
            return Caller(origin, Role.ADMIN, "admin", signed_in=True)
        if origin.address in self._trusted and not origin.relayed:
            return Caller(origin, Role.VIEWER)
        return Caller(origin, None)


def _digest(secret: str) -> bytes:
    """Of one length whatever is given, so that comparing tells nothing by its duration."""
    return hashlib.sha256(secret.encode("utf-8", "surrogateescape")).digest()


def _refusal(caller: Caller, right: Right) -> AceProxyError:
    if caller.signed_in:
        return AceProxyError(Reason.NOT_ALLOWED, f"this needs the right {right}")
    if right is Right.ADMIN and caller.may_view:
        return AceProxyError(Reason.SIGN_IN_NEEDED, "changing something needs an admin")
    if caller.origin.relayed:
        return AceProxyError(
            Reason.SIGN_IN_NEEDED, f"{caller.address} relays for others; if it is your reverse proxy: trusted_proxies"
        )
    return AceProxyError(Reason.SIGN_IN_NEEDED, f"{caller.address} is in none of them")


def _check_same_site(request: web.Request, origin: Origin) -> None:
    """Refuse a change that a page of another site wants: browsers tell where a request was made.

    Fetch Metadata (Sec-Fetch-Site) where the browser sends it, and the Origin header (RFC 6454), which comes with
    every request of a page that is no GET.
    """
    if request.headers.get("Sec-Fetch-Site", "same-origin") not in ("same-origin", "none"):
        raise AceProxyError(Reason.CROSS_SITE)
    page = request.headers.get("Origin")
    if page is not None and page.lower().partition("://")[2] != origin.host.lower():
        raise AceProxyError(Reason.CROSS_SITE)

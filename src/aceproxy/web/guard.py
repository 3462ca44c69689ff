"""The guard: every request passes it before it reaches a route.

It finds out who asks and refuses who lacks the right, names that are not ours, and what pages of other sites send.
"""

from __future__ import annotations

import asyncio
import contextlib
import hmac
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

from aiohttp import web

from aceproxy.access.credentials import Credentials
from aceproxy.access.networks import Networks
from aceproxy.access.roles import Role
from aceproxy.access.sessions import Session
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.web.answers import Serve
from aceproxy.web.bodies import wait_for_body
from aceproxy.web.callers import CALLER, Caller
from aceproxy.web.forwarded import Forwarding, Origin, asked_host
from aceproxy.web.hosts import Hosts
from aceproxy.web.rights import Right, right_for
from aceproxy.web.veil import VEIL, Veil, veil_answer

ENGINE_CALLS = ("/server/api", "/search", "/webui/api/service")  # whose `token` is the engine's, unless it is ours
TOKEN_FIELD = "token"  # of the query of an address that plays  # noqa: S105 - a name
CSRF_HEADER = "X-CSRF-Token"
SAFE_METHODS = ("GET", "HEAD", "OPTIONS")  # RFC 9110 §9.2.1


class Guard:
    """Decides about every request. Keeps nothing about any of them."""

    def __init__(self, settings: Settings, credentials: Credentials) -> None:
        self._settings = settings
        self._credentials = credentials
        self._veil = Veil()
        self._by_network: dict[asyncio.Task[Any], str] = {}  # requests served for where they come from: the address
        self._read(settings)

    def settings_changed(self, settings: Settings) -> None:
        """Go by the networks, proxies and names of now; what is shown to who is not trusted any more ends."""
        self._read(settings)
        for task, address in list(self._by_network.items()):
            if address not in self._trusted:
                task.cancel()

    def _read(self, settings: Settings) -> None:
        self._forwarding = Forwarding(settings.trusted_proxies)
        self._trusted = Networks(settings.trusted_networks)
        self._hosts = Hosts(settings.allowed_hosts)

    @web.middleware
    async def check(self, request: web.Request, handler: Serve) -> web.StreamResponse:
        """Serve the request if whoever asks may do that. Raises AceProxyError with the reason if not."""
        origin = self._forwarding.origin(request)
        self._hosts.check(asked_host(request))
        self._hosts.check(origin.host)
        caller = request[CALLER] = self._identify(request, origin)
        right = right_for(request)
        if right is Right.PLAY:
            caller = request[CALLER] = self._player(request, caller)
        elif not caller.has(right):
            raise _refusal(caller, right, changes=request.method not in ("GET", "HEAD"))
        if request.method not in SAFE_METHODS:
            _check_same_site(request, origin)
            self._check_csrf(request, caller)
        await wait_for_body(request, self._settings.head_timeout_s)
        if not caller.is_admin:
            request[VEIL] = self._veil
        if _needs_no_proof(caller, right):
            answer = await handler(request)
        else:
            with self._while_proven(caller, right):
                answer = await handler(request)
        veil_answer(request, answer)
        return answer

    def _identify(self, request: web.Request, origin: Origin) -> Caller:
        """Say who asks: by what they know, else by the network they are in."""
        is_near = origin.address in self._trusted and not origin.relayed
        scheme, _, given = request.headers.get("Authorization", "").partition(" ")
        if scheme.lower() == "bearer":
            known = self._credentials.who_bears(given.strip())
            if known is None:
                raise AceProxyError(Reason.BAD_CREDENTIALS)
            role = Role.VIEWER if is_near and known.role is Role.PLAYER else known.role  # no less than without it
            return Caller(origin, role, known.name, signed_in=True, is_near=is_near, ticket=known.ticket)
        session = self._session(request)
        if session is not None:
            known = self._credentials.who_signed_in(session)
            return Caller(
                origin,
                session.role,
                session.name,
                signed_in=True,
                is_near=is_near,
                session=session,
                ticket=known.ticket,
            )
        return Caller(origin, Role.VIEWER if is_near else None, is_near=is_near)

    def _player(self, request: web.Request, caller: Caller) -> Caller:
        """Return who wants to play, with their token's limits. Raises BAD_CREDENTIALS, TOKEN_NEEDED, SIGN_IN_NEEDED."""
        if caller.signed_in:
            return caller
        value = request.query.get(TOKEN_FIELD)
        if value is not None:
            token = self._credentials.tokens.find(value)
            if token is not None:
                return replace(caller, ticket=token.ticket)
            if request.path not in ENGINE_CALLS:
                raise AceProxyError(Reason.BAD_CREDENTIALS, "the token in the address is unknown or was revoked")
        if self._settings.require_token:
            raise AceProxyError(Reason.TOKEN_NEEDED)
        if caller.may_view or self._settings.foreign_streams:
            return caller
        raise _refusal(caller, Right.PLAY, changes=False)

    @contextlib.contextmanager
    def _while_proven(self, caller: Caller, right: Right) -> Iterator[None]:
        """End the running request when what proved the role ends: a session, a token that they bear, their network.

        What is streamed is not for who has signed out. Players end through their place in the stream, with a reason.
        """
        task = asyncio.current_task()
        assert task is not None
        if caller.session is not None:
            caller.session.tasks.add(task)
            try:
                yield
            finally:
                caller.session.tasks.discard(task)
        elif caller.ticket is not None:
            with self._credentials.tokens.serving(caller.ticket.ticket_id, task):
                yield
        elif right is Right.VIEW and not caller.signed_in:
            self._by_network[task] = caller.address
            try:
                yield
            finally:
                del self._by_network[task]
        else:
            yield

    def _session(self, request: web.Request) -> Session | None:
        try:
            cookie = request.cookies.get(self._credentials.cookie_name)
        except ValueError:
            return None  # cookies that cannot be read are none of ours
        return None if cookie is None else self._credentials.sessions.find(cookie)

    def _check_csrf(self, request: web.Request, caller: Caller) -> None:
        """Refuse a change for which only the cookie speaks: browsers send it whoever made the page."""
        if caller.session is None or (request.method, request.path) == ("POST", "/api/session"):
            return
        told = request.headers.get(CSRF_HEADER, "").encode("utf-8", "surrogateescape")
        if not hmac.compare_digest(told, self._credentials.sessions.csrf(caller.session).encode()):
            raise AceProxyError(Reason.CROSS_SITE, f"{CSRF_HEADER} is missing or not that of this session")


def _needs_no_proof(caller: Caller, right: Right) -> bool:
    """Whether a request may run on though who makes it signs out: most do, so nothing is kept for them."""
    return right is Right.PUBLIC or (right is Right.PLAY and (caller.session is None or caller.is_near))


def _refusal(caller: Caller, right: Right, *, changes: bool) -> AceProxyError:
    if caller.signed_in:
        return AceProxyError(Reason.NOT_ALLOWED, f"this needs the right {right}")
    if right is Right.ADMIN and caller.may_view:
        return AceProxyError(
            Reason.SIGN_IN_NEEDED, "stopping and changing is for admins" if changes else "that is for admins"
        )
    if caller.origin.relayed:
        return AceProxyError(
            Reason.SIGN_IN_NEEDED, f"{caller.address} relays for others; if it is your reverse proxy: trusted_proxies"
        )
    return AceProxyError(
        Reason.SIGN_IN_NEEDED, f"{caller.address} is in none of the trusted_networks, which may look and watch without"
    )


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

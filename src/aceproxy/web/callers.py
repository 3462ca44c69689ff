"""Who makes a request: address and role, as the guard found them."""

from __future__ import annotations

from dataclasses import dataclass

from aiohttp import web

from aceproxy.access.roles import Role
from aceproxy.access.sessions import Session
from aceproxy.streams.client import Ticket
from aceproxy.web.forwarded import Origin, asked_host, normal_address
from aceproxy.web.rights import Right


@dataclass(frozen=True, slots=True)
class Caller:
    """Who asks. `role` is None for a stranger; `signed_in`: the role was proven, not given for the network.

    `is_near`: asks from a trusted network, whatever the role. `session` is that of a browser that has signed in;
    `ticket` is what is known of the token with which they play.
    """

    origin: Origin
    role: Role | None
    name: str = ""
    signed_in: bool = False
    is_near: bool = False
    session: Session | None = None
    ticket: Ticket | None = None

    @property
    def address(self) -> str:
        """The client's address, also behind trusted proxies."""
        return self.origin.address

    @property
    def may_view(self) -> bool:
        """Whether streams, figures and logs may be shown to them."""
        return self.role in (Role.ADMIN, Role.VIEWER)

    @property
    def is_admin(self) -> bool:
        """Whether they may change things, and see others' addresses."""
        return self.role is Role.ADMIN

    def has(self, right: Right) -> bool:
        """Whether they have a right by their role; whether streams are open is the guard's to say."""
        if right is Right.PUBLIC:
            return True
        return self.is_admin if right is Right.ADMIN else self.may_view


CALLER = web.RequestKey("caller", Caller)


def caller_of(request: web.Request) -> Caller:
    """Return who makes `request`; a stranger where no guard has looked at it."""
    found: Caller | None = request.get(CALLER)
    if found is not None:
        return found
    origin = Origin(normal_address(request.remote or ""), request.scheme, asked_host(request), False)
    return Caller(origin, None)

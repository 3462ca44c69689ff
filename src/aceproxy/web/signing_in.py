"""Signing in and out, and the password."""

from __future__ import annotations

import asyncio

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from aceproxy.access.credentials import Credentials
from aceproxy.access.roles import Role
from aceproxy.access.sessions import Session
from aceproxy.errors import AceProxyError, Reason
from aceproxy.web.answers import json_answer
from aceproxy.web.bodies import read_json
from aceproxy.web.callers import Caller, caller_of
from aceproxy.web.models import PasswordAnswer, SecretReplaced, SessionAnswer, SignedOut

GIVEN_LIMIT = 1024  # characters of a password or token


class SignIn(BaseModel):
    """`POST /api/session`: a password, or a token (the admin secret among them). Exactly one of them."""

    model_config = ConfigDict(extra="forbid")

    password: str | None = Field(None, max_length=GIVEN_LIMIT)
    token: str | None = Field(None, max_length=GIVEN_LIMIT)


class NewPassword(BaseModel):
    """`PUT /api/password`. `current` is needed by who signed in with the password."""

    model_config = ConfigDict(extra="forbid")

    password: str = Field(max_length=GIVEN_LIMIT)
    current: str | None = Field(None, max_length=GIVEN_LIMIT)


class SecretWanted(BaseModel):
    """`POST /api/secret`. `current`: the present admin secret, or the password."""

    model_config = ConfigDict(extra="forbid")

    current: str = Field(max_length=GIVEN_LIMIT)


class SessionRoutes:
    """`/api/session`, `/api/sessions`, `/api/password` and `/api/secret`."""

    def __init__(self, credentials: Credentials) -> None:
        self._credentials = credentials

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/session", self.who)
        app.router.add_post("/api/session", self.sign_in)
        app.router.add_delete("/api/session", self.sign_out)
        app.router.add_delete("/api/sessions", self.sign_all_out)
        app.router.add_put("/api/password", self.set_password)
        app.router.add_delete("/api/password", self.remove_password)
        app.router.add_post("/api/secret", self.replace_secret)

    async def who(self, request: web.Request) -> web.Response:
        """Who asks, and what a page needs to change things."""
        caller = caller_of(request)
        return json_answer(
            SessionAnswer(
                role=caller.role,
                name=caller.name,
                csrf="" if caller.session is None else self._credentials.sessions.csrf(caller.session),
                signed_in=caller.signed_in,
                password_set=self._credentials.passwords.is_set if caller.is_admin else None,
            )
        )

    async def sign_in(self, request: web.Request) -> web.Response:
        """Begin a session, in a cookie."""
        caller = caller_of(request)
        wanted = await read_json(request, SignIn)
        given = wanted.token if wanted.password is None else wanted.password
        if given is None or (wanted.token is not None and wanted.password is not None):
            raise AceProxyError(Reason.BAD_PARAMETER, "give password or token")
        session, cookie = await self._credentials.sign_in(given, caller.address, is_near=caller.is_near)
        if caller.session is not None:
            self._credentials.sessions.close(caller.session)
        answer = json_answer(self._answer(session))
        self._set_cookie(answer, cookie, caller)
        return answer

    async def sign_out(self, request: web.Request) -> web.Response:
        """End the session, if there is one."""
        caller = caller_of(request)
        if caller.session is not None:
            self._credentials.sessions.close(caller.session)
        left = Role.VIEWER if caller.is_near else None  # what the network alone gives
        answer = json_answer(SessionAnswer(role=left, name="", csrf="", signed_in=False, password_set=None))
        answer.del_cookie(self._credentials.cookie_name, path="/", httponly=True, samesite="Strict")
        return answer

    async def sign_all_out(self, request: web.Request) -> web.Response:
        """End all sessions but the one that asks."""
        keep = caller_of(request).session
        before = len(self._credentials.sessions)
        self._credentials.sessions.close_unless(lambda session: session is keep)
        return json_answer(SignedOut(sessions_ended=before - len(self._credentials.sessions)))

    async def set_password(self, request: web.Request) -> web.Response:
        """Set or change the password; everybody else is signed out."""
        wanted = await read_json(request, NewPassword)
        await self._check_current(request, wanted.current)
        await self._change(wanted.password, caller_of(request).session)
        return json_answer(PasswordAnswer(password_set=True))

    async def remove_password(self, request: web.Request) -> web.Response:
        """Remove the password: then only the admin secret signs in."""
        if _has_password(caller_of(request).session):
            raise AceProxyError(Reason.NOT_ALLOWED, "sign in with the admin secret to remove the password")
        await self._change(None, caller_of(request).session)
        return json_answer(PasswordAnswer(password_set=False))

    async def replace_secret(self, request: web.Request) -> web.Response:
        """Replace the admin secret: the old one ends, with its sign-in links and all sessions but this browser's."""
        caller = caller_of(request)
        wanted = await read_json(request, SecretWanted)
        known = await self._credentials.check_again(wanted.current, caller.address, is_near=caller.is_near)
        if known.ticket is not None:
            raise AceProxyError(Reason.NOT_ALLOWED, "a token is neither the admin secret nor the password")
        ended = len(self._credentials.sessions)
        task = asyncio.current_task()
        if caller.session is not None and task is not None:
            caller.session.tasks.discard(task)  # the session ends, its request shall tell what came of it
        try:
            fresh = await self._credentials.replace_secret()
        except OSError as error:
            raise AceProxyError(Reason.STATE_UNWRITABLE, error.strerror or "") from error
        answer = json_answer(
            SecretReplaced(secret=fresh.value, sessions_ended=ended, kept=fresh.path is not None), status=201
        )
        if caller.session is not None:
            _, cookie = self._credentials.sessions.open(caller.session.role, caller.session.name, known.proof)
            self._set_cookie(answer, cookie, caller)
        return answer

    def _set_cookie(self, answer: web.Response, cookie: str, caller: Caller) -> None:
        answer.set_cookie(
            self._credentials.cookie_name,
            cookie,
            max_age=round(self._credentials.session_limit_s),
            path="/",
            httponly=True,
            samesite="Strict",
            secure=caller.origin.scheme == "https",
        )

    async def _check_current(self, request: web.Request, current: str | None) -> None:
        """Let nobody take over an open browser: who signed in with the password has to know it still."""
        caller = caller_of(request)
        if not _has_password(caller.session):
            return
        await self._credentials.check_again(current or "", caller.address, is_near=caller.is_near)

    async def _change(self, password: str | None, keep: Session | None) -> None:
        try:
            await self._credentials.change_password(password, keep)
        except OSError as error:
            raise AceProxyError(Reason.STATE_UNWRITABLE, error.strerror or "") from error

    def _answer(self, session: Session) -> SessionAnswer:
        return SessionAnswer(
            role=session.role,
            name=session.name,
            csrf=self._credentials.sessions.csrf(session),
            signed_in=True,
            password_set=self._credentials.passwords.is_set,
        )


def _has_password(session: Session | None) -> bool:
    return session is not None and session.proof.startswith("password ")

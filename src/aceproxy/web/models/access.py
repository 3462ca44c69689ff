"""Answers about who asks, and the tokens."""

from __future__ import annotations

from aceproxy.web.models.base import Model


class SessionAnswer(Model):
    """`GET`, `POST` and `DELETE /api/session`: who asks. `csrf` is to be sent with every change of a signed-in page."""

    role: str | None
    name: str
    csrf: str
    signed_in: bool
    password_set: bool | None


class SignedOut(Model):
    """What `DELETE /api/sessions` did."""

    sessions_ended: int


class TokenModel(Model):
    """A token, without what it is. A limit of null is that of the settings, 0 is none."""

    token_id: str
    name: str
    role: str
    max_clients: int | None
    max_streams: int | None
    created_at: str
    last_used_at: str | None
    clients: int


class Tokens(Model):
    """`GET /api/tokens`."""

    tokens: list[TokenModel]


class NewToken(Model):
    """`POST /api/tokens`: the one time that a token is told."""

    token: str
    details: TokenModel


class TokenRevoked(Model):
    """What `DELETE /api/tokens/{token_id}` did. Not `kept`: a restart now would bring the token back."""

    revoked: bool
    token_id: str
    clients_ended: int
    kept: bool


class SecretReplaced(Model):
    """`POST /api/secret`: the new admin secret, told this once. `kept`: a restart finds it."""

    secret: str
    sessions_ended: int
    kept: bool


class PasswordAnswer(Model):
    """What `PUT` or `DELETE /api/password` did."""

    password_set: bool

"""`/api/tokens`: tokens for players and programs."""

from __future__ import annotations

from aiohttp import web
from pydantic import BaseModel, ConfigDict, Field

from aceproxy.access.credentials import Credentials
from aceproxy.access.roles import Role
from aceproxy.access.tokens import NAME_LIMIT, Token
from aceproxy.errors import Reason
from aceproxy.streams.hub import Hub
from aceproxy.streams.recordings import Recordings
from aceproxy.web.answers import json_answer
from aceproxy.web.bodies import read_json
from aceproxy.web.models import NewToken, TokenModel, TokenRevoked, Tokens
from aceproxy.web.playback_sessions import PlaybackSessions

MOST = 100_000  # as a limit of clients or streams


class TokenWanted(BaseModel):
    """`POST /api/tokens`. `role`: player (streams alone), viewer or admin. No limit given: that of the settings."""

    model_config = ConfigDict(extra="forbid")

    name: str = Field(min_length=1, max_length=NAME_LIMIT, pattern=r"^[^\x00-\x1f\x7f-\x9f\u2028\u2029]+$")
    role: Role = Role.PLAYER
    max_clients: int | None = Field(None, ge=0, le=MOST)
    max_streams: int | None = Field(None, ge=0, le=MOST)


class TokenRoutes:
    """The routes of tokens, for admins."""

    def __init__(
        self, credentials: Credentials, hub: Hub, recordings: Recordings, playback_sessions: PlaybackSessions
    ) -> None:
        self._credentials = credentials
        self._hub = hub
        self._recordings = recordings
        self._playback_sessions = playback_sessions

    def add_to(self, app: web.Application) -> None:
        """Register the routes."""
        app.router.add_get("/api/tokens", self.tokens)
        app.router.add_post("/api/tokens", self.create)
        app.router.add_delete("/api/tokens/{token_id}", self.revoke)

    async def tokens(self, _request: web.Request) -> web.Response:
        """All tokens, without what they are: that is told once, when they are made."""
        return json_answer(Tokens(tokens=[self._model(token) for token in self._credentials.tokens]))

    async def create(self, request: web.Request) -> web.Response:
        """Make a token. The answer is the only place where it is told."""
        wanted = await read_json(request, TokenWanted)
        tokens = self._credentials.tokens
        token, value = await tokens.make(wanted.name, wanted.role, wanted.max_clients, wanted.max_streams)
        return json_answer(NewToken(token=value, details=self._model(token)), 201)

    async def revoke(self, request: web.Request) -> web.Response:
        """Take a token back: what plays with it ends, and who signed in with it is signed out."""
        token = self._credentials.revoke_token(request.match_info["token_id"])
        self._playback_sessions.end_ticket(token.token_id)
        ended = self._hub.end_ticket(token.token_id, Reason.TOKEN_REVOKED)
        ended += self._recordings.end_ticket(token.token_id)
        problem = await self._credentials.tokens.problem()
        return json_answer(TokenRevoked(revoked=True, token_id=token.token_id, clients_ended=ended, kept=not problem))

    def _model(self, token: Token) -> TokenModel:
        return TokenModel(
            token_id=token.token_id,
            name=token.name,
            role=token.role,
            max_clients=token.max_clients,
            max_streams=token.max_streams,
            created_at=token.created_at,
            last_used_at=token.last_used_at,
            clients=self._hub.places.count(token.token_id),
        )

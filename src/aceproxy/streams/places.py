"""How many clients and streams one address, or one player's token, may have.

Whoever asks to play takes a place, while it still waits for the start, and leaves it when it ends. So many starts at
once count as well. Used on the event loop only; nothing waits.
"""

from __future__ import annotations

from collections import Counter

from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.client import Place, Visitor

Key = tuple[str, str]


class Places:
    """All places that are taken."""

    def __init__(self, settings: Settings) -> None:
        self._settings = settings
        self._taken: dict[Key, Counter[str]] = {}  # how many for each stream
        self._with_token: dict[str, set[Place]] = {}
        self._total = 0

    def __len__(self) -> int:
        return self._total

    def count(self, ticket_id: str) -> int:
        """Return how many places a token has."""
        return sum(self._taken.get(("token", ticket_id), Counter()).values())

    def check(self, visitor: Visitor, stream_id: str) -> None:
        """Raise TOO_MANY_FOR_ADDRESS, TOO_MANY_FOR_TOKEN or TOO_MANY_CLIENTS if `visitor` may not have one more."""
        settings = self._settings
        if self._total >= 2 * settings.max_clients:  # as many may wait for a start as may play
            raise AceProxyError(Reason.TOO_MANY_CLIENTS, "too many wait for a start")
        self._check_one(
            ("address", visitor.address),
            stream_id,
            settings.max_clients_per_address,
            settings.max_streams_per_address,
            Reason.TOO_MANY_FOR_ADDRESS,
        )
        ticket = visitor.ticket
        if ticket is not None:
            self._check_one(
                ("token", ticket.ticket_id),
                stream_id,
                settings.max_clients_per_token if ticket.max_clients is None else ticket.max_clients,
                settings.max_streams_per_token if ticket.max_streams is None else ticket.max_streams,
                Reason.TOO_MANY_FOR_TOKEN,
            )

    def take(self, visitor: Visitor, stream_id: str) -> Place:
        """Take a place; the caller sees to `Place.leave`. Raises as `check` does."""
        self.check(visitor, stream_id)
        keys: list[Key] = [("address", visitor.address)]
        if visitor.ticket is not None:
            keys.append(("token", visitor.ticket.ticket_id))
        for key in keys:
            self._taken.setdefault(key, Counter())[stream_id] += 1
        self._total += 1
        place = Place(lambda place: self._leave(place, keys, stream_id))
        if visitor.ticket is not None:
            self._with_token.setdefault(visitor.ticket.ticket_id, set()).add(place)
        return place

    def revoke(self, ticket_id: str) -> None:
        """Mark the places of a token that was taken back: who waits there gets nothing when the start succeeds."""
        for place in self._with_token.get(ticket_id, ()):
            place.is_revoked = True

    def _check_one(self, key: Key, stream_id: str, clients: int, streams: int, reason: Reason) -> None:
        taken = self._taken.get(key)
        if taken is None:
            return
        if clients and sum(taken.values()) >= clients:
            raise AceProxyError(reason, f"{clients} clients")
        if streams and stream_id not in taken and len(taken) >= streams:
            raise AceProxyError(reason, f"{streams} streams")

    def _leave(self, place: Place, keys: list[Key], stream_id: str) -> None:
        self._total -= 1
        for key in keys:
            if key[0] == "token":
                self._with_token[key[1]].discard(place)
                if not self._with_token[key[1]]:
                    del self._with_token[key[1]]
            taken = self._taken[key]
            taken[stream_id] -= 1
            if not taken[stream_id]:
                del taken[stream_id]
            if not taken:
                del self._taken[key]

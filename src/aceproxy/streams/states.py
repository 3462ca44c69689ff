"""The life of a stream as a table: which state may follow which. An illegal edge is a mistake of ours and raises."""

from __future__ import annotations

from enum import StrEnum
from typing import Final


class State(StrEnum):
    """Where a stream stands."""

    STARTING = "starting"  # an engine was asked; nobody has a byte yet
    LIVE = "live"  # the source delivers
    RECOVERING = "recovering"  # the source is lost and being opened anew; clients stay connected
    LINGERING = "lingering"  # the source delivers, but nobody listens; soon closed
    DRAINING = "draining"  # nothing more will come; clients read out what is left
    CLOSED = "closed"  # over, with a reason; never left


DELIVERING: Final = (State.LIVE, State.LINGERING)
"""The source delivers, whether anybody listens or not."""

EDGES: dict[State, frozenset[State]] = {
    State.STARTING: frozenset({State.LIVE, State.LINGERING, State.CLOSED}),
    State.LIVE: frozenset({State.RECOVERING, State.LINGERING, State.DRAINING, State.CLOSED}),
    State.RECOVERING: frozenset({State.LIVE, State.LINGERING, State.CLOSED}),
    State.LINGERING: frozenset({State.LIVE, State.DRAINING, State.CLOSED}),
    State.DRAINING: frozenset({State.CLOSED}),
    State.CLOSED: frozenset(),
}


class IllegalEdge(RuntimeError):  # noqa: N818 - named after what happened, like the states
    """A stream was told to go from one state to another that cannot follow."""


def check_edge(old: State, new: State) -> None:
    """Raise IllegalEdge unless `new` may follow `old`."""
    if new not in EDGES[old]:
        raise IllegalEdge(f"a stream cannot go from {old} to {new}")

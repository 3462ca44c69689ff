"""Settings of those who play: players of MPEG-TS and HLS, sessions of the engine's interface, recordings."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aceproxy.settings.group import Group
from aceproxy.settings.kinds import Words


class ClientSettings(Group):
    """How clients are served, and when they count as gone."""

    # clients
    max_clients: int = Field(5000, ge=1, description="Clients of all streams together; further ones get a 503.")
    client_stall_s: float = Field(30.0, gt=0, description="A client that takes no byte for this long is closed.")
    max_listeners: int = Field(
        100, ge=1, le=10_000, description="Open event streams (dashboards, live logs); further ones get a 503."
    )
    stills: bool = Field(
        True, description="Whether the dashboard shows a still of each stream, made by ffmpeg where that is installed."
    )
    audio_aac_agents: Annotated[tuple[str, ...], Words] = Field(
        (),
        description="Players that get sound as AAC without asking, by a part of their User-Agent in any case; the word "
        "browsers stands for all browsers. Needs ffmpeg.",
    )
    max_transcoders: int = Field(
        4, ge=0, le=100, description="Streams whose sound is turned into AAC at once, each by one ffmpeg; 0: none."
    )
    # the engine's interface
    session_idle_s: float = Field(
        60.0,
        gt=0,
        le=3600,
        description="A playback session (format=json) that neither reads nor asks for this long is ended.",
    )
    max_sessions: int = Field(
        500, ge=1, description="Playback sessions at most; the one idle longest gives way to a new one."
    )
    # HLS
    hls_segments: int = Field(
        6, ge=3, le=100, description="Segments in a list; more where they are short for their target duration."
    )
    hls_silence_s: float = Field(
        20.0, gt=0, description="An HLS viewer that asks for no list and no segment for this long has left."
    )
    # recordings
    recording_linger_s: float = Field(
        20.0,
        ge=0,
        description="How long the playback of a recording is kept for its viewer's next request, as in seeking.",
    )
    recording_pause_s: float = Field(
        1800.0,
        gt=0,
        description="A viewer of a recording that takes no byte for this long is closed; it may be paused.",
    )

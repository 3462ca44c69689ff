"""Settings of the streams: when a source counts as lost, what is done then, how much is kept in memory."""

from __future__ import annotations

from pydantic import Field

from aceproxy.settings.group import Group


class StreamSettings(Group):
    """A stream from its start to its end, and its ring."""

    # streams
    quiet_s: float = Field(
        2.0,
        gt=0,
        description="Silence of a source from which on the engine is asked at once and clients get null packets.",
    )
    stuck_s: float = Field(
        8.0,
        gt=0,
        description="Silence after which a source is given up although the engine claims to deliver; one that waits "
        "for the swarm is only tried beside, on another engine.",
    )
    silence_s: float = Field(30.0, gt=0, description="Silence of a source after which it is given up in any case.")
    garbage_s: float = Field(
        5.0, gt=0, description="For how long a source may send what is not MPEG-TS before it is given up."
    )
    trickle_s: float = Field(
        10.0, gt=0, description="For how long a live source may send less than a tenth of real time."
    )
    slow_s: float = Field(
        30.0,
        gt=0,
        description="For how long a live source may send less than 60 % of real time before another engine or link is "
        "tried beside it.",
    )
    keyframe_gap_s: float = Field(
        30.0,
        gt=0,
        description="For how long there may be no random-access point before another engine or link is tried beside.",
    )
    loop_s: float = Field(
        30.0,
        gt=0,
        description="For how long media may flow on while the engine's live_last stands still; then it counts as old.",
    )
    reopen_s: float = Field(
        20.0,
        gt=0,
        description="Limit for one try to open a lost source anew, where another engine or link could be tried next.",
    )
    standby: bool = Field(
        False,
        description="Keep a second engine ready for every stream with clients, so that a lost source is replaced in "
        "less than a second. Costs the broadcast's bandwidth once more.",
    )
    standby_clients: int = Field(
        20,
        ge=0,
        description="Streams with so many clients have a standby unasked, until half of them have left; 0: none has. "
        "Only where another engine has room to spare.",
    )
    standby_bytes: int = Field(
        8 << 20, ge=1 << 20, le=64 << 20, description="Newest bytes kept of a source that waits to take over."
    )
    return_s: float = Field(
        60.0,
        ge=0,
        description="How long a fallback link plays before the first link is tried beside it, and a stream on an "
        "engine before one of higher weight is; 0: neither is ever left.",
    )
    return_proof_s: float = Field(
        15.0, ge=0, description="How long the first link must deliver beside a fallback before it is returned to."
    )
    recover_s: float = Field(
        120.0, ge=0, description="How long a stream that lost its source tries to get it back while clients wait."
    )
    splice_wait_s: float = Field(
        10.0, gt=0, description="How long the place up to which clients were served is looked for in a reopened source."
    )
    linger_s: float = Field(15.0, ge=0, description="How long a stream without clients is kept for one to come back.")
    max_lingering: int = Field(
        8, ge=0, description="Streams without clients kept at most; the one longest without gives way at once."
    )
    keyframe_wait_s: float = Field(
        5.0, gt=0, description="How long a start waits for a random-access point before it serves from any packet."
    )
    stat_max_age_s: float = Field(
        15.0, gt=0, description="Age after which an engine's last stat is not shown any more."
    )
    batch_s: float = Field(
        0.09,
        ge=0,
        le=1,
        description="Longest time that bytes which arrived at our socket wait to be read and sent on; of ten sources "
        "and more, twice that.",
    )
    batch_bytes: int = Field(
        128 << 10,
        ge=1316,
        description="Bytes that, found by one read, are sent on at once and followed by the next read.",
    )
    io_uring: bool = Field(
        True,
        description="Send to 16 clients and more by one system call for up to 64 of them, where the system has and "
        "allows io_uring.",
    )
    # the ring
    block_s: float = Field(2.0, gt=0, le=10, description="Least media time of a block; it is cut at the next keyframe.")
    block_bytes: int = Field(
        8 << 20, ge=256 << 10, le=256 << 20, description="Size at which a block is cut if no keyframe comes before."
    )
    ring_s: float = Field(30.0, gt=0, description="Media time kept per stream.")
    ring_bytes: int = Field(64 << 20, ge=1 << 20, description="Bytes kept per stream at most.")
    burst_s: float = Field(
        6.0,
        ge=0,
        description="Media time behind the live edge at which a new client starts. Players that examine the first 5 s "
        "before they play start at once if they get that much at once.",
    )

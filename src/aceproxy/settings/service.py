"""Settings of the program as a whole: where it listens, what it keeps, how it ends."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aceproxy.settings.group import Group
from aceproxy.settings.kinds import Address, Level, LogFormat, OptionalPath, SourceHost, Words


class ServiceSettings(Group):
    """Where the program listens, what it writes down and for how long, how many connections may wait."""

    # where
    listen: Address = Field(":6880", description="Address and port to serve on; an empty host means all interfaces.")
    url_hosts: Annotated[tuple[SourceHost, ...], Words] = Field(
        (),
        description="Hosts to which url= links may point; none by default, since the engine fetches what they name. "
        "'*' allows every public host; a private address must be named itself.",
    )
    origin_hosts: Annotated[tuple[SourceHost, ...], Words] = Field(
        (),
        description="Hosts from which broadcasts may be read that an engine redirects to; none by default. '*' allows "
        "every public host; a private address must be named itself.",
    )
    state_dir: OptionalPath = Field(
        None, description="Folder for what must survive a crash (open playbacks); none: nothing is kept."
    )
    # log
    log_level: Level = Field("info", description="Least important level that is logged: debug, info, warning or error.")
    log_lines: int = Field(2000, ge=10, le=100_000, description="Records kept in memory for /api/logs/tail.")
    log_format: LogFormat = Field(
        "text", description="How records are written to standard error: text (for people) or json."
    )
    log_file: OptionalPath = Field(
        None, description="File to which records are written as JSON lines as well; none: no file."
    )
    log_file_bytes: int = Field(
        10 << 20, ge=64 << 10, description="Size at which the log file becomes .1, .1 becomes .2, and so on."
    )
    log_file_count: int = Field(5, ge=1, le=100, description="Log files kept, the one that is written included.")
    # history
    history_rows: int = Field(5000, ge=0, description="Past streams that are kept; 0 keeps no history.")
    history_days: float = Field(90.0, ge=0, le=3650, description="Days for which past streams are kept; 0 keeps none.")
    history_addresses: bool = Field(
        True, description="Whether the history tells the network addresses of those who watched."
    )
    quality_links: int = Field(
        2000, ge=0, le=100_000, description="Links (one per engine) whose quality is remembered; 0 remembers none."
    )
    quality_half_life_days: float = Field(
        7.0, gt=0, le=365, description="Days after which what is known of a link counts half."
    )
    # connections
    head_timeout_s: float = Field(
        10.0, ge=0.1, description="A request's head, and its body, must have come within this time."
    )
    max_waiting: int = Field(
        2000,
        ge=10,
        description="Connections that wait for a request; beyond that the address with the most of them loses one.",
    )
    max_waiting_per_address: int = Field(
        200, ge=1, description="The same for one address, of connections that never sent a whole request."
    )
    # metrics
    metrics_streams: int = Field(
        100, ge=0, le=10_000, description="Streams that /metrics tells one by one, those with the most clients first."
    )
    # leaving
    shutdown_s: float = Field(10.0, gt=0, description="Limit for the whole shutdown.")

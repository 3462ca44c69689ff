"""Settings of the engines: which they are, how long they may take, when one is left alone."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aceproxy.settings.group import Group
from aceproxy.settings.kinds import Entries, Words


class EngineSettings(Group):
    """The engines, the limits of talking to them, and the choice between them."""

    # which
    engines: Annotated[Entries, Words] = Field(
        ("http://127.0.0.1:6878",),
        min_length=1,
        validate_default=True,
        description="The AceStream engines: addresses, or [[engine]] tables in the file.",
    )
    # talking to an engine
    connect_timeout_s: float = Field(5.0, gt=0, description="Limit for the TCP connection to an engine.")
    answer_timeout_s: float = Field(
        30.0, gt=0, description="Limit for an engine's answer to a start call; a lookup on the network takes seconds."
    )
    stat_timeout_s: float = Field(5.0, gt=0, description="Limit for an engine's answer to a stat or version call.")
    sign_of_life_s: float = Field(
        1.5,
        gt=0,
        description="Limit for an engine's answer to a version call while a stream of it is silent; then the stream "
        "goes to another engine that is up.",
    )
    stop_timeout_s: float = Field(3.0, gt=0, description="Limit for an engine's answer to a stop; then it is given up.")
    start_timeout_s: float = Field(
        60.0, gt=0, description="One deadline over all tries of a start, from the request to the first data."
    )
    start_poll_s: float = Field(0.25, gt=0, description="Time between stat polls while a stream starts.")
    stat_poll_s: float = Field(
        2.0,
        gt=0,
        description="Time between stat polls while a stream runs; longer, up to 10 s, where more than 4 run.",
    )
    retry_first_s: float = Field(
        1.0,
        gt=0,
        description="First wait before a failed media request or start is tried again; later it is a quarter of the "
        "time gone by, 8 times this at most.",
    )
    engine_probe_s: float = Field(10.0, gt=0, description="Time between health probes (get_version) of an engine.")
    engine_max_streams: int = Field(
        100, ge=1, description="Playbacks that one engine may run at once. Small machines are better off with 3 to 5."
    )
    breaker_failures: int = Field(
        3, ge=1, description="Failures of an engine in a row after which it is left alone while others can do."
    )
    breaker_first_s: float = Field(
        10.0, gt=0, description="For how long a failing engine is left alone at first; doubles with each failed trial."
    )
    breaker_max_s: float = Field(300.0, gt=0, description="Longest time for which a failing engine is left alone.")
    short_play_s: float = Field(
        5.0, ge=0, description="A playback that the engine ends sooner than this counts as a failure of the engine."
    )
    experience_half_life_s: float = Field(
        600.0, gt=0, description="Time after which what starts on an engine have shown counts half in the choice."
    )
    bad_link_memory_s: float = Field(
        30.0, ge=0, description="For how long a link the engine could not find is refused without asking again."
    )

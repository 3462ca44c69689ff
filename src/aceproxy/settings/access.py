"""Settings of access: who may do what, from where, and how much of it."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field

from aceproxy.settings.group import Group
from aceproxy.settings.kinds import HOME_NETWORKS, HostPattern, Network, Words


class AccessSettings(Group):
    """Who is trusted, who has to sign in, and the limits of one address and one token."""

    # who may do what
    trusted_networks: Annotated[tuple[Network, ...], Words] = Field(
        HOME_NETWORKS, description="Networks whose requests may watch and look without signing in, but change nothing."
    )
    trusted_proxies: Annotated[tuple[Network, ...], Words] = Field(
        (), description="Reverse proxies whose word about the client's address, host and scheme is taken."
    )
    allowed_hosts: Annotated[tuple[HostPattern, ...], Words] = Field(
        (),
        description="Public names under which the program is reached (NAME, *.NAME, or * for any); addresses and names "
        "of the local network need not be listed.",
    )
    require_token: bool = Field(
        False, description="Streams play only with a token, or for who has signed in; also in the trusted networks."
    )
    foreign_streams: bool = Field(
        False, description="Streams play for everybody who can reach the program, unless require_token is set."
    )
    sign_in_idle_s: float = Field(
        7 * 86400.0, gt=0, description="A browser that has signed in and asks nothing for this long is signed out."
    )
    sign_in_limit_s: float = Field(30 * 86400.0, gt=0, description="After this time everybody has to sign in again.")
    max_clients_per_address: int = Field(
        0, ge=0, description="Clients of one address, those that wait for a start included; 0: no limit."
    )
    max_streams_per_address: int = Field(0, ge=0, description="Different streams of one address; 0: no limit.")
    max_clients_per_token: int = Field(
        0, ge=0, description="Clients of one token that has no limit of its own; 0: no limit."
    )
    max_streams_per_token: int = Field(
        0, ge=0, description="Different streams of one token that has no limit of its own; 0: no limit."
    )

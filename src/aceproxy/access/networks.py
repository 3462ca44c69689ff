"""Lists of networks, and whether an address is in one. Pure."""

from __future__ import annotations

import ipaddress
from collections.abc import Iterable

Address = ipaddress.IPv4Address | ipaddress.IPv6Address


def read_address(text: str) -> Address | None:
    """Return the address that `text` spells, None if it is none.

    A zone (`%eth0`) is dropped, and IPv4 inside IPv6 (`::ffff:192.0.2.1`) becomes IPv4, as the peer of a socket that
    listens on both is written.
    """
    try:
        address = ipaddress.ip_address(text.partition("%")[0])
    except ValueError:
        return None
    if isinstance(address, ipaddress.IPv6Address) and address.ipv4_mapped is not None:
        return address.ipv4_mapped
    return address


class Networks:
    """A list of networks, such as the setting `trusted_networks`."""

    def __init__(self, networks: Iterable[str]) -> None:
        """Take networks in CIDR notation. Raises ValueError."""
        self.become(networks)

    def become(self, networks: Iterable[str]) -> None:
        """Be another list from now on. Raises ValueError; then it stays what it was."""
        self._networks = [ipaddress.ip_network(text) for text in networks]

    def __contains__(self, text: str) -> bool:
        """Say whether the address that `text` spells is in one of them; what is no address is in none."""
        address = read_address(text)
        return address is not None and any(address in network for network in self._networks)

"""Which names this server answers to.

A page of another site can let its own name point to our address (DNS rebinding) and then counts, for the browser, as
ours. Its name stands in the Host header. So public names are refused unless they are listed. Addresses, names without
a dot and names that exist only in a local network pass: nobody outside can own them.
"""

from __future__ import annotations

import socket
from collections.abc import Sequence

from aceproxy.engine.urls import is_public_name, literal_address, normal_host
from aceproxy.errors import AceProxyError, Reason

HOST_LIMIT = 300  # characters: a name of 253, brackets, a port


class Hosts:
    """The names of this server: `allowed` is the setting `allowed_hosts`."""

    def __init__(self, allowed: Sequence[str]) -> None:
        own = {socket.gethostname().lower().removesuffix(".")}
        self._names = own | {name for name in allowed if not name.startswith("*")}
        self._suffixes = tuple(name[1:] for name in allowed if name.startswith("*."))
        self._any = "*" in allowed

    def check(self, host: str) -> None:
        """Raise HOST_REFUSED for what is no name of ours. `host` is a Host header; old clients send none."""
        if not host or self._any:
            return
        try:
            name = normal_host(_without_port(host[:HOST_LIMIT]))
        except AceProxyError:
            raise AceProxyError(Reason.HOST_REFUSED, "not a host name") from None
        if literal_address(name) is not None or not is_public_name(name):
            return
        if name not in self._names and not name.endswith(self._suffixes):
            raise AceProxyError(Reason.HOST_REFUSED, name)


def _without_port(host: str) -> str:
    if host.startswith("["):
        return host[1:].partition("]")[0]
    return host.partition(":")[0] if host.count(":") == 1 else host

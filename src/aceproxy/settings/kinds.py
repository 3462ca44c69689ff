"""The kinds of values that settings have, beyond numbers and switches: addresses, networks, host names, lists. Pure."""

from __future__ import annotations

import ipaddress
from pathlib import Path
from typing import Annotated

from pydantic import AfterValidator, BeforeValidator

from aceproxy.entries import HOST, EngineEntry, without_doubles


def split_address(text: str) -> tuple[str | None, int]:
    """Take `HOST:PORT` apart; an empty host or `*` (all interfaces) becomes None, `[…]` around IPv6 is dropped.

    Raises ValueError for anything else.
    """
    host, colon, port = text.strip().rpartition(":")
    if not colon or not port.isdecimal() or not 0 <= int(port) <= 65535:
        raise ValueError(f"{text!r} is not HOST:PORT")
    if host.startswith("[") and host.endswith("]"):
        host = host[1:-1]
    elif ":" in host:
        raise ValueError(f"{text!r}: put brackets around an IPv6 address")
    return (None if host in ("", "*") else host), int(port)


def _address(text: str) -> str:
    split_address(text)
    return text


def words_of(value: object) -> object:
    """Let a list be written as one comma-separated string, as environment variables need it."""
    if isinstance(value, str):
        return [word.strip() for word in value.split(",") if word.strip()]
    return value


def _nothing(value: object) -> object:
    """Take an empty text, as compose files produce it, for "not given"."""
    return None if value == "" else value


def _level(text: str) -> str:
    level = text.lower()
    if level not in ("debug", "info", "warning", "error"):
        raise ValueError("one of debug, info, warning, error")
    return level


def _network(text: str) -> str:
    """Normalise an address or a network in CIDR notation."""
    try:
        return str(ipaddress.ip_network(text.strip(), strict=False))
    except ValueError as error:
        raise ValueError(f"{text!r} is not an address or a network such as 192.168.1.0/24") from error


def _host_pattern(text: str) -> str:
    name = text.strip().lower().removesuffix(".")
    if name != "*" and not HOST.fullmatch(name.removeprefix("*.")):
        raise ValueError(f"{text!r} is not a host name, *.NAME or *")
    return name


def _source_host(text: str) -> str:
    """A host of links or origins: a name, also one that is not ASCII, an address, also in brackets, *.NAME or *."""
    name = text.strip().lower()
    plain = name[1:-1] if name.startswith("[") and name.endswith("]") else name.removeprefix("*.")
    try:
        plain = plain if plain.isascii() else plain.encode("idna").decode("ascii")
    except UnicodeError:
        plain = ""
    if name != "*" and not HOST.fullmatch(plain):
        raise ValueError(f"{text!r} is not a host name, an address, *.NAME or *")
    return name


def _log_format(text: str) -> str:
    if text not in ("text", "json"):
        raise ValueError("one of text, json")
    return text


Address = Annotated[str, AfterValidator(_address)]
OptionalPath = Annotated[Path | None, BeforeValidator(_nothing)]
Level = Annotated[str, AfterValidator(_level)]
LogFormat = Annotated[str, AfterValidator(_log_format)]
Entries = Annotated[tuple[EngineEntry, ...], AfterValidator(without_doubles)]
Network = Annotated[str, AfterValidator(_network)]
HostPattern = Annotated[str, AfterValidator(_host_pattern)]
SourceHost = Annotated[str, AfterValidator(_source_host)]
Words = BeforeValidator(words_of)
HOME_NETWORKS = (  # loopback, private and link-local
    "127.0.0.0/8", "::1/128", "10.0.0.0/8", "172.16.0.0/12", "192.168.0.0/16", "169.254.0.0/16", "fc00::/7",
    "fe80::/10",
)  # fmt: skip

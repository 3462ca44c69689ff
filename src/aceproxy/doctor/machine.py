"""What the doctor looks at on this machine: system calls, port, descriptors, memory, clock, ffmpeg, IPv6, access."""

from __future__ import annotations

import ctypes
import errno
import platform
import resource
import shutil
import socket
import sys
import time
from pathlib import Path

from aceproxy import __version__
from aceproxy.doctor.findings import Finding, Status
from aceproxy.health import ask
from aceproxy.settings import Settings, split_address
from aceproxy.streams.uring import Uring

DESCRIPTORS_BESIDE = 300  # for engines, files
PROGRAM_BYTES = 100 << 20  # of the program itself, with some clients
STA_UNSYNC = 0x40  # Linux: the clock is not kept by anything (adjtimex(2))


def look_at_platform(_settings: Settings) -> Finding:
    """Python and the system calls that media goes through."""
    words = f"AceProxy {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    if not sys.platform.startswith("linux"):
        return Finding("system", Status.FAILURE, words, "AceProxy needs Linux.")
    return Finding("system", Status.OK, words)


def look_at_uring(settings: Settings) -> Finding:
    """Whether one system call sends to many clients."""
    if not settings.io_uring:
        return Finding("io_uring", Status.OK, "not used: the setting says so")
    try:
        Uring().close()
    except OSError as error:
        return Finding(
            "io_uring",
            Status.NOTE,
            f"cannot be had here ({error.strerror}): one system call for each client",
            "Nothing needs it; hundreds of clients of one stream cost less with it. Containers forbid it as a rule.",
        )
    return Finding("io_uring", Status.OK, "sends to many clients at once")


def look_at_port(settings: Settings) -> Finding:
    """Whether the address can be served on."""
    host, port = split_address(settings.listen)
    family = socket.AF_INET6 if host is not None and ":" in host else socket.AF_INET
    with socket.socket(family, socket.SOCK_STREAM) as trial:
        trial.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        try:
            trial.bind((host or "", port))
            trial.listen(1)
        except OSError as error:
            return _taken(settings.listen, host, port, error)
    return Finding("port", Status.OK, f"{settings.listen} is free")


def _taken(listen: str, host: str | None, port: int, error: OSError) -> Finding:
    """Say who has the address, if that can be found out, or what else is in the way."""
    if error.errno == errno.EADDRINUSE:
        near = host if host not in (None, "0.0.0.0", "::") else "127.0.0.1"  # noqa: S104 - compared only
        if ask(near or "127.0.0.1", port, "/livez", 2.0) == 200:
            return Finding("port", Status.OK, f"{listen} is served, by an AceProxy that answers")
        return Finding(
            "port",
            Status.FAILURE,
            f"{listen} is taken by another program",
            f"Find it with `ss -ltnp 'sport = :{port}'`, or serve on another port: --listen :PORT.",
        )
    if error.errno == errno.EACCES:
        advice = "Ports below 1024 need a privilege; choose a higher one."
    elif error.errno == errno.EADDRNOTAVAIL:
        advice = "This machine does not have that address; `ip address` lists those it has."
    else:
        advice = "Check the setting `listen`."
    return Finding("port", Status.FAILURE, f"{listen}: {error.strerror}", advice)


def look_at_descriptors(settings: Settings) -> Finding:
    """Whether there are enough descriptors for `max_clients`."""
    _, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    needed = 2 * settings.max_clients + DESCRIPTORS_BESIDE
    if hard in (resource.RLIM_INFINITY, -1) or hard >= needed:
        return Finding("descriptors", Status.OK, f"{'unlimited' if hard < 0 else hard}, {needed} are needed at most")
    fits = max(0, (hard - DESCRIPTORS_BESIDE) // 2)
    return Finding(
        "descriptors",
        Status.FAILURE if fits < 10 else Status.WARNING,
        f"{hard} allow about {fits} clients; max_clients is {settings.max_clients}",
        f"Raise the hard limit to {needed}: LimitNOFILE= (systemd), ulimits: nofile (compose), or lower max_clients.",
    )


def look_at_memory(settings: Settings) -> Finding:
    """How many streams fit into memory."""
    available = available_bytes()
    if available is None:
        return Finding("memory", Status.NOTE, "cannot be told here")
    per_stream = settings.ring_bytes + settings.block_bytes
    fits = max(0, (available - PROGRAM_BYTES) // per_stream)
    words = f"{available >> 20} MiB free; a stream takes up to {per_stream >> 20} MiB, so {fits} fit"
    if fits < 1:
        return Finding("memory", Status.FAILURE, words, "Lower ring_bytes, or give the machine or container more.")
    if fits < 4:
        return Finding("memory", Status.WARNING, words, "Lower ring_bytes and engine_max_streams.")
    return Finding("memory", Status.OK, words)


def available_bytes(proc: Path = Path("/proc/meminfo"), cgroup: Path = Path("/sys/fs/cgroup")) -> int | None:
    """Return the bytes that may still be used: of the machine, or of the container where that is less."""
    found: list[int] = []
    try:
        lines = dict(line.split(":", 1) for line in proc.read_text().splitlines() if ":" in line)
        found.append(int(lines["MemAvailable"].split()[0]) << 10)
    except (OSError, KeyError, ValueError, IndexError):
        pass
    try:
        limit = int((cgroup / "memory.max").read_text())
        found.append(max(0, limit - int((cgroup / "memory.current").read_text())))
    except (OSError, ValueError):
        pass  # no limit ("max"), or no cgroup here
    return min(found, default=None)


def look_at_clock(_settings: Settings) -> Finding:
    """Whether the clock is right, as far as that can be told without asking anybody."""
    built = Path(__file__).stat().st_mtime
    shown = time.strftime("%Y-%m-%d %H:%M:%S %Z")
    if time.time() < built - 86_400:
        return Finding("clock", Status.FAILURE, f"{shown} is before this program was installed", "Set the clock (NTP).")
    if is_clock_kept() is False:
        return Finding(
            "clock",
            Status.NOTE,
            f"{shown}; nothing seems to keep it right",
            "Times in log and history are only as right as the clock; run an NTP client (timedatectl set-ntp true).",
        )
    return Finding("clock", Status.OK, shown)


def is_clock_kept() -> bool | None:
    """Whether the kernel says that the clock is synchronised; None if it does not say."""
    try:
        state = ctypes.create_string_buffer(1024)  # struct timex; adjtimex(2) reads and writes it
        ctypes.CDLL(None, use_errno=True).adjtimex(state)
    except (OSError, AttributeError):
        return None
    # the status follows five fields that take a long each, the first one padded
    at = ctypes.sizeof(ctypes.c_long) * 5
    return not int.from_bytes(state.raw[at : at + 4], sys.byteorder) & STA_UNSYNC


def look_at_ffmpeg(_settings: Settings) -> Finding:
    """Whether pictures of streams can be made."""
    found = shutil.which("ffmpeg")
    if found is None:
        return Finding(
            "ffmpeg",
            Status.NOTE,
            "not installed; the dashboard shows no pictures of streams",
            "Install it if you want them; nothing else needs it.",
        )
    return Finding("ffmpeg", Status.OK, found)


def look_at_ipv6(settings: Settings) -> Finding:
    """Whether IPv6 is served."""
    host, _ = split_address(settings.listen)
    try:
        with socket.socket(socket.AF_INET6, socket.SOCK_STREAM) as trial:
            trial.bind(("::1", 0))
    except OSError:
        return Finding("ipv6", Status.NOTE, "this machine has no IPv6; players reach it by IPv4")
    served = host is None or ":" in host
    return Finding("ipv6", Status.OK, "served as well" if served else f"not served: listen names {host} alone")


def look_at_trust(settings: Settings) -> Finding:
    """Who may watch without signing in."""
    wide = [network for network in settings.trusted_networks if network.endswith("/0")]
    if wide:
        return Finding(
            "access",
            Status.WARNING,
            f"everybody who reaches the port may watch and see who else does ({', '.join(wide)})",
            "Name the networks of this house in trusted_networks; others sign in or get a token.",
        )
    words = "nobody without signing in" if not settings.trusted_networks else ", ".join(settings.trusted_networks)
    return Finding("access", Status.OK, f"may watch without signing in: {words}")

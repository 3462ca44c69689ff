"""`aceproxy doctor`: looks at everything that the program needs here, and says what to do about what is wrong."""

from __future__ import annotations

import asyncio
import ctypes
import errno
import json
import os
import platform
import resource
import shutil
import socket
import sys
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass
from enum import StrEnum
from pathlib import Path

from rich.console import Console

from aceproxy import __version__
from aceproxy.engine.api import EngineApi, EngineLimits, engine_session
from aceproxy.errors import AceProxyError, Reason
from aceproxy.health import ask
from aceproxy.logs import redact
from aceproxy.settings import Settings, split_address
from aceproxy.store.opening import FILE_NAME, look_at_database

WELL, UNWELL = 0, 1  # exit statuses; a setting that cannot be used is 2, as everywhere
DESCRIPTORS_BESIDE = 300  # for blocks, engines, files
LEAST_DISK_BYTES = 100 << 20
PROGRAM_BYTES = 100 << 20  # of the program itself, with some clients
OLDEST_ENGINE = (3, 1)
START_COMMAND = "docker run --rm -p 127.0.0.1:6878:6878 -e ALLOW_REMOTE_ACCESS=yes martinbjeldbak/acestream-http-proxy"
STA_UNSYNC = 0x40  # Linux: the clock is not kept by anything (adjtimex(2))


class Status(StrEnum):
    """What a look found."""

    OK = "ok"
    NOTE = "note"  # worth knowing, nothing is wrong
    WARNING = "warning"  # it works, but not well or not for long
    FAILURE = "failure"  # it does not work


@dataclass(frozen=True, slots=True)
class Finding:
    """What one look found, and what to do about it (empty where nothing is to be done)."""

    name: str
    status: Status
    message: str
    advice: str = ""


async def run_doctor(settings: Settings, *, as_json: bool) -> int:
    """Look at everything, print what was found and return the exit status."""
    findings = [*look_at_system(settings), *await look_at_engines(settings)]
    is_well = all(finding.status is not Status.FAILURE for finding in findings)
    if as_json:
        told = {"version": __version__, "ok": is_well, "checks": [asdict(finding) for finding in findings]}
        sys.stdout.write(json.dumps(told, indent=2) + "\n")
    else:
        _show(findings)
    return WELL if is_well else UNWELL


def _show(findings: list[Finding]) -> None:
    console = Console(highlight=False, soft_wrap=True)
    colours = {Status.OK: "green", Status.NOTE: "blue", Status.WARNING: "yellow", Status.FAILURE: "red"}
    for finding in findings:
        console.print(f"{finding.status:8}", style=colours[finding.status], end="")
        console.print(f"{finding.name}: {finding.message}", markup=False)
        if finding.advice:
            console.print(f"          {finding.advice}", markup=False)
    bad = [finding.name for finding in findings if finding.status is Status.FAILURE]
    console.print(f"\nNot well: {', '.join(bad)}." if bad else "\nAll is well.", markup=False)


# --- this machine ---


def look_at_system(settings: Settings) -> list[Finding]:
    """Look at what needs no engine. Nothing is changed, and what is opened is closed again."""
    looks: list[Callable[[Settings], Finding]] = [
        look_at_platform, look_at_port, look_at_descriptors, look_at_memory, look_at_state, look_at_store, look_at_log,
        look_at_clock, look_at_ffmpeg, look_at_ipv6, look_at_trust,
    ]  # fmt: skip
    return [look(settings) for look in looks]


def look_at_platform(_settings: Settings) -> Finding:
    """Python and the system calls that media goes through."""
    words = f"AceProxy {__version__}, Python {platform.python_version()}, {platform.system()} {platform.release()}"
    if not sys.platform.startswith("linux"):
        return Finding("system", Status.FAILURE, words, "AceProxy needs Linux: epoll, sendfile, memfd.")
    if not hasattr(os, "memfd_create"):
        return Finding(
            "system",
            Status.NOTE,
            f"{words}; no memfd here, blocks are unlinked temporary files",
            f"Let {tempfile.gettempdir()} lie in memory (tmpfs).",
        )
    return Finding("system", Status.OK, words)


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


def look_at_state(settings: Settings) -> Finding:
    """Whether the folder for what must survive can be written and is nobody else's."""
    folder = settings.state_dir
    if folder is None:
        return Finding(
            "state",
            Status.NOTE,
            "no state_dir: after a restart history, changed settings and the admin secret are new",
            "Set state_dir to a folder of this program alone to keep them.",
        )
    if not _is_there(folder) and not _cannot_write(_nearest(folder)):
        return Finding("state", Status.OK, f"{folder} will be made at the start")
    problem = _cannot_write(folder)
    if problem:
        advice = f"Make it, and let the user that runs this (uid {os.getuid()}) write there."
        return Finding("state", Status.FAILURE, f"{folder}: {problem}", advice)
    free = shutil.disk_usage(folder).free
    if free < LEAST_DISK_BYTES:
        return Finding("state", Status.WARNING, f"{folder} has {free >> 20} MiB left", "Make room on that disk.")
    if folder.stat().st_mode & 0o077:
        return Finding(
            "state",
            Status.WARNING,
            f"{folder} can be entered by other users",
            f"chmod 700 {folder}; secrets are in it.",
        )
    return Finding("state", Status.OK, f"{folder} can be written, {free >> 20} MiB are free")


def look_at_store(settings: Settings) -> Finding:
    """Whether history and what is learnt of links can be written, in the file that is there."""
    folder = settings.state_dir
    if folder is None:
        return Finding("history", Status.OK, "in memory, without state_dir")
    path = folder / FILE_NAME
    missing = _cannot_write(_nearest(folder))
    if missing:
        return Finding("history", Status.FAILURE, f"{path} cannot be kept: {missing}", "See to the state folder first.")
    if not path.exists():
        return Finding("history", Status.OK, f"{path} will be made at the start")
    problem = look_at_database(path)
    if problem:
        advice = "See to the disk and who may write there; or stop the program and move the file away."
        return Finding("history", Status.FAILURE, f"{path}: {problem}", advice)
    return Finding("history", Status.OK, f"{path} is sound, {path.stat().st_size >> 20} MiB")


def look_at_log(settings: Settings) -> Finding:
    """Whether the log file can be written and has room."""
    path = settings.log_file
    if path is None:
        return Finding("log", Status.OK, "to standard error and memory; no log_file")
    if os.path.lexists(path) and not path.is_file():
        advice = "Name a file in a folder: it is renamed when it is full, and another one takes its place."
        return Finding("log", Status.FAILURE, f"{path} is not a file that records can be kept in", advice)
    problem = _cannot_write(path.parent) or _cannot_append(path)
    if problem:
        advice = f"Make the folder, and let uid {os.getuid()} write there."
        return Finding("log", Status.FAILURE, f"{path.parent}: {problem}", advice)
    needed = settings.log_file_bytes * settings.log_file_count
    free = shutil.disk_usage(path.parent).free
    if free < needed:
        words = f"{path} may grow to {needed >> 20} MiB in all, {free >> 20} MiB are free"
        return Finding("log", Status.WARNING, words, "Lower log_file_bytes or log_file_count.")
    return Finding("log", Status.OK, f"{path} can be written")


def _nearest(folder: Path) -> Path:
    """Return the first of a folder's parents that exists."""
    return next(parent for parent in (folder, *folder.absolute().parents) if _is_there(parent))


def _is_there(path: Path) -> bool:
    """Whether a path can be seen: what lies in a folder that is closed to us cannot."""
    try:
        return path.exists()
    except OSError:
        return False


def _cannot_write(folder: Path) -> str:
    """Say why nothing can be written into a folder; empty if it can."""
    try:
        with tempfile.NamedTemporaryFile(dir=folder, prefix=".aceproxy-doctor-"):
            return ""
    except OSError as error:
        return error.strerror or str(error)


def _cannot_append(path: Path) -> str:
    """Say why nothing can be added to a file that is there; empty if it can, or there is none. Adds nothing."""
    try:
        with path.open("r+b"):
            return ""
    except FileNotFoundError:
        return ""
    except OSError as error:
        return error.strerror or str(error)


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


# --- engines ---


async def look_at_engines(settings: Settings) -> list[Finding]:
    """Ask every engine for its version, all at once."""
    limits = EngineLimits.from_settings(settings)
    async with engine_session(limits) as session:
        apis = [EngineApi(entry.url, session, limits) for entry in settings.engines]
        return list(await asyncio.gather(*(_look_at_engine(api) for api in apis)))


async def _look_at_engine(api: EngineApi) -> Finding:
    name = f"engine {api.url}"
    began_at = time.monotonic()
    try:
        version = (await api.version()).version
    except AceProxyError as error:
        advice = {
            Reason.ENGINE_UNREACHABLE: f"Start it and check address and firewall. In a container: {START_COMMAND}",
            Reason.ENGINE_REFUSED: "Start the engine with --bind-all (the community's image: ALLOW_REMOTE_ACCESS=yes).",
            Reason.ENGINE_TIMEOUT: "It takes connections and does not answer: restart it.",
        }.get(error.reason, "Is it an AceStream engine? Its own log may tell more.")
        return Finding(name, Status.FAILURE, redact(error.message), advice)
    took_ms = (time.monotonic() - began_at) * 1000
    words = f"version {redact(version) or 'unknown'}, answers in {took_ms:.0f} ms"
    numbers = tuple(int(part) for part in version.split(".")[:2] if part.isdecimal())
    if len(numbers) == 2 and numbers < OLDEST_ENGINE:
        return Finding(name, Status.WARNING, words, "It is very old; 3.1 and newer are known to work.")
    return Finding(name, Status.OK, words)

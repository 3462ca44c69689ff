"""What is measured: the proxy under a start command of choice, and the references, each as a process of its own."""

from __future__ import annotations

import contextlib
import os
import shlex
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from bench.building import ROOT, Programs
from bench.processes import Child, ProcessError, free_port, wait_port

DEFAULT_COMMAND = "aceproxy serve --listen {listen} --engine {engine}"
START_S = 30.0
PROXY, COALESCE, CHUNK, NGINX, DIRECT = "proxy", "c-coalesce", "c-chunk", "nginx", "direct"
RECEIVE = "c-receive"  # nobody gets anything
STREAM_PATH = "/ace/getstream?id={}"
BIG_LOG_BYTES = 1 << 30
BIG_LOG_LINE = (
    b'{"time":"2026-01-01T00:00:00.000Z","level":"info","logger":"aceproxy.streams.stream",'
    b'"message":"an old line among millions","stream":"00000000","id":%d}\n'
)
TICK_MS = 90  # of the C fan-out with coalescing: the proxy's own batch_s
CACHE_CONF = ROOT / "docs" / "nginx.conf"

NGINX_CONF = """
daemon off; master_process off; worker_rlimit_nofile 16384; pid {folder}/nginx.pid; error_log stderr warn;
events {{ worker_connections 8192; }}
http {{
  access_log off; sendfile on; default_type video/mp2t;
  client_body_temp_path {folder}/t1; proxy_temp_path {folder}/t2; fastcgi_temp_path {folder}/t3;
  uwsgi_temp_path {folder}/t4; scgi_temp_path {folder}/t5;
  server {{ listen 127.0.0.1:{port} backlog=4096; root {folder}; limit_rate {rate}; }}
}}
"""


@dataclass(frozen=True, slots=True)
class Setup:
    """What all runs have in common. `folder` takes logs and files of the runs."""

    programs: Programs
    command: str
    folder: Path
    bitrate_bps: float


@dataclass(frozen=True, slots=True)
class Target:
    """A server that players can be sent to; `pid` is the root of the tree that is measured."""

    kind: str
    port: int
    pid: int
    path: str = STREAM_PATH


@contextlib.contextmanager
def source(setup: Setup, *, unlimited: bool = False, limit_gb: float = 0.0) -> Iterator[Target]:
    """Run the fake engine. Raises ProcessError."""
    command: list[str | Path] = [setup.programs.source, "--bitrate", f"{setup.bitrate_bps:.0f}"]
    command += ["--unlimited", str(int(unlimited)), "--limit-gb", f"{limit_gb:g}"]
    with Child("source", command, setup.folder / "source.log") as child:
        port = int(child.wait_line("listening ", START_S).split()[1])
        yield Target(DIRECT, port, child.pid)


@contextlib.contextmanager
def target(setup: Setup, kind: str, engine: Target, media_s: float, *, big_log: bool = False) -> Iterator[Target]:
    """Run what is to be measured; `media_s` is how long it will have to play. Raises ProcessError."""
    if kind == DIRECT:
        yield engine
    elif kind == PROXY:
        yield from _proxy(setup, engine.port, big_log=big_log)
    elif kind == NGINX:
        yield from _nginx(setup, media_s)
    else:
        yield from _fanout(setup, kind.removeprefix("c-"), engine.port)


def _proxy(setup: Setup, engine_port: int, *, big_log: bool) -> Iterator[Target]:
    port = free_port()
    words = shlex.split(setup.command.format(listen=f"127.0.0.1:{port}", engine=f"http://127.0.0.1:{engine_port}"))
    # programs beside our Python come first: `aceproxy` is the checkout's own
    search = {**os.environ, "PATH": f"{Path(sys.executable).parent}:{os.environ.get('PATH', '')}"}
    search["ACEPROXY_TRUSTED_PROXIES"] = "127.0.0.1/32"  # the cache, where there is one
    words[0] = shutil.which(words[0], path=search["PATH"]) or words[0]
    log = setup.folder / "proxy.log"
    if big_log:
        old = setup.folder / "proxy-old.log"
        _write_big_log(old)
        search |= {"ACEPROXY_LOG_FILE": str(old), "ACEPROXY_LOG_FILE_BYTES": str(2 * BIG_LOG_BYTES)}
    with Child("the proxy", words, log, environment=search) as child:
        wait_port(child, port, START_S)
        yield Target(PROXY, port, child.pid)


def _write_big_log(path: Path) -> None:
    """Write a log of 1 GB of lines; on a disk, as the proxy's own would be."""
    lines = b"".join(BIG_LOG_LINE % number for number in range(1 << 14))
    with path.open("wb") as file:
        for _ in range(BIG_LOG_BYTES // len(lines)):
            file.write(lines)


@contextlib.contextmanager
def cache(setup: Setup, goal: Target) -> Iterator[Target]:
    """Run nginx in front of the proxy as docs/nginx.conf has it, but for addresses and folders. Raises ProcessError."""
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise ProcessError("nginx is not installed")
    port = free_port()
    folder = Path(tempfile.mkdtemp(prefix="cache-", dir=setup.folder))
    folder.chmod(0o777)  # its workers run as another user where it is started by root
    setup.folder.chmod(0o755)
    own = f"daemon off; pid {folder}/nginx.pid; error_log stderr warn; worker_rlimit_nofile 16384;\n"
    temp = "".join(
        f"{name}_temp_path {folder}/{name}; " for name in ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    )
    text = CACHE_CONF.read_text()
    for found, wanted in (
        ("127.0.0.1:6880", f"127.0.0.1:{goal.port}"),
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("/var/cache/nginx/aceproxy", f"{folder}/cached"),
        ("http {", f"http {{ {temp}"),
    ):
        if found not in text:
            raise ProcessError(f"{CACHE_CONF} does not say {found!r} any more")
        text = text.replace(found, wanted)
    conf = folder / "nginx.conf"
    conf.write_text(own + text)
    with Child("nginx", [nginx, "-c", conf, "-e", "stderr"], setup.folder / "cache.log") as child:
        wait_port(child, port, START_S)
        yield Target(NGINX, port, child.pid)


def _fanout(setup: Setup, mode: str, engine_port: int) -> Iterator[Target]:
    command: list[str | Path] = [setup.programs.fanout, "--engine-port", str(engine_port), "--mode", mode]
    command += ["--tick-ms", str(TICK_MS)]
    with Child(f"fanout {mode}", command, setup.folder / f"fanout-{mode}.log") as child:
        port = int(child.wait_line("listening ", START_S).split()[1])
        yield Target(f"c-{mode}", port, child.pid)


def _nginx(setup: Setup, media_s: float) -> Iterator[Target]:
    nginx = shutil.which("nginx") or shutil.which("nginx", path="/usr/sbin:/usr/local/sbin")
    if nginx is None:
        raise ProcessError("nginx is not installed")
    port = free_port()
    media = setup.folder / "media.ts"
    wanted = int(setup.bitrate_bps / 8 * media_s)
    if not media.exists() or media.stat().st_size < wanted:
        subprocess.run(
            [
                setup.programs.source,
                "--file",
                media,
                "--seconds",
                f"{media_s:.0f}",
                "--bitrate",
                f"{setup.bitrate_bps:.0f}",
            ],
            check=True,
            timeout=START_S,
        )
    conf = setup.folder / "nginx.conf"
    rate = int(setup.bitrate_bps / 8 * 1.002)  # the broadcast's own rate, rounded up to whole packets per frame
    conf.write_text(NGINX_CONF.format(folder=setup.folder, port=port, rate=rate))
    with Child("nginx", [nginx, "-c", conf, "-e", "stderr"], setup.folder / "nginx.log") as child:
        wait_port(child, port, START_S)
        yield Target(NGINX, port, child.pid, "/media.ts")

"""HLS behind nginx, with the configuration that docs/nginx.conf gives to users."""

from __future__ import annotations

import posixpath
import shutil
import socket
import tempfile
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from tests.hls.checking import read
from tests.system.calls import Reply, ask
from tests.system.programs import ROOT, Engine, Program, Proxy, tool, wait_for

VIEWERS = 20
FOLDERS = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")


@pytest.fixture
def folder() -> Iterator[Path]:
    """Return a folder that nginx's workers may use, whoever they are."""
    with tempfile.TemporaryDirectory(prefix="aceproxy-nginx-", ignore_cleanup_errors=True) as name:
        path = Path(name)
        path.chmod(0o777)
        yield path


def start_nginx(keep: Callable[[Program], Program], folder: Path, proxy_port: int) -> str:
    """Start nginx as documented, but for addresses and folders; returns its address."""
    nginx = shutil.which("nginx", path="/usr/sbin:/usr/local/sbin") or tool("nginx")
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port = probe.getsockname()[1]
    text = (ROOT / "docs" / "nginx.conf").read_text()
    temp = "".join(f"{name}_temp_path {folder}/{name}; " for name in FOLDERS)
    for found, wanted in (
        ("127.0.0.1:6880", f"127.0.0.1:{proxy_port}"),
        ("listen 8080", f"listen 127.0.0.1:{port}"),
        ("/var/cache/nginx/aceproxy", f"{folder}/cached"),
        ("http {", f"http {{ {temp}"),
        ("worker_processes auto", f"daemon off; pid {folder}/pid; error_log stderr warn; worker_processes 1"),
    ):
        assert found in text
        text = text.replace(found, wanted)
    (folder / "nginx.conf").write_text(text)
    program = keep(Program([nginx, "-c", folder / "nginx.conf", "-e", "stderr"], folder / "nginx"))

    def listens() -> bool:
        assert program.process.poll() is None, program.err
        with socket.socket() as attempt:
            return attempt.connect_ex(("127.0.0.1", port)) == 0

    wait_for(listens, "nginx")
    return f"http://127.0.0.1:{port}"


def watch(base: str, path: str) -> list[Reply]:
    """Take the list, and every segment in it."""
    answers = [ask("GET", base + path, limit_s=30)]
    playlist, wrong = read(answers[0].body.decode())
    assert wrong == []
    return answers + [ask("GET", f"{base}{posixpath.dirname(path)}/{entry.uri}") for entry in playlist.entries]


def test_many_viewers_behind_nginx_cost_as_much_as_one(
    programs: Callable[[Program], Program], engine: Engine, tmp_path: Path, folder: Path
) -> None:
    proxy = Proxy(tmp_path, engine.url, "trusted_proxies=127.0.0.1/32", "block_s=0.5", "linger_s=0.3")
    programs(proxy)
    base = start_nginx(programs, folder, proxy.port)
    content = engine.id_of("Light One")
    path = f"/hls/{content}/shared.m3u8"
    with ThreadPoolExecutor(VIEWERS) as pool:
        viewings = list(pool.map(lambda _: watch(base, path), range(VIEWERS)))
    answers = [answer for viewing in viewings for answer in viewing]
    assert {answer.status for answer in answers} == {200}
    segments = {answer.body for viewing in viewings for answer in viewing[1:]}
    assert sum(answer.headers["x-cache-status"] == "HIT" for answer in answers) > VIEWERS
    stream = proxy.stream(content)
    assert [(client["protocol"], client["address"]) for client in stream["clients"]] == [("hls", "127.0.0.1")]
    assert stream["outbound_bytes"] == sum(len(body) for body in segments)
    own = ask("GET", f"{base}/hls/{content}/index.m3u8")  # lists of one's own pass through
    assert own.status == 200
    assert "x-cache-status" not in own.headers
    assert proxy.stream(content)["client_count"] == 2
    assert ask("GET", f"{base}/ace/status").json()["streams"] == 1

"""The settings of a running program are read anew: by SIGHUP and by the API, while a stream plays."""

from __future__ import annotations

import signal
from collections.abc import Callable
from pathlib import Path

from tests.system.calls import Viewer
from tests.system.programs import Engine, Proxy, wait_for


def test_sighup_reads_the_file_anew_and_no_viewer_feels_it(
    engine: Engine, programs: Callable[[Proxy], Proxy], view: Callable[..., Viewer], tmp_path: Path
) -> None:
    path = tmp_path / "aceproxy.toml"
    path.write_text('linger_s = 0.3\nlog_level = "info"\n')
    proxy = programs(Proxy(tmp_path, engine.url, env={"ACEPROXY_CONFIG": str(path)}))
    proxy.wait_engine()
    viewer = view(proxy.play(engine, "Light One"))
    viewer.wait_bytes(50_000)

    path.write_text('linger_s = 30\nlisten = ":1"\nmax_clients = 1\n')
    proxy.signal(signal.SIGHUP)
    assert "linger_s, max_clients" in proxy.find(r"read anew; changed: (.*?)\n")
    refused = proxy.ask("GET", proxy.play(engine, "Light One").removeprefix(proxy.url))
    assert (refused.status, refused.reason) == (503, "too_many_clients")

    path.write_text("linger_s = soon\n")
    proxy.signal(signal.SIGHUP)
    assert str(path) in proxy.find(r"the settings were not reloaded: (.*?)\n")
    answer = proxy.ask("POST", "/api/reload")
    assert (answer.status, answer.reason) == (409, "bad_settings")

    path.write_text("linger_s = 0.2\n")
    assert proxy.ask("POST", "/api/reload").status == 200
    viewer.wait_more(50_000)
    assert not viewer.ended.is_set()
    viewer.leave()
    wait_for(lambda: not proxy.get("/api/aceproxy/streams")["streams"], "the stream ends after 0.2 s")

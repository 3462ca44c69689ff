"""Links: every form of one broadcast plays the same stream, and what is no link never reaches the engine."""

from __future__ import annotations

import json
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import pytest

from tests.system.calls import Viewer, ask, raw
from tests.system.fake_engine import FakeEngine
from tests.system.oracle import faults_in
from tests.system.programs import Engine, Program, Proxy, wait_for

Keep = Callable[[Program], Program]
View = Callable[..., Viewer]
HEX = "0123456789abcdef0123456789abcdef01234567"

NO_LINKS = (
    "id=" + "g" * 40,
    "id=" + HEX[:39],
    "id=" + HEX + "0",
    "id=" + "a" * 10_000,
    "id=" + quote("й" * 40),
    "id=%ff%fe" + HEX[:38],
    "id=%00" + HEX,
    "id=" + HEX + "%00",
    "id=" + HEX[:20] + "%0d%0a" + HEX[:20],
    "id=" + HEX + "%0d%0aX-Evil:%201",
    "id=%1b[2J" + HEX,
    "id=" + HEX + "%26pid%3dother",
    "id=../../etc/passwd",
    "id=" + quote("acestream://" + "z" * 40),
    "id=" + quote("acestream:?data=" + HEX),
    "id=" + quote("file:///etc/passwd"),
    "infohash=" + quote("acestream://" + HEX),
    "infohash=" + HEX[:39] + "x",
    "magnet=" + quote("magnet:?xt=urn:btih:" + "x" * 40),
    "magnet=" + quote("magnet:?dn=nothing"),
    "magnet=" + quote("http://transport.example/x"),
    "content_id=" + HEX + "&infohash=" + HEX[::-1],
    "id=" + HEX + "&id=" + HEX[::-1],
    "id=" + HEX + "&url=" + quote("http://transport.example/x.acelive"),
    "id=" + HEX + "&_idx=-1",
    "id=" + HEX + "&_idx=x",
    "direct_url=" + quote("http://127.0.0.1/"),
    "id=",
    "",
    "url=" + quote("file:///etc/passwd"),
    "url=" + quote("ftp://transport.example/x"),
    "url=" + quote("gopher://transport.example/x"),
    "url=" + quote("http://"),
    "url=" + quote("http://transport.example:99999/x"),
    "url=" + quote("http://transport.example/x\r\nHost: evil"),
    "url=" + quote("http://" + "a" * 9000 + ".example/"),
)
FOREIGN_URLS = (
    "http://evil.example/x.acelive",
    "http://transport.example.evil.example/x",
    "http://eviltransport.example/x",
)
PRIVATE_URLS = (
    "http://127.0.0.1/x",
    "http://127.1/x",
    "http://2130706433/x",
    "http://0x7f000001/x",
    "http://0177.0.0.1/x",
    "http://[::1]/x",
    "http://[::ffff:127.0.0.1]/x",
    "http://169.254.169.254/latest/meta-data/",
    "http://10.0.0.1/x",
    "http://192.168.1.1/x",
    "http://localhost/x",
    "http://engine/x",
    "http://transport.example@127.0.0.1/x",
    "http://127.0.0.1#@transport.example/",
    "http://127.0.0.1\\@transport.example/",
    "http://①②⑦.⓪.⓪.①/x",
    "http://0/x",
)


@pytest.fixture(scope="module")
def deaf_engine() -> Iterator[FakeEngine]:
    """Return an engine that knows nothing and notes every request."""
    engine = FakeEngine()
    yield engine
    engine.stop()


@pytest.fixture(scope="module", params=["transport.example", "*"])
def guarded(
    request: pytest.FixtureRequest,
    deaf_engine: FakeEngine,
    module_programs: Keep,
    tmp_path_factory: pytest.TempPathFactory,
) -> Proxy:
    """Return a proxy that lets URLs point to one host, or to every public one."""
    folder = tmp_path_factory.mktemp("guarded")
    proxy = Proxy(folder, deaf_engine.url, f"url_hosts={request.param}", "bad_link_memory_s=0")
    module_programs(proxy)
    return proxy


def test_what_is_no_link_is_400_and_never_reaches_the_engine(guarded: Proxy, deaf_engine: FakeEngine) -> None:
    seen = len(deaf_engine.asked)
    for query in NO_LINKS:
        for path in (f"/ace/getstream?{query}", f"/ace/getstream/?{query}"):
            reply = guarded.ask("GET", path)
            assert (reply.status, reply.headers.get("retry-after")) == (400, None), (path[:200], reply.body)
            assert reply.reason in ("no_link", "bad_link", "two_links", "request_refused"), path[:200]
            assert b"\x1b" not in reply.body
            assert "x-evil" not in reply.headers
    assert not [one for one in deaf_engine.asked[seen:] if "/ace/" in one]  # what it is may be asked


def test_urls_to_hosts_that_are_not_allowed_are_refused(guarded: Proxy, deaf_engine: FakeEngine) -> None:
    everywhere = "url_hosts=*" in str(guarded.process.args)
    seen = len(deaf_engine.asked)
    for url in PRIVATE_URLS + (() if everywhere else FOREIGN_URLS):
        for query in (
            f"url={quote(url, safe='')}",
            f"id={quote(url, safe='')}",
            f"id={quote('acestream:?url=' + url)}",
        ):
            reply = guarded.ask("GET", f"/ace/getstream?{query}")
            assert (reply.status, reply.reason) in ((403, "url_host_refused"), (400, "bad_link")), (query, reply.body)
    assert not [one for one in deaf_engine.asked[seen:] if "/ace/" in one]  # what it is may be asked


def test_lines_that_are_no_http_are_refused_and_the_next_caller_is_served(
    guarded: Proxy, deaf_engine: FakeEngine
) -> None:
    seen = len(deaf_engine.asked)
    for line in (
        b"GET /ace/getstream?id=" + HEX.encode() + b"\x00 HTTP/1.1\r\nHost: x\r\n\r\n",
        b"GET /ace/getstream?id=" + b"\x1b" * 40 + b" HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n",
        b"GET /ace/getstream?id=" + b"a" * 100_000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
        b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03" + b"\r\n\r\n",
        b"GET / HTTP/1.1\r\nX: " + b"a" * 100_000 + b"\r\n\r\n",
    ):
        answer = raw(guarded.port, line)
        assert not answer or answer.startswith((b"HTTP/1.1 400 ", b"HTTP/1.0 400 ", b"HTTP/1.1 414 ")), answer[:200]
        assert guarded.ask("GET", "/api/health").status == 200
    assert not [one for one in deaf_engine.asked[seen:] if "/ace/" in one]  # what it is may be asked


def test_the_engine_is_asked_with_our_own_player_id_and_form(guarded: Proxy, deaf_engine: FakeEngine) -> None:
    seen = len(deaf_engine.asked)
    more = "pid=foreign&sid=foreign&format=redirect&direct_url=http://127.0.0.1/&use_api_events=1&_idx=2&quality=hd"
    reply = guarded.ask("GET", f"/ace/getstream?infohash={HEX}&{more}")
    assert reply.reason == "content_not_found"
    starts = [one for one in deaf_engine.asked[seen:] if "/ace/getstream" in one]
    assert len(starts) == 1
    query: dict[str, Any] = parse_qs(urlsplit(starts[0].split()[1]).query)
    pid = query.pop("pid")
    assert query == {"infohash": [HEX], "format": ["json"], "_idx": ["2"], "quality": ["hd"]}
    assert pid != ["foreign"]


def test_head_starts_nothing_and_other_methods_are_405(guarded: Proxy, deaf_engine: FakeEngine) -> None:
    seen = len(deaf_engine.asked)
    reply = guarded.ask("HEAD", f"/ace/getstream?id={HEX}")
    assert (reply.status, reply.headers["content-type"], reply.body) == (200, "video/mp2t", b"")
    assert guarded.ask("HEAD", "/ace/getstream?id=xyz").status == 400
    for method in ("POST", "PUT", "DELETE", "PATCH"):
        reply = guarded.ask(method, f"/ace/getstream?id={HEX}")
        assert (reply.status, reply.reason) == (405, "method_not_allowed")
        assert "GET" in reply.headers["allow"]
    assert guarded.get("/api/aceproxy/streams")["total_streams"] == 0
    assert not [one for one in deaf_engine.asked[seen:] if "/ace/" in one]  # what it is may be asked


def forms(engine: Engine, name: str) -> list[str]:
    """Return every way to name a channel, as a query."""
    content_id, infohash = engine.id_of(name), engine.infohash_of(name)
    url = str(engine.contents[name]["transport_url"])
    return [
        f"id={content_id}",
        f"content_id={content_id.upper()}&pid=somebody",
        f"infohash={infohash}",
        f"magnet={quote(f'magnet:?xt=urn:btih:{infohash.upper()}&dn=x&tr=http%3A%2F%2Ftracker.example', safe='')}",
        f"id={quote(f'acestream://{content_id}', safe='')}",
        f"id={quote(f'acestream:?infohash={infohash}', safe='')}",
        f"id={quote(f' {{{content_id}}} ')}",
        f"url={quote(url, safe='')}",
        f"id={quote(url, safe='')}",
    ]


def all_play_on(viewers: list[Viewer]) -> None:
    """Assert that every viewer gets more, without a gap."""
    counts = [len(viewer.body) for viewer in viewers]
    for viewer, count in zip(viewers, counts, strict=True):
        viewer.wait_bytes(count + 200_000)
        assert faults_in(viewer.body) == []


@pytest.mark.parametrize("first", [0, 2, 7], ids=["id first", "infohash first", "url first"])
def test_links_of_every_form_play_one_playback(
    programs: Keep, engine: Engine, view: View, tmp_path: Path, first: int
) -> None:
    proxy = Proxy(tmp_path, engine.url, "url_hosts=transport.example", "linger_s=0.3")
    programs(proxy)
    queries = forms(engine, "Light One")
    queries.insert(0, queries.pop(first))
    viewers = [view(f"{proxy.url}/ace/getstream?{query}") for query in queries]
    assert [viewer.status for viewer in viewers] == [200] * len(queries)
    all_play_on(viewers)
    streams = proxy.get("/api/aceproxy/streams")["streams"]
    assert [stream["client_count"] for stream in streams] == [len(queries)]
    assert streams[0]["infohash"] == engine.infohash_of("Light One")
    assert streams[0]["recoveries"] == 0
    assert [one["max_readers"] for one in engine.playbacks()] == [1]


def test_links_of_every_form_at_the_same_moment_end_in_one_stream(
    programs: Keep, engine: Engine, tmp_path: Path, view: View
) -> None:
    proxy = Proxy(tmp_path, engine.url, "url_hosts=transport.example", "linger_s=0.3")
    programs(proxy)
    viewers: list[Viewer] = []
    threads = [
        threading.Thread(target=lambda q=query: viewers.append(view(f"{proxy.url}/ace/getstream?{q}")))
        for query in forms(engine, "Light One")
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert [viewer.status for viewer in viewers] == [200] * len(threads)
    all_play_on(viewers)
    wait_for(lambda: sum(one["readers"] for one in engine.running()) == 1, "one reader on the engine")
    streams = proxy.get("/api/aceproxy/streams")["streams"]
    assert [(stream["client_count"], stream["recoveries"]) for stream in streams] == [(len(threads), 0)]


def test_a_foreign_pid_is_accepted_and_ignored(engine: Engine, proxy: Proxy, view: View) -> None:
    viewers = [view(f"{proxy.play(engine, 'Light One')}&pid={name}") for name in ("one", "two", quote("ä ö"))]
    for viewer in viewers:
        assert viewer.status == 200
        viewer.wait_bytes(100_000)
    assert len(engine.playbacks()) == 1
    assert engine.playbacks()[0]["pid"] not in ("one", "two", "ä ö")
    assert "one" not in json.dumps(proxy.get("/api/aceproxy/streams")["streams"][0]["aliases"])


def test_the_same_digits_as_id_and_infohash_are_one_link(engine: Engine, proxy: Proxy, view: View) -> None:
    infohash = engine.infohash_of("Light One")
    viewers = [view(f"{proxy.url}/ace/getstream?{query}") for query in (f"infohash={infohash}", f"id={infohash}")]
    assert [viewer.status for viewer in viewers] == [200, 200]
    assert len(engine.playbacks()) == 1
    assert ask("GET", f"{proxy.url}/ace/status?id={infohash}").json()["clients"] == 2

"""Programs made for an engine that take AceProxy for one: the package `acestream` from PyPI, unchanged."""

from __future__ import annotations

import json
import subprocess
import sys

from tests.system.programs import Engine, Proxy, clean_environment, wait_for

# The package polls in a thread and warns of its own old imports, so it gets a process of its own.
CLIENT = """
import json, sys, time, urllib.request
from acestream.search import Search
from acestream.server import Server
from acestream.stream import Stream

server = Server(host="127.0.0.1", port=int(sys.argv[1]))
stream = Stream(server, **{sys.argv[2]: sys.argv[3]})
told = []
stream.connect("error", lambda words: told.append(["error", words]))
stream.connect("started", lambda: told.append(["started"]))
stream.connect("stopped", lambda: told.append(["stopped"]))
out = {"available": server.available, "version": server.version, "token": server.token}
stream.start()
if ["started"] in told:
    limit_at = time.monotonic() + 20
    while stream.status != "dl" and time.monotonic() < limit_at:
        time.sleep(0.05)
    media = urllib.request.urlopen(stream.playback_url)
    out["media"] = len(media.read(188000))
    out |= {"status": stream.status, "peers": stream.stats.peers, "is_live": stream.is_live}
    out |= {"name": stream.info.name, "files": stream.info.files, "infohash": stream.infohash}
    stream.stop()
    media.close()
search = Search(server, query="light")
search.groups = True
search.get(page=0)
out |= {"told": told, "found": [one.name for one in search.results or []]}
print(json.dumps(out))
"""


def client(proxy: Proxy, field: str, value: str) -> dict[str, object]:
    """Run the package's client against the proxy and return what it saw."""
    done = subprocess.run(
        [sys.executable, "-W", "ignore", "-c", CLIENT, str(proxy.port), field, value],
        capture_output=True,
        timeout=60,
        env=clean_environment(),
        check=False,
    )
    assert done.returncode == 0, done.stderr.decode()
    found: dict[str, object] = json.loads(done.stdout)
    return found


def test_the_acestream_package_starts_watches_and_stops(engine: Engine, proxy: Proxy) -> None:
    proxy.wait_engine()
    seen = client(proxy, "id", engine.id_of("Light One"))
    assert seen == {
        "available": True,
        "version": "3.2.3",
        "token": None,  # private, also for clients that ask nicely
        "media": 188000,
        "status": "dl",
        "peers": 24,
        "is_live": 1,
        "name": "Light One",
        "files": [{"index": 0, "filename": "Light One"}],
        "infohash": engine.infohash_of("Light One"),
        "told": [["started"], ["stopped"]],
        "found": ["Light One", "Light Two"],
    }
    wait_for(lambda: not engine.running(), "the playback is stopped")
    assert len(engine.playbacks()) == 1


def test_the_acestream_package_hears_of_a_failure(engine: Engine, proxy: Proxy) -> None:
    proxy.wait_engine()
    seen = client(proxy, "infohash", "7" * 40)
    assert seen["told"] == [["error", "Failed to load content"]]

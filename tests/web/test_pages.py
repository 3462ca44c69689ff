"""The files of the pages: what is served, how it is packed and kept, and that nothing else is."""

from __future__ import annotations

import gzip
import hashlib
import re
from importlib import resources

import pytest

from tests.conftest import MakeApp, ask

STATIC = resources.files("aceproxy.web") / "static"
MODULE_IMPORT = re.compile(r'(?:from|import)\s*\(?["\'](\./[^"\']+|\.\./[^"\']+)["\']')


async def test_files_are_packed_for_who_can_unpack_them(make_app: MakeApp) -> None:
    app = await make_app()
    plain = await ask(app, "/static/style.css")
    packed = await ask(app, "/static/style.css", headers="Accept-Encoding: gzip\r\n")
    assert gzip.decompress(packed.body) == plain.body
    assert packed.headers["content-encoding"] == "gzip"
    assert len(packed.body) < len(plain.body) / 2
    assert packed.headers["vary"] == "Accept-Encoding"
    assert packed.headers["etag"] != plain.headers["etag"]


async def test_a_copy_that_is_still_good_is_not_sent_again(make_app: MakeApp) -> None:
    app = await make_app()
    first = await ask(app, "/")
    again = await ask(app, "/", headers=f"If-None-Match: {first.headers['etag']}\r\n")
    assert (again.status, again.body) == (304, b"")
    assert first.headers["cache-control"] == "no-cache"


async def test_libraries_may_be_kept_for_ever_since_their_names_have_versions(make_app: MakeApp) -> None:
    app = await make_app()
    for entry in (STATIC / "vendor").iterdir():
        if entry.name.endswith((".js", ".mjs", ".css")):
            answer = await ask(app, f"/static/vendor/{entry.name}")
            assert "immutable" in answer.headers["cache-control"]
            assert re.search(r"-\d+\.\d+\.\d+\.", entry.name)


@pytest.mark.parametrize("name", ["../pages.py", "..%2fpages.py", "vendor/../../pages.py", "vendor", "%00", "x.css"])
async def test_nothing_else_is_served(make_app: MakeApp, name: str) -> None:
    answer = await ask(await make_app(), f"/static/{name}")
    assert answer.status == 404


def test_the_libraries_are_those_that_their_list_says() -> None:
    told = (STATIC / "vendor" / "README.md").read_text(encoding="utf-8")
    names = [entry.name for entry in (STATIC / "vendor").iterdir() if entry.name.endswith((".js", ".mjs", ".css"))]
    for name in names:
        body = (STATIC / "vendor" / name).read_bytes()
        assert hashlib.sha256(body).hexdigest() in told, name
        assert f"`{name}`" in told
    for licence in re.findall(r"\((\S+\.LICENSE\.txt)\)", told):
        assert (STATIC / "vendor" / licence).read_bytes()


def test_every_module_that_is_imported_is_there() -> None:
    """A name that is wrong would only be noticed by who opens that part of the page."""
    folder = resources.files("aceproxy.web")
    for path in (entry for entry in (folder / "static").iterdir() if entry.name.endswith(".js")):
        for target in MODULE_IMPORT.findall(path.read_text(encoding="utf-8")):
            assert (STATIC / target).is_file(), (path.name, target)

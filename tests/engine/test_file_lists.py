"""The files of a link: what an engine tells of them is bounded, and odd entries are left out."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.file_lists import FileEntry, file_listing
from aceproxy.errors import AceProxyError, Reason

HASH = "0A4848271C91CE2D8965CE416267C25047DC8141"


def test_a_full_answer_is_read() -> None:
    entry = {"index": 3, "filename": "a\x00b.mkv", "type": "vod", "mime": "Video/X-Matroska", "size": 12345}
    found = file_listing({"files": [entry], "name": "A show", "infohash": HASH, "type": "vod"})
    assert (found.infohash, found.name, found.is_live) == (HASH.lower(), "A show", False)
    assert found.files == (FileEntry(3, "a b.mkv", 12345, "video/x-matroska"),)


def test_a_broadcast_is_told_apart_and_nothing_is_taken_for_granted() -> None:
    assert file_listing({"type": "live", "files": []}).is_live is True
    bare = file_listing({})
    assert (bare.infohash, bare.name, bare.is_live, bare.files) == (None, "", None, ())
    brief = file_listing({"files": [{"index": 0, "filename": "x"}]})
    assert brief.files == (FileEntry(0, "x", None, ""),)


@pytest.mark.parametrize(
    "entry",
    [None, [], "x", {}, {"index": "0"}, {"index": -1}, {"index": True}, {"index": 10**6}, {"index": 1.5}],
)
def test_odd_entries_are_left_out(entry: object) -> None:
    assert file_listing({"files": [entry]}).files == ()


def test_types_and_sizes_that_make_no_sense_count_as_not_told() -> None:
    for mime in ("text/html", "video/" + "x" * 100, 'video/mp4"><script>', 7, None):
        (file,) = file_listing({"files": [{"index": 0, "mime": mime, "size": -5, "filename": 9}]}).files
        assert (file.mime, file.size_bytes) == ("", None)


NAMES = ["files", "index", "filename", "mime", "size", "type", "infohash", "name"]
PLAIN = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20)
JSON = st.recursive(
    PLAIN,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.sampled_from(NAMES), inner, max_size=6),
    max_leaves=20,
)


@given(JSON)
def test_no_answer_breaks_the_reading(result: object) -> None:
    try:
        found = file_listing(result)
    except AceProxyError as error:
        reason = error.reason
    else:
        assert all(0 <= file.index < 10_000 for file in found.files)
        return
    assert reason is Reason.ENGINE_ERROR

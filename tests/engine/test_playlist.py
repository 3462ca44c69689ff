"""Lists as text: what can be played is read, everything else is an error of one kind."""

from __future__ import annotations

import contextlib

import m3u8  # type: ignore[import-untyped]  # has no stubs
import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.playlist import SEGMENTS_LIMIT, MediaList, PlaylistError, Segment, Variant, parse_playlist

BASE = "http://origin.example/live/chunklist_b1600000.m3u8"
HEAD = "#EXTM3U\n#EXT-X-VERSION:3\n#EXT-X-TARGETDURATION:7\n"
LIVE = (
    HEAD
    + "#EXT-X-MEDIA-SEQUENCE:42\n#EXTINF:5.720000,\nhttp://other.example/a/0.ts\n"
    + "#EXT-X-PROGRAM-DATE-TIME:2026-11-22T00:00:00Z\n#EXTINF:5.36,title, with a comma\n\n1.ts?x=1\n"
    + "#EXT-X-DISCONTINUITY\n"
    + "#EXTINF:4\n/root/2.ts\n"
)


def test_a_live_list_is_its_segments_with_numbers_and_whole_addresses() -> None:
    found = parse_playlist(LIVE, BASE)
    assert found == MediaList(
        (
            Segment(42, "http://other.example/a/0.ts", 5.72),
            Segment(43, "http://origin.example/live/1.ts?x=1", 5.36),
            Segment(44, "http://origin.example/root/2.ts", 4.0),
        ),
        target_s=7.0,
        is_complete=False,
    )


def test_a_complete_list_says_so_and_line_ends_do_not_matter() -> None:
    text = "\ufeff" + LIVE.replace("\n", "\r\n") + "#EXT-X-ENDLIST"
    found = parse_playlist(text, BASE)
    assert isinstance(found, MediaList)
    assert found.is_complete
    assert len(found.segments) == 3


def test_it_reads_the_same_as_another_reader() -> None:
    found, other = parse_playlist(LIVE, BASE), m3u8.loads(LIVE, uri=BASE)
    assert isinstance(found, MediaList)
    assert [one.url for one in found.segments] == [one.absolute_uri for one in other.segments]
    assert [one.duration_s for one in found.segments] == [one.duration for one in other.segments]
    assert found.segments[0].sequence == other.media_sequence


def test_the_variants_of_a_master_list_come_best_first() -> None:
    text = (
        "#EXTM3U\n#EXT-X-STREAM-INF:BANDWIDTH=800000,RESOLUTION=640x360\nlow.m3u8\n"
        '#EXT-X-STREAM-INF:AVERAGE-BANDWIDTH=9999999,BANDWIDTH=2800000,CODECS="avc1,mp4a"\n../high.m3u8\n'
    )
    assert parse_playlist(text, BASE) == (
        Variant("http://origin.example/high.m3u8", 2_800_000),
        Variant("http://origin.example/live/low.m3u8", 800_000),
    )


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ("", "does not begin"),
        ("<html>#EXTM3U", "does not begin"),
        (HEAD.replace("#EXT-X-TARGETDURATION:7\n", "") + "#EXTINF:1,\na.ts\n", "target duration"),
        (HEAD + "a.ts\n", "an address of nothing"),
        (HEAD + "#EXTINF:x,\na.ts\n", "duration"),
        (HEAD + "#EXTINF:-1,\na.ts\n", "duration"),
        (HEAD + "#EXTINF:1e5,\na.ts\n", "duration"),
        (HEAD + "#EXTINF:500,\na.ts\n", "duration"),
        (HEAD + "#EXT-X-MEDIA-SEQUENCE:-3\n", "number"),
        (HEAD + "#EXT-X-MEDIA-SEQUENCE:" + "9" * 30 + "\n", "number"),
        (HEAD + "#EXTINF:1,\na.ts\n#EXT-X-MEDIA-SEQUENCE:3\n", "behind the first"),
        (HEAD + "#EXTINF:1,\nhttp://[bad/\n", "broken address"),
        (HEAD + "#EXTINF:1,\na b.ts\n", "broken address"),
        (HEAD + "#EXTINF:1,\n" + "a" * 3000 + "\n", "broken address"),
        (HEAD + '#EXT-X-MAP:URI="init.mp4"\n', "transport stream"),
        (HEAD + "#EXT-X-BYTERANGE:100@0\n", "transport stream"),
        (HEAD + "#EXTINF:1,\na.ts\n#EXT-X-STREAM-INF:BANDWIDTH=1\nb.m3u8\n", "in one"),
        (HEAD + "#EXTINF:1,\na.ts\n" * (SEGMENTS_LIMIT + 1), "too many segments"),
        (HEAD + "#x\n" * 30_000, "too many lines"),
        (HEAD + "#" + "x" * 600_000, "too long"),
    ],
)
def test_what_cannot_be_played_is_an_error(text: str, words: str) -> None:
    with pytest.raises(PlaylistError, match=words):
        parse_playlist(text, BASE)


def test_encrypted_segments_are_told_apart() -> None:
    with pytest.raises(PlaylistError) as caught:
        parse_playlist(HEAD + '#EXT-X-KEY:METHOD=AES-128,URI="k"\n#EXTINF:1,\na.ts\n', BASE)
    assert caught.value.encrypted
    assert parse_playlist(HEAD + "#EXT-X-KEY:METHOD=NONE\n#EXTINF:1,\na.ts\n", BASE)


TAGS = (
    "#EXTINF:",
    "#EXT-X-KEY:",
    "#EXT-X-MEDIA-SEQUENCE:",
    "#EXT-X-STREAM-INF:",
    "#EXT-X-TARGETDURATION:",
    "#",
    "",
    "http://",
)


@given(st.lists(st.tuples(st.sampled_from(TAGS), st.text(max_size=30)), max_size=30))
def test_no_text_breaks_the_reading(lines: list[tuple[str, str]]) -> None:
    text = "#EXTM3U\n" + "\n".join(tag + rest for tag, rest in lines)
    with contextlib.suppress(PlaylistError):
        parse_playlist(text, BASE)

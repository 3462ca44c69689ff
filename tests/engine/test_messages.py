"""The engine's answers, the documented ones and the odd ones (engine-api §3.2, §5, §8, §9)."""

import json
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.messages import (
    ANSWER_LIMIT_BYTES,
    error_of,
    error_text,
    is_media_url,
    parse_command,
    parse_media_files,
    parse_start,
    parse_stat,
    parse_version,
    reason_for,
    rewrite_url,
)
from aceproxy.engine.words import WORDS_LIMIT
from aceproxy.errors import AceProxyError, Reason

INFOHASH = "0a4848271c91ce2d8965ce416267c25047dc8141"
KEY = "f528764d624db129b32c21fbca0cb8d6"
START: dict[str, Any] = {
    "playback_url": f"http://127.0.0.1:6878/ace/r/{INFOHASH}/{KEY}",
    "stat_url": f"http://127.0.0.1:6878/ace/stat/{INFOHASH}/{KEY}",
    "command_url": f"http://127.0.0.1:6878/ace/cmd/{INFOHASH}/{KEY}",
    "infohash": INFOHASH,
    "playback_session_id": "e0d10c40465de696c0222ffa815edace0635b86a",
    "is_live": 1,
    "is_encrypted": 0,
    "client_session_id": -1,
}
STAT: dict[str, Any] = {
    "status": "dl", "peers": 4, "speed_down": 257, "speed_up": 29, "downloaded": 3276800, "uploaded": 491520,
    "total_progress": 0, "is_live": 1, "is_encrypted": 0, "infohash": INFOHASH,
    "playback_session_id": "15ad", "client_session_id": -1, "selected_file_index": -1,
    "disk_cache_stats": {"avail": 3199156224}, "network_monitor_started": False,
    "livepos": {"pos": "1639986700", "last": "1639986704", "live_last": "1639986704", "live_first": "1639984904",
                "first_ts": "1639984904", "last_ts": "1639986704", "is_live": "1", "buffer_pieces": "30"},
}  # fmt: skip
PARSERS: list[Callable[[str], object]] = [parse_start, parse_stat, parse_version, parse_media_files, parse_command]


def answer(response: object, **more: object) -> str:
    return json.dumps({"response": response, "error": None, **more})


def failure(parse: Callable[[str], object], text: str) -> AceProxyError:
    with pytest.raises(AceProxyError) as caught:
        parse(text)
    return caught.value


def test_the_documented_start_answer_is_read() -> None:
    told = parse_start(answer(START))
    assert told.playback_url == START["playback_url"]
    assert told.stat_url == START["stat_url"]
    assert told.command_url == START["command_url"]
    assert (told.infohash, told.is_live, told.is_encrypted) == (INFOHASH, True, False)


def test_a_start_answer_needs_no_more_than_a_playback_url() -> None:
    told = parse_start(answer({"playback_url": START["playback_url"], "is_direct": True}))
    assert (told.stat_url, told.command_url, told.infohash, told.is_live) == (None, None, None, None)
    told = parse_start(json.dumps({"response": {**START, "is_live": -1, "is_encrypted": "1", "infohash": "x"}}))
    assert (told.is_live, told.is_encrypted, told.infohash) == (None, True, None)


@pytest.mark.parametrize("host", ["", "//192.0.2.1:6878", "http://engine.invalid", "HTTPS://[::1]:7000"])
def test_addresses_are_read_with_any_host_and_with_none(host: str) -> None:
    told = parse_start(answer({**START, "playback_url": f"{host}/ace/r/{INFOHASH}/{KEY}"}))
    assert rewrite_url(told.playback_url, "http://127.0.0.1:6878") == START["playback_url"]


def test_an_answer_may_begin_with_a_byte_order_mark() -> None:
    assert parse_start("\ufeff" + answer(START)).infohash == INFOHASH


@pytest.mark.parametrize(
    "url", [None, 5, "", "ftp://x/", "http://x/\r\nHost: y", "http://x/a b", "http://x/" + "a" * 3000, ["http://x/"]]
)
def test_a_start_answer_without_a_usable_playback_url_is_an_error(url: object) -> None:
    assert failure(parse_start, answer({**START, "playback_url": url})).reason is Reason.ENGINE_ERROR


def test_the_documented_stat_is_read_in_our_units() -> None:
    stat = parse_stat(answer(STAT))
    assert (stat.status, stat.peers, stat.progress) == ("dl", 4, None)
    assert stat.speed_down_bps == 257 * 1024 * 8
    assert stat.speed_up_bps == 29 * 1024 * 8
    assert (stat.downloaded_bytes, stat.uploaded_bytes) == (3276800, 491520)
    assert stat.livepos is not None
    assert stat.livepos.last_utc == 1639986704
    assert stat.livepos.first_utc == 1639984904
    assert stat.livepos.pos_utc == 1639986700
    assert stat.livepos.at_edge is True
    assert stat.livepos.buffer_pieces == 30


def test_a_prebuffering_stat_has_progress_and_no_livepos() -> None:
    stat = parse_stat(answer({"status": "prebuf", "progress": 9, "peers": 45, "speed_down": 1476}))
    assert (stat.status, stat.progress, stat.peers, stat.livepos, stat.downloaded_bytes) == (
        "prebuf",
        9,
        45,
        None,
        None,
    )


@pytest.mark.parametrize(
    ("given_", "read"),
    [
        ("4", 4), (" 4 ", 4), (4.0, 4), ("4.7", 4), (-1, None), ("-1", None), (None, None), ("many", None),
        (True, None),
        ([4], None), ({}, None), ("٤", None), (1e300, None), (10**40, None),
        (10**400, None), (-(10**400), None), ("9" * 5000, None),
    ],
)  # fmt: skip
def test_numbers_in_odd_forms(given_: object, read: int | None) -> None:
    assert parse_stat(answer({"status": "dl", "peers": given_})).peers == read


@pytest.mark.parametrize("word", ["NaN", "Infinity", "-Infinity", "1e999"])
def test_numbers_that_are_none_count_as_not_told(word: str) -> None:
    stat = parse_stat('{"response": {"status": "dl", "peers": %s, "progress": %s}}' % (word, word))  # noqa: UP031
    assert (stat.peers, stat.progress) == (None, None)


@pytest.mark.parametrize("status", [None, 5, "", "x" * 50, "two words", "ä", ["dl"]])
def test_an_odd_status_is_unknown(status: object) -> None:
    assert parse_stat(answer({"status": status})).status == "unknown"


@pytest.mark.parametrize("livepos", [None, {}, [], "x", {"pos": -1, "last": "-1"}, {"pos": None}])
def test_a_livepos_that_tells_nothing_is_none(livepos: object) -> None:
    assert parse_stat(answer({"status": "dl", "livepos": livepos})).livepos is None


def test_livepos_is_read_from_integers_and_older_names() -> None:
    livepos = parse_stat(answer({"status": "dl", "livepos": {"last": 20, "first_ts": 10, "live_last": -1}})).livepos
    assert livepos is not None
    assert (livepos.first_utc, livepos.last_utc, livepos.pos_utc) == (10, 20, None)


@pytest.mark.parametrize(
    ("words", "reason"),
    [
        ("failed to load content", Reason.CONTENT_NOT_FOUND),
        ("Internal Server Error, couldn't find resource", Reason.CONTENT_NOT_FOUND),
        ("Cannot load transport file", Reason.CONTENT_NOT_FOUND),
        ("unknown playback session id", Reason.SESSION_LOST),
        ("got newer download", Reason.SESSION_LOST),
        ("missing_option", Reason.ENGINE_OPTION_MISSING),
        ("You need to buy Proxy Server option to continue", Reason.ENGINE_OPTION_MISSING),
        ("You have to install Ace Stream 3.2 or newer", Reason.ENGINE_OPTION_MISSING),
        ("start timeout", Reason.START_TIMEOUT),
        ("download not found", Reason.START_TIMEOUT),
        ("Cannot find active peers", Reason.NO_PEERS),
        ("KeyError: 'x'", Reason.ENGINE_ERROR),
        ("", Reason.ENGINE_ERROR),
    ],
)
def test_the_engines_words_have_reasons(words: str, reason: Reason) -> None:
    assert reason_for(words) is reason


@pytest.mark.parametrize("parse", PARSERS)
def test_an_error_member_goes_before_everything_else(parse: Callable[[str], object]) -> None:
    error = failure(parse, json.dumps({"response": START, "result": {}, "error": "failed to load content"}))
    assert (error.reason, error.detail) == (Reason.CONTENT_NOT_FOUND, "failed to load content")
    error = failure(parse, json.dumps({"error": {"message": "unknown playback session id", "code": 0}}))
    assert error.reason is Reason.SESSION_LOST


def test_a_missing_option_is_told_beside_the_error() -> None:
    extra = {"reason": "missing_option", "option": "proxyServer"}
    error = failure(parse_start, json.dumps({"response": None, "error": "no", "extra_data": extra}))
    assert error.reason is Reason.ENGINE_OPTION_MISSING
    assert "proxyServer" in error.detail


ODD = [
    "", " ", "null", "[]", "5", '"ok"', "{}", "{", '{"response": null}', '{"response": null, "error": null}',
    '{"response": 5}', '{"response": []}', '{"response": "text"}', "Internal Server Error", "<html></html>",
    answer(START)[:-20], "{'response': {}}", "[" * 100_000, '{"a":' * 100_000, '{"response": ' + "9" * 5000 + "}",
    "\x00\x01\x02", "x" * (ANSWER_LIMIT_BYTES + 1), '{"error": {"deep": ' + "[" * 500 + "]" * 500 + "}}",
]  # fmt: skip


@pytest.mark.parametrize("parse", [parse_start, parse_stat, parse_version, parse_media_files])
@pytest.mark.parametrize("text", ODD, ids=range(len(ODD)))
def test_an_odd_answer_is_an_engine_error_in_few_words(parse: Callable[[str], object], text: str) -> None:
    error = failure(parse, text)
    assert error.reason is Reason.ENGINE_ERROR
    assert error.detail
    assert len(error.detail) <= WORDS_LIMIT + 20
    assert error.detail.isprintable()


def test_an_object_written_as_a_string_is_read() -> None:
    assert parse_start(answer(json.dumps(START))).infohash == INFOHASH


@pytest.mark.parametrize("body", [b"G@\x00\x10\x00\x00\xb0\r" * 40, bytes(range(128, 256)) * 4, b"\x00" * 50])
def test_media_in_the_place_of_an_answer_is_not_told_as_words(body: bytes) -> None:
    assert failure(parse_start, body.decode("utf-8", "replace")).detail == "not JSON: bytes that are no text"


@pytest.mark.parametrize("text", ["<html>\r\n\tStarting…</html>", "не найдено", "起動中"])
def test_words_in_any_language_in_the_place_of_an_answer_are_told(text: str) -> None:
    assert failure(parse_start, text).detail == f"not JSON: {error_text(text)}"


def test_error_words_are_one_bounded_printable_line() -> None:
    assert error_text("a\r\nb\x1b[31m\u2028c") == "a b [31m c"
    assert len(error_text("x" * 10_000)) == WORDS_LIMIT
    assert error_text({"message": "auth_error", "code": 0}) == "auth_error"
    assert error_text({"error": {"a": 1}}) == '{"a": 1}'
    assert error_text(None) == ""
    assert error_text("\ud800") == ""


def test_error_pages_tell_their_reason() -> None:
    assert error_of("start timeout").reason is Reason.START_TIMEOUT
    assert error_of('{"response": null, "error": "download not found"}').detail == "download not found"
    assert error_of("").reason is Reason.ENGINE_ERROR
    assert error_of('{"response": "ok", "error": null}').reason is Reason.ENGINE_ERROR


def test_versions_and_media_files_are_read() -> None:
    version = parse_version(
        '{"result": {"code": 3020300, "platform": "linux", "version": "3.2.3", "x": 1}, "error": null}'
    )
    assert (version.version, version.code, version.platform) == ("3.2.3", 3020300, "linux")
    assert parse_version('{"result": {}}').code is None
    told = parse_media_files(json.dumps({"result": {"infohash": INFOHASH.upper(), "name": "Promo", "type": "live"}}))
    assert (told.infohash, told.name, told.is_live) == (INFOHASH, "Promo", True)
    told = parse_media_files(json.dumps({"result": {"infohash": None, "title": "A\nB", "is_live": -1}}))
    assert (told.infohash, told.name, told.is_live) == (None, "A B", None)


def test_commands_say_ok_in_two_forms() -> None:
    parse_command('{"response": "ok", "error": null}')
    parse_command('{"result": "ok"}')
    assert failure(parse_command, '{"response": null, "error": "unknown playback session id"}').reason is (
        Reason.SESSION_LOST
    )


def test_urls_lead_to_the_configured_engine_whatever_host_they_name() -> None:
    engine = "http://engine.lan:7000"
    assert rewrite_url("http://192.0.2.1:6878/ace/r/a/b?x=1#y", engine) == "http://engine.lan:7000/ace/r/a/b?x=1"
    assert rewrite_url("https://user:pass@evil.example/a", engine) == "http://engine.lan:7000/a"
    assert rewrite_url("http://x", "https://[::1]:1") == "https://[::1]:1/"
    for bad in ("http://[::1", "http://x/\r\n", "http://x/ü", "http://x/" + "a" * 3000):
        with pytest.raises(AceProxyError):
            rewrite_url(bad, engine)


def test_media_urls_have_the_engines_form() -> None:
    assert is_media_url(f"http://x/ace/r/{INFOHASH}/{KEY}")
    assert is_media_url(f"http://x/content/{INFOHASH}/0.422266696531")
    for path in (
        "/",
        "/webui/api/service",
        f"/ace/r/{INFOHASH}",
        "/live/chunklist.m3u8",
        f"/content/{INFOHASH}/../../x",
    ):
        assert not is_media_url("http://x" + path)


json_values = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=4)
        | st.dictionaries(
            st.sampled_from([*START, *STAT, *STAT["livepos"], "response", "result", "error", "message", "name"]),
            inner,
            max_size=6,
        )
    ),
    max_leaves=20,
)


@given(st.sampled_from(PARSERS), json_values, json_values)
def test_any_json_gives_a_value_or_a_reason(parse: Callable[[str], object], first: object, second: object) -> None:
    details: list[str] = []
    for text in (json.dumps(first), json.dumps({"response": first, "result": first, "error": second})):
        try:
            parse(text)
        except AceProxyError as error:
            details.append(error.detail)
    assert all(detail.isprintable() and len(detail) < 2 * WORDS_LIMIT + 50 for detail in details)

"""Links of every form, and hostile ones (engine-api §2)."""

from collections.abc import Callable
from typing import TypeVar
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.links import (
    TEXT_LIMIT,
    Link,
    LinkKind,
    check_url_host,
    engine_params,
    link_from_query,
    parse_link,
)
from aceproxy.errors import AceProxyError, Reason

T = TypeVar("T")

HEX = "0a4848271c91ce2d8965ce416267c25047dc8141"
OTHER = "1b4848271c91ce2d8965ce416267c25047dc8142"
URL = "http://example.org/list/one.acelive"


@pytest.mark.parametrize(
    ("text", "link"),
    [
        (HEX, Link(LinkKind.CONTENT_ID, HEX)),
        (HEX.upper(), Link(LinkKind.CONTENT_ID, HEX)),
        (f"  {HEX}\t\n", Link(LinkKind.CONTENT_ID, HEX)),
        (f"{{{HEX}}}", Link(LinkKind.CONTENT_ID, HEX)),
        (f"acestream://{HEX}", Link(LinkKind.CONTENT_ID, HEX)),
        (f"ACESTREAM://{HEX.upper()}", Link(LinkKind.CONTENT_ID, HEX)),
        (f"acestream://{HEX}/", Link(LinkKind.CONTENT_ID, HEX)),
        (f"acestream://{HEX}?name=some%20thing#x", Link(LinkKind.CONTENT_ID, HEX)),
        (f"acestream://{HEX}?index=2", Link(LinkKind.CONTENT_ID, HEX, 2)),
        (f"acestream:?content_id={HEX}", Link(LinkKind.CONTENT_ID, HEX)),
        (f"acestream:?id={HEX}", Link(LinkKind.CONTENT_ID, HEX)),
        (f"acestream:?infohash={HEX}", Link(LinkKind.INFOHASH, HEX)),
        (f"acestream:?infohash={HEX}&index=3", Link(LinkKind.INFOHASH, HEX, 3)),
        (f"acestream:?infohash={HEX}&_idx=3", Link(LinkKind.INFOHASH, HEX, 3)),
        (f"acestream://?infohash={HEX}", Link(LinkKind.INFOHASH, HEX)),
        (f"acestream:?url={quote(URL, safe='')}&index=1", Link(LinkKind.URL, URL, 1)),
        (f"acestream:?url={URL}", Link(LinkKind.URL, URL)),
        (f"acestream:?magnet={quote(f'magnet:?xt=urn:btih:{HEX}', safe='')}", Link(LinkKind.INFOHASH, HEX)),
        (f"magnet:?xt=urn:btih:{HEX}", Link(LinkKind.INFOHASH, HEX)),
        (f"magnet:?dn=a+b&xt=urn:btih:{HEX.upper()}&tr=http%3A%2F%2Ftracker", Link(LinkKind.INFOHASH, HEX)),
        ("http://Example.ORG:80/list/one.acelive#top", Link(LinkKind.URL, URL)),
        ("https://example.org:443/", Link(LinkKind.URL, "https://example.org/")),
        ("http://example.org.:8080", Link(LinkKind.URL, "http://example.org:8080/")),
        ("http://bücher.example/ü", Link(LinkKind.URL, "http://xn--bcher-kva.example/%C3%BC")),
        ("http://[2001:DB8::1]:90/a?b=c&d", Link(LinkKind.URL, "http://[2001:db8::1]:90/a?b=c&d")),
        ("http://0x7f.1/", Link(LinkKind.URL, "http://127.0.0.1/")),
        ("http://0177.0.0.01/", Link(LinkKind.URL, "http://127.0.0.1/")),
        ("http://2130706433/", Link(LinkKind.URL, "http://127.0.0.1/")),
    ],
)
def test_a_link_is_read_in_every_form(text: str, link: Link) -> None:
    assert parse_link(text) == link


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{}",
        HEX[:-1],  # the 39 characters of some README examples
        HEX + "0",
        HEX[:-1] + "g",
        "".join(chr(0x0660 + int(digit)) for digit in "1" * 40),  # digits, but not ASCII ones
        HEX[:20] + "\0" + HEX[20:],
        HEX[:20] + " " + HEX[20:],
        f"acestream://{HEX[:-1]}",
        f"acestream://{HEX}0",
        f"acestream:{HEX}",
        "acestream:?content_id=x",
        f"acestream:?content_id=acestream:?content_id={HEX}",
        f"acestream:?url={quote('acestream:?url=http://example.org/', safe='')}",
        f"acestream:?url={quote('file:///etc/passwd', safe='')}",
        "acestream:?data=AAAA",
        f"acestream:?infohash={HEX}&index=-1",
        f"acestream:?infohash={HEX}&index=99999",
        f"acestream:?infohash={HEX}&index=1&_idx=2",
        f"acestream:?infohash={HEX}&index=\u0661",
        "magnet:?xt=urn:btih:" + "A" * 32,
        f"magnet:?xt=urn:btih:{HEX}&xt=urn:btih:{OTHER}",
        "magnet:?dn=nothing",
        "x" * 10_000,
        "a" * (TEXT_LIMIT + 1),
        f"http://example.org/{'a' * 2000}",
        f"http://example.org/{'ü' * 1000}",  # short, but not in its normal form
        "http:///path",
        "http://",
        "ftp://example.org/",
        "javascript:alert(1)",
        "http://user@example.org/",
        "http://user:password@example.org/",
        "http://example.org\\@127.0.0.1/",
        "http://example.org/a b",
        "http://exa\tmple.org/",
        "http://example.org/\r\nHost: other",
        "http://example.org:0/",
        "http://example.org:99999/",
        "http://example.org:\uff18\uff10\uff18\uff10/",
        "http://[::1",
        "http://[::1%25eth0]/",
        "http://[1.2.3.4]/",
        "http://a..b/",
        "http://-a.example/",
        "http://a%2eb/",
        "http://256.1.1.1.1/",
        "http://1.2.3.256/",
        "http://08.1/",
        "http://4294967296/",
        f"http://{'a' * 64}.example/",
        f"http://{'.'.join(['a' * 60] * 5)}/",
        "http://example.org/\ud800",
        "acestream:?url=http%3A%2F%2Fexample.org%2F%FF%FE",
        "acestream:?url=http%3A%2F%2Fexample.org%2F%00",
    ],
)
def test_what_is_no_link_is_refused_without_echoing_it(text: str) -> None:
    with pytest.raises(AceProxyError) as caught:
        parse_link(text)
    assert caught.value.reason is Reason.BAD_LINK
    assert len(caught.value.detail) < 100
    assert caught.value.detail.isascii()
    assert caught.value.detail.isprintable()


def test_key_and_ids_of_a_link() -> None:
    link = parse_link(f"acestream:?infohash={HEX}&index=2")
    assert link.key == f"infohash:{HEX}#2"
    assert link.stream_id == f"{HEX}-2"
    assert parse_link(HEX).key == f"content_id:{HEX}"
    assert parse_link(HEX).stream_id == HEX
    by_url = parse_link("http://example.org/secret-path?token=1")
    assert by_url.key.startswith("url:")
    assert len(by_url.stream_id) == 40
    assert "secret" not in by_url.label
    assert "token" not in by_url.label


def test_equal_urls_in_different_spelling_have_one_key() -> None:
    keys = {
        parse_link(text).key for text in ("http://Example.org/a", "HTTP://example.org.:80/a", "http://example.org/a#b")
    }
    assert len(keys) == 1


@pytest.mark.parametrize(
    ("query", "link"),
    [
        ([("id", HEX)], Link(LinkKind.CONTENT_ID, HEX)),
        ([("content_id", HEX)], Link(LinkKind.CONTENT_ID, HEX)),
        ([("infohash", HEX.upper())], Link(LinkKind.INFOHASH, HEX)),
        ([("magnet", f"magnet:?xt=urn:btih:{HEX}")], Link(LinkKind.INFOHASH, HEX)),
        ([("url", URL)], Link(LinkKind.URL, URL)),
        ([("id", f" acestream://{HEX} ")], Link(LinkKind.CONTENT_ID, HEX)),
        ([("id", f"acestream:?infohash={HEX}&index=4")], Link(LinkKind.INFOHASH, HEX, 4)),
        ([("id", HEX), ("_idx", "5")], Link(LinkKind.CONTENT_ID, HEX, 5)),
        ([("id", HEX), ("id", HEX)], Link(LinkKind.CONTENT_ID, HEX)),
        ([("id", HEX), ("content_id", HEX.upper())], Link(LinkKind.CONTENT_ID, HEX)),
        ([("infohash", HEX), ("id", HEX)], Link(LinkKind.CONTENT_ID, HEX)),
        ([("id", ""), ("infohash", HEX), ("format", "json")], Link(LinkKind.INFOHASH, HEX)),
    ],
)
def test_a_request_names_its_link(query: list[tuple[str, str]], link: Link) -> None:
    assert link_from_query(query) == link


@pytest.mark.parametrize(
    ("query", "reason"),
    [
        ([], Reason.NO_LINK),
        ([("id", " ")], Reason.NO_LINK),
        ([("pid", HEX)], Reason.NO_LINK),
        ([("id", HEX), ("infohash", OTHER)], Reason.TWO_LINKS),
        ([("id", HEX), ("id", OTHER)], Reason.TWO_LINKS),
        ([("infohash", HEX), ("url", URL)], Reason.TWO_LINKS),
        ([("id", "x")], Reason.BAD_LINK),
        ([("infohash", f"acestream://{HEX}")], Reason.BAD_LINK),
        ([("url", HEX)], Reason.BAD_LINK),
        ([("magnet", HEX)], Reason.BAD_LINK),
        ([("id", HEX), ("_idx", "x")], Reason.BAD_LINK),
        ([("id", HEX), ("_idx", "1"), ("_idx", "2")], Reason.BAD_LINK),
    ],
)
def test_a_request_that_names_no_single_link_is_refused(query: list[tuple[str, str]], reason: Reason) -> None:
    with pytest.raises(AceProxyError) as caught:
        link_from_query(query)
    assert caught.value.reason is reason


def test_only_harmless_parameters_reach_the_engine() -> None:
    query = [
        ("id", HEX), ("pid", "me"), ("sid", "me"), ("format", "redirect"), ("use_api_events", "1"), ("direct_url", URL),
        ("stream_id", "2"), ("stream_id", "3"), ("quality", "720p"), ("preferred_audio_language", "eng"),
        ("disable_p2p", "yes"), ("manifest_p2p_wait_timeout", "10"), ("provider", "a b"), ("unknown", "1"),
    ]  # fmt: skip
    assert engine_params(query) == {
        "stream_id": "2",
        "quality": "720p",
        "preferred_audio_language": "eng",
        "manifest_p2p_wait_timeout": "10",
    }


PRIVATE = [
    "http://127.0.0.1/", "http://127.1/", "http://0x7f000001/", "http://2130706433/", "http://0177.0.0.1/",
    "http://[::1]/", "http://[::ffff:127.0.0.1]/", "http://[::ffff:7f00:1]/", "http://[::127.0.0.1]/", "http://[::]/",
    "http://10.1.2.3/", "http://172.16.0.1/", "http://192.168.1.1/", "http://169.254.169.254/", "http://100.64.0.1/",
    "http://0.0.0.0/", "http://224.0.0.1/", "http://255.255.255.255/", "http://192.0.2.1/", "http://240.0.0.1/",
    "http://[fe80::1]/", "http://[fc00::1]/", "http://[fec0::1]/", "http://[ff02::1]/", "http://[2002:7f00:1::]/",
    "http://[64:ff9b::7f00:1]/", "http://[2001:0:1::1]/", "http://[2001:db8::1]/",
    "http://localhost/", "http://LOCALHOST./", "http://a.localhost/", "http://printer/", "http://nas.local/",
    "http://router.lan/", "http://metadata.google.internal/", "http://x.home.arpa/", "http://\uff11\uff12\uff17.0.0.1/",
]  # fmt: skip


@pytest.mark.parametrize("text", PRIVATE)
def test_a_host_that_is_not_public_passes_only_by_its_own_name(text: str) -> None:
    link = parse_link(text)
    host = link.value.removeprefix("http://").removesuffix("/")
    for allowed in ([], ["*"], ["*.local", "*.localhost", "*.internal", "*.0.0.1", "*.lan", "*.arpa"], ["example.org"]):
        with pytest.raises(AceProxyError) as caught:
            check_url_host(link, allowed)
        assert caught.value.reason is Reason.URL_HOST_REFUSED
    check_url_host(link, [host])


def test_public_hosts_pass_by_name_suffix_or_star() -> None:
    link = parse_link("http://lists.example.org/a")
    for allowed in (["lists.example.org"], ["Lists.Example.org."], ["*.example.org"], ["*.org"], ["x", "*"]):
        check_url_host(link, allowed)
    for allowed in ([], ["example.org"], ["*.lists.example.org"], ["*.ample.org"], ["*.", ""], ["ists.example.org"]):
        with pytest.raises(AceProxyError):
            check_url_host(link, allowed)
    check_url_host(parse_link("http://8.8.8.8/"), ["*"])
    check_url_host(parse_link("http://[2606:4700::1111]/"), ["*"])


def test_links_without_a_url_need_no_permission() -> None:
    check_url_host(parse_link(HEX), [])
    check_url_host(parse_link(f"magnet:?xt=urn:btih:{HEX}"), [])


links = st.builds(
    Link,
    st.sampled_from([LinkKind.CONTENT_ID, LinkKind.INFOHASH]),
    st.text("0123456789abcdef", min_size=40, max_size=40),
    st.integers(0, 9999),
)
hostile = st.one_of(
    st.text(max_size=200),
    st.builds("".join, st.lists(st.sampled_from([
        HEX, "acestream:", "//", "?", "&", "content_id=", "infohash=", "url=", "magnet:?xt=urn:btih:", "http://", "@",
        "[", "]", ":", "%", "%00", "%ff", "::1", "127.0.0.1", ".", "\0", "\n", "{", "}", "\ud800", "ü", "index=", "1",
    ]), max_size=12)),
)  # fmt: skip


def link_or_reason(call: Callable[[], T]) -> T | Reason:
    try:
        return call()
    except AceProxyError as error:
        return error.reason


@given(links)
def test_the_normal_form_is_read_back_as_it_is(link: Link) -> None:
    assert parse_link(link.mrl) == link
    assert link_from_query([("id", link.mrl)]) == link


@given(hostile)
def test_any_text_gives_a_link_or_a_refusal(text: str) -> None:
    link = link_or_reason(lambda: parse_link(text))
    if not isinstance(link, Link):
        assert link in (Reason.BAD_LINK, Reason.TWO_LINKS, Reason.NO_LINK)
        return
    assert parse_link(link.mrl) == link
    if link.kind is LinkKind.URL:
        assert parse_link(link.value).value == link.value
        assert link.value.isascii()


@given(st.text(max_size=80))
def test_any_host_is_a_host_or_a_refusal(host: str) -> None:
    link = link_or_reason(lambda: parse_link(f"http://{host}/"))
    if not isinstance(link, Link):
        assert link is Reason.BAD_LINK
        return
    allowed = link_or_reason(lambda: check_url_host(link, ["*"]))
    assert allowed in (None, Reason.URL_HOST_REFUSED)


@given(st.lists(st.tuples(st.sampled_from(["id", "infohash", "url", "magnet", "_idx", "x"]), hostile), max_size=5))
def test_any_query_gives_a_link_or_a_refusal(query: list[tuple[str, str]]) -> None:
    engine_params(query)
    link = link_or_reason(lambda: link_from_query(query))
    if not isinstance(link, Link):
        assert link in (Reason.BAD_LINK, Reason.TWO_LINKS, Reason.NO_LINK)
        return
    assert parse_link(link.mrl) == link

"""The book of links: ranking, bounds, fading, and what a restart leaves of it."""

from __future__ import annotations

import asyncio
from datetime import datetime, timedelta
from pathlib import Path

import pytest

from aceproxy.engine.links import Link, parse_link
from aceproxy.errors import Reason
from aceproxy.store.links import FORGET_HALF_LIVES, LinkBook
from aceproxy.streams.quality import UNKNOWN, Viewing
from tests.store.conftest import NOON, MakeStore

A, B, C = (parse_link(digit * 40) for digit in "abc")
ONE, TWO = "http://127.0.0.1:6878", "http://127.0.0.1:6879"


class Wall:
    """The time of day, set by hand."""

    def __init__(self) -> None:
        self.now = NOON

    def __call__(self) -> datetime:
        return self.now


@pytest.fixture
def wall() -> Wall:
    return Wall()


@pytest.fixture
def book(wall: Wall) -> LinkBook:
    return LinkBook(100, 7.0, wall)


def good(link: Link, engine: str = ONE) -> Viewing:
    return Viewing(link.key, engine, title="Channel", start_s=2.0, watched_s=600.0, speed_ratio=1.0, peers=20.0)


def bad(link: Link, engine: str = ONE) -> Viewing:
    return Viewing(link.key, engine, reason=Reason.NO_PEERS)


def test_links_are_ordered_by_what_is_known_and_equal_ones_stay(book: LinkBook) -> None:
    assert book.order([C, B, A]) == [C, B, A]
    book.add(bad(C))
    book.add(good(A))
    assert book.order([C, B, A]) == [A, B, C]
    assert book.order([B, C]) == [B, C]
    book.add(good(B))
    assert book.order([B, A]) == [B, A]
    assert book.order([A, B]) == [A, B]


def test_a_link_is_known_on_each_engine_and_on_all(book: LinkBook) -> None:
    book.add(good(A, ONE))
    book.add(bad(A, TWO))
    assert book.score(A.key, ONE) > book.score(A.key) > book.score(A.key, TWO)
    assert book.score(A.key, "http://192.0.2.1:6878") == UNKNOWN.score
    assert {page.engine for page in book.pages(A.key)} == {ONE, TWO}
    assert {page.title for page in book.pages(A.key)} == {"Channel"}


def test_an_engine_suits_a_link_unless_it_played_badly_there(book: LinkBook) -> None:
    assert book.suits(A, ONE) == 1.0
    book.add(good(A, ONE))
    book.add(bad(A, TWO))
    assert book.suits(A, ONE) == 1.0
    assert 0 < book.suits(A, TWO) < 0.8
    assert book.suits(B, TWO) == 1.0


def test_what_is_known_fades_with_time(book: LinkBook, wall: Wall) -> None:
    for _ in range(5):
        book.add(bad(A))
    fresh = book.score(A.key)
    wall.now += timedelta(days=7)
    assert book.quality(A.key).failures == pytest.approx(2.5)
    assert fresh < book.score(A.key) < UNKNOWN.score
    wall.now += timedelta(days=700)
    assert book.score(A.key) == pytest.approx(UNKNOWN.score)
    assert book.order([A, B]) == [A, B]


def test_a_clock_that_is_set_back_or_far_ahead_breaks_nothing(book: LinkBook, wall: Wall) -> None:
    book.add(bad(A))
    wall.now -= timedelta(days=5000)
    book.add(good(A))
    assert book.quality(A.key).failures == 1.0
    wall.now += timedelta(days=50_000)
    book.add(good(A))
    assert 0 < book.score(A.key) < 1


def test_the_book_is_bounded_and_forgets_what_played_longest_ago(wall: Wall) -> None:
    book = LinkBook(10, 7.0, wall)
    links = [parse_link(f"{number:040x}") for number in range(1, 51)]
    for link in links:
        book.add(good(link))
        book.add(good(links[0]))  # this one is always in use
    assert len(book.keys) == 10
    assert book.keys[0] == links[0].key
    assert set(book.keys[1:]) == {link.key for link in links[-9:]}
    none = LinkBook(0, 7.0, wall)
    none.add(good(A))
    assert none.keys == []


async def test_what_was_learnt_is_there_after_a_restart(tmp_path: Path, wall: Wall, make_store: MakeStore) -> None:
    path = tmp_path / "store.db"
    store = await make_store(path)
    book = LinkBook(100, 7.0, wall)
    await book.keep_in(store)
    book.add(good(A))
    wall.now += timedelta(seconds=1)
    book.add(bad(B, TWO))
    await store.close(10)

    again = LinkBook(100, 7.0, wall)
    await again.keep_in(await make_store(path))
    assert again.keys == [B.key, A.key] == book.keys
    assert again.quality(A.key).starts == pytest.approx(book.quality(A.key).starts)
    assert again.pages(B.key)[0].last_reason == "no_peers"
    assert again.order([B, C, A]) == [A, C, B]


async def test_what_is_learnt_before_the_disk_has_answered_is_added(
    tmp_path: Path, wall: Wall, make_store: MakeStore
) -> None:
    path = tmp_path / "store.db"
    first = LinkBook(100, 7.0, wall)
    store = await make_store(path)
    await first.keep_in(store)
    first.add(good(A))
    await store.close(10)

    book = LinkBook(100, 7.0, wall)
    loading = asyncio.ensure_future(book.keep_in(await make_store(path)))
    book.add(good(A))
    await loading
    assert book.quality(A.key).starts == pytest.approx(2.0)


async def test_rubbish_in_the_table_is_left_out(tmp_path: Path, wall: Wall, make_store: MakeStore) -> None:
    store = await make_store(tmp_path / "store.db")
    rows = [
        ("1", "e", "2026-11-22T12:00:00Z", "no json"),
        ("2", "e", "2026-11-22T12:00:00Z", '{"quality": {"starts": "NaN"}}'),
        ("3", "e", "2026-11-22T12:00:00Z", '{"quality": {"starts": -5}}'),
        ("4", "e", "9", '{"quality": {}}'),
        ("5", "e", "2026-11-22T12:00:00Z", '{"quality": 7}'),
        ("6", "e", "2026-11-22T12:00:00Z", '{"quality": {"starts": 2, "of a later version": 1}}'),
    ]
    store.write_nowait(lambda db: db.executemany("INSERT INTO link_quality VALUES (?, ?, ?, ?)", rows))
    book = LinkBook(100, 7.0, wall)
    await book.keep_in(store)
    assert book.keys == ["6"]
    assert book.quality("6").starts == 2.0


async def test_pages_that_have_faded_are_forgotten_on_disk(tmp_path: Path, wall: Wall, make_store: MakeStore) -> None:
    store = await make_store(tmp_path / "store.db")
    book = LinkBook(100, 7.0, wall)
    await book.keep_in(store)
    book.add(good(A))
    wall.now += timedelta(days=7 * FORGET_HALF_LIVES + 1)
    book.add(good(B))
    later = LinkBook(100, 7.0, wall)
    await later.keep_in(store)
    assert later.keys == [B.key]

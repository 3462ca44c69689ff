"""Changes of the engines outlast a restart, and the settings win where the two contradict each other."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import aiohttp
import hypothesis.strategies as st
import pytest
from hypothesis import given

from aceproxy import shelf as module
from aceproxy.engine.pool import EnginePool
from aceproxy.engine.roster import FILE_LIMIT_BYTES, Changes, Member, Roster, apply, difference
from aceproxy.entries import ENGINES_LIMIT, EngineEntry
from aceproxy.settings import Settings
from tests.waiting import until


def entry(name: str, **changes: Any) -> EngineEntry:
    return EngineEntry.model_validate({"url": f"http://{name}:6878", "label": name, **changes})


A, B, C = entry("a"), entry("b"), entry("c")


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "engines.json"


def put(path: Path, content: bytes) -> None:
    path.write_bytes(content)


def content_of(path: Path) -> bytes | None:
    return path.read_bytes() if path.exists() else None


def mode(path: Path) -> int:
    return path.stat().st_mode & 0o777


def labels(members: list[Member]) -> list[str]:
    return [member.entry.label for member in members]


def test_what_was_added_removed_and_drained_is_so_again() -> None:
    changes = Changes(added=(C,), removed=(A,), draining={"b": True})
    assert apply([A, B], changes) == [Member(B, False, True), Member(C, True, False)]


def test_a_removed_engine_is_back_once_the_settings_name_it_otherwise() -> None:
    changes = Changes(removed=(A,))
    assert labels(apply([A, B], changes)) == ["b"]
    assert labels(apply([entry("a", weight=2), B], changes)) == ["a", "b"]


def test_an_added_engine_is_dropped_where_the_settings_have_its_address_or_label(
    caplog: pytest.LogCaptureFixture,
) -> None:
    changes = Changes(added=(entry("c"), entry("d", label="a")))
    members = apply([A, entry("c", weight=3)], changes)
    assert [(one.entry.label, one.entry.weight, one.at_run_time) for one in members] == [
        ("a", 1, False),
        ("c", 3, False),
    ]
    assert [record.getMessage().partition(" is dropped")[0] for record in caplog.records] == [
        "engine c, added at run time,",
        "engine a, added at run time,",
    ]


def test_a_removed_engine_may_be_added_again_with_other_words() -> None:
    again = entry("a", label="attic")
    changes = difference([A, B], [Member(B, False, False), Member(again, True, False)])
    assert apply([A, B], changes) == [Member(B, False, False), Member(again, True, False)]


def test_there_are_never_more_than_the_bound() -> None:
    configured = [entry(f"a{number}") for number in range(ENGINES_LIMIT)]
    assert len(apply(configured, Changes(added=(A, B)))) == ENGINES_LIMIT


entries = st.builds(
    lambda name, weight, enabled: entry(name, weight=weight, enabled=enabled),
    st.sampled_from("abcdef"),
    st.sampled_from([1.0, 2.0]),
    st.booleans(),
)
unique = st.lists(entries, unique_by=lambda one: one.url, max_size=5)


@given(unique, st.data())
def test_the_difference_leads_to_what_was_there_whatever_was_changed(
    configured: list[EngineEntry], data: st.DataObject
) -> None:
    kept = [one for one in configured if data.draw(st.booleans())]
    names = {one.label for one in kept}
    added = [one for one in data.draw(unique) if one.label not in names]
    members = [Member(one, False, data.draw(st.booleans())) for one in kept]
    members += [Member(one, True, data.draw(st.booleans())) for one in added]
    changes = difference(configured, members)
    assert apply(configured, changes) == members
    assert Changes.model_validate_json(changes.model_dump_json()) == changes


async def test_the_file_is_for_its_owner_alone_and_holds_the_newest_changes(path: Path) -> None:
    roster = Roster(path)
    for number in range(20):
        roster.save(Changes(draining={str(number): True}))
    await roster.flush()
    assert mode(path) == 0o600
    assert (await Roster(path).load()).draining == {"19": True}


@pytest.mark.parametrize(
    "content",
    [
        b"",
        b"\xff\x00",
        b"[]",
        b"null",
        b'{"format": 2}',
        b'{"added": [5]}',
        b'{"added": [{"url": "http://a/ace"}]}',
        b'{"added": [{"url": "a", "label": "<b>"}]}',
        b'{"draining": {"a": 5000}}',
        b'{"nobody": 1}',
        b"[" * 100_000,
        b" " * FILE_LIMIT_BYTES + b"{}",
        json.dumps({"added": [f"a{number}" for number in range(ENGINES_LIMIT + 1)]}).encode(),
    ],
    ids=range(13),
)
async def test_a_file_that_cannot_be_used_is_set_aside(
    path: Path, content: bytes, caplog: pytest.LogCaptureFixture
) -> None:
    put(path, content)
    assert await Roster(path).load() == Changes()
    assert content_of(path) is None
    assert content_of(path.with_name("engines.json.bad")) == content
    assert "set aside" in caplog.text
    assert "\n" not in caplog.records[0].getMessage()


async def test_a_missing_file_is_no_change_and_a_folder_that_is_gone_no_failure(
    path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    assert await Roster(path).load() == Changes()
    assert not caplog.records
    roster = Roster(path.parent / "gone" / "engines.json")
    roster.save(Changes())
    await roster.flush()
    assert "cannot be kept" in caplog.text


async def test_what_could_not_be_written_is_there_once_it_can_be(
    path: Path, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "RETRY_S", 0.05)
    caplog.set_level("INFO")
    away = path.parent / "away"
    roster = Roster(away / path.name)
    roster.save(Changes(added=(A,)))
    await until(lambda: "cannot be kept" in caplog.text)
    away.mkdir()
    await until(lambda: "are kept in" in caplog.text)
    assert await Roster(away / path.name).load() == Changes(added=(A,))
    assert caplog.text.count("cannot be kept") == 1
    await roster.flush()


async def test_a_pool_is_after_a_restart_what_it_was_before(session: aiohttp.ClientSession, path: Path) -> None:
    settings = Settings.model_validate({"engines": ["http://127.0.0.1:1", "http://127.0.0.1:2", "http://127.0.0.1:3"]})
    first = EnginePool(settings, session, Roster(path))
    await first.restore()
    first.add(EngineEntry(url="http://127.0.0.1:4", label="new", weight=3))
    first.remove("127.0.0.1:1")
    first.drain("127.0.0.1:2")
    first.drain("127.0.0.1:3")
    first.undrain("127.0.0.1:3")
    await first.close()
    second = EnginePool(settings, session, Roster(path))
    await second.restore()
    told = [(one.label, one.draining, one.at_run_time, one.weight) for one in second.snapshot()]
    assert told == [("127.0.0.1:2", True, False, 1), ("127.0.0.1:3", False, False, 1), ("new", False, True, 3)]
    second.undrain("127.0.0.1:2")
    second.remove("new")
    await second.close()
    kept = await Roster(path).load()
    assert kept == Changes(removed=(EngineEntry(url="http://127.0.0.1:1"),))

"""Engines that are drained, undrained, added and removed while they play, and slots that give way."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import AsyncIterator, Callable

import aiohttp
import pytest

from aceproxy.engine.links import parse_link
from aceproxy.engine.pool import EnginePool
from aceproxy.entries import ENGINES_LIMIT, EngineEntry
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.simulator import Simulator
from tests.waiting import until

LINK = parse_link("0a4848271c91ce2d8965ce416267c25047dc8141")
A, B = "http://127.0.0.1:1", "http://127.0.0.1:2"
Make = Callable[..., EnginePool]


@pytest.fixture
async def make(session: aiohttp.ClientSession) -> AsyncIterator[Make]:
    """Build pools of these engines; closed after the test."""
    pools: list[EnginePool] = []

    def build(*engines: object, capacity: int = 2, probe_s: float = 0.1, stat_timeout_s: float = 0.1) -> EnginePool:
        settings = Settings(
            engines=engines, engine_max_streams=capacity, engine_probe_s=probe_s, stat_timeout_s=stat_timeout_s
        )
        pools.append(EnginePool(settings, session))
        return pools[-1]

    yield build
    for pool in pools:
        await pool.close()


def refusal(call: Callable[[], object]) -> AceProxyError:
    """Return why a call is refused."""
    with pytest.raises(AceProxyError) as caught:
        call()
    return caught.value


def test_a_drained_engine_asks_its_streams_to_leave_and_gets_no_new_ones(make: Make) -> None:
    pool = make({"url": A, "label": "attic"}, B)
    on_a, on_b = pool.choose(LINK), pool.choose(LINK)
    assert (on_a.label, on_b.label) == ("attic", "127.0.0.1:2")
    told = pool.drain("attic")
    assert (told.draining, told.streams, told.leaving) == (True, 1, False)
    assert on_a.leave_requested.is_set()
    assert not on_b.leave_requested.is_set()
    moved = pool.choose(LINK)
    assert moved.url == B
    on_a.release()
    assert refusal(lambda: pool.choose(LINK)).reason is Reason.AT_CAPACITY  # the drained one is no way out
    assert [one.streams for one in pool.snapshot()] == [0, 2]
    assert pool.undrain("attic").draining is False
    assert pool.choose(LINK).url == A


def test_undraining_takes_the_wish_back(make: Make) -> None:
    pool = make(A)
    handle = pool.choose(LINK)
    pool.drain("127.0.0.1:1")
    pool.undrain("127.0.0.1:1")
    assert not handle.leave_requested.is_set()


def test_with_all_engines_drained_there_is_none(make: Make) -> None:
    pool = make({"url": A, "enabled": False})
    assert pool.snapshot()[0].draining is True
    assert refusal(lambda: pool.choose(LINK)).reason is Reason.NO_ENGINE
    pool.undrain("127.0.0.1:1")
    assert pool.choose(LINK).url == A


async def test_a_removed_engine_is_forgotten_when_its_last_stream_is_gone(
    make: Make, caplog: pytest.LogCaptureFixture
) -> None:
    pool = make(A, B)
    pool.start()
    first, second = pool.choose(LINK), pool.choose(LINK)
    third = pool.choose(LINK)
    assert [one.url for one in (first, second, third)] == [A, B, A]
    with caplog.at_level(logging.INFO):
        told = pool.remove("127.0.0.1:1")
    assert (told.leaving, told.streams) == (True, 2)
    assert first.leave_requested.is_set()
    assert third.leave_requested.is_set()
    assert refusal(lambda: pool.add(EngineEntry(url=A))).detail == "127.0.0.1:1 is http://127.0.0.1:1, which is leaving"
    first.release()
    assert pool.find("127.0.0.1:1").streams == 1
    third.release()
    third.release()
    assert refusal(lambda: pool.find("127.0.0.1:1")).reason is Reason.ENGINE_NOT_FOUND
    assert pool.urls == (B,)
    await until(lambda: sum(task.get_name().startswith("probe") for task in asyncio.all_tasks()) == 1)
    second.note_lost(AceProxyError(Reason.SOURCE_ENDED))  # whoever still holds a slot does no harm with it
    pool.remove("127.0.0.1:2")
    assert refusal(lambda: pool.choose(LINK)).reason is Reason.NO_ENGINE


async def test_a_removal_can_be_taken_back_while_streams_are_left(make: Make) -> None:
    pool = make(A)
    handle = pool.choose(LINK)
    pool.remove("127.0.0.1:1")
    pool.undrain("127.0.0.1:1")
    assert not handle.leave_requested.is_set()
    handle.release()
    assert pool.urls == (A,)
    assert pool.choose(LINK).url == A


async def test_an_engine_that_is_added_is_probed_at_once_and_gets_streams(make: Make, simulator: Simulator) -> None:
    pool = make(A)
    pool.start()
    told = pool.add(EngineEntry(url=simulator.url, label="new", weight=2, capacity=7))
    assert (told.state, told.capacity, told.weight, told.at_run_time) == ("unknown", 7, 2.0, True)
    await until(lambda: pool.find("new").state == "up")
    assert pool.choose(LINK).url == simulator.url
    assert pool.urls == (A, simulator.url)


def test_labels_and_addresses_are_unique_and_engines_bounded(make: Make) -> None:
    pool = make({"url": A, "label": "attic"})
    assert refusal(lambda: pool.add(EngineEntry(url=B, label="attic"))).reason is Reason.ENGINE_EXISTS
    assert refusal(lambda: pool.add(EngineEntry(url=A, label="other"))).reason is Reason.ENGINE_EXISTS
    for number in range(1, ENGINES_LIMIT):
        pool.add(EngineEntry(url=f"http://127.0.0.1:{1000 + number}"))
    assert refusal(lambda: pool.add(EngineEntry(url=B))).reason is Reason.BAD_PARAMETER
    for call in (pool.find, pool.remove, pool.drain, pool.undrain):
        assert refusal(lambda call=call: call("nobody")).reason is Reason.ENGINE_NOT_FOUND  # type: ignore[misc]  # bound


async def test_a_spare_slot_gives_way_to_a_stream_that_needs_it(make: Make, simulator: Simulator) -> None:
    pool = make(simulator.url)
    assert refusal(lambda: pool.choose(LINK, spare=True)).reason is Reason.ENGINE_UNREACHABLE  # not known to be up
    pool.start()
    await until(lambda: pool.snapshot()[0].state == "up")
    spare, first = pool.choose(LINK, spare=True), pool.choose(LINK)
    assert pool.snapshot()[0].spares == 1
    assert refusal(lambda: pool.choose(LINK, spare=True)).reason is Reason.AT_CAPACITY
    assert not spare.leave_requested.is_set()
    second = pool.choose(LINK)
    assert spare.leave_requested.is_set()
    assert not first.leave_requested.is_set()
    assert not second.leave_requested.is_set()
    assert refusal(lambda: pool.choose(LINK)).reason is Reason.AT_CAPACITY
    spare.release()
    assert pool.snapshot()[0].streams == 2


async def test_no_spare_slot_of_an_engine_that_is_gone_is_the_fault_of_that_engine(
    make: Make, simulator: Simulator
) -> None:
    pool = make(simulator.url)
    pool.start()
    await until(lambda: pool.snapshot()[0].state == "up")
    simulator.set_fault("down")
    await until(lambda: pool.snapshot()[0].state == "down")
    gone = refusal(lambda: pool.choose(LINK, spare=True))
    assert gone.reason is Reason.ENGINE_UNREACHABLE
    assert pool.snapshot()[0].label in (gone.detail or "")


async def test_no_spare_slot_of_an_engine_that_keeps_failing_is_the_fault_of_that_engine(
    make: Make, simulator: Simulator
) -> None:
    pool = make(simulator.url, probe_s=300, stat_timeout_s=30)
    pool.start()
    await until(lambda: pool.snapshot()[0].state == "up")
    while pool.snapshot()[0].breaker == "closed":
        handle = pool.choose(LINK)
        handle.note_failure(AceProxyError(Reason.ENGINE_REFUSED))
        handle.release()
    failing = refusal(lambda: pool.choose(LINK, spare=True))
    assert failing.reason is Reason.ENGINE_ERROR
    assert pool.snapshot()[0].label in (failing.detail or "")


async def test_a_spare_slot_that_is_kept_is_one_like_any_other(make: Make, simulator: Simulator) -> None:
    pool = make(simulator.url, capacity=1)
    pool.start()
    await until(lambda: pool.snapshot()[0].state == "up")
    spare = pool.choose(LINK, spare=True)
    spare.keep()
    assert refusal(lambda: pool.choose(LINK)).reason is Reason.AT_CAPACITY
    assert not spare.leave_requested.is_set()


def test_the_preferred_engine_is_taken_unless_something_speaks_against_it(make: Make) -> None:
    pool = make(A, B, capacity=3)
    assert [pool.choose(LINK, prefer=B).url for _ in range(3)] == [B, B, B]
    assert pool.choose(LINK, prefer=B).url == A
    assert make(A, B).choose(LINK, exclude=[B], prefer=B).url == A
    other = make(A, B)
    other.choose(LINK, prefer=B).note_failure(AceProxyError(Reason.ENGINE_UNREACHABLE))
    assert other.choose(LINK, prefer=B).url == A


# --- settings that are read anew ---


def entries(*engines: object) -> list[EngineEntry]:
    return list(Settings.model_validate({"engines": engines}).engines)


def told(pool: EnginePool) -> list[tuple[str, float, int, bool, bool]]:
    return [(one.label, one.weight, one.capacity, one.draining, one.leaving) for one in pool.snapshot()]


def test_settings_read_anew_change_add_and_remove_engines_and_streams_stay(make: Make) -> None:
    pool = make({"url": A, "label": "attic"}, B)
    on_a, on_b = pool.choose(LINK), pool.choose(LINK)
    pool.configure(entries({"url": A, "label": "cellar", "weight": 3, "capacity": 9}, "127.0.0.1:3"))
    assert told(pool) == [
        ("cellar", 3.0, 9, False, False), ("127.0.0.1:2", 1.0, 2, False, True), ("127.0.0.1:3", 1.0, 2, False, False)
    ]  # fmt: skip
    assert (on_a.label, on_a.leave_requested.is_set(), on_b.leave_requested.is_set()) == ("cellar", False, True)
    on_b.release()
    assert pool.urls == (A, "http://127.0.0.1:3")
    assert pool.snapshot()[0].streams == 1


def test_an_engine_that_was_to_go_stays_if_the_settings_name_it_again(make: Make) -> None:
    pool = make(A, B)
    handle = pool.choose(LINK)
    pool.configure(entries(B))
    assert handle.leave_requested.is_set()
    pool.configure(entries(A, B))
    assert not handle.leave_requested.is_set()
    assert [one.leaving for one in pool.snapshot()] == [False, False]


def test_labels_may_change_places_and_be_taken_over_from_an_engine_that_goes(make: Make) -> None:
    pool = make({"url": A, "label": "a"}, {"url": B, "label": "b"})
    pool.configure(entries({"url": A, "label": "b"}, {"url": B, "label": "a"}))
    assert [pool.find(label).url for label in "ab"] == [B, A]
    handle = pool.choose(LINK, exclude=[A])
    pool.configure(entries({"url": A, "label": "b"}, {"url": "127.0.0.1:3", "label": "a"}))
    assert pool.find("a").url == "http://127.0.0.1:3"
    assert handle.leave_requested.is_set()


def test_what_was_changed_at_run_time_goes_on_when_settings_are_read_anew(make: Make) -> None:
    pool = make(A, B)
    pool.add(EngineEntry(url="http://127.0.0.1:4", label="new"))
    pool.drain("127.0.0.1:1")
    pool.remove("127.0.0.1:2")
    pool.configure(entries(A, B, "127.0.0.1:3"))
    assert [(label, draining) for label, _, _, draining, _ in told(pool)] == [
        ("127.0.0.1:1", True), ("new", False), ("127.0.0.1:3", False)
    ]  # fmt: skip
    pool.configure(entries(A, {"url": B, "weight": 2}))  # other words than those that were removed: it is back
    assert [label for label, *_ in told(pool)] == ["127.0.0.1:1", "new", "127.0.0.1:2"]


def test_an_engine_the_settings_enable_or_not_follows_them(make: Make) -> None:
    pool = make(A, B)
    handle = pool.choose(LINK)
    pool.configure(entries({"url": A, "enabled": False}, B))
    assert handle.leave_requested.is_set()
    assert pool.choose(LINK).url == B
    pool.configure(entries(A, B))
    assert not handle.leave_requested.is_set()


async def test_the_probes_of_engines_that_settings_bring_and_take_begin_and_end(
    make: Make, simulator: Simulator
) -> None:
    pool = make(A)
    pool.start()
    pool.configure(entries(simulator.url))
    await until(lambda: [one.state for one in pool.snapshot()] == ["up"])
    await until(lambda: sum(task.get_name().startswith("probe") for task in asyncio.all_tasks()) == 1)


async def test_who_waits_for_an_engine_has_it_asked_again_and_hears_when_it_comes(
    make: Make, simulator: Simulator, monkeypatch: pytest.MonkeyPatch
) -> None:
    pool = make(simulator.url, probe_s=600.0)
    simulator.set_fault("down")
    pool.start()
    await until(lambda: [one.state for one in pool.snapshot()] == ["down"], 30)
    simulator.clear_faults()
    arrival = asyncio.ensure_future(pool.arrivals.wait())
    probed = [engine.probe_now for engine in pool._members]
    for _ in range(100):  # as many streams wait
        pool.look_for_engines()
    await until(lambda: [one.state for one in pool.snapshot()] == ["up"], 30)
    await arrival
    assert pool.arrivals.count == 1
    monkeypatch.setattr(pool._members, "_looked_at", 0.0)
    pool.look_for_engines()
    assert not probed[0].is_set(), "one that answers is not asked for those who wait"

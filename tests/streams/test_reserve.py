"""When a second source is opened, for which link, how long it is kept and when it takes over."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from aceproxy.engine.opened import StartProgress
from aceproxy.errors import AceProxyError, Reason
from aceproxy.streams.judging import Call, Judgement
from aceproxy.streams.reserve import GRACE_S, PROOF_S, Reserve
from aceproxy.streams.situation import ReserveLimits, Returns, Situation
from aceproxy.streams.spare import SILENT_S, TailSink
from aceproxy.streams.timeline import EventKind, Timeline
from tests.waiting import until

POOR = Judgement(Call.POOR, AceProxyError(Reason.SOURCE_SLOW))
THREE = frozenset({"http://one", "http://other", "http://third"})
ENGINES = frozenset({"http://one", "http://other"})


class Playing:
    """A source that was opened somewhere; delivers for ever if it `can`."""

    def __init__(self, *, can: bool) -> None:
        self.leave_requested = False
        self.is_live = True
        self.engine_url = "http://other"
        self.closed = False
        self.silent_s = 0.0
        self.told: list[AceProxyError] = []
        self.progress: StartProgress | None = None
        self.exclude: frozenset[str] = frozenset()
        self._can = can
        self.hangs = False

    @property
    def last_byte_at(self) -> float:
        """Just now, or a while ago."""
        return asyncio.get_running_loop().time() - self.silent_s

    def lost(self, error: AceProxyError) -> AceProxyError:
        """Hear why it is given up."""
        self.told.append(error)
        return error

    def keep(self) -> None:
        """Be a spare no longer."""

    async def open(self, _deadline_at: float, *, exclude: frozenset[str] = frozenset(), **_options: Any) -> None:
        """Open, or say why not; or neither."""
        self.exclude = exclude
        self.engine_url = min(THREE - exclude)
        if self.hangs:
            await asyncio.Event().wait()
        if not self._can:
            raise AceProxyError(Reason.NO_PEERS)

    async def wait_ended(self) -> AceProxyError:
        """Wait for ever."""
        await asyncio.Event().wait()
        raise AssertionError

    def close(self) -> None:
        """End."""
        self.closed = True


def situation(
    now: float,
    at: int = 0,
    judgement: Judgement | None = None,
    at_since: float = 0.0,
    since: float = 0.0,
    preferred: frozenset[str] = frozenset(),
    arrivals: int = 0,
    next_links: tuple[int, ...] = (),
) -> Situation:
    """Return how a stream with a present source and viewers is."""
    return Situation(
        now=now,
        source=Playing(can=True),  # type: ignore[arg-type]  # as much of a source as is looked at
        at=at,
        engine="http://one",
        engines=ENGINES,
        fit=ENGINES,
        preferred=preferred,
        since=since,
        links=3,
        has_clients=True,
        wants_standby=False,
        at_since=at_since,
        arrivals=arrivals,
        judgement=judgement,
        next_links=next_links,
    )


def reserve(
    opened: list[int], *, can: bool = True, received: int = 1 << 20, has_new: Callable[[bytes], bool] = bool
) -> Reserve:
    """Return a reserve that writes down which link it opens."""

    def make(at: int, sink: TailSink, _role: str) -> Playing:
        opened.append(at)
        sink.received_bytes = received
        return Playing(can=can)

    making: Callable[..., Any] = make
    return Reserve(ReserveLimits(10.0, 60.0, 15.0, 1 << 20), making, lambda _: b"", Timeline(lambda: 0.0), has_new)


async def test_a_fallback_is_left_for_each_of_the_links_before_it_in_turn() -> None:
    opened: list[int] = []
    keeper = reserve(opened, can=False)
    now = asyncio.get_running_loop().time()
    for _ in range(8):
        keeper.tend(situation(now, at=2, at_since=now - 100.0))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        now += 1000.0  # past every wait
    assert opened[:4] == [0, 1, 0, 1], "never the present one, nor one behind it"
    keeper.close()
    await keeper.settle()


async def test_what_failed_is_tried_at_once_when_an_engine_comes() -> None:
    opened: list[int] = []
    keeper = reserve(opened, can=False)
    now = asyncio.get_running_loop().time()
    for arrivals, tries in ((0, 1), (0, 1), (1, 2), (1, 2), (2, 3)):
        keeper.tend(situation(now, judgement=POOR, arrivals=arrivals))
        await asyncio.sleep(0)
        await asyncio.sleep(0)
        keeper.drop_failed()
        assert len(opened) == tries
    keeper.close()
    await keeper.settle()


async def test_one_that_is_to_be_moved_to_outlasts_a_moment_in_which_the_present_source_seems_well() -> None:
    opened: list[int] = []
    keeper = reserve(opened)
    now = asyncio.get_running_loop().time()
    assert keeper.tend(situation(now, judgement=POOR)) is None
    assert keeper.tend(situation(now + 0.1, judgement=POOR)) is None, "it has to prove itself"
    spare = keeper.spare
    assert spare is not None
    assert keeper.tend(situation(now + PROOF_S + 1.0)) is None, "it does not take over from one that is well"
    assert keeper.spare is spare
    assert keeper.tend(situation(now + PROOF_S + 1.5, judgement=POOR)) is spare
    keeper.close()
    await keeper.settle()


async def test_the_next_link_is_held_ready_in_the_place_of_a_standby_until_it_is_not_next_any_more() -> None:
    opened: list[int] = []
    keeper = reserve(opened)
    now = asyncio.get_running_loop().time()
    standing_by = replace(situation(now), wants_standby=True)
    keeper.tend(standing_by)
    keeper.tend(replace(standing_by, next_links=(2, 1)))
    assert opened == [0, 2]
    for later_s in (1.0, 100.0):
        assert keeper.tend(replace(standing_by, next_links=(2, 1), now=now + later_s)) is None, "only after a loss"
    assert opened == [0, 2]
    keeper.tend(replace(standing_by, now=now + 101.0))
    assert opened == [0, 2, 0]
    keeper.tend(replace(situation(now + 102.0, next_links=(1,)), has_clients=False))
    assert opened == [0, 2, 0], "nobody would miss anything"
    keeper.close()
    await keeper.settle()


async def test_a_spare_of_a_link_that_is_left_is_let_go_and_one_of_another_link_is_not() -> None:
    keeper = reserve([])
    now = asyncio.get_running_loop().time()
    keeper.tend(situation(now, next_links=(1,)))
    keeper.leave_link(0)
    assert held_by(keeper) is not None
    keeper.leave_link(1)
    assert held_by(keeper) is None
    await keeper.settle()


def test_a_link_that_was_lost_soon_after_the_return_to_it_is_returned_to_later() -> None:
    returns = Returns(60.0)
    assert returns.is_due(situation(100.0, at=1, at_since=40.0))
    returns.made(100.0)
    returns.lost(130.0)
    assert not returns.is_due(situation(200.0, at=1, at_since=131.0))
    assert returns.is_due(situation(251.0, at=1, at_since=131.0))


async def test_one_that_was_to_be_moved_to_is_let_go_once_the_present_source_is_well_again() -> None:
    keeper = reserve([])
    now = asyncio.get_running_loop().time()
    keeper.tend(situation(now, judgement=POOR))
    spare = keeper.spare
    await asyncio.sleep(0)
    keeper.tend(situation(now, judgement=POOR))
    keeper.tend(situation(now + GRACE_S + 0.1))
    assert keeper.spare is None
    told = [(event.kind, event.details.get("detail")) for event in keeper._timeline.events()][-2:]
    assert told == [(EventKind.STANDBY_READY, None), (EventKind.STANDBY_LOST, "it is not needed any more")]
    assert spare is not None
    assert spare.source.closed  # type: ignore[attr-defined]  # a Playing
    await keeper.settle()


@pytest.mark.parametrize("is_swarm", [False, True])
async def test_a_standby_that_has_fallen_silent_is_given_up_unless_the_whole_swarm_stands_still(is_swarm: bool) -> None:
    opened: list[int] = []
    keeper = reserve(opened)
    now = asyncio.get_running_loop().time()
    wanted = replace(situation(now), wants_standby=True)
    keeper.tend(wanted)
    await asyncio.sleep(0)
    spare = keeper.spare
    assert spare is not None
    beside: Playing = spare.source  # type: ignore[assignment]  # as much of a source as is looked at
    present: Playing = wanted.source  # type: ignore[assignment]  # the same
    beside.silent_s = SILENT_S - 0.5
    keeper.tend(wanted)
    assert held_by(keeper) is spare
    beside.silent_s = SILENT_S + 0.1
    present.silent_s = 10.0 if is_swarm else 0.0
    keeper.tend(wanted)
    assert (held_by(keeper) is spare) is is_swarm
    assert [error.reason for error in beside.told] == ([] if is_swarm else [Reason.ENGINE_STALLED])
    keeper.claim()
    assert held_by(keeper) is None, "after a loss it would only be waited for"
    await keeper.settle()


OTHER = frozenset({"http://other"})


def test_an_engine_of_higher_weight_is_tried_after_a_while_and_later_if_it_was_a_mistake() -> None:
    returns = Returns(60.0)
    assert not returns.is_due(situation(159.0, since=100.0, preferred=OTHER))
    assert returns.is_due(situation(160.0, since=100.0, preferred=OTHER))
    assert not returns.is_due(situation(160.0, since=100.0)), "all are of equal weight"
    returns.made(200.0)
    returns.lost(300.0)
    assert not returns.is_due(situation(400.0, since=300.0, preferred=OTHER))
    assert returns.is_due(situation(420.0, since=300.0, preferred=OTHER))
    returns.made(500.0)
    returns.lost(2000.0)  # it lasted: all is as at first
    assert returns.is_due(situation(2060.0, since=2000.0, preferred=OTHER))


def test_what_was_refused_is_tried_at_growing_intervals_and_never_where_that_is_not_wanted() -> None:
    returns = Returns(1.0)
    waits = []
    now = 1000.0
    for _ in range(8):
        returns.refused(now)
        before, now = now, next(at for at in range(int(now), int(now) + 1000) if due(returns, at))
        waits.append(now - before)
    assert waits == [5, 10, 20, 40, 80, 160, 300, 300]
    assert not Returns(0.0).is_due(situation(9000.0, at=1, preferred=OTHER))


def held_by(keeper: Reserve) -> object:
    """Return the spare."""
    return keeper.spare


def due(returns: Returns, at: float) -> bool:
    """Whether a return is due."""
    return returns.is_due(situation(at, preferred=OTHER))


class Hanging:
    """Makes sources of which nothing comes, and keeps them; a reserve that opens them."""

    def __init__(self) -> None:
        self.sources: list[Playing] = []
        making: Callable[..., Any] = self._make
        self.keeper = Reserve(ReserveLimits(10.0, 60.0, 15.0, 1 << 20), making, lambda _: b"", Timeline(lambda: 0.0))

    def _make(self, _at: int, _sink: TailSink, _role: str) -> Playing:
        self.sources.append(Playing(can=True))
        self.sources[-1].hangs = True
        return self.sources[-1]

    async def look(self, now: float) -> None:
        """Look once, at a silent source of one link with three engines."""
        self.keeper.tend(replace(situation(now, judgement=POOR), engines=THREE, fit=THREE, links=1))
        await asyncio.sleep(0)

    def wait(self) -> None:
        """Let the time pass after which the spare counts as one that gets nowhere."""
        spare = self.keeper.spare
        assert spare is not None
        spare.moved_at -= SILENT_S


async def test_what_is_to_be_moved_to_and_gets_nowhere_is_left_for_an_engine_that_was_not_tried() -> None:
    hanging, now = Hanging(), asyncio.get_running_loop().time()
    await hanging.look(now)
    await hanging.look(now + 1)
    assert [source.engine_url for source in hanging.sources] == ["http://other"]
    hanging.wait()
    await hanging.look(now + 2)
    assert [source.engine_url for source in hanging.sources] == ["http://other", "http://third"]
    assert hanging.sources[0].closed
    hanging.wait()
    await hanging.look(now + 3)
    assert len(hanging.sources) == 2, "there is no other: it is waited for"
    hanging.keeper.close()
    await hanging.keeper.settle()


async def test_what_collects_data_is_not_left() -> None:
    hanging, now = Hanging(), asyncio.get_running_loop().time()
    await hanging.look(now)
    hanging.sources[0].progress = StartProgress("prebuf", 20, 7, 1, "")
    hanging.wait()
    await hanging.look(now + 1)
    assert len(hanging.sources) == 1
    assert not hanging.sources[0].closed
    hanging.keeper.close()
    await hanging.keeper.settle()


async def test_an_engine_that_fails_is_not_waited_for_while_another_was_not_tried() -> None:
    hanging, now = Hanging(), asyncio.get_running_loop().time()
    await hanging.look(now)
    spare = hanging.keeper.spare
    assert spare is not None
    spare.failure = AceProxyError(Reason.ENGINE_ERROR)
    await hanging.look(now + 0.5)
    assert [source.engine_url for source in hanging.sources] == ["http://other", "http://third"]
    spare = hanging.keeper.spare
    assert spare is not None
    spare.failure = AceProxyError(Reason.ENGINE_ERROR)
    await hanging.look(now + 1)
    assert len(hanging.sources) == 2, "all were tried: the next one after a while"
    hanging.keeper.close()
    await hanging.keeper.settle()


@pytest.mark.parametrize(
    ("reason", "lag_s", "moves", "taken"),
    [
        (Reason.SOURCE_STALLED, -1.0, False, True),
        (Reason.SOURCE_STALLED, 0.0, False, False),
        (Reason.SOURCE_STALLED, None, False, True),
        (Reason.NO_KEYFRAMES, -1.0, False, False),
        (Reason.NO_KEYFRAMES, 2.0, True, True),
    ],
    ids=["newer media", "the same media", "another clock", "no pictures either", "pictures"],
)
async def test_a_source_without_pictures_is_left_only_for_one_that_has_them(
    monkeypatch: pytest.MonkeyPatch, reason: Reason, lag_s: float | None, moves: bool, taken: bool
) -> None:
    monkeypatch.setattr("aceproxy.streams.spare.Spare.lag_s", lambda *_: lag_s)
    monkeypatch.setattr("aceproxy.streams.spare.Spare.has_moving_pictures", lambda _: moves)
    still = Judgement(Call.POOR, AceProxyError(reason), is_still=True)
    opened: list[int] = []
    keeper = reserve(opened)
    now = asyncio.get_running_loop().time()
    keeper.tend(situation(now, judgement=still))
    await until(lambda: keeper.spare is not None and keeper.spare.opened_at is not None)
    spare = keeper.spare
    assert spare is not None
    assert spare.is_ready
    assert keeper.tend(situation(now, judgement=still)) is (spare if taken and lag_s == -1.0 else None)
    assert (keeper.tend(situation(now + PROOF_S + 0.5, judgement=still)) is spare) is taken
    keeper.tend(situation(now + 2 * PROOF_S + 0.5, judgement=still))
    assert (keeper.spare is spare) is taken, "one that is no better is let go"
    keeper.close()
    await keeper.settle()


@pytest.mark.parametrize("is_new", [True, False])
async def test_a_source_that_repeats_itself_is_left_only_for_one_that_brings_something_new(is_new: bool) -> None:
    loops = Judgement(Call.POOR, AceProxyError(Reason.SOURCE_LOOPS), is_still=True)
    opened: list[int] = []
    keeper = reserve(opened, has_new=lambda _: is_new)
    now = asyncio.get_running_loop().time()
    keeper.tend(situation(now, judgement=loops))
    await until(lambda: keeper.spare is not None and keeper.spare.opened_at is not None)
    spare = keeper.spare
    assert (keeper.tend(situation(now, judgement=loops)) is spare) is is_new
    keeper.tend(situation(now + 2 * PROOF_S + 0.5, judgement=loops))
    assert (keeper.spare is spare) is is_new
    keeper.close()
    await keeper.settle()

"""What became of each client of the chaos run: what it saw itself, beside what the program says of it."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

LEFT_REASON, STALLED_REASON = "client_left", "stalled_client"
READ_FOR_S = 1.0  # and more reads who rests later
READ_UP_S = 4.0  # after which who reads has all that was there
SLACK_S = 2.0  # of a busy machine, on either side
KEPT_WRONGS = 200
UNSEEN_SHARE = 0.2  # of those that were moved forward may have ended before the list was looked at


class Outcome(StrEnum):
    """How it ended, as the client sees it."""

    WAITING = "waiting"
    REFUSED = "refused"  # by an answer that is no 200
    LEFT = "left"  # of its own will, after a 200
    CUT = "cut"  # by the other side, after a 200


@dataclass(slots=True)
class Fate:
    """One request for a stream. `agent` is its User-Agent, which no other one has. Times are monotonic."""

    agent: str
    kind: str
    began_at: float
    outcome: Outcome = Outcome.WAITING
    reason: str = ""  # of a refusal
    ended_at: float = 0.0
    rests: list[tuple[float, float]] = field(default_factory=list)  # from when to when it read nothing
    slow_s: float = 0.0  # for how long it read less than is played
    received_bytes: int = 0

    @contextmanager
    def resting(self) -> Iterator[None]:
        """Note that it reads nothing, or so little that its system tells nobody, while this lasts."""
        began_at = time.monotonic()
        try:
            yield
        finally:
            self.rests.append((began_at, time.monotonic()))

    def rested_s(self, at: float) -> float:
        """Return for how long it had read nothing at a moment, or just before it."""
        return max((at - start for start, stop in self.rests if start <= at <= stop + SLACK_S), default=0.0)


class Fates:
    """Everything that clients saw, and what they found wrong by themselves."""

    def __init__(self) -> None:
        self.all: list[Fate] = []
        self.wrongs: Counter[str] = Counter()
        self.seen: Counter[str] = Counter()  # what is no mistake, for the report

    def begin(self, kind: str) -> Fate:
        """Make a record for a new request."""
        fate = Fate(f"chaos/{kind}/{len(self.all)}", kind, time.monotonic())
        self.all.append(fate)
        return fate

    def wrong(self, words: str) -> None:
        """Note a mistake of the program."""
        if words in self.wrongs or len(self.wrongs) < KEPT_WRONGS:
            self.wrongs[words] += 1

    def end(self, fate: Fate, outcome: Outcome, reason: str = "") -> None:
        """Note the end, the first one that is told."""
        if fate.outcome is Outcome.WAITING:
            fate.outcome, fate.reason, fate.ended_at = outcome, reason, time.monotonic()
            self.seen[f"{fate.kind} {reason or outcome}"] += 1


def judge(
    fates: list[Fate], ends: dict[str, list[dict[str, Any]]], open_agents: list[str], stall_s: float
) -> list[str]:
    """Return where what clients saw and what the program recorded do not fit.

    `ends`: by agent, each end that was recorded. `open_agents`: clients that never ended. As stalled only those may
    end that read nothing for `stall_s` before, whatever came to be read: who waits for a swarm that stands still does
    not rest.
    """
    wrong = [f"{agent} is a client still" for agent in open_agents]
    for fate in fates:
        found = ends.get(fate.agent, [])
        wrong += [f"{fate.agent} ended for internal" for end in found if end["reason"] == "internal"]
        if fate.outcome in (Outcome.LEFT, Outcome.CUT) and len(found) != 1:
            wrong.append(f"{fate.agent} ({fate.outcome}) has {len(found)} recorded ends")
        if fate.outcome is Outcome.CUT and any(end["reason"] == LEFT_REASON for end in found):
            wrong.append(f"{fate.agent} was cut off, and is recorded as one that left")
        for end in found:
            rested_s = fate.rested_s(end["at"])
            if end["reason"] == STALLED_REASON and rested_s < stall_s - SLACK_S:
                wrong.append(f"{fate.agent} was ended as stalled after a rest of {rested_s:.1f} s")
    return wrong


def judge_droughts(
    fates: list[Fate], ends: dict[str, list[dict[str, Any]]], droughts: list[tuple[float, float]], stall_s: float
) -> list[str]:
    """Return whom the program ended for a stall of the swarm.

    Who had read all there was, and rested only then, had nothing to take: the time for which it may rest begins with
    the end of the drought. One that trickled from its first byte on has not read all.
    """
    wrong = []
    for fate in fates:
        stalled_at = [end["at"] for end in ends.get(fate.agent, []) if end["reason"] == STALLED_REASON]
        read_up = [(start, stop) for start, stop in fate.rests if start >= fate.began_at + READ_FOR_S]
        for began_at, ended_at in droughts:
            rested = any(began_at + READ_UP_S < start < ended_at <= stop + SLACK_S for start, stop in read_up)
            if rested and any(began_at < at < ended_at + stall_s - SLACK_S for at in stalled_at):
                wrong.append(f"{fate.agent} was ended as stalled while the swarm stood still")
    return wrong


def at_drought(fates: list[Fate], droughts: list[tuple[float, float]]) -> list[dict[str, int]]:
    """Count who was there in each drought, how many of them rested in it, and how many read slowly."""
    found = []
    for began_at, ended_at in droughts:
        there = [one for one in fates if one.began_at < ended_at and not 0 < one.ended_at < began_at]
        resting = sum(any(start < ended_at and stop > began_at for start, stop in one.rests) for one in there)
        found.append({"there": len(there), "resting": resting, "slow": sum(one.kind == "slow" for one in there)})
    return found


def judge_slow(
    fates: list[Fate], shown: dict[str, dict[str, float]], ends: dict[str, list[dict[str, Any]]], least_s: float
) -> list[str]:
    """Return which slow readers the API did not show as such. `shown`: by agent, the highest lag and skips it told.

    One that reads at most half of what comes for `least_s` lags. Who was moved forward has skipped; some few may have
    ended before anybody looked.
    """
    wrong, moved, unseen = [], 0, []
    for fate in fates:
        told = shown.get(fate.agent, {"lag_bytes": 0.0, "skips": 0.0})
        if fate.slow_s >= least_s and fate.outcome is not Outcome.REFUSED and not told["lag_bytes"]:
            wrong.append(f"{fate.agent} read slowly for {fate.slow_s:.0f} s, and no lag was shown")
        if any(end["skips"] for end in ends.get(fate.agent, [])):
            moved += 1
            unseen += [] if told["skips"] else [fate.agent]
    if len(unseen) > max(1, moved * UNSEEN_SHARE):
        wrong.append(f"{moved} were moved forward, and of {', '.join(unseen)} no skip was shown")
    return wrong

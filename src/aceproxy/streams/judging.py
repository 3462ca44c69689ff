"""Judging a source that has been joined: is it alive, is it a transport stream, is it new, is it fast enough?

Pure: one look after the other is passed in, with the time in it. What a source does is told by three things at once,
because each of them alone can mislead: the bytes that come, the media time they carry, and what the engine says of the
playback. An engine that says it waits for the swarm is given more patience than one that claims to deliver.
"""

from __future__ import annotations

from bisect import bisect_right
from collections import deque
from dataclasses import dataclass
from enum import Enum, auto
from itertools import pairwise
from math import inf
from typing import Final

from aceproxy.engine.choice import NoAnswer
from aceproxy.errors import AceProxyError, Reason
from aceproxy.settings import Settings
from aceproxy.streams.engine_word import EngineWord

TRICKLE: Final = 0.1  # media per time below which a source that sends counts as one that does not
TRICKLE_BYTES: Final = 1000  # a second, in packets: the same; the time stamps of so little may be minutes away
SLOW: Final = 0.6  # media per time below which viewers cannot but wait
FIT: Final = 0.1  # share of bytes that must be part of packets
BREAKS: Final = (
    3  # looks within `slow_s` that find garbage between the packets: then viewers see damage again and again
)
FLOWING_S: Final = 1.0  # of media as fast as it is played, after which a source is not left for what was before
DOUBTFUL_S: Final = 20.0  # for which another engine or link is asked whether it has anything new
STILL_S: Final = 4.0  # without a picture, or sound where there are none, though packets come
STEADY_S: Final = 10.0  # for which it must have been seen to bring media before
STEADY_GAP_S: Final = 2.0  # between two pictures then; slides come less often
LEAST_BYTES: Final = 32 << 10  # received, before it is judged what they are
HABIT_SHARE: Final = 1.5  # of the silences that a source has by habit: what is no longer is no reason to leave it
STAT_TIMEOUTS: Final = 2  # unanswered polls in a row during a silence: the engine hangs
FROZEN_EDGE_S: Final = 3.0  # `live_last` is told in whole seconds and polled once a second: then it stands still
OWED_S: Final = 0.6  # for which an engine whose stream is silent has owed its version: another one is begun beside it
EDGE_LATE_S: Final = 1.5  # a poll that was under way when the repeat began may still show progress


class Call(Enum):
    """What is to be made of a source."""

    LOST = auto()  # it must be replaced
    POOR = auto()  # another one is to be tried beside it
    INNOCENT = auto()  # what it repeats is what is broadcast


@dataclass(frozen=True, slots=True)
class Judgement:
    """A call, and the reason that goes with it. `is_still`: it brings nothing new, so only one that does is of use."""

    call: Call
    error: AceProxyError
    is_still: bool = False


@dataclass(frozen=True, slots=True)
class Look:
    """A source at one moment. Counters only grow; `media_s` is the media time that has come out of it.

    `silent_s`: since the newest byte. `points`: random-access points found so far. `is_held`: what it sends is held
    back, since its clock jumped; `repeating_s`: since it is known to send what was sent before, None if it is not.
    `has_spare`: another source runs and could take over at once. `spare_is_behind`: it has nothing yet that viewers
    lack, though it is of the same broadcast. `is_overtaken`: it goes on while this one is silent for longer than it
    ever was of late. `habit_s`: for how long it is silent as a matter of habit. `breaks`:
    how often something else came where a packet should. `could_move`: another engine has room for one. `is_unusual`:
    it has not been silent for so long of late, and no other engine was tried for that a short time ago. `better_left`:
    the engine does not even tell its version, since when, and another one could do. `owed_s`: for how long it has owed
    that since the silence began. `carried_s`: the media time that has come by whichever stream went on, sound as well
    as pictures; None where that is `media_s`.
    """

    now: float
    silent_s: float
    received_bytes: int
    packet_bytes: int
    media_s: float
    points: int
    has_video: bool
    is_live: bool
    paused: bool
    engine: EngineWord
    repeating_s: float | None = None
    is_held: bool = False
    has_spare: bool = False
    spare_is_behind: bool = False
    is_overtaken: bool = False
    habit_s: float = 0.0
    breaks: int = 0
    could_move: bool = False
    is_unusual: bool = False
    better_left: NoAnswer | None = None
    owed_s: float = 0.0
    carried_s: float | None = None

    @property
    def flow_s(self) -> float:
        """The media time that has come, by pictures or sound."""
        return self.media_s if self.carried_s is None else self.carried_s

    @property
    def is_mute(self) -> bool:
        """Whether the engine seems to have stopped, and what takes over from it is yet to be begun."""
        return self.owed_s >= OWED_S and self.is_unusual and self.could_move and not self.has_spare


@dataclass(frozen=True, slots=True)
class JudgeLimits:
    """How long each fault may last, in seconds; the settings of the same names."""

    quiet_s: float
    stuck_s: float
    silence_s: float
    garbage_s: float
    trickle_s: float
    slow_s: float
    keyframe_gap_s: float
    loop_s: float

    @classmethod
    def from_settings(cls, settings: Settings) -> JudgeLimits:
        """Take the limits from the settings."""
        return cls(
            quiet_s=settings.quiet_s,
            stuck_s=settings.stuck_s,
            silence_s=settings.silence_s,
            garbage_s=settings.garbage_s,
            trickle_s=settings.trickle_s,
            slow_s=settings.slow_s,
            keyframe_gap_s=settings.keyframe_gap_s,
            loop_s=settings.loop_s,
        )

    @property
    def longest_s(self) -> float:
        """How far back looks are needed."""
        return max(self.garbage_s, self.trickle_s, self.slow_s, self.keyframe_gap_s, self.loop_s)


class SourceJudge:
    """Judges one source. Bounded: keeps the looks of the longest limit, at most `LOOKS`."""

    LOOKS: Final = 400

    def __init__(self, limits: JudgeLimits, spare_damage_s: float = 0.0, spare_doubt_s: float = 0.0) -> None:
        """Begin with a new source; for its first `spare_damage_s` garbage between its packets is put up with, and for
        its first `spare_doubt_s` its engine is believed that the broadcast repeats itself.
        """
        self._spare_doubt_s = spare_doubt_s
        self._limits = limits
        self._spare_damage_s = spare_damage_s
        self._began_at: float | None = None
        self._looks: deque[Look] = deque(maxlen=self.LOOKS)
        self._innocent_at: float | None = None  # when it was taken for a broadcast that repeats itself

    def look(self, look: Look) -> Judgement | None:
        """Take the next look; return what is to be done, if anything."""
        if self._began_at is None:
            self._began_at = look.now
        if look.paused or look.is_held:
            self._looks.clear()  # its pace is ours
            return None if look.paused else self._repeat(look)
        self._looks.append(look)
        while len(self._looks) > 2 and self._looks[1].now <= look.now - self._limits.longest_s:
            self._looks.popleft()
        for judge in (
            self._silence,
            self._garbage,
            self._trickle,
            self._frozen_edge,
            self._damage,
            self._doubtful,
            self._still,
            self._poor,
        ):
            judgement = judge(look)
            if judgement is not None:
                return judgement
        return None

    def _before(self, look: Look, span_s: float) -> Look | None:
        """Return the newest look that is at least `span_s` older, None if it has not been watched for so long."""
        after = bisect_right(self._looks, look.now - span_s, key=_moment)
        return self._looks[after - 1] if after else None

    def _is_steady(self) -> bool:
        """Whether it has not fallen silent since it is watched; after a stall of the swarm media time jumps ahead."""
        return all(one.silent_s < self._limits.quiet_s for one in self._looks)

    def _silence(self, look: Look) -> Judgement | None:
        limits, silent_s, engine = self._limits, look.silent_s, look.engine
        words = f"no data for {silent_s:.1f} s; {engine.words()}"
        reason = Reason.SOURCE_STALLED if engine.waits_for_swarm else Reason.ENGINE_STALLED
        if look.is_overtaken:
            return _lost(reason, f"{words}; the standby goes on")
        if silent_s < min(limits.quiet_s, limits.silence_s):
            return Judgement(Call.POOR, AceProxyError(reason, words)) if look.is_mute else None
        if engine.asked_at is not None and engine.asked_at > look.now - silent_s:
            if engine.refusal in (Reason.SESSION_LOST, Reason.ENGINE_UNREACHABLE, Reason.ENGINE_REFUSED):
                return _lost(engine.refusal, words)
            if engine.refusal is Reason.ENGINE_TIMEOUT and engine.refusals >= STAT_TIMEOUTS:
                return _lost(Reason.ENGINE_TIMEOUT, words)
        mute = look.better_left
        if mute is not None and not (engine.refusal is None and (engine.asked_at or -inf) > mute.since_at):
            return _lost(mute.reason, f"no data for {silent_s:.1f} s; the engine does not tell its version")
        if silent_s >= limits.silence_s or (silent_s >= limits.stuck_s and engine.claims_delivery):
            return _lost(reason, words)
        early_s = min(limits.stuck_s, max(limits.quiet_s + 1, HABIT_SHARE * look.habit_s))
        is_of_use = look.has_spare and not (engine.waits_for_swarm and look.spare_is_behind)
        if is_of_use and silent_s >= early_s:
            return _lost(reason, words)
        is_suspect = look.could_move and (
            look.is_unusual or not engine.waits_for_swarm
        )  # another may have what it lacks
        if look.is_mute or silent_s >= (early_s if is_suspect else limits.stuck_s):
            return Judgement(Call.POOR, AceProxyError(reason, words))
        return None

    def _garbage(self, look: Look) -> Judgement | None:
        before = self._before(look, self._limits.garbage_s)
        if before is None:
            return None
        received = look.received_bytes - before.received_bytes
        fit = look.packet_bytes - before.packet_bytes
        if received < LEAST_BYTES or fit >= FIT * received:
            return None
        return _lost(Reason.NOT_MPEGTS, f"{received} bytes in {look.now - before.now:.0f} s, {fit} of them in packets")

    def _repeat(self, look: Look) -> Judgement | None:
        """Judge content that comes again: the engine loops, unless the live edge of the broadcast moves on."""
        if look.repeating_s is None:
            return None
        began_at, edge_at = look.now - look.repeating_s, look.engine.edge_at
        detail = "time stamps and content come again"
        if edge_at is None:
            is_sure = look.repeating_s >= EDGE_LATE_S
            return _lost(Reason.SOURCE_LOOPS, detail) if is_sure else None
        if edge_at > began_at + EDGE_LATE_S:
            if self._began_at is None or look.now - self._began_at >= self._spare_doubt_s:
                self._innocent_at = look.now
            return Judgement(Call.INNOCENT, AceProxyError(Reason.SOURCE_LOOPS, "the broadcast repeats itself"))
        if look.now - max(began_at, edge_at) >= FROZEN_EDGE_S:
            return _lost(Reason.SOURCE_LOOPS, f"{detail}; live_last stands still")
        return None

    def _trickle(self, look: Look) -> Judgement | None:
        before = self._before(look, self._limits.trickle_s)
        if before is None or not look.is_live or look.silent_s >= self._limits.quiet_s:
            return None
        elapsed_s = look.now - before.now
        share = (look.flow_s - before.flow_s) / elapsed_s
        newer = self._before(look, FLOWING_S)
        flows_again = newer is not None and look.flow_s - newer.flow_s >= SLOW * (look.now - newer.now)
        if share < TRICKLE and not flows_again:
            return _lost(Reason.SOURCE_STALLED, f"{share:.0%} of real time in {elapsed_s:.0f} s")
        count = look.packet_bytes - before.packet_bytes
        if count < TRICKLE_BYTES * elapsed_s:
            return _lost(Reason.SOURCE_STALLED, f"{count} bytes in {elapsed_s:.0f} s")
        return None

    def _frozen_edge(self, look: Look) -> Judgement | None:
        """Judge media that flows on although the broadcast's live edge stopped long ago: it can only be old."""
        before, edge_at = self._before(look, self._limits.loop_s), look.engine.edge_at
        if before is None or not look.is_live or edge_at is None or look.engine.refusal is not None:
            return None
        if look.now - edge_at < self._limits.loop_s or not self._is_steady():
            return None
        if look.media_s - before.media_s < SLOW * (look.now - before.now):
            return None
        return _lost(Reason.SOURCE_LOOPS, f"live_last has stood still for {look.now - edge_at:.0f} s")

    def _damage(self, look: Look) -> Judgement | None:
        """Judge good packets with garbage between them now and then: another engine may send the bare packets."""
        assert self._began_at is not None
        if look.breaks - self._looks[0].breaks < BREAKS or look.now - self._began_at < self._spare_damage_s:
            return None
        of_late = [one.breaks for one in self._looks if one.now >= look.now - self._limits.slow_s]
        times = sum(before != after for before, after in pairwise(of_late))
        if times < BREAKS:
            return None
        return Judgement(Call.POOR, AceProxyError(Reason.NOT_MPEGTS, f"garbage between the packets, {times} times"))

    def _doubtful(self, look: Look) -> Judgement | None:
        """Judge one that repeats itself while its engine says that the live edge moves on: another may know better."""
        if self._innocent_at is None or not look.could_move or look.now - self._innocent_at >= DOUBTFUL_S:
            return None
        detail = "it repeats itself, though live_last moves on"
        return Judgement(Call.POOR, AceProxyError(Reason.SOURCE_LOOPS, detail), is_still=True)

    def _still(self, look: Look) -> Judgement | None:
        """Judge packets that come and bring no picture, of a source that brought them steadily: another may have them.

        Slides are not steady, nor is a source that was begun for that reason and has no picture either.
        """
        if not look.is_live or not look.could_move:
            return None
        since = next(one for one in self._looks if one.media_s >= look.media_s)
        still_s = look.now - since.now
        of_late = [one for one in self._looks if one.now >= since.now]
        if still_s < STILL_S or any(one.silent_s >= self._limits.quiet_s for one in of_late):
            return None
        if since.now - self._looks[0].now < STEADY_S or self._longest_still_s(since.now) > STEADY_GAP_S:
            return None
        if look.has_video and look.flow_s - since.flow_s >= SLOW * still_s:
            detail = f"no picture for {still_s:.1f} s, while the sound goes on"
            return Judgement(Call.POOR, AceProxyError(Reason.NO_KEYFRAMES, detail), is_still=True)
        detail = f"packets without media for {still_s:.1f} s"
        return Judgement(Call.POOR, AceProxyError(Reason.SOURCE_STALLED, detail), is_still=True)

    def _longest_still_s(self, until_at: float) -> float:
        """Return for how long media time stood still at the longest before, in seconds."""
        longest_s, since = 0.0, self._looks[0]
        for one in self._looks:
            if one.now > until_at:
                break
            if one.media_s > since.media_s:
                longest_s, since = max(longest_s, one.now - since.now), one
        return longest_s

    def _poor(self, look: Look) -> Judgement | None:
        """Judge a live source that delivers, but so that viewers cannot be content."""
        before = self._before(look, self._limits.slow_s)
        if not look.is_live:
            return None
        if before is not None:
            share = (look.flow_s - before.flow_s) / (look.now - before.now)
            if share < SLOW:
                return Judgement(Call.POOR, AceProxyError(Reason.SOURCE_SLOW, f"{share:.0%} of real time"))
        before = self._before(look, self._limits.keyframe_gap_s)
        is_keyless = before is not None and look.points == before.points and look.media_s > before.media_s
        if before is not None and is_keyless and look.has_video and self._is_steady():
            detail = f"none in {look.now - before.now:.0f} s"
            return Judgement(Call.POOR, AceProxyError(Reason.NO_KEYFRAMES, detail))
        return None


def _moment(look: Look) -> float:
    return look.now


def _lost(reason: Reason, detail: str) -> Judgement:
    return Judgement(Call.LOST, AceProxyError(reason, detail))

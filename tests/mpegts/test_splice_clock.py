"""Splicing by the same clock: the broadcast is the same, its packets are not."""

from __future__ import annotations

import random
import shutil
import subprocess
from pathlib import Path

import pytest

from aceproxy.mpegts.splice import Outcome, Splicer
from tests.mpegts.splicing import PACKET, Seen, after, check, clip, media, read, run, splice, without

VIDEO, AUDIO = 0x100, 0x101
NULL = b"\x47\x1f\xff\x10" + b"\xff" * 184


def renumbered(stream: bytes, step: int = 5, null_every: int = 7) -> bytes:
    """Return the same stream in packets none of which is the same: other counters, more null packets."""
    out = []
    for at in range(0, len(stream), PACKET):
        packet = stream[at : at + PACKET]
        out.append(packet[:3] + bytes((packet[3] & 0xF0 | (packet[3] + step) & 15,)) + packet[4:])
        if at // PACKET % null_every == 0:
            out.append(NULL)
    return b"".join(out)


def content(seen: Seen, pid: int) -> dict[int, bytes]:
    """Return the whole access units of a PID by DTS."""
    return {unit.dts: unit.content for unit in seen.units[pid] if unit.whole}


def assert_nothing_lost(out: bytes, full: bytes) -> None:
    """Hold what came out against the broadcast: every access unit once, and whole."""
    seen, broadcast = check(out), read(full)
    for pid in seen.units:
        known = content(broadcast, pid)
        got = content(seen, pid)
        first, *_, last = got
        expected = [dts for dts in known if after(dts, first) >= 0 and after(dts, last) <= 0]
        assert list(got) == expected
        assert all(got[dts] == known[dts] for dts in got)


@pytest.mark.parametrize("name", ["light", "radio"])
def test_any_cut_goes_on_with_the_rest_of_what_was_cut_off(name: str) -> None:
    full = media(name, 0, 14)
    rate = clip(name).bytes_per_s
    for seed in range(40):
        rng = random.Random(seed)
        cut = rng.randrange(int(5 * rate), int(7 * rate))
        start = cut - int(rng.uniform(0.7, 4) * rate)
        first = cut - int(2 * rate)
        new = renumbered(full[start // PACKET * PACKET : cut // PACKET * PACKET + int(2 * rate) // PACKET * PACKET])
        out, splicer = splice(full[first // PACKET * PACKET : cut], new, packets=rng.choice([3, 64, 512]))
        assert splicer.splice is not None
        assert splicer.splice.outcome is Outcome.SAME_CLOCK, f"seed {seed}"
        assert splicer.splice.gap_s == 0
        assert_nothing_lost(out, full)


def test_packets_lost_in_the_new_source_before_the_place_do_no_harm() -> None:
    full = media("light", 0, 12)
    rate = clip("light").bytes_per_s
    cut = int(6.3 * rate) // PACKET * PACKET
    start = int(3.1 * rate) // PACKET * PACKET
    rng = random.Random(1)
    new = renumbered(without(full[start:], {rng.randrange(2000) for _ in range(200)}))
    out, _ = splice(full[:cut], new)
    assert_nothing_lost(out, full)


def test_a_short_gap_jumps_to_the_next_random_access_point_and_sound_begins_at_once() -> None:
    full = media("light", 0, 14)
    rate = clip("light").bytes_per_s
    cut, start = (int(at * rate) // PACKET * PACKET for at in (6.0, 6.6))
    out, splicer = splice(full[:cut], full[start:])
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_CLOCK
    assert splicer.splice.at_access_point
    assert 0.5 < splicer.splice.gap_s < 1.7
    seen = check(out, max_step_s=2)
    broadcast = read(full)
    jumps = [after(b, a) for a, b in zip(seen.times(AUDIO), seen.times(AUDIO)[1:], strict=False)]
    assert max(jumps) < 0.9 * 90_000
    assert set(seen.times(VIDEO)) <= set(broadcast.times(VIDEO))
    first_after = next(
        unit for unit in seen.units[VIDEO] if unit.dts > seen.units[VIDEO][0].dts + 5.9 * 90_000 + 45_000
    )
    assert b"\x00\x00\x01\x67" in first_after.content  # a sequence parameter set


def test_the_next_picture_is_taken_where_the_last_one_was_sent_whole() -> None:
    """Nothing overlaps, but exactly what was sent whole is followed by the next access unit: no picture is lost."""
    full = media("light", 0, 14)
    starts = [
        at
        for at in range(0, len(full), PACKET)
        if full[at + 1] & 0x5F == 0x41 and full[at + 2] == 0 and at > 6 * clip("light").bytes_per_s
    ]
    place = starts[3]
    out, splicer = splice(full[:place], renumbered(full[place:]))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_CLOCK
    seen = check(out)
    assert content(seen, VIDEO) == {
        dts: unit for dts, unit in content(read(full), VIDEO).items() if after(dts, max(content(seen, VIDEO))) <= 0
    }


def test_a_gap_of_twenty_seconds_is_closed() -> None:
    """Players would wait a jump out; the clocks are shifted so that they need not."""
    out, splicer = splice(media("light", 1, 6), media("light", 26, 30))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.CLOSED_GAP
    assert 20 <= splicer.splice.gap_s < 22.1
    check(out)


def test_a_gap_that_grows_too_long_up_to_the_random_access_point_is_closed() -> None:
    """Keyframes are 2 s apart: the source begins 2.8 s after the place, its first keyframe comes 4.7 s after it."""
    out, splicer = splice(media("clock", 2, 5.3), media("clock", 8.1, 12))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.CLOSED_GAP
    assert 4.6 < splicer.splice.gap_s < 4.8
    check(out)


def test_a_source_from_long_before_is_closed_up_too() -> None:
    out, splicer = splice(media("light", 90, 95), media("light", 10, 14))
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.OTHER_CLOCK
    check(out)


def test_the_wrap_of_the_clock_about_the_place_changes_nothing() -> None:
    one = clip("light")
    for offset_s in (4.0, 5.5, 6.0, 6.2, 6.6, 7.0):
        base = (1 << 33) - int((0.5 + offset_s) * 90_000)
        full = media("light", 0, 12, base)
        cut, start = (int(at * one.bytes_per_s) // PACKET * PACKET for at in (6.1, 3.0))
        out, _ = splice(full[:cut], full[start:])
        assert out == full
        out, splicer = splice(full[:cut], renumbered(full[start:]))
        assert splicer.splice is not None
        assert splicer.splice.outcome is Outcome.SAME_CLOCK
        assert_nothing_lost(out, full)
        gone, _ = splice(full[:cut], full[cut + int(one.bytes_per_s * 0.5) // PACKET * PACKET :])
        check(gone, max_step_s=2)


def test_a_spliced_source_that_comes_again_goes_on_by_its_bytes() -> None:
    """After a splice by the clock the next reopening finds the place by the bytes of that source."""
    full = media("light", 0, 20)
    rate = clip("light").bytes_per_s
    new = renumbered(full[int(4 * rate) // PACKET * PACKET :])
    splicer = Splicer()
    out = run(splicer, full[: int(6 * rate) // PACKET * PACKET])
    splicer.begin_source()
    at = len(new) // 2 // PACKET * PACKET
    out += run(splicer, new[:at])
    splicer.begin_source()
    out += run(splicer, new[at - 2000 * PACKET :])
    assert splicer.splice is not None
    assert splicer.splice.outcome is Outcome.SAME_BYTES
    assert_nothing_lost(out, full)


@pytest.mark.parametrize("first", ["clip", "remuxed"])
@pytest.mark.parametrize("name", ["light", "clock"])
def test_a_broadcast_remuxed_by_ffmpeg_loses_no_picture_and_no_sound(name: str, first: str, tmp_path: Path) -> None:
    """Its sound is grouped otherwise and its interleaving is another one; elementary streams go on byte by byte."""
    if not shutil.which("ffmpeg"):
        pytest.skip("ffmpeg is not installed")
    full = media(name, 0, 14)
    remuxed = remux(full, tmp_path)
    old, new = (full, remux(media(name, 4, 14), tmp_path)) if first == "clip" else (remuxed, media(name, 4, 14))
    elementary = {pid: b"".join(unit.content for unit in units) for pid, units in read(full).units.items()}
    middle = range(len(old) * 45 // 100 // PACKET * PACKET, len(old) * 6 // 10, PACKET)
    sounds = [at for at in middle if old[at + 1] & 0x5F == 0x41 and old[at + 2] == 1]
    for seed in range(8):
        rng = random.Random(seed)
        cut = rng.randrange(int(len(old) * 0.45), int(len(old) * 0.6))
        if seed % 2:  # in the middle of a group of sound frames
            cut = rng.choice(sounds) + rng.randrange(2, 8) * PACKET
        out, splicer = splice(old[:cut], new)
        assert splicer.splice is not None
        assert splicer.splice.outcome is Outcome.SAME_CLOCK
        seen = check(out, max_step_s=1.5)
        for pid in (VIDEO, AUDIO):
            got = b"".join(unit.content for unit in seen.units[pid] if unit.whole)
            assert elementary[pid].startswith(got), f"seed {seed}"


def remux(stream: bytes, folder: Path) -> bytes:
    """Return the stream as ffmpeg multiplexes it anew, with its time stamps as they are."""
    source, target = folder / "in.ts", folder / "out.ts"
    source.write_bytes(stream)
    command = ["ffmpeg", "-nostdin", "-v", "quiet", "-y", "-copyts", "-i", str(source), "-map", "0", "-c", "copy"]
    subprocess.run([*command, "-mpegts_copyts", "1", "-f", "mpegts", str(target)], check=True, timeout=60)
    return target.read_bytes()

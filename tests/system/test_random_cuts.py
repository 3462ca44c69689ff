"""A thousand random cuts of broadcasts of many kinds, all of them decoded by ffmpeg, which may have nothing to say.

A source ends at any byte, and another one follows: with what was sent already, with less than that, with the same media
in other packets, after a gap, or with another clock. Decoded are all pictures and all sound that a client gets.
"""

from __future__ import annotations

import random
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import pytest

from tests.mpegts.splicing import read
from tests.system.cutting import (
    AAC,
    NOISE,
    PICTURES,
    RECORDINGS,
    VIDEO,
    Decoded,
    Recording,
    Walk,
    decode,
    encode,
    record,
    skipped,
)

CUTS = 28  # of each recording in each of the two tests: 1232 of 22 recordings
TICKS = 3600  # of a picture
SKIPS = 6  # of one client
MORE = [
    *(("hevc open gop", seed) for seed in "dfkl"),  # sources lost right after they were joined
    *(("sparsely stamped", seed) for seed in ("#0", "#8")),  # and before a picture with time stamps
]

OPEN = tuple(name for name in RECORDINGS if "open" in name or name == "mpeg2 interlaced")


@pytest.fixture(scope="module")
def recording(tmp_path_factory: pytest.TempPathFactory) -> Callable[[str], tuple[bytes, Decoded]]:
    """Return a function that gives a recording and what is in it."""
    folder = tmp_path_factory.mktemp("recordings")
    made: dict[str, tuple[bytes, Decoded]] = {}

    def get(name: str) -> tuple[bytes, Decoded]:
        if name not in made:
            stream = record(name, lambda arguments: encode(arguments, folder))
            path = folder / "whole.ts"
            path.write_bytes(stream)
            made[name] = stream, decode(path)
            assert made[name][1].complaints == ""
        return made[name]

    return get


def begun(name: str, stream: bytes, rng: random.Random, seconds: float) -> tuple[Walk, int]:
    """Return a walk with its first source, which has sent some media, and the bytes of a second."""
    rate = int(len(stream) / seconds)
    walk = Walk(stream, rng)
    first_s = RECORDINGS[name].first_point_s
    start = 0 if name in OPEN else rng.randrange(rate)  # leading pictures of an open group are the decoder's trouble
    walk.go(stream, start, int(rate * (first_s + rng.uniform(1, 2))))
    return walk, rate


def seconds_of(decoded: Decoded) -> float:
    """Return how long a recording is."""
    stamps = [at for at, _ in decoded.pictures or decoded.sounds[0]]
    return (max(stamps) - min(stamps)) / 90_000


@pytest.mark.parametrize("name", RECORDINGS)
def test_cuts_with_repeats_are_not_to_be_seen_or_heard(
    name: str, recording: Callable[[str], tuple[bytes, Decoded]], tmp_path: Path
) -> None:
    stream, whole = recording(name)
    rng = random.Random(name)
    walk, rate = begun(name, stream, rng, seconds_of(whole))
    step = 2 * (len(stream) - walk.sent) // CUTS
    for _ in range(CUTS - 1):
        walk.cut()
        rng.choice([walk.again, walk.in_other_packets])(3 * rate, step)
    walk.cut()
    walk.go(stream, max(0, walk.at - 2 * rate), len(stream))
    out = walk.content()
    assert read(out).faults == []
    path = tmp_path / "cut.ts"
    path.write_bytes(out)
    seen = decode(path)
    assert seen.complaints == ""
    pictures, original = [digest for _, digest in seen.pictures], [digest for _, digest in whole.pictures]
    if name == "sparsely stamped":  # which picture it is cannot always be told, then one that stands alone is next
        assert set(pictures) <= set(original)
    else:
        assert pictures == original[len(original) - len(pictures) :]
    assert len(pictures) >= len(original) // 2
    assert_rising(seen)
    original_units, units = read(stream).units, read(out).units
    for pid in original_units.keys() - {VIDEO} if whole.pictures else original_units:
        played, coded = (b"".join(unit.content for unit in one[pid]) for one in (units, original_units))
        assert len(played) > len(coded) // 2
        assert coded.endswith(played)


@pytest.mark.parametrize(("name", "seed"), [*((name, "") for name in RECORDINGS), *MORE])
def test_cuts_with_gaps_and_other_clocks_leave_no_damaged_picture(
    name: str, seed: str, recording: Callable[[str], tuple[bytes, Decoded]], tmp_path: Path
) -> None:
    stream, whole = recording(name)
    rng = random.Random(name + seed)
    walk, rate = begun(name, stream, rng, seconds_of(whole))
    for _ in range(CUTS - 1):
        walk.cut()
        kinds = [walk.gap, walk.again, walk.in_other_packets] if not walk.is_elsewhere else []
        rng.choice([*kinds, walk.elsewhere])(2 * rate, rate // 2)
    walk.cut()
    walk.go(stream, 0, len(stream))
    seen = assert_undamaged(name, walk.content(), whole, tmp_path, max_step_s=15)
    assert len(seen.pictures) >= len(whole.pictures) // 2


@pytest.mark.parametrize("name", RECORDINGS)
def test_a_client_that_is_moved_forward_sees_no_damaged_picture(
    name: str, recording: Callable[[str], tuple[bytes, Decoded]], tmp_path: Path
) -> None:
    stream, whole = recording(name)
    rng = random.Random(name)
    walk = Walk(stream, rng)
    walk.go(stream, 0, len(stream))
    walk.ingest.finish()
    assert_undamaged(name, skipped(walk, rng, SKIPS), whole, tmp_path, max_step_s=30)


RENEWED = Recording(
    f"{PICTURES} {NOISE} -t 10 -c:v libx264 -preset superfast -pix_fmt yuv420p"
    f" -x264-params intra-refresh=1:keyint=25:bframes=0 {AAC}"
)


@pytest.mark.parametrize("is_moved", [False, True])
def test_pictures_that_are_renewed_bit_by_bit_are_not_to_be_looked_at_before_they_are_complete(
    is_moved: bool, tmp_path: Path
) -> None:
    stream = encode(RENEWED.arguments, tmp_path)
    path = tmp_path / "cut.ts"
    path.write_bytes(stream)
    whole = decode(path)
    rng = random.Random(5)
    walk = Walk(stream, rng)
    walk.go(stream, 0, len(stream))
    for _ in range(0 if is_moved else 12):
        walk.cut()
        walk.elsewhere(5 * len(stream) // 10, 3 * len(stream) // 10)
    if not is_moved:
        walk.cut()
        walk.go(stream, 0, len(stream))
    walk.ingest.finish()
    path.write_bytes(skipped(walk, rng, SKIPS) if is_moved else walk.content())
    assert read(path.read_bytes(), max_step_s=30).faults == []
    seen = decode(path)
    assert seen.complaints == ""
    assert_rising(seen)
    known = {digest for _, digest in whole.pictures}
    damaged = [then - at for (at, digest), (then, _) in pairwise(seen.pictures) if digest not in known]
    assert len(damaged) > 10
    assert sum(damaged) < len(damaged) * TICKS // 8  # a few milliseconds each; they took 40


def assert_undamaged(name: str, out: bytes, whole: Decoded, folder: Path, *, max_step_s: float) -> Decoded:
    """Assert that every picture that was sent is shown, and that it is one of the original; return what was decoded."""
    sent = read(out, max_step_s=max_step_s)
    assert sent.faults == []
    path = folder / "cut.ts"
    path.write_bytes(out)
    seen = decode(path)
    assert seen.complaints == ""
    assert {digest for _, digest in seen.pictures} <= {digest for _, digest in whole.pictures}
    assert_rising(seen)
    if name != "sparsely stamped":
        assert len(seen.pictures) == len(sent.units.get(VIDEO, ())) * bool(whole.pictures)
    return seen


def assert_rising(seen: Decoded) -> None:
    """Assert that no time stamp is before or at the one before it."""
    for stamped in (seen.pictures, *seen.sounds.values()):
        assert all(one[0] < other[0] for one, other in pairwise(stamped))

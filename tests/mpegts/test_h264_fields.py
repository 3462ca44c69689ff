"""H.264 whose fields are pictures of their own (field_pic_flag), made by hand: no encoder at hand codes them so."""

from __future__ import annotations

import random
import subprocess
from pathlib import Path

from aceproxy.mpegts.bits import BitWriter, escaped
from aceproxy.mpegts.h264_opening import opening
from tests.system.programs import tool

MACROBLOCKS = 4  # of a field
DELIMITER = b"\x09\xf0"
RECOVERY_POINT = bytes((6, 6, 1, 0x84, 0x80))


def written(header: int, *numbers: tuple[str, int]) -> BitWriter:
    """Return a unit with some numbers: `u1` and the like have so many bits, `ue` and `se` are coded by themselves."""
    out = BitWriter()
    out.u(header, 8)
    for kind, value in numbers:
        if kind == "ue":
            out.ue(value)
        elif kind == "se":
            out.se(value)
        else:
            out.u(value, int(kind[1:]))
    return out


def parameter_sets() -> list[bytes]:
    """Return a sequence set of Main profile, 32x64, interlaced, and a picture set with CAVLC."""
    sequence = [("u8", 77), ("u8", 0), ("u8", 30), *[("ue", 0)] * 4, ("ue", 2), ("u1", 0), ("ue", 1), ("ue", 1)]
    sequence += [("u1", 0), ("u1", 0), ("u1", 1), ("u1", 0), ("u1", 0), ("u1", 1)]
    picture = [("ue", 0), ("ue", 0), ("u2", 0), *[("ue", 0)] * 3, ("u3", 0), *[("se", 0)] * 3, ("u3", 0), ("u1", 1)]
    return [escaped(written(0x67, *sequence).content()), escaped(written(0x68, *picture).content())]


def field(frame: int, rng: random.Random, *, is_bottom: bool, is_point: bool, is_idr: bool) -> bytes:
    """Return a field: intra if it is the first one of a point, else the same as one before.

    The second field of a point is the same as the first one, others are as the field of their parity before them.
    """
    is_intra = is_point and not is_bottom
    is_idr = is_idr and is_intra
    numbers = [("ue", 0), ("ue", 7 if is_intra else 5), ("ue", 0), ("u4", frame % 16), ("u1", 1), ("u1", is_bottom)]
    numbers += [("ue", 1)] if is_idr else []
    numbers.append(("u4", (2 * frame + is_bottom) % 16))
    if not is_intra:
        numbers += [("u1", 0), ("u1", 1), ("ue", 0), ("ue", 0), ("ue", 3)] if is_point else [("u2", 0)]
    numbers += [("u2", 0) if is_idr else ("u1", 0), ("se", 14)]
    for _ in range(MACROBLOCKS if is_intra else 0):  # 16x16, predicted as a whole, with one coefficient
        numbers += [("ue", 3), ("ue", 0), ("se", 0), ("u2", 1), ("u1", rng.randrange(2))]
        numbers.append(rng.choice([("u1", 1), ("u3", 3), ("u3", 2)]))
    numbers += [] if is_intra else [("ue", MACROBLOCKS)]
    return escaped(written(0x65 if is_idr else 0x61, *numbers, ("u1", 1)).content())


def broadcast(frames: int, seed: int) -> list[list[bytes]]:
    """Return the two access units of each frame; every sixth is a random-access point, only the first one is IDR."""
    rng, found = random.Random(seed), []
    for frame in range(frames):
        is_point, is_idr = frame % 6 == 0, frame == 0
        heads = [DELIMITER, *(parameter_sets() if is_point else []), *([RECOVERY_POINT] if is_point and frame else [])]
        top, bottom = (field(frame, rng, is_bottom=one, is_point=is_point, is_idr=is_idr) for one in (False, True))
        found.append([joined([*heads, top]), joined([DELIMITER, bottom])])
    return found


def joined(units: list[bytes]) -> bytes:
    """Return units as a byte stream."""
    return b"".join(b"\0\0\0\1" + unit for unit in units)


def shown(stream: bytes, folder: Path) -> list[str]:
    """Return a hash of each picture that ffmpeg shows; it may have nothing to say."""
    path = folder / "fields.h264"
    path.write_bytes(stream)
    command = [tool("ffmpeg"), "-nostdin", "-v", "error", "-xerror", "-err_detect", "explode", "-f", "h264"]
    command += ["-i", str(path), "-fps_mode", "passthrough", "-f", "framehash", "-hash", "crc32", "-"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")
    return [line.split(",")[-1].strip() for line in done.stdout.splitlines() if not line.startswith("#")]


def test_two_fields_begin_anew_as_an_idr_picture_and_one_made_from_it(tmp_path: Path) -> None:
    one, other = broadcast(24, 4), broadcast(9, 5)
    flat = [unit for units in one for unit in units]
    assert opening(one[12][0], one[13][0]) is None  # the second field is wanted
    found = opening(b"".join(one[12]), one[13][0])
    assert found
    kinds = [unit[0] & 31 for unit in found[0].split(b"\0\0\1")[1:] if unit[0] & 31 in (1, 5)]
    assert kinds == [5, 1]
    whole = shown(b"".join(flat), tmp_path)
    before = shown(b"".join(unit for units in other for unit in units), tmp_path)
    jumped = shown(
        b"".join(unit for units in other for unit in units) + b"".join(found) + b"".join(flat[24:]), tmp_path
    )
    assert before[-1] not in whole
    assert jumped[:9] == before
    assert jumped[9:] == whole[12:13] * len(found) + whole[12:]

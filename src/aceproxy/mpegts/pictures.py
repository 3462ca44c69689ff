"""May a decoder start at this access unit? Judged from the first bytes of a video elementary stream.

A judge is fed the content of one PES packet piece by piece and says, as soon as it can, whether the first picture that
begins in it is one to start at. Rules:

- H.264 (ITU-T H.264 §7.3, annex D): sequence and picture parameter sets, and an IDR slice or a recovery point SEI
  before the first slice. With parameter sets and an I slice only, the judge leaves it open: `MAYBE`.
- HEVC (ITU-T H.265 §7.4.2.2): parameter sets, and an IRAP slice (NAL types 16 to 23).
- MPEG-1 and MPEG-2 video (ISO/IEC 13818-2 §6.2): a sequence header, and an I picture after it.

A PES packet that does not begin with an access unit may start with the rest of the picture before; its slices are
passed over.
"""

from __future__ import annotations

import re
from collections.abc import Callable
from enum import Enum
from typing import Final, Protocol

_START_CODE: Final = b"\x00\x00\x01"
_NEEDED_AFTER: Final = 3  # bytes looked at after a start code's prefix
_SEI_RECOVERY_POINT: Final = 6


class Verdict(Enum):
    """What a judge says of an access unit."""

    YES = "a decoder may start here"
    NO = "a decoder may not start here"
    MAYBE = "an I picture with its headers, but nothing says that all that follows can be decoded"


class Judge(Protocol):
    """Judges one access unit."""

    opened: bool
    """The content has begun like an access unit: a header was seen that is not a slice."""
    is_foreign: bool
    """Nothing that the codec knows was seen so far: no start code at all."""

    def feed(self, content: bytes) -> Verdict | None:
        """Take the next bytes, return the verdict once there is one."""
        ...


class _StartCodes:
    """Goes through the start codes of what it is fed, and stops where it needs more bytes."""

    def __init__(self) -> None:
        self.opened = False
        self.is_foreign = True
        self._buf = b""

    def feed(self, content: bytes) -> Verdict | None:
        """Take the next bytes, return the verdict once there is one."""
        buf = self._buf + content if self._buf else content
        found = buf.find(_START_CODE)
        self.is_foreign = self.is_foreign and found < 0
        while 0 <= found < len(buf) - 2 - _NEEDED_AFTER:
            verdict = self._unit(buf, found + 3)
            if verdict is not None:
                return verdict
            found = buf.find(_START_CODE, found + 3)
        self._buf = self._kept(buf, found if found >= 0 else max(0, len(buf) - 2))
        return None

    def _unit(self, buf: bytes, at: int) -> Verdict | None:
        """Judge the unit that begins at `at`, right after its start code's prefix; three bytes of it are there."""
        raise NotImplementedError

    def _kept(self, buf: bytes, keep: int) -> bytes:
        """Return what must be looked at again when more bytes have come: all from `keep` on, or more."""
        return buf[keep:]


class _H264(_StartCodes):
    """Judges H.264."""

    def __init__(self) -> None:
        super().__init__()
        self._sequence_set = self._picture_set = self._recovery_point = False
        self._sei_at: int | None = None

    def _unit(self, buf: bytes, at: int) -> Verdict | None:
        if self._sei_at is not None:
            self._recovery_point |= _has_recovery_point(buf[self._sei_at : at - 3])
            self._sei_at = None
        unit_type = buf[at] & 0x1F
        if unit_type in (1, 2, 5):
            first_of_picture = buf[at + 1] & 0x80
            if not first_of_picture and not self.opened:
                return None
            return self._slice(unit_type, buf[at + 1] << 8 | buf[at + 2])
        if unit_type in (6, 7, 8, 9):
            self.opened = True
            self._sequence_set |= unit_type == 7
            self._picture_set |= unit_type == 8
            if unit_type == 6:
                self._sei_at = at + 1
        return None

    def _slice(self, unit_type: int, start: int) -> Verdict:
        """Judge by the first slice; `start` is the first 16 bits of its header."""
        if not (self._sequence_set and self._picture_set):
            return Verdict.NO
        if unit_type == 5 or self._recovery_point:
            return Verdict.YES
        return Verdict.MAYBE if is_intra_slice(start) else Verdict.NO

    def _kept(self, buf: bytes, keep: int) -> bytes:
        if self._sei_at is not None:
            keep, self._sei_at = self._sei_at - 4, None
        return buf[keep:]


class _Hevc(_StartCodes):
    """Judges HEVC."""

    def __init__(self) -> None:
        super().__init__()
        self._sequence_set = self._picture_set = False

    def _unit(self, buf: bytes, at: int) -> Verdict | None:
        unit_type = buf[at] >> 1 & 0x3F
        if buf[at] & 1 or buf[at + 1] & 0xF8:
            return None  # a layer above the base
        if unit_type < 32:
            first_of_picture = buf[at + 2] & 0x80
            if not first_of_picture and not self.opened:
                return None
            irap = 16 <= unit_type <= 23
            return Verdict.YES if irap and self._sequence_set and self._picture_set else Verdict.NO
        if unit_type in (32, 33, 34, 35, 39):
            self.opened = True
            self._sequence_set |= unit_type == 33
            self._picture_set |= unit_type == 34
        return None


class _Mpeg12(_StartCodes):
    """Judges MPEG-1 and MPEG-2 video."""

    def __init__(self) -> None:
        super().__init__()
        self._sequence_header = False

    def _unit(self, buf: bytes, at: int) -> Verdict | None:
        code = buf[at]
        if code == 0x00:
            intra = buf[at + 2] >> 3 & 7 == 1
            return Verdict.YES if intra and self._sequence_header else Verdict.NO
        if code in (0xB3, 0xB8):
            self.opened = True
            self._sequence_header |= code == 0xB3
        return None


_JUDGES: Final[dict[str | None, type[_StartCodes]]] = {
    "h264": _H264,
    "hevc": _Hevc,
    "mpeg1video": _Mpeg12,
    "mpeg2video": _Mpeg12,
}


def _one_of(fits: Callable[[int], bool]) -> bytes:
    """Return a pattern of one byte."""
    return b"[" + b"".join(re.escape(bytes([value])) for value in range(256) if fits(value)) + b"]"


def _first_of(slices: bytes, headers: bytes) -> re.Pattern[bytes]:
    """Return what finds the first unit that decides: a slice or picture, or (the group) a sequence header."""
    return re.compile(_START_CODE + b"(?:" + slices + b"|(" + headers + b"))", re.DOTALL)


_H264_FIRST: Final = _first_of(
    _one_of(lambda unit: unit & 0x1F in (1, 2, 5)) + rb"[\x80-\xff].", _one_of(lambda unit: unit & 0x1F == 7)
)
_HEVC_FIRST: Final = _first_of(
    _one_of(lambda unit: not unit & 1 and unit >> 1 & 0x3F < 32) + rb"[\x00-\x07][\x80-\xff]",
    _one_of(lambda unit: unit >> 1 & 0x3F == 33),
)
_MPEG12_FIRST: Final = _first_of(rb"\x00..", rb"\xb3")
_FIRST: Final[dict[str | None, re.Pattern[bytes]]] = {
    "h264": _H264_FIRST,
    "hevc": _HEVC_FIRST,
    "mpeg1video": _MPEG12_FIRST,
    "mpeg2video": _MPEG12_FIRST,
}


def is_no_start(codec: str | None, content: bytes) -> bool:
    """Tell whether the first bytes of an access unit show at once that a judge would say NO: those of most do.

    A slice comes, and no sequence header before it. False says nothing.
    """
    pattern = _FIRST.get(codec)
    found = pattern.search(content) if pattern else None
    return found is not None and found[1] is None


def first_units(codec: str | None) -> re.Pattern[bytes] | None:
    """Return what finds the first unit that decides: a slice, or (its group) a sequence header. None: not known."""
    return _FIRST.get(codec)


def judge_for(codec: str | None) -> Judge | None:
    """Return a new judge for a codec, None where none knows it."""
    kind = _JUDGES.get(codec)
    return kind() if kind else None


def is_intra_slice(start: int) -> bool:
    """Tell whether the first slice of a picture of H.264 is an I slice; `start` is the first 16 bits of its header."""
    # first_mb_in_slice 0 is the bit 1; then slice_type I is 011, or 0001000 where all slices are I
    return start & 0xF000 == 0xB000 or start & 0xFF00 == 0x8800


def _has_recovery_point(sei: bytes) -> bool:
    """Tell whether a SEI NAL unit (after its header byte) has a recovery point message (ITU-T H.264 §7.3.2.3.1)."""
    body = sei.replace(b"\x00\x00\x03", b"\x00\x00")
    at = 0
    while at + 2 <= len(body):
        payload_type, at = _ff_coded(body, at)
        size, at = _ff_coded(body, at)
        if payload_type == _SEI_RECOVERY_POINT:
            return True
        at += size
    return False


def _ff_coded(body: bytes, at: int) -> tuple[int, int]:
    """Return a number that is a sum of bytes up to the first that is not 0xFF, and the place after it."""
    end = at
    while end < len(body) and body[end] == 0xFF:
        end += 1
    return 255 * (end - at) + (body[end] if end < len(body) else 0), end + 1

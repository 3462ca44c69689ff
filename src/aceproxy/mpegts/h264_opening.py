"""A new beginning for H.264 at a random-access point that is no IDR picture.

Such a point clears nothing: a decoder that has shown another broadcast keeps its reference pictures and goes on
counting from them (frame_num, picture order), so pictures come out damaged, in a wrong order, or not at all. Therefore
the same picture is put before it once more as an IDR picture, which it can be, being made from nothing but itself.
After that the numbers of the stream are reached by pictures that repeat the one before (all macroblocks skipped), see
`h264_numbers`.
"""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.h264 import (
    IDR_SLICE,
    PICTURE_SET,
    SEQUENCE_SET,
    SLICE,
    PictureSet,
    SequenceSet,
    Slice,
    UnreadableError,
    read_picture_set,
    read_sequence_set,
    read_slice,
    units_of,
)
from aceproxy.mpegts.h264_numbers import steps_to
from aceproxy.mpegts.h264_writing import plain_picture_set, rewritten, still

_IDR_NUMBER: Final = 97  # idr_pic_id: another one than a neighbour's, in all likelihood
_PARTITIONS: Final = (2, 3, 4)
_DELIMITER: Final = b"\x09\xf0"
_START_CODE: Final = b"\x00\x00\x01"
_HIGHEST_SET: Final = 254  # VLC does not hand on number 255


def opening(content: bytes, following: bytes | None) -> tuple[bytes, ...] | None:
    """Return the access units to send before the one in `content`, a piece of byte stream with all of its picture.

    `following` is the beginning of the next picture that is sent (None: that cannot be waited for). Returns None where
    more is needed: `content` is the first field of a frame, or `following` has no slice yet. Raises `UnreadableError`
    where no such beginning can be made; where none is needed there are no access units.
    """
    sets = _Sets()
    slices = sets.read(units_of(content))
    if slices and slices[0].is_idr:
        return ()
    if not _is_whole(slices):
        return None
    first, after = slices[0], None
    if following is not None:
        after = next(iter(sets.read_begun(units_of(following))), None)
        if after is None:
            return None
    steps = steps_to(first, after)
    own = next(number for number in range(_HIGHEST_SET, -1, -1) if number not in sets.pictures)
    # VLC hands on parameter sets with pictures that stand for themselves only
    own_set = [plain_picture_set(own, first.sequence.number)] if steps else []
    found = [_joined([_DELIMITER, *sets.units, *own_set, *_as_idr(slices)])]
    for step in steps:
        picture = still(first.sequence, own, frame_num=step.frame_num, order=step.order, unmarked=step.unmarked)
        found.append(_joined([_DELIMITER, picture]))
    return tuple(found)


class _Sets:
    """The parameter sets of a random-access point."""

    def __init__(self) -> None:
        self.units: list[bytes] = []
        self.sequences: dict[int, SequenceSet] = {}
        self.pictures: dict[int, PictureSet] = {}

    def read(self, units: list[bytes]) -> list[Slice]:
        """Take the parameter sets among some NAL units, and return the slices."""
        slices: list[Slice] = []
        for unit in units:
            kind = unit[0] & 0x1F
            if kind == SEQUENCE_SET:
                one = read_sequence_set(unit)
                self.sequences[one.number] = one
            elif kind == PICTURE_SET:
                other = read_picture_set(unit)
                self.pictures[other.number] = other
            elif kind in (SLICE, IDR_SLICE):
                slices.append(read_slice(unit, self.sequences, self.pictures))
            elif kind in _PARTITIONS:
                raise UnreadableError("data partitions")
            if kind in (SEQUENCE_SET, PICTURE_SET):
                self.units.append(unit)
        return slices

    def read_begun(self, units: list[bytes]) -> list[Slice]:
        """Return the first slice of a picture that may not have come as a whole, if it can be read."""
        first = next((unit for unit in units if unit[0] & 0x1F in (SLICE, IDR_SLICE)), None)
        try:
            return [] if first is None else [read_slice(first, self.sequences, self.pictures)]
        except UnreadableError:
            return []


def _is_whole(slices: list[Slice]) -> bool:
    """Tell whether slices are a whole frame; raise `UnreadableError` where they are not one that stands for itself."""
    if not slices:
        raise UnreadableError("no picture")
    first = slices[0]
    for one in slices:
        is_same = one.is_bottom == first.is_bottom
        if (one.frame_num, one.is_field, one.sequence) != (first.frame_num, first.is_field, first.sequence):
            raise UnreadableError("several pictures")
        if is_same and one.order != first.order:
            raise UnreadableError("several pictures")
        if not one.is_reference or not (one.is_intra or (one.is_from_before and not is_same)):
            raise UnreadableError("made from other pictures")
    return not first.is_field or any(one.is_bottom != first.is_bottom for one in slices)


def _as_idr(slices: list[Slice]) -> list[bytes]:
    """Return the slices of a frame as those of an IDR picture; of two fields only the first one can be that."""
    first = slices[0]
    half = 1 << first.sequence.order_bits >> 1
    lowest = max(0, -first.order_delta)  # the earlier field of an IDR picture has the order 0 (§8.2.1)
    found: list[bytes] = []
    for one in slices:
        if one.is_bottom == first.is_bottom:
            found.append(rewritten(one, frame_num=0, order=lowest, idr_number=_IDR_NUMBER))
        else:
            behind = (one.order - first.order + half) % (2 * half) - half if half else 0
            found.append(rewritten(one, frame_num=0, order=max(0, behind), idr_number=None))
    return found


def _joined(units: list[bytes]) -> bytes:
    """Return NAL units as a byte stream."""
    return b"".join(b"\x00" + _START_CODE + unit for unit in units)

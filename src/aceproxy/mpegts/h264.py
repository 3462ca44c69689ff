"""Parameter sets and slice headers of H.264 (ITU-T H.264 §7.3).

Only what broadcasts use: no slice groups, no separate colour planes, no SP or SI slices, picture order by type 0 or 2.
For anything else, and for broken units, `UnreadableError` is raised.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from aceproxy.mpegts.bits import BitReader, unescaped
from aceproxy.mpegts.video import read_h264_chroma

SLICE, IDR_SLICE, SEQUENCE_SET, PICTURE_SET = 1, 5, 7, 8
"""Types of NAL units."""

MAX_HEAD_BYTES: Final = 1024
"""Of a unit, in which its header must end."""

_START_CODE: Final = b"\x00\x00\x01"
_MAX_MACROBLOCKS: Final = 139_264  # of a frame, level 6.2 (table A-1)
_MAX_LIST: Final = 32
_P, _B, _I = 0, 1, 2


class UnreadableError(ValueError):
    """A unit is broken, or of a kind that is not read."""


@dataclass(frozen=True, slots=True)
class SequenceSet:
    """What matters of a sequence parameter set (§7.3.2.1.1)."""

    number: int
    frame_num_bits: int
    order_type: int
    order_bits: int
    """Of pic_order_cnt_lsb."""
    references: int
    """max_num_ref_frames"""
    macroblocks: int
    """Of a frame."""
    frames_only: bool


@dataclass(frozen=True, slots=True)
class PictureSet:
    """What matters of a picture parameter set (§7.3.2.2)."""

    number: int
    sequence: int
    has_cabac: bool
    has_order_delta: bool
    """bottom_field_pic_order_in_frame_present_flag"""
    list_sizes: tuple[int, int]
    is_weighted: bool
    has_b_weights: bool
    has_deblocking: bool
    has_redundant: bool


@dataclass(frozen=True, slots=True)
class Slice:
    """The header of a slice (§7.3.3), and what stands around it."""

    unit: bytes
    """The NAL unit, without emulation prevention bytes."""
    sequence: SequenceSet
    picture: PictureSet
    first_macroblock: int
    kind: int
    """slice_type modulo 5."""
    frame_num: int
    is_field: bool
    is_bottom: bool
    order: int
    """pic_order_cnt_lsb"""
    order_delta: int
    """delta_pic_order_cnt_bottom"""
    list_size: int
    """num_ref_idx_l0_active_minus1 + 1"""
    unmarked: tuple[int, ...]
    """How many frames back those are that it says are no references any more, or only for long."""
    spans: tuple[int, int, int, int, int]
    """Bit offsets: after the header's first three numbers; weights from, to; after the marking; the header's end."""

    @property
    def is_idr(self) -> bool:
        """Tell whether it is of an IDR picture."""
        return self.unit[0] & 0x1F == IDR_SLICE

    @property
    def is_intra(self) -> bool:
        """Tell whether it is made from nothing but itself."""
        return self.kind == _I

    @property
    def is_from_before(self) -> bool:
        """Tell whether it is made from pictures of one list, which can be written anew."""
        return self.kind == _P

    @property
    def is_reference(self) -> bool:
        """Tell whether other pictures may be made from it."""
        return self.unit[0] & 0x60 != 0


def units_of(stream: bytes) -> list[bytes]:
    """Return the NAL units of a byte stream (annex B), as they stand there, without zeros at their ends."""
    parts = stream.split(_START_CODE)[1:]
    return [unit for part in parts if (unit := part.rstrip(b"\x00"))]


def read_sequence_set(unit: bytes) -> SequenceSet:
    """Read a sequence parameter set."""
    bits = BitReader(unescaped(unit)[1:MAX_HEAD_BYTES])
    try:
        profile = bits.u(8)
        bits.skip(16)
        number = bits.ue()
        if not read_h264_chroma(bits, profile):
            raise UnreadableError("without colour, or with separate colour planes")
        frame_num_bits = bits.ue() + 4
        order_type = bits.ue()
        order_bits = bits.ue() + 4 if order_type == 0 else 0
        references = bits.ue()
        bits.skip(1)
        width, map_units = bits.ue() + 1, bits.ue() + 1
        frames_only = bits.flag()
    except EOFError as error:
        raise UnreadableError(str(error)) from error
    macroblocks = width * map_units * (1 if frames_only else 2)
    if order_type not in (0, 2) or max(frame_num_bits, order_bits) > 16 or references > 16:
        raise UnreadableError("picture order of an unusual kind")
    if macroblocks > _MAX_MACROBLOCKS:
        raise UnreadableError("too large")
    return SequenceSet(number, frame_num_bits, order_type, order_bits, references, macroblocks, frames_only)


def read_picture_set(unit: bytes) -> PictureSet:
    """Read a picture parameter set."""
    bits = BitReader(unescaped(unit)[1:MAX_HEAD_BYTES])
    try:
        number, sequence = bits.ue(), bits.ue()
        has_cabac, has_order_delta = bits.flag(), bits.flag()
        if bits.ue():
            raise UnreadableError("slice groups")
        sizes = bits.ue() + 1, bits.ue() + 1
        is_weighted, b_weights = bits.flag(), bits.u(2)
        bits.se()
        bits.se()
        bits.se()
        has_deblocking = bits.flag()
        bits.skip(1)
        has_redundant = bits.flag()
    except EOFError as error:
        raise UnreadableError(str(error)) from error
    return PictureSet(
        number, sequence, has_cabac, has_order_delta, sizes, is_weighted, b_weights == 1, has_deblocking, has_redundant
    )


def read_slice(unit: bytes, sequences: dict[int, SequenceSet], pictures: dict[int, PictureSet]) -> Slice:
    """Read the header of a slice by the parameter sets it may refer to."""
    bare = unescaped(unit)
    bits = BitReader(bare[1:MAX_HEAD_BYTES])
    try:
        first, kind, number = bits.ue(), bits.ue() % 5, bits.ue()
        picture = pictures.get(number)
        sequence = sequences.get(picture.sequence) if picture else None
        if picture is None or sequence is None or kind > _I:
            raise UnreadableError("no parameter sets, or a slice of an unusual kind")
        numbers_end = bits.at
        frame_num = bits.u(sequence.frame_num_bits)
        is_field = not sequence.frames_only and bits.flag()
        is_bottom = is_field and bits.flag()
        if unit[0] & 0x1F == IDR_SLICE:
            bits.ue()
        order = bits.u(sequence.order_bits)
        has_delta = sequence.order_type == 0 and picture.has_order_delta and not is_field
        order_delta = bits.se() if has_delta else 0
        if picture.has_redundant and bits.ue():
            raise UnreadableError("a redundant picture")
        sizes = _read_lists(bits, kind, picture)
        weights_from = bits.at
        if (picture.is_weighted and kind == _P) or (picture.has_b_weights and kind == _B):
            _pass_weights(bits, kind, sizes)
        weights_to = bits.at
        marked = _read_marking(bits, is_idr=unit[0] & 0x1F == IDR_SLICE) if unit[0] & 0x60 else []
        marking_end = bits.at
        if picture.has_cabac and kind != _I:
            bits.ue()
        bits.se()
        if picture.has_deblocking and bits.ue() != 1:
            bits.se()
            bits.se()
    except EOFError as error:
        raise UnreadableError(str(error)) from error
    spans = numbers_end, weights_from, weights_to, marking_end, bits.at
    unmarked = tuple(difference // 2 if is_field else difference for difference in marked)
    place = frame_num, is_field, is_bottom, order, order_delta
    return Slice(bare, sequence, picture, first, kind, *place, sizes[0], unmarked, spans)


def _read_lists(bits: BitReader, kind: int, picture: PictureSet) -> tuple[int, int]:
    """Pass over what is said of the reference lists; return their sizes."""
    sizes = picture.list_sizes
    if kind == _B:
        bits.skip(1)
    if kind != _I:
        if bits.flag():
            sizes = bits.ue() + 1, bits.ue() + 1 if kind == _B else sizes[1]
        if max(sizes) > _MAX_LIST:
            raise UnreadableError("too many references")
        for _ in range(kind + 1):
            if bits.flag():
                while bits.ue() != 3:
                    bits.ue()
    return sizes


def _pass_weights(bits: BitReader, kind: int, sizes: tuple[int, int]) -> None:
    """Pass over a table of weights (§7.3.3.2) of pictures with colour in 4:2:0 or more."""
    bits.ue()
    bits.ue()
    for size in sizes[: kind + 1]:
        for _ in range(size):
            for count in (2, 4):
                if bits.flag():
                    for _ in range(count):
                        bits.se()


def _read_marking(bits: BitReader, *, is_idr: bool) -> list[int]:
    """Read the marking of reference pictures (§7.3.3.3); return the picture number differences of those named."""
    named: list[int] = []
    if is_idr:
        bits.skip(2)
    elif bits.flag():
        while (operation := bits.ue()) != 0:
            if operation > 6:
                raise UnreadableError("marking of an unknown kind")
            if operation in (1, 3):
                named.append(bits.ue() + 1)
            if operation in (2, 3, 4, 6):
                bits.ue()
    return named

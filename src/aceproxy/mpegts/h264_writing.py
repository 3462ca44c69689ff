"""Slices of H.264 written anew in another place of a stream, and pictures that repeat others (ITU-T H.264 §7.3)."""

from __future__ import annotations

from typing import Final

from aceproxy.mpegts.bits import BitReader, BitWriter, escaped
from aceproxy.mpegts.h264 import IDR_SLICE, MAX_HEAD_BYTES, PICTURE_SET, SLICE, SequenceSet, Slice

_ALL_P: Final = 5  # slice_type: this slice and all others of the picture


def rewritten(one: Slice, *, frame_num: int, order: int, idr_number: int | None) -> bytes:
    """Return the NAL unit of the same slice in another place of the stream.

    `idr_number`: it is of an IDR picture with this idr_pic_id. Else it marks no reference pictures, and if it is not
    intra it is the second field of a frame, and is made from the first one only.
    """
    kind = IDR_SLICE if idr_number is not None else SLICE
    out, bits = BitWriter(), BitReader(one.unit[1:MAX_HEAD_BYTES])
    numbers_end, weights_from, weights_to, marking_end, head_end = one.spans
    bits.skip(head_end)
    out.u(one.unit[0] & 0xE0 | kind, 8)
    out.u(bits.between(0, numbers_end), numbers_end)
    _write_place(out, one, frame_num, order, idr_number)
    if not one.is_intra:
        out.u(1, 1)
        out.ue(one.list_size - 1)
        _write_list(out, one)
    out.u(bits.between(weights_from, weights_to), weights_to - weights_from)
    if one.is_reference:
        out.u(0, 2 if idr_number is not None else 1)
    out.u(bits.between(marking_end, head_end), head_end - marking_end)
    return escaped(_with_body(out, one, head_end))


def _write_place(out: BitWriter, one: Slice, frame_num: int, order: int, idr_number: int | None) -> None:
    """Write the part of a header that says where in the stream it is."""
    sequence = one.sequence
    out.u(frame_num, sequence.frame_num_bits)
    if not sequence.frames_only:
        out.u(one.is_field, 1)
        if one.is_field:
            out.u(one.is_bottom, 1)
    if idr_number is not None:
        out.ue(idr_number)
    out.u(order, sequence.order_bits)
    if sequence.order_type == 0 and one.picture.has_order_delta and not one.is_field:
        out.se(one.order_delta)
    if one.picture.has_redundant:
        out.ue(0)


def _write_list(out: BitWriter, one: Slice) -> None:
    """Write that every reference is the other field of the frame (§8.2.4.3.1)."""
    out.u(1, 1)
    for index in range(one.list_size):
        out.ue(0)
        # each difference counts from the one before: the whole cycle leads to the same field again
        out.ue((2 << one.sequence.frame_num_bits) - 1 if index else 0)
    out.ue(3)


def _with_body(out: BitWriter, one: Slice, head_end: int) -> bytes:
    """Return a header, whose own first byte is the unit's, with the macroblocks of the slice behind it."""
    if one.picture.has_cabac:
        out.fill(1)
        return out.content() + one.unit[1 + (head_end + 7) // 8 :]
    whole, inside = divmod(head_end, 8)
    rest = one.unit[1 + whole :]
    out.u(int.from_bytes(rest, "big"), 8 * len(rest) - inside)
    return out.content().rstrip(b"\x00")


def plain_picture_set(number: int, sequence: int) -> bytes:
    """Return the NAL unit of a picture parameter set for `still`."""
    out = BitWriter()
    out.u(3 << 5 | PICTURE_SET, 8)
    out.ue(number)
    out.ue(sequence)
    out.u(0, 2)
    out.ue(0)
    out.ue(0)
    out.ue(0)
    out.u(0, 3)
    for _ in range(3):
        out.se(0)
    out.u(0b100, 3)
    out.u(1, 1)
    return escaped(out.content())


def still(
    sequence: SequenceSet, picture_set: int, *, frame_num: int, order: int, unmarked: tuple[int, ...] = ()
) -> bytes:
    """Return the NAL unit of a reference picture that is the same as the one before: all its macroblocks are skipped.

    `picture_set` is the number of a `plain_picture_set`, `unmarked` how many frames back those are that are no
    references any more.
    """
    out = BitWriter()
    out.u(3 << 5 | SLICE, 8)
    out.ue(0)
    out.ue(_ALL_P)
    out.ue(picture_set)
    out.u(frame_num, sequence.frame_num_bits)
    if not sequence.frames_only:
        out.u(0, 1)
    out.u(order, sequence.order_bits)
    out.u(0, 2)  # the list's size is that of the set, its order the usual one
    out.u(bool(unmarked), 1)
    for back in unmarked:
        out.ue(1)
        out.ue(back - 1)
    if unmarked:
        out.ue(0)
    out.se(0)
    out.ue(1)
    out.ue(sequence.macroblocks)
    out.u(1, 1)
    return escaped(out.content())

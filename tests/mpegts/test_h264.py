"""Headers of H.264, and beginnings made for pictures that are no IDR pictures."""

from __future__ import annotations

import contextlib
import itertools
import random
from collections.abc import Callable
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.mpegts.bits import BitReader, BitWriter, escaped, unescaped
from aceproxy.mpegts.h264 import (
    PictureSet,
    SequenceSet,
    Slice,
    UnreadableError,
    read_picture_set,
    read_sequence_set,
    read_slice,
    units_of,
)
from aceproxy.mpegts.h264_numbers import MOST_STEPS, steps_to
from aceproxy.mpegts.h264_opening import opening
from aceproxy.mpegts.h264_writing import plain_picture_set, still
from tests.mpegts.splicing import read

VIDEO = 0x100
PICTURES = "-f lavfi -i testsrc2=s=64x48:r=25 -t 3 -c:v libx264 -preset medium -pix_fmt yuv420p -g 12 -bf 3"
MAKES = {
    "cabac": f"{PICTURES} -x264-params open-gop=1",
    "cavlc": f"{PICTURES} -x264-params open-gop=1:cabac=0",
    "interlaced": f"{PICTURES} -flags +ildct+ilme -x264-params open-gop=1:tff=1:slices=2",
    "slices": f"{PICTURES} -x264-params open-gop=1:slices=3:b-pyramid=strict",
}

Sets = tuple[dict[int, SequenceSet], dict[int, PictureSet]]


def access_units(stream: bytes) -> list[bytes]:
    """Return the access units of the video in a stream."""
    return [unit.content for unit in read(stream).units[VIDEO]]


def sets_of(content: bytes) -> Sets:
    """Return the parameter sets in an access unit."""
    units = units_of(content)
    sequences = [read_sequence_set(unit) for unit in units if unit[0] & 31 == 7]
    pictures = [read_picture_set(unit) for unit in units if unit[0] & 31 == 8]
    return {one.number: one for one in sequences}, {one.number: one for one in pictures}


def slices_of(content: bytes, sets: Sets) -> list[Slice]:
    """Return the slices in an access unit."""
    return [read_slice(unit, *sets) for unit in units_of(content) if unit[0] & 31 in (1, 5)]


def is_point(content: bytes) -> bool:
    """Tell whether an access unit has parameter sets and no IDR slice."""
    kinds = {unit[0] & 31 for unit in units_of(content)}
    return 7 in kinds and 5 not in kinds


@given(st.binary(max_size=300) | st.lists(st.sampled_from([0, 0, 0, 1, 2, 3, 4]), max_size=60).map(bytes))
def test_an_escaped_unit_has_no_start_code_and_comes_back(content: bytes) -> None:
    unit = content + b"\x80"
    out = escaped(unit)
    assert all(code not in out for code in (b"\0\0\0", b"\0\0\1", b"\0\0\2"))
    assert unescaped(out) == unit


@given(st.lists(st.tuples(st.sampled_from(["u", "ue", "se"]), st.integers(0, 70_000)), max_size=40))
def test_what_is_written_is_read(numbers: list[tuple[str, int]]) -> None:
    out = BitWriter()
    for kind, number in numbers:
        if kind == "u":
            out.u(number, 17)
        elif kind == "ue":
            out.ue(number)
        else:
            out.se(35_000 - number)
    bits = BitReader(out.content())
    for kind, number in numbers:
        found = bits.u(17) if kind == "u" else bits.ue() if kind == "ue" else 35_000 - bits.se()
        assert found == number
    assert bits.at == out.width


@pytest.mark.parametrize("name", MAKES)
def test_a_beginning_is_an_idr_picture_with_the_same_macroblocks(name: str, encode: Callable[..., bytes]) -> None:
    units = access_units(encode(MAKES[name]))
    points = [index for index, content in enumerate(units) if is_point(content)]
    assert len(points) >= 4
    for index in points:
        sets = sets_of(units[index])
        own = slices_of(units[index], sets)
        after = next(one for one in units[index + 1 :] if slices_of(one, sets)[0].kind == 0)
        found = opening(units[index], after)
        assert found is not None
        made = slices_of(found[0], sets)
        assert [one.is_idr for one in made] == [True] * len(own)
        assert {(one.frame_num, min(one.order, one.order + one.order_delta)) for one in made} == {(0, 0)}
        for one, other in zip(made, own, strict=True):
            assert one.first_macroblock == other.first_macroblock
            assert body(one) == body(other)
        assert b"".join(found).count(b"\0\0\1\x09") == len(found)


def body(one: Slice) -> str:
    """Return the macroblocks of a slice, as bits up to the last one that is set."""
    end = one.spans[4]
    if one.picture.has_cabac:
        return one.unit[1 + (end + 7) // 8 :].hex()
    bits = "".join(f"{byte:08b}" for byte in one.unit[1:])
    return bits[end:].rstrip("0")


def test_where_none_is_needed_none_is_made(encode: Callable[..., bytes]) -> None:
    units = access_units(encode(f"{PICTURES} -x264-params open-gop=0"))
    assert opening(units[0], units[1]) == ()


def test_a_picture_made_from_others_is_no_beginning(encode: Callable[..., bytes]) -> None:
    units = access_units(encode(MAKES["cabac"]))
    at = next(index for index, content in enumerate(units) if is_point(content))
    heads = b"".join(b"\0\0\1" + unit for unit in units_of(units[at]) if unit[0] & 31 in (7, 8))
    with pytest.raises(UnreadableError):
        opening(heads + units[at + 1], None)
    with pytest.raises(UnreadableError):
        opening(units[at] + units[at + 1], None)


def test_the_next_picture_is_waited_for_until_its_first_slice_is_there(encode: Callable[..., bytes]) -> None:
    units = access_units(encode(MAKES["cabac"]))
    at = next(index for index, content in enumerate(units) if is_point(content))
    assert opening(units[at], b"") is None
    assert opening(units[at], units[at + 1][:6]) is None
    assert opening(units[at], None)


@given(st.binary(max_size=400), st.integers(0, 2**32))
def test_nothing_but_the_one_error_comes_of_garbage(content: bytes, seed: int) -> None:
    rng = random.Random(seed)
    kinds = [rng.choice([0x67, 0x68, 0x65, 0x41, 0x01, 0x09]) for _ in range(4)]
    stream = b"".join(b"\0\0\1" + bytes((kind,)) + content[rng.randrange(401) :] for kind in kinds)
    for following in (None, b"", stream):
        with contextlib.suppress(UnreadableError):
            opening(stream, following)


def test_a_real_picture_with_broken_bits_raises_nothing_else(encode: Callable[..., bytes]) -> None:
    units = access_units(encode(MAKES["slices"]))
    at = next(index for index, content in enumerate(units) if is_point(content))
    rng = random.Random(5)
    made = 0
    for _ in range(400):
        broken, after = bytearray(units[at]), bytearray(units[at + 1])
        for one in (broken, after):
            for _ in range(rng.randrange(3)):
                one[rng.randrange(min(80, len(one)))] ^= 1 << rng.randrange(8)
        with contextlib.suppress(UnreadableError):
            made += bool(opening(bytes(broken), bytes(after)))
    assert made


SEQUENCE = SequenceSet(0, 4, 0, 6, 4, 48, True)
PLAIN = PictureSet(0, 0, False, False, (1, 1), False, False, True, False)
POINT = Slice(b"\x61", SEQUENCE, PLAIN, 0, 2, 0, False, False, 0, 0, 1, (), (0, 0, 0, 0, 0))


def test_a_still_is_a_picture_of_skipped_macroblocks_that_says_what_is_no_reference() -> None:
    made = plain_picture_set(255, 0)
    sets = {0: SEQUENCE}, {255: read_picture_set(made)}
    one = read_slice(still(SEQUENCE, 255, frame_num=9, order=33, unmarked=(2, 4)), *sets)
    assert (one.kind, one.frame_num, one.order, one.unmarked, one.is_reference) == (0, 9, 33, (2, 4), True)
    bits = BitReader(one.unit[1:])
    bits.skip(one.spans[4])
    assert bits.ue() == SEQUENCE.macroblocks


class Decoder:
    """What a decoder keeps, by ITU-T H.264 §8.2.1 and §8.2.5: frame_num of references, oldest first, and the order."""

    def __init__(self, sequence: SequenceSet) -> None:
        self.sequence = sequence
        self.held = [0]
        self.order = self.last = 0
        self.unknown: list[int] = []

    def take(self, frame_num: int, order: int, unmarked: tuple[int, ...]) -> int:
        """Take a reference picture; return its place in the order of output."""
        cycle, orders = 1 << self.sequence.frame_num_bits, 1 << self.sequence.order_bits
        assert frame_num != self.last
        while (self.last + 1) % cycle != frame_num:
            self.last = (self.last + 1) % cycle
            self.held = [*self.held, self.last][-self.sequence.references :]
        for back in unmarked:
            if (frame_num - back) % cycle in self.held:
                self.held.remove((frame_num - back) % cycle)
            else:
                self.unknown.append((frame_num - back) % cycle)
        self.held = [*self.held, frame_num][-self.sequence.references :]
        self.last = frame_num
        self.order += (order - self.order + orders // 2) % orders - orders // 2
        return self.order


@given(
    st.integers(4, 8),
    st.integers(4, 9),
    st.integers(1, 6),
    st.integers(0, 255),
    st.integers(0, 511),
    st.sets(st.integers(1, 7), max_size=3),
)
def test_the_way_to_any_numbers_is_short_and_in_order(
    frame_bits: int, order_bits: int, references: int, frame_num: int, order: int, names: set[int]
) -> None:
    sequence = replace(SEQUENCE, frame_num_bits=frame_bits, order_bits=order_bits, references=references)
    point = replace(POINT, sequence=sequence, frame_num=frame_num % (1 << frame_bits), order=order % (1 << order_bits))
    later = replace(point, kind=0, frame_num=(point.frame_num + 1) % (1 << frame_bits))
    later = replace(later, unmarked=tuple(back + 1 for back in names) if len(names) < references else ())
    steps = steps_to(point, later)
    assert len(steps) <= MOST_STEPS
    decoder = Decoder(sequence)
    orders = [0, *(decoder.take(*step) for step in steps), decoder.take(point.frame_num, point.order, ())]
    assert all(one < other for one, other in itertools.pairwise(orders))
    assert decoder.unknown == []


def test_pictures_that_are_named_later_are_kept_where_that_is_possible() -> None:
    point = replace(POINT, frame_num=3, order=0)
    later = replace(point, kind=0, frame_num=4, unmarked=(5, 3, 2))  # of an encoder with a hierarchy of references
    decoder = Decoder(SEQUENCE)
    for step in steps_to(point, later):
        decoder.take(*step)
    decoder.take(3, 0, ())
    decoder.take(4, 10, later.unmarked)
    assert decoder.unknown == []
    assert decoder.held == [3, 4]

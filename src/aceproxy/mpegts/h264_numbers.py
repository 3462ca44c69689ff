"""The way from an IDR picture to the numbers of an H.264 picture that is none: frame_num, order, and what is kept.

frame_num is 0 in an IDR picture, and must be anything in the picture after it. Decoders fill a gap with copies of the
last picture (ITU-T H.264 §8.2.5.2); some put them into the order of pictures as well. The order is told by the low bits
of a count, so each step must be less than half of their cycle. And the picture or the next one may name pictures from
before that are no references any more: decoders complain about names that they do not know.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final, NamedTuple

from aceproxy.mpegts.h264 import SequenceSet, Slice, UnreadableError

MOST_STEPS: Final = 6
"""Pictures on the way, at most: each is seen for the time of a frame."""


class Step(NamedTuple):
    """A picture on the way that repeats the one before."""

    frame_num: int
    order: int
    """pic_order_cnt_lsb"""
    unmarked: tuple[int, ...]
    """How many frames back those are that are no references any more."""


class _References:
    """The frame_num of the reference frames that a decoder keeps, oldest first (§8.2.5)."""

    def __init__(self, sequence: SequenceSet) -> None:
        self.held = [0]
        self.copies: set[int] = set()
        self._last = 0
        self._cycle = 1 << sequence.frame_num_bits
        self._most = max(1, sequence.references)

    def come_to(self, frame_num: int) -> None:
        """Fill the gap before a picture."""
        missing = (frame_num - self._last - 1) % self._cycle
        for back in range(min(missing, self._most), 0, -1):
            self._add((frame_num - back) % self._cycle)
            self.copies.add((frame_num - back) % self._cycle)

    def take(self, frame_num: int, names: Iterable[int] = ()) -> bool:
        """Take a picture, which says that those with these names are none any more; tell whether all were known."""
        known = True
        for name in names:
            known &= name in self.held
            self.held = [one for one in self.held if one != name]
        self._add(frame_num)
        self.copies.discard(frame_num)
        self._last = frame_num
        return known

    def _add(self, frame_num: int) -> None:
        self.held = [*(one for one in self.held if one != frame_num), frame_num][-self._most :]


def steps_to(picture: Slice, following: Slice | None) -> list[Step]:
    """Return the pictures between an IDR picture and `picture`; `following` is the next one that is sent.

    As few as can be, so that no name is unknown; where that cannot be had, as few as can be. Raises `UnreadableError`
    where the numbers cannot be reached.
    """
    kept = _kept(picture, following)
    for wanted in (kept, []) if kept else ([],):
        for extra in range(MOST_STEPS + 1 - len(wanted)):
            numbers = [*range(1, extra + 1), *wanted[wanted[:1] == [0] and not extra :]]
            orders = _orders(picture, numbers)
            steps = _steps(picture, numbers, orders) if orders is not None else None
            if steps is not None and (not wanted or _knows_all(picture, following, steps)):
                return steps
    raise UnreadableError("its numbers cannot be reached")


def _kept(picture: Slice, following: Slice | None) -> list[int]:
    """Return the frame_num of those from before the picture that it or the next one names, oldest first."""
    cycle = 1 << picture.sequence.frame_num_bits
    ages = {back % cycle for back in picture.unmarked}
    if following is not None and not following.is_idr:
        ahead = (following.frame_num - picture.frame_num) % cycle
        ages |= {(back - ahead) % cycle for back in following.unmarked if back > ahead}
    return [(picture.frame_num - age) % cycle for age in sorted(ages - {0}, reverse=True)]


def _orders(picture: Slice, numbers: list[int]) -> list[int] | None:
    """Return the order of the pictures on the way, None where so many cannot reach that of the picture."""
    sequence, count = picture.sequence, len(numbers)
    if sequence.order_type:
        return [0] * count
    cycle = 1 << sequence.order_bits
    missing = (picture.frame_num - (numbers[-1] if numbers else 0) - 1) % (1 << sequence.frame_num_bits)
    reach = cycle // 2 - 2
    room = min(2 * min(missing, sequence.references) + 2, reach)  # for the copies that fill the last gap
    for place in (picture.order, picture.order + cycle):
        way = place - room
        if not count and room <= place <= reach:
            return []
        if count and count <= way <= count * reach:
            return [way * number // count % cycle for number in range(1, count + 1)]
    return None


def _steps(picture: Slice, numbers: list[int], orders: list[int]) -> list[Step] | None:
    """Return the steps with these numbers; None where they do not follow each other.

    Each takes back the copies that fill the gap before it: only what is wanted is to be kept.
    """
    references, last, steps = _References(picture.sequence), 0, list[Step]()
    cycle = 1 << picture.sequence.frame_num_bits
    for frame_num, order in zip(numbers, orders, strict=True):
        if frame_num == last:
            return None
        references.come_to(frame_num)
        copies = [one for one in references.held if one in references.copies]
        references.take(frame_num, copies)
        steps.append(Step(frame_num, order, tuple((frame_num - one) % cycle for one in copies)))
        last = frame_num
    return None if picture.frame_num == last else steps


def _knows_all(picture: Slice, following: Slice | None, steps: list[Step]) -> bool:
    """Tell whether all that the picture and the next one name is there."""
    references = _References(picture.sequence)
    cycle = 1 << picture.sequence.frame_num_bits
    for step in steps:
        references.come_to(step.frame_num)
        references.take(step.frame_num, [(step.frame_num - back) % cycle for back in step.unmarked])
    for one in (picture, following):
        if one is None or one.is_idr:
            break
        references.come_to(one.frame_num)
        if not references.take(one.frame_num, [(one.frame_num - back) % cycle for back in set(one.unmarked)]):
            return False
    return True

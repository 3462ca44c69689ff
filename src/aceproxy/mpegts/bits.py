"""Reading and writing bit by bit, for the headers of elementary streams."""

from __future__ import annotations

import re
from typing import Final

_TO_ESCAPE: Final = re.compile(rb"\x00\x00(?=[\x00-\x03])")


class BitReader:
    """Reads numbers of any width, most significant bit first, out of a few hundred bytes at most.

    Every read raises EOFError where fewer bits are left.
    """

    def __init__(self, content: bytes) -> None:
        self._bits = int.from_bytes(content, "big")
        self._size = self._left = len(content) * 8

    @property
    def at(self) -> int:
        """Return how many bits were read."""
        return self._size - self._left

    def between(self, start: int, end: int) -> int:
        """Return the bits from one place to another, which were read, as a number."""
        return self._bits >> (self._size - end) & ((1 << (end - start)) - 1)

    def u(self, width: int) -> int:
        """Return the next `width` bits as an unsigned number."""
        self._left -= width
        if self._left < 0:
            raise EOFError("the header ends too soon")
        return self._bits >> self._left & ((1 << width) - 1)

    def flag(self) -> bool:
        """Return the next bit."""
        return self.u(1) == 1

    def skip(self, width: int) -> None:
        """Pass over `width` bits."""
        self.u(width)

    def ue(self) -> int:
        """Return the next unsigned Exp-Golomb number (ITU-T H.264 §9.1), of at most 32 bits."""
        zeros = 0
        while not self.flag():
            zeros += 1
            if zeros > 32:
                raise EOFError("not an Exp-Golomb number")
        return (1 << zeros) - 1 + self.u(zeros)

    def se(self) -> int:
        """Return the next signed Exp-Golomb number (ITU-T H.264 §9.1.1)."""
        number = self.ue()
        return (number + 1) // 2 if number & 1 else -(number // 2)


def unescaped(unit: bytes) -> bytes:
    """Return a NAL unit without its emulation prevention bytes (ITU-T H.264 §7.4.1)."""
    return unit.replace(b"\x00\x00\x03", b"\x00\x00")


def escaped(unit: bytes) -> bytes:
    """Return a NAL unit with emulation prevention bytes (ITU-T H.264 §7.4.1)."""
    return _TO_ESCAPE.sub(b"\x00\x00\x03", unit)


class BitWriter:
    """Writes numbers of any width, most significant bit first; the counterpart of `BitReader`."""

    def __init__(self) -> None:
        self._bits = 0
        self.width = 0
        """Bits written so far."""

    def u(self, number: int, width: int) -> None:
        """Write an unsigned number of `width` bits."""
        self._bits = self._bits << width | number & ((1 << width) - 1)
        self.width += width

    def ue(self, number: int) -> None:
        """Write an unsigned Exp-Golomb number."""
        self.u(number + 1, 2 * (number + 1).bit_length() - 1)

    def se(self, number: int) -> None:
        """Write a signed Exp-Golomb number."""
        self.ue(2 * number - 1 if number > 0 else -2 * number)

    def fill(self, bit: int) -> None:
        """Write as many equal bits as the last byte has room for."""
        room = -self.width % 8
        self.u(-bit, room)

    def content(self) -> bytes:
        """Return what was written, with zeros up to the end of the last byte."""
        room = -self.width % 8
        return (self._bits << room).to_bytes((self.width + room) // 8, "big")

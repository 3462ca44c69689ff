"""Reading bit by bit, for the headers of elementary streams."""

from __future__ import annotations


class BitReader:
    """Reads numbers of any width, most significant bit first, out of a few hundred bytes at most.

    Every read raises EOFError where fewer bits are left.
    """

    def __init__(self, content: bytes) -> None:
        self._bits = int.from_bytes(content, "big")
        self._left = len(content) * 8

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

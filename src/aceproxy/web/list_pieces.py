"""The pieces that lists of streams and clients are put together of, each as admins and as others may read it.

What tells addresses is masked once for each piece and not for each answer (see `veil`).
"""

from __future__ import annotations

from aceproxy.web.veil import Reader

TOLD_KEPT = 8
_FIGURES = b',"connected_s":'  # from here on a client's fields are numbers that change; no text can hold this unescaped
NO_CLIENTS = b'"clients":[],"ended_clients":[]'


class Text:
    """A text as admins may read it, and as others may."""

    __slots__ = ("_told", "text")

    def __init__(self, text: bytes) -> None:
        self.text = text
        self._told: dict[str, bytes] = {}

    def told_to(self, reader: Reader, own: str) -> bytes:
        """Return the text for `reader`, who may read the address `own`."""
        if reader.veil is None:
            return self.text
        told = self._told.get(own)
        if told is None:
            if len(self._told) >= TOLD_KEPT:
                self._told.clear()
            told = self._told[own] = reader.veil.mask(self.text, own)
        return told


class ClientPiece:
    """A client: what never changes, for admins, for others and for who has its address, and its figures."""

    __slots__ = ("address", "figures", "fixed", "made_at", "masked", "own")

    def __init__(self, address: str, text: bytes, made_at: float) -> None:
        at = text.index(_FIGURES)
        self.address = address
        self.fixed = text[:at]
        self.masked = self.own = b""  # until somebody has asked
        self.figures = text[at:]
        self.made_at = made_at

    def spell(self, reader: Reader) -> bytes:
        """Return what never changes as `reader` may read it."""
        if reader.veil is None:
            return self.fixed
        if reader.own == self.address:
            self.own = self.own or reader.veil.mask(self.fixed, reader.own)
            return self.own
        self.masked = self.masked or reader.veil.mask(self.fixed, "")
        return self.masked


class Head:
    """A stream without its clients: what stands before and behind them. `mark`: what must be up to date."""

    __slots__ = ("after", "before", "ended", "ended_mark", "made_at", "mark")

    def __init__(self, text: bytes, mark: tuple[object, ...], made_at: float) -> None:
        before, _, after = text.partition(NO_CLIENTS)
        self.before, self.after = Text(before), Text(after)
        self.ended = Text(b"[]")
        self.ended_mark: object = None
        self.mark = mark
        self.made_at = made_at

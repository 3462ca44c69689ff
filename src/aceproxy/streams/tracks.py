"""Which pictures and sound a broadcast has, and where that changes in mid-stream.

Players of transport streams follow the tables. Those of HLS lists must be told (RFC 8216 §4.3.2.3: number, type and
identifiers of tracks).
"""

from __future__ import annotations

from aceproxy.mpegts.psi import Pmt


class Tracks:
    """Follows the tables of one stream."""

    def __init__(self) -> None:
        self._known: tuple[tuple[int, str | None], ...] = ()
        self._changed_at: int | None = None

    def note(self, tables_at: int | None, program: Pmt | None) -> None:
        """Take the program that counts, and the offset at which its tables changed last (None: they did not)."""
        if tables_at is None or program is None:
            return
        before = self._known
        self._known = tuple((one.pid, one.codec) for one in program.streams if one.kind in ("video", "audio"))
        if before not in ((), self._known):
            self._changed_at = tables_at

    def is_changed(self, offset: int) -> bool:
        """Tell whether the join point at an offset is the first one with other tracks, or coded otherwise."""
        is_changed = self._changed_at is not None and offset > self._changed_at
        if is_changed:
            self._changed_at = None
        return is_changed

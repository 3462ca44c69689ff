"""How much media a source has brought, by pictures or sound."""

from __future__ import annotations

from aceproxy.mpegts.packets import NULL_PID, PACKET_BYTES, pid_of
from aceproxy.streams.carried import Carried
from tests.mpegts.splicing import media


class Sent:
    """What a source sent so far, of which some PIDs are left out."""

    def __init__(self, *kinds: int) -> None:
        self.packets = b""
        self._kinds = kinds

    def send(self, name: str, start_s: float, stop_s: float) -> int:
        """Send a piece; return how many bytes there are by now."""
        piece = media(name, start_s, stop_s)
        parts = (piece[at : at + PACKET_BYTES] for at in range(0, len(piece), PACKET_BYTES))
        self.packets += b"".join(part for part in parts if pid_of(part) in self._kinds)
        return len(self.packets)

    def newest(self, count: int) -> bytes:
        """Return the newest bytes."""
        return self.packets[len(self.packets) - count :]


def test_where_pictures_go_on_they_tell_how_much_has_come() -> None:
    carried = Carried(lambda count: b"")
    total = [carried.note(10.0 + at, at * 100_000, at * 1.5) for at in range(5)]
    assert total == [0.0, 1.5, 3.0, 4.5, 6.0]


def test_where_pictures_stand_still_the_sound_tells() -> None:
    sent = Sent(0x101)
    carried = Carried(sent.newest)
    carried.note(0.0, 0, 7.0)
    totals = [carried.note(at + 1.0, sent.send("light", at, at + 1), 7.0) for at in range(6)]
    assert 4.5 < totals[-1] <= 6.0
    assert carried.note(7.0, sent.send("light", 6, 7), 13.0) <= 6.5, "the picture that comes in the end adds nothing"


def test_neither_empty_packets_nor_clocks_are_media() -> None:
    sent = Sent(NULL_PID, 0, 0x1000)
    carried = Carried(sent.newest)
    carried.note(0.0, 0, 7.0)
    for at in range(6):
        assert carried.note(at + 1.0, sent.send("radio", at, at + 1), 7.0) == 0.0


def test_sound_that_jumps_ahead_counts_as_what_time_has_gone_by() -> None:
    sent = Sent(0x101)
    carried = Carried(sent.newest)
    carried.note(0.0, 0, 7.0)
    carried.note(1.0, sent.send("light", 0, 1), 7.0)
    assert carried.note(2.0, sent.send("light", 5, 6), 7.0) <= 3.0

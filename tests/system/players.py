"""Many players in one process: `python -m tests.system.players URL --count N --seconds S`.

The first one is the reference: its bytes are kept and judged packet by packet. All others join after it and must get
exactly the reference's bytes from their join point on, which is one comparison of memory per read. Prints `joined`
once all receive, and one line of JSON at the end, which comes after S seconds; with `--until-asked` then or once
SIGUSR1 has come, whichever is later.
"""

from __future__ import annotations

import argparse
import json
import selectors
import signal
import socket
import sys
import time
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from tests.system.oracle import PACKET, faults_in, preamble_packets

READ_BYTES = 256 << 10
JUDGED_PACKETS = 600  # at the start of every player: past the first real PAT and PMT
JOIN_LIMIT_S = 30.0
LONGEST_S = 300.0


@dataclass(eq=False)
class Player:
    """One connection. `place` is where in the reference its next byte belongs; -1 until that is known."""

    connection: socket.socket
    head: bytearray = field(default_factory=bytearray)
    pending: bytearray = field(default_factory=bytearray)
    start: bytearray = field(default_factory=bytearray)
    in_body: bool = False
    place: int = -1
    received: int = 0
    last_at: float = 0.0
    longest_gap_s: float = 0.0
    fault: str = ""


class Crowd:
    """All players and the reference they are compared with."""

    def __init__(self, url: str, receive_bytes: int = 0) -> None:
        """Nobody is connected yet. `receive_bytes` makes the sockets' buffers small."""
        self._receive_bytes = receive_bytes
        parts = urlsplit(url)
        self._address = (parts.hostname or "", parts.port or 80)
        path = url.partition(parts.netloc)[2]
        self._request = f"GET {path} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: crowd\r\n\r\n".encode()
        self._selector = selectors.DefaultSelector()
        self.players: list[Player] = []
        self.reference = bytearray()

    def connect(self) -> None:
        """Add a player."""
        connection = socket.socket()
        if self._receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, self._receive_bytes)
        connection.settimeout(10)
        connection.connect(self._address)
        connection.sendall(self._request)
        connection.setblocking(False)
        player = Player(connection)
        self.players.append(player)
        self._selector.register(connection, selectors.EVENT_READ, player)

    def turn(self) -> None:
        """Read once from everybody who has something."""
        for key, _ in self._selector.select(0.05):
            player: Player = key.data
            try:
                part = player.connection.recv(READ_BYTES)
            except BlockingIOError:
                continue
            except OSError as error:
                part = b""
                player.fault = player.fault or str(error)
            if part:
                self._take(player, part)
            else:
                player.fault = player.fault or f"ended after {player.received} bytes"
                self._selector.unregister(player.connection)

    def _take(self, player: Player, part: bytes) -> None:
        if not player.in_body:
            player.head += part
            lines, blank, part = bytes(player.head).partition(b"\r\n\r\n")
            if not blank:
                return
            player.in_body = True
            if b" 200 " not in lines[:20]:
                player.fault = lines[:80].decode("latin-1")
        if not part:
            return
        now = time.monotonic()
        if player.received:
            player.longest_gap_s = max(player.longest_gap_s, now - player.last_at)
        player.last_at = now
        player.received += len(part)
        if len(player.start) < JUDGED_PACKETS * PACKET:
            player.start += part[: JUDGED_PACKETS * PACKET - len(player.start)]
        if player is self.players[0]:
            self.reference += part
        else:
            self._compare(player, part)

    def _compare(self, player: Player, part: bytes) -> None:
        """Compare what is new with the reference, as far as that has come itself."""
        if player.place >= 0 and not player.pending and player.place + len(part) <= len(self.reference):
            same = self.reference.startswith(part, player.place)
            player.place += len(part)
        else:
            player.pending += part
            if player.place < 0:
                self._find_place(player)
            if player.place < 0:
                return
            count = min(len(player.pending), len(self.reference) - player.place)
            same = self.reference.startswith(player.pending[:count], player.place)
            player.place += count
            del player.pending[:count]
        if not same:
            player.fault = player.fault or f"differs from the reference around byte {player.received}"

    def _find_place(self, player: Player) -> None:
        tables = preamble_packets(player.pending) * PACKET
        if len(player.pending) < tables + 4 * PACKET:
            return
        player.place = self.reference.find(player.pending[tables : tables + 4 * PACKET])
        if player.place >= 0:
            del player.pending[:tables]
        elif len(player.pending) > 8 << 20:
            player.fault = player.fault or "its join point is not in the reference"

    def settle(self, limit_s: float) -> None:
        """Read on until the reference has caught up with everybody."""
        until_at = time.monotonic() + limit_s
        while any(player.pending and not player.fault for player in self.players[1:]) and time.monotonic() < until_at:
            self.turn()

    def verdict(self) -> dict[str, object]:
        """Return what was seen."""
        bad_starts = [faults_in(player.start)[:3] for player in self.players if faults_in(player.start)]
        return {
            "players": len(self.players),
            "faults": [player.fault for player in self.players if player.fault][:10],
            "fault_count": sum(bool(player.fault) for player in self.players),
            "uncompared_bytes": sum(len(player.pending) for player in self.players[1:]),
            "not_placed": sum(player.place < 0 for player in self.players[1:]),
            "reference_bytes": len(self.reference),
            "reference_faults": faults_in(self.reference)[:10],
            "bad_starts": bad_starts[:10],
            "with_tables_first": sum(preamble_packets(player.start) >= 2 for player in self.players),
            "least_bytes": min(player.received for player in self.players),
            "total_bytes": sum(player.received for player in self.players),
            "longest_gap_s": round(max(player.longest_gap_s for player in self.players), 3),
            "cpu_s": round(time.process_time(), 2),
        }


def main(arguments: list[str]) -> None:
    """Play and tell."""
    parser = argparse.ArgumentParser()
    parser.add_argument("url")
    parser.add_argument("--count", type=int, default=1)
    parser.add_argument("--seconds", type=float, default=10.0)
    parser.add_argument("--until-asked", action="store_true")
    parser.add_argument("--receive-bytes", type=int, default=0)
    given = parser.parse_args(arguments)
    asked: list[int] = [] if given.until_asked else [0]
    signal.signal(signal.SIGUSR1, lambda number, _: asked.append(number))
    crowd = Crowd(given.url, given.receive_bytes)
    crowd.connect()
    limit_at = time.monotonic() + JOIN_LIMIT_S
    while not crowd.reference and time.monotonic() < limit_at:
        crowd.turn()
    while len(crowd.players) < given.count:
        crowd.connect()
        crowd.turn()
    while not all(player.received for player in crowd.players) and time.monotonic() < limit_at:
        crowd.turn()
    print("joined", flush=True)
    began_at = time.monotonic()
    while (played_s := time.monotonic() - began_at) < given.seconds or (not asked and played_s < LONGEST_S):
        crowd.turn()
    crowd.settle(5.0)
    print("verdict " + json.dumps(crowd.verdict()), flush=True)


if __name__ == "__main__":
    main(sys.argv[1:])

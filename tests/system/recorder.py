"""One player that writes what it gets to a file: `python -m tests.system.recorder URL FILE [RECEIVE_BYTES]`.

A process of its own, so that it can be frozen. Prints `joined` with the first byte, and at the end how it ended.
"""

from __future__ import annotations

import socket
import sys
from pathlib import Path
from urllib.parse import urlsplit


def record(url: str, path: Path, receive_bytes: int) -> str:
    """Record until the other side ends it; return `eof` or the name of the error."""
    parts = urlsplit(url)
    place = url.partition(parts.netloc)[2]
    with socket.socket() as connection, path.open("wb", buffering=0) as file:
        if receive_bytes:
            connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        connection.connect((parts.hostname or "", parts.port or 80))
        connection.sendall(f"GET {place} HTTP/1.1\r\nHost: {parts.netloc}\r\nUser-Agent: recorder\r\n\r\n".encode())
        head = b""
        while b"\r\n\r\n" not in head:
            head += connection.recv(1)
        print("joined", flush=True)
        try:
            while part := connection.recv(65536):
                file.write(part)
        except OSError as error:
            return type(error).__name__
    return "eof"


if __name__ == "__main__":
    print("ended " + record(sys.argv[1], Path(sys.argv[2]), int(sys.argv[3]) if len(sys.argv) > 3 else 0), flush=True)

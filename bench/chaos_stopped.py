"""A player to be stopped: `python -S chaos_stopped.py PORT TARGET AGENT`.

It reads for a second, prints `playing` (now it may be stopped with SIGSTOP), and reads for four seconds more, not
counting those for which it was stopped. Prints `left`, `cut`, `torn` (packets begin where none should) or
`refused REASON` in the end.
"""

import json
import socket
import sys
import time

PACKET = 188
AWAKE_S = 1.0  # a read takes less than that of one that is not stopped


def read(connection: socket.socket, body: bytearray, seconds: float) -> bool:
    """Read on for so long; False if the other side ended it."""
    left_s, at = seconds, time.monotonic()
    while left_s > 0:
        try:
            part = connection.recv(65536)
        except TimeoutError:
            part = None
        except ConnectionError:
            return False
        if part == b"":
            return False
        body += part or b""
        before, at = at, time.monotonic()
        left_s -= min(at - before, AWAKE_S)
    return True


def main(port: str, target: str, agent: str) -> str:
    """Play; return what became of it."""
    connection = socket.socket()
    connection.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 16384)
    connection.connect(("127.0.0.1", int(port)))
    connection.settimeout(60)
    connection.sendall(f"GET {target} HTTP/1.1\r\nHost: 127.0.0.1\r\nUser-Agent: {agent}\r\n\r\n".encode())
    answer = bytearray()
    while b"\r\n\r\n" not in answer:
        part = connection.recv(65536)
        if not part:
            return "refused cut before the headers"
        answer += part
    head, _, rest = bytes(answer).partition(b"\r\n\r\n")
    if not head.startswith(b"HTTP/1.1 200"):
        while part := connection.recv(65536):
            rest += part
        return f"refused {json.loads(rest)['error']['reason']}"
    body = bytearray(rest)
    connection.settimeout(0.5)
    is_on = read(connection, body, 1.0)
    if is_on:
        print("playing", flush=True)
        is_on = read(connection, body, 4.0)
    if any(byte != 0x47 for byte in body[::PACKET]):
        return "torn"
    return "left" if is_on else "cut"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except (OSError, ValueError, KeyError) as error:
        print(f"refused {type(error).__name__}")

"""A player that stops itself: `python -S chaos_stopped.py PORT TARGET AGENT SECONDS`.

It reads for a second, is stopped as by SIGSTOP for so long, and reads on for four. Prints `left`, `cut`, `torn`
(packets begin where none should) or `refused REASON`.
"""

import json
import os
import signal
import socket
import sys
import time

PACKET = 188


def read(connection: socket.socket, body: bytearray, seconds: float) -> bool:
    """Read on for so long; False if the other side ended it."""
    until_at = time.monotonic() + seconds
    while time.monotonic() < until_at:
        try:
            part = connection.recv(65536)
        except TimeoutError:
            continue
        except ConnectionError:
            return False
        if not part:
            return False
        body += part
    return True


def main(port: str, target: str, agent: str, seconds: str) -> str:
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
        if os.fork() == 0:  # somebody has to wake us
            time.sleep(float(seconds))
            os.kill(os.getppid(), signal.SIGCONT)
            os._exit(0)
        os.kill(os.getpid(), signal.SIGSTOP)
        is_on = read(connection, body, 4.0)
    if any(byte != 0x47 for byte in body[::PACKET]):
        return "torn"
    return "left" if is_on else "cut"


if __name__ == "__main__":
    try:
        print(main(*sys.argv[1:]))
    except (OSError, ValueError, KeyError) as error:
        print(f"refused {type(error).__name__}")

"""Asks a running program whether it lives: `python -m aceproxy.health`, for the health checks of containers.

Imports next to nothing, since it is run every half minute. Exit status: 0 it answers, 1 it does not.
"""

from __future__ import annotations

import http.client
import os
import sys
from collections.abc import Mapping

DEFAULT_PORT = 6880
ANSWER_LIMIT_S = 5.0
PATHS = {"live": "/livez", "ready": "/readyz"}


def place(environ: Mapping[str, str]) -> tuple[str, int]:
    """Return host and port of the program on this machine, from `ACEPROXY_LISTEN`. Raises ValueError."""
    host, _, port = environ.get("ACEPROXY_LISTEN", f":{DEFAULT_PORT}").rpartition(":")
    host = host.strip("[]")
    return (host if host not in ("", "*", "0.0.0.0", "::") else "127.0.0.1"), int(port)  # noqa: S104 - compared only


def ask(host: str, port: int, path: str, limit_s: float = ANSWER_LIMIT_S) -> int | None:
    """Return the status that a route answers with, None if nothing answers in time."""
    connection = http.client.HTTPConnection(host, port, timeout=limit_s)
    try:
        connection.request("GET", path, headers={"Host": "localhost"})
        return connection.getresponse().status
    except (OSError, http.client.HTTPException):
        return None
    finally:
        connection.close()


def main(arguments: list[str], environ: Mapping[str, str]) -> int:
    """Say in a word what is the case and return the exit status."""
    wanted = arguments[0] if arguments else "live"
    if wanted not in PATHS or len(arguments) > 1:
        sys.stderr.write(f"usage: python -m aceproxy.health [{'|'.join(PATHS)}]\n")
        return 2
    try:
        host, port = place(environ)
    except ValueError:
        sys.stderr.write("ACEPROXY_LISTEN is not HOST:PORT\n")
        return 2
    status = ask(host, port, PATHS[wanted])
    sys.stdout.write(f"{wanted if status == 200 else f'not {wanted}'}\n")
    return 0 if status == 200 else 1


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:], os.environ))

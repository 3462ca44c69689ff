"""A connection that fails is told in the system's sentence."""

from __future__ import annotations

import asyncio
import errno
import socket
from contextlib import closing

import pytest

from aceproxy.engine.os_words import os_words


async def test_a_refused_connection_is_told_as_that_and_not_as_the_call_that_found_it_out() -> None:
    with closing(socket.socket()) as bound:  # nobody listens there
        bound.bind(("127.0.0.1", 0))
        with pytest.raises(ConnectionRefusedError) as refused:
            await asyncio.open_connection(*bound.getsockname())
    assert os_words(refused.value) == "Connection refused"


@pytest.mark.parametrize(
    ("error", "words"),
    [
        (OSError(errno.ENETUNREACH, "Connect call failed"), "Network is unreachable"),
        (socket.gaierror(socket.EAI_NONAME, "Name or service not known"), "Name or service not known"),
        (OSError("Multiple exceptions"), "OSError"),
        (
            OSError(None, "the name leads to an address that is not public"),
            "the name leads to an address that is not public",
        ),
    ],
)
def test_what_is_no_error_of_the_system_keeps_its_words(error: OSError, words: str) -> None:
    assert os_words(error) == words

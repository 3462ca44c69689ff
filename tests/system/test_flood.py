"""Thousands of connections that never send a whole request: bounded, and a player does not notice."""

from __future__ import annotations

import errno
import resource
import select
import socket
import time
from collections.abc import Callable, Iterator
from pathlib import Path

import psutil
import pytest

from tests.system.calls import Viewer
from tests.system.oracle import faults_in
from tests.system.programs import Engine, Proxy

MANY = 10_000
MOST_WAITING = 2000  # the default of max_waiting
SLACK = 300  # connections that may be on their way in or out when one counts
ADDRESSES = 100
BEGUN = b"GET /api/health HTTP/1.1\r\nHost: 127.0.0.1\r\nX-Slow: "


@pytest.fixture
def attacking() -> Iterator[list[socket.socket]]:
    """Sockets of the attacker, closed at the end. Skips where the system allows too few."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if hard < MANY + 500:
        pytest.skip(f"only {hard} descriptors")
    resource.setrlimit(resource.RLIMIT_NOFILE, (max(soft, MANY + 500), hard))
    kept: list[socket.socket] = []
    yield kept
    for one in kept:
        one.close()
    resource.setrlimit(resource.RLIMIT_NOFILE, (soft, hard))


def half_open(port: int, number: int) -> socket.socket:
    """Begin a connection from one of many addresses; it is not waited for."""
    one = socket.socket()
    one.setblocking(False)
    one.bind((f"127.0.1.{1 + number % ADDRESSES}", 0))
    result = one.connect_ex(("127.0.0.1", port))
    assert result in (0, errno.EINPROGRESS)
    return one


def say(one: socket.socket, words: bytes) -> None:
    """Send something if the connection is there."""
    try:
        one.send(words)
    except OSError:
        return  # not there yet, or not any more


def connections_to(proxy: Proxy) -> int:
    """Return how many connections the program has."""
    return sum(one.status == psutil.CONN_ESTABLISHED for one in psutil.Process(proxy.pid).net_connections("tcp"))


def test_ten_thousand_half_open_connections_do_not_disturb_a_player(
    engine: Engine,
    programs: Callable[[Proxy], Proxy],
    view: Callable[..., Viewer],
    attacking: list[socket.socket],
    tmp_path: Path,
) -> None:
    proxy = programs(Proxy(tmp_path, engine.url, "head_timeout_s=3"))
    viewer = view(proxy.play(engine, "Light One"))
    viewer.wait_bytes(500_000)
    memory_before = psutil.Process(proxy.pid).memory_info().rss
    slowest_s = 0.0
    began_at = time.monotonic()
    for number in range(MANY):
        attacking.append(half_open(proxy.port, number))
        if number % 1000 == 999:
            for one in attacking:
                say(one, BEGUN)  # every connection that is left begins, or goes on with, its head
            asked_at = time.monotonic()
            assert proxy.ask("GET", "/api/health", limit_s=5).status == 200
            slowest_s = max(slowest_s, time.monotonic() - asked_at)
            assert connections_to(proxy) <= MOST_WAITING + SLACK
    took_s = time.monotonic() - began_at
    assert connections_to(proxy) >= 50  # they are really there
    grown = psutil.Process(proxy.pid).memory_info().rss - memory_before
    told = f"{MANY} in {took_s:.1f} s; API at most {slowest_s:.2f} s; memory +{grown >> 20} MiB"
    print(told)
    assert slowest_s < 2, told
    assert grown < 120 << 20, told
    viewer.wait_more(500_000)
    deadline_at = time.monotonic() + 10  # head_timeout_s, and the sweep
    poller = select.poll()
    for one in attacking:
        poller.register(one, select.POLLRDHUP | select.POLLHUP | select.POLLERR)
    while len(poller.poll(0)) < MANY:
        assert time.monotonic() < deadline_at, f"{MANY - len(poller.poll(0))} are still open"
        time.sleep(0.1)
    assert not viewer.ended.is_set()
    viewer.wait_more(500_000)
    assert faults_in(viewer.body) == []
    assert proxy.stream(engine.id_of("Light One"))["clients"][0]["skips"] == 0

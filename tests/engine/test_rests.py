"""Reading at beats: nothing is lost or late for long, whatever the framing, and every end is noticed."""

from __future__ import annotations

import asyncio
import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from aceproxy.engine.media import MediaEnd
from aceproxy.engine.rests import MANY, VERY_MANY, Beats
from tests.engine.test_media import MEDIA, Serve, Sink, head_of, opened, response
from tests.waiting import until

REST_S = 0.05
BELOW = 100_000


class Counting(Sink):
    """Counts how often something was put in, and has room for all of it at once."""

    def __init__(self) -> None:
        super().__init__(256 << 10)
        self.times = 0

    def filled(self, n: int) -> None:
        self.times += 1
        super().filled(n)


def framed_in(piece: bytes, *, framed: bool) -> bytes:
    """Return a piece of a body, in chunks of 100 bytes if so asked."""
    return b"".join(b"%x\r\n%b\r\n" % (len(part), part) for part in hundreds(piece)) if framed else piece


def hundreds(piece: bytes) -> list[bytes]:
    """Cut a piece into parts of 100 bytes."""
    return [piece[at : at + 100] for at in range(0, len(piece), 100)]


async def drips(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer with a thousand small pieces, about a second long."""
    await head_of(reader)
    writer.write(response(b"abc"))
    for _ in range(1000):
        writer.write(b"x" * 100)
        await asyncio.sleep(0.001)
    await reader.read()


@pytest.mark.parametrize("how", [MediaEnd.EOF, MediaEnd.RESET])
@pytest.mark.parametrize("framed", [False, True])
async def test_small_pieces_are_read_together_and_the_end_is_noticed(serve: Serve, framed: bool, how: MediaEnd) -> None:
    sink = Counting()
    go, finish = asyncio.Event(), asyncio.Event()
    pieces = [bytes([number]) * 300 for number in range(100)]

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        headers = (b"Transfer-Encoding: chunked",) if framed else ()
        writer.write(response(framed_in(b"abc", framed=framed), *headers))
        await go.wait()
        for piece in pieces:
            writer.write(framed_in(piece, framed=framed))
            await asyncio.sleep(0)
        await finish.wait()
        if how is MediaEnd.RESET:
            writer.get_extra_info("socket").setsockopt(1, 13, struct.pack("ii", 1, 0))  # SO_LINGER 0: closing resets
        elif framed:
            writer.write(b"0\r\n\r\n")

    reader = await opened(await serve(converse), sink)
    reader.rest_between_reads(REST_S, BELOW, Beats())
    go.set()
    await until(lambda: sink.used == 3 + 30_000)
    assert sink.content == b"abc" + b"".join(pieces)
    assert sink.times < 50, "not every piece has cost a wake-up"
    finish.set()
    async with asyncio.timeout(10):
        assert await reader.wait_ended() is how


async def test_what_comes_after_a_silence_is_read_at_once(serve: Serve) -> None:
    sink = Counting()
    go = asyncio.Event()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(response(b"abc"))
        await go.wait()
        writer.write(b"defg")
        await go.wait()
        await reader.read()

    reader = await opened(await serve(converse), sink)
    reader.rest_between_reads(REST_S, BELOW, Beats())
    await asyncio.sleep(3 * REST_S)  # it has rested once, and found nothing
    go.set()
    await until(lambda: sink.content == b"abcdefg")
    reader.close()
    assert await reader.wait_ended() is MediaEnd.CLOSED


async def test_a_reader_that_is_paused_while_it_rests_stays_so(serve: Serve) -> None:
    sink = Counting()
    reader = await opened(await serve(drips), sink)
    reader.rest_between_reads(REST_S, BELOW, Beats())
    await until(lambda: sink.used > 1000)
    reader.pause()
    used = sink.used
    await asyncio.sleep(4 * REST_S)
    assert sink.used == used
    reader.resume()
    await until(lambda: sink.used > used + 1000)
    reader.close()


@pytest.mark.parametrize("framed", [False, True])
async def test_as_much_as_there_is_at_once_is_read_without_rests(serve: Serve, framed: bool) -> None:
    sink = Counting()
    sent = 0

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        nonlocal sent
        await head_of(reader)
        headers = (b"Transfer-Encoding: chunked",) if framed else ()
        writer.write(response(framed_in(b"abc", framed=framed), *headers))
        while sent < len(sink.memory) - 400_000:
            writer.write(framed_in(MEDIA, framed=framed))
            await writer.drain()
            sent += len(MEDIA)
        await reader.read()

    reader = await opened(await serve(converse), sink)
    reader.pause()
    await until(lambda: sent > 500_000)  # waits in the kernel
    reader.rest_between_reads(60.0, 50_000, Beats())  # one rest would last longer than the test
    reader.resume()
    await until(lambda: sink.used > 400_000)
    reader.close()


def beats_of(beats: Beats, parity: int, *moments: float) -> list[float]:
    """Return the next beat after each moment, with rests of 0.1 s."""
    return [round(beats.next_at(now_s, 0.1, parity), 6) for now_s in moments]


def test_few_are_read_at_every_beat_many_at_every_second_and_very_many_by_halves() -> None:
    beats = Beats()
    parities = [beats.enter() for _ in range(MANY - 1)]
    assert beats.step == 1
    assert (beats_of(beats, 0, 5.04), beats_of(beats, 1, 5.1001)) == ([5.1], [5.2])
    parities += [beats.enter()]
    assert beats.step == 2
    assert beats_of(beats, 0, 5.04, 5.11, 5.21) == beats_of(beats, 1, 5.04, 5.11, 5.21) == [5.2, 5.2, 5.4]
    parities += [beats.enter() for _ in range(VERY_MANY - MANY)]
    assert parities.count(0) == parities.count(1) == VERY_MANY / 2
    assert beats_of(beats, 0, 5.04, 5.11, 5.21) == [5.2, 5.2, 5.4]
    assert beats_of(beats, 1, 5.04, 5.11, 5.21) == [5.1, 5.3, 5.3]
    for parity in parities:
        beats.leave(parity)
    assert (beats.resting, beats.step) == (0, 1)
    assert {beats.enter(), beats.enter()} == {0, 1}


class Broken(Sink):
    """Takes what comes while the response is opened, and fails afterwards."""

    is_broken = False

    def filled(self, n: int) -> None:
        if self.is_broken:
            raise RuntimeError("a mistake of ours")
        super().filled(n)


async def test_one_that_fails_at_a_beat_keeps_no_other_one_from_being_read(
    serve: Serve, caplog: pytest.LogCaptureFixture
) -> None:
    go, beats = asyncio.Event(), Beats()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(response(b"abc"))
        await go.wait()
        for _ in range(20):
            writer.write(b"x" * 100)
            await asyncio.sleep(REST_S / 10)
        await reader.read()

    broken, sink = Broken(256 << 10), Counting()
    failing = await opened(await serve(converse), broken)
    reader = await opened(await serve(converse), sink)
    for one in (failing, reader):
        one.rest_between_reads(REST_S, BELOW, beats)
    broken.is_broken = True
    go.set()
    await until(lambda: sink.used == 3 + 2000)
    async with asyncio.timeout(10):
        assert await failing.wait_ended() is not MediaEnd.EOF
    assert "a mistake of ours" in caplog.text
    reader.close()
    assert await reader.wait_ended() is MediaEnd.CLOSED


async def test_one_that_is_ended_by_another_at_their_beat_is_not_read(serve: Serve) -> None:
    beats = Beats()
    first, second = Counting(), Counting()
    readers = [await opened(await serve(drips), sink) for sink in (first, second)]
    took = first.filled

    def close_the_other(n: int) -> None:
        took(n)
        readers[1].close()

    for reader in readers:
        reader.rest_between_reads(REST_S, BELOW, beats)
    await until(lambda: min(first.used, second.used) > 1000)
    first.filled = close_the_other  # type: ignore[method-assign]  # from now on
    async with asyncio.timeout(10):
        assert await readers[1].wait_ended() is MediaEnd.CLOSED
    used = first.used
    await until(lambda: first.used > used)
    readers[0].close()
    assert beats.resting == 0


@given(st.lists(st.booleans(), max_size=60))
def test_the_two_halves_stay_about_equal_whoever_goes(steps: list[bool]) -> None:
    beats, held = Beats(), list[int]()
    for is_new in steps:
        if is_new or not held:
            held.append(beats.enter())
        else:
            beats.leave(held.pop(0))
        assert beats.resting == len(held)
    for _ in range(abs(held.count(0) - held.count(1))):  # who comes goes where fewer are
        held.append(beats.enter())
    assert abs(held.count(0) - held.count(1)) <= 1


async def test_a_connection_that_is_closed_counts_no_more(serve: Serve) -> None:
    beats = Beats()

    async def converse(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await head_of(reader)
        writer.write(response(b"abc"))
        await reader.read()

    reader = await opened(await serve(converse), Counting())
    reader.rest_between_reads(REST_S, BELOW, beats)
    assert beats.resting == 1
    reader.pause()
    assert beats.resting == 1
    reader.close()
    reader.close()
    assert beats.resting == 0
    reader.rest_between_reads(REST_S, BELOW, beats)
    assert beats.resting == 0

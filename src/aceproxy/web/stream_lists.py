"""The streams and their clients as JSON, made so that a thousand clients cost nobody any time.

An answer is put together of pieces that are kept: the head of each stream, each client, those that ended. Who is there
is looked at for each answer, and a stream whose state or number of clients has changed gets a new head at once; the
other figures in a piece are at most `FRESH_S` old while somebody asks, `MAX_AGE_S` if the loop is busy. They are made
anew in slices, so that no pass of the event loop takes long, and all are let go when nobody has asked for `KEEP_S`.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Iterable

from pydantic import TypeAdapter

from aceproxy.streams.client import Client
from aceproxy.streams.hub import Hub
from aceproxy.streams.snapshot import ClientSnapshot, EndedClient, EndedStream, StreamSnapshot
from aceproxy.streams.stream import Stream
from aceproxy.streams.views import stream_snapshot
from aceproxy.web.list_pieces import NO_CLIENTS, ClientPiece, Head, Text
from aceproxy.web.veil import Reader

FRESH_S = 0.5  # how often the pieces are made anew while somebody asks
MAX_AGE_S = 0.9  # of a piece in an answer; an older one is made anew for it
ANSWER_S = 0.2  # for which an answer serves all who ask, if nobody comes or goes
KEEP_S = 3.0  # for which the pieces are kept after the last question
SLICE = 100  # clients whose pieces are made before others have their turn: less than a millisecond
HEAD_WEIGHT = 10  # a stream's head costs as much as this many clients
ANSWERS_KEPT = 4


log = logging.getLogger(__name__)


class StreamLists:
    """Makes the lists of streams and clients. Event loop only; `close` when the program ends."""

    def __init__(self, hub: Hub) -> None:
        self._hub = hub
        self._client_json = TypeAdapter(ClientSnapshot)
        self._ended_json = TypeAdapter(list[EndedClient])
        self._recent_json = TypeAdapter(list[EndedStream])
        self._stream_json = TypeAdapter(StreamSnapshot)
        self._clients: dict[str, ClientPiece] = {}
        self._heads: dict[str, Head] = {}
        self._recent = Text(b"[]")
        self._recent_mark: object = None
        self._answers: OrderedDict[tuple[object, ...], tuple[float, int, bytes | None]] = OrderedDict()
        self._asked_at = 0.0
        self._freshening: asyncio.Task[None] | None = None

    async def all(self, reader: Reader, *, with_clients: bool = True) -> bytes:
        """Return all streams as a `Streams`, for `reader`."""
        name = (reader.veil is None, reader.own, with_clients)
        body = self._known(name)
        if body is None:
            await self._prepare(self._hub.streams, reader, with_clients=with_clients)
            body = self._keep(name, self._all_now(reader, with_clients=with_clients))
        return body

    async def one(self, find: Callable[[], Stream], reader: Reader) -> bytes:
        """Return a stream with its clients as a `StreamSnapshot`, for `reader`. Raises what `find` raises."""
        name = (reader.veil is None, reader.own, find().stream_id)
        body = self._known(name)
        if body is None:
            await self._prepare([find()], reader, with_clients=True)
            body = self._keep(name, self._stream_text(find(), reader, time.monotonic(), with_clients=True))
        return body

    @property
    def kept(self) -> int:
        """How many pieces there are: streams and clients."""
        return len(self._heads) + len(self._clients)

    def close(self) -> None:
        """Let go of everything."""
        if self._freshening is not None:
            self._freshening.cancel()
            self._freshening = None
        self._clients.clear()
        self._heads.clear()
        self._answers.clear()

    # --- keeping ---

    def _known(self, name: tuple[object, ...]) -> bytes | None:
        """Return an answer that was given a moment ago, if nobody has come or gone since."""
        self._asked()
        made_at, version, body = self._answers.get(name, (0.0, -1, None))
        is_new = version == self._hub.version and time.monotonic() - made_at <= ANSWER_S
        return body if is_new else None

    def _keep(self, name: tuple[object, ...], body: bytes) -> bytes:
        self._answers.pop(name, None)
        self._answers[name] = time.monotonic(), self._hub.version, body
        while len(self._answers) > ANSWERS_KEPT:
            self._answers.popitem(last=False)
        return body

    def _asked(self) -> None:
        """Somebody wants to know: keep the pieces fresh for a while."""
        self._asked_at = time.monotonic()
        if self._freshening is None:
            self._freshening = asyncio.create_task(self._freshen(), name="lists of streams")

    async def _freshen(self) -> None:
        """Make the pieces anew until nobody asks any more. Cancel-safe."""
        while time.monotonic() - self._asked_at < KEEP_S:
            await asyncio.sleep(FRESH_S)
            try:
                await self._make_anew()
            except Exception:
                log.exception("making the lists of streams failed")
        self._freshening = None
        self.close()

    async def _make_anew(self) -> None:
        """Make all pieces of who was asked about anew, and forget who is gone."""
        streams = {stream.stream_id: stream for stream in self._hub.streams}
        self._heads = {name: head for name, head in self._heads.items() if name in streams}
        known, work = self._clients, 0
        self._clients = {}
        for stream in streams.values():
            for client_id in stream.clients:
                if client_id in known:
                    self._clients[client_id] = known[client_id]
        for stream in streams.values():
            if stream.stream_id in self._heads:
                self._make_head(stream, time.monotonic())
                work += HEAD_WEIGHT
            for client in list(stream.clients.values()):
                if client.client_id in self._clients:
                    self._make_client(stream, client, time.monotonic())
                    work += 1
                if work >= SLICE:
                    work = 0
                    await asyncio.sleep(0)

    async def _prepare(self, streams: Iterable[Stream], reader: Reader, *, with_clients: bool) -> None:
        """Make what is missing or too old, in slices; what comes meanwhile is made when the answer is."""
        work, oldest_at = 0.0, time.monotonic() - MAX_AGE_S
        for stream in streams:
            before = self._heads.get(stream.stream_id)
            head = self._head(stream, time.monotonic())
            head.before.told_to(reader, reader.own)
            head.after.told_to(reader, reader.own)
            work += 1 if head is before else HEAD_WEIGHT
            if not with_clients:
                continue
            self._ended(stream, head).told_to(reader, reader.own)
            for client in list(stream.clients.values()):
                work += 0.1
                piece = self._clients.get(client.client_id)
                if piece is None or piece.made_at < oldest_at:
                    piece = self._make_client(stream, client, time.monotonic())
                    work += 1
                if not (piece.masked or piece.own):
                    piece.spell(reader)
                if work >= SLICE:
                    work = 0
                    await asyncio.sleep(0)

    # --- pieces ---

    def _all_now(self, reader: Reader, *, with_clients: bool) -> bytes:
        now = time.monotonic()
        streams = self._hub.streams
        ended = self._hub.ended
        mark = (id(ended[0]), len(ended)) if ended else None
        if self._recent_mark != mark:
            self._recent, self._recent_mark = Text(self._recent_json.dump_json(list(ended))), mark
        count = sum(len(stream.clients) for stream in streams)
        texts = [self._stream_text(stream, reader, now, with_clients=with_clients) for stream in streams]
        return b'{"total_streams":%d,"total_clients":%d,"streams":[%b],"recent":%b}' % (
            len(streams),
            count,
            b",".join(texts),
            self._recent.told_to(reader, reader.own),
        )

    def _stream_text(self, stream: Stream, reader: Reader, now: float, *, with_clients: bool) -> bytes:
        head = self._head(stream, now)
        middle = NO_CLIENTS
        if with_clients:
            ended = self._ended(stream, head).told_to(reader, reader.own)
            middle = b'"clients":[%b],"ended_clients":%b' % (self._client_texts(stream, reader, now), ended)
        return head.before.told_to(reader, reader.own) + middle + head.after.told_to(reader, reader.own)

    def _client_texts(self, stream: Stream, reader: Reader, now: float) -> bytes:
        """Return the clients of a stream; runs through all of them, so what it does for each is as little as can be."""
        own, plain, oldest_at = reader.own, reader.veil is None, now - MAX_AGE_S
        known, parts = self._clients, []
        for client_id, client in stream.clients.items():
            piece = known.get(client_id)
            if piece is None or piece.made_at < oldest_at:
                piece = self._make_client(stream, client, now)
            if plain:
                parts.append(piece.fixed)
            elif piece.masked and piece.address != own:
                parts.append(piece.masked)
            else:
                parts.append(piece.spell(reader))
            parts.append(piece.figures)
            parts.append(b",")
        return b"".join(parts[:-1])

    def _head(self, stream: Stream, now: float) -> Head:
        head = self._heads.get(stream.stream_id)
        if head is None or head.mark != _mark(stream) or now - head.made_at > MAX_AGE_S:
            head = self._make_head(stream, now)
        return head

    def _make_head(self, stream: Stream, now: float) -> Head:
        text = self._stream_json.dump_json(stream_snapshot(stream, with_clients=False))
        head = Head(text, _mark(stream), now)
        before = self._heads.get(stream.stream_id)
        if before is not None and before.mark[0] == stream.record_id:
            head.ended, head.ended_mark = before.ended, before.ended_mark
        self._heads[stream.stream_id] = head
        return head

    def _ended(self, stream: Stream, head: Head) -> Text:
        ended = stream.ended_clients
        mark = ended[-1].client_id if ended else None
        if head.ended_mark != mark:
            head.ended, head.ended_mark = Text(self._ended_json.dump_json(list(ended))), mark
        return head.ended

    def _make_client(self, stream: Stream, client: Client, now: float) -> ClientPiece:
        text = self._client_json.dump_json(client.snapshot(now, stream.intake.bitrate_bps))
        piece = self._clients.get(client.client_id)
        if piece is None or not text.startswith(piece.fixed):
            piece = self._clients[client.client_id] = ClientPiece(client.address, text, now)
        else:
            piece.figures = text[len(piece.fixed) :]
            piece.made_at = now
        return piece


def _mark(stream: Stream) -> tuple[object, ...]:
    """Return what of a stream is never told late."""
    return (
        stream.record_id,
        stream.state,
        len(stream.clients),
        stream.waiting,
        stream.holder_count,
        stream.infohash,
        stream.recoveries,
        stream.supply.at,
        stream.supply.switches,
    )

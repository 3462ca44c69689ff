"""HLS through the HTTP face: lists, segments, viewers."""

from __future__ import annotations

import asyncio
import gc
import json
import re
import subprocess
from collections.abc import Awaitable, Callable
from datetime import timedelta
from fractions import Fraction
from functools import partial

import pytest

from aceproxy.app import App
from aceproxy.errors import Reason
from aceproxy.mpegts.continuity import ContinuityChecker
from aceproxy.simulator import Simulator
from aceproxy.streams.block import Block
from aceproxy.streams.stream import Stream
from tests.conftest import Answer, MakeApp, ask
from tests.hls.checking import read
from tests.system.programs import tool
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
PACKET = 188
QUICK = {"block_s": 0.5, "burst_s": 1.0}  # segments of one keyframe interval


def manifest(sim: Simulator, number: int = 2) -> str:
    """The address of a light channel's list."""
    return f"/ace/manifest.m3u8?id={sim.contents[number].content_id}"


def join(base: str, relative: str) -> str:
    """Follow an address in a list."""
    path = base.partition("?")[0].rpartition("/")[0].split("/")
    while relative.startswith("../"):
        relative = relative[3:]
        path.pop()
    return "/".join([*path, relative])


async def open_list(app: App, address: str, headers: str = "") -> tuple[str, Answer]:
    """Return the address of the media playlist that a master playlist names, and its first answer."""
    master = await ask(app, address, headers=headers)
    assert master.status == 200, master.body
    variant = join(address, master.body.decode().splitlines()[-1])
    return variant, await ask(app, variant, headers=headers)


def uris(answer: Answer) -> list[str]:
    """Return the addresses in a media playlist."""
    return [line for line in answer.body.decode().splitlines() if not line.startswith("#")]


def sent_bytes(stream: Stream) -> int:
    """Bytes that anybody was sent."""
    return stream.shared_bytes + sum(client.sent_bytes for client in stream.clients.values())


async def test_the_master_names_the_same_address_with_a_token(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    address = manifest(sim) + "&quality=720p&label=a%26b%0Ac&fallback=" + "b" * 40
    master = await ask(app, address)
    assert master.headers["content-type"] == "application/vnd.apple.mpegurl"
    assert master.headers["cache-control"] == "private, no-store"
    assert master.headers["access-control-allow-origin"] == "*"
    lines = master.body.decode().splitlines()
    assert lines[0] == "#EXTM3U"
    found = re.fullmatch(r"#EXT-X-STREAM-INF:BANDWIDTH=(\d+),AVERAGE-BANDWIDTH=(\d+),CODECS=.*", lines[2])
    assert found is not None
    assert 500_000 < int(found[2]) < int(found[1]) < 3_000_000
    assert re.fullmatch(
        r"manifest\.m3u8\?id=[0-9a-f]{40}&quality=720p&label=a%26b%0Ac&fallback=b{40}&viewer=[\w-]{12}", lines[3]
    )


@pytest.mark.parametrize("number", [0, 4])
async def test_the_master_tells_what_ffprobe_finds_in_a_segment(sim: Simulator, make_app: MakeApp, number: int) -> None:
    app = await make_app(**QUICK)
    address = manifest(sim, number)
    master = (await ask(app, address)).body.decode().splitlines()
    first = await ask(app, join(address, master[-1]))
    segment = await ask(app, join(address, uris(first)[0]))
    call = [tool("ffprobe"), "-v", "error", "-of", "json", "-show_streams", "-f", "mpegts", "-i", "pipe:0"]
    probed = await asyncio.to_thread(subprocess.run, call, input=segment.body, stdout=subprocess.PIPE, check=True)
    streams = {one["codec_type"]: one for one in json.loads(probed.stdout)["streams"]}
    told = dict(re.findall(r'([A-Z-]+)=("[^"]*"|[^",]+)', master[2].partition(":")[2]))
    assert streams["audio"]["profile"] == "LC"
    if "video" not in streams:
        assert told["CODECS"] == '"mp4a.40.2"'
        assert "RESOLUTION" not in told
        return
    video = streams["video"]
    codes = {"Constrained Baseline": "42", "Main": "4d", "High": "64"}
    avc = re.fullmatch(r'"avc1\.([0-9a-f]{2})[0-9a-f]{2}([0-9a-f]{2}),mp4a\.40\.2"', told["CODECS"])
    assert avc is not None
    assert (avc[1], int(avc[2], 16)) == (codes[video["profile"]], video["level"])
    assert told["RESOLUTION"] == f"{video['width']}x{video['height']}"
    assert float(told["FRAME-RATE"]) == pytest.approx(float(Fraction(video["r_frame_rate"])), abs=0.01)


async def test_lists_and_segments_are_what_a_player_needs(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, first = await open_list(app, manifest(sim))
    assert first.headers["cache-control"] == "private, no-cache"
    playlist, wrong = read(first.body.decode())
    assert wrong == []
    checker = ContinuityChecker()
    for uri in uris(first):
        segment = await ask(app, join(variant, uri))
        assert segment.status == 200
        assert segment.headers["content-type"] == "video/mp2t"
        assert segment.headers["cache-control"] == "public, max-age=86400, immutable"
        assert segment.headers["access-control-allow-origin"] == "*"
        assert int(segment.headers["content-length"]) == len(segment.body)
        assert len(segment.body) % PACKET == 0
        pids = [(segment.body[at + 1] & 0x1F) << 8 | segment.body[at + 2] for at in (0, PACKET, 2 * PACKET)]
        assert pids == [0, 0x1000, 0x100]
        assert segment.body[2 * PACKET + 5] & 0x40  # random_access_indicator
        checker.feed(segment.body)
    assert not checker.errors
    assert playlist.entries


async def test_segments_begin_with_keyframes_also_after_their_length_was_changed(
    sim: Simulator, make_app: MakeApp
) -> None:
    app = await make_app(**QUICK)
    assert (await ask(app, "/api/settings", "PATCH", body=b'{"block_s": 2.5}')).status == 200
    _, answer = await open_list(app, manifest(sim))
    assert answer.status == 200
    assert "#EXT-X-TARGETDURATION:4" in answer.body.decode()
    (stream,) = app.hub.streams
    await until(lambda: len(stream.ring.blocks()) > 4)
    _, *blocks = stream.ring.blocks()
    assert [block.points[0].offset for block in blocks] == [block.start for block in blocks]


async def test_the_same_stream_is_at_a_clean_address_and_ts_shares_it(
    sim: Simulator, make_app: MakeApp, play: Play
) -> None:
    app = await make_app(**QUICK)
    content_id = sim.contents[2].content_id
    viewer, by_link = await open_list(app, manifest(sim))
    clean, by_path = await open_list(app, f"/hls/{content_id}/index.m3u8")
    assert join(viewer, uris(by_link)[0]) in [join(clean, uri) for uri in uris(by_path)]
    assert not uris(by_path)[0].startswith("..")
    ts = await play(app, f"/ace/getstream?id={content_id}")
    await asyncio.wait_for(ts.reader.readexactly(100 * PACKET), 10)
    assert len(sim.playbacks) == 1
    stream = app.hub.find_by_id(content_id)
    assert stream is not None
    assert sorted(client.delivery for client in stream.clients.values()) == ["hls", "hls", "mpegts"]


async def test_a_segment_can_be_had_in_ranges(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, first = await open_list(app, manifest(sim))
    address = join(variant, uris(first)[0])
    whole = (await ask(app, address)).body
    for header, start, stop in (
        ("bytes=0-99", 0, 100),
        ("bytes=100-", 100, len(whole)),
        ("bytes=300-1000", 300, 1001),
        ("bytes=376-376", 376, 377),
        ("bytes=-1000", len(whole) - 1000, len(whole)),
        (f"bytes=500-{len(whole) + 5}", 500, len(whole)),
    ):
        part = await ask(app, address, headers=f"Range: {header}\r\n")
        assert part.status == 206, header
        assert part.headers["content-range"] == f"bytes {start}-{stop - 1}/{len(whole)}"
        assert part.body == whole[start:stop]
    for header in ("bytes=0-1,5-9", "bytes=9-1", "bytes=x-", "lines=1-2", "bytes="):
        assert (await ask(app, address, headers=f"Range: {header}\r\n")).body == whole, header
    for header in (f"bytes={len(whole)}-", "bytes=-0", "bytes=99999999999-"):
        over = await ask(app, address, headers=f"Range: {header}\r\n")
        assert (over.status, over.headers["content-range"]) == (416, f"bytes */{len(whole)}")
        assert over.reason == "range_not_satisfiable"
    etag = (await ask(app, address, "HEAD")).headers["etag"]
    stale = await ask(app, address, headers='Range: bytes=0-9\r\nIf-Range: "other"\r\n')
    assert (stale.status, stale.body) == (200, whole)
    assert (await ask(app, address, headers=f"Range: bytes=0-9\r\nIf-Range: {etag}\r\n")).status == 206


async def test_many_requests_on_one_connection_stay_in_step(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, first = await open_list(app, manifest(sim))
    reader, writer = await asyncio.open_connection("127.0.0.1", app.port)
    lengths = []
    for uri in [*uris(first), *uris(first)]:
        writer.write(f"GET {join(variant, uri)} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        head = (await asyncio.wait_for(reader.readuntil(b"\r\n\r\n"), 30)).decode()
        length = int(head.lower().partition("content-length: ")[2].split()[0])
        body = await asyncio.wait_for(reader.readexactly(length), 30)
        assert body[::PACKET] == b"\x47" * (length // PACKET)
        lengths.append(length)
    assert len(set(lengths[: len(lengths) // 2])) >= 1
    assert lengths[: len(lengths) // 2] == lengths[len(lengths) // 2 :]
    writer.close()


async def test_what_has_not_changed_is_not_sent_again(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    variant, first = await open_list(app, manifest(sim))
    again = await ask(app, variant, headers=f"If-None-Match: {first.headers['etag']}\r\n")
    assert again.status == 304
    assert again.body == b""
    address = join(variant, uris(first)[0])
    etag = (await ask(app, address)).headers["etag"]
    assert (await ask(app, address, headers=f"If-None-Match: {etag}\r\n")).status == 304


async def test_head_and_preflight_start_nothing(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    for address in (manifest(sim), f"/hls/{'a' * 40}/index.m3u8", f"/hls/{'a' * 40}/shared.m3u8"):
        head = await ask(app, address, "HEAD")
        assert (head.status, head.headers["content-type"]) == (200, "application/vnd.apple.mpegurl")
        asked = "Origin: http://elsewhere.example\r\nAccess-Control-Request-Headers: range\r\n"
        preflight = await ask(app, address, "OPTIONS", headers=asked)
        assert preflight.status == 204
        assert preflight.headers["access-control-allow-origin"] == "*"
        assert "Range" in preflight.headers["access-control-allow-headers"]
    assert app.hub.streams == []
    assert sim.playbacks == ()


NONSENSE: list[tuple[str, int, str]] = [
    ("/ace/manifest.m3u8", 400, "no_link"),
    ("/ace/manifest.m3u8?id=" + "z" * 40, 400, "bad_link"),
    ("/ace/manifest.m3u8?url=http://127.0.0.1:1/x", 403, "url_host_refused"),
    (f"/ace/manifest.m3u8?id={'a' * 40}&fallback=nonsense", 400, "bad_link"),
    (f"/hls/{'a' * 40}/index.m3u8?fallback=http://127.0.0.1:1/x", 403, "url_host_refused"),
    ("/ace/manifest.m3u8?viewer=../x&id=" + "a" * 40, 400, "bad_parameter"),
    ("/ace/manifest.m3u8?viewer=" + "a" * 65 + "&id=" + "a" * 40, 400, "bad_parameter"),
    ("/hls/nonsense/index.m3u8", 400, "bad_link"),
    (f"/hls/{'a' * 40}-0/index.m3u8", 400, "bad_link"),
    (f"/hls/{'a' * 40}/0123456789abcdef/1.ts", 404, "segment_gone"),
    (f"/hls/{'a' * 40}/0123456789abcdef/{'9' * 30}.ts", 404, "segment_gone"),
    (f"/hls/{'a' * 40}/0123456789abcdef/-1.ts", 404, "segment_gone"),
    (f"/hls/{'a' * 40}/0123456789abcdef/%D9%A1.ts", 404, "segment_gone"),
]


async def test_nonsense_is_refused_with_its_reason_also_to_pages_elsewhere(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    for address, status, reason in NONSENSE:
        answer = await ask(app, address)
        assert (answer.status, answer.reason) == (status, reason), address
        assert answer.headers["access-control-allow-origin"] == "*"
    assert sim.playbacks == ()


async def test_a_start_that_fails_says_why(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(start_timeout_s=2.0)
    answer = await ask(app, f"/ace/manifest.m3u8?id={'f' * 40}")
    assert (answer.status, answer.reason) == (404, "content_not_found")
    assert app.hub.client_count == 0


async def test_a_segment_of_another_stream_or_run_is_none(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, first = await open_list(app, manifest(sim))
    address = join(variant, uris(first)[0])
    own, _, rest = address.removeprefix("/hls/").partition("/")
    assert (await ask(app, f"/hls/{'b' * 40}/{rest}")).reason == "segment_gone"
    generation, _, name = rest.partition("/")
    assert (await ask(app, f"/hls/{own}/{generation[:-1]}x/{name}")).reason == "segment_gone"
    number = int(name.removesuffix(".ts"))
    assert (await ask(app, f"/hls/{own}/{generation}/{number + 50}.ts")).reason == "segment_gone"
    assert (await ask(app, address)).status == 200


async def test_a_viewer_is_a_client_and_leaves_by_silence(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK, hls_silence_s=1.0, linger_s=0.1)
    agent = "User-Agent: TV/1.0\r\n"
    variant, first = await open_list(app, manifest(sim), agent)
    segment = await ask(app, join(variant, uris(first)[0]), headers=agent)
    stream = app.hub.streams[0]
    snapshot = (await ask(app, f"/api/aceproxy/streams/{stream.stream_id}")).json["stream"]
    client = snapshot["clients"][0]
    assert snapshot["client_count"] == 1
    assert (client["agent"], client["protocol"]) == ("TV/1.0", "hls")
    assert client["sent_bytes"] == len(segment.body)
    assert snapshot["outbound_bytes"] == len(segment.body)
    await until(lambda: not app.hub.streams)
    assert stream.ended_clients[0].reason == Reason.CLIENT_SILENT
    assert stream.close_reason is Reason.LINGER_OVER


async def test_a_master_that_nobody_followed_is_no_viewer_for_long(
    sim: Simulator, make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aceproxy.hls.desk.UNFOLLOWED_S", 0.5)
    app = await make_app(**QUICK)
    assert (await ask(app, manifest(sim))).status == 200
    variant, _ = await open_list(app, manifest(sim))
    assert app.hub.client_count == 2
    await until(lambda: app.hub.client_count == 1)
    assert (await ask(app, variant)).status == 200
    assert app.hub.client_count == 1


async def test_bytes_that_nobody_is_known_for_count_for_the_stream(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, first = await open_list(app, manifest(sim), "User-Agent: one\r\n")
    segment = await ask(app, join(variant, uris(first)[0]), headers="User-Agent: other\r\n")
    stream = app.hub.streams[0]
    assert stream.shared_bytes == len(segment.body)
    sums = (await ask(app, "/api/aceproxy/stats")).json
    assert sums["outbound_bytes"] == len(segment.body)
    stream.close(Reason.STOPPED)
    assert (await ask(app, "/api/aceproxy/stats")).json["outbound_bytes"] == len(segment.body)


async def test_a_kicked_viewer_gets_no_list_and_a_new_one_does(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, _ = await open_list(app, manifest(sim))
    stream = app.hub.streams[0]
    (client_id,) = stream.clients
    kick = await ask(app, f"/api/aceproxy/streams/{stream.stream_id}/clients/{client_id}", "DELETE")
    assert kick.status == 200
    refused = await ask(app, variant)
    assert (refused.status, refused.reason) == (403, "kicked")
    assert (await open_list(app, manifest(sim)))[1].status == 200


async def test_the_operators_stop_holds_against_players_that_ask_again(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    variant, _ = await open_list(app, manifest(sim))
    app.hub.streams[0].close(Reason.STOPPED)
    assert (await ask(app, variant)).reason == "stopped"
    assert app.hub.streams == []


async def test_a_viewer_that_is_not_known_goes_on_with_its_address(sim: Simulator, make_app: MakeApp) -> None:
    """After a long pause, or when the program was started anew."""
    app = await make_app(**QUICK, linger_s=0.1)
    variant, first = await open_list(app, manifest(sim))
    app.hub.streams[0].close(Reason.SOURCE_ENDED)
    assert app.hub.streams == []
    again = await ask(app, variant)
    assert again.status == 200
    old, new = read(first.body.decode())[0], read(again.body.decode())[0]
    assert new.entries[0].number > old.entries[0].number
    assert new.breaks_before > old.breaks_before
    assert uris(again)[0] != uris(first)[0]
    assert (await ask(app, join(variant, uris(again)[-1]))).status == 200
    assert (await ask(app, join(variant, uris(first)[-1]))).status == 200  # what was listed can still be had


async def test_a_viewer_that_finds_another_stream_at_its_address_sees_numbers_go_on(
    sim: Simulator, make_app: MakeApp
) -> None:
    """Its own has ended, and the broadcast plays as the fallback of another link by now, whose numbers are lower."""
    app = await make_app(**QUICK, linger_s=30.0)
    variant, first = await open_list(app, manifest(sim))
    app.hub.streams[0].close(Reason.SOURCE_ENDED)
    older = f"/ace/manifest.m3u8?id={'ab' * 20}&fallback={sim.contents[2].content_id}"
    asking = asyncio.create_task(open_list(app, older))
    await until(lambda: bool(app.hub.streams))
    app.hub.streams[0].life.created_utc -= timedelta(minutes=90)
    other, others = await asking
    again = await ask(app, variant)
    assert [stream.stream_id for stream in app.hub.streams] == ["ab" * 20]
    old, (new, wrong) = read(first.body.decode())[0], read(again.body.decode())
    assert not wrong
    assert new.entries[0].number > old.entries[-1].number > read(others.body.decode())[0].entries[-1].number
    assert new.breaks_before > old.breaks_before
    assert (await ask(app, join(variant, uris(again)[-1]))).status == 200
    later = read((await ask(app, variant)).body.decode())[0]
    numbers = {entry.uri: entry.number for entry in new.entries}
    assert all(numbers.get(entry.uri, entry.number) == entry.number for entry in later.entries)
    assert join(other, uris(others)[-1]) in {join(variant, uri) for uri in uris(again)}, "the segments are shared"
    for stream in app.hub.streams:
        for client in list(stream.clients.values()):
            stream.end_client(client, Reason.CLIENT_SILENT)
    back = read((await ask(app, variant)).body.decode())[0]
    assert all(numbers.get(entry.uri, entry.number) == entry.number for entry in back.entries), "after a pause as well"
    assert back.breaks_before == new.breaks_before


def blocks_held() -> int:
    """Return how many blocks are in memory."""
    return sum(isinstance(one, Block) for one in gc.get_objects())


async def test_what_was_listed_is_let_go_of_after_a_while_though_no_cycles_are_collected(
    sim: Simulator, make_app: MakeApp
) -> None:
    gc.collect()
    before = blocks_held()
    app = await make_app(**QUICK, hls_segments=3, ring_s=3.0)
    gc.disable()
    try:
        address, answer = await open_list(app, manifest(sim))
        segment = join(address, uris(answer)[-1])
        assert blocks_held() > before
        await ask(app, f"/api/aceproxy/streams/{sim.contents[2].content_id}", "DELETE")
        assert (await ask(app, segment)).status == 200  # for as long as the list was
        await until(lambda: blocks_held() == before)
        assert (await ask(app, segment)).reason == Reason.SEGMENT_GONE
    finally:
        gc.enable()


async def test_two_requests_of_one_viewer_at_once_are_one_client(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    both = await asyncio.gather(*(ask(app, manifest(sim) + "&viewer=same") for _ in range(5)))
    assert [answer.status for answer in both] == [200] * 5
    assert app.hub.client_count == 1


async def test_a_player_that_leaves_while_it_waits_is_no_client(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(linger_s=0.1)
    _, writer = await asyncio.open_connection("127.0.0.1", app.port)
    writer.write(f"GET {manifest(sim)} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
    await until(lambda: app.hub.streams)
    writer.transport.abort()
    await until(lambda: not app.hub.streams)
    assert app.hub.counters.clients_served == 0


async def test_the_shared_list_is_one_client_and_may_be_cached(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK)
    address = f"/hls/{sim.contents[2].content_id}/shared.m3u8"
    answers = await asyncio.gather(*(ask(app, address, headers=f"User-Agent: {n}\r\n") for n in range(20)))
    assert {answer.status for answer in answers} == {200}
    assert answers[0].headers["cache-control"] == "public, max-age=1"
    assert app.hub.client_count == 1
    assert read(answers[0].body.decode())[1] == []


async def test_a_player_that_breaks_off_is_no_fault_and_what_it_took_is_counted(
    sim: Simulator, make_app: MakeApp, caplog: pytest.LogCaptureFixture
) -> None:
    app = await make_app(block_s=2.0)
    variant, first = await open_list(app, manifest(sim, 0))
    stream = app.hub.streams[0]
    blocks = stream.ring.blocks()
    for _ in range(20):
        _, writer = await asyncio.open_connection("127.0.0.1", app.port, limit=2048)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        writer.write(f"GET {join(variant, uris(first)[0])} HTTP/1.1\r\nHost: test\r\n\r\n".encode())
        before = sent_bytes(stream)
        await until(partial(lambda least: sent_bytes(stream) > least, before))
        writer.transport.abort()
    runner = app.server._runner.server
    assert runner is not None
    await until(lambda: not runner.connections)
    assert [record.message for record in caplog.records if record.levelname in ("WARNING", "ERROR")] == []
    assert stream.clients
    assert blocks


async def test_too_many_clients_counts_hls_as_well(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK, max_clients=1)
    await open_list(app, manifest(sim))
    refused = await ask(app, manifest(sim))
    assert (refused.status, refused.reason) == (503, "too_many_clients")


async def test_a_player_that_takes_no_byte_of_a_segment_is_cut_off(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(client_stall_s=0.5, block_s=2.0)
    variant, first = await open_list(app, manifest(sim, 0))
    address = join(variant, uris(first)[0])
    connections = []
    for _ in range(3):
        reader, writer = await asyncio.open_connection("127.0.0.1", app.port, limit=2048)
        writer.transport.pause_reading()  # type: ignore[attr-defined]  # a socket's transport has it
        request = f"GET {address} HTTP/1.1\r\nHost: test\r\n\r\n"
        writer.write(request.encode() * 12)  # more than all buffers on the way hold
        connections.append((reader, writer))
    runner = app.server._runner.server
    assert runner is not None
    await until(lambda: len(runner.connections) >= 3)
    await until(lambda: len(runner.connections) == 0, 15)
    assert (await ask(app, address)).status == 200
    for _, writer in connections:
        writer.close()


@pytest.mark.parametrize("path", ["/content_id/{0}/stream.m3u8", "/stream/{0}.m3u8", "/pid/{0}/x/y.m3u8"])
async def test_other_spellings_of_an_address_lead_to_lists_that_can_be_followed(
    sim: Simulator, make_app: MakeApp, path: str
) -> None:
    app = await make_app(**QUICK)
    address = path.format(sim.contents[2].content_id)
    variant, first = await open_list(app, address)
    assert (first.status, read(first.body.decode())[1]) == (200, [])
    assert variant.startswith(address)
    assert (await ask(app, join(variant, uris(first)[0]))).status == 200


async def test_a_recording_is_no_list(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app()
    film = next(number for number, content in enumerate(sim.contents) if not content.live)
    refused = await ask(app, manifest(sim, film))
    assert refused.reason == "recording"
    assert app.hub.client_count == 0


async def test_a_players_token_stays_in_its_lists_and_segments_need_none(sim: Simulator, make_app: MakeApp) -> None:
    app = await make_app(**QUICK, trusted_networks=["198.51.100.0/24"])
    assert (await ask(app, manifest(sim))).status == 401
    made = await ask(app, "/api/tokens", "POST", body=b'{"name": "tv", "max_clients": 1}')
    token = made.json["token"]
    variant, first = await open_list(app, f"{manifest(sim)}&token={token}")
    assert f"token={token}" in variant
    assert first.status == 200
    assert (await ask(app, variant.replace(token, "x" + token[1:]))).status == 401
    address = join(variant, uris(first)[0])
    assert token not in address
    assert (await ask(app, address)).status == 200
    stream = app.hub.streams[0]
    assert [client.ticket is not None for client in stream.clients.values()] == [True]
    revoked = await ask(app, f"/api/tokens/{made.json['details']['token_id']}", "DELETE")
    assert revoked.status == 200
    assert (await ask(app, variant)).status == 401
    assert stream.clients == {}
    assert (await ask(app, address)).status == 200  # what it has been told of is there for as long as it is listed

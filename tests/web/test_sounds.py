"""Sound as AAC: one ffmpeg for all who want it, with the pictures as they are."""

from __future__ import annotations

import asyncio
import hashlib
import itertools
import json
import os
import posixpath
import re
import signal
import subprocess
import sys
import urllib.request
from collections.abc import Awaitable, Callable, Iterator
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.streams import derived
from aceproxy.streams.derived import TranscodingSupply
from aceproxy.streams.states import State
from tests.conftest import Answer, MakeApp, ask
from tests.system.fake_engine import FakeEngine, Film
from tests.system.programs import Program, tool, wait_for
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]

MEDIA_S = 40
AGENT = "User-Agent: Mozilla/5.0 (X11; Linux x86_64)\r\n"


def make_media(folder: Path, codec: str, *, video: str = "mpeg2video") -> bytes:
    """Return a broadcast with small pictures that are all different and a sound of this codec."""
    path = folder / f"{codec}.ts"
    command = [
        *(tool("ffmpeg"), "-nostdin", "-loglevel", "error", "-y"),
        *("-f", "lavfi", "-i", f"testsrc2=size=320x180:rate=25:duration={MEDIA_S}"),
        *("-f", "lavfi", "-i", f"sine=frequency=440:beep_factor=2:sample_rate=48000:duration={MEDIA_S}"),
        *(
            "-map",
            "0:v",
            "-map",
            "1:a",
            "-c:v",
            video,
            "-pix_fmt",
            "yuv420p",
            "-b:v",
            "700k",
            "-g",
            "12",
            "-c:a",
            codec,
            "-b:a",
            "128k",
        ),
        *("-metadata:s:a:0", "language=spa", "-f", "mpegts", str(path)),
    ]
    subprocess.run(command, check=True, timeout=60)
    return path.read_bytes()


@pytest.fixture(scope="module")
def media(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A broadcast with AC-3."""
    return make_media(tmp_path_factory.mktemp("sounds"), "ac3")


@pytest.fixture
def engine() -> Iterator[FakeEngine]:
    """An engine that sends what a test gives it."""
    engine = FakeEngine()
    yield engine
    engine.stop()


@pytest.fixture
def film(engine: FakeEngine, media: bytes) -> Film:
    """The first half of the broadcast; the second comes when it is released."""
    return engine.add(media, len(media) // 2 // 188 * 188)


async def read(answer: Answer, count: int) -> bytes:
    """Return that many bytes of a stream."""
    async with asyncio.timeout(30):
        return await answer.reader.readexactly(count)


def probed(content: bytes, *arguments: str) -> Any:
    """Return what ffprobe says about a stretch of a stream."""
    command = [tool("ffprobe"), "-v", "error", "-of", "json", *arguments, "-f", "mpegts", "-i", "pipe:0"]
    return json.loads(subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True, timeout=60).stdout)


def pictures(content: bytes) -> dict[int, str]:
    """Return the hash of each picture's coded bytes by its time stamp."""
    packets = probed(content, "-select_streams", "v", "-show_packets", "-show_data_hash", "md5")["packets"]
    return {int(one["pts"]): one["data_hash"] for one in packets if "pts" in one}


def transcoders(parent: int | None = None) -> list[int]:
    """Return the ids of the ffmpeg processes that are children of this process, or of another one."""
    found = []
    for entry in Path("/proc").glob("[0-9]*/stat"):
        try:
            before, _, after = entry.read_text().rpartition(")")
        except OSError:
            continue
        state, parent_id = after.split()[:2]
        if int(parent_id) == (parent or os.getpid()) and before.endswith("(ffmpeg") and state != "Z":
            found.append(int(entry.parent.name))
    return found


async def test_two_clients_share_one_transcoder_and_a_third_has_the_sound_as_it_is(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film, media: bytes
) -> None:
    app = await make_app(engines=[engine.url], burst_s=30)
    plain = await play(app, f"/ace/getstream?infohash={film.infohash}")
    first = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    second = await play(app, f"/infohash/{film.infohash}/stream.ts?audio=aac")
    assert (plain.status, first.status, second.status) == (200, 200, 200)
    count = 900_000
    got, again, original = await asyncio.gather(read(first, count), read(second, count), read(plain, count))
    assert len(transcoders()) == 1
    assert len([one for one in engine.asked if "getstream" in one]) == 1

    streams = await asyncio.to_thread(probed, got, "-show_streams")
    sound = [one for one in streams["streams"] if one["codec_type"] == "audio"]
    assert [one["codec_name"] for one in sound] == ["aac"]
    assert sound[0]["tags"]["language"] == "spa"
    assert original in media
    sent, copied = await asyncio.to_thread(pictures, media), await asyncio.to_thread(pictures, got)
    assert len(copied) > 120
    whole = sorted(copied)[:-2]  # the last ones are cut off
    assert {at: copied[at] for at in whole} == {at: sent.get(at) for at in whole}
    assert (await asyncio.to_thread(pictures, again)).keys() == copied.keys()

    shown = (await ask(app, "/api/aceproxy/streams")).json["streams"]
    assert [(one["derived_from"], one["client_count"]) for one in shown] == [(None, 1), (film.infohash, 2)]
    assert [one["codec"] for one in shown[1]["codecs"] if one["kind"] == "audio"] == ["aac"]


def beeps(content: bytes) -> list[float]:
    """Return when the loud beeps of the sound begin, by its time stamps, in seconds."""
    command = [
        *(tool("ffmpeg"), "-nostdin", "-v", "error", "-copyts", "-f", "mpegts", "-i", "pipe:0", "-map", "0:a"),
        *("-af", "highpass=f=700:poles=2,highpass=f=700:poles=2,astats=metadata=1:reset=1,"),
    ]
    command[-1] += "ametadata=print:key=lavfi.astats.Overall.RMS_level:file=-"
    command += ["-f", "null", "-"]
    done = subprocess.run(command, input=content, stdout=subprocess.PIPE, check=True, timeout=60)
    starts, loud, at = [], True, 0.0
    for line in done.stdout.decode().splitlines():
        if "pts_time:" in line:
            at = float(line.rpartition("pts_time:")[2])
        elif "RMS_level=" in line:
            level = float(line.rpartition("=")[2].replace("-inf", "-200"))
            if level > -35 and not loud:
                starts.append(at)
            loud = level > -35
    return starts


async def test_sound_stays_with_the_pictures(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film, media: bytes
) -> None:
    app = await make_app(engines=[engine.url], burst_s=30)
    answer = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    got = await read(answer, 900_000)
    before, after = await asyncio.to_thread(beeps, media), await asyncio.to_thread(beeps, got)
    after = [one for one in after if one > before[0] - 0.5]  # the broadcast itself begins with one
    assert len(after) >= 5
    assert all(min(abs(one - other) for other in before) < 0.1 for one in after), (before, after)


async def test_a_killed_transcoder_is_replaced_and_the_pictures_go_on(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film, media: bytes
) -> None:
    app = await make_app(engines=[engine.url], burst_s=30)
    answer = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    got = await read(answer, 600_000)
    (pid,) = transcoders()
    os.kill(pid, signal.SIGKILL)
    film.release.set()
    stream = app.hub.find_by_id(f"{film.infohash}-aac")
    assert stream is not None
    await until(lambda: stream.recoveries == 1, 30)
    assert stream.state is State.LIVE
    got += await read(answer, 1_800_000)
    assert len(transcoders()) == 1
    assert pid not in transcoders()
    sent, copied = await asyncio.to_thread(pictures, media), await asyncio.to_thread(pictures, got)
    whole = sorted(copied)[:-2]
    steps = {after - before for before, after in itertools.pairwise(whole)}
    assert steps == {3600}, "every picture once, none missing"
    assert sum(copied[at] != sent.get(at) for at in whole) <= 1
    kinds = {event.kind for event in stream.timeline.events()}
    assert {"source_lost", "recovered"} <= kinds


async def test_nothing_is_left_when_the_last_client_has_gone(make_app: MakeApp, engine: FakeEngine, film: Film) -> None:
    app = await make_app(engines=[engine.url], linger_s=0.2)
    answer = await ask(app, f"/ace/getstream?infohash={film.infohash}&audio=aac", stream=True)
    await read(answer, 1000)
    assert len(transcoders()) == 1
    answer.close()
    await until(lambda: not app.hub.streams and not transcoders(), 15)
    assert [one.reason for one in app.hub.ended] == ["linger_over", "linger_over"]


async def test_it_begins_also_where_no_stream_without_clients_is_kept(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film
) -> None:
    app = await make_app(engines=[engine.url], burst_s=30, max_lingering=0)
    player = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    assert player.status == 200, player.body
    assert len(await read(player, 100_000)) == 100_000


async def test_it_ends_with_the_stream_it_is_made_of(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film
) -> None:
    app = await make_app(engines=[engine.url])
    answer = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    await read(answer, 1000)
    await ask(app, f"/api/aceproxy/streams/{film.infohash}", "DELETE")
    async with asyncio.timeout(10):
        await answer.reader.read()
    await until(lambda: not app.hub.streams and not transcoders())


async def test_a_transcoder_that_ends_again_and_again_is_given_up(
    make_app: MakeApp, engine: FakeEngine, film: Film, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    broken = tmp_path / "ffmpeg"
    broken.write_text("#!/bin/sh\necho nothing can be done >&2\nexit 3\n")
    broken.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:{os.environ['PATH']}")
    app = await make_app(engines=[engine.url])
    answer = await ask(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    assert (answer.status, answer.reason) == (502, "transcoder_failed")
    assert "status 3" in answer.json["error"]["message"]
    assert any("nothing can be done" in record.message for record in app.logs.ring.tail(100))


async def test_hls_has_the_sound_too(make_app: MakeApp, engine: FakeEngine, film: Film) -> None:
    app = await make_app(engines=[engine.url], burst_s=30)
    master = await ask(app, f"/ace/manifest.m3u8?infohash={film.infohash}&audio=aac")
    assert master.status == 200
    address = master.body.decode().splitlines()[-1]
    assert "audio=aac" in address
    listed = await ask(app, f"/ace/{address}")
    segment = next(line for line in listed.body.decode().splitlines() if line.endswith(".ts"))
    assert f"/{film.infohash}-aac/" in segment
    got = await ask(app, "/" + segment.removeprefix("../"))
    streams = (await asyncio.to_thread(probed, got.body, "-show_streams"))["streams"]
    assert {one["codec_name"] for one in streams} == {"mpeg2video", "aac"}


async def codecs_of_list(app: App, address: str) -> tuple[str, set[str]]:
    """Return the address of a list's first segment, and what is in it."""
    listed = await ask(app, address)
    assert listed.status == 200, listed.body
    segment = next(line for line in listed.body.decode().splitlines() if line.endswith(".ts"))
    segment = posixpath.normpath(posixpath.join(posixpath.dirname(address), segment))
    got = await ask(app, segment)
    streams = (await asyncio.to_thread(probed, got.body, "-show_streams"))["streams"]
    return segment, {one["codec_name"] for one in streams}


async def test_a_shared_list_with_aac_has_an_address_of_its_own(
    make_app: MakeApp, engine: FakeEngine, film: Film
) -> None:
    app = await make_app(engines=[engine.url], burst_s=30)
    refused = await ask(app, f"/hls/{film.infohash}/shared.m3u8?audio=aac")
    assert (refused.status, refused.reason) == (400, "bad_parameter")
    assert f"{film.infohash}-aac/shared.m3u8" in refused.json["error"]["message"]
    assert not engine.asked
    segment, codecs = await codecs_of_list(app, f"/hls/{film.infohash}-aac/shared.m3u8")
    assert segment.startswith(f"/hls/{film.infohash}-aac/")
    assert codecs == {"mpeg2video", "aac"}
    _, codecs = await codecs_of_list(app, f"/hls/{film.infohash}/shared.m3u8")
    assert codecs == {"mpeg2video", "ac3"}
    await codecs_of_list(app, f"/hls/{film.infohash}-aac/shared.m3u8")
    assert len(transcoders()) == 1
    master = await ask(app, f"/hls/{film.infohash}-aac/index.m3u8")
    assert master.status == 200


@pytest.mark.parametrize("path", ["getstream", "manifest.m3u8"])
async def test_a_playback_session_has_the_sound_that_its_start_asked_for(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film, path: str
) -> None:
    app = await make_app(engines=[engine.url], burst_s=30)
    start = f"/ace/{path}?infohash={film.infohash}&format=json"
    told = (await ask(app, f"{start}&audio=aac")).json["response"]
    address = urlsplit(told["playback_url"]).path
    if path == "getstream":
        got = await read(await play(app, address), 400_000)
        streams = (await asyncio.to_thread(probed, got, "-show_streams"))["streams"]
        assert {one["codec_name"] for one in streams} == {"mpeg2video", "aac"}
        original = (await ask(app, start)).json["response"]  # the same player wants it otherwise now
        got = await read(await play(app, urlsplit(original["playback_url"]).path), 400_000)
        streams = (await asyncio.to_thread(probed, got, "-show_streams"))["streams"]
        assert {one["codec_name"] for one in streams} == {"mpeg2video", "ac3"}
    else:
        _, codecs = await codecs_of_list(app, address)
        assert codecs == {"mpeg2video", "aac"}
    bad = await ask(app, f"{start}&audio=mp3")
    assert "audio is aac or original" in bad.json["error"]


async def test_head_says_what_get_would_say_of_the_sound(
    make_app: MakeApp, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app(engines=[engine.url])
    digits = hashlib.sha1(b"any", usedforsecurity=False).hexdigest()
    paths = [f"/ace/getstream?infohash={digits}&audio=", f"/ace/manifest.m3u8?infohash={digits}&audio="]
    paths += [f"/infohash/{digits}/stream.ts?audio=", f"/infohash/{digits}/list.m3u8?audio="]
    for path in paths:
        assert [(await ask(app, path + sound, "HEAD")).status for sound in ("mp3", "original")] == [400, 200]
    monkeypatch.setenv("PATH", "/nonexistent")
    for path in paths:
        assert (await ask(app, f"{path}aac", "HEAD")).status == 501
    assert not [one for one in engine.asked if "getstream" in one]


async def test_the_sound_of_a_recording_is_not_changed_and_that_is_said(make_app: MakeApp, sim: Simulator) -> None:
    tool("ffmpeg")
    app = await make_app(engines=[sim.url], audio_aac_agents=["browsers"])
    recorded = next(content for content in sim.contents if not content.live)
    target = f"/ace/getstream?id={recorded.content_id}"
    for _ in range(2):  # at first contact, and when it is known to be a recording
        refused = await ask(app, f"{target}&audio=aac")
        assert (refused.status, refused.reason) == (501, "recording")
        assert "leave audio=aac away" in refused.json["error"]["message"]
    assert (await ask(app, f"{target}&audio=aac", "HEAD")).status == 501
    assert "audio=aac" in (await ask(app, f"{target}&audio=aac&format=json")).json["error"]
    assert (await ask(app, target, headers=f"{AGENT}Range: bytes=0-9\r\n")).status == 206


async def test_every_sound_track_becomes_aac_with_its_language(
    make_app: MakeApp, play: Play, engine: FakeEngine, media: bytes, tmp_path: Path
) -> None:
    (tmp_path / "one.ts").write_bytes(media)
    call = [tool("ffmpeg"), "-nostdin", "-v", "error", "-i", str(tmp_path / "one.ts"), "-map", "0:v", "-map", "0:a"]
    call += ["-map", "0:a", "-c", "copy", "-c:a:1", "mp2", "-metadata:s:a:1", "language=ita", str(tmp_path / "two.ts")]
    await asyncio.to_thread(subprocess.run, call, check=True, timeout=60)
    several = (tmp_path / "two.ts").read_bytes()
    film = engine.add(several, len(several) // 2 // 188 * 188)
    app = await make_app(engines=[engine.url], burst_s=30)
    got = await read(await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac"), 600_000)
    streams = (await asyncio.to_thread(probed, got, "-show_streams"))["streams"]
    sounds = [(one["codec_name"], one["tags"]["language"]) for one in streams if one["codec_type"] == "audio"]
    assert sounds == [("aac", "spa"), ("aac", "ita")]
    assert len(transcoders()) == 1


@pytest.mark.parametrize("sound", [["-c:a", "mp2", "-metadata:s:a:0", "language=ita"], ["-an"]])
async def test_when_the_broadcast_goes_on_with_another_encoding_the_transcoder_begins_anew(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film, tmp_path: Path, sound: list[str]
) -> None:
    call = [tool("ffmpeg"), "-nostdin", "-v", "error", "-f", "lavfi", "-i", "testsrc=size=352x288:rate=25:duration=20"]
    call += ["-f", "lavfi", "-i", "sine=frequency=900:sample_rate=44100:duration=20", "-c:v", "mpeg2video", "-g", "12"]
    call += [*sound, "-streamid", "0:300", "-f", "mpegts", str(tmp_path / "other.ts")]
    await asyncio.to_thread(subprocess.run, call, check=True, timeout=60)
    app = await make_app(engines=[engine.url], burst_s=30, retry_first_s=0.1, splice_wait_s=0.5)
    answer = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    got = await read(answer, 300_000)
    made = app.hub.find_by_id(f"{film.infohash}-aac")
    parent = app.hub.find_by_id(film.infohash)
    assert made is not None
    assert parent is not None
    film.media = (tmp_path / "other.ts").read_bytes()
    film.hold_at = len(film.media)
    film.release.set()
    film.close.set()  # the engine ends the playback; the next one is of the other encoding
    await until(lambda: parent.recoveries >= 1, 30)
    film.close.clear()
    await until(lambda: made.recoveries >= 1, 30)  # though the player reads nothing meanwhile
    assert made.state is State.LIVE
    while (352, 288) not in sizes(got):
        got += await asyncio.wait_for(answer.reader.read(1 << 18), 30)
    assert (320, 180) in sizes(got)
    assert len(transcoders()) == 1


def sizes(content: bytes) -> set[tuple[int, int]]:
    """Return the sizes of pictures that the sequence headers of MPEG-2 video tell (ISO/IEC 13818-2, 6.2.2.1)."""
    found = (content[at.end() : at.end() + 3] for at in re.finditer(rb"\x00\x00\x01\xb3", content))
    return {(one[0] << 4 | one[1] >> 4, (one[1] & 15) << 8 | one[2]) for one in found if len(one) == 3}


async def test_without_ffmpeg_the_answer_says_what_is_missing(
    make_app: MakeApp, engine: FakeEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    app = await make_app(engines=[engine.url], audio_aac_agents=["browsers"])
    monkeypatch.setenv("PATH", "/nonexistent")
    digits = hashlib.sha1(b"any", usedforsecurity=False).hexdigest()
    for path in ("/ace/getstream?infohash=", "/ace/manifest.m3u8?infohash="):
        answer = await ask(app, f"{path}{digits}&audio=aac")
        assert (answer.status, answer.reason) == (501, "no_transcoder")
        assert "ffmpeg is installed" in answer.json["error"]["message"]
    assert not app.hub.streams
    browser = await ask(app, f"/ace/getstream?infohash={digits}", headers=AGENT)
    assert browser.reason != "no_transcoder", "who did not ask gets the sound as it is"


async def test_another_sound_is_refused_at_once(make_app: MakeApp, engine: FakeEngine, film: Film) -> None:
    app = await make_app(engines=[engine.url])
    answer = await ask(app, f"/ace/getstream?infohash={film.infohash}&audio=mp3")
    assert (answer.status, answer.reason) == (400, "bad_parameter")
    assert not engine.asked


async def test_players_on_the_list_get_aac_without_asking_unless_they_refuse(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film
) -> None:
    tool("ffmpeg")
    app = await make_app(engines=[engine.url], audio_aac_agents=["browsers"])
    target = f"/ace/getstream?infohash={film.infohash}"
    for extra, headers in (("", ""), ("&audio=original", AGENT), ("", AGENT)):
        assert not transcoders()
        answer = await ask(app, target + extra, headers=headers, stream=True)
        await read(answer, 1000)
        is_listed = headers and not extra
        assert len(transcoders()) == bool(is_listed)
        answer.close()


async def test_beyond_the_limit_who_asks_is_refused_and_who_did_not_gets_the_sound_as_it_is(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film
) -> None:
    tool("ffmpeg")
    app = await make_app(engines=[engine.url], audio_aac_agents=["browsers"], max_transcoders=0)
    answer = await ask(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    assert (answer.status, answer.reason) == (503, "transcoders_busy")
    browser = await ask(app, f"/ace/getstream?infohash={film.infohash}", headers=AGENT, stream=True)
    assert browser.status == 200
    browser.close()


async def test_sound_that_is_aac_already_is_left_alone(
    make_app: MakeApp, play: Play, engine: FakeEngine, tmp_path: Path
) -> None:
    media = make_media(tmp_path, "aac")
    film = engine.add(media, len(media) // 2 // 188 * 188)
    app = await make_app(engines=[engine.url])
    answer = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    assert await read(answer, 188 * 1000) in media
    assert not transcoders()
    assert len(app.hub.streams) == 1


async def test_a_transcoder_that_makes_nothing_of_a_running_broadcast_is_replaced(
    make_app: MakeApp, play: Play, engine: FakeEngine, film: Film, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(derived, "SILENT_S", 0.5)
    app = await make_app(engines=[engine.url], burst_s=30)
    answer = await play(app, f"/ace/getstream?infohash={film.infohash}&audio=aac")
    await read(answer, 300_000)
    (pid,) = transcoders()
    os.kill(pid, signal.SIGSTOP)
    film.release.set()
    stream = app.hub.find_by_id(f"{film.infohash}-aac")
    assert stream is not None
    assert isinstance(stream.supply, TranscodingSupply)
    await until(lambda: stream.recoveries >= 1, 30)
    await until(lambda: pid not in transcoders())


def test_no_transcoder_outlives_a_proxy_that_was_killed(engine: FakeEngine, film: Film, tmp_path: Path) -> None:
    tool("ffmpeg")
    proxy = Program(
        [sys.executable, "-m", "aceproxy", "serve", "--listen", "127.0.0.1:0", "--engine", engine.url], tmp_path
    )
    try:
        port = proxy.find(r"serves on port (\d+)")
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/ace/getstream?infohash={film.infohash}&audio=aac") as got:
            got.read(1000)
            (pid,) = transcoders(proxy.pid)
            proxy.process.kill()
        wait_for(lambda: not Path(f"/proc/{pid}").exists(), "the end of ffmpeg")
    finally:
        proxy.end()

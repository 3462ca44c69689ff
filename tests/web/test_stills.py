"""Stills: what they show, how often they are made, and what happens where none can be made."""

from __future__ import annotations

import asyncio
import io
import stat
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any

import av
import pytest

from aceproxy.app import App
from aceproxy.simulator import Simulator
from aceproxy.streams.block import JoinPoint
from aceproxy.streams.ring import Ring, RingLimits
from aceproxy.web import still_maker
from tests.conftest import Answer, MakeApp, ask
from tests.system.programs import tool
from tests.waiting import until

Play = Callable[[App, str], Awaitable[Answer]]
LIMITS = RingLimits(block_s=2.0, block_bytes=1 << 20, ring_s=30.0, ring_bytes=8 << 20, burst_s=3.0)


async def playing(app: App, play: Play, link: str) -> str:
    """Start a stream and wait until it holds a whole keyframe."""
    assert (await play(app, f"/ace/getstream?id={link}")).status == 200
    stream = app.hub.find_by_id(link)
    assert stream is not None
    await until(lambda: still_maker.newest_keyframe(stream.ring) is not None and stream.ring.held_bytes > 1 << 19)
    return f"/api/aceproxy/streams/{link}/still.jpg"


def programs_in(folder: Path, monkeypatch: pytest.MonkeyPatch, script: str) -> Path:
    """Put a program called ffmpeg, and no other, on the path; returns where it notes that it ran."""
    ran = folder / "ran"
    program = folder / "ffmpeg"
    program.write_text(f"#!/bin/sh\necho x >> {ran}\n{script}\n")
    program.chmod(program.stat().st_mode | stat.S_IXUSR)
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return ran


async def test_a_still_shows_the_newest_keyframe(sim: Simulator, make_app: MakeApp, play: Play) -> None:
    tool("ffmpeg")
    app = await make_app()
    path = await playing(app, play, sim.contents[0].content_id)
    answer = await ask(app, path)
    assert answer.status == 200
    assert answer.headers["content-type"] == "image/jpeg"
    with av.open(io.BytesIO(answer.body), "r", "mjpeg") as picture:
        frame = next(picture.decode(video=0))
    assert (frame.width, frame.height) == (480, 270)
    grey = bytes(frame.reformat(format="gray").planes[0])
    assert max(grey) - min(grey) > 150  # the clock's coloured bars, not a grey field


async def test_a_still_is_made_once_for_all_who_ask(
    sim: Simulator, make_app: MakeApp, play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ran = programs_in(tmp_path, monkeypatch, "cat > /dev/null; sleep 0.3; printf '\\377\\330 picture'")
    app = await make_app()
    path = await playing(app, play, sim.contents[0].content_id)
    answers = await asyncio.gather(*(ask(app, path) for _ in range(5)))
    answers.append(await ask(app, path))
    assert {answer.body for answer in answers} == {b"\xff\xd8 picture"}
    assert ran.read_text().count("x") == 1


@pytest.mark.parametrize(
    ("script", "limit_s"),
    [("exit 1", 30.0), ("cat > /dev/null; echo no picture", 30.0), ("exec sleep 60", 2.0)],
    ids=["fails", "writes rubbish", "hangs"],
)
async def test_a_decoder_that_does_not_do_its_work_is_given_up(
    sim: Simulator,
    make_app: MakeApp,
    play: Play,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    script: str,
    limit_s: float,
) -> None:
    ran = programs_in(tmp_path, monkeypatch, script)
    monkeypatch.setattr(still_maker, "MAKE_S", limit_s)
    app = await make_app()
    path = await playing(app, play, sim.contents[0].content_id)
    for _ in range(2):
        answer = await ask(app, path)
        assert (answer.status, answer.body) == (204, b"")
    assert ran.read_text().count("x") == 1  # and not tried again at once


@pytest.mark.parametrize("changes", [{"stills": False}, {}], ids=["turned off", "no ffmpeg"])
async def test_without_a_decoder_there_is_none(
    sim: Simulator, make_app: MakeApp, play: Play, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, changes: Any
) -> None:
    if not changes:
        monkeypatch.setenv("PATH", str(tmp_path))
    app = await make_app(**changes)
    path = await playing(app, play, sim.contents[0].content_id)
    assert (await ask(app, path)).status == 204
    assert (await ask(app, "/api/aceproxy/streams/none/still.jpg")).status == 204


def test_the_piece_is_the_newest_keyframe_that_is_whole() -> None:
    ring = Ring(LIMITS)
    assert still_maker.newest_keyframe(ring) is None
    for number, size in enumerate((300, 500, 100)):
        point = JoinPoint(ring.head, float(number), b"tables%d" % number)
        ring.append(memoryview(bytes([number]) * 188 * size), float(number), point)
    piece = still_maker.newest_keyframe(ring)
    assert piece is not None
    assert piece.read() == b"tables1" + b"\x01" * 188 * 500  # of the third there is too little yet
    ring.append(memoryview(b"\x02" * 188 * 400), 2.5)
    piece = still_maker.newest_keyframe(ring)
    assert piece is not None
    assert piece.read() == b"tables2" + b"\x02" * 188 * 500

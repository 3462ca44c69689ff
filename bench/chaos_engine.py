"""The engine of the chaos run: the simulator, with a further channel whose sound is AC-3.

`python -m bench.chaos_engine CLIPS ARGS...`: the clips are in that folder (see `make_clips`), the rest is what
`python -m aceproxy.simulator` takes. What browsers cannot decode is what `audio=aac` is for; the simulator's own
clips have AAC.
"""

from __future__ import annotations

import shutil
import sys
from dataclasses import replace
from pathlib import Path

from aceproxy.simulator import Content, broadcast, run_simulator
from aceproxy.simulator.clip_mux import AUDIO_PID, CLOCK_HZ, PMT_PID, VIDEO_PID, Unit, crc32_mpeg, multiplex
from aceproxy.simulator.clips import PACKET_BYTES, pid_at
from aceproxy.simulator.command import parse_arguments
from aceproxy.simulator.contents import CLIP_BITRATES_BPS, DEFAULT_CONTENTS
from aceproxy.simulator.make_clips import FRAME_TICKS, LAP_S, SEND_AHEAD_TICKS, encode, pes_packets

NAME = "dolby"
SOUND_BPS = 96_000
FRAME_BYTES = SOUND_BPS * 32 // 8000  # one AC-3 frame is 1536 samples: 32 ms at 48 kHz
SOUND_TICKS = CLOCK_HZ * 32 // 1000
FRAMES_PER_PES = 5
KEYFRAME_PICTURES = 25
PACKETS = 5900  # of a lap: 1.1 Mbit/s, as the sound takes more than that of the clip with the same pictures
AC3, ADTS = b"\x81", b"\x0f"  # stream types


def dolby() -> Content:
    """Return the channel with AC-3."""
    CLIP_BITRATES_BPS[NAME] = PACKETS * PACKET_BYTES * 8 // LAP_S
    return Content("Dolby One", NAME)


def make_clips(folder: Path) -> bool:
    """Put the simulator's clips and the one with AC-3 into a folder; False without ffmpeg."""
    if shutil.which("ffmpeg") is None:
        return False
    for path in broadcast.CLIPS_FOLDER.glob("*.ts"):
        shutil.copy(path, folder / path.name)
    light = (broadcast.CLIPS_FOLDER / "light.ts").read_bytes()
    clip = multiplex("AceProxy Dolby", _pictures(light) + _sound(), LAP_S * CLOCK_HZ, PACKETS)
    (folder / f"{NAME}.ts").write_bytes(_retyped(clip))
    return True


def _pictures(clip: bytes) -> list[Unit]:
    """Return the pictures of a clip as they were before they were multiplexed."""
    units = []
    for number, (pts, dts, payload) in enumerate(pes_packets(clip, 0xE0)):
        send_at = max(0, number * FRAME_TICKS - SEND_AHEAD_TICKS)
        units.append(Unit(VIDEO_PID, send_at, pts, dts, payload, number % KEYFRAME_PICTURES == 0))
    return units


def _sound() -> list[Unit]:
    """Return a lap of AC-3, the middle one of three."""
    source = f"sine=frequency=440:beep_factor=2:sample_rate=48000:duration={3 * LAP_S}"
    stream = encode(["-f", "lavfi", "-i", source, "-ac", "2", "-c:a", "ac3", "-b:a", str(SOUND_BPS)])
    whole = b"".join(payload for _, _, payload in pes_packets(stream, 0xA0))  # private_stream_1, 0xBD
    per_lap = LAP_S * CLOCK_HZ // SOUND_TICKS
    lap = whole[per_lap * FRAME_BYTES : 2 * per_lap * FRAME_BYTES]
    units = []
    for first in range(0, per_lap, FRAMES_PER_PES):
        at = first * SOUND_TICKS
        payload = lap[first * FRAME_BYTES : (first + FRAMES_PER_PES) * FRAME_BYTES]
        units.append(Unit(AUDIO_PID, at, at + CLOCK_HZ // 2, at + CLOCK_HZ // 2, payload, random_access=False))
    return units


def _retyped(clip: bytes) -> bytes:
    """Return the clip with a PMT that calls the sound AC-3 (13818-1 2.4.4.8, ATSC A/52 A4)."""
    data = bytearray(clip)
    entry = (0xE000 | AUDIO_PID).to_bytes(2, "big")
    for at in range(0, len(data), PACKET_BYTES):
        if pid_at(data, at) == PMT_PID:
            stop = at + 8 + ((data[at + 6] & 0x0F) << 8 | data[at + 7])
            section = bytes(data[at + 5 : stop - 4]).replace(ADTS + entry, AC3 + entry)
            data[at + 5 : stop] = section + crc32_mpeg(section)
    return bytes(data)


def main() -> None:
    """Run from the command line."""
    config, end_with_stdin = parse_arguments(sys.argv[2:])
    broadcast.CLIPS_FOLDER = Path(sys.argv[1])
    run_simulator(replace(config, contents=(*DEFAULT_CONTENTS, dolby())), end_with_stdin=end_with_stdin)


if __name__ == "__main__":
    main()

"""Make the clips of the simulator's broadcast anew: `python -m aceproxy.simulator.make_clips [FOLDER]`.

Needs ffmpeg with libx264 and drawtext. ffmpeg draws and encodes; `clip_mux` writes the transport stream, because a clip
must close over its seam (see there), which no stock multiplexer does. Sound is periodic, and its lap is cut from the
middle of three, so that the overlap of AAC frames holds over the seam as well.
"""

from __future__ import annotations

import subprocess
import sys
from dataclasses import dataclass
from pathlib import Path

from aceproxy.simulator.clip_mux import AUDIO_PID, CLOCK_HZ, PACKET_BYTES, VIDEO_PID, Unit, multiplex

LAP_S = 8  # a multiple of 0.32 s: 8 frames of 25 fps, 15 frames of 1024 samples at 48 kHz
FRAME_TICKS = 3600
AAC_TICKS = 1920
AAC_FRAMES_PER_PES = 5
DECODE_DELAY_TICKS = CLOCK_HZ // 2
SEND_AHEAD_TICKS = CLOCK_HZ // 5  # lets the last pictures of a lap go out before the seam


@dataclass(frozen=True)
class Recipe:
    """How one clip is made. Rates in bits per second; `keyframe_frames` is the distance of keyframes."""

    name: str
    service: str
    rate_bps: int
    audio_bps: int
    sound: str
    size: str = ""
    video_bps: int = 0
    keyframe_frames: int = 25
    noise: int = 0


BEEP = "0.25*sin(2*PI*1000*t)*lt(mod(t\\,1)\\,0.08)"
CHORD = "0.06*sin(2*PI*220*t)+0.05*sin(2*PI*277*t)+0.05*sin(2*PI*330*t)"
TUNE = "0.2*sin(2*PI*(262+33*mod(floor(2*t)\\,8))*t)*exp(-3*mod(t\\,0.5))*(1-exp(-200*mod(t\\,0.5)))"

RECIPES = (
    Recipe("clock", "AceProxy Clock", 5_740_000, 128_000, f"{BEEP}+{CHORD}", "1280x720", 5_380_000, 50, 14),
    Recipe("light", "AceProxy Light", 980_000, 64_000, f"{BEEP}+{CHORD}", "640x360", 780_000, 25, 3),
    Recipe("radio", "AceProxy Radio", 256_000, 96_000, TUNE),
)


def encode(arguments: list[str]) -> bytes:
    """Return what ffmpeg writes for `arguments`. Raises CalledProcessError when it fails."""
    command = ["ffmpeg", "-nostdin", "-v", "error", *arguments, "-f", "mpegts", "-"]
    return subprocess.run(command, check=True, stdout=subprocess.PIPE).stdout


def encode_video(recipe: Recipe) -> bytes:
    """Return the transport stream of the picture: test pattern, name, running clock."""
    height = int(recipe.size.split("x")[1])
    text = f"fontcolor=white:box=1:boxcolor=black@0.6:boxborderw={height // 40}:x=(w-text_w)/2"
    filters = ",".join(
        (
            f"noise=alls={recipe.noise}:allf=t",
            f"drawtext=text='{recipe.service}':fontsize={height // 12}:y=h*0.12:{text}",
            f"drawtext=text='%{{pts\\:hms}}':fontsize={height // 6}:y=h*0.42:{text}",
            f"drawtext=text='{recipe.size} 25p  frame %{{n}}':fontsize={height // 18}:y=h*0.78:{text}",
        )
    )
    x264 = f"keyint={recipe.keyframe_frames}:min-keyint={recipe.keyframe_frames}:scenecut=0:open-gop=0:bframes=2"
    rate = str(recipe.video_bps)
    return encode(
        [
            *("-f", "lavfi", "-i", f"testsrc2=size={recipe.size}:rate=25:duration={LAP_S}", "-vf", filters),
            *("-c:v", "libx264", "-preset", "slow", "-profile:v", "high", "-pix_fmt", "yuv420p"),
            *("-b:v", rate, "-minrate", rate, "-maxrate", rate, "-bufsize", str(recipe.video_bps // 3)),
            *("-x264-params", f"{x264}:aud=1:nal-hrd=cbr:threads=1", "-frames:v", str(LAP_S * 25)),
        ]
    )


def encode_sound(recipe: Recipe) -> bytes:
    """Return the transport stream of three laps of sound."""
    source = f"aevalsrc={recipe.sound}|{recipe.sound}:s=48000:d={3 * LAP_S}"
    return encode(["-f", "lavfi", "-i", source, "-c:a", "aac", "-b:a", str(recipe.audio_bps)])


def pes_packets(stream: bytes, stream_id: int) -> list[tuple[int, int, bytes]]:
    """Return (PTS, DTS, payload) of each PES packet with `stream_id` kind (its upper bits) in a clean stream."""
    found: list[bytearray] = []
    wanted_pid = None
    for offset in range(0, len(stream), PACKET_BYTES):
        packet = stream[offset : offset + PACKET_BYTES]
        pid = (packet[1] & 0x1F) << 8 | packet[2]
        payload = packet[5 + packet[4] :] if packet[3] & 0x20 else packet[4:]
        if packet[1] & 0x40 and payload[:3] == b"\x00\x00\x01" and payload[3] & 0xE0 == stream_id:
            wanted_pid = pid
            found.append(bytearray())
        if pid == wanted_pid and packet[3] & 0x10:
            found[-1] += payload
    return [split_pes(bytes(one)) for one in found]


def split_pes(packet: bytes) -> tuple[int, int, bytes]:
    """Return PTS, DTS and payload of one PES packet."""
    pts = ticks_of(packet[9:14])
    dts = ticks_of(packet[14:19]) if packet[7] & 0x40 else pts
    return pts, dts, packet[9 + packet[8] :]


def ticks_of(field: bytes) -> int:
    """Return the 33 bits of a PTS or DTS field."""
    value = int.from_bytes(field, "big")
    return (value >> 33 & 7) << 30 | (value >> 17 & 0x7FFF) << 15 | value >> 1 & 0x7FFF


def video_units(recipe: Recipe) -> list[Unit]:
    """Return the pictures of one lap in decoding order."""
    pictures = pes_packets(encode_video(recipe), 0xE0)
    if len(pictures) != LAP_S * 25:
        raise ValueError(f"{recipe.name}: {len(pictures)} pictures")
    first_dts = pictures[0][1]
    units = []
    for number, (pts, dts, payload) in enumerate(pictures):
        at = dts - first_dts
        if at != number * FRAME_TICKS:
            raise ValueError(f"{recipe.name}: picture {number} is at {at}")
        entry = number % recipe.keyframe_frames == 0
        wire = at + DECODE_DELAY_TICKS
        units.append(Unit(VIDEO_PID, max(0, at - SEND_AHEAD_TICKS), wire + pts - dts, wire, payload, entry))
    return units


def audio_units(recipe: Recipe, first_pts: int, entry_every: int) -> list[Unit]:
    """Return the sound of one lap: AAC frames in groups; each `entry_every`-th is an entry point (0: none)."""
    stream = b"".join(payload for _, _, payload in pes_packets(encode_sound(recipe), 0xC0))
    frames = []
    while stream:
        length = (stream[3] & 3) << 11 | stream[4] << 3 | stream[5] >> 5
        frames.append(stream[:length])
        stream = stream[length:]
    per_lap = LAP_S * CLOCK_HZ // AAC_TICKS
    lap = frames[per_lap : 2 * per_lap]
    units = []
    for number, start in enumerate(range(0, per_lap, AAC_FRAMES_PER_PES)):
        at = start * AAC_TICKS
        entry = bool(entry_every) and number % entry_every == 0
        pts = at + first_pts
        units.append(Unit(AUDIO_PID, at, pts, pts, b"".join(lap[start : start + AAC_FRAMES_PER_PES]), entry))
    return units


def make(recipe: Recipe) -> bytes:
    """Return one clip."""
    pictures = video_units(recipe) if recipe.size else []
    first_pts = pictures[0].pts if pictures else DECODE_DELAY_TICKS
    sound = audio_units(recipe, first_pts, entry_every=0 if pictures else 15)
    packet_count = round(recipe.rate_bps * LAP_S / (PACKET_BYTES * 8))
    return multiplex(recipe.service, pictures + sound, LAP_S * CLOCK_HZ, packet_count)


def main() -> None:
    """Write every clip to the folder given, or to the package's own."""
    folder = Path(sys.argv[1]) if len(sys.argv) > 1 else Path(__file__).with_name("clips")
    folder.mkdir(parents=True, exist_ok=True)
    for recipe in RECIPES:
        clip = make(recipe)
        (folder / f"{recipe.name}.ts").write_bytes(clip)
        print(f"{recipe.name}: {len(clip)} bytes")


if __name__ == "__main__":
    main()

"""Whether what HLS viewers were given can be decoded, looked at by ffmpeg now and then."""

from __future__ import annotations

import asyncio
import shutil
import tempfile

from bench.chaos_fates import Fates
from bench.chaos_faults import Engines
from bench.chaos_hls import HlsCrowd

EVERY_S = 8.0
LIMIT_S = 60.0
AFTER_S = 8.0  # for which damage may come after its end: engines and the proxy hold it back for a while


class Decoding:
    """Decodes some segments in a row every few seconds, if no engine sent damage lately."""

    def __init__(self, crowd: HlsCrowd, engines: Engines, fates: Fates) -> None:
        self.decoded = 0
        self._crowd = crowd
        self._engines = engines
        self._fates = fates

    async def run(self) -> None:
        """Go on until cancelled."""
        program = shutil.which("ffmpeg")
        while program is not None:
            await asyncio.sleep(EVERY_S)
            runs, self._crowd.runs = self._crowd.runs, []
            if runs and not self._engines.was_damaged(runs[-1][0] - AFTER_S):
                await self._decode(program, runs[-1][1])

    async def _decode(self, program: str, media: bytes) -> None:
        process = await asyncio.create_subprocess_exec(
            *("nice", program, "-v", "error", "-xerror", "-threads", "1"),
            *("-f", "mpegts", "-i", "pipe:0", "-f", "null", "-"),
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(LIMIT_S):
                _, said = await process.communicate(media)
        except TimeoutError:
            return
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        self.decoded += 1
        if process.returncode or said:
            kept = await asyncio.to_thread(_keep, media)
            self._fates.wrong(f"HLS: segments in a row ({kept}) do not decode: {said.decode(errors='replace')[:120]}")


def _keep(media: bytes) -> str:
    """Write what does not decode to a file that stays, for whoever looks for the cause; return its name."""
    with tempfile.NamedTemporaryFile(prefix="aceproxy-chaos-", suffix=".ts", delete=False) as file:
        file.write(media)
    return file.name

"""The composition root: what runs for ever is heard of when it does not."""

from __future__ import annotations

import pytest

from aceproxy.hls.desk import HlsDesk
from tests.conftest import MakeApp
from tests.waiting import until


async def test_a_task_that_fails_by_a_mistake_is_told_in_the_log(
    make_app: MakeApp, monkeypatch: pytest.MonkeyPatch
) -> None:
    async def sweep(_desk: HlsDesk) -> None:
        raise RuntimeError("made for this test")

    monkeypatch.setattr(HlsDesk, "sweep", sweep)
    app = await make_app()
    await until(lambda: any(line.level == "error" for line in app.logs.ring.tail(100)))
    (line,) = [line for line in app.logs.ring.tail(100) if line.level == "error"]
    assert "HLS viewers" in line.message
    assert "made for this test" in line.message

"""A small file that is kept also when it could not be written at first."""

from __future__ import annotations

import asyncio
import json
from pathlib import Path

import pytest

from aceproxy import shelf as shelves
from aceproxy.shelf import Shelf
from tests.waiting import until


async def test_what_could_not_be_written_is_written_when_there_is_room_again(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(shelves, "RETRY_S", 0.02)
    folder = tmp_path / "state"
    shelf = Shelf(folder / "tokens.json")
    shelf.keep(["old"])  # there is no such folder
    await until(lambda: "tokens.json cannot be written" in caplog.text)
    shelf.keep(["new"])
    folder.mkdir()
    await until((folder / "tokens.json").exists)
    await shelf.close()
    assert json.loads((folder / "tokens.json").read_text()) == ["new"]


@pytest.mark.parametrize("text", ["", '[{"name": "my tv",]', "[" * 100_000])
def test_a_file_that_is_no_json_is_set_aside_and_not_written_over(
    tmp_path: Path, caplog: pytest.LogCaptureFixture, text: str
) -> None:
    path = tmp_path / "tokens.json"
    path.write_text(text)
    assert Shelf(path).load() is None
    assert not path.exists()
    assert path.with_name("tokens.json.bad").read_text() == text
    assert "it begins empty; it is set aside as tokens.json.bad" in caplog.text


async def test_closing_tries_once_more_and_waits_no_longer(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    folder = tmp_path / "state"
    shelf, never = Shelf(folder / "tokens.json"), Shelf(tmp_path / "nowhere" / "tokens.json")
    shelf.keep(["kept"])
    never.keep(["lost"])
    await until(lambda: caplog.text.count("cannot be written") == 2)
    folder.mkdir()
    async with asyncio.timeout(shelves.RETRY_S / 2):
        await shelf.close()
        await never.close()
    assert json.loads((folder / "tokens.json").read_text()) == ["kept"]


async def test_who_asks_is_told_whether_the_newest_value_is_written(tmp_path: Path) -> None:
    folder = tmp_path / "state"
    shelf = Shelf(folder / "tokens.json")
    shelf.keep(["one"])
    assert await shelf.problem() == "No such file or directory"
    folder.mkdir()
    shelf.keep(["two"])
    assert await shelf.problem() == ""  # tried at once, not when the next try is due
    assert json.loads((folder / "tokens.json").read_text()) == ["two"]
    await shelf.close()
    assert await Shelf(None).problem() == ""

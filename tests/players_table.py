"""The table of players in docs/compatibility.md: what a run of the tests has seen play, and whether the page says so.

Each test with a real player adds a row once the player has played. With ACEPROXY_WRITE_TABLES=1 in the environment the
page is written anew from the rows; without, every row must be in it, but for the version.
"""

from __future__ import annotations

import fcntl
import json
import os
import re
import subprocess
from pathlib import Path

from playwright.async_api import Page

ROOT = Path(__file__).resolve().parents[1]
PAGE = ROOT / "docs" / "compatibility.md"
KEPT = ROOT / "artifacts" / "players.json"  # the rows of this and earlier runs
BEGIN, END = "<!-- players: written by the tests -->\n", "<!-- end of players -->\n"
WRITE = "ACEPROXY_WRITE_TABLES"

VERSION = re.compile(rb"(?:version|mpv) v?(\d+\.\d+(?:\.\d+)?)")
VERSION_S = 20.0

Row = dict[str, str]


def version_of(program: str, option: str = "--version") -> str:
    """Return the version that a player tells of itself."""
    user = "nobody" if os.getuid() == 0 else None  # VLC refuses to run as root
    done = subprocess.run(
        [program, option],
        capture_output=True,
        timeout=VERSION_S,
        check=False,
        user=user,
        extra_groups=[] if user else None,
        env={**os.environ, "HOME": "/tmp"},
    )
    found = VERSION.search(done.stdout + done.stderr)
    return found.group(1).decode() if found else "?"


async def browser_of(page: Page) -> str:
    """Return the version of the browser that shows a page."""
    browser = page.context.browser
    return browser.version if browser is not None else "?"


class PlayersTable:
    """Takes rows; `test` is where they come from."""

    def __init__(self, test: str) -> None:
        self._test = test

    def add(self, player: str, version: str, *, ts: bool = False, hls: bool = False) -> None:
        """Note that a player has played here. Fails if the page does not say so."""
        KEPT.parent.mkdir(exist_ok=True)
        with KEPT.with_suffix(".lock").open("w") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)  # tests in other processes add rows too
            rows: dict[str, Row] = json.loads(KEPT.read_text()) if KEPT.exists() else {}
            row = rows.setdefault(player, {})
            row["version"] = version
            for name, played in (("ts", ts), ("hls", hls)):
                if played:
                    row[name] = self._test
            KEPT.write_text(json.dumps(rows, indent=1, sort_keys=True))
            if os.environ.get(WRITE):
                _write_page(rows)
        assert _cells(player, row)[2:] == _on_page(player, row), (
            f"docs/compatibility.md does not say how {player} plays; run the tests of players with {WRITE}=1"
        )


def _cells(player: str, row: Row) -> list[str]:
    tests = [f"`{row[name]}`" if name in row else "" for name in ("ts", "hls")]
    return [player, row["version"], *tests]


def _on_page(player: str, row: Row) -> list[str]:
    """Return the page's cells for a player, without those that the present rows say nothing about."""
    table = PAGE.read_text().partition(BEGIN)[2].partition(END)[0]
    found = re.search(rf"^\| {re.escape(player)} \| [^|]*\| ([^|]*)\| ([^|]*)\|$", table, re.MULTILINE)
    cells = [cell.strip() for cell in found.groups()] if found else ["", ""]
    return [cell if name in row else "" for name, cell in zip(("ts", "hls"), cells, strict=True)]


def _write_page(rows: dict[str, Row]) -> None:
    head = ["player", "version", "MPEG-TS", "HLS"]
    lines = [head, ["---"] * len(head), *(_cells(player, rows[player]) for player in sorted(rows, key=str.lower))]
    before, _, rest = PAGE.read_text().partition(BEGIN)
    _, _, after = rest.partition(END)
    table = "".join(f"| {' | '.join(cells)} |\n" for cells in lines)
    PAGE.write_text(before + BEGIN + table + END + after)

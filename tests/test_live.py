"""Settings that change at run time: which may, what wins, what is kept, and that a mistake changes nothing."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from aceproxy.errors import AceProxyError, Reason
from aceproxy.live import EFFECTS, Effect, LiveSettings, effect_of
from aceproxy.settings import Settings, load_settings, read_settings


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A file with settings."""
    path = tmp_path / "aceproxy.toml"
    path.write_text("linger_s = 5\nmax_clients = 7\n")
    return path


def make(toml: Path, folder: Path | None = None, **flags: Any) -> LiveSettings:
    settings = load_settings(flags, {}, toml)[0]
    return LiveSettings(settings, lambda: read_settings(flags, {}, toml), folder)


def rewrite(path: Path, text: str) -> None:
    path.write_text(text, errors="surrogateescape")


async def refusal(live: LiveSettings, wanted: dict[str, Any]) -> str:
    before = live.current.model_dump()
    with pytest.raises(AceProxyError) as caught:
        await live.change(wanted)
    assert caught.value.reason is Reason.BAD_PARAMETER
    assert live.current.model_dump() == before
    return caught.value.detail


async def test_who_holds_the_settings_reads_the_new_value_and_who_subscribed_hears_of_it(toml: Path) -> None:
    live = make(toml)
    held = live.current
    heard: list[float] = []
    live.subscribe(("linger_s",), lambda now: heard.append(now.linger_s))
    live.subscribe(("burst_s",), lambda now: heard.append(-1))
    done = await live.change({"linger_s": 9, "max_clients": 8})
    assert (held.linger_s, held.max_clients) == (9.0, 8)
    assert sorted(done.changed) == ["linger_s", "max_clients"]
    assert heard == [9.0]
    assert isinstance(held.linger_s, float)


async def test_a_change_that_changes_nothing_is_not_told(toml: Path) -> None:
    live = make(toml)
    live.subscribe(("linger_s",), lambda _: pytest.fail("nothing has changed"))
    assert (await live.change({"linger_s": 5})).changed == []


async def test_a_wrong_value_among_right_ones_changes_nothing(toml: Path, tmp_path: Path) -> None:
    live = make(toml, tmp_path)
    assert "linger_s (from a change at run time)" in await refusal(live, {"max_clients": 3, "linger_s": -1})
    assert "did you mean linger_s?" in await refusal(live, {"max_clients": 3, "lingers": 1})
    assert "listen takes effect only when the program starts" in await refusal(live, {"listen": ":1"})
    assert not (tmp_path / "settings.json").exists()


@pytest.mark.parametrize("value", [True, [], {}, "soon", "nan", 1e400, float("nan")])
async def test_values_of_other_kinds_are_refused(toml: Path, value: object) -> None:
    live = make(toml)
    await refusal(live, {"max_clients": value, "linger_s": 1})
    await refusal(live, {"max_clients": 3, "linger_s": value})


async def test_a_change_wins_over_the_file_until_it_is_taken_back(toml: Path) -> None:
    live = make(toml)
    await live.restore()
    assert live.origin["linger_s"] == str(toml)
    await live.change({"linger_s": 9})
    assert live.origin["linger_s"] == "a change at run time"
    rewrite(toml, "linger_s = 6\nmax_clients = 7\n")
    done = await live.reload()
    assert (live.current.linger_s, done.changed, done.overridden) == (9.0, [], ["linger_s"])
    done = await live.change({"linger_s": None})
    assert (live.current.linger_s, done.changed, done.overridden) == (6.0, ["linger_s"], [])
    assert live.origin["linger_s"] == str(toml)


async def test_a_reload_takes_what_can_be_taken_and_names_what_waits_for_a_restart(toml: Path) -> None:
    live = make(toml, max_lingering="3")
    rewrite(toml, 'listen = ":9999"\nmax_lingering = 4\nburst_s = 2\n')
    done = await live.reload()
    assert sorted(done.changed) == ["burst_s", "linger_s", "max_clients"]
    assert done.needs_restart == ["listen"]
    assert (live.current.linger_s, live.current.listen) == (15.0, ":6880")
    assert live.current.max_lingering == 3, "the command line still wins"


@pytest.mark.parametrize("text", ["linger_s = ", "lingers = 1", "linger_s = -1", "\udcff"])
async def test_a_file_that_cannot_be_used_changes_nothing_and_is_told(toml: Path, text: str) -> None:
    live = make(toml)
    rewrite(toml, text)
    with pytest.raises(AceProxyError) as caught:
        await live.reload()
    assert caught.value.reason is Reason.BAD_SETTINGS
    assert str(toml) in caught.value.detail
    assert live.current.linger_s == 5.0


async def test_a_change_outlasts_a_restart_where_there_is_a_folder(toml: Path, tmp_path: Path) -> None:
    live = make(toml, tmp_path)
    assert live.is_kept
    await live.change({"linger_s": 9, "url_hosts": ["a.example", "b.example"]})
    assert (tmp_path / "settings.json").stat().st_mode & 0o777 == 0o600
    after = make(toml, tmp_path)
    await after.restore()
    assert (after.current.linger_s, after.current.url_hosts) == (9.0, ("a.example", "b.example"))
    assert not make(toml).is_kept


@pytest.mark.parametrize(
    "text", ["rubbish", "[1]", "\x00", "[" * 100_000, '{"lingers": 1, "linger_s": 9}', '{"ring_s": -1, "linger_s": 9}']
)
async def test_kept_changes_that_cannot_be_used_do_not_keep_the_program_from_starting(
    toml: Path, tmp_path: Path, text: str
) -> None:
    (tmp_path / "settings.json").write_text(text)
    live = make(toml, tmp_path)
    await live.restore()
    assert live.current.linger_s == (9.0 if "linger_s" in text else 5.0)
    assert live.current.ring_s == 30.0
    aside = tmp_path / "settings.json.bad"
    assert (aside.read_text() if aside.exists() else None) == (None if "linger_s" in text else text)


async def test_a_change_that_cannot_be_kept_changes_nothing(toml: Path, tmp_path: Path) -> None:
    live = make(toml, tmp_path / "gone")
    with pytest.raises(AceProxyError) as caught:
        await live.change({"linger_s": 9})
    assert caught.value.reason is Reason.STATE_UNWRITABLE
    assert live.current.linger_s == 5.0


def test_every_setting_with_an_effect_exists_and_what_is_listened_on_or_written_cannot_be_changed() -> None:
    assert set(EFFECTS) <= set(Settings.model_fields)
    assert effect_of("engines") is Effect.RELOAD
    for name in ("listen", "state_dir", "log_file", "log_format", "origin_hosts"):
        assert effect_of(name) is Effect.RESTART


async def test_the_kept_file_holds_only_what_was_changed(toml: Path, tmp_path: Path) -> None:
    live = make(toml, tmp_path)
    await live.change({"linger_s": 9})
    await live.change({"burst_s": 2, "linger_s": None})
    assert json.loads((tmp_path / "settings.json").read_text()) == {"burst_s": 2}


async def test_engines_follow_the_file_and_are_not_changed_one_by_one(toml: Path) -> None:
    live = make(toml)
    heard: list[list[str]] = []
    live.subscribe(("engines",), lambda now: heard.append([one.label for one in now.engines]))
    rewrite(toml, 'linger_s = 5\nmax_clients = 7\n[[engine]]\nurl = "a"\nlabel = "attic"\n')
    done = await live.reload()
    assert (done.changed, done.needs_restart, heard) == (["engines"], [], [["attic"]])
    assert "routes of their own" in await refusal(live, {"engines": ["b"]})

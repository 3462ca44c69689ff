"""Where settings come from, what is refused, and how it is said."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from aceproxy.settings import Settings, SettingsError, load_settings, nearest, split_address


def load(
    flags: dict[str, Any] | None = None, env: dict[str, str] | None = None, config: Path | None = None
) -> Settings:
    """Return the settings alone."""
    return load_settings(flags or {}, env or {}, config)[0]


def urls(settings: Settings) -> tuple[str, ...]:
    """Return the addresses of the engines."""
    return tuple(engine.url for engine in settings.engines)


def refusal(flags: dict[str, Any] | None = None, env: dict[str, str] | None = None, config: Path | None = None) -> str:
    """Return why the settings are refused."""
    with pytest.raises(SettingsError) as caught:
        load_settings(flags or {}, env or {}, config)
    return str(caught.value)


@pytest.fixture
def toml(tmp_path: Path) -> Path:
    """A file with two settings."""
    path = tmp_path / "aceproxy.toml"
    path.write_text('linger_s = 1.5\nengines = ["http://192.0.2.1:7000"]\n')
    return path


# --- where they come from ---


def test_without_anything_the_defaults_hold_and_none_has_an_origin() -> None:
    settings, origin = load_settings({}, {})
    assert settings == Settings()
    assert origin == {}


def test_a_flag_beats_the_environment_which_beats_the_file_which_beats_the_default(toml: Path) -> None:
    env = {"ACEPROXY_LINGER_S": "2.5", "ACEPROXY_BURST_S": "4"}
    assert load().linger_s == 15.0
    assert load(config=toml).linger_s == 1.5
    assert load(env=env, config=toml).linger_s == 2.5
    settings, origin = load_settings({"linger_s": "3.5"}, env, toml)
    assert (settings.linger_s, settings.burst_s, urls(settings)) == (3.5, 4.0, ("http://192.0.2.1:7000",))
    assert origin == {"linger_s": "the command line", "burst_s": "the environment", "engines": str(toml)}


def test_a_list_replaces_the_weaker_one_as_a_whole(toml: Path) -> None:
    assert urls(load({"engines": ["http://a:1"]}, {"ACEPROXY_ENGINES": "b:2,c:3"}, toml)) == ("http://a:1",)


def test_the_file_may_be_named_by_a_variable_and_a_flag_wins(toml: Path, tmp_path: Path) -> None:
    other = tmp_path / "other.toml"
    other.write_text("linger_s = 9")
    env = {"ACEPROXY_CONFIG": str(toml)}
    assert load(env=env).linger_s == 1.5
    assert load(env=env, config=other).linger_s == 9.0


def test_foreign_variables_are_left_alone() -> None:
    assert load(env={"PATH": "/bin", "ACEPROXYLISTEN": "x", "LINGER_S": "1"}) == Settings()


def test_settings_cannot_be_changed_once_they_are_read() -> None:
    settings = load()
    with pytest.raises(ValidationError):
        settings.linger_s = 1.0  # type: ignore[misc]  # what must not be possible


# --- names ---


def test_an_unknown_name_on_the_command_line_is_refused_with_the_nearest_known_one() -> None:
    assert refusal({"lingers": "1"}) == "unknown setting 'lingers' in the command line; did you mean linger_s?"


def test_an_unknown_name_in_the_file_is_refused_with_the_file_and_the_nearest_known_one(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("ring_bites = 1")
    assert refusal(config=path) == f"unknown setting 'ring_bites' in {path}; did you mean ring_bytes?"


def test_an_unknown_variable_is_refused_with_the_nearest_known_one() -> None:
    message = refusal(env={"ACEPROXY_MAX_CLIENT": "5"})
    assert message.startswith("unknown setting ACEPROXY_MAX_CLIENT in the environment; did you mean ")
    assert message.endswith(" ACEPROXY_MAX_CLIENTS?")


def test_a_section_in_the_file_is_an_unknown_name(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("[streams]\nlinger_s = 1")
    assert "unknown setting 'streams'" in refusal(config=path)


def test_a_name_like_none_other_is_refused_without_a_guess() -> None:
    assert refusal({"zzzzzzzzzz": 1}) == "unknown setting 'zzzzzzzzzz' in the command line"
    assert nearest("zzzzzzzzzz", "ACEPROXY_") == ""


# --- values ---


def test_a_bad_value_is_told_with_its_setting_and_its_place(tmp_path: Path) -> None:
    path = tmp_path / "mine.toml"
    path.write_text("burst_s = -1")
    assert refusal({"linger_s": "soon"}).startswith("linger_s (from the command line): ")
    assert refusal(env={"ACEPROXY_RING_S": "0"}).startswith("ring_s (from the environment): ")
    assert refusal(config=path).startswith(f"burst_s (from {path}): ")


def test_a_bad_value_that_something_stronger_replaces_does_no_harm() -> None:
    assert load({"linger_s": "1"}, {"ACEPROXY_LINGER_S": "soon"}).linger_s == 1.0


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("linger_s", "nan"),
        ("connect_timeout_s", "0"),
        ("max_clients", "0"),
        ("max_clients", "1.5"),
        ("max_clients", ""),
        ("log_lines", "9"),
        ("block_s", "11"),
        ("ring_s", "1e308"),
        ("history_rows", "1000000000001"),
        ("max_clients", "1" + "0" * 30),
        ("block_bytes", "1"),
        ("log_level", "loud"),
        ("engines", ""),
    ],
)
def test_values_out_of_bounds_are_refused(name: str, value: str) -> None:
    assert refusal({name: value}).startswith(f"{name} (from the command line): ")


def test_the_log_level_may_be_written_in_capitals() -> None:
    assert load({"log_level": "DEBUG"}).log_level == "debug"


@pytest.mark.parametrize(
    ("text", "words"), [("a.example,b.example", 2), (" a.example , ,b.example,", 2), ("*", 1), ("", 0)]
)
def test_a_list_is_one_text_with_commas_in_the_environment(text: str, words: int) -> None:
    hosts = load(env={"ACEPROXY_URL_HOSTS": text}).url_hosts
    assert len(hosts) == words
    assert all(host == host.strip() for host in hosts)


@pytest.mark.parametrize("name", ["url_hosts", "origin_hosts"])
@pytest.mark.parametrize("text", ["\0", "<script>", "a b", "a.example/x", "http://a.example", "", "**", "[", "a@b"])
def test_what_is_no_host_is_refused_with_its_words(name: str, text: str) -> None:
    assert "is not a host name" in refusal({name: [text]})


def test_hosts_of_links_are_names_addresses_and_patterns() -> None:
    hosts = ["A.example", "*.b.example", "*", "127.0.0.1", "::1", "[::1]", "bücher.example", "a_b.example."]
    assert load({"url_hosts": hosts}).url_hosts == tuple(host.lower() for host in hosts)


def test_a_file_that_is_missing_or_no_toml_is_told_by_name(tmp_path: Path) -> None:
    missing, broken, binary = tmp_path / "none.toml", tmp_path / "broken.toml", tmp_path / "binary.toml"
    broken.write_text("linger_s = ")
    binary.write_bytes(b"\xff\xfe\x00")
    assert refusal(config=missing).startswith(f"cannot read {missing}: ")
    assert refusal(config=tmp_path).startswith(f"cannot read {tmp_path}: ")
    for path in (broken, binary):
        assert refusal(config=path).startswith(f"{path} is not valid TOML: ")


# --- addresses ---


@pytest.mark.parametrize(
    ("text", "host", "port"),
    [
        (":6880", None, 6880),
        ("*:80", None, 80),
        ("127.0.0.1:0", "127.0.0.1", 0),
        ("proxy.example:65535", "proxy.example", 65535),
        ("[::1]:6880", "::1", 6880),
        ("[2001:db8::1]:1", "2001:db8::1", 1),
        (" 127.0.0.1:80 ", "127.0.0.1", 80),
    ],
)
def test_addresses_are_host_and_port(text: str, host: str | None, port: int) -> None:
    assert split_address(text) == (host, port)
    assert load({"listen": text}).listen == text


@pytest.mark.parametrize("text", ["", "6880", "127.0.0.1", "host:", "host:-1", "host:65536", "host:port", "::1:6880"])
def test_what_is_no_address_is_refused(text: str) -> None:
    with pytest.raises(ValueError, match=r"HOST:PORT|brackets"):
        split_address(text)
    assert refusal({"listen": text}).startswith("listen (from the command line): ")


@given(st.text(max_size=60))
def test_any_text_is_an_address_or_a_value_error(text: str) -> None:
    try:
        host, port = split_address(text)
    except ValueError:
        return
    assert 0 <= port <= 65535
    assert host != ""


@pytest.mark.parametrize(
    ("text", "url"),
    [
        ("http://127.0.0.1:6878", "http://127.0.0.1:6878"),
        ("http://127.0.0.1:6878/", "http://127.0.0.1:6878"),
        ("127.0.0.1", "http://127.0.0.1:6878"),
        ("engine:7000", "http://engine:7000"),
        ("HTTP://Engine:7000", "http://engine:7000"),
        ("https://engine.example", "https://engine.example:6878"),
        ("[::1]", "http://[::1]:6878"),
        ("http://[2001:db8::1]:7000", "http://[2001:db8::1]:7000"),
    ],
)
def test_the_address_of_an_engine_is_normalised(text: str, url: str) -> None:
    assert urls(load({"engines": [text]})) == (url,)
    assert urls(load(env={"ACEPROXY_ENGINES": f"{text},http://other:1"})) == (url, "http://other:1")


@pytest.mark.parametrize(
    "text",
    [
        "ftp://engine:6878",
        "http://",
        "http://engine:6878/ace",
        "http://engine:6878?x=1",
        "http://engine:6878#x",
        "http://user:secret@engine:6878",
        "http://:secret@engine:6878",
        "http://engine:99999",
        "http://[::1",
        "::1",
    ],
)
def test_what_is_no_engine_is_refused(text: str) -> None:
    assert refusal({"engines": [text]}).startswith("engines (from the command line): ")


# --- engines as tables ---


def entry_words(text: str, tmp_path: Path) -> list[tuple[str, str, float, int | None, bool]]:
    """Return what a file says of the engines."""
    path = tmp_path / "engines.toml"
    path.write_text(text)
    engines = load(config=path).engines
    return [(one.url, one.label, one.weight, one.capacity, one.enabled) for one in engines]


def test_an_engine_may_be_a_table_beside_addresses_or_instead_of_them(tmp_path: Path) -> None:
    table = '[[engine]]\nurl = "b"\nlabel = "attic"\nweight = 2\ncapacity = 4\nenabled = false\n'
    told = ("http://b:6878", "attic", 2.0, 4, False)
    assert entry_words(table, tmp_path) == [told]
    plain = ("http://a:1", "a:1", 1.0, None, True)
    assert entry_words(f'engines = ["a:1"]\n{table}', tmp_path) == [plain, told]
    assert entry_words(f'engines = "a:1"\n{table}', tmp_path) == [plain, told]
    assert entry_words('engines = [{url = "b", label = ""}]', tmp_path) == [
        ("http://b:6878", "b:6878", 1.0, None, True)
    ]


def test_an_engine_on_the_command_line_replaces_the_tables(tmp_path: Path) -> None:
    path = tmp_path / "engines.toml"
    path.write_text('[[engine]]\nurl = "b"')
    assert urls(load({"engines": ["c"]}, config=path)) == ("http://c:6878",)


@pytest.mark.parametrize(
    ("text", "words"),
    [
        ('[[engine]]\nurl = "b"\nwieght = 2', "unknown key 'wieght' of the engine 'b'; did you mean weight?"),
        ('[[engine]]\nurl = "b"\nzzz = 2', "unknown key 'zzz' of the engine 'b'"),
        ('[engine]\nurl = "b"', "[[engine]], with two brackets on each side"),
        ("engine = 5", "[[engine]], with two brackets on each side"),
        ("engine = [5]", "[[engine]], with two brackets on each side"),
        ('[[engine]]\nlabel = "b"', "engines[1].url (from "),
        ('engines = ["a"]\n[[engine]]\nurl = "b"\nweight = 0', "engines[2].weight (from "),
        ('[[engine]]\nurl = "b"\nweight = inf', "engines[1].weight (from "),
        ('[[engine]]\nurl = "b"\ncapacity = 0', "engines[1].capacity (from "),
        ('[[engine]]\nurl = "b"\ncapacity = 2.5', "engines[1].capacity (from "),
        ("[[engine]]\nurl = 5", "engines[1].url (from "),
        ('[[engine]]\nurl = "b/ace"', "an engine's address has no path"),
        ('[[engine]]\nurl = "b"\nlabel = "<b>"', "a label has at most 64 letters"),
        ('[[engine]]\nurl = "b"\nlabel = "a\u202eb"', "a label has at most 64 letters"),
        ('engines = ["a", "http://A:6878/"]', "the engine http://a:6878 is named twice"),
        ('engines = ["a"]\n[[engine]]\nurl = "b"\nlabel = "a:6878"', "two engines have the label 'a:6878'"),
        ("engines = [5]", "engines"),
        ('engines = ["' + "a" * 301 + '"]', "at most 300 characters"),
        ("engines = [" + ", ".join(f'"a{number}"' for number in range(65)) + "]", "more than 64 engines"),
        ("engines = []", "engines (from "),
    ],
)
def test_engines_that_cannot_be_used_are_refused_with_their_place_and_the_nearest_key(
    text: str, words: str, tmp_path: Path
) -> None:
    path = tmp_path / "engines.toml"
    path.write_text(text, encoding="utf-8")
    message = refusal(config=path)
    assert words in message
    assert "\n" not in message


@given(st.text(max_size=400))
def test_any_text_is_an_engine_with_a_safe_label_or_a_settings_error(text: str) -> None:
    try:
        (engine,) = load({"engines": [text]}).engines
    except SettingsError:
        return
    assert 0 < len(engine.label) <= 64
    assert engine.label.isprintable()
    assert not set(engine.label) & set("<>\"'&/\\")


def test_every_setting_has_italian_words() -> None:
    path = Path(__file__).resolve().parents[1] / "src/aceproxy/web/static/texts/it/settings.js"
    told = re.findall(r'^    (\w+): "(.{10,})",$', path.read_text(encoding="utf-8"), re.MULTILINE)
    assert sorted(name for name, _ in told) == sorted(Settings.model_fields), f"say in {path} what it is"

"""What the program is packed in: the wheel holds everything, the container and the service may do next to nothing."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import zipfile
from pathlib import Path
from typing import Any

import dev
import pytest
import yaml  # type: ignore[import-untyped]  # has no types; only its plain lists and dicts are used here

from aceproxy.doctor.machine import PROGRAM_BYTES
from aceproxy.settings import ENV_PREFIX, Settings, load_settings

ROOT = Path(__file__).resolve().parents[1]
DEPLOY = ROOT / "deploy"
COMPOSE = DEPLOY / "docker/compose.yaml"


def program(*places: str | Path) -> str:
    """Return the first of these programs that is there; skip without any, but fail where everything must run."""
    found = next(filter(None, (shutil.which(place) for place in places)), None)
    if found is None:
        if os.environ.get("CI"):
            pytest.fail(f"{places[0]} is not installed")
        pytest.skip(f"{places[0]} is not installed")
    return found


# --- the wheel ---


def test_the_wheel_holds_all_of_the_package_and_nothing_else(tmp_path: Path) -> None:
    uv = program("uv", dev.TOOLS / dev.BIN / "uv")
    done = subprocess.run(
        [uv, "build", "--wheel", "--out-dir", tmp_path, ROOT], capture_output=True, text=True, timeout=100, check=False
    )
    assert done.returncode == 0, done.stderr
    with zipfile.ZipFile(next(tmp_path.glob("*.whl"))) as wheel:
        packed = {name for name in wheel.namelist() if ".dist-info/" not in name}
        about = {name.rpartition(".dist-info/")[2] for name in wheel.namelist() if ".dist-info/" in name}
        entry = next(name for name in wheel.namelist() if name.endswith("entry_points.txt"))
        assert "aceproxy = aceproxy.cli:main" in wheel.read(entry).decode()
    source = ROOT / "src"
    tree = {
        str(path.relative_to(source))
        for path in (source / "aceproxy").rglob("*")
        if path.is_file() and "__pycache__" not in path.parts
    }
    assert packed == tree
    assert {"METADATA", "licenses/LICENSE"} <= about
    for needed in ("web/static/index.html", "web/static/api_docs.html", "simulator/clips/clock.ts", "py.typed"):
        assert f"aceproxy/{needed}" in packed


# --- the container ---


def compose() -> dict[str, Any]:
    found: dict[str, Any] = yaml.safe_load(COMPOSE.read_text())
    return found


def test_the_container_is_nobody_writes_nowhere_and_has_no_capability() -> None:
    service = compose()["services"]["aceproxy"]
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert "cap_add" not in service
    assert "privileged" not in service
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert int(service["user"].partition(":")[0]) >= 1000
    assert service["volumes"] == ["state:/state"]
    assert {"mem_limit", "pids_limit", "ulimits", "restart"} <= set(service)


def test_the_compose_file_and_the_doctor_count_the_same_memory() -> None:
    settings = Settings()
    per_stream = settings.ring_bytes + settings.block_bytes
    told = re.search(r"# (\d+) MiB a stream .* (\d+) MiB for the program .*: (\d+) streams", COMPOSE.read_text())
    assert told is not None
    assert (int(told[1]), int(told[2])) == (per_stream >> 20, PROGRAM_BYTES >> 20)
    assert compose()["services"]["aceproxy"]["mem_limit"] == "1g"
    assert int(told[3]) == ((1 << 30) - PROGRAM_BYTES) // per_stream


def test_the_engine_of_the_compose_file_can_be_reached_by_us_alone() -> None:
    services = compose()["services"]
    assert "ports" not in services["engine"]
    assert services["engine"]["environment"]["ALLOW_REMOTE_ACCESS"] == "yes"
    assert services["aceproxy"]["environment"]["ACEPROXY_ENGINES"] == "http://engine:6878"


def test_the_settings_of_the_container_are_settings() -> None:
    text = (DEPLOY / "docker/Dockerfile").read_text()
    image = dict(re.findall(rf"({ENV_PREFIX}\w+)=(\S+)", text))
    given = {**image, **compose()["services"]["aceproxy"]["environment"]}
    settings, origin = load_settings({}, given)
    assert settings.listen == ":6880"
    assert settings.state_dir == Path("/state")
    assert settings.engines[0].url == "http://engine:6878"
    assert len(origin) == 3


def test_the_descriptors_and_the_time_to_leave_are_enough_for_the_defaults() -> None:
    service = compose()["services"]["aceproxy"]
    defaults = Settings()
    assert service["ulimits"]["nofile"]["hard"] >= 2 * defaults.max_clients + 300
    assert int(service["stop_grace_period"].removesuffix("s")) > defaults.shutdown_s


def test_the_image_has_stages_no_root_a_health_check_and_only_pinned_packages() -> None:
    lines = (DEPLOY / "docker/Dockerfile").read_text().splitlines()
    assert sum(line.startswith("FROM ") for line in lines) == 2
    last = max(number for number, line in enumerate(lines) if line.startswith("FROM "))
    assert any(line.startswith("USER 10001") for line in lines[last:])
    health = next(line for line in lines if line.startswith("HEALTHCHECK"))
    assert '"python", "-m", "aceproxy.health"' in health
    assert compose()["services"]["aceproxy"]["healthcheck"]["test"] == ["CMD", "python", "-m", "aceproxy.health"]
    text = "\n".join(lines)
    assert "--require-hashes -r locks/runtime.txt" in text
    assert not re.search(r"\b(curl|wget|apt-get)\b", text)


def test_what_the_image_copies_is_let_through_to_the_build() -> None:
    text = (DEPLOY / "docker/Dockerfile").read_text()
    let_through = {line[1:] for line in (ROOT / ".dockerignore").read_text().splitlines() if line.startswith("!")}
    copied: set[str] = set()
    for sources in re.findall(r"^COPY (?!--from)(.*) \S+$", text, re.MULTILINE):
        copied |= set(sources.split())
    assert copied == let_through
    assert all((ROOT / name).exists() for name in copied)


# --- the service ---


@pytest.fixture
def unit(tmp_path: Path) -> Path:
    """The unit, with a program at a place that exists."""
    stand_in = tmp_path / "aceproxy"
    stand_in.write_text("#!/bin/sh\n")
    stand_in.chmod(0o755)
    text = (DEPLOY / "systemd/aceproxy.service").read_text()
    path = tmp_path / "aceproxy.service"
    path.write_text(text.replace("/opt/aceproxy/bin/aceproxy", str(stand_in)))
    return path


def test_systemd_takes_the_unit(unit: Path) -> None:
    analyze = program("systemd-analyze")
    done = subprocess.run([analyze, "verify", unit], capture_output=True, text=True, timeout=60, check=False)
    assert (done.returncode, done.stderr) == (0, "")


def test_systemd_finds_the_service_well_confined(unit: Path) -> None:
    analyze = program("systemd-analyze")
    command = [analyze, "security", "--offline=true", "--threshold=15"]
    done = subprocess.run([*command, unit], capture_output=True, text=True, timeout=60, check=False)
    assert done.returncode == 0, done.stdout[-2000:]


def test_the_service_has_descriptors_and_time_and_settings_that_exist() -> None:
    text = (DEPLOY / "systemd/aceproxy.service").read_text()
    defaults = Settings()
    assert int(re.search(r"LimitNOFILE=(\d+)", text)[1]) >= 2 * defaults.max_clients + 300  # type: ignore[index]  # it must be there
    assert int(re.search(r"TimeoutStopSec=(\d+)", text)[1]) > defaults.shutdown_s  # type: ignore[index]  # it must be there
    settings, _ = load_settings(
        {}, dict(re.findall(rf"({ENV_PREFIX}\w+)=(\S+)", text)), DEPLOY / "systemd/aceproxy.toml"
    )
    assert settings.state_dir == Path("/var/lib/aceproxy")


# --- the machine of the check ---

# programs of the system that tests look for, and the Debian packages that have them, where the two are called otherwise
PACKAGES = {
    "Xvfb": "xvfb",
    "cc": "gcc",
    "cvlc": "vlc-bin",
    "ffprobe": "ffmpeg",
    "gst-launch-1.0": "gstreamer1.0-tools",
    "kodi-standalone": "kodi",
    "nginx": "nginx-light",
    "promtool": "prometheus",
    "systemd-analyze": "systemd",
}
ASKED = re.compile(r'\b(?:tool|program|system_program)\("([^"]+)"')
STARTED_BY_NAME = re.compile(
    r'\b(?:Program|subprocess\.run|Popen|check_output|create_subprocess_exec)\(\s*\[?\s*"[a-z]'
)


def test_a_bare_machine_gets_every_program_that_tests_start() -> None:
    installed = (ROOT / ".ci/run").read_text()
    texts = {path: path.read_text() for path in sorted((ROOT / "tests").rglob("*.py"))}
    asked = {name for text in texts.values() for name in ASKED.findall(text)} - {"uv"}  # dev.py fetches that one
    assert set(PACKAGES) | {"curl", "ffmpeg", "mpv"} <= asked  # or this looks for them in a wrong way
    packages = {PACKAGES.get(name, name) for name in asked}
    assert [name for name in sorted(packages) if not re.search(rf"[( ]{re.escape(name)}[ )]", installed)] == []
    assert [path.name for path, text in texts.items() if STARTED_BY_NAME.search(text)] == []

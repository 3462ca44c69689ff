"""One run of one scenario against one target, from the start of all processes to their end."""

from __future__ import annotations

import contextlib
import dataclasses
import json
import sys
import time
import urllib.error
import urllib.request
from dataclasses import dataclass, field
from typing import Any

from bench.building import ROOT
from bench.processes import Child, ProcessError, wait_until
from bench.sampling import Usage, cpu_s, machine_cpu_s, usage
from bench.scenarios import CHANNEL, Scenario
from bench.targets import DIRECT, PROXY, RECEIVE, Setup, Target, cache, source, target

PROBE_RATE = 20.0  # requests per second and route
SAMPLE_S = 0.5
HLS_SETTLE_S = 40.0  # for a list to become as long as it should be
SLACK_S = 20.0
SLOW_LAG_S = 2.0  # behind the live edge; who keeps up is less
IDLE_S = 1.5  # for a fresh process to come to rest
VOLUME_S_PER_GB = 10.0  # slower than that and the run is given up


@dataclass(slots=True)
class Run:
    """What came out of one run. `load` and `probes` are the documents of load.c and probe.c.

    `slow_listed`: clients that the list shows with a lag or with skips. `others_cpu_s` is what the machine did in the
    window beside the target, the load, the prober and the source: noise. `received_gb`: what the engine sent in it.
    """

    scenario: str
    target: str
    load: dict[str, Any] = field(default_factory=dict)
    probes: dict[str, dict[str, float]] = field(default_factory=dict)
    cpu_s: float = 0.0
    received_gb: float = 0.0
    others_cpu_s: float = 0.0
    cache_cpu_s: float | None = None
    idle: Usage | None = None
    busy: Usage | None = None
    after: Usage | None = None
    ring_bytes: int | None = None
    slow_listed: int | None = None
    engine: dict[str, Any] = field(default_factory=dict)
    series: list[dict[str, float]] = field(default_factory=list)
    error: str = ""

    @property
    def delivered_gb(self) -> float:
        """GB (10^9 bytes) that clients received in the window."""
        return float(self.load.get("window_bytes", 0)) / 1e9

    @property
    def counted_gb(self) -> float:
        """GB that the processor time is told for: what clients received; where they get nothing, the target itself."""
        return self.received_gb if self.target == RECEIVE else self.delivered_gb

    def as_document(self) -> dict[str, Any]:
        """Return everything as JSON takes it."""
        return {**dataclasses.asdict(self), "delivered_gb": self.delivered_gb}


def run_once(setup: Setup, scenario: Scenario, kind: str) -> Run:
    """Run a scenario once. What fails is told in the run's `error`; nothing is left running."""
    run = Run(scenario.name, kind)
    if kind == PROXY:
        scenario = dataclasses.replace(scenario, warm_s=scenario.warm_s + scenario.fill_s)
    if kind == DIRECT:
        scenario = dataclasses.replace(scenario, clients=1)
    try:
        with (
            source(setup, unlimited=scenario.unlimited, limit_gb=scenario.volume_gb) as engine,
            target(setup, kind, engine, scenario.total_s + 5, big_log=scenario.big_log) as goal,
        ):
            if kind == PROXY:
                time.sleep(IDLE_S)
                run.idle = usage(goal.pid)
            _play(setup, scenario, run, engine, goal)
    except (ProcessError, ValueError, KeyError) as error:
        run.error = f"{type(error).__name__}: {error}"
    return run


def _play(setup: Setup, scenario: Scenario, run: Run, engine: Target, goal: Target) -> None:
    """Send the players and watch."""
    with contextlib.ExitStack() as children:
        relay = children.enter_context(cache(setup, goal)) if scenario.hls == "cached" else None
        command = _hls_command(scenario, relay or goal) if scenario.hls else _load_command(setup, scenario, goal)
        load = children.enter_context(Child("load", command, setup.folder / "load.log"))
        settle_s = HLS_SETTLE_S if scenario.hls else 0.0
        load.wait_line("window begins", settle_s + scenario.ramp_s + scenario.warm_s + SLACK_S)
        if scenario.hang:
            _get(engine.port, "/bench/hang?on=1")
        prober = _start_prober(setup, scenario, goal)
        if prober is not None:
            children.enter_context(prober)
        sent_bytes = _sent_bytes(engine)
        before_s, engine_s, machine_s = cpu_s(goal.pid), cpu_s(engine.pid), machine_cpu_s()
        relay_s = cpu_s(relay.pid) if relay is not None else 0.0
        if scenario.volume_gb:
            _watch_volume(scenario, run, engine, goal)
            load.ask_to_end()
        load.wait_line("window ends", scenario.measure_s + SLACK_S)
        run.cpu_s = cpu_s(goal.pid) - before_s
        run.received_gb = (_sent_bytes(engine) - sent_bytes) / 1e9
        run.others_cpu_s = machine_cpu_s() - machine_s - run.cpu_s
        if relay is not None:
            run.cache_cpu_s = cpu_s(relay.pid) - relay_s
            run.others_cpu_s -= run.cache_cpu_s
        if goal.pid != engine.pid:
            run.others_cpu_s -= cpu_s(engine.pid) - engine_s
        if run.target == PROXY:
            run.busy = usage(goal.pid)
            run.ring_bytes, run.slow_listed = _listed(goal.port)
        load.ask_to_end()
        load.wait_end(SLACK_S)
        run.load = json.loads(load.lines[-1])
        run.others_cpu_s -= run.load["own_cpu_s"]
        if prober is not None:
            prober.wait_end(SLACK_S)
            probed = json.loads(prober.lines[-1])
            run.probes = probed["routes"]
            run.others_cpu_s -= probed["own_cpu_s"]
        run.others_cpu_s = max(0.0, run.others_cpu_s)
    if run.target == PROXY and not scenario.hang:
        _look_back(scenario, run, engine, goal)


def _load_command(setup: Setup, scenario: Scenario, goal: Target) -> list[str]:
    numbers: dict[str, float] = {
        "port": goal.port,
        "clients": scenario.clients,
        "channels": scenario.channels,
        "slow": scenario.slow,
        "frozen": scenario.frozen,
        "joiners": scenario.joiners,
        "join-every-ms": scenario.join_every_ms,
        "stay-s": scenario.stay_s,
        "stay-most-s": scenario.stay_most_s,
        "ramp-s": scenario.ramp_s,
        "warm-s": scenario.warm_s,
        "measure-s": scenario.volume_gb * VOLUME_S_PER_GB + SLACK_S if scenario.volume_gb else scenario.measure_s,
        "nap-us": scenario.nap_us,
    }
    command = [str(setup.programs.load), "--path", goal.path]
    for name, number in numbers.items():
        command += [f"--{name}", f"{number:g}"]
    return command


def _hls_command(scenario: Scenario, relay: Target) -> list[str]:
    code = f"import sys; sys.path.insert(0, {str(ROOT)!r}); from bench.hls_load import main; main()"
    path = f"/hls/{CHANNEL}/{'shared' if scenario.hls == 'cached' else 'index'}.m3u8"
    words = {"--port": relay.port, "--path": path, "--clients": scenario.clients}
    words |= {"--ramp-s": scenario.ramp_s, "--warm-s": scenario.warm_s, "--measure-s": scenario.measure_s}
    return [sys.executable, "-c", code, *(str(part) for pair in words.items() for part in pair)]


def _start_prober(setup: Setup, scenario: Scenario, goal: Target) -> Child | None:
    if not scenario.routes:
        return None
    for route in scenario.routes:  # once for what is imported when it is first needed
        _get(goal.port, route)
    numbers = {"--port": goal.port, "--rate": PROBE_RATE, "--seconds": scenario.measure_s - 0.5}
    command = [str(setup.programs.probe), "--routes", " ".join(scenario.routes)]
    command += [f"{part:g}" if isinstance(part, float) else str(part) for pair in numbers.items() for part in pair]
    return Child("prober", command, setup.folder / "prober.log")


def _watch_volume(scenario: Scenario, run: Run, engine: Target, goal: Target) -> None:
    """Sample memory until the source has sent its volume. Raises ProcessError when that takes too long."""
    began_at = time.monotonic()
    deadline_at = began_at + scenario.volume_gb * VOLUME_S_PER_GB + SLACK_S / 2
    sent_gb = 0.0
    while sent_gb < scenario.volume_gb * 0.999:
        if time.monotonic() > deadline_at:
            raise ProcessError(f"only {sent_gb:.1f} of {scenario.volume_gb:.1f} GB went through in time")
        time.sleep(SAMPLE_S)
        sent_gb = _sent_bytes(engine) / 1e9
        now = usage(goal.pid)
        run.series.append(
            {
                "at_s": round(time.monotonic() - began_at, 2),
                "sent_gb": round(sent_gb, 3),
                "pss_bytes": now.pss_bytes,
                "ring_bytes": _listed(goal.port)[0] or 0,
                "descriptors": now.descriptors,
            }
        )


def _look_back(scenario: Scenario, run: Run, engine: Target, goal: Target) -> None:
    """See what is left when the players have gone."""

    def stopped() -> bool:
        run.engine = _get(engine.port, "/bench/stats")
        return run.engine.get("starts") == run.engine.get("stops")

    if scenario.settle_s:
        wait_until(stopped, scenario.settle_s)
    else:
        time.sleep(0.5)
        stopped()
    run.after = usage(goal.pid)


def _listed(port: int) -> tuple[int | None, int | None]:
    """Ask the proxy how much media it holds, and how many clients it shows with a lag or skips; None: not told."""
    with contextlib.suppress(KeyError, TypeError):
        streams = _get(port, "/api/aceproxy/streams")["streams"]
        clients = [client for stream in streams for client in stream["clients"]]
        slow = sum(bool(client["skips"]) or (client["lag_s"] or 0) > SLOW_LAG_S for client in clients)
        return sum(int(stream["buffer_bytes"]) for stream in streams), slow
    return None, None


def _sent_bytes(engine: Target) -> float:
    """Ask the source how much media it has sent."""
    return float(_get(engine.port, "/bench/stats").get("media_bytes", 0))


def _get(port: int, path: str) -> dict[str, Any]:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=5.0) as answer:
            document = json.load(answer)
    except (urllib.error.URLError, OSError, ValueError):
        return {}
    return document if isinstance(document, dict) else {}

"""The scenarios: what is played, by whom, for how long."""

from __future__ import annotations

from dataclasses import dataclass, replace

from bench.targets import CHUNK, COALESCE, DIRECT, NGINX, PROXY, RECEIVE

FILL_S = 34.0  # a ring holds 30 s and its last block; new memory for it costs more than writing over what there is
QUICK_S = 4.0  # a window of a quick run
QUICK_COMPARED_S = 8.0  # of one whose cost is compared: little beside the time that its rings take to be full
CHANNEL = f"{1:040x}"  # the first one, which all clients of one stream play
ROUTES = (
    *("/api/health", "/api/aceproxy/stats", "/api/aceproxy/streams", f"/api/aceproxy/streams/{CHANNEL}"),
    *("/api/logs/tail?lines=100", "/ace/status", "/metrics", "/"),
)


@dataclass(frozen=True, slots=True)
class Scenario:
    """One scenario. Clients play during the whole window; joiners come within it and leave.

    `routes` are probed meanwhile; `hang` makes the engine's API hang from the window's begin; `big_log` gives the
    proxy's error output a file that holds 1 GB; `volume_gb` ends the run when the source has sent so much;
    `hls` sends HLS viewers, through a caching nginx with its documented configuration or, as "direct", without one.
    `fill_s`: how long the proxy, which keeps more than the references, plays before that, for its rings to be full;
    scenarios that have it are compared with one another, and take turns.
    `once`: one run is enough, however many are asked for, since nothing in it is a ratio. `settle_s` is how long to
    wait afterwards for the engine's playbacks to be stopped.
    """

    name: str
    about: str
    clients: int = 1
    channels: int = 1
    slow: int = 0
    frozen: int = 0
    joiners: int = 0
    join_every_ms: float = 50.0
    stay_s: float = 1.0
    stay_most_s: float = 1.0
    unlimited: bool = False
    volume_gb: float = 0.0
    ramp_s: float = 1.0
    warm_s: float = 4.0
    fill_s: float = 0.0
    measure_s: float = 10.0
    nap_us: int = 1000
    routes: tuple[str, ...] = ()
    hang: bool = False
    big_log: bool = False
    hls: str = ""
    settle_s: float = 0.0
    once: bool = False
    targets: tuple[str, ...] = (PROXY,)

    @property
    def total_s(self) -> float:
        """Planned time from the first client to the last."""
        return self.ramp_s + self.warm_s + self.measure_s


def _fan(clients: int, ramp_s: float, *references: str) -> Scenario:
    about = f"1 stream to {clients} client{'s' if clients > 1 else ''}"
    warm_s = max(4.0, clients / 150)
    return Scenario(
        f"fan{clients}",
        about,
        clients=clients,
        ramp_s=ramp_s,
        warm_s=warm_s,
        fill_s=FILL_S if references else 0.0,
        targets=(PROXY, *references),
    )


HLS = tuple(
    Scenario(
        f"hls{clients}{'-direct' if way == 'direct' else ''}",
        f"{clients} HLS viewer{'s' if clients > 1 else ''} {'without a cache' if way == 'direct' else 'behind nginx'}",
        clients=clients,
        ramp_s=0.1 if clients == 1 else 4.0,
        warm_s=6.0,
        measure_s=30.0,
        hls=way,
    )
    for way, clients in (("cached", 1), ("cached", 300), ("direct", 300))
)
REFERENCES = (COALESCE, CHUNK, NGINX)
ALL = (
    _fan(1, 0.1),
    _fan(10, 0.2),
    _fan(100, 1.0, *REFERENCES),
    Scenario(
        "streams20x5",
        "20 streams to 5 clients each",
        clients=100,
        channels=20,
        warm_s=8.0,
        fill_s=FILL_S,
        targets=(PROXY, COALESCE, CHUNK, RECEIVE),
    ),
    Scenario(
        "streams100x1",
        "100 streams to 1 client each",
        clients=100,
        channels=100,
        ramp_s=2.0,
        warm_s=8.0,
        fill_s=FILL_S,
        targets=(PROXY, COALESCE, CHUNK, RECEIVE),
    ),
    _fan(300, 2.0, *REFERENCES),
    _fan(1000, 8.0, *REFERENCES, DIRECT),
    Scenario(
        "unlimited4", "1 stream as fast as it goes, 4 clients", clients=4, unlimited=True, measure_s=5.0, nap_us=0
    ),
    Scenario(
        "unlimited50", "1 stream as fast as it goes, 50 clients", clients=50, unlimited=True, measure_s=5.0, nap_us=0
    ),
    Scenario(
        "slow20of100", "100 clients, 20 of them read at 1 Mbit/s", clients=100, slow=20, measure_s=45.0, once=True
    ),
    Scenario(
        "late", "100 join a stream that 300 watch", clients=300, joiners=100, join_every_ms=95, ramp_s=2.0, nap_us=0
    ),
    Scenario(
        "churn200",
        "about 200 clients that come and go, 20 that stay",
        clients=20,
        joiners=900,
        join_every_ms=16.0,
        stay_s=2.0,
        stay_most_s=4.0,
        measure_s=18.0,
        nap_us=0,
    ),
    Scenario(
        "zap",
        "1000 joins and leaves over 50 channels in a minute",
        clients=0,
        channels=50,
        joiners=1000,
        join_every_ms=59.0,
        stay_s=0.5,
        stay_most_s=3.0,
        ramp_s=0.1,
        warm_s=0.5,
        measure_s=62.0,
        nap_us=0,
        settle_s=25.0,
        once=True,
    ),
    Scenario(
        "day",
        "24 h of one 8 Mbit/s stream at full speed",
        unlimited=True,
        volume_gb=86.4,
        warm_s=0.5,
        nap_us=0,
        once=True,
    ),
    Scenario("api-1000", "the API while 1000 clients watch", clients=1000, ramp_s=8.0, warm_s=6.5, routes=ROUTES),
    Scenario(
        "api-trouble",
        "the API with 1000 clients, 20 of them slow, a hung engine and a log of 1 GB",
        clients=1000,
        slow=20,
        ramp_s=8.0,
        warm_s=6.5,
        routes=ROUTES,
        hang=True,
        big_log=True,
    ),
    *HLS,
)


def chosen(names: list[str], *, quick: bool) -> list[Scenario]:
    """Return the scenarios by name; `api` means all that begin with it. Raises ValueError for an unknown name."""
    found = list(ALL)
    if names:
        found = [one for one in ALL if any(one.name == name or one.name.startswith(f"{name}-") for name in names)]
        known = {one.name for one in ALL} | {one.name.partition("-")[0] for one in ALL}
        unknown = sorted(set(names) - known)
        if unknown:
            raise ValueError(f"no scenario {', '.join(unknown)}; there are {', '.join(one.name for one in ALL)}")
    return [_shortened(one) for one in found] if quick else found


def _shortened(scenario: Scenario) -> Scenario:
    """Return a scenario that takes a few seconds; a thousand clients need their time to catch up with the stream."""
    if scenario.hls:  # segments are long, and whoever came to a short list has to have waited for it
        return replace(scenario, measure_s=min(scenario.measure_s, 10.0), once=True)  # and one run takes a minute
    measure_s = min(scenario.measure_s, QUICK_S if not scenario.fill_s else QUICK_COMPARED_S)
    share = measure_s / scenario.measure_s
    return replace(
        scenario,
        measure_s=measure_s,
        warm_s=scenario.warm_s if scenario.channels > 1 else min(scenario.warm_s, max(2.5, scenario.clients / 200)),
        joiners=int(scenario.joiners * share),
        volume_gb=scenario.volume_gb / 24,
    )

"""An AceStream engine over real HTTP, with fault switches; it imports nothing of the rest.

Start here: `Simulator` (the engine), `SimulatorConfig` (its choices), `FAULTS` (what can go wrong), `run_simulator` (as
a process of its own). What it does is written down in `docs/simulator.md`.
"""

from aceproxy.simulator.command import run_simulator
from aceproxy.simulator.config import SimulatorConfig
from aceproxy.simulator.contents import Content, ContentFile
from aceproxy.simulator.faults import FAULTS, Fault, FaultError
from aceproxy.simulator.playbacks import Playback
from aceproxy.simulator.server import Simulator

__all__ = [
    "FAULTS",
    "Content",
    "ContentFile",
    "Fault",
    "FaultError",
    "Playback",
    "Simulator",
    "SimulatorConfig",
    "run_simulator",
]

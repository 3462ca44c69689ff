"""Every fault shows its effect on the wire."""

from __future__ import annotations

import pytest

from aceproxy.simulator import FAULTS, Simulator
from tests.simulator import effects_engine, effects_media, effects_start
from tests.simulator.wire import content


@pytest.mark.parametrize("name", FAULTS)
async def test_the_fault_shows_on_the_wire(simulator: Simulator, name: str) -> None:
    functions = [vars(module).get(name.replace("-", "_")) for module in (effects_start, effects_media, effects_engine)]
    (effect,) = [function for function in functions if function is not None]
    await effect(simulator, content(simulator, "Light"))
